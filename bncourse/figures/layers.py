"""Figures of the chapter on layers in PyTorch and Keras, drawn from the layers themselves."""

import keras
import matplotlib.pyplot as plt
import numpy as np
import torch

from bncourse.figures.seeds import band
from bncourse.figures.style import COLORS, LINES, figure
from bncourse.lab.conventions import to_numpy

MEAN, VAR = 3.0, 4.0
LAYERS = ("PyTorch", "Keras")


class Pair:
    """A layer of each framework, fed the same batches.

    Args:
        features: number of features.
        momentum: weight of the new value; None leaves each layer its own default.
    """

    def __init__(self, features, momentum=None):
        self.torch = torch.nn.BatchNorm1d(features)
        self.keras = keras.layers.BatchNormalization()
        if momentum is not None:
            self.torch.momentum, self.keras.momentum = momentum, 1 - momentum
        self.keras.build((None, features))

    def train(self, x):
        """Take a step of training; return both outputs, (N, features) arrays.

        Args:
            x: (N, features) float32 array.
        """
        with torch.no_grad():
            outputs = self.torch(torch.from_numpy(x)), self.keras(x, training=True)
        return [to_numpy(output) for output in outputs]

    def stored_variances(self):
        """Return what the layers store as variance: PyTorch's, Keras's, (features,) arrays."""
        return [
            to_numpy(var).copy() for var in (self.torch.running_var, self.keras.moving_variance)
        ]


def stored_variances(steps, size, seed=0, features=100):
    """Return the variances that two layers with default settings store after each step.

    Args:
        steps: number of batches.
        size: N, examples in a batch, with mean 3 and variance 4.
        seed: of the batches.
        features: number of features, alike in distribution.

    Returns:
        (2, steps + 1, features): PyTorch's and Keras's, from the first value 1 on.
    """
    rng = np.random.default_rng(seed)
    pair = Pair(features)
    stored = [pair.stored_variances()]
    for _ in range(steps):
        pair.train(rng.normal(MEAN, np.sqrt(VAR), (size, features)).astype(np.float32))
        stored.append(pair.stored_variances())
    return np.array(stored).swapaxes(0, 1)


@figure
def two_defaults(seed=0, size=8, steps=500):
    """Draw what two layers with default settings store of the same batches.

    Args:
        seed: of the batches.
        size: examples in a batch.
        steps: number of batches.

    Returns:
        A matplotlib Figure: the mean over 100 features, a band of one standard deviation.
    """
    made, axis = plt.subplots()
    places = ((30, 4.7), (200, 2.7))
    stored = stored_variances(steps, size, seed)
    for line, name, values, place in zip(LINES, LAYERS, stored, places, strict=False):
        middle, spread = values.mean(axis=1), values.std(axis=1)
        axis.plot(middle, **line | {"markevery": 50})
        shade = {"color": line["color"], "alpha": 0.2, "linewidth": 0}
        axis.fill_between(range(steps + 1), middle - spread, middle + spread, **shade)
        axis.text(*place, f"{name}'s default", fontweight="bold")
    axis.axhline(VAR, color=COLORS["grey"], linewidth=1)
    axis.text(steps, 4.7, "grey line: variance of the data", ha="right")
    axis.set(xlabel="training step", ylabel="stored variance", ylim=(0.8, 5.2))
    return made


# What a layer holds: who writes it, what it is, who reads it, and the colour of its box.
STATE = (
    (
        "the optimiser,\nafter the\nbackward pass",
        r"$\gamma, \beta$, from 1, 0" "\nPyTorch: parameters\nKeras: trainable weights",
        "both modes",
        COLORS["sky"],
    ),
    (
        "the layer itself,\nin the forward pass\nof training",
        "running mean, variance,\nfrom 0, 1\nPyTorch: buffers\nKeras: non-trainable\nweights",
        "inference\nonly",
        COLORS["orange"],
    ),
)


@figure
def state():
    """Draw who writes the numbers that a layer holds, and who reads them."""
    made, axis = plt.subplots(figsize=(6.4, 3.4))
    for x, word in ((1.35, "written by"), (4.6, "the layer holds"), (7.6, "read in")):
        axis.text(x, 3.05, word, ha="center", va="center", fontweight="bold", fontsize=12)
    for y, (writer, held, reader, color) in zip((2.2, 0.8), STATE, strict=True):
        box = {"boxstyle": "round,pad=0.45", "facecolor": color, "alpha": 0.35}
        middle = {"ha": "center", "va": "center", "fontsize": 12}
        axis.text(1.35, y, writer, **middle)
        axis.text(4.6, y, held, bbox=box, **middle)
        axis.text(7.6, y, reader, **middle)
        for tail, head in ((2.6, 3.05), (6.2, 6.75)):
            axis.annotate("", (head, y), (tail, y), arrowprops={"arrowstyle": "->", "lw": 1.8})
    axis.set(xlim=(0, 8.5), ylim=(0, 3.3))
    axis.axis("off")
    return made


def variance_errors(ratio, seed=0, size=64, features=100):
    """Return the errors of both layers' variance for data far from zero, and the columns lost.

    Args:
        ratio: mean of the data; their standard deviation is 1.
        seed: of the batch.
        size: N, examples in the batch.
        features: number of features, alike in distribution.

    Returns:
        The relative error of PyTorch's and of Keras's biased variance, root mean square over the
        features, against float64; and how many of Keras's output columns are NaN.
    """
    x = (ratio + np.random.default_rng(seed).standard_normal((size, features))).astype(np.float32)
    pair = Pair(features, momentum=1.0)
    _, in_keras = pair.train(x)
    unbiased, theirs = pair.stored_variances()
    mine = unbiased * (size - 1) / size
    exact = x.var(axis=0, dtype=np.float64)
    errors = [float(np.sqrt(np.mean((var / exact - 1) ** 2))) for var in (mine, theirs)]
    return *errors, int(np.isnan(in_keras).any(axis=0).sum())


RATIOS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)


@figure
def two_variances(seeds=(0, 1, 2, 3, 4)):
    """Draw how wrong each layer's variance is, against the mean of the data.

    Args:
        seeds: one batch of 64 examples for each.
    """
    made, axis = plt.subplots()
    runs = np.array([[variance_errors(ratio, seed)[:2] for ratio in RATIOS] for seed in seeds])
    names = ("PyTorch: two passes", "Keras on PyTorch:\n$E[x^2] - E[x]^2$")
    places = ((30, 2e-8), (1.1, 3e-3))
    for line, name, values, place in zip(
        LINES, names, np.moveaxis(runs, -1, 0), places, strict=False
    ):
        band(axis, RATIOS, values, line)
        axis.text(*place, name, fontweight="bold")
    axis.axhline(1, color=COLORS["grey"], linewidth=1)
    axis.text(1.1, 1.5, "as large as the variance itself")
    axis.set(xscale="log", yscale="log", ylim=(5e-9, 100))
    axis.set(xlabel="mean of the data, in standard deviations", ylabel="relative error")
    return made


def running_means(dtype, steps=400, seed=0):
    """Return the running mean of a PyTorch layer after each step, its state in ``dtype``.

    Args:
        dtype: of the layer's buffers.
        steps: batches of 32 examples with mean 100 and standard deviation 5.
        seed: of the batches.
    """
    generator = torch.Generator().manual_seed(seed)
    layer = torch.nn.BatchNorm1d(1, momentum=0.01, affine=False).to(dtype)
    means = [0.0]
    for _ in range(steps):
        layer((100 + 5 * torch.randn(32, 1, generator=generator)).bfloat16())
        means.append(layer.running_mean.item())
    return np.array(means)


@figure
def lost_updates():
    """Draw a running mean that is kept in bfloat16 beside one in float32.

    Returns:
        A matplotlib Figure with one line for each.
    """
    made, axis = plt.subplots(figsize=(6.4, 2.8))
    buffers = {"in float32": (torch.float32, (190, 75)), "in bfloat16": (torch.bfloat16, (190, 50))}
    for line, (name, (dtype, place)) in zip(LINES, buffers.items(), strict=False):
        axis.plot(running_means(dtype), **line | {"markevery": 40})
        axis.text(*place, f"buffers {name}", fontweight="bold")
    axis.axhline(100, color=COLORS["grey"], linewidth=1)
    axis.text(0, 102, "mean of the data", va="bottom")
    axis.set(xlabel="training step", ylabel="running mean", ylim=(-5, 118))
    return made


# Batches of training and of validation in an epoch, and the mean of the data in each.
EPOCH = ((True, 20, 0.0), (False, 6, 2.0))


def means_over_epochs(evaluates, epochs=4, seed=0):
    """Return the running mean of a PyTorch layer after each batch, validation included.

    Args:
        evaluates: whether validation switches to ``eval()``; ``no_grad()`` it has in any case.
        epochs: rounds of training and validation.
        seed: of the batches, 32 examples each, standard deviation 1.
    """
    generator = torch.Generator().manual_seed(seed)
    layer = torch.nn.BatchNorm1d(1)
    means = [0.0]
    for _ in range(epochs):
        for trains, batches, mean in EPOCH:
            layer.train(trains or not evaluates)
            for _ in range(batches):
                with torch.set_grad_enabled(trains):
                    layer(mean + torch.randn(32, 1, generator=generator))
                means.append(layer.running_mean.item())
    return np.array(means)


@figure
def forgotten_eval(epochs=4):
    """Draw what a validation loop writes into the memory when it forgets ``eval()``.

    Args:
        epochs: rounds of training and validation.

    Returns:
        A matplotlib Figure: the running mean with and without the switch.
    """
    made, axis = plt.subplots(figsize=(6.4, 2.6))
    trained, validated = (batches for _, batches, _ in EPOCH)
    for epoch in range(epochs):
        start = epoch * (trained + validated) + trained
        axis.axvspan(start, start + validated, color=COLORS["grey"], alpha=0.2, linewidth=0)
    axis.text(trained + validated / 2, 1.55, "validation", ha="center", va="bottom")
    cases = ((True, "with eval()", (28, -0.5)), (False, "in no_grad() only", (28, 1.15)))
    for line, (evaluates, name, place) in zip(LINES, cases, strict=False):
        axis.plot(means_over_epochs(evaluates, epochs), **line | {"markevery": 13})
        axis.text(*place, name, fontweight="bold")
    axis.set(xlabel="batch", ylabel="running mean", ylim=(-0.7, 1.9))
    return made
