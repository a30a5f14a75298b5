"""The runs that several figures and tables share; each is computed once in a process."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bncourse.lab import data, ensemble, models, probes, training
from bncourse.lab.once import once
from bncourse.lab.threads import one_thread

SEEDS = (0, 1, 2, 3, 4)
cross_entropy = nn.functional.cross_entropy


def _losses(model: nn.Module, x: Tensor, y: Tensor, lr: float, seed: int) -> Iterator[float]:
    return training.sgd_steps(model, data.batches(x, y, 60, seed), cross_entropy, lr)


def _train(losses: Iterator, steps: int) -> None:
    for _ in islice(losses, steps):
        pass


LEVELS = (2.0, 1.4, 1.0, 0.7, 0.5)


class AtLevel(NamedTuple):
    """The third layer of weights while the loss passes a level: medians over the looks."""

    step: float
    loss: float
    length: float  # |G - G'|, (S5)
    relative: float  # the same, divided by |G|
    cosine: float  # (S6)
    looks: int


class Levels:
    """Looks at a network as long as its loss lies within a tenth of one of the LEVELS.

    One step says little, the next may differ tenfold: so all of them, or an even choice, are
    looked at.

    Args:
        model: watched during training.
        digits: the data; the loss is that of 500 training examples, gradients are those of 60.
        lr: learning rate.
        every: look at each step, or at each fourth, and so on.
    """

    def __init__(self, model: nn.Module, digits: data.Split, lr: float, every: int):
        self.model, self.digits, self.lr, self.every = model, digits, lr, every
        self.looks: dict[float, list[tuple]] = {level: [] for level in LEVELS}
        self.passed = False

    def look(self, step: int) -> None:
        """Look after the step, unless it is skipped or the last level is passed."""
        if self.passed or step % self.every:
            return
        loss = _loss(self.model, self.digits)
        self.passed = loss < 0.9 * LEVELS[-1]
        for level in LEVELS:
            if abs(loss - level) < 0.1 * level:
                change = _change(self.model, self.digits, self.lr)
                self.looks[level].append((step, loss, *change))

    def medians(self) -> list[AtLevel]:
        """Return one row for each level; NaN where the loss did not get there."""
        nothing = [(np.nan,) * 5]
        return [
            AtLevel(*np.median(seen or nothing, axis=0), len(seen)) for seen in self.looks.values()
        ]


def _loss(model: nn.Module, digits: data.Split) -> float:
    with torch.no_grad():
        outputs = probes.activation(model, "linear4", digits.x[:500])
        return cross_entropy(outputs, digits.y[:500]).item()


def _change(model: nn.Module, digits: data.Split, lr: float) -> tuple[float, float, float]:
    """Return length, relative length and cosine for the third layer of weights."""
    before, after = probes.gradient_pairs(model, cross_entropy, digits.x[:60], digits.y[:60], lr)[2]
    length = (after - before).norm()
    cosine = torch.cosine_similarity(before, after, dim=0)
    return length.item(), (length / before.norm()).item(), cosine.item()


class Trace(NamedTuple):
    """What was seen of one network at some steps of its training."""

    steps: np.ndarray
    loss: np.ndarray
    percentiles: np.ndarray  # (steps, 3, units) of what enters the last hidden sigmoid
    shift: np.ndarray  # (steps, layers): (S5)
    gradient: np.ndarray  # (steps, layers): length of G
    cosine: np.ndarray  # (steps, layers): (S6)
    levels: np.ndarray  # (LEVELS, 6): an AtLevel for each level of the loss


def sigmoid_net(
    batch_norm: bool, depth: int, seed: int, std: float = 0.1, inputs: int = 64
) -> nn.Sequential:
    """Return a classifier of ten classes with ``depth`` hidden layers of 100 sigmoids."""
    norm = nn.BatchNorm1d if batch_norm else None
    return models.mlp([inputs, *[100] * depth, 10], norm=norm, std=std, seed=seed)


@once
@one_thread()
def shift_trace(batch_norm: bool, seed: int, lr: float = 0.5, steps: int = 1000) -> Trace:
    """Train the net of ioffe2015batch, figure 1, on digits, and watch its last hidden layer.

    Three hidden layers of 100 sigmoids, weights N(0, 0.1^2), batches of 60. Percentiles are those
    of 500 fixed training examples, gradients those of 60 of them. The net without batch norm
    takes many more steps from one level of the loss to the next: there, each fourth is looked at.

    Args:
        batch_norm: whether the hidden layers have it.
        seed: of the split, the weights and the batches.
        lr: learning rate of plain gradient descent.
        steps: in all; about 30 of them are looked at, evenly spaced on a logarithmic axis.
    """
    digits = data.digits(seed)
    model = sigmoid_net(batch_norm, 3, seed)
    watch = {0, *np.unique(np.geomspace(1, steps, 30).round()).astype(int).tolist()}
    stream = _losses(model, digits.x, digits.y, lr, seed)
    seen, levels = [], Levels(model, digits, lr, every=1 if batch_norm else 4)
    for step in range(steps + 1):
        if step in watch:
            seen.append((step, *_look(model, digits, lr)))
        levels.look(step)
        next(stream)
    columns = (np.array(column) for column in zip(*seen, strict=True))
    return Trace(*columns, np.array(levels.medians()))


def _look(model: nn.Module, digits: data.Split, lr: float) -> tuple:
    """Return the columns of a Trace after the step."""
    x, y = digits.x[:60], digits.y[:60]
    pairs = probes.gradient_pairs(model, cross_entropy, x, y, lr)
    return (
        _loss(model, digits),
        probes.unit_percentiles(model, models.before_activation(model, 3), digits.x[:500]),
        [(after - before).norm().item() for before, after in pairs],
        [before.norm().item() for before, _ in pairs],
        [torch.cosine_similarity(*pair, dim=0).item() for pair in pairs],
    )


@once
@one_thread()
def early_jumps(
    batch_norm: bool, seed: int, lr: float, steps: int = 25, dataset: str = "digits"
) -> tuple[float, float]:
    """Return the mean drift (S4) from one step to the next, absolute and relative.

    The net and its watched layer are those of ``shift_trace``. Relative means: divided by half the
    distance of the outer percentiles, the spread of the activation before the step.

    Args:
        batch_norm, seed, lr, steps: as there.
        dataset: a key of ``data.DATASETS``.
    """
    split = data.DATASETS[dataset](seed)
    model = sigmoid_net(batch_norm, 3, seed, inputs=split.x.shape[1])
    look = partial(
        probes.unit_percentiles, model, models.before_activation(model, 3), split.x[:500]
    )
    before, jumps, relative = look(), [], []
    for _ in islice(_losses(model, split.x, split.y, lr, seed), steps):
        after = look()
        jumps.append(probes.percentile_drift(before, after))
        relative.append(jumps[-1] / spread(before))
        before = after
    return float(np.mean(jumps)), float(np.mean(relative))


def spread(percentiles: np.ndarray) -> float:
    """Return half the distance between the outer percentiles, averaged over the units."""
    return float((percentiles[-1] - percentiles[0]).mean() / 2)


class DeepStart(NamedTuple):
    """A deep sigmoid net before training."""

    saturated: float  # share of hidden units times examples with a slope (W1) below 0.01
    gradient: np.ndarray  # (layers,): length of the gradient of each layer's weights


@once
@one_thread()
def deep_start(batch_norm: bool, std: float, seed: int) -> DeepStart:
    """Return how a net of eight hidden layers of 100 sigmoids starts.

    Args:
        batch_norm: whether the hidden layers have it.
        std: standard deviation of the weights.
        seed: of the split and the weights.
    """
    digits = data.digits(seed)
    model = sigmoid_net(batch_norm, 8, seed, std)
    outputs = [probes.activation(model, f"activation{k}", digits.x[:300]) for k in range(1, 9)]
    a = torch.stack(outputs)
    saturated = (a * (1 - a) < 0.01).float().mean().item()
    pairs = probes.gradient_pairs(model, cross_entropy, digits.x[:60], digits.y[:60], lr=0.0)
    return DeepStart(saturated, np.array([before.norm() for before, _ in pairs]))


@once
@one_thread()
def deep_accuracies(
    batch_norm: bool, std: float, lr: float, seeds: tuple[int, ...] = SEEDS, steps: int = 200
) -> list[float]:
    """Return the test accuracies of the nets of ``deep_start`` after plain gradient descent.

    Args:
        batch_norm, std: as there.
        lr, steps: of the descent.
        seeds: as there, and of the batches of 60.
    """
    sweep = ensemble.Sweep((lr,), seeds)
    net = ensemble.stack(sweep.nets(lambda seed: sigmoid_net(batch_norm, 8, seed, std)))
    _train(ensemble.steps(net, sweep.batches(), sweep.lr), steps)
    return sweep.test_accuracy(net)[0].tolist()
