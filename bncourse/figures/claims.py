"""Figures of the chapter on the claims of popular articles."""

import matplotlib.pyplot as plt
import numpy as np

from bncourse.claims import CLAIMS, GROUPS, VERDICTS
from bncourse.figures.seeds import band
from bncourse.figures.style import COLORS, figure
from bncourse.lab import published

# A verdict has a shape and a lightness of its own: face, colour of the number, marker, size, and
# how far the number stands above the middle.
_MARKS = {
    "holds": (COLORS["blue"], "white", "o", 21, 0.02),
    "holds under conditions": (COLORS["sky"], "black", "s", 19, 0.02),
    "not supported": ("white", "black", "D", 18, 0.02),
    "wrong": (COLORS["black"], "white", "v", 25, 0.12),
}


def _mark(axis, x, y, verdict, number=""):
    face, ink, marker, size, above = _MARKS[verdict]
    axis.plot(x, y, marker, color=face, markersize=size, markeredgecolor=COLORS["black"])
    axis.text(x, y - above, number, color=ink, ha="center", va="center", fontsize=11)


@figure
def verdicts():
    """Draw the verdict on each claim as a mark with its number, a row for each group."""
    made, axis = plt.subplots(figsize=(6.4, 4.0))
    for row, (group, name) in enumerate(GROUPS.items()):
        axis.text(-0.8, row, name, ha="right", va="center")
        found = [claim for claim in CLAIMS if claim.group == group]
        for column, claim in enumerate(found):
            _mark(axis, column, row, claim.verdict, claim.number)
    for place, verdict in enumerate(VERDICTS):
        count = sum(claim.verdict == verdict for claim in CLAIMS)
        x, y = (-4.1, 4.4)[place % 2] + 0.2, len(GROUPS) + 0.3 + 0.95 * (place // 2)
        _mark(axis, x, y, verdict)
        axis.text(x + 0.7, y, f"{verdict}: {count}", va="center", fontweight="bold")
    axis.axhline(len(GROUPS) - 0.4, color=COLORS["grey"], linewidth=0.8)
    axis.set(xlim=(-5.3, 9.6), ylim=(len(GROUPS) + 1.9, -0.6))
    axis.axis("off")
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
