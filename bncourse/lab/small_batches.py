"""Training on batches that are small, or of few classes: batch norm beside its rivals.

Networks with three hidden layers of 50 ReLUs on digits, and small convolutional ones; all seeds
and rates side by side. What is chosen by one half of the held-out images is reported on the other.
"""

from collections.abc import Callable, Iterator
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
WIDTH = 50
EXAMPLES = 2560
EPS = 1e-5


class GroupNorm(nn.Module):
    """Group norm of (members, N, width), (C6); with one group it is layer norm, (C4).

    Args:
        members, width: of the input.
        groups: number of groups of neighbouring units.

    Source: wu2018group.
    """

    def __init__(self, members: int, width: int, groups: int = 1):
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.ones(members, 1, width))
        self.bias = nn.Parameter(torch.zeros(members, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        x_hat = nn.functional.group_norm(x.flatten(0, 1), self.groups, eps=EPS).view_as(x)
        return torch.addcmul(self.bias, self.weight, x_hat)


class Renorm(nn.Module):
    """Batch renormalisation of (members, N, width), with the limits that its paper ends at.

    In training the batch's mean and deviation are corrected towards the running ones, by factors
    through which no gradient flows; the limits of the correction grow over the first half of
    ``steps``, from those of batch norm.

    Args:
        members, width: of the input.
        steps: of the training.
        momentum: PyTorch's.

    Source: ioffe2017renorm.
    """

    R_MAX, D_MAX = 3.0, 5.0

    def __init__(self, members: int, width: int, steps: int, momentum: float = 0.05):
        super().__init__()
        self.steps, self.step, self.momentum = steps, 0, momentum
        self.weight = nn.Parameter(torch.ones(members, 1, width))
        self.bias = nn.Parameter(torch.zeros(members, 1, width))
        self.register_buffer("mean", torch.zeros(members, 1, width))
        self.register_buffer("std", torch.ones(members, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.weight * (x - self.mean) / self.std + self.bias
        share = min(1.0, 2 * self.step / self.steps)
        r_max, d_max = 1 + share * (self.R_MAX - 1), share * self.D_MAX
        with torch.no_grad():
            var, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
            std = torch.sqrt(var + EPS)
            r = (std / self.std).clamp(1 / r_max, r_max)
            d = ((mean - self.mean) / self.std).clamp(-d_max, d_max)
            self.mean.lerp_(mean, self.momentum)
            self.std.lerp_(std, self.momentum)
            self.step += 1
        flat = x.transpose(0, 1).flatten(1)
        x_hat = nn.functional.batch_norm(flat, None, None, training=True, eps=EPS)
        x_hat = x_hat.view(x.shape[1], x.shape[0], x.shape[2]).transpose(0, 1)
        return torch.addcmul(self.bias, self.weight, torch.addcmul(d, r, x_hat))


NORMS = {
    "batch norm": lambda steps: ensemble.BatchNorm,
    "layer norm": lambda steps: GroupNorm,
    "group norm": lambda steps: partial(GroupNorm, groups=5),
    "renorm": lambda steps: partial(Renorm, steps=steps),
}
# Small batches take many steps, and want small ones.
RATES = {
    64: (0.03, 0.1, 0.3, 1.0),
    16: (0.03, 0.1, 0.3, 1.0),
    4: (0.003, 0.01, 0.03, 0.1),
    2: (0.003, 0.01, 0.03, 0.1),
}
SIZES = tuple(RATES)
# For batches of 32 that have few of the classes.
CLASSES = (10, 2, 1)
CLASS_RATES = (0.01, 0.03, 0.1, 0.3, 1.0)


class Result(NamedTuple):
    """What came of each rate and seed, in percent, in arrays (rates, seeds)."""

    chosen_by: np.ndarray  # accuracy on half of the held-out images, in inference mode
    accuracy: np.ndarray  # on the other half
    in_training: np.ndarray  # on all of them, in training mode, in batches like those of training
    rates: tuple[float, ...]

    best = property(ensemble.best_rate)
    at_best = property(ensemble.at_best)


def mlps(sweep: ensemble.Sweep, norm: Callable[[int, int], nn.Module]) -> nn.Sequential:
    """Return the networks of a sweep, with a norm before each ReLU."""
    sizes = [sweep.x.shape[-1], WIDTH, WIDTH, WIDTH, 10]
    nets = sweep.nets(lambda seed: models.mlp(sizes, nn.ReLU, nn.BatchNorm1d, seed=seed))
    return ensemble.stack(nets, norm=norm)


@once
@one_thread()
def train(
    norm: str,
    size: int,
    seeds: tuple[int, ...] = SEEDS,
    rates: tuple[float, ...] | None = None,
    examples: int = EXAMPLES,
    dataset: str = "digits",
    frozen: bool = False,
) -> Result:
    """Train the networks with a norm by plain gradient descent on shuffled batches.

    Args:
        norm: a key of NORMS.
        size: of a batch.
        seeds: of the split, the weights and the batches.
        rates: learning rates; the usual ones are those of RATES.
        examples: seen in training; the number of steps is this over ``size``.
        dataset: a key of ``data.DATASETS``.
        frozen: whether the weights before the norms stay at their start.
    """
    sweep = ensemble.Sweep(rates or RATES[size], seeds, dataset, size)
    return _trained(norm, sweep, sweep.batches(), examples // size, frozen)


@once
@one_thread()
def of_few_classes(
    norm: str,
    classes: int,
    seeds: tuple[int, ...] = SEEDS,
    rates: tuple[float, ...] = CLASS_RATES,
    steps: int = 128,
    dataset: str = "digits",
) -> Result:
    """Train the networks with a norm on batches of 32 that have only some of the ten classes.

    Args:
        norm: a key of NORMS.
        classes: how many a batch has, drawn anew for each.
        seeds, rates, dataset: as for ``train``.
        steps: number of batches.
    """
    sweep = ensemble.Sweep(rates, seeds, dataset, 32)
    return _trained(norm, sweep, batches_of_classes(sweep, classes), steps)


def freeze(net: nn.Sequential) -> None:
    """Let the weights of all linear maps but the last rest: they are no parameters any more."""
    for layer in [part for part in net if isinstance(part, ensemble.Linear)][:-1]:
        weight = layer.weight.detach()
        del layer.weight
        layer.register_buffer("weight", weight)


def _trained(
    norm: str, sweep: ensemble.Sweep, stream: Iterator, steps: int, frozen: bool = False
) -> Result:
    net = mlps(sweep, NORMS[norm](steps))
    if frozen:
        freeze(net)
    for _ in islice(ensemble.steps(net, stream, sweep.lr), steps):
        pass
    return result(net, sweep, sweep.size)


def result(net: nn.Module, sweep: ensemble.Sweep, size: int) -> Result:
    """Return the accuracies of trained networks; their running statistics move."""
    halves = [sweep.shape(100 * half).numpy() for half in sweep.test_accuracy(net, 2)]
    x = torch.stack([split.x_test for split in sweep.splits])
    y = torch.stack([split.y_test for split in sweep.splits])
    many = x.shape[1] // size * size
    right = []
    net.train()
    with torch.no_grad():
        for rows in torch.arange(many).split(size):
            outputs = net(sweep.each(x[:, rows]))
            right.append((outputs.argmax(dim=2) == sweep.each(y[:, rows])).float())
    in_training = sweep.shape(100 * torch.cat(right, dim=1).mean(dim=1)).numpy()
    return Result(*halves, in_training, sweep.rates)


def batches_of_classes(sweep: ensemble.Sweep, classes: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches for all members that hold images of a few random classes only."""
    generators = [torch.Generator().manual_seed(seed) for seed in sweep.seeds]
    number = torch.arange(len(sweep.seeds))[:, None]
    while True:
        rows = torch.stack(
            [
                _rows(y, classes, sweep.size, generator)
                for y, generator in zip(sweep.y, generators, strict=True)
            ]
        )
        yield sweep.each(sweep.x[number, rows]), sweep.each(sweep.y[number, rows])


def _rows(y: Tensor, classes: int, size: int, generator: torch.Generator) -> Tensor:
    chosen = torch.randperm(10, generator=generator)[:classes]
    rows = torch.isin(y, chosen).nonzero().squeeze(1)
    return rows[torch.randint(len(rows), (size,), generator=generator)]


class Conv(nn.Module):
    """A 3 x 3 convolution with padding for each member, without a bias.

    Args:
        weights: (members, outputs, inputs, 3, 3).
    """

    def __init__(self, weights: Tensor):
        super().__init__()
        self.weight = nn.Parameter(weights)

    def forward(self, x: Tensor) -> Tensor:
        members = len(self.weight)
        return nn.functional.conv2d(x, self.weight.flatten(0, 1), padding=1, groups=members)


class BlockNorm(nn.Module):
    """Batch norm of images whose pixels share their statistics in square blocks only.

    With one block it is (C1); with blocks of one pixel each place has statistics of its own, as
    each unit of a dense layer has. Scale and shift belong to the channel in any case.

    Args:
        channels: of all members together.
        side: of an image, in pixels.
        block: side of a block, a divisor of ``side``.
    """

    def __init__(self, channels: int, side: int, block: int):
        super().__init__()
        self.block, self.across = block, side // block
        self.layer = nn.BatchNorm1d(channels * self.across**2, affine=False)
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        n, channels, side, _ = x.shape
        if self.across == 1:
            x_hat = self.layer(x.flatten(2)).view_as(x)
            return self.weight * x_hat + self.bias
        blocks = x.view(n, channels, self.across, self.block, self.across, self.block)
        blocks = blocks.transpose(3, 4)
        flat = self.layer(blocks.reshape(n, -1, self.block**2))
        x_hat = flat.view(blocks.shape).transpose(3, 4).reshape(n, channels, side, side)
        return self.weight * x_hat + self.bias


class ConvNet(nn.Module):
    """Two convolutions with batch norm and ReLU, then a linear map, for each member.

    Args:
        seeds: of the weights, one for each member.
        block: side of the blocks of pixels that share statistics.
        channels: of each convolution.
    """

    SIDE = 8

    def __init__(self, seeds: list[int], block: int, channels: int = 8):
        super().__init__()
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        draws = {"inputs": (channels, 1, 3, 3), "hidden": (channels, channels, 3, 3)}
        draws["last"] = (channels * self.SIDE**2, 10)
        drawn: dict[str, list[Tensor]] = {name: [] for name in draws}
        for generator in generators:
            for name, shape in draws.items():
                fan = shape[0] if name == "last" else 9 * shape[1]
                drawn[name].append(torch.randn(shape, generator=generator) * fan**-0.5)
        stacked = {name: torch.stack(parts) for name, parts in drawn.items()}
        count = len(seeds) * channels
        self.body = nn.Sequential(
            Conv(stacked["inputs"]),
            BlockNorm(count, self.SIDE, block),
            nn.ReLU(),
            Conv(stacked["hidden"]),
            BlockNorm(count, self.SIDE, block),
            nn.ReLU(),
        )
        self.last = ensemble.Linear(stacked["last"], torch.zeros(len(seeds), 1, 10))

    def forward(self, x: Tensor) -> Tensor:
        members, n, _ = x.shape
        images = x.transpose(0, 1).reshape(n, members, self.SIDE, self.SIDE)
        features = self.body(images).view(n, members, -1).transpose(0, 1)
        return self.last(features)


BLOCKS = (1, 2, 8)


def noise(x: Tensor, block: int) -> float:
    """Return N times the noise of (T4), the mean over channels and blocks.

    Args:
        x: (images, channels, side, side), many images.
        block: side of the blocks of pixels that share statistics.
    """
    across = x.shape[-1] // block
    blocks = x.unflatten(3, (across, block)).unflatten(2, (across, block))
    pixels = blocks.transpose(3, 4).flatten(4).flatten(1, 3)
    pixels = pixels - pixels.mean(dim=(0, 2), keepdim=True)
    v = pixels.square().mean(dim=(0, 2))
    between = pixels.mean(dim=2).var(dim=0, correction=0) / v
    squares = pixels.square().mean(dim=2).var(dim=0, correction=0) / (4 * v**2)
    return (between + squares)[v > 1e-3 * v.mean()].mean().item()


@one_thread()
def filter_noise(block: int, seeds: tuple[int, ...] = SEEDS) -> np.ndarray:
    """Return N times the noise of (T4) for the first filters at the start, (seeds,)."""
    found = []
    for seed in seeds:
        convolution = ConvNet([seed], block).body[0]
        with torch.no_grad():
            z = convolution(data.digits(seed).x.view(-1, 1, ConvNet.SIDE, ConvNet.SIDE))
        found.append(noise(z, block))
    return np.array(found)


@once
@one_thread()
def conv(
    block: int,
    size: int = 2,
    seeds: tuple[int, ...] = SEEDS,
    rates: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1),
    examples: int = 720,
) -> Result:
    """Train convolutional networks whose pixels share their statistics in blocks.

    Args:
        block: side of a block, one of BLOCKS.
        size: of a batch.
        seeds, rates, examples: as for ``train``.
    """
    sweep = ensemble.Sweep(rates, seeds, size=size)
    net = ConvNet([seed for _ in rates for seed in seeds], block)
    for _ in islice(ensemble.steps(net, sweep.batches(), sweep.lr), examples // size):
        pass
    return result(net, sweep, size)
