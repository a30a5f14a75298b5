"""Weights whose length does not count: what gradient descent, weight decay and Adam do to them."""

from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bncourse.lab import data, ensemble, models
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


class ExactBatchNorm(ensemble.BatchNorm):
    """Batch norm without eps, in float64."""

    def __init__(self, members: int, width: int):
        super().__init__(members, width)
        self.layer = nn.BatchNorm1d(members * width, eps=EPS, dtype=torch.float64)


def train(seed: int, decay: float = 0.0, scale: float = 1.0, **options) -> Trace:
    """Return the Trace of one seed; those of SEEDS train together.

    Args:
        seed, decay, scale, options: as for ``together``.
    """
    seeds = SEEDS if seed in SEEDS else (seed,)
    return together(seeds, decay, scale, **options)[seeds.index(seed)]


@once
@one_thread()
def together(
    seeds: tuple[int, ...],
    decay: float = 0.0,
    scale: float = 1.0,
    lr: float = 0.1,
    steps: int = 400,
    growing: bool = False,
    source: Callable[[int], data.Split] = data.digits,
) -> list[Trace]:
    """Train a net for each seed by plain gradient descent; only scale-invariant weights decay.

    Args:
        seeds: of the split, the weights and the batches of 60.
        decay: lambda, the share of the weights per unit of rate that each step takes away.
        scale: of the scale-invariant weights at the start.
        lr: learning rate.
        steps: number of batches.
        growing: have no decay, and the rate of (I6) instead.
        source: the data set, a function of the seed of its split.
    """
    sweep = ensemble.Sweep((lr,), seeds, source)
    nets = sweep.nets(lambda seed: invariant_net(seed, scale, sweep.x.shape[-1]))
    net = ensemble.stack(nets, ExactBatchNorm)
    scale_free, watched = {id(weight) for weight in invariant(net)}, net.get_parameter(WATCHED)
    keep = 1 - lr * decay
    rows = []
    for t, (x, y) in enumerate(islice(sweep.batches(), steps)):
        losses = ensemble.losses(net(x.double()), y)
        before = watched.detach().clone()
        gradients = torch.autograd.grad(losses.sum(), list(net.parameters()))
        rate = lr * keep ** -(2 * t + 1) if growing else lr
        with torch.no_grad():
            for parameter, gradient in zip(net.parameters(), gradients, strict=True):
                free = id(parameter) in scale_free
                if free and not growing:
                    parameter *= keep
                parameter -= (rate if free else lr) * gradient
            row = losses, watched.norm(dim=(1, 2)), _angle(before, watched)
        rows.append(torch.stack([*row, torch.full_like(losses, rate)]).detach())
    x, y = (torch.stack([split[part] for split in sweep.splits]) for part in (2, 3))
    shares = ensemble.accuracy(net, x.double(), y).tolist()
    with torch.no_grad():
        outputs = net(x.double()).numpy()
    columns = torch.stack(rows, dim=2).numpy()
    return [
        Trace(*columns[:, member], share, outputs[member]) for member, share in enumerate(shares)
    ]


def _angle(before: Tensor, after: Tensor) -> Tensor:
    """Return the angle between two weights of each member, (members,).

    It is taken from the sine: the cosine is blind to small angles.
    """
    u, v = (x / x.norm(dim=(1, 2), keepdim=True) for x in (before, after))
    return 2 * torch.asin((u - v).norm(dim=(1, 2)) / 2)


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
        angles.append(_angle(before[None], watched.detach()[None]).item())
    return np.array(angles)
