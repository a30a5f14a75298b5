"""The chapter on depth, in PyTorch."""

from torch import nn


class Block(nn.Module):
    """A residual block that starts as the identity.

    Args:
        width: features, the same on both sides.
    """

    def __init__(self, width):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
        )
        nn.init.zeros_(self.branch[-1].weight)

    def forward(self, x):
        return x + self.branch(x)
