"""What training does to a bias that batch norm makes redundant."""

from collections import OrderedDict
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from bncourse.lab import data, models
from bncourse.lab.once import once
from bncourse.lab.threads import one_thread
from bncourse.lab.training import accuracy

OPTIMIZERS = {
    "SGD": (torch.optim.SGD, 0.1),
    "Adam": (torch.optim.Adam, 1e-3),
}


class Drift(NamedTuple):
    """How a redundant bias moves."""

    distance: np.ndarray  # (steps,): root mean square distance of the biases from their start
    gradient: np.ndarray  # (steps,): root mean square of their gradients
    accuracy: float  # of the net at the end, on test images


def net_with_a_dead_bias(seed: int) -> nn.Sequential:
    """Return a digits classifier whose one hidden layer has a bias before batch norm, (F5)."""
    parts = OrderedDict(models.mlp([64, 50, 10], nn.ReLU, seed=seed).named_children())
    names = ["linear1", "norm1", "activation1", "linear2"]
    return nn.Sequential(OrderedDict((n, parts.get(n) or nn.BatchNorm1d(50)) for n in names))


@once
@one_thread()
def drift(optimizer: str, seed: int, steps: int = 300) -> Drift:
    """Train the net on digits and watch the redundant bias.

    Args:
        optimizer: a key of OPTIMIZERS, which holds its learning rate.
        seed: of the split, the weights and the batches of 60.
        steps: number of batches.
    """
    digits, net = data.digits(seed), net_with_a_dead_bias(seed)
    make, lr = OPTIMIZERS[optimizer]
    optimizer_ = make(net.parameters(), lr=lr)
    bias = net.linear1.bias
    start = bias.detach().clone()
    distances, gradients = [], []
    for x, y in islice(data.batches(digits.x, digits.y, 60, seed), steps):
        optimizer_.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer_.step()
        distances.append(_size(bias.detach() - start))
        gradients.append(_size(bias.grad))
    found = accuracy(net, digits.x_test, digits.y_test)
    return Drift(np.array(distances), np.array(gradients), found)


def _size(x: torch.Tensor) -> float:
    return x.square().mean().sqrt().item()
