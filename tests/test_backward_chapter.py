"""The backward chapter: its framework code agrees with the reference, its figure with its text."""

import importlib.util
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import torch

from bncourse.figures.backward import gradient_error
from bncourse.reference import backward, forward

# keras.ops.convert_to_numpy asks PyTorch for a copy in a way that NumPy 2 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CODE = Path(__file__).parents[1] / "chapters" / "code"
FRAMEWORKS = [
    "torch",
    pytest.param(
        "keras",
        marks=pytest.mark.skipif(
            keras.backend.backend() != "torch", reason="gradients are those of the torch backend"
        ),
    ),
]

# Keras computes in float32; the smallest path of the gradient is 1e-2.
assert_close = partial(np.testing.assert_allclose, rtol=0, atol=1e-5)


def load(framework):
    """Return the module of one file of chapters/code."""
    name = f"backward_{framework}"
    spec = importlib.util.spec_from_file_location(name, CODE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def centre(framework):
    code = load(framework)
    return code.Centre.apply if framework == "torch" else code.centre


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return {
        "dy": rng.standard_normal((7, 4)),
        "x": 3 + 2 * rng.standard_normal((7, 4)),
        "gamma": rng.uniform(0.5, 2, 4),
        "beta": rng.uniform(0.5, 2, 4),
    }


@pytest.mark.equation("B6")
@pytest.mark.equation("B7")
@pytest.mark.parametrize("eps", [1e-5, 0.5])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_layer_gradients(framework, batch, eps):
    _, cache = forward.batchnorm_forward(batch["x"], batch["gamma"], batch["beta"], eps)
    want = backward.batchnorm_backward(batch["dy"], cache)
    tensors = map(torch.from_numpy, batch.values())
    for got, true in zip(load(framework).layer_gradients(*tensors, eps=eps), want, strict=True):
        assert_close(got.numpy(), true)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_centre_backwards(framework, batch):
    x = torch.from_numpy(batch["x"]).requires_grad_()
    y = centre(framework)(x)
    assert_close(y.detach().numpy(), batch["x"] - batch["x"].mean(axis=0))
    (dx,) = torch.autograd.grad(y, x, torch.from_numpy(batch["dy"]))
    assert_close(dx.numpy(), batch["dy"] - batch["dy"].mean(axis=0))


@pytest.mark.equation("B15")
def test_gradcheck_accepts_the_right_gradient(batch):
    is_right = load("torch").gradient_is_right
    x = torch.from_numpy(batch["x"]).requires_grad_()
    assert is_right(centre("torch"), x)
    assert is_right(
        partial(torch.nn.functional.batch_norm, running_mean=None, running_var=None, training=True),
        x,
    )


def test_gradcheck_rejects_a_wrong_gradient(batch):
    class Wrong(load("torch").Centre):
        @staticmethod
        def backward(ctx, dy):
            return dy

    x = torch.from_numpy(batch["x"]).requires_grad_()
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        load("torch").gradient_is_right(Wrong.apply, x)


@pytest.mark.equation("B1")
@pytest.mark.skipif(keras.backend.backend() != "torch", reason="gradients are those of torch")
def test_slope_along_a_direction_is_that_of_the_gradient(batch):
    code = load("keras")
    dy, x, gamma, beta = map(torch.from_numpy, batch.values())
    layer = keras.layers.BatchNormalization(epsilon=1e-5)
    layer.build(x.shape)
    layer.gamma.assign(gamma)

    direction = torch.from_numpy(np.random.default_rng(1).standard_normal(x.shape))
    slope = code.slope_along(lambda x: (dy * layer(x, training=True)).sum(), x, direction)
    dx, *_ = code.layer_gradients(dy, x, gamma, beta)
    assert_close(slope.item(), (dx * direction).sum().item(), atol=1e-3)


@pytest.mark.equation("B1")
def test_the_default_step_is_near_the_best():
    error = partial(gradient_error, backward.numerical_gradient)
    assert error(1e-5) < 1e-9
    assert error(1e-5) < min(error(1e-7), error(1e-3)) / 10
