"""Figures of the chapter on famous bugs."""

import matplotlib.pyplot as plt
import numpy as np

from bncourse.figures.style import COLORS, LINES, figure
from bncourse.lab import bugs

# What of each bug is wrong, in the order of their numbers.
NAMES = (
    "1  gradient: statistics under no_grad",
    "2  output: axes of the other layout",
    "3  output in eval: mode from autograd",
    "4  output: difference of squares, float32",
    "5  nothing: statistics with a graph",
    "6  running variance: biased",
    "7  gradient: a fresh tensor",
)
_FLOOR = 1e-17  # where an error of exactly 0 is drawn


@figure
def errors(seeds=bugs.SEEDS):
    """Draw the relative error of each bug and of its repair.

    Args:
        seeds: of the inputs; a dot each.
    """
    made, axis = plt.subplots(figsize=(6.4, 4.4))
    for row, number in enumerate(bugs.NUMBERS):
        for obj, line in zip(bugs.code(number), (LINES[4], LINES[0]), strict=True):
            sizes = [max(bugs.error(number, obj, seed), _FLOOR) for seed in seeds]
            filled = {} if line is LINES[4] else {"markerfacecolor": "white"}
            axis.plot(
                sizes,
                np.full(len(sizes), row + 0.18),
                line["marker"],
                color=line["color"],
                **filled,
            )
        axis.text(_FLOOR / 2, row - 0.14, NAMES[row], va="center")
    axis.set(
        xscale="log",
        xlim=(_FLOOR / 4, 3e3),
        ylim=(6.6, -1.0),
        xlabel="relative error of the result that is wrong",
        ylabel="bug",
        yticks=[],
    )
    nodes = bugs.nodes_after(bugs.code(5).bug, 200)
    axis.text(
        3e3,
        4.18,
        f"values right; {nodes:,} nodes kept",
        color=COLORS["red"],
        ha="right",
        va="center",
    )
    axis.text(1e-15, -0.65, "repaired", color=COLORS["blue"], ha="center", fontweight="bold")
    axis.text(3, -0.65, "bug", color=COLORS["red"], ha="center", fontweight="bold")
    return made


@figure
def gradients(seeds=bugs.SEEDS):
    """Draw the error of dx in bug 1 against the size of the batch, measured and by (X2).

    Args:
        seeds: of the batches; a dot each.
    """
    made, axis = plt.subplots()
    sizes = np.geomspace(4, 1024, 60)
    counts = (4, 16, 64, 256, 1024)
    for line, offset in zip(LINES, (1.0, 0.3, 0.0), strict=False):
        axis.plot(sizes, bugs.expected_gradient_error(sizes, offset), color=line["color"])
        for n in counts:
            found = [bugs.gradient_error(n, offset, seed) for seed in seeds]
            axis.plot([n] * len(found), found, line["marker"], color=line["color"])
    for offset, height in ((1.0, 1.25), (0.3, 0.42), (0.0, 0.11)):
        axis.text(1150, height, f"mean of dy: {offset:g}", ha="right")
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="examples in the batch, N",
        ylabel="relative error of dx",
        ylim=(0.03, 3),
    )
    return made


@figure
def kept(most=200):
    """Draw how many nodes of autograd hang on the running statistics after so many steps.

    Args:
        most: steps.
    """
    made, axis = plt.subplots(figsize=(6.4, 2.6))
    steps = np.linspace(1, most, 9, dtype=int)
    for line, (obj, label, above) in zip(
        (LINES[4], LINES[0]),
        ((bugs.code(5).bug, "bug", 90), (bugs.code(5).repaired, "repaired", 60)),
        strict=True,
    ):
        counts = [bugs.nodes_after(obj, count) for count in steps]
        axis.plot(steps, counts, **line)
        place = (0.62 * most, np.interp(0.62 * most, steps, counts) + above)
        axis.text(*place, label, ha="right", va="bottom", color=line["color"], fontweight="bold")
    axis.set(xlabel="steps of training", ylabel="nodes kept")
    return made


@figure
def matrix():
    """Draw which check catches which bug, and which it lets pass."""
    made, axis = plt.subplots(figsize=(6.4, 3.9))
    for row, check in enumerate(bugs.CHECKS):
        for number in bugs.NUMBERS:
            passed = bugs.passes(check, number, bugs.code(number).bug)
            if passed is None:
                continue
            style = (
                {"marker": "o", "markerfacecolor": "white", "color": COLORS["grey"]}
                if passed
                else {"marker": "s", "color": COLORS["red"]}
            )
            axis.plot(number, row + 0.2, linestyle="", markersize=11 - 2 * passed, **style)
        axis.text(-7.4, row + 0.2, check.asks, va="center", fontsize=11)
    axis.set(xlim=(-7.5, 7.6), ylim=(len(bugs.CHECKS) - 0.3, -0.6))
    for number in bugs.NUMBERS:
        axis.text(number, -0.45, str(number), ha="center", va="center", fontweight="bold")
    axis.text(-7.4, -0.45, "check, and the bug that it catches", va="center", fontweight="bold")
    axis.axis("off")
    return made


@figure
def training(seeds=bugs.SEEDS):
    """Draw what training shows of bugs 1 and 7: losses, accuracy, and a bias that should rest.

    Args:
        seeds: one network of each kind.
    """
    made, axes = plt.subplots(1, 3, figsize=(6.4, 2.9))
    titles = "loss, last / first", "test accuracy, %", "dead bias moves"
    for axis, title, part in zip(axes, titles, ("loss", "accuracy", "bias"), strict=True):
        for place, kind in enumerate(bugs.KINDS):
            runs = [getattr(each, part) for each in bugs.train(kind, bugs.best_rate(kind), seeds)]
            line = LINES[0] if kind == "repaired" else LINES[4]
            marks = np.maximum(runs, 1e-10)
            axis.plot([place] * len(runs), marks, line["marker"], color=line["color"])
        axis.set(title=title, xlim=(-0.6, 2.6), xlabel="code")
        axis.set_xticks(range(3), ("right", "1", "7"))
    axes[0].set(ylim=(0, None), ylabel="at the end of training")
    axes[1].set(ylim=(0, 102))
    axes[2].set(yscale="log")
    axes[2].text(2, 3e-10, "exactly 0", ha="center")
    return made
