"""Figures of the chapter on the claims of popular articles."""

import matplotlib.pyplot as plt
import numpy as np

from bncourse.claims import CLAIMS, GROUPS, VERDICTS
from bncourse.figures.seeds import band
from bncourse.figures.style import COLORS, LINES, figure
from bncourse.lab import deep, published
from bncourse.reference import forward

# A verdict has a shape and a lightness of its own: face, colour of the number, marker, size, and
# how far the number stands above the middle.
_MARKS = {
    "holds": (COLORS["blue"], "white", "o", 21, 0.02),
    "holds under conditions": (COLORS["sky"], "black", "s", 19, 0.02),
    "not supported": ("white", "black", "D", 18, 0.02),
    "wrong": (COLORS["black"], "white", "v", 25, 0.12),
}


# Verdicts that take two lines.
_WORDS = {"holds under conditions": "holds under\nconditions", "not supported": "not\nsupported"}


def _mark(axis, x, y, verdict, number=""):
    face, ink, marker, size, above = _MARKS[verdict]
    axis.plot(x, y, marker, color=face, markersize=size, markeredgecolor=COLORS["black"])
    axis.text(x, y - above, number, color=ink, ha="center", va="center", fontsize=11)


@figure(tall=False)
def verdicts():
    """Draw the verdict on each claim as a mark with its number, a row for each group."""
    made, axis = plt.subplots(figsize=(6.4, 3.7))
    for row, (group, name) in enumerate(GROUPS.items()):
        axis.text(-0.8, row, name, ha="right", va="center")
        found = [claim for claim in CLAIMS if claim.group == group]
        for column, claim in enumerate(found):
            _mark(axis, column, row, claim.verdict, claim.number)
    for x, verdict in zip((-5.8, -2.4, 2.3, 6.2), VERDICTS, strict=True):
        count = sum(claim.verdict == verdict for claim in CLAIMS)
        _mark(axis, x, len(GROUPS) + 0.3, verdict)
        axis.text(
            x + 0.55, len(GROUPS) + 0.3, f"{_WORDS.get(verdict, verdict)}: {count}", va="center"
        )
    axis.axhline(len(GROUPS) - 0.4, color=COLORS["grey"], linewidth=0.8)
    axis.set(xlim=(-6.6, 10.0), ylim=(len(GROUPS) + 1.0, -0.6))
    axis.axis("off")
    return made


@figure
def two_batches():
    """Draw one feature of two batches before and after a layer, with mean and deviation."""
    rng = np.random.default_rng(1)
    made, axes = plt.subplots(1, 2, figsize=(6.4, 1.9), sharey=True)
    gamma, beta = np.array([1.5]), np.array([4.0])
    for row, (mean, std) in enumerate(((2, 3), (12, 1.2))):
        x = rng.normal(mean, std, (12, 1))
        y, _ = forward.batchnorm_forward(x, gamma, beta)
        color = COLORS[("blue", "orange")[row]]
        for axis, values in zip(axes, (x, y), strict=True):
            axis.plot(values, np.full(len(values), row), "|", color=color, markersize=14, mew=2)
            axis.errorbar(
                values.mean(), row + 0.42, xerr=values.std(), fmt="o", capsize=4, color="black"
            )
    axes[0].set(xlabel="what comes in", ylim=(1.9, -0.5), ylabel="batch")
    axes[0].set_yticks([0, 1], ["one", "another"])
    axes[1].set(xlabel="what goes out", xlim=axes[0].get_xlim())
    return made


@figure
def by_formula():
    """Draw the growth of gradients, (H3) and (H6), and the dropout that a batch is worth, (U5)."""
    made, axes = plt.subplots(1, 2, figsize=(6.4, 2.5))
    chi, layers = deep.growth("ReLU"), np.arange(2, 101, 2)
    shortcuts = np.cumprod(1 + chi / np.arange(1, 51)) ** 0.5
    plain, short = ({**line, "marker": ""} for line in LINES[:2])
    axes[0].plot(layers, chi ** (layers / 2), **plain)
    axes[0].plot(layers, shortcuts, **short)
    axes[0].set(yscale="log", xlabel="layers", ylabel="growth of the gradient")
    axes[0].text(48, 3e6, "plain", ha="right", fontweight="bold")
    axes[0].text(98, 70, "shortcuts", ha="right", fontweight="bold")
    size = np.array([2, 4, 8, 16, 32, 64, 128, 256])
    axes[1].plot(size, 100 * 3 / (2 * size + 3), **LINES[0])
    axes[1].set(xscale="log", xlabel="examples in a batch", ylabel="dropout as noisy, %")
    axes[1].set_xticks([2, 8, 32, 128], ["2", "8", "32", "128"])
    axes[1].xaxis.set_minor_locator(plt.NullLocator())
    return made


_NETS = {
    published.HEADLESS: COLORS["black"],
    published.WITHOUT: COLORS["orange"],
    published.BATCH_NORM: COLORS["blue"],
}


def _draw_losses(axis, kind):
    found = published.curves(kind)
    epochs = np.arange(1, published.EPOCHS + 1)
    for losses, dash in ((found.training, "--"), (found.validation, "-")):
        line = {"color": _NETS[kind], "linestyle": dash}
        band(axis, epochs, losses[:, 0].T, line)


@figure
def comparisons():
    """Draw the four losses of the published code, and of the repaired one, by epoch."""
    made, axes = plt.subplots(1, 2, figsize=(6.4, 3.4), sharey=True)
    for axis, title, nets in (
        (axes[0], "the code as published", published.PUBLISHED),
        (axes[1], "repaired", published.REPAIRED),
    ):
        for kind in nets.values():
            _draw_losses(axis, kind)
        axis.set(title=title, xlabel="epoch", yscale="log", xlim=(1, published.EPOCHS))
        axis.set_xticks([1, 4, 7, 10])
    axes[0].set(ylabel="loss")
    axes[0].text(4.4, 5.6, "flag off:\nno output layer", fontweight="bold")
    axes[0].text(1.3, 0.15, "flag on:\nno batch norm", fontweight="bold")
    axes[1].text(4.6, 0.62, "flag off: without", fontweight="bold")
    axes[1].text(1.3, 0.1, "flag on:\nbatch norm", fontweight="bold")
    axes[1].text(3.6, 5.6, "dashed: training\nsolid: validation", va="center")
    return made
