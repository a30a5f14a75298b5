"""The chapter on the relatives of batch norm, in PyTorch."""

import torch
from torch import nn


def ready_made(channels, groups):
    """Return the norms that PyTorch has for images (N, C, H, W).

    Args:
        channels: C.
        groups: of group norm, a divisor of C.
    """
    return {
        "batch": nn.BatchNorm2d(channels),
        "layer": nn.GroupNorm(1, channels),
        "instance": nn.InstanceNorm2d(channels, affine=True),
        "group": nn.GroupNorm(groups, channels),
    }


class DyT(nn.Module):
    """Dynamic tanh: gamma tanh(alpha x) + beta, alpha learned.

    Args:
        features: the length of the last axis.
        alpha: at the start.
    """

    def __init__(self, features, alpha=0.5):
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(alpha))
        self.gamma = nn.Parameter(torch.ones(features))
        self.beta = nn.Parameter(torch.zeros(features))

    def forward(self, x):
        return self.gamma * torch.tanh(self.alpha * x) + self.beta
