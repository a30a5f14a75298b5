"""Figures of the chapter on depth."""

import matplotlib.pyplot as plt
import numpy as np

from bncourse.figures.seeds import band, points
from bncourse.figures.style import COLORS, LINES, figure
from bncourse.lab import deep

DEPTH = 50
FIRST_LR = 0.3  # the best rate of 40 plain layers
NAMES = {
    "plain": "plain, batch norm",
    "plain, no norm": "plain, no batch norm",
    "residual": "residual, batch norm",
}


@figure
def gradients():
    """Draw the gradient at each layer of nets of 50 layers before training, and (H3).

    Five seeds.
    """
    made, axis = plt.subplots(figsize=(6.4, 3.4))
    places = {"plain": (16, 3e3), "plain, no norm": (4, 0.1), "residual": (1, 30)}
    for line, (kind, name) in zip(LINES, NAMES.items(), strict=False):
        found = deep.start(kind, DEPTH + (kind == "residual")).gradient
        layers = np.linspace(1, DEPTH, len(found))
        band(axis, layers, (found / found[-1]).T, line | {"marker": ""})
        axis.text(*places[kind], name, fontweight="bold")
    layers = np.arange(1, DEPTH + 1)
    slope = deep.growth("ReLU") ** 0.5
    axis.plot(layers[::3], slope ** (DEPTH - layers[::3]), "^", color=COLORS["black"])
    axis.text(31, 300, f"{slope:.3f} per layer", va="center")
    axis.set(yscale="log", ylim=(0.03, 1e5), xlabel="layer, from input to output")
    axis.set(ylabel="gradient, by that of the last layer")
    return made


@figure
def neighbours():
    """Draw how much each layer knows of the image at the start.

    By nearest neighbours; five seeds.
    """
    made, axis = plt.subplots()
    places = {"plain": (14, 0.19), "plain, no norm": (16, 0.58), "residual": (25, 0.74)}
    for line, (kind, name) in zip(LINES, NAMES.items(), strict=False):
        found = deep.start(kind, DEPTH + (kind == "residual")).neighbour
        band(axis, np.linspace(1, DEPTH, len(found)), found.T, line | {"marker": ""})
        axis.text(*places[kind], name, fontweight="bold")
    axis.axhline(0.1, color=COLORS["grey"])
    axis.text(DEPTH, 0.03, "chance", ha="right")
    axis.set(ylim=(0, 1.02), xlabel="layer, from input to output")
    axis.set(ylabel="nearest image has\nthe same label")
    return made


@figure
def first_steps(depth=40, lr=FIRST_LR):
    """Draw how far a step of rate 1 would move each layer, over the first steps of training.

    Args:
        depth: of the plain nets with batch norm.
        lr: their learning rate.
    """
    gradient = deep.train("plain", depth, lr).gradient
    made, axis = plt.subplots()
    layers = np.arange(1, depth + 1)
    for line, step in zip(LINES, (0, 1, 20), strict=False):
        band(axis, layers, gradient[step].T, line | {"marker": ""})
    axis.text(9, 150, "before step 1", fontweight="bold")
    axis.text(3, 2.5, "before step 2", fontweight="bold")
    axis.text(24, 4e-3, "before step 21", fontweight="bold")
    axis.set(yscale="log", ylim=(1e-3, 1e3), xlabel="layer, from input to output")
    axis.set(ylabel="gradient by weights")
    return made


@figure
def accuracies():
    """Draw test accuracy against depth, each net at its best rate. Five seeds."""
    made, axis = plt.subplots()
    for line, kind in zip(LINES, ("plain", "residual"), strict=False):
        depths = [depth for name, depth in deep.BEST_RATE if name == kind]
        runs = [deep.best(kind, depth).accuracy for depth in depths]
        shown = [depth - depth % 2 for depth in depths]
        points(axis, shown, 100 * np.transpose(runs), line)
    axis.text(58, 86, "residual, batch norm", ha="center", fontweight="bold")
    axis.text(44, 40, "plain, batch norm", fontweight="bold")
    axis.axhline(10, color=COLORS["grey"])
    axis.text(20, 2, "chance")
    axis.set(xscale="log", ylim=(0, 102), xlabel="layers", ylabel="test accuracy, %")
    axis.set_xticks([10, 20, 40, 100], ["10", "20", "40", "100"])
    axis.xaxis.set_minor_locator(plt.NullLocator())
    return made
