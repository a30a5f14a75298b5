"""The oracles of problem set 3 against torch, finite differences and their own invariants."""

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from solutions_ps3_convolution import CORRECT

from bncourse.attempt import attempt
from bncourse.exercise import draw_cases
from bncourse.judge import compare
from bncourse.reference import forward
from bncourse.reference.convolution import (
    fold_batchnorm,
    groupnorm_forward,
    layernorm_backward,
    layernorm_forward,
    spatial_batchnorm_backward,
    spatial_batchnorm_forward,
)
from bncourse.registry import find

SHAPES = [(4, 3, 5, 6), (1, 3, 5, 4), (7, 4, 1, 1), (2, 15, 3, 1)]
EPS = [1e-5, 0.5]


def tensor(array):
    return torch.tensor(array, dtype=torch.float64)


def draw(seed, *shapes, offset=0.0, scale=1.0):
    rng = np.random.default_rng(seed)
    x, *rest = (rng.standard_normal(shape) for shape in shapes)
    return offset + scale * x, *rest


def torch_gradients(function, x, gamma, beta, dy):
    """Return y and the gradients of sum(dy y), by torch's own autograd."""
    leaves = [tensor(value).requires_grad_() for value in (x, gamma, beta)]
    y = function(*leaves)
    return y.detach().numpy(), *(
        g.numpy() for g in torch.autograd.grad((y * tensor(dy)).sum(), leaves)
    )


def numerical_gradients(function, *arguments, h=1e-5):
    """Return the central differences of a scalar function for each of its array arguments."""
    gradients = [np.empty_like(each) for each in arguments]
    for each, gradient in zip(arguments, gradients, strict=True):
        for index in np.ndindex(each.shape):
            kept = each[index]
            each[index] = kept + h
            above = function(*arguments)
            each[index] = kept - h
            gradient[index] = (above - function(*arguments)) / (2 * h)
            each[index] = kept
    return gradients


def close(actual, expected, rtol=1e-9):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


# --- spatial batch norm -----------------------------------------------------------------------


@pytest.mark.equation("C1")
@pytest.mark.equation("C2")
@pytest.mark.equation("C3")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("eps", EPS)
def test_spatial_batchnorm_agrees_with_torch(shape, eps):
    x, gamma, beta, dy = draw(1, shape, shape[1], shape[1], shape, offset=2.0, scale=3.0)

    def batch_norm(x, gamma, beta):
        return torch.nn.functional.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)

    y, cache = spatial_batchnorm_forward(x, gamma, beta, eps)
    for mine, theirs in zip(
        (y, *spatial_batchnorm_backward(dy, cache)),
        torch_gradients(batch_norm, x, gamma, beta, dy),
        strict=True,
    ):
        close(mine, theirs)


@pytest.mark.equation("C1")
def test_spatial_statistics_are_those_of_all_pixels_of_a_channel():
    x, gamma, beta = draw(2, (4, 3, 5, 6), 3, 3)
    cache = spatial_batchnorm_forward(x, gamma, beta, eps=1e-5)[1]
    for c in range(3):
        pixels = [x[n, c, h, w] for n in range(4) for h in range(5) for w in range(6)]
        close(cache["inv_std"][c], 1 / np.sqrt(np.var(pixels) + 1e-5))
        close(cache["x_hat"][2, c, 4, 1], (x[2, c, 4, 1] - np.mean(pixels)) * cache["inv_std"][c])


@pytest.mark.equation("C3")
def test_spatial_backward_agrees_with_finite_differences():
    x, gamma, beta, dy = draw(3, (2, 3, 2, 4), 3, 3, (2, 3, 2, 4))

    def loss(x, gamma, beta):
        return (dy * spatial_batchnorm_forward(x, gamma, beta)[0]).sum()

    gradients = spatial_batchnorm_backward(dy, spatial_batchnorm_forward(x, gamma, beta)[1])
    for mine, theirs in zip(gradients, numerical_gradients(loss, x, gamma, beta), strict=True):
        close(mine, theirs, rtol=1e-7)


@pytest.mark.equation("C2")
def test_images_of_one_pixel_give_ordinary_batch_norm():
    x, gamma, beta = draw(4, (7, 4), 4, 4)
    y, cache = spatial_batchnorm_forward(x[:, :, None, None], gamma, beta)
    plain, plain_cache = forward.batchnorm_forward(x, gamma, beta)
    close(y[:, :, 0, 0], plain)
    close(cache["inv_std"], plain_cache["inv_std"])


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 5)] * 4),
    offset=st.sampled_from([0.0, -3.0, 1e4]),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_spatial_batchnorm_holds_for_any_images(shape, offset, scale, seed):
    channels, dy_shape = shape[1], shape
    x, gamma, beta, dy = draw(seed, shape, channels, channels, dy_shape, offset=offset, scale=scale)
    y, cache = spatial_batchnorm_forward(x, gamma, beta)
    dx, dgamma, dbeta = spatial_batchnorm_backward(dy, cache)
    x_hat, count = cache["x_hat"], x.size // channels
    assert y.shape == dx.shape == x_hat.shape == shape
    assert cache["inv_std"].shape == dgamma.shape == dbeta.shape == (channels,)
    # The statistics of x_hat are 0 and var / (var + eps), the latter from inv_std alone.
    np.testing.assert_allclose(x_hat.mean(axis=(0, 2, 3)), 0, atol=1e-6)
    spread = (x_hat**2).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(spread, 1 - 1e-5 * cache["inv_std"] ** 2, atol=1e-6)
    # A shift of all pixels changes nothing, so the gradient has no mean.
    size = np.abs(gamma * cache["inv_std"]).max() * np.abs(dy).max()
    np.testing.assert_allclose(dx.sum(axis=(0, 2, 3)) / size / count, 0, atol=1e-9)


# --- layer norm -------------------------------------------------------------------------------


@pytest.mark.equation("C4")
@pytest.mark.equation("C5")
@pytest.mark.parametrize("shape", [(7, 4), (4, 9), (5, 5), (1, 6), (3, 1)])
@pytest.mark.parametrize("eps", EPS)
def test_layernorm_agrees_with_torch(shape, eps):
    features = shape[1]
    x, gamma, beta, dy = draw(5, shape, features, features, shape, offset=2.0, scale=3.0)

    def layer_norm(x, gamma, beta):
        return torch.nn.functional.layer_norm(x, (features,), gamma, beta, eps)

    y, cache = layernorm_forward(x, gamma, beta, eps)
    theirs = torch_gradients(layer_norm, x, gamma, beta, dy)
    close(y, theirs[0])
    # With one feature x_hat is exactly 0, and torch's dx is rounding noise.
    for mine, other in zip(layernorm_backward(dy, cache), theirs[1:], strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-9)


@pytest.mark.equation("C5")
def test_layernorm_backward_agrees_with_finite_differences():
    x, gamma, beta, dy = draw(6, (3, 5), 5, 5, (3, 5))

    def loss(x, gamma, beta):
        return (dy * layernorm_forward(x, gamma, beta)[0]).sum()

    gradients = layernorm_backward(dy, layernorm_forward(x, gamma, beta)[1])
    for mine, theirs in zip(gradients, numerical_gradients(loss, x, gamma, beta), strict=True):
        close(mine, theirs, rtol=1e-7)


@pytest.mark.equation("C4")
@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 8), st.integers(2, 8)),
    offset=st.sampled_from([0.0, -3.0, 1e4]),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_layernorm_is_batch_norm_of_the_transpose(shape, offset, scale, seed):
    ones, zeros = np.ones(shape[1]), np.zeros(shape[1])
    (x,) = draw(seed, shape, offset=offset, scale=scale)
    y, cache = layernorm_forward(x, ones, zeros)
    columns, _ = forward.batchnorm_forward(x.T, np.ones(shape[0]), np.zeros(shape[0]))
    np.testing.assert_allclose(y, columns.T, rtol=1e-7, atol=1e-7)
    # An example does not know its neighbours.
    alone, _ = layernorm_forward(x[:1], ones, zeros)
    np.testing.assert_allclose(y[:1], alone, rtol=1e-7, atol=1e-7)
    dx, _, _ = layernorm_backward(x, cache)
    np.testing.assert_allclose(
        dx.sum(axis=1), 0, atol=1e-9 * np.abs(x).max() * cache["inv_std"].max()
    )


# --- group norm -------------------------------------------------------------------------------


@pytest.mark.equation("C6")
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
@pytest.mark.parametrize("eps", EPS)
def test_groupnorm_agrees_with_torch(groups, eps):
    x, gamma, beta = draw(7, (4, 6, 5, 3), 6, 6, offset=2.0, scale=3.0)
    theirs = torch.nn.functional.group_norm(tensor(x), groups, tensor(gamma), tensor(beta), eps)
    close(groupnorm_forward(x, gamma, beta, groups, eps), theirs.numpy())


@pytest.mark.equation("C6")
def test_groupnorm_lies_between_layer_norm_and_instance_norm():
    x, ones, zeros = draw(8, (4, 6, 5, 3))[0], np.ones(6), np.zeros(6)
    whole, _ = layernorm_forward(x.reshape(4, -1), np.ones(90), np.zeros(90))
    close(groupnorm_forward(x, ones, zeros, groups=1), whole.reshape(x.shape))
    each = [spatial_batchnorm_forward(image[None], ones, zeros)[0] for image in x]
    close(groupnorm_forward(x, ones, zeros, groups=6), np.concatenate(each))


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 4),
    groups=st.integers(1, 4),
    size=st.integers(1, 3),
    pixels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    offset=st.sampled_from([0.0, -3.0, 1e4]),
    seed=st.integers(0, 2**32 - 1),
)
def test_groupnorm_holds_for_any_images(n, groups, size, pixels, offset, seed):
    channels = groups * size
    x, gamma, beta = draw(seed, (n, channels, *pixels), channels, channels, offset=offset)
    y = groupnorm_forward(x, gamma, beta, groups)
    alone = groupnorm_forward(x[:1], gamma, beta, groups)
    np.testing.assert_allclose(y[:1], alone, rtol=1e-7, atol=1e-7)
    first = slice(0, size)
    part = groupnorm_forward(x[:, first], gamma[first], beta[first], 1)
    np.testing.assert_allclose(y[:, first], part, rtol=1e-7, atol=1e-7)


# --- folding ----------------------------------------------------------------------------------


def pair(seed, *shape):
    out = shape[0]
    rng = np.random.default_rng(seed)
    layer = {"weight": rng.standard_normal(shape), "bias": rng.standard_normal(out)}
    norm = {"gamma": rng.standard_normal(out), "beta": rng.standard_normal(out)}
    running = {"mean": rng.standard_normal(out), "var": rng.uniform(0.1, 3.0, out)}
    return layer, norm | running


def torch_inference(z, norm, eps):
    names = ("mean", "var", "gamma", "beta")
    return torch.nn.functional.batch_norm(
        z, *(tensor(norm[name]) for name in names), training=False, eps=eps
    )


@pytest.mark.equation("C7")
@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("shape", [(4, 3), (5, 5)])
def test_a_folded_linear_layer_equals_the_pair(shape, eps):
    layer, norm = pair(9, *shape)
    x = tensor(np.random.default_rng(10).standard_normal((6, shape[1])))
    linear = torch.nn.functional.linear
    expected = torch_inference(linear(x, *map(tensor, layer.values())), norm, eps)
    weight, bias = fold_batchnorm(**layer, **norm, eps=eps)
    close(linear(x, tensor(weight), tensor(bias)).numpy(), expected.numpy())


@pytest.mark.equation("C7")
@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize(
    "shape", [(4, 3, 5), (4, 3, 2, 5), (3, 3, 3, 3), (5, 3, 1, 1), (1, 3, 2, 2), (4, 3, 2, 3, 2)]
)
def test_a_folded_convolution_equals_the_pair(shape, eps):
    layer, norm = pair(11, *shape)
    kernel_axes = len(shape) - 2
    x = tensor(np.random.default_rng(12).standard_normal((2, shape[1], 7, 8, 6)[: 2 + kernel_axes]))
    conv = getattr(torch.nn.functional, f"conv{kernel_axes}d")
    expected = torch_inference(conv(x, *map(tensor, layer.values()), padding=1), norm, eps)
    weight, bias = fold_batchnorm(**layer, **norm, eps=eps)
    assert weight.shape == shape
    close(conv(x, tensor(weight), tensor(bias), padding=1).numpy(), expected.numpy())


@settings(max_examples=40, deadline=None)
@given(
    out=st.integers(1, 6),
    features=st.integers(1, 6),
    offset=st.sampled_from([0.0, 1e4]),
    seed=st.integers(0, 2**32 - 1),
)
def test_folding_holds_for_any_linear_layer(out, features, offset, seed):
    layer, norm = pair(seed, out, features)
    norm["mean"] += offset
    x = np.random.default_rng(seed).standard_normal((5, features))
    z = x @ layer["weight"].T + layer["bias"]
    expected = forward.batchnorm_inference(
        z, norm["gamma"], norm["beta"], norm["mean"], norm["var"]
    )
    weight, bias = fold_batchnorm(**layer, **norm)
    size = max(np.abs(expected).max(), np.abs(bias).max())
    np.testing.assert_allclose(x @ weight.T + bias, expected, atol=1e-10 * size)


# --- what the check refuses -------------------------------------------------------------------


def in_float32(solution):
    """Return a solution that computes in float32, whatever dtype goes in and comes out."""

    def rounded(value, dtype):
        if isinstance(value, dict):
            return {name: rounded(item, dtype) for name, item in value.items()}
        if isinstance(value, tuple):
            return tuple(rounded(item, dtype) for item in value)
        return value.astype(dtype) if isinstance(value, np.ndarray) else value

    @functools.wraps(solution)
    def solve(**inputs):
        first = next(iter(inputs.values()))
        return rounded(solution(**rounded(inputs, np.float32)), first.dtype)

    return solve


@pytest.mark.parametrize("name", CORRECT)
def test_float32_inside_is_refused_where_float64_goes_in(name):
    exercise = find(name)
    cases = draw_cases(exercise, 0)
    for solution in CORRECT[name]:
        attempts = {label: attempt(exercise, in_float32(solution), cases[label]) for label in cases}
        refused = {
            label
            for label, case in cases.items()
            if compare(exercise, case, attempts[label].outputs, exercise.reference(case.inputs))
        }
        assert all(cases[label].dtype == "float64" for label in refused)
        assert len(refused) >= len(cases) / 2


# Wrong in one shape only, as people publish it: the name of the case that must show it.
ONE_SHAPE = {
    ("fold_batchnorm", "two or four axes only"): {
        "a convolution over one axis",
        "a convolution over three axes",
    },
    ("fold_batchnorm", "squeezed"): {"one output", "a pointwise convolution"},
    ("spatial_batchnorm_forward", "cache squeezed"): {"one channel"},
    ("spatial_batchnorm_backward", "sums squeezed"): {"one channel"},
    ("layernorm_forward", "cache squeezed"): {"one example"},
    ("layernorm_backward", "sums squeezed"): {"one feature"},
    ("groupnorm_forward", "squeezed"): {"one image", "one channel", "images of one pixel"},
}


@pytest.mark.parametrize(("name", "mistake"), ONE_SHAPE)
def test_a_solution_that_fails_in_one_shape_is_shown_that_shape(name, mistake):
    exercise = find(name)
    wrong = next(each for each in exercise.mistakes if each.name == mistake)
    cases = draw_cases(exercise, 0)
    refused = set()
    for label, case in cases.items():
        made = attempt(exercise, wrong.obj, case)
        expected = exercise.reference(case.inputs)
        if made.error or compare(exercise, case, made.outputs, expected):
            refused.add(label)
    assert ONE_SHAPE[name, mistake] <= refused
    assert "float32" not in refused


@pytest.mark.parametrize(
    "name", [each for each in CORRECT if "eps" in find(each).signature.parameters]
)
def test_another_default_is_seen_only_where_eps_is_left_out(name):
    exercise = find(name)
    wrong = next(each for each in exercise.mistakes if each.name == "another default for eps")
    for label, case in draw_cases(exercise, 0).items():
        made = attempt(exercise, wrong.obj, case)
        finding = compare(exercise, case, made.outputs, exercise.reference(case.inputs))
        if case.dtype == "float64":
            assert bool(finding) == ("eps" not in case.inputs), label


# --- bad input --------------------------------------------------------------------------------


def test_eps_must_be_positive():
    x, ones, zeros = np.ones((2, 3, 1, 1)), np.ones(3), np.zeros(3)
    with pytest.raises(ValueError, match=r"eps must be positive\. Received: eps=0"):
        spatial_batchnorm_forward(x, ones, zeros, eps=0)
    with pytest.raises(ValueError, match="eps must be positive"):
        layernorm_forward(x[:, :, 0, 0], ones, zeros, eps=-1)
    with pytest.raises(ValueError, match="eps must be positive"):
        groupnorm_forward(x, ones, zeros, groups=3, eps=0)


def test_groups_must_divide_the_channels():
    x, ones, zeros = np.ones((2, 3, 1, 1)), np.ones(3), np.zeros(3)
    with pytest.raises(ValueError, match="Received: groups=2, C=3"):
        groupnorm_forward(x, ones, zeros, groups=2)


def test_the_oracles_leave_their_inputs_alone():
    x, gamma, beta, dy = draw(13, (4, 3, 5, 6), 3, 3, (4, 3, 5, 6))
    cache = spatial_batchnorm_forward(x, gamma, beta)[1]
    inputs = [x, gamma, beta, dy, *cache.values()]
    before = [value.copy() for value in inputs]
    spatial_batchnorm_backward(dy, cache)
    groupnorm_forward(x, gamma, beta, groups=3)
    fold_batchnorm(x, *(np.full(4, value) for value in (0.5, 2.0, 3.0, 4.0, 5.0)))
    assert all(np.array_equal(a, b) for a, b in zip(inputs, before, strict=True))
