"""Figures of the chapter on convolutions and relatives."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle
from torch.nn import functional as F

from bncourse.figures.style import COLORS, LINES, figure
from bncourse.lab.data import digits
from bncourse.reference import layers
from bncourse.reference.forward import batch_statistics

IMAGES, CHANNELS, GROUP_SIZE = 3, 4, 2


def shared_sets():
    """Return, for each method, which statistic each plane (image, channel) belongs to."""
    image, channel = np.indices((IMAGES, CHANNELS))
    groups = CHANNELS // GROUP_SIZE
    return {
        "batch norm": channel,
        "layer norm": image,
        "instance norm": image * CHANNELS + channel,
        "group norm": image * groups + channel // GROUP_SIZE,
    }


@figure
def sharing(first=1):
    """Draw which planes of a batch of images share one mean and one variance.

    Args:
        first: the number of the first image and of the first channel.

    Returns:
        A matplotlib Figure with one panel for each method; equal letters share a statistic.
    """
    made, axes = plt.subplots(1, 4, sharex=True, sharey=True, figsize=(6.4, 2.0))
    for axis, (method, sets) in zip(axes, shared_sets().items(), strict=True):
        _planes(axis, sets, first)
        axis.set(title=method, xlabel="channel")
    axes[0].set(ylabel="image")
    return made


def _planes(axis, sets, first):
    """Draw each plane as 3 x 3 pixels with the letter of its set; the first set is dark."""
    axis.imshow(sets == 0, cmap=ListedColormap(["#DCE6EE", COLORS["blue"]]), vmin=0, vmax=1)
    for (row, column), number in np.ndenumerate(sets):
        color = "white" if number == 0 else "black"
        axis.text(column, row, "abcdefghijkl"[number], color=color, ha="center", va="center")
    axis.set_xticks(range(CHANNELS), range(first, CHANNELS + first))
    axis.set_yticks(range(IMAGES), range(first, IMAGES + first))
    axis.tick_params(length=0)
    axis.grid(visible=False)
    for draw, planes in ((axis.axvline, CHANNELS), (axis.axhline, IMAGES)):
        for place in range(3 * planes):
            width = 2.5 if place % 3 == 0 else 0.3
            draw(place / 3 - 0.5, color="white", linewidth=width)
    axis.spines[:].set_visible(False)


# The batch of the text: two images with two channels of one by two pixels.
EXAMPLE = np.array([[[[1, 3]], [[3, 9]]], [[[1, 3]], [[11, 17]]]], dtype=float)

# Fills of the channels, light enough for black numbers; they differ in lightness too.
CHANNEL_FILLS = ("#F7C873", "#9CCBE8", "#F3F3F3")


@figure
def pixel_rows():
    """Draw the batch of the text as images, and as the matrix whose rows are its pixels.

    Returns:
        A matplotlib Figure, a diagram: each channel has one colour, and so has each column.
    """
    made, axis = plt.subplots(figsize=(6.4, 2.4))
    rows = layers.to_features(EXAMPLE)
    pixels = EXAMPLE.shape[3]
    for (n, c, _, w), value in np.ndenumerate(EXAMPLE):
        _cell(axis, 1.3 + 2.7 * c + w, 1.9 * n, value, CHANNEL_FILLS[c])
    for n in range(len(EXAMPLE)):
        axis.text(1.0, 1.9 * n + 0.5, f"image {n + 1}", ha="right", va="center")
    for c in range(2):
        axis.text(2.3 + 2.7 * c, -0.25, f"channel {c + 1}", ha="center", va="bottom")
        axis.text(9.8 + c, -0.25, f"{c + 1}", ha="center", va="bottom")
        mean, var = (part[c] for part in batch_statistics(rows))
        words = f"$\\mu$ = {mean:.0f}\n$\\sigma^2$ = {var:.0f}"
        axis.text(9.6 + 1.3 * c, 4.2, words, ha="center", va="top", fontsize=10.5)
    for (i, c), value in np.ndenumerate(rows):
        _cell(axis, 9.3 + c, i, value, CHANNEL_FILLS[c])
        if c == 0:
            n, w = divmod(i, pixels)
            axis.text(9.1, i + 0.5, f"image {n + 1}, pixel {w + 1}", ha="right", va="center")
    axis.set(xlim=(-0.4, 12), ylim=(5.5, -0.9))
    axis.axis("off")
    return made


def _cell(axis, x, y, value, fill):
    axis.add_patch(Rectangle((x, y), 1, 1, facecolor=fill, edgecolor="white", linewidth=2))
    axis.text(x + 0.5, y + 0.5, f"{value:.0f}", ha="center", va="center")


@figure
def layouts():
    """Draw how one image with three channels of 2 x 2 pixels lies in memory, in both layouts.

    Returns:
        A matplotlib Figure, a diagram with a strip for each layout.
    """
    made, axis = plt.subplots(figsize=(6.4, 1.4))
    channel, pixel = np.indices((3, 4))
    for row, (name, order) in enumerate({"NCHW": "C", "NHWC": "F"}.items()):
        places = zip(channel.ravel(order), pixel.ravel(order), strict=True)
        for place, (c, p) in enumerate(places):
            fill = CHANNEL_FILLS[c]
            corner = place, 1.5 * row
            axis.add_patch(
                Rectangle(corner, 1, 1, facecolor=fill, edgecolor="black", linewidth=0.8)
            )
            words = f"{'abc'[c]}{p + 1}"
            axis.text(place + 0.5, 1.5 * row + 0.5, words, ha="center", va="center")
        axis.text(-0.2, 1.5 * row + 0.5, name, ha="right", va="center")
    axis.set(xlim=(-1.8, 12.1), ylim=(2.7, -0.2))
    axis.axis("off")
    return made


BRANCHES = {
    "post-activation": ("conv", "BN", "ReLU", "conv", "BN", "+", "ReLU"),
    "pre-activation": ("BN", "ReLU", "conv", "BN", "ReLU", "conv", "+"),
}


@figure(tall=False)
def residual_blocks():
    """Draw the two common orders of a residual block.

    Returns:
        A matplotlib Figure, a diagram with one row for each order.
    """
    made, axes = plt.subplots(2, 1, figsize=(6.4, 2.2))
    for axis, (name, parts) in zip(axes, BRANCHES.items(), strict=True):
        axis.text(-0.9, 1.35, name, fontweight="bold")
        _block(axis, parts)
        axis.set(xlim=(-1, 8.4), ylim=(-0.9, 1.7))
        axis.axis("off")
    return made


def _block(axis, parts):
    """Draw the parts in a row, joined by arrows, with the shortcut from the input to the sum."""
    arrow = {"arrowstyle": "-|>", "color": "black", "shrinkA": 0, "shrinkB": 0}
    axis.text(-0.75, 0.5, "x", ha="center", va="center", style="italic")
    begin = -0.55
    for place, part in enumerate(parts):
        width = 0.36 if part == "+" else 0.78
        left = place + 0.5 - width / 2
        axis.annotate("", (left, 0.5), (begin, 0.5), arrowprops=arrow)
        norm = part == "BN"
        fill = COLORS["blue"] if norm else "#EEEEEE"
        box = Rectangle((left, 0.15), width, 0.7, facecolor=fill, edgecolor="black", linewidth=1)
        axis.add_patch(box)
        color = "white" if norm else "black"
        axis.text(place + 0.5, 0.5, part, ha="center", va="center", color=color)
        begin = left + width
    axis.annotate("", (begin + 0.6, 0.5), (begin, 0.5), arrowprops=arrow)
    end = parts.index("+") + 0.5
    axis.plot([-0.35, -0.35, end], [0.5, -0.45, -0.45], color="black", linewidth=1)
    axis.annotate("", (end, 0.15), (end, -0.45), arrowprops=arrow)
    axis.text(end / 2, -0.5, "shortcut", ha="center", va="top")


@figure(tall=False)
def folding():
    """Draw a convolution and its batch norm at inference, and the one convolution they become.

    Returns:
        A matplotlib Figure, a diagram in one row.
    """
    made, axis = plt.subplots(figsize=(6.4, 0.8))
    arrow = {"arrowstyle": "-|>", "color": "black", "shrinkA": 0, "shrinkB": 0}
    for left, width, words, norm in (
        (0.6, 1.4, "conv $w$, $b$", False),
        (2.5, 0.9, "BN", True),
        (5.9, 1.7, "conv $w'$, $b'$", False),
    ):
        fill = COLORS["blue"] if norm else "#EEEEEE"
        axis.add_patch(Rectangle((left, 0), width, 1, facecolor=fill, edgecolor="black"))
        color = "white" if norm else "black"
        axis.text(left + width / 2, 0.5, words, ha="center", va="center", color=color)
    for begin, end in ((0.2, 0.6), (2.0, 2.5), (3.4, 3.8), (5.5, 5.9), (7.6, 8.0)):
        axis.annotate("", (end, 0.5), (begin, 0.5), arrowprops=arrow)
    for place, words in ((0.05, "u"), (3.95, "y"), (4.65, "="), (5.35, "u"), (8.15, "y")):
        axis.text(place, 0.5, words, ha="center", va="center")
    axis.set(xlim=(-0.1, 8.3), ylim=(-0.2, 1.2))
    axis.axis("off")
    return made


def filter_outputs(seed=0, filters=16):
    """Return what random 3 x 3 filters make of the digits, (examples, filters, 6, 6).

    Args:
        seed: of the filters.
        filters: how many.
    """
    images = digits().x.reshape(-1, 1, 8, 8)
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(filters, 1, 3, 3, generator=generator)
    return F.conv2d(images, weight).numpy().astype(np.float64)


def noise_of_means(values, size, batches=400, seed=0):
    """Return the standard deviation of a channel's batch mean, in units of the channel's own.

    Args:
        values: (examples, C, H, W), the population.
        size: N, examples in a batch, drawn with replacement.
        batches: how many batches are drawn.
        seed: of the batches.

    Returns:
        One number: the root mean square over the channels.
    """
    rows = np.random.default_rng(seed).integers(len(values), size=(batches, size))
    image_means = values.mean(axis=(2, 3))
    noise = image_means[rows].mean(axis=1).var(axis=0) / values.var(axis=(0, 2, 3))
    return np.sqrt(noise.mean())


def brightened(values, seed=0):
    """Return ``values`` with a brightness of its own added to each image, for all its channels."""
    rng = np.random.default_rng(seed)
    return values + rng.normal(scale=values.std(), size=(len(values), 1, 1, 1))


@figure
def noise(seeds=5):
    """Draw the noise of the mean against the number of values that it is taken over.

    Args:
        seeds: how many draws of filters and batches; bars show the smallest and the largest.

    Returns:
        A matplotlib Figure: measured points on the lines of (C8).
    """
    sizes = 2 ** np.arange(0, 9)
    made, axis = plt.subplots(figsize=(6.4, 2.7))
    kinds = {
        "all outputs of a filter": ((900, 0.007), lambda values, seed: values),
        "the same, brightness varies": ((280, 0.45), brightened),
        "one output\nof each image": ((1, 0.03), lambda values, seed: values[:, :, 2:3, 2:3]),
    }
    for line, (words, (place, take)) in zip(LINES, kinds.items(), strict=False):
        populations = [take(filter_outputs(seed), seed) for seed in range(seeds)]
        measured = [
            [noise_of_means(values, size, seed=seed) for seed, values in enumerate(populations)]
            for size in sizes
        ]
        counts = sizes * populations[0][0, 0].size
        _with_spread(axis, counts, np.array(measured), line)
        expected = np.mean([np.sqrt(share_between(values).mean()) for values in populations])
        axis.loglog(counts, expected / np.sqrt(sizes), **line | {"marker": "", "linewidth": 1.2})
        axis.text(*place, words, color=_dark(line), ha="right" if words[0] == "a" else "left")
    axis.set(xlabel="values in the mean", ylabel="noise of the mean, in std", ylim=(5e-3, 1.5))
    return made


def _dark(line):
    """Return the colour of a line, dark enough for words."""
    return "#B35900" if line["color"] == COLORS["orange"] else line["color"]


def stored_shares(values, size, batches=400, seed=0):
    """Return which part of a channel's variance layers keep, by how they keep it.

    A PyTorch layer with momentum=None averages the unbiased variances of the batches; pooling
    takes the variance of all their pixels at once, (R9).

    Args:
        values: (examples, C, H, W), the population.
        size: N, images in a batch, drawn with replacement.
        batches: how many batches the layer sees.
        seed: of the batches.

    Returns:
        ``{"averaged": number, "pooled": number}``, means over the channels.
    """
    rows = np.random.default_rng(seed).integers(len(values), size=(batches, size))
    layer = torch.nn.BatchNorm2d(values.shape[1], momentum=None, dtype=torch.float64)
    seen = [values[row] for row in rows]
    with torch.no_grad():
        for batch in seen:
            layer(torch.from_numpy(batch))
    truth = values.var(axis=(0, 2, 3))
    _, _, var = layers.pooled_statistics([layers.to_features(batch) for batch in seen])
    count = rows.size * values[0, 0].size
    return {
        "averaged": (layer.running_var.numpy() / truth).mean(),
        "pooled": (var * count / (count - 1) / truth).mean(),
    }


@figure
def bessel(seeds=5):
    """Draw which part of the variance averages of unbiased variances keep, (C10), and pooling.

    Args:
        seeds: how many draws of filters, brightness and batches; bars show their range.

    Returns:
        A matplotlib Figure: measured points, and the lines of (C10).
    """
    sizes = 2 ** np.arange(1, 7)
    populations = [brightened(filter_outputs(seed), seed) for seed in range(seeds)]
    shares = [
        [stored_shares(values, size, seed=seed) for seed, values in enumerate(populations)]
        for size in sizes
    ]
    made, axis = plt.subplots(figsize=(6.4, 2.5))
    for line, kind in zip(LINES, ("averaged", "pooled"), strict=False):
        _with_spread(axis, sizes, np.array([[run[kind] for run in row] for row in shares]), line)
    between = np.mean([share_between(values).mean() for values in populations])
    places = populations[0][0, 0].size
    smooth = np.geomspace(2, 64)
    bessel_factor = smooth * places / (smooth * places - 1)
    axis.plot(smooth, (1 - between / smooth) * bessel_factor, color=LINES[0]["color"])
    axis.axhline(1, color=COLORS["grey"], linewidth=1)
    axis.text(3.3, 0.7, "unbiased variances, averaged", color=_dark(LINES[0]))
    axis.text(2.05, 1.045, "pixels of all batches, pooled", color=_dark(LINES[1]))
    axis.set_xscale("log", base=2)
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.set(xlabel="images in a batch", ylabel="share of the true variance", ylim=(0.55, 1.12))
    return made


def share_between(values):
    """Return, for each channel, the share of its variance that lies between the images' means.

    (C8) r = variance of the images' means / variance of the channel.

    Args:
        values: (examples, C, H, W), the population.
    """
    return values.mean(axis=(2, 3)).var(axis=0) / values.var(axis=(0, 2, 3))


def _with_spread(axis, x, measured, line):
    """Draw medians with bars from the smallest to the largest of the seeds."""
    middle = np.median(measured, axis=1)
    bars = np.abs(np.array([measured.min(axis=1), measured.max(axis=1)]) - middle)
    axis.errorbar(x, middle, yerr=bars, capsize=2, **line | {"linestyle": ""})


def residual_variances(ending, depth=15, channels=8, seed=0):
    """Return the variance of the input of each residual block at initialisation.

    A block adds conv, batch norm, ReLU, conv and the ending to what it gets; nothing follows the
    addition. Without batch norm, weights are scaled so that each convolution keeps the variance.

    Args:
        ending: "batch norm", "batch norm, gamma = 0" or "none", which leaves out both batch norms.
        depth: number of blocks.
        channels: of every convolution, 3 x 3.
        seed: of the weights and of the batch, 32 digits.

    Returns:
        (depth + 1,), means over the channels.
    """
    generator = torch.Generator().manual_seed(seed)

    def conv(z, gain=1):
        shape = channels, z.shape[1], 3, 3
        weight = torch.randn(shape, generator=generator) * (gain / (9 * z.shape[1])) ** 0.5
        return F.conv2d(z, weight, padding=1)

    def norm(z):
        return z if ending == "none" else F.batch_norm(z, None, None, training=True)

    x = F.batch_norm(conv(digits(seed).x[:32].reshape(-1, 1, 8, 8)), None, None, training=True)
    gamma = 0.0 if ending.endswith("0") else 1.0
    variances = [x.var((0, 2, 3), correction=0).mean()]
    for _ in range(depth):
        x = x + gamma * norm(conv(F.relu(norm(conv(x))), gain=2))
        variances.append(x.var((0, 2, 3), correction=0).mean())
    return torch.stack(variances).numpy()


@figure
def residual(seeds=5, depth=15):
    """Draw how the variance grows through residual blocks at initialisation.

    Args:
        seeds: how many; bars show the smallest and the largest.
        depth: number of blocks.

    Returns:
        A matplotlib Figure with a logarithmic vertical axis.
    """
    made, axis = plt.subplots()
    blocks = np.arange(depth + 1)
    endings = {
        "none": ((9.2, 250), "no batch norm"),
        "batch norm": ((11, 5), "batch norm last"),
        "batch norm, gamma = 0": ((9, 1.35), r"the same, $\gamma$ = 0"),
    }
    for line, (ending, (place, words)) in zip(LINES, endings.items(), strict=False):
        runs = [residual_variances(ending, depth, seed=seed) for seed in range(seeds)]
        _with_spread(axis, blocks, np.transpose(runs), line)
        axis.text(*place, words, color=_dark(line), ha="right" if ending == "none" else "left")
    axis.plot(blocks, 1 + blocks, color=COLORS["grey"], linewidth=1.2)
    axis.set(xlabel="residual blocks passed", ylabel="variance of the signal", yscale="log")
    axis.set_xticks(range(0, depth + 1, 5))
    return made
