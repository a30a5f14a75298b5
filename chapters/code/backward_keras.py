"""The backward chapter in Keras 3; gradients are taken with the PyTorch backend."""

import keras
import torch
from keras import ops


@keras.ops.custom_gradient
def centre(x):
    """Subtract the mean of each feature, with a backward pass written by hand."""

    def backward(*args, upstream=None):
        # With PyTorch the gradient comes as upstream, with TensorFlow and JAX as the argument.
        dy = args[0] if upstream is None else upstream
        return dy - ops.mean(dy, axis=0)

    return x - ops.mean(x, axis=0), backward


def layer_gradients(dy, x, gamma, beta, eps=1e-5):
    """Return dx, dgamma and dbeta of (B7) and (B6), as the backend of Keras computes them.

    Args:
        dy, x: (N, D) tensors.
        gamma, beta: (D,) tensors.
        eps: added to the variance.
    """
    layer = keras.layers.BatchNormalization(epsilon=eps)
    layer.build(x.shape)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    x = x.detach().requires_grad_()
    y = layer(x, training=True)
    return torch.autograd.grad(y, (x, layer.gamma.value, layer.beta.value), dy)


def slope_along(function, x, direction, h=1e-2):
    """Return the central difference (B1) of a number along one direction.

    It must equal <dx, direction>. For a random direction, two calls test all of dx at once.

    Args:
        function: of one tensor; returns a number.
        x, direction: tensors of one shape.
        h: the step, in the units of x; large, because Keras computes in float32.
    """
    return (function(x + h * direction) - function(x - h * direction)) / (2 * h)
