"""The chapter on what batch norm buys, in PyTorch."""

from torch import nn


def classifier(inputs, classes, width=50, drop=0.2):
    """Return a network with batch norm and dropout, in the order that suits both.

    Batch norm stands before each activation, and no linear map before it has a
    bias. Dropout stands behind the last batch norm: its noise reaches no
    running variance.
    """
    return nn.Sequential(
        nn.Linear(inputs, width, bias=False),
        nn.BatchNorm1d(width),
        nn.ReLU(),
        nn.Linear(width, width, bias=False),
        nn.BatchNorm1d(width),
        nn.ReLU(),
        nn.Dropout(drop),
        nn.Linear(width, classes),
    )
