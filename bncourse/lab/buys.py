"""What batch norm buys, and what is left of it when the rival has its own best rate.

Small networks with three hidden layers of 50 units, all seeds and rates side by side. What is
chosen by one half of the held-out images is reported on the other.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from time import thread_time
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bncourse.lab import data, ensemble, interventions, models, training
from bncourse.lab.experiments import SEEDS
from bncourse.lab.once import once
from bncourse.lab.threads import one_thread

DEPTH, WIDTH = 3, 50
WINDOW = 10
# The loss at which a task counts as learned: clothes are harder to tell apart.
LEVELS = {"digits": 0.3, "fashion": 0.6, "mnist": 0.3}


class Plan(NamedTuple):
    """A kind of network."""

    activation: Callable[[], nn.Module]
    std: float  # of the weights at the start
    norm: str = "without"  # or "before" or "after" the activation, or "once"


NETS = {
    "sigmoid": Plan(nn.Sigmoid, 0.1),
    "sigmoid, large weights": Plan(nn.Sigmoid, 0.5),
    "sigmoid, once": Plan(nn.Sigmoid, 0.1, "once"),
    "sigmoid, batch norm": Plan(nn.Sigmoid, 0.1, "before"),
    "sigmoid, batch norm after": Plan(nn.Sigmoid, 0.1, "after"),
    "ReLU": Plan(nn.ReLU, 0.2),
    "ReLU, batch norm": Plan(nn.ReLU, 0.2, "before"),
    "ReLU, batch norm after": Plan(nn.ReLU, 0.2, "after"),
}


def net_of(plan: Plan, sweep: ensemble.Sweep) -> nn.Sequential:
    """Return the networks of a plan, one for each rate and seed of the sweep."""
    sizes = [sweep.x.shape[-1], *[WIDTH] * DEPTH, 10]

    def make(seed: int) -> nn.Sequential:
        norm = nn.BatchNorm1d if plan.norm == "before" else None
        made = models.mlp(sizes, plan.activation, norm, std=plan.std, seed=seed)
        if plan.norm != "after":
            return made
        parts: list[nn.Module] = []
        for part in made:
            parts += [part, nn.BatchNorm1d(WIDTH)] if isinstance(part, plan.activation) else [part]
        return nn.Sequential(*parts)

    net = ensemble.stack(sweep.nets(make))
    if plan.norm == "once":
        interventions.normalize_once(net, next(sweep.batches())[0])
    return net


def adam_steps(
    net: nn.Module,
    batches: Iterator,
    lr: Tensor,
    losses: Callable[[Tensor, Tensor], Tensor] = ensemble.losses,
) -> Iterator[Tensor]:
    """Take a step of Adam on each batch; yield the losses before it, (members,).

    Adam has the usual 0.9, 0.999 and 1e-8, but a rate for each member.

    Args:
        net, batches, lr: as for ``ensemble.steps``.
        losses: of outputs and labels, one for each member.

    Source: kingma2014adam.
    """
    parameters = list(net.parameters())
    means, squares = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    for t, (x, y) in enumerate(batches, start=1):
        loss = losses(net(x), y)
        gradients = torch.autograd.grad(loss.sum(), parameters)
        with torch.no_grad():
            for p, g, mean, square in zip(parameters, gradients, means, squares, strict=True):
                mean.lerp_(g, 0.1)
                square.lerp_(g * g, 0.001)
                step = mean / (1 - 0.9**t) / ((square / (1 - 0.999**t)).sqrt() + 1e-8)
                p.view(len(lr), -1).addcmul_(-lr[:, None], step.view(len(lr), -1))
        yield loss.detach()


# Rates whose best is not at the edge, for any of the networks that learn.
OPTIMIZERS = {
    "SGD": (ensemble.steps, (0.1, 0.3, 1.0, 3.0, 10.0), 250),
    "Adam": (adam_steps, (0.003, 0.01, 0.03, 0.1, 0.3), 150),
}


def reached(losses: np.ndarray, level: float = LEVELS["digits"]) -> np.ndarray:
    """Return (U1), the step after which the mean of the last WINDOW losses is below the level.

    Args:
        losses: (steps, members), of the batch of each step.
        level: of the mean loss.

    Returns:
        (members,) numbers of steps; infinite where it does not get there.

    >>> reached(np.array([[2.0], [1.0]] + 10 * [[0.1]]))
    array([11.])
    """
    windows = np.lib.stride_tricks.sliding_window_view(losses.astype(float), WINDOW, axis=0)
    below = windows.mean(axis=-1) < level
    return np.where(below.any(axis=0), below.argmax(axis=0) + WINDOW, np.inf)


class Speed(NamedTuple):
    """What came of each rate and seed, in arrays (rates, seeds)."""

    steps: np.ndarray  # (U1)
    chosen_by: np.ndarray  # accuracy, in percent, on half of the held-out images
    accuracy: np.ndarray  # on the other half
    rates: tuple[float, ...]

    @property
    def fastest(self) -> int:
        """The number of the rate with the least median of steps, by accuracy among equals."""
        medians = np.median(self.steps, axis=1)
        return int(np.lexsort((-np.median(self.chosen_by, axis=1), medians))[0])

    @property
    def most_accurate(self) -> int:
        """The number of the rate with the best median accuracy on images not reported."""
        return int(np.median(self.chosen_by, axis=1).argmax())


@once
@one_thread()
def speed(
    name: str,
    optimizer: str = "SGD",
    dataset: str = "digits",
    seeds: tuple[int, ...] = SEEDS,
    rates: tuple[float, ...] | None = None,
    steps: int | None = None,
) -> Speed:
    """Train the networks of a name at all rates, on batches of 60.

    Args:
        name: a key of NETS.
        optimizer: a key of OPTIMIZERS.
        dataset: a key of ``data.DATASETS``.
        seeds: of the split, the weights and the batches.
        rates, steps: instead of those of the optimizer.
    """
    step, usual_rates, usual_steps = OPTIMIZERS[optimizer]
    sweep = ensemble.Sweep(rates or usual_rates, seeds, dataset)
    net = net_of(NETS[name], sweep)
    return _measured(net, sweep, step, steps or usual_steps, LEVELS[dataset])


def _measured(
    net: nn.Sequential, sweep: ensemble.Sweep, step: Callable, steps: int, level: float
) -> Speed:
    """Train the networks of a sweep and return what came of it."""
    losses = torch.stack(list(islice(step(net, sweep.batches(), sweep.lr), steps))).numpy()
    halves = [sweep.shape(100 * half).numpy() for half in sweep.test_accuracy(net, 2)]
    return Speed(reached(losses, level).reshape(halves[0].shape), *halves, sweep.rates)


SCALES = (0.03, 0.2, 1.0, 5.0, 30.0)
# For weights up to the usual size, and for larger ones, which need smaller rates without batch norm
# and larger ones with it.
START_RATES = {
    "ReLU": ((0.03, 0.1, 0.3, 1.0, 3.0), (1e-5, 3e-5, 1e-4, 3e-4, 0.001, 0.003, 0.01, 0.03)),
    "ReLU, batch norm": ((0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0), (0.1, 0.3, 1.0, 3.0, 10.0)),
}


@once
@one_thread()
def start(
    name: str,
    scale: float,
    dataset: str = "digits",
    seeds: tuple[int, ...] = SEEDS,
    rates: tuple[float, ...] | None = None,
    steps: int = 150,
) -> Speed:
    """Train the networks of a name from hidden weights of another size, by plain descent.

    Args:
        name: a key of START_RATES, which has the rates.
        scale: factor on the weights of the hidden layers at the start.
        dataset, seeds, rates, steps: as for ``speed``.
    """
    sweep = ensemble.Sweep(rates or START_RATES[name][scale > 1], seeds, dataset)
    net = net_of(NETS[name], sweep)
    with torch.no_grad():
        for part in [part for part in net if isinstance(part, ensemble.Linear)][:-1]:
            part.weight *= scale
    return _measured(net, sweep, ensemble.steps, steps, LEVELS[dataset])


@one_thread()
def step_time(norm: bool, rounds: int = 30, steps: int = 20) -> float:
    """Return the seconds of processor time of a training step of one ReLU network.

    Args:
        norm: whether its hidden layers have batch norm.
        rounds: the least of so many measurements counts.
        steps: of each measurement, on batches of 60 digits.
    """
    digits = data.digits(0)
    sizes = [digits.x.shape[1], *[WIDTH] * DEPTH, 10]
    net = models.mlp(sizes, nn.ReLU, nn.BatchNorm1d if norm else None, seed=0)
    batch = digits.x[:60], digits.y[:60]
    times = []
    for _ in range(rounds):
        began = thread_time()
        for _ in training.sgd_steps(net, [batch] * steps, nn.functional.cross_entropy, 0.01):
            pass
        times.append(thread_time() - began)
    return min(times) / steps


class GhostBatchNorm(nn.Module):
    """Batch norm with the statistics of groups of the batch: fewer examples, more noise.

    Args:
        members, width: of the input (members, N, width).
        group: examples in a group, a divisor of N.

    Source: the ghost batches of hoffer2017train.
    """

    def __init__(self, members: int, width: int, group: int):
        super().__init__()
        self.group = group
        self.weight = nn.Parameter(torch.ones(members, 1, width))
        self.bias = nn.Parameter(torch.zeros(members, 1, width))
        self.register_buffer("mean", torch.zeros(members, 1, width))
        self.register_buffer("var", torch.ones(members, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            x_hat = (x - self.mean) * torch.rsqrt(self.var + 1e-5)
            return self.weight * x_hat + self.bias
        groups = x.unflatten(1, (-1, self.group))
        var, mean = torch.var_mean(groups, dim=2, correction=0, keepdim=True)
        with torch.no_grad():
            unbiased = var * self.group / (self.group - 1)
            self.mean.lerp_(mean.mean(1), 0.1)
            self.var.lerp_(unbiased.mean(1), 0.1)
        x_hat = ((groups - mean) * torch.rsqrt(var + 1e-5)).flatten(1, 2)
        return self.weight * x_hat + self.bias


class Dropout(nn.Module):
    """Dropout with random numbers of its own.

    Args:
        p: the share of units that is dropped; the others are divided by 1 - p.
        seed: of the masks.

    Source: srivastava2014dropout.
    """

    def __init__(self, p: float, seed: int = 0):
        super().__init__()
        self.p, self.generator = p, torch.Generator().manual_seed(seed)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = torch.rand(x.shape, generator=self.generator) >= self.p
        return x * kept / (1 - self.p)


FEW = 200
FEW_SEEDS = tuple(range(8))
# Without batch norm the largest diverges, with it the smallest is too small.
FEW_RATES = {False: (0.03, 0.1, 0.3, 1.0), True: (0.3, 1.0, 3.0, 10.0)}
DROPS = (0.2, 0.5)


class Few(NamedTuple):
    """Training on few images, in arrays (rates, seeds)."""

    chosen_by: np.ndarray  # accuracy, in percent, on the test images
    accuracy: np.ndarray  # on the training images that were left out
    fitted: np.ndarray  # on the few images themselves, in inference mode
    rates: tuple[float, ...]

    best = property(ensemble.best_rate)
    at_best = property(ensemble.at_best)


@once
@one_thread()
def few(
    norm: bool,
    drop: float = 0.0,
    group: int | None = None,
    dataset: str = "digits",
    seeds: tuple[int, ...] = FEW_SEEDS,
    rates: tuple[float, ...] | None = None,
    steps: int = 250,
) -> Few:
    """Train ReLU networks on FEW images, in batches of 50.

    Args:
        norm: whether the hidden layers have batch norm.
        drop: share of the units that dropout takes away after each activation.
        group: examples that share the statistics of batch norm; None takes the whole batch.
        dataset: a key of ``data.DATASETS``.
        seeds: of the split, the weights and the batches.
        rates, steps: of plain gradient descent; the usual rates are FEW_RATES.
    """
    sweep = ensemble.Sweep(rates or FEW_RATES[norm], seeds, dataset, size=50, images=FEW)
    sizes = [sweep.x.shape[-1], *[WIDTH] * DEPTH, 10]
    plain = sweep.nets(
        lambda seed: models.mlp(
            sizes, nn.ReLU, nn.BatchNorm1d if norm else None, std=0.2, seed=seed
        )
    )

    def layer(members: int, width: int) -> nn.Module:
        return (
            GhostBatchNorm(members, width, group) if group else ensemble.BatchNorm(members, width)
        )

    net = nn.Sequential()
    for number, part in enumerate(ensemble.stack(plain, norm=layer)):
        net.append(part)
        if drop and isinstance(part, nn.ReLU):
            # Not a seed of weights: masks would go with them.
            net.append(Dropout(drop, seed=1000 + number))
    for _ in islice(ensemble.steps(net, sweep.batches(), sweep.lr), steps):
        pass
    seen = (
        [(split.x_test, split.y_test) for split in sweep.splits],
        [(split.x[FEW : FEW + 1200], split.y[FEW : FEW + 1200]) for split in sweep.splits],
        [(split.x[:FEW], split.y[:FEW]) for split in sweep.splits],
    )
    found = []
    for pairs in seen:
        x, y = (sweep.each(torch.stack(tensors)) for tensors in zip(*pairs, strict=True))
        found.append(sweep.shape(100 * ensemble.accuracy(net, x, y)).numpy())
    return Few(*found, sweep.rates)


def few_at_best_drop(norm: bool, dataset: str = "digits") -> tuple[float, Few]:
    """Return the one of DROPS that suits the networks best, and what came of it.

    Arguments as for ``few``; chosen on images that are not reported.
    """
    tried = {drop: few(norm, drop, dataset=dataset) for drop in DROPS}
    best = max(tried, key=lambda drop: np.median(tried[drop].chosen_by, axis=1).max())
    return best, tried[best]
