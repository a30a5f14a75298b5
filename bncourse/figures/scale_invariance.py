"""Figures of the chapter on weights whose length does not count."""

import matplotlib.pyplot as plt
import numpy as np

from bncourse.figures.seeds import band
from bncourse.figures.style import COLORS, LINES, figure
from bncourse.lab import scale

LR = 0.1
DECAY = 0.2
ANGLE = np.arccos(1 - LR * DECAY)  # (I7)


@figure
def plane(seed=0, lr=1.5, steps=12):
    """Draw the loss of a unit with two weights, and the way of gradient descent on it.

    Args:
        seed: of the 40 examples.
        lr, steps: of the descent.
    """
    unit = scale.plane(seed)
    grid = np.linspace(-3.2, 3.2, 140)
    height = np.array([[unit.loss(np.array([a, b])) for a in grid] for b in grid])
    made, axis = plt.subplots(figsize=(6.4, 4.2))
    axis.contour(grid, grid, height, levels=9, colors=COLORS["grey"], linewidths=0.8)
    for line, size in zip(LINES, (1.0, 2.0), strict=False):
        start = size * np.array([np.cos(2.6), np.sin(2.6)])
        way = unit.descend(start, lr, steps)
        axis.plot(*way.T, **line)
        turn = np.linspace(0, 2 * np.pi, 200)
        axis.plot(size * np.cos(turn), size * np.sin(turn), color=line["color"], linewidth=0.7)
    axis.text(-1.8, 1.15, "length 2", ha="right", fontweight="bold")
    axis.text(0, -0.75, "length 1", ha="center", fontweight="bold")
    axis.plot(0, 0, "+", color=COLORS["black"])
    axis.set(xlabel="$w_1$", ylabel="$w_2$", xlim=(-3.2, 3.2), ylim=(-1.1, 2.7))
    axis.set_aspect("equal")
    axis.grid(visible=False)
    return made


@figure
def exponential(seeds=scale.SEEDS):
    """Draw two runs that are one: weight decay, and a rate that grows.

    Args:
        seeds: one run of each kind.
    """
    decayed = [scale.train(seed, DECAY) for seed in seeds]
    growing = [scale.train(seed, growing=True, decay=DECAY) for seed in seeds]
    steps = np.arange(1, len(decayed[0].loss) + 1)
    made, axes = plt.subplots(1, 3, figsize=(6.4, 2.9))
    for line, runs in zip(LINES, (decayed, growing), strict=False):
        style = line | {"marker": ""}
        band(axes[0], steps, [run.rate for run in runs], style)
        band(axes[1], steps, [run.length for run in runs], style)
    axes[2].plot(steps, decayed[0].loss, **LINES[0] | {"marker": "", "linewidth": 0.8})
    axes[2].plot(steps[::20], growing[0].loss[::20], "s", color=LINES[1]["color"])
    axes[0].text(20, 2e4, "growing\nrate")
    axes[0].text(400, 4e-3, "weight decay", ha="right", fontsize=10)
    for axis, title in zip(axes, ("learning rate", "length of $w$", "loss"), strict=True):
        axis.set(title=title, xlabel="step", yscale="log")
    axes[0].set(ylim=(1e-3, 1e8), ylabel="second layer")
    axes[2].text(60, 1.6, "both")
    return made


@figure
def equilibrium(seeds=scale.SEEDS):
    """Draw the angle of each step for three starting lengths, without and with weight decay.

    Args:
        seeds: one run for each length and decay.
    """
    made, axes = plt.subplots(1, 2, figsize=(6.4, 3.2), sharey=True)
    for axis, decay in zip(axes, (0.0, DECAY), strict=True):
        for line, size in zip(LINES, scale.SCALES, strict=False):
            runs = np.array([smooth(scale.train(seed, decay, size).angle) for seed in seeds])
            steps = 10 * np.arange(1, runs.shape[1] + 1)
            band(axis, steps, runs, line | {"marker": ""})
        axis.set(yscale="log", xlabel="step", ylim=(2e-4, 0.6))
        axis.set(title=f"weight decay {decay:g}")
    for size, place in zip(scale.SCALES, (0.025, 0.0011, 0.00026), strict=True):
        axes[0].text(400, place, f"start times {size:g}", ha="right", fontweight="bold")
    axes[1].axhline(ANGLE, color=COLORS["grey"], linewidth=1)
    axes[1].text(400, ANGLE * 1.2, "(I7)", ha="right")
    axes[0].set(ylabel="angle of one step, radians")
    return made


def smooth(angles, window=10):
    """Return the medians of stretches of ``window`` steps."""
    return np.median(angles.reshape(-1, window), axis=1)


@figure
def optimisers(seeds=scale.SEEDS):
    """Draw the angle of the first step against the length of the weights, SGD and Adam.

    Args:
        seeds: one start for each length.
    """
    made, axis = plt.subplots(figsize=(6.4, 3.0))
    first = {
        "SGD, rate 0.1": lambda seed, size: scale.train(seed, 0.0, size).angle[0],
        "Adam, rate 0.001": lambda seed, size: scale.adam_angles(seed, size)[0],
    }
    # The line of one falls between the starts of both.
    beside = {"SGD, rate 0.1": 1.25, "Adam, rate 0.001": 0.25}
    for line, (name, angle) in zip(LINES, first.items(), strict=False):
        runs = np.array([[angle(seed, size) for size in scale.SCALES] for seed in seeds])
        band(axis, scale.SCALES, runs, line)
        axis.text(0.31, np.median(runs[:, 0]) * beside[name], name, fontweight="bold")
    axis.set(xscale="log", yscale="log", xlabel="length of the weights, times the usual start")
    axis.set(ylabel="angle of the\nfirst step, radians", ylim=(1e-3, 0.5))
    axis.set_xticks(scale.SCALES, [f"{size:g}" for size in scale.SCALES])
    axis.xaxis.set_minor_locator(plt.NullLocator())
    return made
