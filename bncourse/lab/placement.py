"""Where batch norm stands in a network: at the input, in hidden layers, at the output."""

from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from bncourse.lab import data, models, training
from bncourse.lab.experiments import SEEDS, cross_entropy
from bncourse.lab.once import once
from bncourse.lab.threads import one_thread

PLACES = ("without", "before", "after")
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "ReLU": nn.ReLU}
RATES = (0.1, 0.3, 1.0)
# Of RATES, the one with the least training loss on the first seed: a test tries them all, since
# a page has no time for it.
BEST_RATE = {
    ("sigmoid", "without"): 1.0,
    ("sigmoid", "before"): 0.3,
    ("sigmoid", "after"): 0.1,
    ("ReLU", "without"): 0.1,
    ("ReLU", "before"): 0.1,
    ("ReLU", "after"): 0.1,
}
TREATMENTS = ("raw", "standardised", "batch norm")
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
def hidden(place: str, activation: str, lr: float, seed: int, steps: int = 200) -> Run:
    """Train a ``deep_net`` with plain gradient descent on batches of 60 digits."""
    digits, net = data.digits(seed), deep_net(place, activation, seed)
    stream = data.batches(digits.x, digits.y, 60, seed)
    losses = list(islice(training.sgd_steps(net, stream, cross_entropy, lr), steps))
    accuracy = training.accuracy(net, digits.x_test, digits.y_test)
    return Run(float(np.mean(losses[-20:])), 100 * accuracy)


def at_its_best(place: str, activation: str) -> list[Run]:
    """Return one Run for each seed, at the rate that suits the net best."""
    lr = BEST_RATE[activation, place]
    return [hidden(place, activation, lr, seed) for seed in SEEDS]


@once
@one_thread()
def input_accuracy(treatment: str, lr: float, seed: int, steps: int = 200) -> float:
    """Return the test accuracy, in percent, of a ReLU net on digits with pixels of mixed units.

    Args:
        treatment: "raw", "standardised" (with training statistics) or "batch norm" (as the first
            layer, on raw inputs).
        lr, steps: of plain gradient descent on batches of 60.
        seed: of the split, the units (factors between 0.1 and 10), the weights and the batches.
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
    stream = data.batches(x, digits.y, 60, seed)
    for _ in islice(training.sgd_steps(model, stream, cross_entropy, lr), steps):
        pass
    return 100 * training.accuracy(model, x_test, digits.y_test)


class Errors(NamedTuple):
    """Mean squared errors of a regression, as shares of the variance of the targets."""

    training: float  # in training mode, mean of the last 100 steps
    test: float  # in inference mode


@once
@one_thread()
def output_errors(output: str, size: int, seed: int, lr: float = 0.01, steps: int = 400) -> Errors:
    """Train a regression net with or without batch norm at its output.

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
    losses = list(islice(training.sgd_steps(model, stream, nn.functional.mse_loss, lr), steps))
    model.eval()
    with torch.no_grad():
        error = nn.functional.mse_loss(mean + std * model(task.x_test), task.y_test)
    return Errors(
        float(np.mean(losses[-100:]) / y.var(correction=0)),
        (error / task.y_test.var(correction=0)).item(),
    )


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
