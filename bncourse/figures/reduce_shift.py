"""Figures of the chapter on whether batch norm reduces internal covariate shift."""

import matplotlib.pyplot as plt
import numpy as np
import torch

from bncourse.figures.seeds import band, points
from bncourse.figures.style import COLORS, LINES, figure
from bncourse.lab import ensemble, interventions, landscape

# The rows of the first figure, from the top, and what they are called there.
ROWS = {
    "without": "without",
    "once": "normalised once",
    "once, length apart": "once, length apart",
    "batch norm": "batch norm",
    "noisy": "noisy batch norm",
}
LEVEL = 1.0


@figure
def ladder(activation="sigmoid"):
    """Draw jump and accuracy of each kind of network, a mark for each seed, at its best rate.

    Args:
        activation: of the hidden layers.
    """
    made, axes = plt.subplots(1, 2, figsize=(6.4, 2.9), sharey=True)
    for row, kind in enumerate(ROWS):
        found = interventions.train(kind, activation)
        for axis, values in zip(axes, (found.jump, found.accuracy), strict=True):
            seen = values[found.best]
            axis.plot(seen, np.full(len(seen), row), "o", color=COLORS["sky"], alpha=0.8)
            axis.plot(np.median(seen), row, "|", color=COLORS["black"], markersize=16, mew=2)
    axes[0].set(xscale="log", xlabel="jump in a step, in spreads", ylabel="network")
    axes[0].set_yticks(range(len(ROWS)), ROWS.values())
    axes[0].invert_yaxis()
    axes[1].set(xlabel="test accuracy, %", xlim=(0, 102))
    return made


@figure
def rates():
    """Draw the accuracy of three kinds of network against the learning rate, five seeds each."""
    made, axes = plt.subplots(1, 2, figsize=(6.4, 3.2), sharey=True)
    labels = {
        "ReLU": ((1.15, 96), (0.42, 75), (0.035, 50)),
        "sigmoid": ((0.17, 101), (0.035, 60), (0.2, 14)),
    }
    for axis, activation in zip(axes, ("ReLU", "sigmoid"), strict=True):
        for line, kind in zip(LINES, ("batch norm", "once", "without"), strict=False):
            runs = interventions.train(kind, activation).accuracy.T
            points(axis, interventions.RATES, runs, line)
        for place, name in zip(labels[activation], ("batch norm", "once", "without"), strict=True):
            axis.text(*place, name, fontweight="bold")
        axis.set(title=activation, xscale="log", xlabel="learning rate", ylim=(0, 109))
        axis.set_xticks(interventions.RATES, [f"{rate:g}" for rate in interventions.RATES])
        axis.xaxis.set_minor_locator(plt.NullLocator())
    axes[0].set(ylabel="test accuracy, %", xlim=(0.02, 4))
    return made


def rescaled_paths(factor, relative, seed=0):
    """Return the Path of an untrained net with batch norm whose hidden weights are multiplied.

    Args:
        factor: of the weights, which does not change what the net computes, (F11).
        relative: whether the steps are relative to the weights.
        seed: of the weights and the images.
    """
    sweep = ensemble.Sweep((0.1,), (seed,))
    net = interventions.nets("batch norm", "ReLU", sweep, ())
    with torch.no_grad():
        for part in list(net)[:-1]:
            if isinstance(part, ensemble.Linear):
                part.weight *= factor
    sizes = landscape.SIZES if relative else [10 * size for size in landscape.SIZES]
    return np.array(sizes), landscape.path(net, sweep.x[:, :300], sweep.y[:, :300], sizes, relative)


@figure
def units(seed=0):
    """Draw the loss along the gradient of one function with two sizes of weights, in two units.

    Args:
        seed: of the weights and the images.
    """
    made, axes = plt.subplots(1, 2, figsize=(6.4, 2.9), sharey=True)
    for axis, relative in zip(axes, (False, True), strict=True):
        for line, factor in zip(LINES, (1, 4), strict=False):
            sizes, found = rescaled_paths(factor, relative, seed)
            hollow = {"linestyle": "", "markersize": 8, "markerfacecolor": "none"}
            style = line | (hollow if relative and factor != 1 else {})
            axis.plot(sizes, found.along[:, 0], **style)
        axis.set(xscale="log", xlabel="size of the step")
    axes[0].set(title="absolute", ylabel="loss after the step")
    axes[1].set(title="relative to the weights")
    axes[0].text(2.4, 4.4, "weights\nas they are", ha="right", fontweight="bold")
    axes[0].text(5.2, 2.6, "times 4", fontweight="bold")
    axes[0].set(xlim=(0.02, 60))
    axes[1].text(0.2, 4.0, "both", ha="right", fontweight="bold")
    return made


@figure
def smoothness():
    """Draw what a step relative to the weights brings to three kinds of ReLU net, at equal loss."""
    made, axes = plt.subplots(1, 2, figsize=(6.4, 3.2))
    for line, kind in zip(LINES, ("batch norm", "once", "without"), strict=False):
        found = landing(kind)
        band(axes[0], landscape.SIZES, (found.along / found.loss).T, line)
        band(axes[1], landscape.SIZES, found.kept.T, line)
    axes[0].set(ylabel="loss after / before", ylim=(0.4, 3))
    axes[1].set(title="share of the promise kept", ylim=(-2, 1.1))
    for axis in axes:
        axis.set(xscale="log", xlabel="size of the step", xlim=(0.0027, 0.4))
        axis.set_xticks([0.003, 0.01, 0.03, 0.1, 0.3], ["0.003", "0.01", "0.03", "0.1", "0.3"])
        axis.xaxis.set_minor_locator(plt.NullLocator())
        axis.axhline(1 if axis is axes[0] else 0, color=COLORS["grey"], linewidth=1)
    axes[0].text(0.065, 0.45, "batch norm", fontweight="bold")
    axes[0].text(0.0042, 2.2, "without,\nonce", fontweight="bold")
    axes[1].text(0.06, 0.42, "batch norm", fontweight="bold")
    axes[1].text(0.0042, -1.4, "without,\nonce", fontweight="bold")
    return made


def landing(kind):
    """Return the Path of the ReLU nets of a kind, trained at their best rate to the loss LEVEL."""
    best = interventions.train(kind, "ReLU").best
    return landscape.at_equal_loss(kind, "ReLU", interventions.RATES[best], LEVEL)
