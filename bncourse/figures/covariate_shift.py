"""Figures of the chapter on internal covariate shift."""

import matplotlib.pyplot as plt
import numpy as np

from bncourse.figures.seeds import band, points
from bncourse.figures.style import COLORS, LINES, figure
from bncourse.lab import experiments, shifted
from bncourse.lab.probes import QUANTILES, percentile_drift

NETS = {"without batch norm": False, "with batch norm": True}
# In every chapter the first line is the net with batch norm.
LINE_OF = {True: LINES[0], False: LINES[1]}
WATCHED = 2  # the third layer of weights, counted from 0: it feeds the last hidden sigmoids


@figure
def percentiles(seed=0, unit=0):
    """Draw three percentiles of what enters one sigmoid of the last hidden layer.

    Args:
        seed: of the training run.
        unit: which of the 100 sigmoids.
    """
    made, axes = plt.subplots(1, 2, figsize=(6.4, 3.0), sharey=True)
    for axis, (title, batch_norm) in zip(axes, NETS.items(), strict=True):
        trace = experiments.shift_trace(batch_norm, seed)
        for line, q, values in zip(LINES, QUANTILES, trace.percentiles[:, :, unit].T, strict=False):
            axis.plot(trace.steps, values, **line | {"markersize": 3.5})
            if batch_norm:
                axis.text(0, values[0] + 0.2, f"{q} %", fontweight="bold")
        axis.set(title=title, xlabel="step")
        _log_steps(axis)
    axes[0].set(ylabel="what enters the sigmoid")
    return made


def _log_steps(axis):
    """Make the axis of steps logarithmic, with a place for step 0."""
    axis.set_xscale("symlog", linthresh=1, linscale=0.4)
    axis.set_xticks([0, 1, 10, 100, 1000], ["0", "1", "10", "100", "1000"], fontsize=9)
    axis.set_xlim(left=-0.3)
    axis.minorticks_off()


@figure
def cut(arrow=1.8):
    """Draw a network cut between two layers: what moves when the lower part learns.

    Args:
        arrow: width of the arrows.
    """
    made, axis = plt.subplots(figsize=(6.4, 1.8))
    boxes = (
        (0.9, "data\nfixed", COLORS["grey"]),
        (3.7, "layers 1 to $l$\nlearn", COLORS["sky"]),
        (7.6, "layers $l$ + 1 to $k$\nlearn", COLORS["orange"]),
    )
    for x, words, color in boxes:
        box = {"boxstyle": "round,pad=0.5", "facecolor": color, "alpha": 0.35}
        axis.text(x, 1.3, words, ha="center", va="center", fontsize=12, bbox=box)
    style = {"arrowstyle": "->", "lw": arrow}
    for y, tail, head, words, gap in (
        (1.3, 1.6, 2.5, "$x$", 0.12),
        (1.45, 4.95, 6.0, "$u$: what I see", 0.12),
        (1.15, 6.0, 4.95, "gradient: what I need", -0.12),
    ):
        axis.annotate("", (head, y), (tail, y), arrowprops=style)
        place = {"va": "bottom" if gap > 0 else "top", "ha": "center", "fontsize": 12}
        if abs(y - 1.3) > 0:  # between the boxes there is no room beside the arrow
            gap *= 3
        axis.text((tail + head) / 2, y + gap, words, **place)
    axis.set(xlim=(0, 9.3), ylim=(0.45, 2.15))
    axis.axis("off")
    return made


@figure
def toy(seed=0):
    """Draw a straight line fitted where the data are, and one fitted for where they will be.

    Args:
        seed: of the training and the test examples.
    """
    x, t = shifted.sample(seed, shifted.TRAIN, 120)
    x_test, t_test = shifted.sample(seed + 1, shifted.TEST, 120)
    grid = np.linspace(-2.6, 2.6, 100)
    made, axis = plt.subplots()
    axis.plot(x, t, "o", color=COLORS["sky"], markersize=4)
    axis.plot(x_test, t_test, "x", color=COLORS["black"], markersize=4)
    axis.plot(grid, shifted.rule(grid), color=COLORS["grey"])
    for line, weight in zip(LINES, (np.ones_like(x), shifted.weight(x)), strict=False):
        fit = shifted.fit_line(x, t, weight)
        axis.plot(grid[45:], fit[0] + fit[1] * grid[45:], **line | {"marker": ""})
    names = {
        "the rule, the same for both": (-2.6, 1.2),
        "training examples": (-1.9, -1.75),
        "test examples": (1.2, 1.5),
        "fitted to training": (1.65, 1.05),
        "weighted by (S2)": (0.15, 2.2),
    }
    for name, place in names.items():
        axis.text(*place, name)
    axis.set(xlabel="$x$", ylabel="$t$", ylim=(-2, 2.6))
    return made


@figure
def drift(seeds=experiments.SEEDS):
    """Draw how far the percentiles have moved since the start, in two units of length.

    Args:
        seeds: one training run each.
    """
    made, axes = plt.subplots(1, 2, figsize=(6.4, 3.0))
    for batch_norm in NETS.values():
        traces = [experiments.shift_trace(batch_norm, seed) for seed in seeds]
        moved = np.array([since_start(trace) for trace in traces])
        unit = np.array([[experiments.spread(q) for q in trace.percentiles] for trace in traces])
        style = LINE_OF[batch_norm] | {"markersize": 3.5}
        band(axes[0], traces[0].steps, moved, style)
        band(axes[1], traces[0].steps[1:], (moved / unit)[:, 1:], style)
    axes[0].set(
        title="in the activation's own unit",
        xlabel="step",
        ylabel="drift since step 0",
        ylim=(0, 2.1),
    )
    axes[1].set(title="in spreads of that moment", xlabel="step", yscale="log")
    for axis in axes:
        _log_steps(axis)
    axes[1].set_xlim(left=0.9)
    _name_lines(axes[1], (1, 25), (4, 0.45))
    return made


@figure
def equal_loss(seeds=experiments.SEEDS):
    """Draw the change of one layer's gradient against the loss that the network has reached.

    Args:
        seeds: one training run each.
    """
    made, axes = plt.subplots(1, 2, figsize=(6.4, 3.2))
    columns = {"relative": "length of the change / $|G|$", "cosine": "cosine"}
    for batch_norm in NETS.values():
        runs = np.array([experiments.shift_trace(batch_norm, seed).levels for seed in seeds])
        for axis, (column, title) in zip(axes, columns.items(), strict=True):
            place = experiments.AtLevel._fields.index(column)
            points(axis, experiments.LEVELS, runs[:, :, place], LINE_OF[batch_norm])
            axis.set(title=title, xlabel="loss", xscale="log")
    for axis in axes:
        axis.set_xticks(experiments.LEVELS, [f"{level:g}" for level in experiments.LEVELS])
        axis.xaxis.set_minor_locator(plt.NullLocator())
        axis.invert_xaxis()
    axes[0].set(ylabel="layer 3", ylim=(0, 1.35))
    axes[1].set(ylim=(-0.35, 1.1))
    _name_lines(axes[0], (1, 1.22), (1.6, 0.1))
    return made


def _name_lines(axis, without, batch_norm):
    """Write the names of both nets beside their lines; the arguments are places."""
    axis.text(*without, "without", fontweight="bold")
    axis.text(*batch_norm, "with batch norm", fontweight="bold")


def since_start(trace):
    """Return the drift (S4) between step 0 and each step of a trace."""
    return [percentile_drift(trace.percentiles[0], later) for later in trace.percentiles]


RATES = (0.03, 0.1, 0.3, 1.0)


@figure
def jumps(seeds=experiments.SEEDS):
    """Draw the mean drift of one step, over the first 25 steps, against the learning rate.

    Args:
        seeds: one training run for each rate and net.
    """
    made, axes = plt.subplots(1, 2, figsize=(6.4, 3.0))
    for batch_norm in NETS.values():
        runs = np.array(
            [[experiments.early_jumps(batch_norm, seed, lr) for lr in RATES] for seed in seeds]
        )
        for axis, values in zip(axes, np.moveaxis(runs, -1, 0), strict=True):
            points(axis, RATES, values, LINE_OF[batch_norm])
    axes[0].set(title="in the activation's own unit", ylabel="drift in one step")
    axes[1].set(title="in spreads of that moment")
    for axis in axes:
        axis.set(xscale="log", yscale="log", xlabel="learning rate")
        axis.set_xticks(RATES, [f"{lr:g}" for lr in RATES])
        axis.xaxis.set_minor_locator(plt.NullLocator())
    _name_lines(axes[1], (0.03, 1), (0.03, 0.02))
    return made


@figure
def gradient_shift(seeds=experiments.SEEDS):
    """Draw length and direction of the change (S5) of one layer's gradient over training.

    Args:
        seeds: one training run each.
    """
    made, axes = plt.subplots(1, 2, figsize=(6.4, 3.0))
    for batch_norm in NETS.values():
        traces = [experiments.shift_trace(batch_norm, seed) for seed in seeds]
        style = LINE_OF[batch_norm] | {"markersize": 3.5}
        for axis, name in zip(axes, ("shift", "cosine"), strict=True):
            runs = np.array([getattr(trace, name)[:, WATCHED] for trace in traces])
            band(axis, traces[0].steps, runs, style)
    axes[0].set(title="length of the change", yscale="log", xlabel="step")
    axes[0].set(ylabel="layer 3")
    axes[1].set(title="cosine", xlabel="step", ylim=(-1, 1.1))
    for axis in axes:
        _log_steps(axis)
    _name_lines(axes[0], (0, 0.02), (0, 0.5))
    return made
