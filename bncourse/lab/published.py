"""A published comparison whose flag adds the wrong layer: what it compares, and the repaired one.

One hidden layer of 128 ReLUs, ten epochs of Adam, digits; all seeds and rates side by side.
"""

from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bncourse.lab import buys, ensemble, models
from bncourse.lab.experiments import SEEDS
from bncourse.lab.once import once
from bncourse.lab.threads import one_thread

WIDTH, EPOCHS, SIZE = 128, 10, 32
# Keras's default comes first: the published code leaves it as it is.
RATES = (0.001, 0.003, 0.01, 0.03)
SMALLEST = 1e-7


def losses_of_shares(outputs: Tensor, y: Tensor) -> Tensor:
    """Return the mean loss of outputs that are taken for shares, for each member.

    (Q1): L = -log(c(a_t) / sum_j c(a_j)), where c cuts off at SMALLEST and 1 - SMALLEST.

    Args:
        outputs: (members, N, units), of whatever size.
        y: (members, N) labels, below the number of units.

    Returns:
        (members,) losses, as Keras computes them with TensorFlow.

    >>> labels = torch.tensor([[1]])
    >>> losses_of_shares(torch.tensor([[[0.75, 0.25]]]), labels).exp()
    tensor([4.])

    Source: chollet2015keras.
    """
    return ensemble.losses(outputs.clamp(SMALLEST, 1 - SMALLEST).log(), y)


class KerasBatchNorm(ensemble.BatchNorm):
    """Batch norm with Keras's defaults; what it stores is the unbiased variance, as in PyTorch."""

    def __init__(self, members: int, width: int):
        super().__init__(members, width)
        self.layer = nn.BatchNorm1d(members * width, eps=1e-3, momentum=0.01)


# What the flag builds when it is off and on, and what the article means by on.
HEADLESS, WITHOUT, BATCH_NORM = "no output layer", "without batch norm", "batch norm"
PUBLISHED = {False: HEADLESS, True: WITHOUT}
REPAIRED = {False: WITHOUT, True: BATCH_NORM}


def net_of(kind: str, sweep: ensemble.Sweep) -> nn.Sequential:
    """Return the networks of a kind, one for each rate and seed of the sweep."""
    norm = nn.BatchNorm1d if kind == BATCH_NORM else None

    def make(seed: int) -> nn.Sequential:
        made = models.mlp([sweep.x.shape[-1], WIDTH, 10], nn.ReLU, norm, seed=seed)
        return made[:-1] if kind == HEADLESS else made

    return ensemble.stack(sweep.nets(make), KerasBatchNorm)


class Curves(NamedTuple):
    """What came of each rate and seed, in arrays (epochs, rates, seeds)."""

    training: np.ndarray  # mean loss of the epoch's batches, as it was met
    chosen_by: np.ndarray  # loss on half of the held-out images, after the epoch
    validation: np.ndarray  # on the other half
    accuracy: np.ndarray  # in percent, on the other half

    @property
    def best(self) -> int:
        """The number of the rate with the least median loss at the end, on images not reported."""
        return int(np.median(self.chosen_by[-1], axis=1).argmin())


@once
@one_thread()
def curves(
    kind: str,
    dataset: str = "digits",
    seeds: tuple[int, ...] = SEEDS,
    rates: tuple[float, ...] = RATES,
    epochs: int = EPOCHS,
) -> Curves:
    """Train the networks of a kind with Adam, on batches of SIZE.

    Args:
        kind: HEADLESS, WITHOUT or BATCH_NORM.
        dataset: a key of ``data.DATASETS``; a fifth of the digits is held out.
        seeds: of the split, the weights and the batches.
        rates: of Adam.
        epochs: in all.
    """
    sweep = ensemble.Sweep(rates, seeds, dataset, SIZE)
    net = net_of(kind, sweep)
    losses = losses_of_shares if kind == HEADLESS else ensemble.losses
    stream = buys.adam_steps(net, sweep.batches(), sweep.lr, losses)
    rows = []
    for _ in range(epochs):
        met = torch.stack(list(islice(stream, sweep.x.shape[1] // SIZE))).mean(0)
        held_out = _held_out(net, sweep, losses)
        accuracy = 100 * sweep.test_accuracy(net, 2)[1]
        rows.append([sweep.shape(each).numpy() for each in (met, *held_out, accuracy)])
    return Curves(*np.moveaxis(np.array(rows), 1, 0))


def _held_out(net: nn.Sequential, sweep: ensemble.Sweep, losses) -> list[Tensor]:
    """Return the losses on both halves of the held-out images, in inference mode."""
    net.eval()
    with torch.no_grad():
        found = [
            losses(
                net(sweep.each(torch.stack([split.x_test[part::2] for split in sweep.splits]))),
                sweep.each(torch.stack([split.y_test[part::2] for split in sweep.splits])),
            )
            for part in range(2)
        ]
    net.train()
    return found
