"""The experiments: data, models, training, probes, and the code that their chapters show."""

import copy
import importlib.util
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bncourse.figures import why_normalise
from bncourse.lab import (
    data,
    dead_bias,
    depth,
    experiments,
    models,
    placement,
    probes,
    shifted,
    training,
)
from bncourse.lab import least_squares as ls

CODE = Path(__file__).parents[1] / "chapters" / "code"
cross_entropy = nn.functional.cross_entropy


@pytest.fixture(scope="module")
def digits():
    return data.digits()


@pytest.fixture
def net():
    return models.mlp([64, 12, 12, 10], norm=nn.BatchNorm1d, seed=0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def load(name):
    """Return the module of one file of chapters/code."""
    spec = importlib.util.spec_from_file_location(name, CODE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- data -------------------------------------------------------------------------------------


def test_a_split_is_the_same_for_the_same_seed_and_loses_nothing(digits):
    again, other = data.digits(), data.digits(seed=1)
    assert torch.equal(digits.x, again.x)
    assert not torch.equal(digits.x, other.x)
    for split in (digits, other):
        assert len(split.x) + len(split.x_test) == 1797
        assert torch.bincount(torch.cat([split.y, split.y_test])).tolist() == [
            178, 182, 177, 183, 181, 182, 181, 179, 174, 180
        ]  # fmt: skip
    assert digits.x.min() == 0
    assert digits.x.max() == 1


def test_the_tables_are_those_that_scikit_learn_hands_out():
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_digits(return_X_y=True)
    split, order = data.digits(3), np.random.default_rng(3).permutation(len(x))
    got = [torch.cat(pair) for pair in ((split.x_test, split.x), (split.y_test, split.y))]
    assert torch.equal(got[0], torch.tensor(x[order] / 16, dtype=torch.float32))
    assert torch.equal(got[1], torch.tensor(y[order]))
    x, y = datasets.load_diabetes(return_X_y=True, scaled=False)
    task, order = data.diabetes(3), np.random.default_rng(3).permutation(len(x))
    assert torch.equal(torch.cat([task.y_test, task.y]), torch.tensor(y[order]).float()[:, None])
    # The inputs are standardised: each column is a straight line of what was read.
    got, read = torch.cat([task.x_test, task.x]).numpy(), x[order]
    assert all(np.corrcoef(a, b)[0, 1] > 1 - 1e-9 for a, b in zip(got.T, read.T, strict=True))


def test_reading_a_table_imports_no_other_library():
    lines = (
        "import sys",
        "from bncourse.lab import data",
        "data.digits(), data.diabetes()",
        "assert 'sklearn' not in sys.modules",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


def test_diabetes_is_standardised_by_its_training_part():
    task = data.diabetes()
    assert torch.allclose(task.x.mean(0), torch.zeros(10), atol=1e-5)
    assert torch.allclose(task.x.std(0, correction=0), torch.ones(10), atol=1e-5)
    assert not torch.allclose(task.x_test.mean(0), torch.zeros(10), atol=1e-3)
    assert task.y.shape == (len(task.x), 1)


def test_an_epoch_of_batches_holds_every_example_once():
    x = torch.arange(12)
    seen = torch.cat([rows for rows, _ in islice(data.batches(x, x, 4), 3)])
    assert seen.sort().values.tolist() == list(range(12))
    first, again = (next(data.batches(x, x, 4, seed=3))[0] for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize("size", [0, 13])
def test_a_batch_has_between_one_and_all_examples(size):
    with pytest.raises(ValueError, match=f"between 1 and 12. Received: size={size}"):
        next(data.batches(torch.zeros(12, 1), torch.zeros(12), size))


# --- models and training ----------------------------------------------------------------------


def test_nothing_touches_the_global_random_state(digits, net):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    models.mlp([64, 12, 10], seed=5)
    next(training.sgd_steps(net, data.batches(digits.x, digits.y, 60), cross_entropy, 0.1))
    probes.gradient_pairs(net, cross_entropy, digits.x[:9], digits.y[:9], lr=0.1)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_weights_have_the_size_asked_for():
    by_inputs = models.mlp([400, 300, 10]).linear1.weight
    assert by_inputs.std().item() == pytest.approx(1 / 20, rel=0.02)
    assert models.mlp([400, 300, 10], std=0.7).linear1.weight.std().item() == pytest.approx(
        0.7, rel=0.02
    )
    assert models.mlp([4, 3, 2]).linear1.bias is not None
    assert models.mlp([4, 3, 2], norm=nn.BatchNorm1d).linear1.bias is None


def test_training_learns(digits, net):
    stream = data.batches(digits.x, digits.y, 60)
    losses = list(islice(training.sgd_steps(net, stream, cross_entropy, 1.0), 100))
    assert losses[0] > 2
    assert np.mean(losses[-10:]) < 0.5
    assert training.accuracy(net, digits.x_test, digits.y_test) > 0.85
    assert net.training, "accuracy leaves the mode as it was"


# --- probes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "probe",
    [
        lambda net, x, y: probes.activation(net, "norm2", x),
        lambda net, x, y: probes.activation_percentiles(net, "norm2", [x, x]),
        lambda net, x, y: probes.internal_covariate_shift(net, cross_entropy, x, y, 0.1),
        lambda net, x, y: probes.gradient_cosines(net, cross_entropy, x, y, 0.1),
    ],
)
def test_a_probe_changes_nothing(digits, net, probe):
    state = copy.deepcopy(net.state_dict())
    probe(net, digits.x[:20], digits.y[:20])
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not net.norm2._forward_hooks
    assert net.training


def test_a_probe_that_fails_leaves_no_hook(net):
    with pytest.raises(RuntimeError):
        probes.activation(net, "norm2", torch.zeros(5, 63))
    assert not net.norm2._forward_hooks


def test_a_probe_measures_in_the_mode_of_the_model(digits, net):
    x = digits.x[:20]
    in_training = probes.activation(net, "norm1", x)
    assert torch.allclose(in_training.mean(0), torch.zeros(12), atol=1e-5)
    net.eval()
    assert torch.equal(probes.activation(net, "norm1", x), net.linear1(x) / (1 + 1e-5) ** 0.5)


@pytest.mark.equation("S3")
def test_percentiles_follow_a_training_that_the_batches_drive(digits, net):
    def steps():
        stream = data.batches(digits.x, digits.y, 60)
        yield digits.x[:50]
        for _ in islice(training.sgd_steps(net, stream, cross_entropy, 0.3), 3):
            yield digits.x[:50]

    start = np.percentile(probes.activation(net, "norm2", digits.x[:50]), [10, 90])
    rows = probes.activation_percentiles(net, "norm2", steps(), q=(10, 90))
    assert rows.shape == (4, 2)
    np.testing.assert_allclose(rows[0], start, rtol=1e-6)
    assert len(np.unique(rows[:, 0])) == 4, "every row is of another step"


@pytest.mark.equation("S4")
def test_the_drift_is_the_mean_over_percentiles_and_units():
    before = np.zeros((3, 2))
    after = np.array([[1.0, -1.0], [2.0, 0.0], [3.0, -5.0]])
    assert probes.percentile_drift(before, after) == 2


@pytest.mark.equation("S5")
def test_the_shift_of_two_weights_by_hand():
    """y = w2 w1 x: the gradient of w2 is (y - t) w1 x, before and after w1 has stepped."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)).double()
    w1, w2, x, t, lr = 1.5, -0.5, 2.0, 1.0, 0.1
    with torch.no_grad():
        net[0].weight.fill_(w1)
        net[1].weight.fill_(w2)
    new_w1 = w1 - lr * (w2 * w1 * x - t) * w2 * x
    before, after = ((w2 * w * x - t) * w * x for w in (w1, new_w1))
    point, target = torch.tensor([[x]]).double(), torch.tensor([[t]]).double()

    def loss_fn(y, t):
        return ((y - t) ** 2).sum() / 2

    got = probes.internal_covariate_shift(net, loss_fn, point, target, lr)
    np.testing.assert_allclose(got, [0, abs(after - before)])
    cosines = probes.gradient_cosines(net, loss_fn, point, target, lr)
    np.testing.assert_allclose(cosines, [1, np.sign(after * before)])


def test_a_step_of_length_zero_shifts_nothing(digits, net):
    x, y = digits.x[:20], digits.y[:20]
    assert (probes.internal_covariate_shift(net, cross_entropy, x, y, lr=0.0) == 0).all()


def test_a_trace_starts_at_the_untrained_net_and_repeats():
    trace = experiments.shift_trace.__wrapped__(True, seed=0, steps=3)
    again = experiments.shift_trace.__wrapped__(True, seed=0, steps=3)
    assert trace.steps.tolist() == [0, 1, 2, 3]
    for one, other in zip(trace, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert trace.percentiles.shape == (4, 3, 100)
    assert trace.shift.shape == trace.cosine.shape == (4, 4)
    first = experiments.AtLevel(*trace.levels[0])
    assert 1.8 < first.loss < 2.2
    # The looks at the first level are among the steps: the same probe gave the same numbers.
    inside = abs(trace.loss - 2) < 0.2
    assert first.looks == inside.sum() > 0
    assert first.step == np.median(trace.steps[inside])
    assert first.length == pytest.approx(np.median(trace.shift[inside, 2]), rel=1e-6)
    assert first.cosine == pytest.approx(np.median(trace.cosine[inside, 2]), rel=1e-6)
    assert np.isnan(trace.levels[-1][:5]).all(), "three steps do not get to the last level"


# --- least squares, depth, toy ----------------------------------------------------------------


@pytest.mark.equation("W6")
def test_the_best_learning_rate_gives_the_rate(rng):
    x = rng.standard_normal((30, 4)) * [1, 2, 3, 4]
    target = rng.standard_normal(4)
    condition, lr, rate = ls.spectrum(x)
    way = ls.descend(x, x @ target, target + rng.standard_normal(4), lr, steps=200)
    errors = np.linalg.norm(way - target, axis=1)
    assert errors[-1] / errors[-2] == pytest.approx(rate, rel=1e-3)
    assert rate == pytest.approx((condition - 1) / (condition + 1))


def test_standardise_keeps_a_constant_column_finite(rng):
    x = np.column_stack([rng.standard_normal(9), np.full(9, 7.0)])
    assert np.allclose(ls.standardise(x).std(axis=0), [1, 0])


@pytest.mark.equation("W9")
def test_whitened_features_have_the_identity_for_covariance(rng):
    z = ls.whiten(rng.standard_normal((50, 4)) @ rng.standard_normal((4, 4)) + 3)
    assert np.allclose(z.T @ z / 50, np.eye(4))


@pytest.mark.equation("W3")
def test_the_signal_grows_as_the_recursion_says():
    runs = [depth.second_moments(100, 4, gain=3, seed=seed) for seed in range(30)]
    np.testing.assert_allclose(np.mean(runs, axis=0), 3 * 1.5 ** np.arange(4), rtol=0.1)


# --- the place of batch norm, and the bias it kills ---------------------------------------------


def kinds(net):
    return [type(part).__name__ for part in net]


def test_batch_norm_stands_where_it_is_asked_for():
    assert "BatchNorm1d" not in kinds(placement.deep_net("without", "ReLU", seed=0))
    assert kinds(placement.deep_net("before", "ReLU", seed=0))[:3] == [
        "Linear", "BatchNorm1d", "ReLU"
    ]  # fmt: skip
    after = placement.deep_net("after", "sigmoid", seed=0)
    assert kinds(after)[:3] == ["Linear", "Sigmoid", "BatchNorm1d"]
    assert kinds(after).count("BatchNorm1d") == 8
    assert kinds(after)[-1] == "Linear"


def test_all_places_start_from_the_same_weights():
    nets = [placement.deep_net(place, "ReLU", seed=3) for place in placement.PLACES]
    first = nets[0][0].weight
    assert all(torch.equal(net[0].weight, first) for net in nets)


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "place"), placement.BEST_RATE)
def test_each_place_is_shown_at_its_best_rate(activation, place):
    runs = {lr: placement.hidden(place, activation, lr) for lr in placement.RATES}
    losses = {lr: np.median([run.loss for run in found]) for lr, found in runs.items()}
    finite = {lr: loss for lr, loss in losses.items() if np.isfinite(loss)}
    assert min(finite, key=finite.get) == placement.BEST_RATE[activation, place]


@pytest.mark.slow
@pytest.mark.parametrize("label", ["large weights", "small weights, batch norm"])
def test_each_start_that_learns_is_shown_at_its_best_rate(label):
    start = why_normalise.STARTS[label]
    found = {lr: np.median(experiments.deep_accuracies(*start, lr)) for lr in why_normalise.RATES}
    assert found[why_normalise.BEST_RATE[label]] == max(found.values())


@pytest.mark.slow
@pytest.mark.parametrize("lr", why_normalise.RATES)
def test_small_weights_learn_at_no_rate(lr):
    start = why_normalise.STARTS["small weights"]
    assert experiments.deep_accuracies(*start, lr, (0,))[0] < 0.2


@pytest.mark.equation("F16")
def test_the_floor_of_a_normalised_output_is_that_of_its_targets():
    t = data.diabetes(0).y.numpy().astype(float)
    drawn = np.random.default_rng(1).choice(t[:, 0], (4000, 4))

    def error(gamma, beta):
        """The least error of any order of the outputs: each follows its target exactly."""
        mean, std = drawn.mean(1, keepdims=True), drawn.std(1, keepdims=True)
        return ((beta + gamma * (drawn - mean) / std - drawn) ** 2).mean() / t.var()

    best = error(drawn.std(1).mean(), drawn.mean())
    assert best == pytest.approx(placement.output_floor(4), rel=0.05)
    assert error(t.std(), t.mean()) >= best


def test_a_redundant_bias_gets_rounding_noise_for_a_gradient():
    found = dead_bias.drift.__wrapped__("SGD", seed=0, steps=5)
    assert 0 < found.gradient.max() < 1e-7
    assert found.distance[-1] < 1e-7
    assert dead_bias.drift.__wrapped__("Adam", seed=0, steps=5).distance[-1] > 1e-4


@pytest.mark.equation("S2")
def test_the_weights_have_mean_one_over_training():
    x, _ = shifted.sample(0, shifted.TRAIN, 200_000)
    assert shifted.weight(x).mean() == pytest.approx(1, rel=0.02)


# --- the code of the chapters -----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_both_frameworks_standardise_alike(rng):
    train, test = (3 + 2 * rng.standard_normal((n, 4)).astype(np.float32) for n in (40, 5))
    mean, std = train.mean(axis=0), train.std(axis=0)
    by_torch = load("why_normalise_torch").standardised_inputs(*map(torch.tensor, (train, test)))
    by_keras = load("why_normalise_keras").standardised_inputs(train, test)
    for got in (by_torch, by_keras):
        for part, x in zip(got, (train, test), strict=True):
            np.testing.assert_allclose(part.numpy(), (x - mean) / std, atol=1e-4)


@pytest.mark.equation("W11")
@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_only_the_centring_inside_knows_that_the_mean_moves(framework):
    # Keras runs on torch here, so torch can ask both for their gradient.
    if framework == "keras":
        keras = pytest.importorskip("keras")
        if keras.config.backend() != "torch":
            pytest.skip("the gradient is asked of torch")
    code = load(f"why_normalise_{framework}")
    for centre, expected in ((code.centre_inside, 0.0), (code.centre_outside, -2.0)):
        b = torch.zeros((), requires_grad=True)
        x_hat = centre(torch.tensor([-1.0, 1.0]) + b)
        loss = ((x_hat - torch.tensor([1.0, 3.0])) ** 2).mean() / 2
        # Nothing may depend on b at all: then there is no graph.
        (grad,) = torch.autograd.grad(loss, b)
        assert grad.item() == pytest.approx(expected, abs=1e-6)


def test_the_torch_hook_agrees_with_the_probe(digits, net):
    x = digits.x[:20]
    state = copy.deepcopy(net.state_dict())
    got = load("covariate_shift_torch").output_of(net, net.norm2, x)
    assert torch.equal(got, probes.activation(net, "norm2", x))
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_keras_model_hands_out_what_the_layer_says(rng):
    import keras

    layer = keras.layers.BatchNormalization(name="watched")
    model = keras.Sequential([keras.Input((3,)), layer, keras.layers.Dense(2)])
    x = (5 + rng.standard_normal((20, 3))).astype(np.float32)
    state = [weight.copy() for weight in model.get_weights()]
    got = keras.ops.convert_to_numpy(load("covariate_shift_keras").output_of(model, "watched", x))
    np.testing.assert_allclose(got.mean(axis=0), 0, atol=1e-4)
    for before, after in zip(state, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
