"""Figures of the chapter on what batch norm buys."""

import matplotlib.pyplot as plt
import numpy as np

from bncourse.figures.seeds import points
from bncourse.figures.style import COLORS, LINES, figure
from bncourse.lab import buys

NEVER = 400  # where the figure of steps puts those that do not get there


@figure
def steps(optimizer="SGD"):
    """Draw the steps to the level of the loss against the rate, five seeds each.

    Args:
        optimizer: a key of OPTIMIZERS.
    """
    made, axes = plt.subplots(1, 2, figsize=(6.4, 3.4), sharey=True)
    shown = {
        "sigmoid": {
            "sigmoid, batch norm": ("batch norm", (0.28, 34), "left"),
            "sigmoid, large weights": ("without, large", (1.75, 96), "center"),
            "sigmoid": ("without, small weights", (0.095, 500), "left"),
        },
        "ReLU": {
            "ReLU, batch norm": ("batch norm", (0.9, 13), "left"),
            "ReLU": ("without", (0.8, 170), "left"),
        },
    }
    for axis, (title, names) in zip(axes, shown.items(), strict=True):
        for line, (name, (label, place, side)) in zip(LINES, names.items(), strict=False):
            found = buys.speed(name, optimizer)
            points(axis, found.rates, np.minimum(found.steps, NEVER).T, line)
            axis.text(*place, label, ha=side, fontweight="bold")
        axis.set(title=title, xscale="log", yscale="log", xlabel="learning rate", ylim=(10, 800))
        axis.set_xticks(found.rates, [f"{rate:g}" for rate in found.rates])
        axis.xaxis.set_minor_locator(plt.NullLocator())
        axis.yaxis.set_minor_locator(plt.NullLocator())
    axes[0].set(ylabel="steps to a loss of 0.3")
    axes[0].set_yticks([10, 30, 100, NEVER], ["10", "30", "100", "not in\n250"])
    return made


# The rows of the figure of networks at their best, from the top.
_ROWS = {
    "sigmoid, large weights": "sigmoid, large",
    "sigmoid, once": "sigmoid, once",
    "sigmoid, batch norm": "sigmoid, batch norm",
    "ReLU": "ReLU, without",
    "ReLU, batch norm": "ReLU, batch norm",
}


@figure
def at_best():
    """Draw the steps that each network takes at its own best rate, five seeds each."""
    made, axes = plt.subplots(1, 2, figsize=(6.4, 2.8), sharey=True)
    for axis, (optimizer, title) in zip(
        axes, {"SGD": "plain descent", "Adam": "Adam"}.items(), strict=True
    ):
        for row, name in enumerate(_ROWS):
            found = buys.speed(name, optimizer)
            steps = found.steps[found.fastest]
            color = COLORS["blue" if "batch norm" in name else "orange"]
            axis.plot(steps, np.full(len(steps), row), "o", color=color, alpha=0.8)
            axis.plot(np.median(steps), row, "|", color=COLORS["black"], markersize=16, mew=2)
        axis.set(title=title, xlabel="steps to a loss of 0.3", ylim=(len(_ROWS) - 0.5, -0.5))
        axis.set_xlim(left=0)
    axes[0].set_yticks(range(len(_ROWS)), _ROWS.values())
    axes[0].set(ylabel="network")
    return made


# The rows of the figure of the verdict: how the comparison is made, the rival, the optimizer.
_COMPARISONS = {
    "sigmoid, small weights": ("sigmoid", "SGD"),
    "sigmoid, large weights": ("sigmoid, large weights", "SGD"),
    "sigmoid, normalised once": ("sigmoid, once", "SGD"),
    "the same, Adam": ("sigmoid, once", "Adam"),
    "ReLU": ("ReLU", "SGD"),
    "ReLU, Adam": ("ReLU", "Adam"),
}


@figure
def factors():
    """Draw (U2) against one rival after the other, from the famous comparison to the fair ones."""
    made, axis = plt.subplots(figsize=(6.4, 2.8))
    for row, (rival, optimizer) in enumerate(_COMPARISONS.values()):
        normed = buys.speed(f"{rival.split(',')[0]}, batch norm", optimizer)
        found = buys.speed(rival, optimizer)
        waited = buys.OPTIMIZERS[optimizer][2]
        factor = np.minimum(np.median(found.steps, axis=1).min(), waited)
        factor /= np.median(normed.steps, axis=1).min()
        axis.plot([1, factor], [row, row], color=COLORS["grey"], zorder=1)
        axis.plot(factor, row, "o", color=COLORS["blue"])
        if not np.isfinite(found.steps).all(axis=1).any():
            axis.annotate(
                "or more",
                (factor * 1.02, row),
                (factor * 1.22, row),
                va="center",
                arrowprops={"arrowstyle": "<-"},
            )
    axis.axvline(1, color=COLORS["black"], linestyle="--")
    axis.set_yticks(range(len(_COMPARISONS)), _COMPARISONS)
    axis.set(
        xlabel="speed-up of batch norm, (U2)",
        xlim=(0, 8),
        ylim=(len(_COMPARISONS) - 0.5, -0.5),
        ylabel="rival",
    )
    return made


@figure
def sizes():
    """Draw accuracy against the size of the weights at the start, at the best rate of each."""
    made, axis = plt.subplots()
    names = {"ReLU, batch norm": ("batch norm", (4.2, 84)), "ReLU": ("without", (0.25, 50))}
    for line, (name, (label, place)) in zip(LINES, names.items(), strict=False):
        runs = [buys.start(name, scale) for scale in buys.SCALES]
        best = [run.accuracy[run.most_accurate] for run in runs]
        points(axis, buys.SCALES, np.transpose(best), line)
        axis.text(*place, label, fontweight="bold")
    axis.axhline(10, color=COLORS["grey"])
    axis.text(0.5, 2, "chance")
    axis.set(xscale="log", ylim=(0, 104), xlabel="weights at the start, times those of (W3)")
    axis.set(ylabel="test accuracy, %")
    axis.set_xticks(buys.SCALES, [f"{scale:g}" for scale in buys.SCALES])
    axis.xaxis.set_minor_locator(plt.NullLocator())
    return made


def few_rows():
    """Return the accuracy of each seed on few images, by the name of its row."""
    return {
        "neither": buys.few(False).at_best,
        "dropout": buys.few_at_best_drop(False)[1].at_best,
        "batch norm": buys.few(True).at_best,
        "both": buys.few_at_best_drop(True)[1].at_best,
        "batch norm,\ngroups of 5": buys.few(True, group=5).at_best,
    }


@figure
def few_images():
    """Draw what each seed gains over the same seed with neither, trained on few images."""
    made, axis = plt.subplots(figsize=(6.4, 3.0))
    neither, *rows = few_rows().items()
    for row, (_, accuracy) in enumerate(rows):
        gain = accuracy - neither[1]
        axis.plot(gain, np.full(len(gain), row), "o", color=COLORS["sky"], alpha=0.8)
        axis.plot(np.median(gain), row, "|", color=COLORS["black"], markersize=18, mew=2)
    axis.axvline(0, color=COLORS["grey"])
    axis.set_yticks(range(len(rows)), [name for name, _ in rows])
    axis.set(
        ylim=(len(rows) - 0.5, -0.5),
        xlabel="accuracy against the same seed with neither, points",
        ylabel="regularised by",
    )
    return made
