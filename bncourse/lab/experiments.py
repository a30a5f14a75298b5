"""The runs that several figures and tables share; each is computed once in a process."""

from collections.abc import Iterator
from functools import cache, partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bncourse.lab import data, models, probes, training
from bncourse.lab.threads import one_thread

SEEDS = (0, 1, 2, 3, 4)
cross_entropy = nn.functional.cross_entropy


def _losses(model: nn.Module, x: Tensor, y: Tensor, lr: float, seed: int) -> Iterator[float]:
    return training.sgd_steps(model, data.batches(x, y, 60, seed), cross_entropy, lr)


def _train(losses: Iterator[float], steps: int) -> None:
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


def sigmoid_net(batch_norm: bool, depth: int, seed: int, std: float = 0.1) -> nn.Sequential:
    """Return a digits classifier with ``depth`` hidden layers of 100 sigmoids."""
    norm = nn.BatchNorm1d if batch_norm else None
    return models.mlp([64, *[100] * depth, 10], norm=norm, std=std, seed=seed)


@cache
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


@cache
@one_thread()
def early_jumps(batch_norm: bool, seed: int, lr: float, steps: int = 25) -> tuple[float, float]:
    """Return the mean drift (S4) from one step to the next, absolute and relative.

    The net, its data and its watched layer are those of ``shift_trace``. Relative means: divided
    by half the distance of the outer percentiles, the spread of the activation before the step.
    """
    digits = data.digits(seed)
    model = sigmoid_net(batch_norm, 3, seed)
    look = partial(
        probes.unit_percentiles, model, models.before_activation(model, 3), digits.x[:500]
    )
    before, jumps, relative = look(), [], []
    for _ in islice(_losses(model, digits.x, digits.y, lr, seed), steps):
        after = look()
        jumps.append(probes.percentile_drift(before, after))
        relative.append(jumps[-1] / spread(before))
        before = after
    return float(np.mean(jumps)), float(np.mean(relative))


def spread(percentiles: np.ndarray) -> float:
    """Return half the distance between the outer percentiles, averaged over the units."""
    return float((percentiles[-1] - percentiles[0]).mean() / 2)


class DeepStart(NamedTuple):
    """A deep sigmoid net before and after a short training."""

    saturated: float
    gradient: np.ndarray  # (layers,): length of the gradient of each layer's weights
    accuracy: float


@cache
@one_thread()
def deep_sigmoid(batch_norm: bool, std: float, seed: int, steps: int = 200) -> DeepStart:
    """Return how a net of eight hidden layers of 100 sigmoids starts, and where it gets.

    Args:
        batch_norm: whether the hidden layers have it.
        std: standard deviation of the weights.
        seed: of the split, the weights and the batches of 60.
        steps: of plain gradient descent with learning rate 0.3, before the accuracy is taken.

    Returns:
        The share of hidden units times examples with a slope (W8) below 0.01, the gradients at
        the start, and the test accuracy.
    """
    digits = data.digits(seed)
    model = sigmoid_net(batch_norm, 8, seed, std)
    outputs = [probes.activation(model, f"activation{k}", digits.x[:300]) for k in range(1, 9)]
    a = torch.stack(outputs)
    saturated = (a * (1 - a) < 0.01).float().mean().item()
    pairs = probes.gradient_pairs(model, cross_entropy, digits.x[:60], digits.y[:60], lr=0.0)
    _train(_losses(model, digits.x, digits.y, 0.3, seed), steps)
    accuracy = training.accuracy(model, digits.x_test, digits.y_test)
    return DeepStart(saturated, np.array([before.norm() for before, _ in pairs]), accuracy)


@cache
@one_thread()
def input_accuracy(treatment: str, seed: int, lr: float = 0.1, steps: int = 200) -> float:
    """Return the test accuracy of a small ReLU net on digits whose pixels have mixed units.

    Args:
        treatment: "raw", "standardised" (with training statistics) or "batch norm" (as the first
            layer, on raw inputs).
        seed: of the split, the units (factors between 0.1 and 10), the weights and the batches.
        lr, steps: of plain gradient descent on batches of 60.
    """
    digits = data.digits(seed)
    units = torch.tensor(10 ** np.random.default_rng(seed).uniform(-1, 1, 64)).float()
    x, x_test = digits.x * units, digits.x_test * units
    if treatment == "standardised":
        mean, std = x.mean(0), x.std(0, correction=0)
        std[std == 0] = 1
        x, x_test = (x - mean) / std, (x_test - mean) / std
    model = models.mlp([64, 50, 10], activation=nn.ReLU, seed=seed)
    if treatment == "batch norm":
        model = nn.Sequential(nn.BatchNorm1d(64), model)
    _train(_losses(model, x, digits.y, lr, seed), steps)
    return training.accuracy(model, x_test, digits.y_test)


@cache
@one_thread()
def output_error(output: str, size: int, seed: int, lr: float = 0.01, steps: int = 400) -> float:
    """Return the test error of a regression net, as a share of the variance of the targets.

    Args:
        output: "standardised targets" (no batch norm), "batch norm" (on raw targets) or
            "batch norm, fixed" (the same without gamma and beta).
        size: of a batch.
        seed: of the split, the weights and the batches.
        lr, steps: of plain gradient descent on the mean squared error.
    """
    task = data.diabetes(seed)
    model = models.mlp([10, 32, 1], activation=nn.ReLU, seed=seed)
    y, mean, std = task.y, 0.0, 1.0
    if output == "standardised targets":
        mean, std = y.mean(), y.std(correction=0)
        y = (y - mean) / std
    else:
        model.append(nn.BatchNorm1d(1, affine=output == "batch norm"))
    stream = data.batches(task.x, y, size, seed)
    _train(training.sgd_steps(model, stream, nn.functional.mse_loss, lr), steps)
    model.eval()
    with torch.no_grad():
        error = nn.functional.mse_loss(mean + std * model(task.x_test), task.y_test)
    return (error / task.y_test.var(correction=0)).item()
