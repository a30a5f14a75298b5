"""The chapter on checking a gradient in PyTorch."""

import torch


class Centre(torch.autograd.Function):
    """Subtract the mean of each feature: a backward pass written by hand.

    The Jacobian I - 1 1^T / N is symmetric, so backward centres dy.
    """

    @staticmethod
    def forward(ctx, x):
        return x - x.mean(dim=0)

    @staticmethod
    def backward(ctx, dy):
        return dy - dy.mean(dim=0)


def gradient_is_right(function, x):
    """Return True, or raise where a derivative differs from (B1).

    Args:
        function: of one tensor; its first and second derivatives count.
        x: float64 tensor with requires_grad.
    """
    first = torch.autograd.gradcheck(function, (x,))
    return first and torch.autograd.gradgradcheck(function, (x,))
