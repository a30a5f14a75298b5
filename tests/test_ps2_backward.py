"""The oracles of problem set 2 against torch autograd, finite differences and their own laws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bncourse import check
from bncourse.check import CheckFailed
from bncourse.exercises import ps2_backward
from bncourse.reference.backward import (
    batchnorm_backward,
    batchnorm_backward_staged,
    batchnorm_inference_backward,
    batchnorm_jacobian,
    numerical_gradient,
)
from bncourse.reference.forward import batchnorm_forward, batchnorm_inference

SHAPES = [(7, 4), (4, 9), (50, 3), (2, 3), (1, 4)]
EPS = [1e-5, 0.5]


def tensor(array):
    return torch.tensor(array, dtype=torch.float64)


def draw(seed, shape, offset=0.0, scale=1.0):
    """Return x, gamma, beta and a random dy."""
    rng = np.random.default_rng(seed)
    x = offset + scale * rng.standard_normal(shape)
    gamma, beta = rng.uniform(0.5, 2.0, (2, shape[1]))
    return x, gamma, beta, rng.standard_normal(shape)


def close(actual, expected, rtol=1e-9, size=None):
    """Compare normwise, or against a size where the true value may be zero."""
    size = np.abs(expected).max() if size is None else size
    np.testing.assert_allclose(actual, expected, rtol=0, atol=rtol * size)


def closed_form(x, gamma, beta, dy, eps=1e-5):
    return batchnorm_backward(dy, batchnorm_forward(x, gamma, beta, eps)[1])


# --- numerical_gradient -----------------------------------------------------------------------


@pytest.mark.equation("B1")
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 2), ()])
def test_numerical_gradient_agrees_with_the_derivative(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    gradient = numerical_gradient(lambda x: np.sin(x).sum() * np.exp(x).sum(), x)
    close(gradient, np.cos(x) * np.exp(x).sum() + np.sin(x).sum() * np.exp(x), rtol=1e-8)


@pytest.mark.equation("B1")
def test_the_error_of_the_central_difference_shrinks_with_the_square_of_the_step():
    x = np.array([0.3, 1.1])
    errors = [
        np.abs(numerical_gradient(lambda x: np.exp(x).sum(), x, h) - np.exp(x)).max()
        for h in (1e-1, 1e-2)
    ]
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.01)


def test_numerical_gradient_takes_integers_and_leaves_them():
    x = np.array([[1, 3], [2, 5]])
    close(numerical_gradient(lambda x: (x**2).sum(), x), [[2.0, 6.0], [4.0, 10.0]], rtol=1e-8)
    assert x.tolist() == [[1, 3], [2, 5]]


def test_numerical_gradient_wants_a_positive_step():
    with pytest.raises(ValueError, match=r"h must be positive. Received: h=0"):
        numerical_gradient(np.sum, np.ones(2), h=0)


# --- the backward pass of training ------------------------------------------------------------


@pytest.mark.equation("B2")
@pytest.mark.equation("B3")
@pytest.mark.equation("B4")
@pytest.mark.equation("B5")
@pytest.mark.equation("B6")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("eps", EPS)
def test_each_node_of_the_graph_agrees_with_autograd(shape, eps):
    x, gamma, beta, dy = draw(1, shape, offset=2.0, scale=3.0)
    leaves = {"x": tensor(x), "dgamma": tensor(gamma), "dbeta": tensor(beta)}
    for leaf in leaves.values():
        leaf.requires_grad_()
    mean = leaves["x"].mean(0)
    var = ((leaves["x"] - mean) ** 2).mean(0)
    x_hat = (leaves["x"] - mean) / torch.sqrt(var + eps)
    loss = ((leaves["dgamma"] * x_hat + leaves["dbeta"]) * tensor(dy)).sum()
    nodes = {"dx": leaves["x"], "dgamma": leaves["dgamma"], "dbeta": leaves["dbeta"]}
    nodes |= {"dx_hat": x_hat, "dvar": var, "dmean": mean}
    expected = dict(zip(nodes, torch.autograd.grad(loss, list(nodes.values())), strict=True))
    staged = batchnorm_backward_staged(dy, x, gamma, eps)
    assert staged.keys() == expected.keys()
    for name, value in staged.items():
        size = 1.0 if len(x) == 1 else None
        close(value, expected[name].numpy(), size=size)


@pytest.mark.equation("B7")
@pytest.mark.equation("B6")
@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 6)),
    offset=st.sampled_from([0.0, -3.0, 1e4]),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    eps=st.sampled_from(EPS),
    seed=st.integers(0, 2**32 - 1),
)
def test_closed_and_staged_form_agree_with_torch(shape, offset, scale, eps, seed):
    x, gamma, beta, dy = draw(seed, shape, offset, scale)
    leaves = [tensor(value).requires_grad_() for value in (x, gamma, beta)]
    # Written out, because torch's own batch norm refuses N = 1 in training.
    centred = leaves[0] - leaves[0].mean(0)
    y = leaves[1] * centred / torch.sqrt((centred**2).mean(0) + eps) + leaves[2]
    expected = [g.numpy() for g in torch.autograd.grad((y * tensor(dy)).sum(), leaves)]
    staged = batchnorm_backward_staged(dy, x, gamma, eps)
    # dx may be small by cancellation; what cancels has the size of the direct path.
    sizes = [
        np.abs(dy).max() * 2 / np.sqrt(x.var(axis=0).min() + eps),
        10.0 * len(x),
        10.0 * len(x),
    ]
    for mine, name, theirs, size in zip(
        closed_form(x, gamma, beta, dy, eps),
        ("dx", "dgamma", "dbeta"),
        expected,
        sizes,
        strict=True,
    ):
        close(mine, theirs, rtol=1e-7, size=size)
        close(staged[name], theirs, rtol=1e-7, size=size)


@pytest.mark.equation("B7")
@pytest.mark.parametrize("shape", [(7, 4), (4, 9), (50, 3), (2, 3)])
def test_closed_form_agrees_with_torchs_layer(shape):
    x, gamma, beta, dy = draw(2, shape, offset=1.0)
    layer = torch.nn.BatchNorm1d(shape[1], dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(tensor(gamma))
        layer.bias.copy_(tensor(beta))
    leaf = tensor(x).requires_grad_()
    (layer(leaf) * tensor(dy)).sum().backward()
    mine = closed_form(x, gamma, beta, dy)
    close(mine[0], leaf.grad.numpy(), size=np.abs(dy).max())
    close(mine[1], layer.weight.grad.numpy())
    close(mine[2], layer.bias.grad.numpy())


@pytest.mark.equation("B7")
@pytest.mark.parametrize("eps", EPS)
def test_closed_form_agrees_with_finite_differences(eps):
    x, gamma, beta, dy = draw(3, (6, 3), offset=5.0)

    def loss(x=x, gamma=gamma, beta=beta):
        return (dy * batchnorm_forward(x, gamma, beta, eps)[0]).sum()

    dx, dgamma, dbeta = closed_form(x, gamma, beta, dy, eps)
    close(numerical_gradient(lambda v: loss(x=v), x), dx, rtol=1e-7)
    close(numerical_gradient(lambda v: loss(gamma=v), gamma), dgamma, rtol=1e-7)
    close(numerical_gradient(lambda v: loss(beta=v), beta), dbeta, rtol=1e-7)


@pytest.mark.equation("B9")
@pytest.mark.parametrize("eps", EPS)
def test_dx_has_no_mean_and_almost_no_part_along_x_hat(eps):
    x, gamma, beta, dy = draw(4, (8, 5), offset=-2.0, scale=0.7)
    cache = batchnorm_forward(x, gamma, beta, eps)[1]
    dx, dgamma, _ = batchnorm_backward(dy, cache)
    close(dx.sum(axis=0), np.zeros(5), rtol=1e-12, size=1.0)
    along = (dx * cache["x_hat"]).sum(axis=0)
    close(along, gamma * eps * cache["inv_std"] ** 3 * dgamma, size=1.0)


@pytest.mark.equation("B7")
def test_the_sum_of_y_and_of_y_squared_teach_x_nothing():
    x, gamma, _, _ = draw(5, (8, 3))
    beta = np.zeros(3)
    y, cache = batchnorm_forward(x, gamma, beta, eps=1e-12)
    for dy in (np.ones_like(y), 2 * y):
        close(batchnorm_backward(dy, cache)[0], np.zeros_like(x), rtol=1e-10, size=1.0)


def test_one_example_receives_no_gradient():
    x, gamma, beta, dy = draw(6, (1, 4))
    dx, dgamma, dbeta = closed_form(x, gamma, beta, dy)
    assert not dx.any()
    assert not dgamma.any()
    close(dbeta, dy[0])


def test_two_examples_receive_a_gradient_of_the_size_of_eps():
    x, gamma, beta, dy = draw(7, (2, 4), scale=5.0)
    sizes = [np.abs(closed_form(x, gamma, beta, dy, eps)[0]).max() for eps in (1e-6, 1e-8)]
    assert sizes[0] / sizes[1] == pytest.approx(100, rel=1e-3)


@pytest.mark.parametrize("function", [batchnorm_backward_staged, batchnorm_jacobian])
def test_eps_must_be_positive(function):
    x, gamma, _, dy = draw(8, (4, 3))
    given = (dy, x, gamma) if function is batchnorm_backward_staged else (x[:, 0],)
    with pytest.raises(ValueError, match=r"eps must be positive. Received: eps=0"):
        function(*given, eps=0)


# --- batchnorm_jacobian -----------------------------------------------------------------------


@pytest.mark.equation("B8")
@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 9),
    offset=st.sampled_from([0.0, -3.0, 1e4]),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    eps=st.sampled_from(EPS),
    seed=st.integers(0, 2**32 - 1),
)
def test_jacobian_agrees_with_torch(count, offset, scale, eps, seed):
    x = offset + scale * np.random.default_rng(seed).standard_normal(count)

    def normalize(x):
        centred = x - x.mean()
        return centred / torch.sqrt((centred**2).mean() + eps)

    expected = torch.autograd.functional.jacobian(normalize, tensor(x)).numpy()
    close(batchnorm_jacobian(x, eps), expected, rtol=1e-7, size=1 / np.sqrt(x.var() + eps))


@pytest.mark.equation("B8")
def test_the_jacobian_gives_the_backward_pass():
    x, gamma, beta, dy = draw(9, (6, 3))
    dx = closed_form(x, gamma, beta, dy)[0]
    for j in range(3):
        close(dx[:, j], gamma[j] * batchnorm_jacobian(x[:, j]).T @ dy[:, j])


@pytest.mark.equation("B8")
@pytest.mark.equation("B9")
def test_the_jacobian_is_nearly_a_projection():
    x = draw(10, (9, 1))[0][:, 0]
    J = batchnorm_jacobian(x, eps=1e-12)
    std, x_hat = x.std(), (x - x.mean()) / x.std()
    close(J, J.T)
    close((std * J) @ (std * J), std * J)
    close(J @ np.ones(9), np.zeros(9), size=1.0)
    close(J @ x_hat, np.zeros(9), size=1.0)
    assert np.linalg.matrix_rank(J, tol=1e-6) == 7


# --- the backward pass of inference -----------------------------------------------------------


@pytest.mark.equation("B10")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("eps", EPS)
def test_inference_backward_agrees_with_torch(shape, eps):
    x, gamma, beta, dy = draw(11, shape, offset=2.0)
    mean, var = np.random.default_rng(12).uniform(1.0, 3.0, (2, shape[1]))
    leaves = [tensor(value).requires_grad_() for value in (x, gamma, beta)]
    y = torch.nn.functional.batch_norm(
        leaves[0], tensor(mean), tensor(var), leaves[1], leaves[2], training=False, eps=eps
    )
    expected = torch.autograd.grad((y * tensor(dy)).sum(), leaves)
    mine = batchnorm_inference_backward(dy, x, gamma, mean, var, eps)
    for value, theirs in zip(mine, expected, strict=True):
        close(value, theirs.numpy())


@pytest.mark.equation("B10")
def test_inference_backward_agrees_with_finite_differences():
    x, gamma, beta, dy = draw(13, (5, 3))
    mean, var = np.random.default_rng(14).uniform(1.0, 3.0, (2, 3))

    def loss(x=x, gamma=gamma):
        return (dy * batchnorm_inference(x, gamma, beta, mean, var)).sum()

    dx, dgamma, _ = batchnorm_inference_backward(dy, x, gamma, mean, var)
    close(numerical_gradient(lambda v: loss(x=v), x), dx, rtol=1e-7)
    close(numerical_gradient(lambda v: loss(gamma=v), gamma), dgamma, rtol=1e-7)


# --- what a student sees ----------------------------------------------------------------------


def correct_backward(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx = gamma * inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def test_a_change_in_the_middle_of_a_large_cached_array_is_seen():
    def careless(dy, cache):
        result = correct_backward(dy, cache)
        if len(dy) > 100:
            cache["x_hat"][100, 1] = 0.0
        return result

    with pytest.raises(CheckFailed, match="changes its input cache in place"):
        check(careless, "batchnorm_backward")


def test_a_cache_that_loses_an_entry_is_seen():
    def popping(dy, cache):
        result = correct_backward(dy, cache)
        cache.pop("x_hat")
        return result

    with pytest.raises(CheckFailed, match="changes its input cache in place"):
        check(popping, "batchnorm_backward")


def test_a_missing_entry_is_named():
    def short(dy, x, gamma, eps=1e-5):
        parts = batchnorm_backward_staged(dy, x, gamma, eps)
        return {name: part for name, part in parts.items() if name != "dvar"}

    with pytest.raises(CheckFailed, match="Missing: dvar"):
        check(short, "batchnorm_backward_staged")


def test_f_says_which_shape_it_takes():
    def flattened(f, x, h=1e-5):
        flat = x.astype(float).ravel()
        steps = h * np.eye(flat.size)
        return np.array([(f(flat + s) - f(flat - s)) / (2 * h) for s in steps]).reshape(x.shape)

    with pytest.raises(CheckFailed, match=r"f takes an array with the shape of x, \(3, 4\)"):
        check(flattened, "numerical_gradient")


# --- told a wrong cause once ------------------------------------------------------------------


def test_steps_that_never_reach_f_are_told_as_such():
    def steps_a_number(f, x, h=1e-5):
        grad = np.zeros(x.shape)
        for index in np.ndindex(x.shape):
            value = x[index]
            value += h
            above = f(x)
            value -= 2 * h
            grad[index] = (above - f(x)) / (2 * h)
        return grad

    for obj in (steps_a_number, lambda f, x, h=1e-5: np.zeros(x.shape)):
        with pytest.raises(CheckFailed, match="the steps never reach f"):
            check(obj, "numerical_gradient")


def test_a_formula_of_five_points_is_not_told_that_it_ignores_h():
    def five_points(f, x, h=1e-5):
        x = np.array(x, dtype=np.float64)
        grad = np.empty(x.shape)
        for index in np.ndindex(x.shape):
            values = []
            for factor in (-2, -1, 1, 2):
                moved = x.copy()
                moved[index] += factor * h
                values.append(f(moved))
            grad[index] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
        return grad

    with pytest.raises(CheckFailed, match="This is the formula of five points"):
        check(five_points, "numerical_gradient")


def test_the_function_of_a_famous_course_is_told_of_integers():
    def everything_in_the_dtype_of_x(f, x, h=1e-5):
        grad = np.zeros_like(x)
        it = np.nditer(x, flags=["multi_index"], op_flags=["readwrite"])
        while not it.finished:
            ix = it.multi_index
            old = x[ix]
            x[ix] = old + h
            above = f(x)
            x[ix] = old - h
            below = f(x)
            x[ix] = old
            grad[ix] = (above - below) / (2 * h)
            it.iternext()
        return grad

    with pytest.raises(CheckFailed, match="The steps and the gradient have the dtype of x"):
        check(everything_in_the_dtype_of_x, "numerical_gradient")


def test_the_famous_line_with_n_minus_one_is_named():
    def one_line(dy, cache):
        x_hat, istd, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
        n = dy.shape[0]
        dgamma, dbeta = np.sum(dy * x_hat, axis=0), np.sum(dy, axis=0)
        dx = istd * gamma / n * (n * dy - n / (n - 1) * x_hat * dgamma - dbeta)
        return dx, dgamma, dbeta

    with pytest.raises(CheckFailed, match="divided by N - 1"):
        check(one_line, "batchnorm_backward")


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", ["batchnorm_backward_staged", "batchnorm_inference_backward"])
def test_float32_is_not_enough_where_float64_is_given(name, seed):
    def in_float32(**given):
        dtype = given["x"].dtype
        small = {key: np.float32(v) if np.ndim(v) else v for key, v in given.items()}
        parts = getattr(ps2_backward, name).RIGHT.obj(**small)
        if isinstance(parts, dict):
            return {key: part.astype(dtype) for key, part in parts.items()}
        return [part.astype(dtype) for part in parts]

    with pytest.raises(CheckFailed, match="is off in"):
        check(in_float32, name, seed=seed)
