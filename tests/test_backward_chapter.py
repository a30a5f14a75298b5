"""The backward chapter: its framework code agrees with the reference."""

import importlib.util
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import torch

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


@pytest.mark.equation("B6")
@pytest.mark.equation("B7")
@pytest.mark.parametrize("eps", [1e-5, 0.5])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_layer_gradients(framework, eps):
    rng = np.random.default_rng(0)
    dy = rng.standard_normal((7, 4))
    x = 3 + 2 * rng.standard_normal((7, 4))
    gamma, beta = rng.uniform(0.5, 2, (2, 4))
    _, cache = forward.batchnorm_forward(x, gamma, beta, eps)
    want = backward.batchnorm_backward(dy, cache)
    tensors = map(torch.from_numpy, (dy, x, gamma, beta))
    for got, true in zip(load(framework).layer_gradients(*tensors, eps=eps), want, strict=True):
        assert_close(got.numpy(), true)


@pytest.mark.equation("B16")
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_constant_feature_passes_its_gradient_on(framework):
    dy = np.random.default_rng(0).standard_normal((8, 1))
    constant, one = torch.full((8, 1), 3.0), torch.ones(1)
    eps = 1e-3
    dx, *_ = load(framework).layer_gradients(
        torch.from_numpy(dy).float(), constant, one, one, eps=eps
    )
    assert_close(dx.numpy(), (dy - dy.mean()) / np.sqrt(eps), atol=1e-4)
