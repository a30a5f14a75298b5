"""Figures of the chapter on convolutions and relatives."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import ListedColormap
from torch.nn import functional as F

from bncourse.figures.style import COLORS, LINES, figure
from bncourse.lab.data import digits

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
def sharing():
    """Draw which planes of a batch of images share one mean and one variance.

    Returns:
        A matplotlib Figure with one panel for each method; equal letters share a statistic.
    """
    made, axes = plt.subplots(1, 4, sharex=True, sharey=True, figsize=(6.4, 1.8))
    for axis, (method, sets) in zip(axes, shared_sets().items(), strict=True):
        _planes(axis, sets)
        axis.set(title=method, xlabel="channel")
    axes[0].set(ylabel="image")
    return made


def _planes(axis, sets):
    """Draw each plane as 3 x 3 pixels with the letter of its set; the first set is dark."""
    axis.imshow(sets == 0, cmap=ListedColormap(["#DCE6EE", COLORS["blue"]]), vmin=0, vmax=1)
    for (row, column), number in np.ndenumerate(sets):
        color = "white" if number == 0 else "black"
        axis.text(column, row, "abcdefghijkl"[number], color=color, ha="center", va="center")
    axis.set_xticks(range(CHANNELS), range(1, CHANNELS + 1))
    axis.set_yticks(range(IMAGES), range(1, IMAGES + 1))
    axis.tick_params(length=0)
    axis.grid(visible=False)
    for draw, planes in ((axis.axvline, CHANNELS), (axis.axhline, IMAGES)):
        for place in range(3 * planes):
            width = 2.5 if place % 3 == 0 else 0.3
            draw(place / 3 - 0.5, color="white", linewidth=width)
    axis.spines[:].set_visible(False)


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
    made, axis = plt.subplots()
    kinds = {
        "N H W outputs of a filter": lambda values, seed: values,
        "the same, brightness varies": brightened,
        "one output of each image": lambda values, seed: values[:, :, 2:3, 2:3],
    }
    for line, (label, take) in zip(LINES, kinds.items(), strict=False):
        populations = [take(filter_outputs(seed), seed) for seed in range(seeds)]
        measured = [
            [noise_of_means(values, size, seed=seed) for seed, values in enumerate(populations)]
            for size in sizes
        ]
        counts = sizes * populations[0][0, 0].size
        _with_spread(axis, counts, np.array(measured), line, label)
        expected = np.mean([np.sqrt(share_between(values).mean()) for values in populations])
        axis.loglog(counts, expected / np.sqrt(sizes), **line | {"marker": "", "linewidth": 1.2})
    axis.set(xlabel="values in the mean", ylabel="noise of the mean, in std", ylim=(5e-3, 1.5))
    axis.legend(loc="lower left", fontsize=10)
    return made


def share_between(values):
    """Return, for each channel, the share of its variance that lies between the images' means.

    (C8) r = variance of the images' means / variance of the channel.

    Args:
        values: (examples, C, H, W), the population.
    """
    return values.mean(axis=(2, 3)).var(axis=0) / values.var(axis=(0, 2, 3))


def _with_spread(axis, x, measured, line, label):
    """Draw medians with bars from the smallest to the largest of the seeds."""
    middle = np.median(measured, axis=1)
    bars = np.abs(np.array([measured.min(axis=1), measured.max(axis=1)]) - middle)
    axis.errorbar(x, middle, yerr=bars, capsize=2, label=label, **line | {"linestyle": ""})


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
    for line, ending in zip(LINES, ("none", "batch norm", "batch norm, gamma = 0"), strict=False):
        runs = [residual_variances(ending, depth, seed=seed) for seed in range(seeds)]
        label = "branch without batch norm" if ending == "none" else f"branch ends with {ending}"
        _with_spread(axis, blocks, np.transpose(runs), line, label)
    axis.plot(blocks, 1 + blocks, color=COLORS["grey"], linewidth=1.2)
    axis.set(xlabel="residual blocks passed", ylabel="variance of the signal", yscale="log")
    axis.set_xticks(range(0, depth + 1, 5))
    axis.legend(loc="upper left", fontsize=10)
    return made
