"""Problem set 6: the oracles against torch and the chapters, and what a check says."""

import copy
import itertools
from collections import OrderedDict

import numpy as np
import pytest
import torch
from solutions_ps6_shift import CORRECT
from torch import nn

from bncourse.attempt import attempt
from bncourse.check import CheckFailed, check
from bncourse.exercise import draw_cases
from bncourse.exercises.ps6_shift.drive import (
    build,
    half_squared_error,
    loss_and_batch,
    network,
    parts_of,
)
from bncourse.inputs import batch
from bncourse.lab import ensemble, interventions, landscape, probes
from bncourse.reference import shift
from bncourse.registry import find, load
from bncourse.trial.sample_class import source_of

SOLUTIONS = [(name, each) for name, solutions in CORRECT.items() for each in solutions]
TORCH_LOSSES = {"squared error": half_squared_error, "cross entropy": nn.functional.cross_entropy}


def made(act="tanh", loss="squared error", seed=0, **options):
    """Return the inputs of a network with a batch, and the network in torch."""
    rng = np.random.default_rng(seed)
    sizes = options.pop("sizes", (5, 6, 4, 3))
    inputs = network(rng, sizes, act, **options) | {"device": "cpu", "loss": loss}
    inputs["x"] = batch(rng, 9, sizes[0])
    inputs["y"] = rng.standard_normal((9, sizes[-1]))
    if loss == "cross entropy":
        inputs["y"] = rng.integers(0, sizes[-1], 9)
    return inputs, build(inputs)


def oracle(name, inputs, *more):
    function = getattr(shift, name)
    loss = shift.LOSSES[inputs["loss"]]
    return function(parts_of(inputs), inputs["x"], inputs["y"], loss, *more, inputs["training"])


# --- the oracles --------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", shift.LOSSES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("act", ["tanh", "relu", "sigmoid"])
def test_the_gradients_of_a_network_are_those_of_torch(act, training, loss):
    inputs, model = made(act, loss)
    inputs["training"] = training
    model.train(training)
    value, gradients = oracle("loss_and_gradients", inputs)
    loss_fn, x, y = loss_and_batch(inputs)
    theirs = loss_fn(model(x), y)
    assert value == pytest.approx(theirs.item())
    theirs.backward()
    for (name, parameter), ours in zip(
        model.named_parameters(),
        (g for part in gradients for g in part.values()),
        strict=True,
    ):
        # The bias before batch norm has a gradient of 0, but for rounding.
        np.testing.assert_allclose(ours, parameter.grad, rtol=1e-8, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("options", [{}, {"norm": False}, {"bias": False}], ids=str)
def test_the_shift_is_that_of_the_chapter(options):
    inputs, model = made(**options)
    loss_fn, x, y = loss_and_batch(inputs)
    theirs = probes.internal_covariate_shift(model, loss_fn, x, y, 0.5)
    np.testing.assert_allclose(oracle("internal_covariate_shift", inputs, 0.5), theirs, rtol=1e-7)


@pytest.mark.parametrize("unit", [None, 0, 2])
def test_the_percentiles_are_those_of_the_chapter(unit):
    inputs, model = made()
    x = torch.from_numpy(inputs["x"])
    theirs = probes.activation_percentiles(model, "norm2", [x], unit=unit)[0]
    place = inputs["parts"].index("norm2")
    values = shift.passed(parts_of(inputs), inputs["x"])[place]
    values = values if unit is None else values[:, unit]
    np.testing.assert_allclose(shift.activation_percentiles(values, (15, 50, 85)), theirs)


def chapters_net(norm, width=6):
    """Return a network of one member as the chapter reduce_shift has it, and the same in parts."""
    torch_net = nn.Sequential(
        OrderedDict(
            linear1=nn.Linear(5, width),
            **({"norm1": nn.BatchNorm1d(width)} if norm else {}),
            act1=nn.Tanh(),
            linear2=nn.Linear(width, 3),
        )
    ).double()
    for name, value in torch_net.named_parameters():
        if name.startswith("norm"):
            # A layer of ``ensemble`` begins with gamma 1 and beta 0.
            continue
        generator = torch.Generator().manual_seed(len(name) + value.numel())
        value.data.copy_(torch.randn(value.shape, generator=generator, dtype=torch.float64))
    state = {name: value.numpy(force=True) for name, value in torch_net.state_dict().items()}
    parts = []
    for name, part in torch_net.named_children():
        kind = name.rstrip("0123456789")
        arrays = {key.split(".")[1]: value for key, value in state.items() if key.startswith(name)}
        if isinstance(part, nn.BatchNorm1d):
            arrays["eps"] = part.eps
        parts.append(("tanh" if kind == "act" else kind, arrays))
    return torch_net, parts


@pytest.mark.parametrize("norm", [True, False])
def test_the_share_of_the_promise_is_that_of_the_chapter(norm):
    torch_net, parts = chapters_net(norm)
    net = ensemble.stack([torch_net], norm=ensemble.BatchNorm).double()
    rng = np.random.default_rng(0)
    x, y = batch(rng, 9, 5), rng.integers(0, 3, 9)
    sizes = (0.01, 0.1)
    theirs = landscape.path(net, torch.from_numpy(x)[None], torch.from_numpy(y)[None], sizes)
    ours = shift.gradient_predictiveness(parts, x, y, shift.cross_entropy, sizes)
    np.testing.assert_allclose(ours, theirs.kept[:, 0], rtol=1e-5)


def test_folding_is_that_of_the_chapter():
    torch_net, parts = chapters_net(norm=False)
    net = ensemble.stack([torch_net], norm=ensemble.BatchNorm).double()
    x = batch(np.random.default_rng(0), 9, 5)
    interventions.normalize_once(net, torch.from_numpy(x)[None])
    norm = {"running_mean": np.zeros(6), "running_var": np.ones(6), "eps": 1e-5}
    folded = shift.normalize_once([parts[0], ("norm", norm), *parts[1:]], x)
    np.testing.assert_allclose(folded[0][1]["weight"], net[0].weight[0].T.detach(), rtol=1e-9)
    np.testing.assert_allclose(folded[0][1]["bias"], net[0].bias[0, 0].detach(), rtol=1e-9)


@pytest.mark.equation("D2")
@pytest.mark.parametrize("act", ["tanh", "relu"])
def test_a_folded_network_does_the_same_for_the_batch(act):
    inputs, model = made(act, last_norm=True)
    folded = shift.normalize_once(parts_of(inputs), inputs["x"])
    assert all(kind != "norm" for kind, _ in folded)
    expected = model(torch.from_numpy(inputs["x"])).detach().numpy()
    np.testing.assert_allclose(shift.passed(folded, inputs["x"])[-1], expected, atol=1e-10)


@pytest.mark.equation("D4")
def test_a_short_step_keeps_its_promise_and_a_fair_one_has_no_unit():
    inputs, _ = made(norm=False)
    assert oracle("gradient_predictiveness", inputs, (1e-6,)) == pytest.approx(1, abs=1e-3)
    exercise = find("gradient_predictiveness")
    cases = draw_cases(exercise, 0)
    plain, longer = (
        exercise.reference(cases[name].inputs)["share"]
        for name in ("with batch norm", "the same function, its hidden weights times 4")
    )
    np.testing.assert_allclose(plain, longer, rtol=1e-9)


# --- the check ------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize(("name", "solution"), SOLUTIONS)
def test_the_check_takes_a_device(name, solution, device, capsys):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU that torch can use")
    check(solution, name, device=device)
    assert "correct in all" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "solution"), SOLUTIONS)
def test_a_solution_leaves_the_random_state_alone(name, solution):
    exercise = find(name)
    before = torch.get_rng_state()
    for case in draw_cases(exercise, 0).values():
        assert attempt(exercise, solution, case).rules == ()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("seed", range(100, 130))
def test_chance_rejects_no_noise(seed):
    """The noise of right layers, read out, stays within half of what is allowed."""
    exercise = find("NoisyBatchNorm")
    cases = draw_cases(exercise, seed)
    solution = CORRECT["NoisyBatchNorm"][seed % 4]
    for name in ("many units", "many units, other spreads", "spreads and seed left out"):
        found = attempt(exercise, solution, cases[name]).outputs
        for label, want in exercise.reference(cases[name].inputs).items():
            limit = exercise.rtol(label, cases[name]) * (abs(float(want)) or 1)
            assert abs(found[label] - want) < limit / 2, label


@pytest.mark.parametrize(
    ("name", "mistake"),
    [(name, each) for name, exercise in load("ps6_shift").items() for each in exercise.mistakes],
)
def test_the_source_of_a_mistake_stands_alone(name, mistake):
    """The sample class pastes it into a notebook with these imports."""
    namespace = {"copy": copy, "np": np, "torch": torch, "nn": nn, "OrderedDict": OrderedDict}
    exec(source_of(mistake, name), namespace)
    assert namespace[name].__name__ == name


def test_the_hints_of_the_set_differ():
    hints = [mistake.hint for each in load("ps6_shift").values() for mistake in each.mistakes]
    alike = [a for a, b in itertools.combinations(hints, 2) if a == b]
    assert alike == []


# --- what a check must see, and how it says it ----------------------------------------------------


def message(obj, name):
    with pytest.raises(CheckFailed) as failure:
        check(obj, name)
    return " ".join(str(failure.value).split())


@pytest.mark.parametrize("name", CORRECT)
def test_a_model_with_batch_norm_is_no_ready_made_answer(name, capsys):
    check(CORRECT[name][0], name)
    assert "ready-made" not in capsys.readouterr().out


def test_a_weight_that_is_put_back_roughly_is_seen():
    def internal_covariate_shift(model, loss_fn, x, y, lr):
        result = CORRECT["internal_covariate_shift"][0](model, loss_fn, x, y, lr)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter *= 1 + 1e-6
        return result

    text = message(internal_covariate_shift, "internal_covariate_shift")
    assert "It leaves linear1.weight of the model changed. Work on a copy" in text


def test_a_frozen_weight_stays_frozen():
    def activation_percentiles(model, layer, batches, q=(15, 50, 85), unit=None):
        model.requires_grad_(True)
        return CORRECT["activation_percentiles"][0](model, layer, batches, q, unit)

    text = message(activation_percentiles, "activation_percentiles")
    assert "requires_grad of weight of Linear (linear1) changed" in text


def test_a_number_of_another_dtype_is_no_mistake(capsys):
    def internal_covariate_shift(model, loss_fn, x, y, lr):
        return torch.tensor(CORRECT["internal_covariate_shift"][0](model, loss_fn, x, y, lr)).half()

    text = message(internal_covariate_shift, "internal_covariate_shift")
    assert "shift is off" in text

    def rounded(model, loss_fn, x, y, lr):
        return torch.tensor(
            CORRECT["internal_covariate_shift"][0](model, loss_fn, x, y, lr)
        ).float()

    check(rounded, "internal_covariate_shift")
    assert "correct in all" in capsys.readouterr().out


def test_a_batch_norm_of_ones_own_is_told_what_to_hold():
    class NoisyBatchNorm(nn.Module):
        def __init__(self, num_features, shift=0.5, scale=0.5, seed=0):
            super().__init__()
            self.gamma = nn.Parameter(torch.ones(num_features))

    assert "It must hold one nn.BatchNorm1d. Found: 0." in message(NoisyBatchNorm, "NoisyBatchNorm")


def noisy_layer(draw="torch.randn(d, generator=self.own)", seed="seed", quiet="not self.training"):
    """Return the source of a NoisyBatchNorm that draws, takes its seed and is quiet in its way."""
    return f"""
class NoisyBatchNorm(nn.Module):
    def __init__(self, num_features, shift=0.5, scale=0.5, seed=0):
        super().__init__()
        self.norm, self.spreads, self.steps = nn.BatchNorm1d(num_features), (shift, scale), 0
        self.own = torch.Generator().manual_seed({seed})

    def draw(self, d):
        return {draw}

    def forward(self, x):
        y = self.norm(x)
        if {quiet}:
            return y
        self.steps += 1
        m, log_s = (spread * self.draw(x.shape[1]).to(y) for spread in self.spreads)
        return log_s.exp() * y + m
"""


SOME_SEEDS = "Layers of some seeds draw the same noise."
SAME_STEPS = "Two steps have the same"


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (noisy_layer(seed="seed % 2"), SOME_SEEDS),
        (noisy_layer(seed="seed % 100"), SOME_SEEDS),
        (noisy_layer(seed="int(seed > 0)"), SOME_SEEDS),
        (
            noisy_layer(draw="torch.randn(d, generator=self.own.manual_seed(self.steps % 9))"),
            SAME_STEPS,
        ),
        (noisy_layer(draw="torch.randn(d, generator=self.own) * 0.9**self.steps"), "noise fades"),
        (
            noisy_layer(draw="torch.randn(d, generator=self.own).round(decimals=1)"),
            "Many units have the same m",
        ),
        (
            noisy_layer(
                draw="torch.cat([e := torch.randn(-(-d // 2), generator=self.own), -e])[:d]"
            ),
            "Many units have the same m",
        ),
        (
            noisy_layer(draw="(e := torch.randn(d, generator=self.own)) - e.mean() * (d > 1)"),
            "add up to 0 in each step",
        ),
        (
            noisy_layer(
                draw="torch.randn(d + 1, generator=self.own).unfold(0, 2, 1).sum(1) / 2**0.5"
            ),
            "depends on that of the next",
        ),
        (
            noisy_layer(draw="torch.randn(d, generator=self.own).clamp(-3, 3)"),
            "beyond three spreads",
        ),
        (
            noisy_layer(quiet="not self.training and torch.is_grad_enabled()"),
            "In eval mode, the same input must give the same output.",
        ),
        (
            noisy_layer(quiet="not self.training and self.norm.num_batches_tracked > 0"),
            "y in eval of a new layer is off",
        ),
    ],
)
def test_noise_of_few_numbers_or_in_eval_mode_is_told(layer, said):
    space = {"torch": torch, "nn": nn}
    exec(layer, space)
    assert said in message(space["NoisyBatchNorm"], "NoisyBatchNorm")


def test_a_part_that_is_lost_is_told():
    def normalize_once(model, x):
        return nn.Sequential(*(p for p in model if isinstance(p, nn.Linear)))

    text = message(normalize_once, "normalize_once")
    assert "Linear, Tanh, Linear, Tanh, Linear. Received: Linear, Linear, Linear." in text


def test_what_is_right_is_said_where_the_new_model_is_not_free():
    def normalize_once(model, x):
        return CORRECT["normalize_once"][0](model, x).requires_grad_(False)

    text = message(normalize_once, "normalize_once")
    assert "The weight of layer 1 does not require a gradient" in text
    assert "right" in text
