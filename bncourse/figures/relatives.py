"""Figures of the chapter on the relatives of batch norm."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from bncourse.figures.seeds import band, points
from bncourse.figures.style import COLORS, LINES, figure
from bncourse.lab import relatives

IMAGES, CHANNELS, PIXELS, GHOSTS = 4, 4, 2, 2


def shared_sets():
    """Return, for each method, which statistic each number of a batch belongs to.

    Arrays (images, channels, pixels): equal numbers share.
    """
    image, channel, _ = np.indices((IMAGES, CHANNELS, PIXELS))
    half = channel // (CHANNELS // 2)
    return {
        "batch norm": channel,
        "ghost batches": channel + CHANNELS * (image // (IMAGES // GHOSTS)),
        "layer norm": image,
        "RMS norm": image,
        "group norm": 2 * image + half,
        "instance norm": CHANNELS * image + channel,
    }


@figure
def sharing():
    """Draw which numbers of a batch of images share a statistic: the cube N, C, HW drawn flat.

    Returns:
        A matplotlib Figure with one panel for each method; the first set is dark, and lines
        part the sets.
    """
    made, axes = plt.subplots(2, 3, figsize=(6.4, 3.8))
    for axis, (method, sets) in zip(axes.T.flat, _in_columns(), strict=True):
        _flat(axis, sets)
        axis.set_title(method, fontweight="bold", pad=4)
        words = "root mean square only" if method == "RMS norm" else "mean and variance"
        axis.text(CHANNELS * PIXELS / 2, IMAGES + 0.15, words, ha="center", va="top")
    return made


def _in_columns():
    """Return the methods in the order in which the panels are filled, column by column."""
    sets = shared_sets()
    order = ("batch norm", "ghost batches", "layer norm", "RMS norm", "instance norm", "group norm")
    return [(method, sets[method]) for method in order]


def _flat(axis, sets):
    """Draw the batch as a matrix: a row for each image, a column for each pixel of a channel."""
    flat = sets.reshape(IMAGES, -1)
    for (row, column), number in np.ndenumerate(flat):
        # Sets that touch differ in grey; the first is the one to look at.
        fill = COLORS["blue"] if number == 0 else ("#DCE6EE", "#F6F8FA")[_shade(sets, number)]
        axis.add_patch(Rectangle((column, row), 1, 1, facecolor=fill, edgecolor="white"))
    for row, column in np.ndindex(flat.shape):
        for there, line in (
            ((row, column + 1), ([column + 1] * 2, [row, row + 1])),
            ((row + 1, column), ([column, column + 1], [row + 1] * 2)),
        ):
            inside = there[0] < IMAGES and there[1] < flat.shape[1]
            if inside and flat[there] != flat[row, column]:
                axis.plot(*line, color="black", linewidth=1.6, solid_capstyle="butt")
    width = CHANNELS * PIXELS
    axis.add_patch(Rectangle((0, 0), width, IMAGES, fill=False, linewidth=1.6))
    for channel in range(CHANNELS):
        middle = PIXELS * (channel + 0.5)
        axis.text(middle, -0.1, f"$c_{channel + 1}$", ha="center", va="bottom")
    for image in range(IMAGES):
        axis.text(-0.15, image + 0.5, f"$n_{image + 1}$", ha="right", va="center")
    axis.set(xlim=(-1.3, width + 0.2), ylim=(IMAGES + 0.9, -0.75))
    axis.axis("off")


def _shade(sets, number):
    image, channel, _ = np.argwhere(sets == number)[0]
    return int(image + channel) % 2


COLUMNS = ("batch 64", "batch 4", "one class a batch", "20 layers", "small CNN")
HEADS = (
    "batch\n64",
    "batch\n4",
    "one class\na batch",
    "20\nlayers",
    "small\nCNN",
    "weights\ntimes 10",
    "one\nimage",
)
ROWS = (*list(relatives.METHODS)[:6], "instance norm", *list(relatives.METHODS)[6:])
# Outputs that change by less count as the same.
SAME = 0.02


def rows_of_grid():
    """Return ``{method: values}``: the seeds of each column, or None where there is no cell.

    Accuracies in percent; under "weights" the share by which the outputs change.
    """
    kept = relatives.grid()
    found = {}
    for method in ROWS:
        cells = [kept.get((method, task)) for task in COLUMNS]
        values = [cell.at_best if cell else None for cell in cells]
        tried = method in relatives.METHODS
        values.append(relatives.stretched(method) if tried else None)
        values.append(relatives.one_by_one(method) if tried else None)
        found[method] = values
    return found


@figure
def grid():
    """Draw the grid of all relatives: medians of five seeds, dark where a method does well.

    Returns:
        A matplotlib Figure: a heat map with a number in each cell.
    """
    rows = rows_of_grid()
    made, axis = plt.subplots(figsize=(6.4, 5.6))
    shades = plt.get_cmap("Blues")
    for row, (method, values) in enumerate(rows.items()):
        axis.text(-0.15, row + 0.5, method, ha="right", va="center")
        for column, value in enumerate(values):
            place = column + (0.25 if column >= len(COLUMNS) else 0)
            words, depth = _cell(value, column == len(COLUMNS))
            fill = "white" if value is None else shades(depth)
            axis.add_patch(Rectangle((place, row), 1, 1, facecolor=fill, edgecolor="white"))
            ink = "white" if depth > 0.6 else "black"
            axis.text(place + 0.5, row + 0.5, words, ha="center", va="center", color=ink)
    for column, head in enumerate(HEADS):
        place = column + (0.25 if column >= len(COLUMNS) else 0)
        axis.text(place + 0.5, -0.15, head, ha="center", va="bottom")
    axis.set(xlim=(-2.7, len(HEADS) + 0.3), ylim=(len(rows) + 0.1, -1.2))
    axis.axis("off")
    return made


def _cell(values, is_change):
    """Return the words of a cell, and how dark it is, from 0 to 1."""
    if values is None:
        return "\N{EN DASH}", 0.0
    middle = np.median(values)
    if is_change:
        return ("same", 0.9) if middle < SAME else (_times(middle), 0.05)
    return f"{middle:.0f}", 0.05 + 0.9 * np.clip((middle - 10) / 90, 0, 1) ** 2


def _times(change):
    return f"{100 * change:.0f} %" if change < 10 else f"{change:.0f} fold"


@figure
def squashed():
    """Draw what becomes of one entry, by how far it lies from the mean.

    Returns:
        A matplotlib Figure: inference, (A10) for two shares, and dynamic tanh.
    """
    d = np.linspace(-8, 8, 321)
    made, axis = plt.subplots(figsize=(6.4, 3.3))
    curves = {
        "running statistics": (d, (3.4, 4.3)),
        "its own share 1/16": (weighed_output(d, 1 / 16), (6.0, 3.55)),
        "its own share 1/4": (weighed_output(d, 1 / 4), (6.0, 1.88)),
        r"$\tanh(x/2)$": (np.tanh(d / 2), (6.6, 0.4)),
    }
    for line, (words, (y, place)) in zip(LINES, curves.items(), strict=False):
        axis.plot(d, y, **line | {"marker": ""})
        axis.text(*place, words, ha="right" if words == "running statistics" else "center")
    axis.set(xlim=(-8, 8), ylim=(-4.8, 4.8))
    axis.set(xlabel="entry, in standard deviations from the mean", ylabel="what leaves")
    return made


def weighed_output(d, alpha):
    """Return (A10), the output for a deviation d from a population of variance 1."""
    return np.sqrt(1 - alpha) * d / np.sqrt(1 + alpha * d**2)


TRAINED = {"batch 64": "64", "batch 4": "4", "batch 2": "2"}


@figure
def inference():
    """Draw the accuracy at inference against the share of the example in its statistics.

    Returns:
        A matplotlib Figure: a panel for each batch size in training.
    """
    made, axes = plt.subplots(1, 3, figsize=(6.4, 3.2), sharey=True)
    for axis, (task, size) in zip(axes, TRAINED.items(), strict=True):
        found = relatives.inference(task)
        places = np.arange(len(relatives.ALPHAS))
        band(axis, places, found.weighed.T, LINES[0])
        points(axis, [places[-1] + 1.5], found.recalibrated[:, None], LINES[1] | {"linestyle": ""})
        ticks = [*places[::2], places[-1] + 1.5]
        names = [*(f"{relatives.ALPHAS[place]:g}" for place in places[::2]), "pooled"]
        axis.set_xticks(ticks, names, rotation=90)
        axis.set(title=f"trained in\nbatches of {size}", xlabel="share $\\alpha$")
    axes[0].set(ylabel="accuracy, %")
    return made


SIZES = (2, 4, 8, 16, 32, 64, 128, 256, 512)


@figure
def objectives():
    """Draw the loss of trained networks against the size of the batch that normalises.

    Returns:
        A matplotlib Figure.
    """
    made, axis = plt.subplots(figsize=(6.4, 2.9))
    band(axis, SIZES, np.array([relatives.losses_in_batches(size) for size in SIZES]).T, LINES[0])
    axis.set(xscale="log", yscale="log", xlabel="examples that share the statistics, $N$")
    axis.set(ylabel="mean training loss")
    axis.set_xticks(SIZES, [str(size) for size in SIZES])
    axis.xaxis.set_minor_locator(plt.NullLocator())
    return made
