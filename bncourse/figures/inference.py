"""Figures of the chapter on training and inference."""

import matplotlib.pyplot as plt
import numpy as np

from bncourse.figures.seeds import band
from bncourse.figures.style import COLORS, LINES, figure
from bncourse.lab import recalibration
from bncourse.lab.experiments import SEEDS
from bncourse.reference.forward import (
    batch_statistics,
    batchnorm_inference,
    normalize,
    update_running,
)

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


# A training of the first figure: batches of SIZE, PyTorch's convention with a large momentum, so
# that ten batches are enough to see the running statistics arrive. The example is in two of them.
BATCHES, SIZE, MOMENTUM = 10, 4, 0.3
SHOWN_IN = (2, 9)


def small_training(seed=0):
    """Return the batches of a small training and the running statistics after each of them.

    Args:
        seed: of the batches.

    Returns:
        x (BATCHES, SIZE), means (BATCHES + 1,) and variances (BATCHES + 1,); the first of both
        are the start.
    """
    x = np.random.default_rng(seed).normal(*POPULATION, (BATCHES, SIZE))
    x[np.array(SHOWN_IN) - 1, 0] = EXAMPLE
    means, variances = [np.zeros(1)], [np.ones(1)]
    for batch in x:
        mean, var = update_running(means[-1], variances[-1], batch[:, None], MOMENTUM)
        means.append(mean)
        variances.append(var)
    return x, np.concatenate(means), np.concatenate(variances)


@figure
def two_modes():
    """Draw training, where each batch brings its statistics, beside inference, where none does.

    Returns:
        A matplotlib Figure with two panels that share the vertical axis.
    """
    made, (left, right) = plt.subplots(
        1, 2, sharey=True, figsize=(6.4, 3.1), gridspec_kw={"width_ratios": [3, 1.25]}
    )
    x, means, variances = small_training()
    steps = np.arange(1, BATCHES + 1)
    _batches(left, steps, x)
    left.plot([0, *steps], means, color=COLORS["blue"], linewidth=2)
    left.fill_between([0, *steps], *_reach(means, variances), color=COLORS["blue"], alpha=0.15)
    left.text(1.9, -0.6, "running statistics: mean ± std", color=COLORS["blue"])
    left.text(10.4, 0.7, "each batch: mean ± std", color=_RUST, ha="right")
    for step in SHOWN_IN:
        _judged(left, step + 0.22, *batch_statistics(x[step - 1][:, None]))
    left.set(xlabel="batch", ylabel="value of the feature", title="training", ylim=(-1.4, 10))
    left.set_xticks([1, *SHOWN_IN, 10])
    _alone(right, means[-1:], variances[-1:])
    return made


def _judged(axis, place, mean, var):
    """Draw the example, and what the statistics normalise it to."""
    x_hat = normalize(np.array([[EXAMPLE]]), mean, var).item()
    axis.plot(place, EXAMPLE, "D", color=COLORS["black"], markersize=6)
    words = f"{EXAMPLE:.0f} → {x_hat:.2f}"
    line = {"arrowstyle": "-", "color": COLORS["grey"], "shrinkB": 4}
    axis.annotate(words, (place, EXAMPLE), (place, 8.9), arrowprops=line, ha="center")


# Orange that is dark enough for words.
_RUST = "#B35900"


def _batches(axis, steps, x):
    """Draw each batch as points beside the bar of its own mean and standard deviation."""
    axis.plot(steps + 0.22, x, "o", color=COLORS["grey"], markersize=4)
    axis.errorbar(
        steps - 0.12, x.mean(axis=1), x.std(axis=1), fmt="_", color=COLORS["red"], linewidth=2.5
    )


def _reach(mean, var):
    return mean - var**0.5, mean + var**0.5


def _alone(axis, mean, var):
    """Draw the example against statistics that no longer move."""
    low, high = _reach(mean.item(), var.item())
    axis.axhspan(low, high, color=COLORS["blue"], alpha=0.15, linewidth=0)
    axis.axhline(mean.item(), color=COLORS["blue"], linewidth=2)
    _judged(axis, 0.5, mean, var)
    axis.text(0.5, low - 0.3, "at rest", color=COLORS["blue"], ha="center", va="top")
    axis.set(title="inference", xlabel="one example", xlim=(0, 1), xticks=[])


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
        axis.plot(places, in_company(size, batches), "o", color=COLORS["sky"], markersize=3)
    mean, std = POPULATION
    one, zero = np.ones(1), np.zeros(1)
    alone = batchnorm_inference(np.array([[EXAMPLE]]), one, zero, mean * one, std**2 * one)
    axis.axhline(alone.item(), color=COLORS["black"])
    axis.text(380, -0.2, "the line: inference mode", ha="right")
    axis.text(380, 2.2, "training mode, another batch each", color=COLORS["blue"], ha="right")
    axis.set_xscale("log", base=2)
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.set(xlabel="examples in the batch", ylabel="output for one example", ylim=(-1.3, 2.6))
    return made


# Test batches of a user who has forgotten model.eval(): their size, and whether classes keep apart.
COMPANIES = ((60, False), (8, False), (2, False), (30, True))


def company_accuracies():
    """Return the test accuracies (seeds,) at inference, and (companies, seeds) in COMPANIES."""
    right = [recalibration.course(seed).accuracy[0.1][-1] for seed in SEEDS]
    wrong = [
        [recalibration.accuracy_in_company(seed, *company) for seed in SEEDS]
        for company in COMPANIES
    ]
    return np.array(right), np.array(wrong)


@figure
def forgotten_eval():
    """Draw the test accuracy at inference and with the statistics of the test batches.

    Returns:
        A matplotlib Figure: medians, with bars from the smallest to the largest.
    """
    right, wrong = company_accuracies()
    names = ["inference mode, any batches"]
    names += [
        f"training mode, {size} {'by class' if by_class else 'shuffled'}"
        for size, by_class in COMPANIES
    ]
    runs = 100 * np.array([right, *wrong])
    middle = np.median(runs, axis=1)
    made, axis = plt.subplots(figsize=(6.4, 2.2))
    places = -np.arange(len(runs))
    colors = [COLORS["blue"], *["#B9CDDB"] * len(COMPANIES)]
    reach = np.abs(np.array([runs.min(axis=1), runs.max(axis=1)]) - middle)
    axis.barh(places, middle, xerr=reach, color=colors, height=0.7, error_kw={"capsize": 3})
    for place, value, high in zip(places, middle, runs.max(axis=1), strict=True):
        axis.text(high + 1.5, place, f"{value:.1f}", va="center")
    axis.set_yticks(places, names)
    axis.tick_params(axis="y", length=0)
    axis.grid(visible=False, axis="y")
    axis.set(xlabel="test accuracy, percent", ylabel="mode", xlim=(0, 108))
    return made


@figure
def memory():
    """Draw the weights (R2) of an exponential average, and what is left of its start, (R3).

    Returns:
        A matplotlib Figure with two panels.
    """
    made, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.5))
    steps = np.arange(0, 601)
    words = {0.1: ((9, 0.05), (40, 0.06)), 0.01: ((28, 0.013), (140, 0.3))}
    for line, (m, places) in zip(LINES, words.items(), strict=False):
        style = line | {"marker": ""}
        left.plot(steps[:61], m * (1 - m) ** steps[:61], **style)
        right.plot(steps, (1 - m) ** steps, **style)
        for axis, place in zip((left, right), places, strict=True):
            axis.text(*place, f"m = {m}", color=_dark(line))
    right.axhline(0.01, color=COLORS["grey"], linewidth=1)
    right.text(600, 0.03, "1 %", color=COLORS["grey"], ha="right")
    left.set(xlabel="age of the batch, in steps", ylabel="its weight in the average")
    right.set(xlabel="steps", ylabel="weight of the start", ylim=(-0.02, 1.02))
    return made


def _dark(line):
    """Return the colour of a line, dark enough for words."""
    return _RUST if line["color"] == COLORS["orange"] else line["color"]


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
    made, axis = plt.subplots(figsize=(6.4, 2.7))
    axis.plot(values, ".", color="#BBBBBB", markersize=3)
    for line, m in zip(LINES, recalibration.MOMENTA, strict=False):
        style = line | {"marker": ""}
        axis.plot(exponential_average(values, m), **style)
    axis.plot(target, color=COLORS["black"], linewidth=1.2)
    axis.text(5, 0.95, "batch means", color=COLORS["grey"])
    axis.text(180, 2.0, "true mean", ha="right")
    axis.text(420, 2.85, "average, m = 0.1", color=_dark(LINES[0]), ha="center")
    axis.text(300, 0.85, "average, m = 0.01", color=_dark(LINES[1]))
    axis.set(xlabel="step", ylabel="mean of the feature", ylim=(-1.1, 3.2))
    return made


@figure
def unlike_batches():
    """Draw two batches whose means differ, and the two parts of their common variance, (R8).

    Returns:
        A matplotlib Figure: the batches of the text, a diagram.
    """
    made, axis = plt.subplots(figsize=(6.4, 1.7))
    batches = np.array([[1.0, 3.0], [5.0, 7.0]])
    middle = batches.mean()
    for number, (batch, line) in enumerate(zip(batches, LINES, strict=False)):
        axis.plot(batch, [0, 0], "o", color=_dark(line), markersize=9)
        for value in batch:
            axis.text(value, -0.35, f"{value:.0f}", ha="center", va="top")
        _span(axis, (*batch,), 0.45, f"within batch {number + 1}: 1", _dark(line))
        _span(axis, (batch.mean(), middle), 1.35, None, COLORS["black"])
    axis.text(middle, 1.5, "between their means: 4", ha="center")
    axis.axvline(middle, 0.17, 0.78, color=COLORS["black"], linewidth=1)
    axis.text(middle, -0.55, "4, mean of all", ha="center", va="top")
    axis.set(xlim=(0, 8), ylim=(-0.9, 2.0))
    axis.axis("off")
    return made


def _span(axis, ends, height, words, color):
    """Draw a line with arrowheads between two values, and words above it."""
    style = {"arrowstyle": "<->", "color": color, "linewidth": 1.5, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", (ends[0], height), (ends[1], height), arrowprops=style)
    if words:
        axis.text(np.mean(ends), height + 0.12, words, color=color, ha="center")


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
    words = {0.1: (3.2, 0.07), 0.01: (90, 0.42), recalibration.START_REMOVED: (1, 0.0115)}
    for line, (key, runs) in zip(LINES, _runs("error").items(), strict=False):
        band(axis, recalibration.LOOKS, runs, line)
        axis.text(*words[key], _name(key), color=_dark(line))
    axis.set(xscale="log", yscale="log", ylim=(2e-3, 2))
    axis.set(xlabel="steps of training", ylabel="error, in standard deviations")
    return made


@figure
def recalibrated_accuracy():
    """Draw the test accuracy in training with running and with recalibrated statistics.

    Returns:
        A matplotlib Figure: medians of five seeds in their range.
    """
    made, axis = plt.subplots(figsize=(6.4, 2.7))
    runs = _runs("accuracy")
    words = {0.1: (11.5, 60), 0.01: (45, 62), recalibration.RECALIBRATED: (1.4, 78)}
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8}
    for line, (key, place) in zip(LINES, words.items(), strict=False):
        band(axis, recalibration.LOOKS, 100 * runs[key], line)
        axis.text(*place, _name(key), color=_dark(line), bbox=box)
    axis.set(xscale="log", ylim=(0, 102))
    axis.set(xlabel="steps of training", ylabel="test accuracy, percent")
    return made


def _name(key):
    return key if key == recalibration.RECALIBRATED else f"m = {key}"
