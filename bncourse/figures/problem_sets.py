"""Pictures of the problem sets: diagrams of their own, and figures of the book.

``python -m bncourse.figures.problem_sets`` draws them into ``pictures/``. A notebook carries its
pictures in its text, so that it is whole in one file and needs neither matplotlib nor a network.
"""

import io
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch, Rectangle
from PIL import Image

from bncourse.figures import backward, convolution, gradient_check
from bncourse.figures.diagrams import FILL, arrow, blank, box, chain
from bncourse.figures.style import COLORS, figure

# Enough for a screen, and for small files: each is part of the text of a cell.
_DPI, _COLORS = 110, 24
_CODE = {"family": "monospace", "fontsize": 11, "va": "center"}


@figure
def functions():
    """Draw which function of problem set 1 makes what from what."""
    made, axis = plt.subplots(figsize=(6.4, 3.3))
    x = box(axis, (1.5, 5), "$x$", "data", 13)
    statistics = box(axis, (1.5, 3.4), "mean, var", "statistics")
    running = box(axis, (7.5, 3.4), "running mean, var", "statistics")
    x_hat = box(axis, (1.5, 1.8), r"$\hat{x}$", "normalised", 13)
    y = box(axis, (1.5, 0.3), "$y$", "data", 13)
    alone = box(axis, (7.5, 1.8), "$y$ at inference", "data")
    chain(axis, [x, statistics, x_hat, y])
    arrow(axis, statistics, running, dashed=True)
    arrow(axis, running, alone)
    axis.text(1.8, 4.35, "batch_statistics", **_CODE)
    axis.text(4.35, 3.85, "update_running", ha="center", **_CODE)
    axis.text(1.8, 2.65, "normalize", **_CODE)
    axis.text(1.8, 1.05, r"$\cdot\,\gamma + \beta$", fontsize=13, va="center")
    # Below, where a phone has room for it.
    axis.text(7.5, 1.05, "batchnorm_inference", ha="center", **_CODE)
    axis.plot([0.35, 0.2, 0.2, 0.35], [5.2, 5.2, 0.1, 0.1], color=COLORS["grey"])
    axis.text(-0.1, 2.65, "batchnorm_forward", rotation=90, ha="center", **_CODE)
    blank(axis, 10, 5.4)
    axis.set_xlim(-0.4, 10)
    return made


@figure
def two_maps():
    """Draw a layer with batch norm at inference, and the one layer that does the same."""
    made, axis = plt.subplots(figsize=(6.4, 1.8))
    for height, parts in (
        (2.0, ((3.0, "weight, bias", "learned"), (6.6, "batch norm", "normalised"))),
        (0.5, ((4.8, "weight', bias'", "learned"),)),
    ):
        way = [(0.5, "$x$", "data"), *parts, (9.5, "$y$", "data")]
        chain(axis, [box(axis, (x, height), text, meaning, 13) for x, text, meaning in way])
    axis.text(0.5, 1.25, "the same $y$ for every $x$", va="center")
    blank(axis, 10, 2.5)
    return made


@figure
def pytorch_layer():
    """Draw what a PyTorch layer reads and writes, in training and in eval mode."""
    made, axis = plt.subplots(figsize=(6.4, 3.6))
    for height, mode in ((5.6, "training"), (0.6, "eval mode")):
        axis.text(0, height + 0.75, mode, weight="bold", va="center")
        way = [(0.35, "$x$", "data"), (3.1, r"$\hat{x}$", "normalised")]
        way += [(6.2, r"$\cdot$ weight + bias", "learned"), (9.5, "$y$", "data")]
        boxes = [box(axis, (x, height), text, meaning, 13) for x, text, meaning in way]
        chain(axis, boxes)
        if mode == "training":
            batch = box(axis, (3.1, 4.1), "mean, var", "statistics")
            arrow(axis, boxes[0], batch, bend=0.3)
            arrow(axis, batch, boxes[1])
    buffers = box(axis, (3.1, 2.2), "running_mean\nrunning_var", "statistics", 11)
    arrow(axis, batch, buffers, dashed=True)
    arrow(axis, buffers, boxes[1])
    axis.text(3.4, 3.2, "detached: no gradient flows here", va="center")
    axis.text(4.9, 2.2, "buffers, with\nnum_batches_tracked", va="center")
    blank(axis, 10, 6.7)
    return made


@figure
def keras_classifier():
    """Draw the layers of the classifier, with the block that is repeated."""
    made, axis = plt.subplots(figsize=(6.4, 2.1))
    frame = FancyBboxPatch((1.25, 1.85), 8.7, 1.75, boxstyle="round,pad=0.1", fill=False)
    axis.add_patch(frame)
    axis.text(1.35, 3.3, "once for each number in hidden", va="center")
    way = [(0.35, "$x$", "data"), (2.5, "Dense(units)", "learned")]
    way += [(5.7, "BatchNormalization", "normalised"), (8.8, "relu", "plain")]
    block = [box(axis, (x, 2.4), text, meaning) for x, text, meaning in way]
    last = box(axis, (8.8, 0.7), "Dense(1)", "learned")
    sigmoid = box(axis, (5.7, 0.7), "sigmoid", "plain")
    y = box(axis, (3.2, 0.7), "$y$", "data")
    chain(axis, [*block, last, sigmoid, y])
    blank(axis, 10.2, 3.8)
    return made


@figure
def blocks_of_a_channel():
    """Draw where the values of a channel lie, and which lanes of which block take them."""
    made, axis = plt.subplots(figsize=(6.4, 2.9))
    examples, channels, places, lanes = 3, 2, 3, 4
    count = examples * places
    for cell in range(examples * channels * places):
        example, rest = divmod(cell, channels * places)
        own = rest // places == 1
        _cell(axis, cell, 5.0, FILL["normalised" if own else "data"], str(cell))
        if rest == 0:
            axis.text(cell + 3, 6.3, f"example {example}", ha="center")
            axis.plot([cell, cell], [4.9, 6.5], color=COLORS["black"])
    for lane in range(-(-count // lanes) * lanes):
        block, has_value = lane // lanes, lane < count
        left = lane + 2 * block
        _cell(axis, left, 1.4, FILL["normalised" if has_value else "plain"], str(lane))
        if has_value:
            at = lane // places * channels * places + places + lane % places
            axis.plot([at + 0.5, left + 0.5], [5.0, 2.4], color=COLORS["grey"], lw=0.8)
        else:
            axis.plot([left + 0.15, left + 0.85], [1.5, 2.3], color=COLORS["red"])
        if lane % lanes == 0:
            axis.text(left + 2, 0.5, f"start = {lane}", ha="center", **_CODE)
    axis.text(-0.4, 5.5, "x", ha="right", **_CODE)
    axis.text(-0.4, 1.9, "i", ha="right", **_CODE)
    blank(axis, 18.3, 7)
    axis.set_xlim(-1, 18.3)
    return made


def _cell(axis, left, bottom, color, text):
    axis.add_patch(Rectangle((left, bottom), 1, 1, facecolor=color, edgecolor=COLORS["black"]))
    axis.text(left + 0.5, bottom + 0.5, text, ha="center", va="center", fontsize=10)


PICTURES = {
    "ps1_functions": functions,
    "ps2_paths": backward.graph,
    "ps2_secant": gradient_check.secant,
    "ps2_projection": backward.projection,
    "ps3_sharing": lambda: convolution.sharing(first=0),
    "ps3_two_maps": two_maps,
    "ps4_layer": pytorch_layer,
    "ps5_classifier": keras_classifier,
    "ps9_blocks": blocks_of_a_channel,
}


def png(made):
    """Return a Figure as the bytes of a small PNG."""
    drawn, small = io.BytesIO(), io.BytesIO()
    made.savefig(drawn, dpi=_DPI, facecolor="white")
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(_COLORS).save(small, "PNG", optimize=True)
    return small.getvalue()


def write(folder):
    """Draw each picture anew into a folder."""
    for name, draw in PICTURES.items():
        Path(folder, f"{name}.png").write_bytes(png(draw()))


if __name__ == "__main__":
    write("pictures")
