"""Figures of the chapter on why to normalise."""

from functools import cache, partial
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np

from bncourse.figures.seeds import band, points
from bncourse.figures.style import COLORS, LINES, figure
from bncourse.lab import depth, experiments
from bncourse.lab import least_squares as ls
from bncourse.lab.threads import one_thread

# The tiny example of the chapter: four examples, two features, one three times the other.
X = np.array([[1.0, 3.0], [1.0, -3.0], [-1.0, 3.0], [-1.0, -3.0]])
T = X @ np.array([2.0, 1.0])
START = np.zeros(2)


@figure
def contours():
    """Draw gradient descent on the tiny example, as it is and standardised. No randomness."""
    made, axes = plt.subplots(1, 2, figsize=(6.4, 3.0), sharey=True)
    panels = ("features of size 1 and 3", X), ("both of size 1", ls.standardise(X))
    for axis, (title, x) in zip(axes, panels, strict=True):
        way = ls.descend(x, T, START, ls.spectrum(x).best_lr, steps=10)
        _landscape(axis, x)
        axis.plot(*way.T, **LINES[1], label="gradient descent")
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
    """Draw how the error of gradient descent shrinks, measured and by (W3).

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
        label = rf"sizes 1 : {ratio:g}, $\kappa$ = {found.condition:.3g}"
        axis.semilogy(steps[::4], errors[::4], **line | {"linestyle": ""}, label=label)
        axis.semilogy(steps, found.rate**steps, **line | {"marker": ""})
    axis.set(xlabel="step", ylabel="error of the weights", ylim=(1e-11, 3))
    axis.legend(loc="lower right", fontsize=10)
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
        axis.loglog(features, times, **line, label=label)
    axis.set(xlabel="features D", ylabel="milliseconds")
    axis.set_xticks(features, [str(count) for count in features], minor=False)
    axis.minorticks_off()
    axis.legend()
    return made


@figure
def moments(seeds=experiments.SEEDS):
    """Draw the size of the signal in 30 ReLU layers, measured and by (W7).

    Args:
        seeds: one batch and one set of weights each.
    """
    layers = np.arange(1, 31)
    made, axis = plt.subplots()
    for line, gain in zip(LINES, (4, 2, 1), strict=False):
        runs = [depth.second_moments(100, 30, gain, seed) for seed in seeds]
        band(axis, layers, runs, line | {"marker": ""}, rf"$K s^2 = {gain}$")
        axis.plot(layers[::3], gain * (gain / 2.0) ** (layers[::3] - 1), **line | {"linestyle": ""})
    runs = [depth.second_moments(100, 30, 4, seed, batch_norm=True) for seed in seeds]
    band(axis, layers, runs, LINES[3], "$K s^2 = 4$, batch norm")
    axis.set(yscale="log", xlabel="layer", ylabel="mean square before the ReLU")
    axis.legend(loc="upper left", fontsize=9)
    return made


STARTS = {
    "small weights": (False, 0.1),
    "large weights": (False, 1.0),
    "small weights, batch norm": (True, 0.1),
}


@figure
def deep_gradients(seeds=experiments.SEEDS):
    """Draw the gradient of each layer of a deep sigmoid net before training.

    Args:
        seeds: one split, one set of weights each.
    """
    made, axis = plt.subplots()
    for line, (label, start) in zip(LINES, STARTS.items(), strict=False):
        runs = [experiments.deep_sigmoid(*start, seed).gradient for seed in seeds]
        band(axis, np.arange(1, 10), runs, line, label)
    axis.set(yscale="log", xlabel="layer, from input to output", ylabel="length of the gradient")
    axis.set_xticks(range(1, 10))
    axis.legend(loc="lower right", fontsize=10)
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


@figure
def growing_bias():
    """Draw a bias that is centred away, with the mean outside and inside the gradient."""
    made, axes = plt.subplots(1, 2, figsize=(6.4, 2.8))
    for line, inside in zip(LINES, (False, True), strict=False):
        label = "mean inside the gradient" if inside else "mean outside"
        for axis, values in zip(axes, bias_run(inside), strict=True):
            axis.plot(values, **line | {"marker": ""}, label=label)
    axes[0].set(xlabel="step", ylabel="bias $b$")
    axes[1].set(xlabel="step", ylabel="loss", ylim=(0, 3))
    axes[1].legend(loc="lower right", fontsize=10)
    return made


OUTPUTS = ("batch norm, fixed", "batch norm", "standardised targets")


@figure
def output_errors(seeds=experiments.SEEDS):
    """Draw the test error of regression nets with and without batch norm at the output.

    Args:
        seeds: one split, one set of weights, one order of the batches each.
    """
    sizes = (2, 4, 32)
    made, axis = plt.subplots()
    for shift, line, output in zip((0.94, 1.0, 1.06), LINES, OUTPUTS, strict=False):
        measure = partial(experiments.output_error, output)
        runs = [[measure(size, seed) for size in sizes] for seed in seeds]
        points(axis, np.array(sizes) * shift, runs, line, output)
    axis.axhline(1, color=COLORS["grey"], linewidth=1)
    axis.text(9, 1.07, "always predict the mean", color=COLORS["grey"], fontsize=10)
    axis.set(xscale="log", yscale="log", xlabel="batch size", ylabel="test error / variance")
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.set_yticks([0.5, 1, 2, 5], ["0.5", "1", "2", "5"])
    axis.minorticks_off()
    axis.legend(loc="upper right", bbox_to_anchor=(1.0, 0.93), fontsize=10)
    return made
