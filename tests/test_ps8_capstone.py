"""Problem set 8: the oracles against torch, and what its notebook says of a net."""

import copy

import numpy as np
import pytest
import torch
from solutions_ps4_pytorch import CORRECT as LAYERS
from solutions_ps8_capstone import CORRECT, BatchNorm, net_by_list
from torch import nn
from torch.nn.functional import cross_entropy

from bncourse import check
from bncourse.attempt import attempt
from bncourse.check import CheckFailed
from bncourse.compare import compare
from bncourse.exercise import draw_cases
from bncourse.reference import residual
from bncourse.registry import find

BY_OPTIMIZER = CORRECT["train"][0]
BLOCKS, RUNS = CORRECT["ResidualBlock"], CORRECT["train"]
SOLUTIONS = [(name, each) for name, solutions in CORRECT.items() for each in solutions]


def draw(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def leaf(array):
    return torch.tensor(array, requires_grad=True)


# --- the oracles ------------------------------------------------------------------------------


@pytest.mark.equation("H7")
@pytest.mark.parametrize("n", [4, 9])
def test_a_residual_block_is_that_of_torch(n):
    x, dy, w1, w2 = draw((n, 6), (n, 6), (6, 6), (6, 6))
    gammas, betas = draw((2, 6), (2, 6), seed=1)
    block = residual.residual(
        residual.composed(
            residual.linear_map(w1),
            residual.norm_of_batch(gammas[0], betas[0]),
            residual.rectified,
            residual.linear_map(w2),
            residual.norm_of_batch(gammas[1], betas[1]),
        )
    )
    y, backward = block(x)
    dx, gradients = backward(dy)
    leaves = [leaf(each) for each in (x, w1, gammas[0], betas[0], w2, gammas[1], betas[1])]
    z = nn.functional.batch_norm(leaves[0] @ leaves[1].T, None, None, *leaves[2:4], training=True)
    z = nn.functional.batch_norm(z.relu() @ leaves[4].T, None, None, *leaves[5:], training=True)
    expected = leaves[0] + z
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-9, atol=1e-9)
    for ours, theirs in zip(
        (dx, *gradients), torch.autograd.grad(expected, leaves, torch.tensor(dy)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)


def test_the_other_maps_are_those_of_torch():
    x, dy, scale, shift = draw((5, 3), (5, 3), 3, 3)
    leaves = [leaf(each) for each in (x, scale, shift)]
    expected = leaves[1] * (leaves[0] - leaves[0].mean(0)) + leaves[2]
    y, backward = residual.composed(residual.centring(scale, shift), residual.identity)(x)
    dx, gradients = backward(dy)
    np.testing.assert_allclose(y, expected.detach())
    theirs = torch.autograd.grad(expected, leaves, torch.tensor(dy))
    for ours, other in zip((dx, *gradients), theirs, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-9, atol=1e-12)


@pytest.mark.equation("H8")
def test_descent_is_that_of_torch():
    x, weight, bias = draw((6, 4), (3, 4), 3)
    y = np.arange(6) % 3
    batches = [(x[:4], y[:4]), (x[4:], y[4:])] * 2
    losses, parameters = residual.descend(residual.linear_map, [weight, bias], batches, 0.3)
    model = nn.Linear(4, 3).double()
    model.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for (rows, labels), loss in zip(batches, losses, strict=True):
        expected = cross_entropy(model(torch.tensor(rows)), torch.tensor(labels))
        assert loss == pytest.approx(expected.item(), rel=1e-9)
        optimizer.zero_grad()
        expected.backward()
        optimizer.step()
    for ours, theirs in zip(parameters, model.parameters(), strict=True):
        np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-9)


# --- the exercises ----------------------------------------------------------------------------


@pytest.mark.parametrize("solution", BLOCKS, ids=lambda each: each.__name__)
def test_two_zeros_in_a_row_never_learn_and_one_does(solution):
    """The pencil question of exercise 1."""
    (x,) = draw((8, 6))
    for also_zero, learns in ((False, True), (True, False)):
        block = solution(6, BatchNorm, zero_init=True).double()
        if also_zero:
            nn.init.zeros_(block.linear2.weight)
        for _ in range(3):
            block.zero_grad()
            (block(torch.tensor(x)) ** 3).sum().backward()
            with torch.no_grad():
                for parameter in block.parameters():
                    parameter -= 0.01 * parameter.grad
        assert bool(block.norm2.weight.abs().max() > 0) is learns


@pytest.mark.parametrize("solution", RUNS, ids=lambda each: each.__name__)
def test_a_run_can_be_repeated_and_touches_nothing_else(solution):
    x, y = torch.randn(13, 5), torch.arange(13) % 3
    model = net_by_list(5, 4, 1, 3, BLOCKS[0]).eval()
    twin, state = copy.deepcopy(model), torch.get_rng_state()
    first = [float(loss) for loss in solution(model, x, y, 7, 0.1, 4, seed=3)]
    second = [float(loss) for loss in solution(twin, x, y, 7, 0.1, 4, seed=3)]
    assert first == second
    assert len(first) == 7
    assert not model.training
    assert torch.equal(torch.get_rng_state(), state)


def net_on(layer, inputs, width, blocks, classes, block, normed):
    """Return the net of exercise 3 on a layer."""
    norms = [layer(width)] if normed else []
    middle = [block(width, layer if normed else None) for _ in range(blocks)]
    first = nn.Linear(inputs, width, bias=not normed)
    return nn.Sequential(first, *norms, *middle, nn.Linear(width, classes))


@pytest.mark.parametrize("layer", LAYERS["BatchNorm"], ids=lambda each: each.__name__)
def test_a_layer_of_set_4_can_be_brought_along(layer):
    def deep_net(inputs, width, blocks, classes, block, normed=True):
        return net_on(layer, inputs, width, blocks, classes, block, normed)

    check(deep_net)


def is_right(exercise, obj, names):
    """Return whether a solution is right in some cases, without asking why not."""
    drawn = draw_cases(exercise, 0)
    for name, case in drawn.items():
        if name in names:
            made = attempt(exercise, obj, case)
            expected = exercise.reference(case.inputs)
            if made.error or made.rules or compare(exercise, case, made.outputs, expected):
                return False
    return True


USED_HERE = ("two steps, then eval, (N, C)", "a new layer", "deepcopy after a step")
# Nothing here asks how many batches a layer has seen, or for what a linear map has handed on.
UNSEEN_HERE = {
    "batches not counted",
    "examples counted as batches",
    "count as a float",
    "count in int32",
    "num_batches_tracked missing",
    "input changed in place",
}
WRONG_HERE = [
    mistake
    for mistake in find("BatchNorm").mistakes
    if mistake.name not in UNSEEN_HERE and not is_right(find("BatchNorm"), mistake.obj, USED_HERE)
]


@pytest.mark.parametrize("mistake", WRONG_HERE, ids=lambda each: each.name)
def test_a_layer_of_set_4_that_is_wrong_for_features_does_not_pass(mistake):
    def deep_net(inputs, width, blocks, classes, block, normed=True):
        return net_on(mistake.obj, inputs, width, blocks, classes, block, normed)

    # Those that train take time, and are not needed to tell.
    names = [name for name in draw_cases(find("deep_net"), 0) if "three starts" not in name]
    assert not is_right(find("deep_net"), deep_net, names)


def test_torchs_own_layer_is_noticed():
    def deep_net(inputs, width, blocks, classes, block, normed=True):
        return net_on(nn.BatchNorm1d, inputs, width, blocks, classes, block, normed)

    with pytest.raises(CheckFailed, match="It calls a ready-made"):
        check(deep_net)


def test_a_block_without_forward_is_told_that_it_starts_right():
    class ResidualBlock(CORRECT["ResidualBlock"][0]):
        def forward(self, x):
            raise NotImplementedError

    with pytest.raises(CheckFailed) as failure:
        check(ResidualBlock)
    assert "forward still raises NotImplementedError: write it next." in str(failure.value)
    assert "__init__ is right wherever" in str(failure.value)


def test_a_net_without_a_layer_is_told_what_is_right():
    class BatchNorm(LAYERS["BatchNorm"][0]):
        def forward(self, x):
            raise NotImplementedError

    def deep_net(inputs, width, blocks, classes, block, normed=True):
        return net_on(BatchNorm, inputs, width, blocks, classes, block, normed)

    with pytest.raises(CheckFailed) as failure:
        check(deep_net)
    told = " ".join(str(failure.value).split())
    assert "BatchNorm in eval mode still raises NotImplementedError: write it next." in told
    assert "All results that are there are right wherever it does not raise." in told


def test_a_diagnosis_leaves_the_random_state_alone():
    # Looks like a known mistake at first and is another one, so that pairs of mistakes are tried.
    def train(model, x, y, steps, lr, batch_size, seed):
        return BY_OPTIMIZER(model, x, y, steps, lr / len(x), batch_size, seed)

    state = torch.get_rng_state()
    with pytest.raises(CheckFailed):
        check(train)
    assert torch.equal(torch.get_rng_state(), state)


def block(made="pass", keep="self.normed", y="x + z"):
    """Return the source of a ResidualBlock that keeps its options and ends in its way."""
    return f"""
class ResidualBlock(nn.Module):
    def __init__(self, width, norm, zero_init=False):
        super().__init__()
        normed = {keep} = norm is not None
        self.linear1 = nn.Linear(width, width, bias=not normed)
        self.linear2 = nn.Linear(width, width, bias=not normed)
        for each in (self.linear1, self.linear2):
            each.weight.data = (2 / width) ** 0.5 * torch.randn(width, width)
            if not normed:
                each.bias.data.zero_()
        self.norm1, self.norm2 = (norm(width), norm(width)) if normed else (None, None)
        if zero_init:
            (self.norm2 if normed else self.linear2).weight.data.zero_()
        {made}

    def forward(self, x):
        z = self.linear1(x)
        z = torch.relu(self.norm1(z) if {keep} else z)
        z = self.linear2(z)
        z = self.norm2(z) if {keep} else z
        return {y}
"""


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (block(keep="ResidualBlock.normed"), "NoneType"),
        (block(made="if norm: self.norm2.eval()"), "A new block must be in training mode"),
        (block(y="x + z if self.train(not self.normed) else z"), "forward changes the mode"),
        (block(y="(x if self.training else x.detach()) + z"), "dx in eval is off"),
        (block(y="(x + z).clamp(-100, 100)"), 'Case "large values and gradients"'),
        (
            block(
                made="g = torch.Generator(); g.seed(); self.linear1.weight.data = "
                "(2 / width) ** 0.5 * torch.randn(width, width, generator=g)"
            ),
            "linear1.weight starts with other numbers though torch's random state is the same",
        ),
        (
            block(made="self.kept = KEPT", y="KEPT.append(z.sum()) or x + z")
            .replace("self.kept = KEPT", "pass")
            .replace("KEPT.append(z.sum()) or", "(KEPT.append(z.sum()) if self.training else 0) or")
            .replace("class Res", "KEPT = []\n\n\nclass Res"),
            "its graph is still there",
        ),
    ],
)
def test_what_a_block_leaves_behind_is_told(source, said):
    space = {"torch": torch, "nn": nn}
    exec(source, space)
    with pytest.raises(CheckFailed) as failure:
        check(space["ResidualBlock"])
    assert said in " ".join(str(failure.value).split())


def test_a_seed_of_few_numbers_is_told():
    def few(model, x, y, steps, lr, batch_size, seed):
        return BY_OPTIMIZER(model, x, y, steps, lr, batch_size, seed % 10)

    with pytest.raises(CheckFailed) as failure:
        check(few, "train")
    assert "Some seeds give the same batches." in " ".join(str(failure.value).split())


def test_the_block_of_these_tests_is_right(capsys):
    space = {"torch": torch, "nn": nn}
    exec(block(), space)
    check(space["ResidualBlock"])
    assert "correct in all" in capsys.readouterr().out


def told(obj, name):
    with pytest.raises(CheckFailed) as failure:
        check(obj, name)
    return " ".join(str(failure.value).split())


def test_a_default_of_zero_init_is_no_block_that_is_always_zero():
    class ResidualBlock(BLOCKS[0]):
        def __init__(self, width, norm, zero_init=True):
            super().__init__(width, norm, zero_init)

    text = told(ResidualBlock, "ResidualBlock")
    assert "The default of zero_init must be False." in text
    assert "Likely cause" not in text


def test_a_second_pass_in_a_step_is_told():
    def train(model, x, y, steps, lr, batch_size, seed):
        handle = model.register_forward_pre_hook(again)
        losses = BY_OPTIMIZER(model, x, y, steps, lr, batch_size, seed)
        handle.remove()
        return losses

    def again(model, args):
        model.forward(*args)

    text = told(train, "train")
    assert "passes through the model is off" in text
    assert "Likely cause" not in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: 1.5 * x, "The model is given examples that are not those of x"),
        (lambda x: x.float().to(x.dtype), "The model is given examples that are not those of x"),
    ],
)
def test_other_examples_than_those_of_x_are_told(change, said):
    def train(model, x, y, steps, lr, batch_size, seed):
        return BY_OPTIMIZER(model, change(x), y, steps, lr, batch_size, seed)

    assert said in told(train, "train")


def test_batches_of_other_sizes_are_not_called_examples_that_come_twice():
    def train(model, x, y, steps, lr, batch_size, seed):
        if 1 < len(x) % batch_size < batch_size < len(x):
            # The last batch, of two, joins another one.
            batch_size += len(x) % batch_size
        return BY_OPTIMIZER(model, x, y, steps, lr, batch_size, seed)

    text = told(train, "train")
    assert "sizes of the batches is off" in text
    assert "more than once" not in text


def test_a_list_of_losses_that_the_next_call_fills_again_is_told():
    kept = []

    def train(model, x, y, steps, lr, batch_size, seed):
        kept[:] = BY_OPTIMIZER(model, x, y, steps, lr, batch_size, seed)
        return kept

    assert "A second call changes what the first one returned." in told(train, "train")


def test_a_long_gradient_that_is_cut_is_seen():
    def train(model, x, y, steps, lr, batch_size, seed):
        hooks = [p.register_hook(lambda g: g.clamp(-500, 500)) for p in model.parameters()]
        losses = BY_OPTIMIZER(model, x, y, steps, lr, batch_size, seed)
        for hook in hooks:
            hook.remove()
        return losses

    assert 'Case "steep slopes"' in told(train, "train")


def deep(change, layer=BatchNorm):
    """Return a deep_net on a layer, after a change."""

    def deep_net(inputs, width, blocks, classes, block, normed=True):
        net = net_on(layer, inputs, width, blocks, classes, block, normed)
        change(net)
        return net

    return deep_net


def test_a_scale_in_the_blocks_that_is_set_is_told():
    def change(net):
        for part in net:
            if getattr(part, "norm", None):
                nn.init.zeros_(part.norm.weight)

    assert "weight of a norm in the blocks does not start as" in told(deep(change), "deep_net")


def test_a_graph_that_a_list_keeps_in_training_only_is_told():
    kept = []

    class Keeping(BatchNorm):
        def forward(self, x):
            y = super().forward(x)
            if self.training and torch.is_grad_enabled():
                kept.append(y.mean())
            return y

    assert "its graph is still there" in told(deep(lambda net: None, Keeping), "deep_net")
