"""Where batch norm stands in a network: at the input, in hidden layers, at the output."""

from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from bncourse.lab import data, ensemble, models
from bncourse.lab.experiments import SEEDS
from bncourse.lab.once import once
from bncourse.lab.threads import one_thread

PLACES = ("without", "before", "after")
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "ReLU": nn.ReLU}
RATES = (0.1, 0.3, 1.0)
# Of RATES, the one with the least median training loss: a test tries them all, since a page has no
# time for it.
BEST_RATE = {
    ("sigmoid", "without"): 1.0,
    ("sigmoid", "before"): 0.3,
    ("sigmoid", "after"): 0.1,
    ("ReLU", "without"): 0.1,
    ("ReLU", "before"): 0.1,
    ("ReLU", "after"): 0.1,
}
OUTPUTS = ("batch norm, fixed", "batch norm", "standardised targets")


class Run(NamedTuple):
    """What a short training led to."""

    loss: float  # mean of the training loss over the last 20 steps
    accuracy: float  # in percent, on test images


def deep_net(place: str, activation: str, seed: int) -> nn.Sequential:
    """Return a digits classifier with eight hidden layers of 100 units.

    Args:
        place: of batch norm in each hidden layer, "before" or "after" the activation, or
            "without".
        activation: a key of ACTIVATIONS.
        seed: of the weights, which have the standard deviation 0.1.
    """
    sizes, function = [64, *[100] * 8, 10], ACTIVATIONS[activation]
    norm = nn.BatchNorm1d if place == "before" else None
    net = models.mlp(sizes, function, norm, std=0.1, seed=seed)
    if place != "after":
        return net
    normed = []
    for part in net:
        normed += [part, nn.BatchNorm1d(100)] if isinstance(part, function) else [part]
    return nn.Sequential(*normed)


@once
@one_thread()
def hidden(
    place: str, activation: str, lr: float, seeds: tuple[int, ...] = SEEDS, steps: int = 200
) -> list[Run]:
    """Train a ``deep_net`` for each seed with plain gradient descent on batches of 60 digits."""
    sweep = ensemble.Sweep((lr,), seeds)
    net = ensemble.stack(sweep.nets(lambda seed: deep_net(place, activation, seed)))
    met = list(islice(ensemble.steps(net, sweep.batches(), sweep.lr), steps))
    losses, (right,) = torch.stack(met[-20:]).mean(0), sweep.test_accuracy(net)
    return [Run(*each) for each in zip(losses.tolist(), (100 * right).tolist(), strict=True)]


def at_its_best(place: str, activation: str) -> list[Run]:
    """Return one Run for each seed, at the rate that suits the net best."""
    return hidden(place, activation, BEST_RATE[activation, place])


def _mixed(treatment: str, seed: int) -> data.Split:
    """Return digits whose pixels have units of their own, factors between 0.1 and 10."""
    digits = data.digits(seed)
    units = torch.tensor(10 ** np.random.default_rng(seed).uniform(-1, 1, 64)).float()
    x, x_test = digits.x * units, digits.x_test * units
    if treatment == "standardised":
        mean, std = x.mean(0), x.std(0, correction=0)
        std[std == 0] = 1
        x, x_test = (x - mean) / std, (x_test - mean) / std
    return digits._replace(x=x, x_test=x_test)


@once
@one_thread()
def input_accuracy(
    treatment: str,
    rates: tuple[float, ...] = RATES,
    seeds: tuple[int, ...] = SEEDS,
    steps: int = 200,
) -> np.ndarray:
    """Return the test accuracies, in percent, of ReLU nets on digits with pixels of mixed units.

    Args:
        treatment: "raw", "standardised" (with training statistics) or "batch norm" (as the first
            layer, on raw inputs).
        rates, steps: of plain gradient descent on batches of 60.
        seeds: of the split, the units, the weights and the batches.

    Returns:
        (rates, seeds).
    """
    sweep = ensemble.Sweep(rates, seeds, partial(_mixed, treatment))
    net = ensemble.stack(
        sweep.nets(lambda seed: models.mlp([64, 50, 10], activation=nn.ReLU, seed=seed))
    )
    if treatment == "batch norm":
        net = nn.Sequential(ensemble.BatchNorm(sweep.members, 64), net)
    for _ in islice(ensemble.steps(net, sweep.batches(), sweep.lr), steps):
        pass
    return sweep.shape(100 * sweep.test_accuracy(net)[0]).numpy()


class Errors(NamedTuple):
    """Mean squared errors of a regression, as shares of the variance of the targets."""

    training: float  # in training mode, mean of the last 100 steps
    test: float  # in inference mode


@once
@one_thread()
def output_errors(
    output: str,
    size: int,
    seeds: tuple[int, ...] = SEEDS,
    lr: float = 0.01,
    steps: int = 400,
) -> list[Errors]:
    """Train regression nets with or without batch norm at their output, one for each seed.

    Args:
        output: "standardised targets" (no batch norm), "batch norm" (on raw targets) or
            "batch norm, fixed" (the same without gamma and beta).
        size: of a batch.
        seeds: of the split, the weights and the batches.
        lr, steps: of plain gradient descent on the mean squared error.
    """
    sweep = ensemble.Sweep((lr,), seeds, data.diabetes, size)
    net = ensemble.stack(
        sweep.nets(lambda seed: models.mlp([10, 32, 1], activation=nn.ReLU, seed=seed))
    )
    mean, var = sweep.y.mean(1, keepdim=True), sweep.y.var(1, correction=0, keepdim=True)
    if output == "standardised targets":
        sweep.y = (sweep.y - mean) / var.sqrt()
    else:
        net.append(ensemble.BatchNorm(sweep.members, 1, affine=output == "batch norm"))
    stream = ensemble.steps(net, sweep.batches(), sweep.lr, ensemble.squared_errors)
    met = torch.stack(list(islice(stream, steps))[-100:]).mean(0)
    x, y = (torch.stack([split[part] for split in sweep.splits]) for part in (2, 3))
    net.eval()
    with torch.no_grad():
        answers = net(x)
    if output == "standardised targets":
        answers = mean + var.sqrt() * answers
    shares = (
        met / sweep.y.var((1, 2), correction=0),
        ensemble.squared_errors(answers, y) / y.var((1, 2), correction=0),
    )
    return [Errors(*each) for each in zip(*(part.tolist() for part in shares), strict=True)]


def output_floor(size: int, seed: int = 0, draws: int = 20_000) -> float:
    """Return the least mean training error that a normalised output can reach.

    (F16) The variance of the means of batches plus that of their standard deviations, as a share
    of the variance of the targets; here over random batches of the diabetes targets.

    Args:
        size: N, of a batch.
        seed: of the batches.
        draws: number of batches.
    """
    t = data.diabetes(0).y.numpy()[:, 0].astype(float)
    drawn = np.random.default_rng(seed).choice(t, (draws, size))
    return float((drawn.mean(axis=1).var() + drawn.std(axis=1).var()) / t.var())
