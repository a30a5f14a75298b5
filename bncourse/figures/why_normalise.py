"""Figures of the chapter on why to normalise."""

from functools import cache
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np

from bncourse.figures.seeds import band
from bncourse.figures.style import COLORS, LINES, figure
from bncourse.lab import depth, experiments
from bncourse.lab import least_squares as ls
from bncourse.lab.threads import one_thread

# The tiny example of the chapter: four examples, two features, one three times the other.
X = np.array([[1.0, 3.0], [1.0, -3.0], [-1.0, 3.0], [-1.0, -3.0]])
T = X @ np.array([2.0, 1.0])
START = np.zeros(2)


@figure
def three_troubles(seed=0):
    """Draw what the wrong size does: to a slope, to a signal on its way, to a descent.

    Args:
        seed: of the weights of the deep nets in the middle.
    """
    made, axes = plt.subplots(1, 3, figsize=(6.4, 2.5))
    z = np.linspace(-10, 10, 201)
    g = 1 / (1 + np.exp(-z))
    axes[0].plot(z, g * (1 - g), **LINES[0] | {"marker": ""})
    axes[0].set(title="saturation", xlabel="input of a sigmoid", ylabel="slope", ylim=(0, 0.3))
    for line, gain in zip(LINES, (4, 2, 1), strict=False):
        moments = depth.second_moments(100, 30, gain, seed)
        axes[1].semilogy(np.arange(1, 31), moments, **line | {"marker": ""})
    axes[1].set(title="scale", xlabel="layer", ylabel="size of the signal")
    axes[1].set_yticks([1e-9, 1, 1e9])
    way = ls.descend(X, T, START, 0.205, steps=10)
    _landscape(axes[2], X)
    axes[2].plot(*way.T, **LINES[1])
    axes[2].set(title="a long valley", xlabel="$w_1$", ylabel="$w_2$", ylim=(-0.6, 2.9))
    axes[2].set(xlim=(-0.4, 2.9))
    return made


@figure
def contours():
    """Draw gradient descent on the tiny example, as it is and standardised. No randomness."""
    made, axes = plt.subplots(1, 2, figsize=(6.4, 3.3), sharey=True)
    panels = ("features of size 1 and 3", X), ("both of size 1", ls.standardise(X))
    for axis, (title, x) in zip(axes, panels, strict=True):
        way = ls.descend(x, T, START, ls.spectrum(x).best_lr, steps=10)
        _landscape(axis, x)
        axis.plot(*way.T, **LINES[1])
        axis.plot(*np.linalg.lstsq(x, T)[0], "*", color=COLORS["black"], markersize=11)
        axis.set(title=title, xlabel="$w_1$")
    axes[0].set(ylabel="$w_2$")
    return made


def _landscape(axis, x):
    """Draw lines of equal loss in a square window."""
    w1, w2 = np.meshgrid(np.linspace(-0.6, 4.6, 80), np.linspace(-0.6, 4.6, 80))
    flat = np.stack([w1.ravel(), w2.ravel()], axis=1)
    height = np.array([ls.loss(x, T, w) for w in flat]).reshape(w1.shape)
    axis.contour(w1, w2, np.sqrt(height), levels=12, colors=COLORS["grey"], linewidths=0.7)
    axis.set_aspect("equal")
    axis.grid(visible=False)


@figure
def rates(seed=0):
    """Draw how the error of gradient descent shrinks, measured and by (W6).

    Args:
        seed: of 200 examples with two features, and of the target weights.

    Returns:
        A matplotlib Figure: points are measured, lines are rate^step.
    """
    rng = np.random.default_rng(seed)
    unit, target = ls.whiten(rng.standard_normal((200, 2))), rng.standard_normal(2)
    steps = np.arange(61)
    made, axis = plt.subplots()
    for line, ratio in zip(LINES, (10, 3, 1.5), strict=False):
        x = unit * [1, ratio]
        found = ls.spectrum(x)
        # The worst start: an equal error along the flattest and the steepest direction.
        way = ls.descend(x, x @ target, target + np.ones(2), found.best_lr, steps=60)
        errors = np.linalg.norm(way - target, axis=1) / np.sqrt(2)
        axis.semilogy(steps[::4], errors[::4], **line | {"linestyle": ""})
        axis.semilogy(steps, found.rate**steps, **line | {"marker": ""})
        end = max(found.rate**60, 1e-11)
        label = rf"sizes 1 : {ratio:g}, $\kappa$ = {found.condition:.3g}"
        axis.text(*((61, 2 * end) if end > 1e-11 else (27, 1e-9)), label, va="center")
    axis.set(xlabel="step", ylabel="error of the weights", ylim=(1e-11, 3), xlim=(-2, 86))
    return made


@cache
def cost(transform, features, seed=0, examples=512, repeats=5):
    """Return the seconds that a transform of a batch takes on one core, the least of repeats."""
    x = np.random.default_rng(seed).standard_normal((examples, features))
    times = []
    # One thread: a busy machine makes the threads of small products wait for each other.
    with one_thread():
        for _ in range(repeats):
            start = perf_counter()
            transform(x)
            times.append(perf_counter() - start)
    return min(times)


@figure
def whitening_cost(seed=0):
    """Draw the time to standardise and to whiten a batch of 512 examples.

    Args:
        seed: of the batch. The times are those of the machine that draws.
    """
    features = np.array([8, 16, 32, 64, 128, 256])
    made, axis = plt.subplots()
    for line, (label, transform) in zip(
        LINES, {"whiten": ls.whiten, "standardise": ls.standardise}.items(), strict=False
    ):
        times = [1e3 * cost(transform, count, seed) for count in features]
        axis.loglog(features, times, **line)
        axis.text(1.1 * features[-1], times[-1], label, va="center")
    axis.set(xlabel="features D", ylabel="milliseconds", xlim=(7, 700))
    axis.set_xticks(features, [str(count) for count in features], minor=False)
    axis.minorticks_off()
    return made


@figure
def moments(seeds=experiments.SEEDS):
    """Draw the size of the signal in 30 ReLU layers, measured and by (W3).

    Args:
        seeds: one batch and one set of weights each.
    """
    layers = np.arange(1, 31)
    made, axis = plt.subplots()
    for line, gain in zip(LINES, (4, 2, 1), strict=False):
        runs = [depth.second_moments(100, 30, gain, seed) for seed in seeds]
        band(axis, layers, runs, line | {"marker": ""})
        axis.plot(layers[::3], gain * (gain / 2.0) ** (layers[::3] - 1), **line | {"linestyle": ""})
        axis.text(30.6, np.median(runs, axis=0)[-1], rf"$K s^2 = {gain}$", va="center")
    axis.set(yscale="log", xlabel="layer", ylabel="mean square before the ReLU", xlim=(0, 37))
    return made


STARTS = {
    "small weights": (False, 0.1),
    "large weights": (False, 1.0),
    "small weights, batch norm": (True, 0.1),
}
# Where the labels of the gradients stand, free of the lines.
PLACES = {
    "small weights": (5.2, 3e-4),
    "large weights": (1, 6),
    "small weights, batch norm": (1, 0.1),
}


@figure
def deep_gradients(seeds=experiments.SEEDS):
    """Draw the gradient of each layer of a deep sigmoid net before training.

    The batch norm of the third start is the layer of the next chapter.

    Args:
        seeds: one split, one set of weights each.
    """
    made, axis = plt.subplots()
    for line, (label, start) in zip(LINES, STARTS.items(), strict=False):
        runs = [experiments.deep_start(*start, seed).gradient for seed in seeds]
        band(axis, np.arange(1, 10), runs, line)
        axis.text(*PLACES[label], label)
    axis.set(yscale="log", xlabel="layer, from input to output", ylabel="length of the gradient")
    axis.set(ylim=(1e-6, 100))
    axis.set_xticks(range(1, 10))
    return made


def bias_run(inside, steps=30, lr=0.5):
    """Return the bias and the loss of the chapter's example over the steps.

    Args:
        inside: whether the gradient knows that the mean moves with the bias.
        steps, lr: of gradient descent on b alone.
    """
    u, t, b = np.array([-1.0, 1.0]), np.array([1.0, 3.0]), 0.0
    biases, losses = [], []
    for _ in range(steps + 1):
        x_hat = u + b - (u + b).mean()
        biases.append(b)
        losses.append(((x_hat - t) ** 2).mean() / 2)
        upstream = (x_hat - t) / len(t)
        b -= lr * (0.0 if inside else upstream.sum())
    return np.array(biases), np.array(losses)


RATES = (0.1, 0.3, 1.0)
# Of RATES, the one with the best median of the accuracies: a test tries them all, since a page has
# no time for it. For small weights none helps.
BEST_RATE = {
    "small weights": 0.3,
    "large weights": 0.1,
    "small weights, batch norm": 0.1,
}


def accuracies(label, seeds=experiments.SEEDS):
    """Return the test accuracies of a start of STARTS, in percent, at its best rate."""
    found = experiments.deep_accuracies(*STARTS[label], BEST_RATE[label], seeds)
    return [100 * share for share in found]
