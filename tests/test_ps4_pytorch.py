"""Problem set 4: the oracles against torch, the correct solutions against torch's own layer."""

import copy
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from solutions_ps4_pytorch import CORRECT
from torch import nn
from unseen import written

from bncourse.attempt import attempt
from bncourse.check import CheckFailed, check
from bncourse.exercise import draw_cases
from bncourse.reference import layers
from bncourse.registry import find
from bncourse.trial.sample_class import source_of

SHAPES = [(7, 3), (4, 3, 5), (4, 3, 2, 5), (2, 3, 2, 3, 2)]
NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
OPTIONS = [
    {},
    {"momentum": None},
    {"momentum": 0.7, "eps": 0.2},
    {"affine": False},
    {"track_running_stats": False},
    {"affine": False, "track_running_stats": False, "momentum": None},
]
LAYERS = CORRECT["BatchNorm"]
FUNCTIONS = CORRECT["BatchNormFunction"]
SOLUTIONS = [(name, each) for name, solutions in CORRECT.items() for each in solutions]

batches = st.builds(
    lambda seed, shape, offset, scale: (
        offset + scale * np.random.default_rng(seed).standard_normal(shape)
    ),
    st.integers(0, 2**32 - 1),
    st.one_of(
        st.tuples(st.integers(2, 6), st.integers(1, 4)),
        st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(2, 4)),
        st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(2, 3), st.integers(1, 3)),
    ),
    st.sampled_from([0.0, -3.0, 1e3]),
    st.sampled_from([1.0, 1e-2, 30.0]),
)
brief = settings(max_examples=30, deadline=None)


def draw(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def filled(norm, seed=0):
    """Give a layer a state away from 0 and 1, and float64."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in norm.double().state_dict().items():
        if name != "num_batches_tracked":
            value.copy_(0.5 + torch.rand(value.shape, generator=generator, dtype=torch.float64))
    return norm


def same_state(norm, other):
    state, other_state = norm.state_dict(), other.state_dict()
    assert state.keys() == other_state.keys()
    for name, value in state.items():
        torch.testing.assert_close(value, other_state[name])


# --- the oracles ------------------------------------------------------------------------------


@pytest.mark.equation("L1")
@brief
@given(batches, st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([1e-5, 0.3]))
def test_a_training_step_is_that_of_torch(x, momentum, eps):
    norm = filled(NORMS[x.ndim](x.shape[1], eps=eps, momentum=momentum))
    state = [value.numpy().copy() for value in norm.state_dict().values()][:4]
    y, mean, var = layers.layer_training_step(x, *state, new_weight=momentum, eps=eps)
    expected = norm(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(mean, norm.running_mean, rtol=1e-9)
    np.testing.assert_allclose(var, norm.running_var, rtol=1e-6)
    infer = layers.layer_inference(x, *state[:2], mean, var, eps=eps)
    expected = norm.eval()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(infer, expected, rtol=1e-7, atol=1e-6 * np.abs(expected).max())


@pytest.mark.equation("L2")
@pytest.mark.parametrize("momentum", [None, 0.3])
def test_the_weight_of_the_newest_batch_is_that_of_torch(momentum):
    norm = nn.BatchNorm1d(3, momentum=momentum).double()
    mean, var, means = np.zeros(3), np.ones(3), []
    for step, x in enumerate(draw(*[(5, 3)] * 4), start=1):
        norm(x)
        _, mean, var = layers.layer_training_step(
            x.numpy(),
            np.ones(3),
            np.zeros(3),
            mean,
            var,
            new_weight=layers.new_weight(momentum, step),
            eps=1e-5,
        )
        means.append(x.mean(0))
        np.testing.assert_allclose(mean, norm.running_mean)
        np.testing.assert_allclose(var, norm.running_var)
    if momentum is None:
        np.testing.assert_allclose(mean, torch.stack(means).mean(0))


@pytest.mark.equation("L3")
@brief
@given(batches, st.sampled_from([1e-3, 0.3]))
def test_the_double_backward_is_that_of_torch(x, eps):
    x = x / np.abs(x).max()
    rng = np.random.default_rng(0)
    dy, v_x = rng.standard_normal((2, *x.shape))
    gamma, v_gamma, v_beta = rng.standard_normal((3, x.shape[1]))
    leaves = [torch.tensor(array, requires_grad=True) for array in (dy, x, gamma)]
    beta = torch.zeros_like(leaves[2], requires_grad=True)
    y = nn.functional.batch_norm(leaves[1], None, None, leaves[2], beta, training=True, eps=eps)
    first = torch.autograd.grad(y, (*leaves[1:], beta), leaves[0], create_graph=True)
    for ours, theirs in zip(layers.layer_backward(dy, x, gamma, eps=eps), first, strict=True):
        np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-6, atol=1e-6)
    vectors = [torch.tensor(v) for v in (v_x, v_gamma, v_beta)]
    second = torch.autograd.grad(first, leaves, vectors)
    ours = layers.layer_double_backward(v_x, v_gamma, v_beta, dy, x, gamma, eps=eps)
    for mine, theirs in zip(ours, second, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-6 * theirs.abs().max())


@pytest.mark.equation("L6")
@brief
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=5),
    st.sampled_from([0.0, 1e5]),
    st.integers(0, 2**32 - 1),
)
def test_pooled_statistics_are_those_of_all_examples(sizes, offset, seed):
    rng = np.random.default_rng(seed)
    parts = [offset + rng.normal(rng.normal(), 2, (size, 3)) for size in sizes]
    count, mean, var = layers.pooled_statistics(parts)
    whole = np.concatenate(parts)
    assert count == len(whole)
    np.testing.assert_allclose(mean, whole.mean(axis=0))
    np.testing.assert_allclose(var, whole.var(axis=0), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_the_channel_axis_is_free(axis):
    x, dy = np.random.default_rng(0).standard_normal((2, 4, 3, 5, 2))
    channels = x.shape[axis]
    state = np.random.default_rng(1).uniform(0.5, 2, (4, channels))
    moved = np.moveaxis(x, axis, 1)
    expected = layers.layer_training_step(moved, *state, new_weight=0.2, eps=0.1)
    got = layers.layer_training_step(x, *state, new_weight=0.2, eps=0.1, axis=axis)
    np.testing.assert_allclose(np.moveaxis(got[0], axis, 1), expected[0])
    np.testing.assert_allclose(got[1:], expected[1:])
    dx = layers.layer_backward(dy, x, state[0], eps=0.1, axis=axis)[0]
    expected_dx = layers.layer_backward(np.moveaxis(dy, axis, 1), moved, state[0], eps=0.1)[0]
    np.testing.assert_allclose(np.moveaxis(dx, axis, 1), expected_dx)


def test_one_value_per_channel_has_no_unbiased_variance():
    state = np.ones((4, 3))
    with pytest.raises(ValueError, match="more than one value per channel"):
        layers.layer_training_step(np.ones((1, 3)), *state, new_weight=0.1, eps=1e-5)


# --- BatchNormFunction ------------------------------------------------------------------------


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_a_function_passes_gradcheck_and_gradgradcheck(function, eps):
    leaves = [t.requires_grad_() for t in draw((5, 3), (3,), (3,))]
    assert torch.autograd.gradcheck(lambda *args: function.apply(*args, eps), leaves)
    assert torch.autograd.gradgradcheck(lambda *args: function.apply(*args, eps), leaves)


# --- BatchNorm --------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_layer_lives_as_torchs_does(layer, shape, options):
    theirs = filled(NORMS[len(shape)](shape[1], **options))
    mine = layer(shape[1], **options).double()
    mine.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(mine.state_dict())
    for training in (True, True, False, True):
        x, dy = draw(shape, shape, seed=int(training))
        results = []
        for norm in (mine.train(training), theirs.train(training)):
            leaf = x.clone().requires_grad_()
            y = norm(leaf)
            results.append([y, *torch.autograd.grad(y, (leaf, *norm.parameters()), dy)])
        torch.testing.assert_close(*results)
        same_state(mine, theirs)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_a_layer_passes_gradcheck_and_gradgradcheck(layer, training):
    norm = filled(layer(3, momentum=0.0)).train(training)
    (x,) = draw((4, 3, 2))
    x.requires_grad_()
    assert torch.autograd.gradcheck(norm, x)
    assert torch.autograd.gradgradcheck(norm, x)


@pytest.mark.equation("L5")
@pytest.mark.parametrize("layer", LAYERS)
def test_bfloat16_under_autocast_is_as_in_torch(layer):
    mine, theirs = layer(3), nn.BatchNorm2d(3)
    x = (draw((4, 3, 6, 5))[0] * 3 + 5).bfloat16()
    for training in (True, False):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            results = [norm.train(training)(x) for norm in (mine, theirs)]
        assert results[0].dtype == results[1].dtype == torch.bfloat16
        torch.testing.assert_close(*results)
        same_state(mine, theirs)
        assert mine.running_var.dtype == torch.float32


@pytest.mark.parametrize("layer", LAYERS)
def test_channels_last_goes_in_and_out(layer):
    x = draw((2, 3, 4, 5))[0].to(memory_format=torch.channels_last)
    for training in (True, False):
        norm = layer(3).double().train(training)
        assert norm(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_can_be_copied_after_a_step(layer):
    norm = layer(3).double()
    norm(draw((5, 3))[0].requires_grad_()).sum().backward()
    same_state(copy.deepcopy(norm), norm)


@pytest.mark.parametrize("layer", [*LAYERS, nn.BatchNorm1d])
def test_one_value_per_channel_is_refused_in_training_only(layer):
    x = torch.ones(1, 3)
    with pytest.raises(ValueError, match="value per channel"):
        layer(3)(x)
    assert layer(3).eval()(x).shape == (1, 3)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_layer_does_the_same():
    layer = LAYERS[0]
    plain, (x,) = filled(layer(3, momentum=0.3)), draw((5, 3, 4))
    compiled = torch.compile(copy.deepcopy(plain))
    for training in (True, False):
        torch.testing.assert_close(compiled.train(training)(x), plain.train(training)(x))
    torch.testing.assert_close(compiled.running_var, plain.running_var)


# --- fold_conv_bn, recalibrate ----------------------------------------------------------------


@pytest.mark.equation("L7")
@pytest.mark.parametrize("fold", CORRECT["fold_conv_bn"])
def test_folding_keeps_the_output_as_torchs_folding_does(fold):
    with torch.random.fork_rng():
        conv = nn.Conv2d(4, 6, 3, padding=1, stride=2, groups=2).eval()
    norm = filled(nn.BatchNorm2d(6)).float().eval()
    folded, theirs = fold(conv, norm), nn.utils.fuse_conv_bn_eval(conv, norm)
    torch.testing.assert_close(folded.weight, theirs.weight)
    torch.testing.assert_close(folded.bias, theirs.bias)
    x = draw((2, 4, 7, 6))[0].float()
    torch.testing.assert_close(folded(x), norm(conv(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("recalibrate", CORRECT["recalibrate"])
def test_one_batch_recalibrates_to_its_own_statistics(recalibrate):
    model = nn.Sequential(filled(nn.BatchNorm1d(3))).eval()
    (x,) = draw((2000, 3))
    recalibrate(model, [x])
    torch.testing.assert_close(model[0].running_mean, x.mean(0))
    torch.testing.assert_close(model[0].running_var, x.var(0), rtol=2e-3, atol=0)


# --- the check --------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize(("name", "solution"), SOLUTIONS)
def test_the_check_takes_a_device(name, solution, device, capsys):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU that torch can use")
    check(solution, name, device=device)
    assert "correct in all" in capsys.readouterr().out


def message(obj, name):
    with pytest.raises(CheckFailed) as failure:
        check(obj, name)
    return str(failure.value)


def test_a_function_in_place_of_a_class_is_named():
    text = message(lambda x, gamma, beta, eps: x, "BatchNormFunction")
    assert "must be a subclass of torch.autograd.Function" in text


def test_wrong_constructor_arguments_are_named():
    class BatchNorm(nn.Module):
        def __init__(self, features):
            super().__init__()

    assert "must be called as BatchNorm(num_features, eps=1e-05" in message(BatchNorm, "BatchNorm")


def test_a_layer_that_is_no_module_is_named():
    class BatchNorm:
        def __init__(
            self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True
        ):
            pass

    assert "must be a torch.nn.Module" in message(BatchNorm, "BatchNorm")


def test_torchs_own_layer_is_flagged():
    class BatchNorm(nn.BatchNorm1d):
        def _check_input_dim(self, input):
            pass

    assert "ready-made torch.nn.functional.batch_norm" in message(BatchNorm, "BatchNorm")


def test_torchs_own_folding_is_flagged():
    def fold_conv_bn(conv, bn):
        return nn.utils.fuse_conv_bn_eval(conv, bn)

    assert "ready-made torch.nn.utils.fusion" in message(fold_conv_bn, "fold_conv_bn")


def test_parameters_that_are_not_registered_are_named():
    mistake = next(m for m in find("BatchNorm").mistakes if m.name == "parameters as plain tensors")
    text = message(mistake.obj, "BatchNorm")
    assert "named_parameters() must hold exactly: weight, bias. Missing: weight, bias." in text
    assert "nn.Parameter" in text


def test_a_gradient_that_autograd_would_sum_is_named():
    class BatchNormFunction(FUNCTIONS[0]):
        @staticmethod
        def backward(ctx, dy):
            dx, dgamma, _, *rest = FUNCTIONS[0].backward(ctx, dy)
            return dx, dgamma, dy, *rest

    text = message(BatchNormFunction, "BatchNormFunction")
    assert "backward must return dbeta of shape (4,). Received: shape (7, 4)." in text


def _forward(x, gamma, beta, eps):
    x_hat = (x - x.mean(dim=0)) / torch.sqrt(x.var(dim=0, unbiased=False) + eps)
    return gamma * x_hat + beta


class _NoBackward(torch.autograd.Function):
    apply = staticmethod(_forward)


def test_a_function_without_a_backward_of_its_own_is_named():
    with pytest.raises(CheckFailed, match="Leave apply as torch defines it"):
        check(_NoBackward, "BatchNormFunction")


def test_a_result_of_another_kind_is_named():
    def fold_conv_bn(conv, bn):
        return conv.weight

    assert "must return a Conv2d. Received: Parameter" in message(fold_conv_bn, "fold_conv_bn")


@pytest.mark.parametrize(("name", "solution"), SOLUTIONS)
def test_a_solution_leaves_the_random_state_alone(name, solution):
    exercise = find(name)
    before = torch.get_rng_state()
    for case in draw_cases(exercise, 0).values():
        assert attempt(exercise, solution, case).rules == ()
    assert torch.equal(torch.get_rng_state(), before)


def test_global_state_is_put_back_after_an_error():
    def recalibrate(model, batches):
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        raise ArithmeticError

    assert "ArithmeticError" in message(recalibrate, "recalibrate")
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize(
    ("name", "mistake"), [(name, each) for name in CORRECT for each in find(name).mistakes]
)
def test_the_source_of_a_mistake_stands_alone(name, mistake):
    """The sample class pastes it into a notebook that imports copy, torch and nn."""
    namespace = {"copy": copy, "torch": torch, "nn": nn}
    exec(source_of(mistake, name), namespace)
    assert namespace[name].__name__ == name


# --- what a check must see, and how it says it ----------------------------------------------------


def test_a_batch_kept_without_a_clone_is_told_of_the_clone():
    """running_mean is one tensor: three names for it hold the statistics of the last batch."""

    def recalibrate(model, batches):
        norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        momentums = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 1.0
        model.train()
        with torch.no_grad():
            seen = [
                [(model(x), len(x), norm.running_mean, norm.running_var)[1:] for norm in norms]
                for x in batches
            ]
        for norm, momentum, rows in zip(norms, momentums, zip(*seen, strict=True), strict=True):
            n = sum(row[0] for row in rows)
            mean = sum(row[0] * row[1] for row in rows) / n
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(sum(row[0] * row[2] for row in rows) / n)
            norm.momentum = momentum
        return model.eval()

    assert "keep a clone()" in " ".join(message(recalibrate, "recalibrate").split())


def test_a_right_forward_is_told_where_backward_is_not_written():
    class BatchNormFunction(FUNCTIONS[0]):
        @staticmethod
        def backward(ctx, dy):
            raise NotImplementedError

    text = message(BatchNormFunction, "BatchNormFunction")
    assert "forward is right in every case" in text
    assert "backward still raises NotImplementedError: write it next." in text
    assert "answer is missing" not in text


def test_a_forward_that_is_wrong_in_some_case_is_told_before_backward():
    class BatchNormFunction(FUNCTIONS[0]):
        @staticmethod
        def forward(ctx, x, gamma, beta, eps):
            return FUNCTIONS[0].forward(ctx, x, gamma, beta, 1e-5)

        @staticmethod
        def backward(ctx, dy):
            raise NotImplementedError

    text = message(BatchNormFunction, "BatchNormFunction")
    assert "y is off" in text
    assert "eps has a fixed value" in " ".join(text.split())
    assert "is right in every case" not in text


def test_what_is_right_is_said_where_a_rule_is_broken():
    def recalibrate(model, batches):
        return CORRECT["recalibrate"][0](model, batches).train()

    text = " ".join(message(recalibrate, "recalibrate").split())
    assert "must leave in eval mode" in text
    assert "running_mean of layer 1" in text


def test_a_wrong_forward_is_told_though_backward_is_not_written():
    class BatchNormFunction(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, gamma, beta, eps):
            return gamma * x + beta

        @staticmethod
        def backward(ctx, dy):
            raise NotImplementedError

    text = message(BatchNormFunction, "BatchNormFunction")
    assert "y is off" in text
    assert "forward is right" not in text


def test_a_folded_layer_of_another_dtype_is_told_what_is_asked():
    def fold_conv_bn(conv, bn):
        return CORRECT["fold_conv_bn"][0](conv, bn).double()

    text = " ".join(message(fold_conv_bn, "fold_conv_bn").split())
    assert "must be torch.float32 on cpu, as that of conv is. Received: torch.float64" in text


def test_a_typo_is_not_taken_for_a_known_mistake():
    class BatchNorm(LAYERS[0]):
        def forward(self, x):
            return super().forward(x) * self.wieght

    text = message(BatchNorm, "BatchNorm")
    assert "has no attribute 'wieght'" in text
    assert "Likely cause" not in text


def written_otherwise(name, old, new):
    """Return a right solution with some text of its source replaced."""
    right = find(name).mistakes[0].right
    return written(right.source, right.obj.__name__, [(old, new)], torch=torch, nn=nn)


@pytest.mark.parametrize(
    ("name", "old", "new", "text"),
    [
        (
            "BatchNorm",
            "values = x",
            "raise NotImplementedError\n        values = x",
            "answer is missing",
        ),
        (
            "BatchNorm",
            "raise ValueError(f",
            "raise RuntimeError(f",
            "must raise ValueError. It raised RuntimeError.",
        ),
        (
            "BatchNorm",
            "std = torch",
            "self.kept = (i for i in x)\n        std = torch",
            "copy.deepcopy(layer) fails after a step: cannot pickle",
        ),
        (
            "BatchNorm",
            "return y.to",
            "for p in self.parameters():\n"
            "            p.requires_grad_(training)\n"
            "        return y.to",
            "forward changes requires_grad of a parameter",
        ),
        (
            "BatchNorm",
            "torch.ones(num_features)) if affine",
            "torch.ones(1, num_features)) if affine",
            "weight must have shape (4,), as torch's has. Received: shape (1, 4).",
        ),
        (
            "BatchNorm",
            "std = torch",
            "self.register_buffer('last', mean.detach())\n        std = torch",
            "The state_dict of the layer after its steps must hold what it held. New: last.",
        ),
        (
            "BatchNorm",
            "values = x",
            "self.zero_grad()\n        values = x",
            "forward changes the gradient that weight holds",
        ),
        (
            "BatchNorm",
            "return y.to",
            "if y.requires_grad:\n            y.register_hook(lambda g: g.clamp(-50, 50))\n"
            "        return y.to",
            'Case "large gradients"',
        ),
        (
            "BatchNorm",
            "self.running_mean, self.running_var\n",
            "self.running_mean, self.running_var.clamp(min=self.epsilon)\n",
            'Case "a variance smaller than eps"',
        ),
        (
            "BatchNormFunction",
            "dgamma = (dy",
            "dy = dy.clamp(-50, 50)\n        dgamma = (dy",
            'Case "large gradients"',
        ),
        (
            "BatchNormFunction",
            "return dx, dgamma",
            "ctx.eps = 0.3\n        return dx, dgamma",
            "A second backward through one graph returns another dx than the first.",
        ),
        (
            "BatchNormFunction",
            "return dx, dgamma",
            "gamma.register_hook(lambda g: g)\n        return dx, dgamma",
            "It leaves a hook on gamma.",
        ),
        (
            "BatchNormFunction",
            "return dx, dgamma",
            "dgamma = dgamma if ctx.needs_input_grad[2] else None\n        return dx, dgamma",
            "dgamma where gamma alone needs it is off",
        ),
        (
            "fold_conv_bn",
            "return folded",
            "kept = fold.__dict__.setdefault(str(conv), folded)\n"
            "    kept.weight, kept.bias = folded.weight, folded.bias\n    return kept",
            "A second call changes the convolution that the first one returned.",
        ),
        (
            "fold_conv_bn",
            "return folded",
            "conv.zero_grad()\n    return folded",
            "It changes a gradient that stands in .grad of the Conv2d",
        ),
        (
            "fold_conv_bn",
            "columns = ",
            "scale = scale.flip(0) if conv.groups == len(scale) > 1 else scale\n    columns = ",
            'Case "a depthwise convolution"',
        ),
        (
            "fold_conv_bn",
            "bn.running_var + bn.eps",
            "bn.running_var.clamp(min=1e-8) + bn.eps",
            'Case "a running variance smaller than eps"',
        ),
        (
            "BatchNormFunction",
            "ctx.save_for_backward(x, gamma)",
            "ctx.save_for_backward(x, gamma, eps)",
            "takes tensors only. A number is kept on ctx itself",
        ),
        (
            "BatchNormFunction",
            "y = gamma * x_hat + beta",
            "y = gamma * x_hat + beta\n        gamma += 1",
            "forward changes gamma in place",
        ),
        (
            "BatchNormFunction",
            "return dx, dgamma",
            "return dx.sum(0), dgamma",
            "backward must return each gradient in the shape of its argument",
        ),
        (
            "fold_conv_bn",
            "return folded",
            "bn.running_mean.zero_()\n    return folded",
            "It changes running_mean of the BatchNorm2d that is given.",
        ),
    ],
)
def test_a_message_says_what_stands_in_the_way(name, old, new, text):
    told = " ".join(message(written_otherwise(name, old, new), name).split())
    assert text in told
    assert "Likely cause" not in told


def test_a_model_inside_another_is_not_called_a_copy():
    def recalibrate(model, batches):
        return nn.Sequential(CORRECT["recalibrate"][0](model, batches))

    text = " ".join(message(recalibrate, "recalibrate").split())
    assert "not another module around it" in text
    assert "A copy" not in text


def test_mistakes_of_half_precision_point_to_its_equation():
    half = [m for m in find("BatchNorm").mistakes if "bfloat16" in m.hint]
    assert len(half) >= 4
    assert {mistake.see for mistake in half} == {"L5"}


def test_an_unbiased_variance_that_fears_two_values_is_refused():
    wrong = written_otherwise("BatchNorm", "/ (count - 1)", "/ max(count - 1, 2)")
    text = " ".join(message(wrong, "BatchNorm").split())
    assert "two values per channel" in text
    assert "running_var" in text


def test_every_batch_counts():
    def recalibrate(model, batches):
        return CORRECT["recalibrate"][0](model, batches[:3])

    assert "four batches" in message(recalibrate, "recalibrate")


def test_a_batch_that_is_refused_leaves_no_trace():
    class BatchNorm(LAYERS[0]):
        def forward(self, x):
            if self.training and x.numel() == x.shape[1] and "running_mean" in self.state_dict():
                self.running_mean.add_(1)
            return super().forward(x)

    text = " ".join(message(BatchNorm, "BatchNorm").split())
    assert "running_mean after batches that are refused is off" in text
    assert "Likely cause" not in text


def test_a_backward_without_gradients_is_told_that_they_are_off():
    right = FUNCTIONS[0].backward

    class BatchNormFunction(FUNCTIONS[0]):
        backward = staticmethod(torch.no_grad()(right))

    assert "gradients that are switched off" in " ".join(
        message(BatchNormFunction, "BatchNormFunction").split()
    )


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_ready_made_norm_that_torch_has_compiled_is_flagged():
    compiled = torch.jit.CompilationUnit(
        """
        def normed(x, weight, bias, mean, var, training: bool, eps: float):
            return torch.batch_norm(x, weight, bias, mean, var, training, 0.0, eps, False)
        """
    )

    class BatchNorm(LAYERS[0]):
        def __init__(
            self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True
        ):
            super().__init__(num_features, eps, momentum, affine, track_running_stats)
            self.small = eps

        def forward(self, x):
            super().forward(x)
            state = [getattr(self, name, None) for name in ("weight", "bias")]
            state += [getattr(self, name, None) for name in ("running_mean", "running_var")]
            batch = self.training or state[2] is None
            return compiled.normed(x, *state, batch, self.small)

    assert "It calls a ready-made torch operation, NativeBatchNorm" in message(
        BatchNorm, "BatchNorm"
    )


def test_a_function_of_torchs_layers_that_is_replaced_is_told_and_put_back():
    def recalibrate(model, batches):
        nn.BatchNorm1d.forward = lambda self, x: before(self, x)
        return CORRECT["recalibrate"][0](model, batches)

    before = nn.BatchNorm1d.forward
    assert "It changes a function of torch's own layers" in " ".join(
        message(recalibrate, "recalibrate").split()
    )
    assert nn.BatchNorm1d.forward is before
    assert "forward" not in vars(nn.BatchNorm1d)


@pytest.mark.parametrize(
    ("wrong", "case"),
    [
        (lambda model, batches: batches[0].std(0) if len(batches) < 2 else None, "one batch"),
        (lambda model, batches: _two_levels(model), "a convolutional network"),
    ],
)
def test_a_model_is_searched_to_its_end_and_one_batch_is_enough(wrong, case):
    def recalibrate(model, batches):
        changed = wrong(model, batches)
        if changed is not None:
            return changed
        return CORRECT["recalibrate"][0](model, batches)

    assert f'Case "{case}"' in message(recalibrate, "recalibrate")


def _two_levels(model):
    """Return something where a norm lies deeper than in a child of a child."""
    near = [m for child in model.children() for m in (child, *child.children())]
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return None if all(norm in near for norm in norms) else model
