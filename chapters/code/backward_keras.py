"""The backward chapter in Keras 3; gradients are taken with the PyTorch backend."""

import keras
import torch


def layer_gradients(dy, x, gamma, beta, eps=1e-5):
    """Return dx, dgamma and dbeta of (B7) and (B6), from Keras's backend.

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
    parameters = layer.gamma.value, layer.beta.value
    return torch.autograd.grad(y, (x, *parameters), dy)
