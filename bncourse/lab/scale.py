"""Weights whose length does not count: what gradient descent, weight decay and Adam do to them."""

from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bncourse.lab import data, models, training
from bncourse.lab.once import once
from bncourse.lab.threads import one_thread

SEEDS = (0, 1, 2, 3, 4)
SCALES = (0.3, 1.0, 3.0)
WATCHED = "linear2.weight"
EPS = 1e-30  # PyTorch refuses 0; in float64 this is nothing beside a variance
cross_entropy = nn.functional.cross_entropy


def invariant_net(seed: int, scale: float = 1.0, inputs: int = 64) -> nn.Sequential:
    """Return a digits classifier with two hidden layers of 50 ReLU, in float64, with no eps.

    The weights before batch norm are scale-invariant, exactly so without eps.

    Args:
        seed: of the weights.
        scale: factor on the weights before batch norm.
        inputs: features of the data.
    """
    norm = partial(nn.BatchNorm1d, eps=EPS)
    net = models.mlp([inputs, 50, 50, 10], nn.ReLU, norm, seed=seed).double()
    with torch.no_grad():
        for weight in invariant(net):
            weight *= scale
    return net


def invariant(net: nn.Sequential) -> list[Tensor]:
    """Return the weights that stand before a batch norm."""
    return [net.linear1.weight, net.linear2.weight]


class Trace(NamedTuple):
    """A training run, seen at each step."""

    loss: np.ndarray  # (steps,): of the batch, before the step
    length: np.ndarray  # (steps,): of the watched weights, after the step
    angle: np.ndarray  # (steps,): by which the step turns them, in radians
    rate: np.ndarray  # (steps,): learning rate of the scale-invariant weights
    accuracy: float  # of the net at the end, on test images
    outputs: np.ndarray  # (test images, classes) of the net at the end, as one batch in training


@once
@one_thread()
def train(
    seed: int,
    decay: float = 0.0,
    scale: float = 1.0,
    lr: float = 0.1,
    steps: int = 400,
    growing: bool = False,
    source: Callable[[int], data.Split] = data.digits,
) -> Trace:
    """Train by plain gradient descent; only scale-invariant weights decay.

    Args:
        seed: of the split, the weights and the batches of 60.
        decay: lambda, the share of the weights per unit of rate that each step takes away.
        scale: of the scale-invariant weights at the start.
        lr: learning rate.
        steps: number of batches.
        growing: have no decay, and the rate of (I6) instead.
        source: the data set, a function of the seed of its split.
    """
    split = source(seed)
    net = invariant_net(seed, scale, split.x.shape[1])
    scale_free = {id(weight) for weight in invariant(net)}
    watched = net.get_parameter(WATCHED)
    keep = 1 - lr * decay
    rows = []
    for t, (x, y) in enumerate(islice(data.batches(split.x, split.y, 60, seed), steps)):
        loss = cross_entropy(net(x.double()), y)
        before = watched.detach().clone()
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        rate = lr * keep ** -(2 * t + 1) if growing else lr
        with torch.no_grad():
            for parameter, gradient in zip(net.parameters(), gradients, strict=True):
                free = id(parameter) in scale_free
                if free and not growing:
                    parameter *= keep
                parameter -= (rate if free else lr) * gradient
        rows.append((loss.item(), watched.norm().item(), _angle(before, watched.detach()), rate))
    accuracy = training.accuracy(net, split.x_test.double(), split.y_test)
    with torch.no_grad():
        outputs = net(split.x_test.double()).numpy()
    return Trace(*map(np.array, zip(*rows, strict=True)), accuracy, outputs)


def _angle(before: Tensor, after: Tensor) -> float:
    """Return the angle between two weights, from the sine: the cosine is blind to small angles."""
    u, v = (x.flatten() / x.norm() for x in (before, after))
    return 2 * torch.asin((u - v).norm() / 2).item()


class Plane(NamedTuple):
    """A unit with two weights, batch norm, and a loss that depends on their direction only."""

    x: np.ndarray  # (N, 2)
    t: np.ndarray  # (N,)

    def loss(self, w: np.ndarray) -> float:
        """Return the mean squared error of the normalised output, halved; ``w`` is (2,)."""
        z = self.x @ w
        return float(np.mean(((z - z.mean()) / z.std() - self.t) ** 2) / 2)

    def gradient(self, w: np.ndarray) -> np.ndarray:
        """Return the gradient of the loss, (B7) times the input."""
        z = self.x @ w
        x_hat = (z - z.mean()) / z.std()
        dy = (x_hat - self.t) / len(z)
        dz = (dy - dy.mean() - x_hat * (dy * x_hat).mean()) / z.std()
        return self.x.T @ dz

    def descend(self, w: np.ndarray, lr: float, steps: int) -> np.ndarray:
        """Return the weights before and after each step, (steps + 1, 2)."""
        way = [np.asarray(w, dtype=float)]
        for _ in range(steps):
            way.append(way[-1] - lr * self.gradient(way[-1]))
        return np.array(way)


def plane(seed: int = 0) -> Plane:
    """Return a Plane of 40 examples whose best direction is (1, 1)."""
    x = np.random.default_rng(seed).standard_normal((40, 2))
    t = x.sum(axis=1)
    return Plane(x, (t - t.mean()) / t.std())


@once
@one_thread()
def adam_angles(seed: int, scale: float, lr: float = 1e-3, steps: int = 20) -> np.ndarray:
    """Return the angle by which each of the first steps of Adam turns the watched weights.

    Args:
        seed: of the split, the weights and the batches of 60.
        scale: of the scale-invariant weights at the start.
        lr, steps: of Adam.
    """
    split, net = data.digits(seed), invariant_net(seed, scale)
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    watched, angles = net.get_parameter(WATCHED), []
    for x, y in islice(data.batches(split.x, split.y, 60, seed), steps):
        before = watched.detach().clone()
        optimizer.zero_grad()
        cross_entropy(net(x.double()), y).backward()
        optimizer.step()
        angles.append(_angle(before, watched.detach()))
    return np.array(angles)
