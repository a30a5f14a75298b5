"""The backward chapter in PyTorch."""

import torch
from torch import nn


class Centre(torch.autograd.Function):
    """Subtract the mean of each feature, with a backward pass written by hand.

    The map is x - mean(x). Its Jacobian I - 1 1^T / N is symmetric, so backward centres dy.
    """

    @staticmethod
    def forward(ctx, x):
        return x - x.mean(dim=0)

    @staticmethod
    def backward(ctx, dy):
        return dy - dy.mean(dim=0)


def layer_gradients(dy, x, gamma, beta, eps=1e-5):
    """Return dx, dgamma and dbeta of (B7) and (B6), as autograd computes them.

    Args:
        dy, x: (N, D) tensors.
        gamma, beta: (D,) tensors.
        eps: added to the variance.
    """
    inputs = [tensor.detach().requires_grad_() for tensor in (x, gamma, beta)]
    y = nn.functional.batch_norm(
        inputs[0], None, None, weight=inputs[1], bias=inputs[2], training=True, eps=eps
    )
    return torch.autograd.grad(y, inputs, dy)


def gradient_is_right(function, x):
    """Return True, or raise where first or second derivatives differ from differences (B1).

    Args:
        function: of one tensor.
        x: float64 tensor with requires_grad; float32 has too few digits for a difference.
    """
    first = torch.autograd.gradcheck(function, (x,))
    return first and torch.autograd.gradgradcheck(function, (x,))
