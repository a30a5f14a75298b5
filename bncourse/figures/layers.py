"""Figures of the chapter on layers in PyTorch and Keras."""

import matplotlib.pyplot as plt
import numpy as np
import torch

from bncourse.figures.style import COLORS, LINES, figure
from bncourse.reference.layers import layer_training_step

MEAN, VAR = 3.0, 4.0
# Each framework's default weight of the new value, and whether it stores the unbiased variance.
CONVENTIONS = {"PyTorch": (0.1, True), "Keras": (0.01, False)}


def stored_statistics(steps, size, new_weight, unbiased, seed=0, features=100):
    """Return the stored variance after each step of training on random batches.

    Args:
        steps: number of batches.
        size: N, examples in a batch, with mean 3 and variance 4.
        new_weight: weight of the new value.
        unbiased: whether the unbiased variance is stored.
        seed: of the batches.
        features: number of features, alike in distribution.

    Returns:
        (steps + 1, features), from the first value 1 on.
    """
    rng = np.random.default_rng(seed)
    ones, zeros = np.ones(features), np.zeros(features)
    mean, var = zeros, ones
    stored = [var]
    for _ in range(steps):
        x = rng.normal(MEAN, np.sqrt(VAR), (size, features))
        _, mean, var = layer_training_step(
            x, ones, zeros, mean, var, new_weight=new_weight, eps=1e-5, unbiased=unbiased
        )
        stored.append(var)
    return np.array(stored)


@figure
def two_defaults(seed=0, size=8, steps=500):
    """Draw what two layers with default settings store of the same batches.

    Args:
        seed: of the batches.
        size: examples in a batch.
        steps: number of batches.

    Returns:
        A matplotlib Figure: the mean over 100 features, a band of one standard deviation.
    """
    made, axis = plt.subplots()
    for line, (name, (weight, unbiased)) in zip(LINES, CONVENTIONS.items(), strict=False):
        stored = stored_statistics(steps, size, weight, unbiased, seed)
        middle, spread = stored.mean(axis=1), stored.std(axis=1)
        axis.plot(middle, **line | {"markevery": 50}, label=f"{name}'s default")
        band = {"color": line["color"], "alpha": 0.2, "linewidth": 0}
        axis.fill_between(range(steps + 1), middle - spread, middle + spread, **band)
    axis.axhline(VAR, color=COLORS["grey"], linewidth=1, label="variance of the data")
    axis.set(xlabel="training step", ylabel="stored variance", ylim=(0.8, 5.2))
    axis.legend(loc="lower right")
    return made


def running_means(dtype, steps=400, seed=0):
    """Return the running mean of a PyTorch layer after each step, its state in ``dtype``.

    Args:
        dtype: of the layer's buffers.
        steps: batches of 32 examples with mean 100 and standard deviation 5.
        seed: of the batches.
    """
    generator = torch.Generator().manual_seed(seed)
    layer = torch.nn.BatchNorm1d(1, momentum=0.01, affine=False).to(dtype)
    means = [0.0]
    for _ in range(steps):
        layer((100 + 5 * torch.randn(32, 1, generator=generator)).bfloat16())
        means.append(layer.running_mean.item())
    return np.array(means)


@figure
def lost_updates():
    """Draw a running mean that is kept in bfloat16 beside one in float32.

    Returns:
        A matplotlib Figure with one line for each.
    """
    made, axis = plt.subplots()
    names = {"buffers in float32": torch.float32, "buffers in bfloat16": torch.bfloat16}
    for line, (name, dtype) in zip(LINES, names.items(), strict=False):
        axis.plot(running_means(dtype), **line | {"markevery": 40}, label=name)
    axis.axhline(100, color=COLORS["grey"], linewidth=1)
    axis.text(0, 100, "mean of the data", color=COLORS["grey"], va="bottom")
    axis.set(xlabel="training step", ylabel="running mean", ylim=(-5, 115))
    axis.legend(loc="lower right")
    return made
