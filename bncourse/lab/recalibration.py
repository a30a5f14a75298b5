"""Running statistics, compared with the statistics that the current weights have."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from bncourse.lab import data, models
from bncourse.lab.once import once
from bncourse.lab.threads import one_thread
from bncourse.lab.training import sgd_steps
from bncourse.reference.layers import pooled_statistics

MOMENTA = (0.1, 0.01)
START_REMOVED = "0.01, start removed"
RECALIBRATED = "recalibrated"
LOOKS = (1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 50, 70, 100, 140, 200, 280, 400, 560)

# Mean and unbiased variance of what enters each batch norm, by the name of the layer.
Statistics = dict[str, tuple[Tensor, Tensor]]


class Course(NamedTuple):
    """One training, looked at after the steps of LOOKS.

    Args:
        model: after the last step; treat it as read-only.
        accuracy: (looks,) on the test digits, for each average and for RECALIBRATED. The averages
            are the MOMENTA and START_REMOVED.
        error: (looks,) root mean square over the units of the last batch norm of
            (running mean - mean) / standard deviation, for each average.
    """

    model: nn.Module
    accuracy: dict
    error: dict


def norm_layers(model: nn.Module) -> dict[str, nn.BatchNorm1d]:
    """Return the batch-norm layers of a model by their names, in order."""
    return {name: part for name, part in model.named_modules() if isinstance(part, nn.BatchNorm1d)}


@contextmanager
def listening(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Give a dict in which every forward pass leaves the input of each batch norm."""
    heard: dict[str, Tensor] = {}

    def listener(name):
        return lambda layer, inputs: heard.update({name: inputs[0].detach()})

    hooks = [
        layer.register_forward_pre_hook(listener(name))
        for name, layer in norm_layers(model).items()
    ]
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()


def recalibrated(model: nn.Module, batches: Iterable[Tensor]) -> Statistics:
    """Return the pooled statistics of each batch norm at the present weights.

    (R9) The batches pass in training mode, so each layer hears what it hears in training. The
    model is left as it was.

    Args:
        model: any module.
        batches: inputs, at least one batch.

    Source: wu2021rethinking.
    """
    training = model.training
    model.train()
    heard: dict[str, list[np.ndarray]] = {name: [] for name in norm_layers(model)}
    with listening(model) as inputs:
        for x in batches:
            _training_output(model, x)
            for name, rows in heard.items():
                rows.append(inputs[name].double().numpy())
    model.train(training)
    return {name: _unbiased(*pooled_statistics(rows)) for name, rows in heard.items()}


def _unbiased(count: int, mean: np.ndarray, var: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(mean).float(), torch.from_numpy(var * count / (count - 1)).float()


def accuracy_with(model: nn.Module, statistics: Statistics, x: Tensor, y: Tensor) -> float:
    """Return the share of right answers at inference with the given running statistics.

    Args:
        model: left as it was.
        statistics: of each batch norm.
        x: inputs.
        y: (N,) labels.
    """
    buffers = {
        f"{name}.{buffer}": value
        for name, pair in statistics.items()
        for buffer, value in zip(("running_mean", "running_var"), pair, strict=True)
    }
    training = model.training
    model.eval()
    with torch.no_grad():
        right = (functional_call(model, buffers, (x,)).argmax(dim=1) == y).float().mean().item()
    model.train(training)
    return right


@once
def accuracy_in_company(seed: int, size: int, by_class: bool) -> float:
    """Return the test accuracy of a net whose user has forgotten ``model.eval()``.

    Args:
        seed: of the course whose net it is.
        size: of the test batches; an incomplete last one is left out.
        by_class: whether the test digits come sorted by class instead of shuffled.
    """
    digits = data.digits(seed)
    model = course(seed).model
    x, y = digits.x_test, digits.y_test
    order = y.argsort(stable=True) if by_class else torch.arange(len(y))
    order = order[: len(y) // size * size]
    outputs = [_training_output(model, x[rows]) for rows in order.split(size)]
    return (torch.cat(outputs).argmax(dim=1) == y[order]).float().mean().item()


def _training_output(model: nn.Module, x: Tensor) -> Tensor:
    """Return the output in training mode, and keep the running statistics as they are."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.no_grad():
        return functional_call(model, buffers, (x,))


@once
def course(seed: int, size: int = 60, lr: float = 0.1) -> Course:
    """Train a net on digits and follow its statistics with several averages at once.

    Three hidden layers of 100 ReLUs with batch norm. Training does not look at the running
    statistics, so one run serves all averages.

    Args:
        seed: of the split, the weights and the batches.
        size: of a batch.
        lr: learning rate of plain gradient descent.
    """
    with one_thread():
        return _course(seed, size, lr)


def _course(seed: int, size: int, lr: float) -> Course:
    digits = data.digits(seed)
    model = models.mlp([64, 100, 100, 100, 10], nn.ReLU, nn.BatchNorm1d, seed=seed)
    stream = data.batches(digits.x, digits.y, size, seed)
    running = {momentum: _start(model) for momentum in MOMENTA}
    accuracies, errors = [], []
    with listening(model) as heard:
        losses = sgd_steps(model, stream, nn.functional.cross_entropy, lr)
        for step, _ in zip(range(1, LOOKS[-1] + 1), losses, strict=False):
            for momentum, statistics in running.items():
                _update(statistics, heard, momentum)
            if step in LOOKS:
                averages = running | {START_REMOVED: _without_start(running[0.01], 0.01, step)}
                accuracy, error = _look(model, averages, digits, size)
                accuracies.append(accuracy)
                errors.append(error)
    return Course(model, _columns(accuracies), _columns(errors))


def _start(model: nn.Module) -> Statistics:
    return {
        name: (torch.zeros(layer.num_features), torch.ones(layer.num_features))
        for name, layer in norm_layers(model).items()
    }


def _update(statistics: Statistics, heard: dict[str, Tensor], momentum: float) -> None:
    """Move the statistics towards those of the batch that was heard last: (F6)."""
    for name, (mean, var) in statistics.items():
        mean.lerp_(heard[name].mean(0), momentum)
        var.lerp_(heard[name].var(0), momentum)


def _without_start(statistics: Statistics, momentum: float, step: int) -> Statistics:
    """Return the average of the batches alone: (R2) without its last term, weights adding to 1."""
    left = (1 - momentum) ** step
    return {
        name: (mean / (1 - left), (var - left) / (1 - left))
        for name, (mean, var) in statistics.items()
    }


def _look(model: nn.Module, averages: dict, digits: data.Split, size: int) -> tuple[dict, dict]:
    """Return the accuracies and the errors of the averages at the present weights."""
    true = recalibrated(model, digits.x[: len(digits.x) // size * size].split(size))
    accuracy = {
        key: accuracy_with(model, statistics, digits.x_test, digits.y_test)
        for key, statistics in (averages | {RECALIBRATED: true}).items()
    }
    last = list(true)[-1]
    mean, var = true[last]
    error = {
        key: ((statistics[last][0] - mean) / var.sqrt()).square().mean().sqrt().item()
        for key, statistics in averages.items()
    }
    return accuracy, error


def _columns(rows: list[dict]) -> dict:
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}
