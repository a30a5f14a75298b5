"""Batch norm taken apart: networks that have one part of it and not another, each at its best rate.

All of them have eight hidden layers of 50 units, start from the same weights and see the same
batches.
"""

from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bncourse.lab import ensemble, models, probes
from bncourse.lab.experiments import SEEDS
from bncourse.lab.once import once
from bncourse.lab.threads import one_thread

DEPTH, WIDTH = 8, 50
RATES = (0.03, 0.1, 0.3, 1.0)
# The variance of the weights times the inputs: for ReLU by (W3). The slope of a sigmoid is at most
# 1/4, so a second start has weights four times as large.
ACTIVATIONS = {
    "ReLU": (nn.ReLU, 2.0),
    "sigmoid": (nn.Sigmoid, 1.0),
    "sigmoid, weights times 4": (nn.Sigmoid, 16.0),
}
KINDS = ("without", "once", "once, length apart", "batch norm", "noisy")


class NoisyBatchNorm(nn.Module):
    """Batch norm, and after it a shift and a scale of each unit that change with every step.

    (D1) y' = s y + m with m ~ N(0, shift^2) and log s ~ N(0, scale^2), the same for all examples.
    At inference there is no noise.

    Args:
        members, width: of the input (members, N, width).
        shift, scale: spread of m and of log s.
        seed: of the noise.

    Source: after santurkar2018how, whose noise also differs between examples.
    """

    def __init__(self, members: int, width: int, shift: float, scale: float, seed: int = 0):
        super().__init__()
        self.norm = ensemble.BatchNorm(members, width)
        self.spread = scale, shift
        self.generator = torch.Generator().manual_seed(seed)
        self.register_buffer("s", torch.ones(members, 1, width))
        self.register_buffer("m", torch.zeros(members, 1, width))

    def renew(self) -> None:
        """Draw the noise of the next step."""
        log_s, m = torch.randn((2, *self.m.shape), generator=self.generator)
        scale, shift = self.spread
        self.s, self.m = torch.exp(scale * log_s), shift * m

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return self.s * y + self.m if self.training else y


@torch.no_grad()
def normalize_once(net: nn.Sequential, x: Tensor, eps: float = 1e-5) -> None:
    """Fold the statistics of one batch into the weights of each hidden layer, in place.

    (D2) Column j of W is divided by sqrt(var_j + eps), and b_j becomes (b_j - mean_j) divided by
    it: for this batch, the net then hands on what it would with batch norm.

    Args:
        net: of ``ensemble.stack``, with biases and without batch norm.
        x: (members, N, K).
    """
    linears = [part for part in net if isinstance(part, ensemble.Linear)]
    for part in net:
        if part in linears[:-1]:
            var, mean = torch.var_mean(part(x), dim=1, correction=0, keepdim=True)
            part.weight *= torch.rsqrt(var + eps)
            part.bias.copy_((part.bias - mean) * torch.rsqrt(var + eps))
        x = part(x)


class Found(NamedTuple):
    """What came of each rate and seed, in arrays (rates, seeds)."""

    loss: np.ndarray  # of training, the mean of the last 20 steps
    chosen_by: np.ndarray  # accuracy, in percent, on half of the test images
    accuracy: np.ndarray  # on the other half
    jump: np.ndarray  # mean drift (S4) of one of the first steps, in spreads

    @property
    def best(self) -> int:
        """The number of the best rate, by the median accuracy on images that are not reported."""
        return int(np.median(self.chosen_by, axis=1).argmax())


def nets(kind: str, activation: str, sweep: ensemble.Sweep, noise: tuple) -> nn.Sequential:
    """Return the networks of a kind, one for each rate and seed of the sweep."""
    function, gain = ACTIVATIONS[activation]
    normed = kind in ("batch norm", "noisy")

    def make(seed: int) -> nn.Sequential:
        sizes = [sweep.x.shape[-1], *[WIDTH] * DEPTH, 10]
        net = models.mlp(sizes, function, nn.BatchNorm1d if normed else None, seed=seed)
        with torch.no_grad():
            for part in net:
                if isinstance(part, nn.Linear):
                    part.weight *= gain**0.5
        return net

    def noisy(members: int, width: int) -> nn.Module:
        return NoisyBatchNorm(members, width, *noise)

    net = ensemble.stack(sweep.nets(make), norm=noisy if kind == "noisy" else ensemble.BatchNorm)
    if kind.startswith("once"):
        normalize_once(net, next(sweep.batches())[0])
    if kind == "once, length apart":
        for name, part in list(net.named_children()):
            if isinstance(part, ensemble.Linear):
                copied = part.weight.detach().clone(), part.bias.detach().clone()
                setattr(net, name, ensemble.Directed(*copied))
    return net


@once
@one_thread()
def train(
    kind: str,
    activation: str,
    dataset: str = "digits",
    noise: tuple[float, float] = (0.5, 0.5),
    rates: tuple[float, ...] = RATES,
    seeds: tuple[int, ...] = SEEDS,
    steps: int = 300,
) -> Found:
    """Train the networks of a kind at all rates with plain gradient descent on batches of 60.

    Args:
        kind: one of KINDS.
        activation: a key of ACTIVATIONS.
        dataset: a key of ``data.DATASETS``.
        noise: spread of shift and scale, for the kind "noisy".
        rates: learning rates.
        seeds: of the split, the weights and the batches.
        steps: number of batches.
    """
    sweep = ensemble.Sweep(rates, seeds, dataset)
    net = nets(kind, activation, sweep, noise)
    noises = [part for part in net if isinstance(part, NoisyBatchNorm)]
    images = sweep.each(sweep.x[:, :200])
    before, jumps, losses = _percentiles(net, images), [], []
    for loss in islice(ensemble.steps(net, sweep.batches(), sweep.lr), steps):
        losses.append(loss)
        for part in noises:
            part.renew()
        if len(losses) <= 25:
            after = _percentiles(net, images)
            jumps.append(_jump(before, after))
            before = after
    loss = torch.stack(losses[-20:]).mean(0)
    halves = sweep.test_accuracy(net, 2)
    found = (loss, *(100 * half for half in halves), torch.stack(jumps).mean(0))
    return Found(*(sweep.shape(values).numpy() for values in found))


def _percentiles(net: nn.Sequential, x: Tensor) -> Tensor:
    """Return (S3) of every unit that feeds the last hidden activation, (3, members, units)."""
    values = probes.activation(net, models.before_activation(net, DEPTH), x)
    ordered = values.sort(dim=1).values
    rows = [round(q / 100 * (x.shape[1] - 1)) for q in probes.QUANTILES]
    return ordered[:, rows].transpose(0, 1)


def _jump(before: Tensor, after: Tensor) -> Tensor:
    """Return the drift (S4) of each member, divided by the spread before."""
    spread = (before[-1] - before[0]).mean(dim=1) / 2
    return (after - before).abs().mean(dim=(0, 2)) / spread
