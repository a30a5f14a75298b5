"""Many small networks of one shape, trained side by side: each with its own seed and rate.

A whole sweep of learning rates over all seeds costs hardly more than a few networks one by one,
so a page can give every network its own best rate. Member by member the numbers are those of the
single networks in ``models``, trained by ``training``.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from bncourse.lab import data
from bncourse.lab.data import Split

Losses = Callable[[Tensor, Tensor], Tensor]


class Linear(nn.Module):
    """One linear map for each member.

    Args:
        weights: (members, K, D).
        biases: (members, 1, D), or None.
    """

    def __init__(self, weights: Tensor, biases: Tensor | None):
        super().__init__()
        self.weight = nn.Parameter(weights)
        self.bias = None if biases is None else nn.Parameter(biases)

    def forward(self, u: Tensor) -> Tensor:
        if self.bias is None:
            return torch.bmm(u, self.weight)
        return torch.baddbmm(self.bias, u, self.weight)


class Directed(nn.Module):
    """A linear map for each member whose columns have a length of their own, (D5) W = g v / |v|.

    Args:
        weights: (members, K, D), v, which is W at the start.
        biases: (members, 1, D), or None.

    Source: salimans2016weight.
    """

    def __init__(self, weights: Tensor, biases: Tensor | None = None):
        super().__init__()
        self.weight = nn.Parameter(weights)
        self.g = nn.Parameter(weights.norm(dim=1, keepdim=True))
        self.bias = None if biases is None else nn.Parameter(biases)

    def forward(self, u: Tensor) -> Tensor:
        weight = self.weight * (self.g / self.weight.norm(dim=1, keepdim=True))
        if self.bias is None:
            return torch.bmm(u, weight)
        return torch.baddbmm(self.bias, u, weight)


class BatchNorm(nn.Module):
    """Batch norm of (members, N, D), each member with the statistics of its own batch.

    It is that of PyTorch, for which the units of all members are units of one layer.

    Args:
        members, width: of the input.
        affine: whether there are gamma and beta.
    """

    def __init__(self, members: int, width: int, affine: bool = True):
        super().__init__()
        self.layer = nn.BatchNorm1d(members * width, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        members, n, width = x.shape
        flat = x.transpose(0, 1).reshape(n, members * width)
        return self.layer(flat).view(n, members, width).transpose(0, 1)


def stack(nets: Sequence[nn.Sequential], norm: Callable[[int, int], nn.Module] = BatchNorm):
    """Return one network of all members: nets of ``models.mlp`` that differ in their weights only.

    Args:
        nets: one for each member.
        norm: makes what stands where the nets have a norm, from the members and the width.
    """
    layers = []
    for name, first in nets[0].named_children():
        parts = [net.get_submodule(name) for net in nets]
        layers.append((name, _stacked(first, parts, norm)))
    made = nn.Sequential()
    for name, layer in layers:
        made.add_module(name, layer)
    return made


def _stacked(first: nn.Module, parts: list, norm: Callable[[int, int], nn.Module]) -> nn.Module:
    if isinstance(first, nn.Linear):
        weights = torch.stack([part.weight.detach().T for part in parts]).contiguous()
        if first.bias is None:
            return Linear(weights, None)
        return Linear(weights, torch.stack([part.bias.detach()[None] for part in parts]))
    if isinstance(first, nn.BatchNorm1d):
        return norm(len(parts), first.num_features)
    return first


def losses(outputs: Tensor, y: Tensor) -> Tensor:
    """Return the mean cross-entropy of each member, (members,).

    Args:
        outputs: (members, N, classes).
        y: (members, N) labels.
    """
    each = nn.functional.cross_entropy(outputs.transpose(1, 2), y, reduction="none")
    return each.mean(dim=1)


def squared_errors(outputs: Tensor, y: Tensor) -> Tensor:
    """Return the mean squared error of each member, (members,); both are (members, N, outputs)."""
    return (outputs - y).square().mean(dim=(1, 2))


def steps(
    net: nn.Module,
    batches: Iterator,
    lr: Tensor,
    losses: Losses = losses,
) -> Iterator[Tensor]:
    """Take a step of plain gradient descent on each batch; yield the losses before it, (members,).

    Args:
        net: of ``stack``, trained in place, in the mode it is in.
        batches: pairs (members, N, K) and (members, N), or targets of another shape.
        lr: (members,) learning rates.
        losses: of outputs and targets, one for each member.
    """
    parameters = list(net.parameters())
    for x, y in batches:
        loss = losses(net(x), y)
        gradients = torch.autograd.grad(loss.sum(), parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.view(len(lr), -1).addcmul_(-lr[:, None], gradient.view(len(lr), -1))
        yield loss.detach()


class Sweep:
    """Data and batches of every pair of a learning rate and a seed.

    Args:
        rates: learning rates.
        seeds: of the split, the weights and the batches.
        dataset: a key of ``data.DATASETS``, or a function of the seed.
        size: of a batch.
        images: number of training images that are used; None takes all.
    """

    def __init__(
        self,
        rates: Sequence[float],
        seeds: Sequence[int],
        dataset: str | Callable[[int], Split] = "digits",
        size: int = 60,
        images: int | None = None,
    ):
        self.rates, self.seeds, self.size = tuple(rates), tuple(seeds), size
        source = data.DATASETS[dataset] if isinstance(dataset, str) else dataset
        self.splits: list[Split] = [source(seed) for seed in seeds]
        self.lr = torch.tensor(rates).repeat_interleave(len(seeds))
        self.x = torch.stack([split.x[:images] for split in self.splits])
        self.y = torch.stack([split.y[:images] for split in self.splits])

    @property
    def members(self) -> int:
        """How many networks there are."""
        return len(self.rates) * len(self.seeds)

    def nets(self, make: Callable[[int], nn.Sequential]) -> list[nn.Sequential]:
        """Return the members, made from their seeds: all seeds at the first rate come first."""
        return [make(seed) for _ in self.rates for seed in self.seeds]

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches (members, size, K) and (members, size) without end."""
        every = torch.arange(self.x.shape[1])
        streams = [data.batches(every, every, self.size, seed) for seed in self.seeds]
        number = torch.arange(len(self.seeds))[:, None]
        while True:
            rows = torch.stack([next(stream)[0] for stream in streams])
            yield self.each(self.x[number, rows]), self.each(self.y[number, rows])

    def each(self, of_seeds: Tensor) -> Tensor:
        """Return what belongs to the seeds, once for each rate: (seeds, ...) to (members, ...)."""
        return of_seeds.repeat(len(self.rates), *[1] * (of_seeds.ndim - 1))

    def shape(self, of_members: Tensor) -> Tensor:
        """Return (..., members) as (..., rates, seeds)."""
        return of_members.reshape(*of_members.shape[:-1], len(self.rates), len(self.seeds))

    def test_accuracy(self, net: nn.Module, parts: int = 1) -> list[Tensor]:
        """Return the share of test images that each member gets right, in inference mode.

        Args:
            net: of ``stack``.
            parts: the test images are dealt out to so many; there is one tensor for each.
        """
        x = torch.stack([split.x_test for split in self.splits])
        y = torch.stack([split.y_test for split in self.splits])
        dealt = [(x[:, part::parts], y[:, part::parts]) for part in range(parts)]
        return [accuracy(net, self.each(images), self.each(labels)) for images, labels in dealt]


def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the share of examples that each member classifies correctly in inference mode.

    Args:
        net: of ``stack``, left in the mode it was in.
        x, y: (members, N, K) and (members, N).
    """
    mode = net.training
    net.eval()
    with torch.no_grad():
        right = (net(x).argmax(dim=2) == y).float().mean(dim=1)
    net.train(mode)
    return right


def best_rate(run) -> int:
    """Return the number of a run's best rate, by the median on images that are not reported.

    Args:
        run: has ``chosen_by``, (rates, seeds) accuracies.
    """
    return int(np.median(run.chosen_by, axis=1).argmax())


def at_best(run) -> np.ndarray:
    """Return the reported ``accuracy`` of each seed at the best rate of a run, (seeds,)."""
    return run.accuracy[best_rate(run)]
