"""Figures of the chapter on training and inference."""

import matplotlib.pyplot as plt
import numpy as np

from bncourse.figures.seeds import band
from bncourse.figures.style import COLORS, LINES, figure
from bncourse.lab import recalibration
from bncourse.lab.experiments import SEEDS
from bncourse.reference.forward import batch_statistics, batchnorm_inference, normalize

# Mean and standard deviation of the feature in the population of the first figure.
POPULATION = 5.0, 2.0
EXAMPLE = 7.0


def in_company(size, batches, seed=0):
    """Return what one example is normalised to in random batches.

    Args:
        size: N, examples in a batch, the example among them.
        batches: how many batches are drawn.
        seed: of the other examples.

    Returns:
        (batches,) values of x_hat.
    """
    x = np.random.default_rng(seed).normal(*POPULATION, (size, batches))
    x[0] = EXAMPLE
    return normalize(x, *batch_statistics(x))[0]


@figure
def company(batches=60):
    """Draw the output for one example in many batches, in training mode and at inference.

    Args:
        batches: how many for each size of the batch.

    Returns:
        A matplotlib Figure.
    """
    sizes = 2 ** np.arange(1, 9)
    made, axis = plt.subplots()
    for size in sizes:
        places = size * 2 ** np.linspace(-0.2, 0.2, batches)
        label = "training mode, another batch each" if size == 2 else None
        values = in_company(size, batches)
        axis.plot(places, values, "o", color=COLORS["sky"], markersize=3, label=label)
    mean, std = POPULATION
    one, zero = np.ones(1), np.zeros(1)
    alone = batchnorm_inference(np.array([[EXAMPLE]]), one, zero, mean * one, std**2 * one)
    axis.axhline(alone.item(), color=COLORS["black"], label="inference mode")
    axis.set_xscale("log", base=2)
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.set(xlabel="examples in the batch", ylabel="output for one example", ylim=(-1.3, 3.6))
    axis.legend(loc="upper right", fontsize=10)
    return made


@figure
def memory():
    """Draw the weights (R2) of an exponential average, and what is left of its start, (R3).

    Returns:
        A matplotlib Figure with two panels.
    """
    made, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.0))
    steps = np.arange(0, 601)
    for line, m in zip(LINES, recalibration.MOMENTA, strict=False):
        style = line | {"marker": ""}
        left.plot(steps[:61], m * (1 - m) ** steps[:61], **style, label=f"m = {m}")
        right.plot(steps, (1 - m) ** steps, **style, label=f"m = {m}")
    right.axhline(0.01, color=COLORS["grey"], linewidth=1)
    right.text(600, 0.02, "1 %", color=COLORS["grey"], fontsize=10, ha="right")
    left.set(xlabel="age of the batch, in steps", ylabel="its weight in the average")
    right.set(xlabel="steps", ylabel="weight of the start")
    right.legend(fontsize=10)
    return made


def ramp(steps, begin=60, end=260, slope=0.01):
    """Return a target, (steps,), that rests, rises by ``slope`` in each step, and rests again."""
    return slope * (np.clip(np.arange(steps), begin, end) - begin)


def exponential_average(values, momentum):
    """Return the exponential average of values after each of them, started at the first."""
    average, averages = values[0], []
    for value in values:
        average = (1 - momentum) * average + momentum * value
        averages.append(average)
    return np.array(averages)


@figure
def moving_target(seed=0, steps=600, noise=0.3):
    """Draw two exponential averages of batch means whose true mean moves.

    Args:
        seed: of the noise.
        steps: in all.
        noise: standard deviation of a batch mean about the true one.

    Returns:
        A matplotlib Figure.
    """
    target = ramp(steps)
    values = target + noise * np.random.default_rng(seed).standard_normal(steps)
    made, axis = plt.subplots()
    axis.plot(values, ".", color="#BBBBBB", markersize=3, label="batch means")
    for line, m in zip(LINES, recalibration.MOMENTA, strict=False):
        style = line | {"marker": ""}
        axis.plot(exponential_average(values, m), **style, label=f"average, m = {m}")
    axis.plot(target, color=COLORS["black"], linewidth=1.2, label="true mean")
    axis.set(xlabel="step", ylabel="mean of the feature", ylim=(-1.1, 3.1))
    axis.legend(loc="lower right", fontsize=10)
    return made


def _runs(quantity):
    """Return ``{average: (seeds, looks)}`` of one field of the courses."""
    courses = [getattr(recalibration.course(seed), quantity) for seed in SEEDS]
    return {key: np.array([course[key] for course in courses]) for key in courses[0]}


@figure
def tracking():
    """Draw how far the running means are from the means of the current weights in training.

    Returns:
        A matplotlib Figure with logarithmic axes: medians of five seeds in their range.
    """
    made, axis = plt.subplots()
    for line, (key, runs) in zip(LINES, _runs("error").items(), strict=False):
        band(axis, recalibration.LOOKS, runs, line, _name(key))
    axis.set(xscale="log", yscale="log", ylim=(2e-3, 2))
    axis.set(xlabel="steps of training", ylabel="error, in standard deviations")
    axis.legend(loc="lower left", fontsize=10)
    return made


@figure
def recalibrated_accuracy():
    """Draw the test accuracy in training with running and with recalibrated statistics.

    Returns:
        A matplotlib Figure: medians of five seeds in their range.
    """
    made, axis = plt.subplots()
    runs = _runs("accuracy")
    shown = (*recalibration.MOMENTA, recalibration.RECALIBRATED)
    for line, key in zip((LINES[0], LINES[1], LINES[2]), shown, strict=True):
        band(axis, recalibration.LOOKS, 100 * runs[key], line, _name(key))
    axis.set(xscale="log", ylim=(0, 102))
    axis.set(xlabel="steps of training", ylabel="test accuracy, percent")
    axis.legend(loc="lower right", fontsize=10)
    return made


def _name(key):
    return key if key == recalibration.RECALIBRATED else f"m = {key}"
