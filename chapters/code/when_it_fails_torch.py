"""The chapter on when batch norm fails, in PyTorch."""

import torch


def normalize_real(norm, x, real):
    """Normalise sequences of different length without their padding.

    Args:
        norm: an nn.BatchNorm1d of C features.
        x: (N, T, C), padded at the end.
        real: (N, T), True where a step is no padding.
    """
    y = torch.zeros_like(x)
    # Rows of real steps only: (steps, C).
    y[real] = norm(x[real])
    return y
