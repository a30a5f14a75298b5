"""The PyTorch and Keras code that the chapters show agrees with the reference."""

import inspect
from functools import partial

import numpy as np
import pytest
from conftest import load_chapter_code as load

from bncourse.reference import forward

# keras.ops.convert_to_numpy asks PyTorch for a copy in a way that NumPy 2 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# Keras computes in float32 by default; a biased variance taken for an unbiased one is 1e-1 off.
assert_close = partial(np.testing.assert_allclose, rtol=0, atol=1e-5)


class Torch:
    """Call forward_torch with NumPy arrays."""

    code = load("forward_torch")

    def __call__(self, name, *arrays, **options):
        import torch

        made = getattr(self.code, name)(*_map(torch.from_numpy, arrays), **options)
        return _map(lambda tensor: tensor.detach().numpy(), made)


class Keras:
    """Call forward_keras with NumPy arrays."""

    code = load("forward_keras")

    def __call__(self, name, *arrays, **options):
        import keras

        return _map(keras.ops.convert_to_numpy, getattr(self.code, name)(*arrays, **options))


def _map(function, value):
    return (
        type(value)(_map(function, each) for each in value)
        if isinstance(value, tuple | list)
        else function(value)
    )


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return {
        "x": 3 + 2 * rng.standard_normal((7, 4)),
        "gamma": rng.uniform(0.5, 2, 4),
        "beta": rng.uniform(0.5, 2, 4),
        "running_mean": rng.uniform(1, 3, 4),
        "running_var": rng.uniform(2, 4, 4),
    }


@pytest.fixture(params=[Torch, Keras], ids=["torch", "keras"])
def framework(request):
    return request.param()


@pytest.mark.equation("F4")
@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_training_output(framework, batch, eps):
    x, gamma, beta = batch["x"], batch["gamma"], batch["beta"]
    y, _ = forward.batchnorm_forward(x, gamma, beta, eps)
    assert_close(framework("training_output", x, gamma, beta, eps=eps), y)


@pytest.mark.equation("F7")
@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_inference_output(framework, batch, eps):
    want = forward.batchnorm_inference(**batch, eps=eps)
    assert_close(framework("inference_output", *batch.values(), eps=eps), want)


@pytest.mark.equation("F6")
@pytest.mark.parametrize("unbiased", [True, False])
def test_running_statistics(batch, unbiased):
    # PyTorch stores the unbiased variance, Keras the biased one; their momenta add to 1.
    batches = [batch["x"], 2 * batch["x"] - 1]
    framework, momentum = (Torch(), 0.2) if unbiased else (Keras(), 0.8)
    mean, var = np.zeros(4), np.ones(4)
    for x in batches:
        new_mean, new_var = forward.batch_statistics(x)
        correction = len(x) / (len(x) - 1) if unbiased else 1
        mean = 0.8 * mean + 0.2 * new_mean
        var = 0.8 * var + 0.2 * new_var * correction
    got = framework("running_statistics", batches, momentum=momentum)
    assert_close(got, (mean, var))


@pytest.mark.equation("F5")
def test_the_hidden_layers_have_no_bias():
    import torch

    torch_layer = Torch.code.hidden_layer(3, 5)
    keras_layer = Keras.code.hidden_layer(3, 5)
    assert torch_layer[0].bias is None
    assert not keras_layer.layers[0].use_bias
    assert torch_layer(torch.zeros(4, 3)).shape == (4, 5)
    assert keras_layer.output_shape == (None, 5)


def test_the_defaults_that_the_chapter_names():
    import keras
    from torch import nn

    defaults = inspect.signature(keras.layers.BatchNormalization).parameters
    assert nn.BatchNorm1d(1).eps == 1e-5
    assert nn.BatchNorm1d(1).momentum == 0.1
    assert defaults["epsilon"].default == 1e-3
    assert defaults["momentum"].default == 0.99
