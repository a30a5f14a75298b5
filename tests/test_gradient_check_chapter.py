"""The chapter on checking a gradient: its code finds slips, its figures say what they show."""

import importlib.util
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import torch

from bncourse.figures import gradient_check as figures
from bncourse.reference import backward, forward

# keras.ops.convert_to_numpy asks PyTorch for a copy in a way that NumPy 2 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# Keras computes in float32; a path left out is 1e-2 off.
assert_close = partial(np.testing.assert_allclose, rtol=0, atol=1e-5)

CODE = Path(__file__).parents[1] / "chapters" / "code"
on_torch = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="gradients are those of the torch backend"
)


def load(framework):
    """Return the module of one file of chapters/code."""
    name = f"gradient_check_{framework}"
    spec = importlib.util.spec_from_file_location(name, CODE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def x():
    return torch.from_numpy(3 + 2 * np.random.default_rng(0).standard_normal((7, 4)))


@pytest.mark.parametrize("framework", ["torch", pytest.param("keras", marks=on_torch)])
def test_centre_backwards(framework, x):
    code = load(framework)
    centre = code.Centre.apply if framework == "torch" else code.centre
    y = centre(x.requires_grad_())
    assert_close(y.detach(), (x - x.mean(dim=0)).detach())
    dy = torch.from_numpy(np.random.default_rng(1).standard_normal(x.shape))
    (dx,) = torch.autograd.grad(y, x, dy)
    assert_close(dx, dy - dy.mean(dim=0))


@pytest.mark.equation("B15")
def test_gradcheck_accepts_the_right_gradient(x):
    code = load("torch")
    x = x.requires_grad_()
    assert code.gradient_is_right(code.Centre.apply, x)
    batch_norm = partial(
        torch.nn.functional.batch_norm, running_mean=None, running_var=None, training=True
    )
    assert code.gradient_is_right(batch_norm, x)


def test_gradcheck_rejects_a_wrong_gradient(x):
    code = load("torch")

    class Wrong(code.Centre):
        @staticmethod
        def backward(ctx, dy):
            return dy

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        code.gradient_is_right(Wrong.apply, x.requires_grad_())


@on_torch
@pytest.mark.equation("B1")
def test_slope_along_a_direction_is_that_of_the_gradient(x):
    rng = np.random.default_rng(1)
    dy, direction = torch.from_numpy(rng.standard_normal((2, *x.shape)))
    gamma, beta = np.ones(4), np.zeros(4)
    layer = keras.layers.BatchNormalization(epsilon=1e-5)
    slope = load("keras").slope_along(lambda x: (dy * layer(x, training=True)).sum(), x, direction)
    _, cache = forward.batchnorm_forward(x.numpy(), gamma, beta)
    dx, *_ = backward.batchnorm_backward(dy.numpy(), cache)
    np.testing.assert_allclose(slope.item(), (dx * direction.numpy()).sum(), rtol=0, atol=1e-3)


@pytest.mark.equation("B1")
def test_the_default_step_is_near_the_best():
    error = partial(figures.gradient_error, backward.numerical_gradient)
    assert error(1e-5) < 1e-9
    assert error(1e-5) < min(error(1e-7), error(1e-3)) / 10


def closed_form(dy, cache):
    return backward.batchnorm_backward(dy, cache)[0]


@pytest.mark.parametrize("seed", range(5))
def test_only_a_random_projection_on_a_good_batch_finds_every_slip(seed):
    found = figures.surviving(seed)
    assert "variance path missing" in found["Σ y"]
    assert "mean path missing" in found["Σ y²"]
    assert {"gamma forgotten", "gamma twice"} == found["Σ p y, gamma = 1"]
    assert found["Σ p y"] == set()
    assert all(
        figures.passes(closed_form, *setting) for setting in figures.settings(seed).values()
    ), "no test rejects the right gradient"


def test_each_slip_differs_from_the_right_gradient_by_what_it_says():
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 6, 3))
    gamma = rng.uniform(1.5, 2, 3)
    _, cache = forward.batchnorm_forward(x, gamma, np.zeros(3))
    right = closed_form(dy, cache)
    np.testing.assert_allclose(figures.slip("N times too large", dy, cache), 6 * right)
    np.testing.assert_allclose(figures.slip("gamma forgotten", dy, cache), right / gamma)
    for name in figures.SLIPS:
        assert figures.relative_error(figures.slip(name, dy, cache), right) > 0.01, name
