"""The chapter on convolutions in PyTorch."""

import torch
from torch import nn


def conv_block(in_channels, out_channels):
    """Return convolution, batch norm and ReLU; no bias, by (F5)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut; the last gamma starts at 0."""

    def __init__(self, channels):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        nn.init.zeros_(self.branch[-1].weight)

    def forward(self, x):
        return torch.relu(x + self.branch(x))


def relatives(channels, groups):
    """Return four layers for (N, C, H, W); gamma per channel."""
    return {
        "batch norm": nn.BatchNorm2d(channels),
        "layer norm": nn.GroupNorm(1, channels),
        "instance norm": nn.GroupNorm(channels, channels),
        "group norm": nn.GroupNorm(groups, channels),
    }


def channels_last(layer, images):
    """Return the layer's output for images that are stored as NHWC.

    The shape stays (N, C, H, W); only the order in memory changes.

    Args:
        layer: a module that takes (N, C, H, W).
        images: (N, C, H, W) tensor.
    """
    return layer(images.to(memory_format=torch.channels_last))
