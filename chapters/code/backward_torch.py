"""The backward chapter in PyTorch."""

import torch
from torch import nn


def layer_gradients(dy, x, gamma, beta, eps=1e-5):
    """Return dx, dgamma and dbeta of (B7) and (B6), as autograd computes them.

    Args:
        dy, x: (N, D) tensors.
        gamma, beta: (D,) tensors.
        eps: added to the variance.
    """
    inputs = [tensor.detach().requires_grad_() for tensor in (x, gamma, beta)]
    y = nn.functional.batch_norm(
        inputs[0],
        None,
        None,
        weight=inputs[1],
        bias=inputs[2],
        training=True,
        eps=eps,
    )
    return torch.autograd.grad(y, inputs, dy)
