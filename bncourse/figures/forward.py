"""Figures of the chapter on the forward pass."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Rectangle

from bncourse.figures.diagrams import FILL, arrow, blank, box, chain
from bncourse.figures.seeds import band, points
from bncourse.figures.style import COLORS, LINES, figure
from bncourse.lab import dead_bias, placement
from bncourse.lab.experiments import SEEDS
from bncourse.reference.forward import batch_statistics, batchnorm_forward, normalize

# The tiny example of the chapter: four examples, two features.
X = np.array([[1.0, 3.0], [3.0, 9.0], [1.0, 11.0], [3.0, 17.0]])
EPS = {"PyTorch": 1e-5, "Keras": 1e-3}


@figure
def three_steps(seed=0):
    """Draw a batch of two features as it arrives, after (F3) and after (F4).

    Args:
        seed: of the batch.

    Returns:
        A matplotlib Figure with three panels on the same scale.
    """
    rng = np.random.default_rng(seed)
    # Correlated features: the last two panels show that batch norm leaves the correlation alone.
    x = rng.multivariate_normal([4.5, 2.5], [[3.0, 1.2], [1.2, 0.7]], size=60)
    gamma, beta = np.array([1.6, 0.6]), np.array([1.0, -2.0])
    y, cache = batchnorm_forward(x, gamma, beta)
    panels = {
        r"as it arrives: $x$": (x, "grey"),
        r"normalised: $\hat{x}$": (cache["x_hat"], "blue"),
        r"scaled, shifted: $y$": (y, "pink"),
    }
    made, axes = plt.subplots(1, 3, sharex=True, sharey=True, figsize=(6.4, 2.7))
    for axis, (title, (batch, color)) in zip(axes, panels.items(), strict=True):
        _scatter(axis, batch, COLORS[color])
        axis.set(title=title, xlabel="feature 1", aspect="equal")
    axes[0].set(ylabel="feature 2", xlim=(-4, 9.5), ylim=(-5.5, 5.5))
    axes[0].text(4.5, -1.2, "mean ± std", ha="center", fontsize=11)
    return made


def _scatter(axis, batch, color):
    """Draw the examples, the origin, and a cross of one standard deviation about the mean."""
    mean, var = batch_statistics(batch)
    axis.axhline(0, color=COLORS["grey"], linewidth=0.8, zorder=0)
    axis.axvline(0, color=COLORS["grey"], linewidth=0.8, zorder=0)
    axis.plot(*batch.T, "o", color=color, markersize=4, alpha=0.75, markeredgewidth=0)
    axis.errorbar(
        *mean[:, None],
        xerr=np.sqrt(var[:1]),
        yerr=np.sqrt(var[1:]),
        color=COLORS["black"],
        elinewidth=2.2,
        capsize=3,
    )


@figure
def shared_column(column=1):
    """Draw the batch of the tiny example as a matrix with one column coloured.

    Args:
        column: which feature is coloured, from 0.
    """
    made, axis = plt.subplots(figsize=(6.4, 2.9))
    count, features = X.shape
    for (i, j), value in np.ndenumerate(X):
        color = FILL["statistics"] if j == column else FILL["data"]
        corner = 3 + 1.5 * j, count - 1 - i
        axis.add_patch(Rectangle(corner, 1.5, 1, facecolor=color, edgecolor="white", linewidth=3))
        axis.text(corner[0] + 0.75, corner[1] + 0.5, f"{value:g}", ha="center", va="center")
    for i in range(count):
        axis.text(2.8, count - 0.5 - i, f"example {i + 1}", ha="right", va="center")
    for j in range(features):
        axis.text(3.75 + 1.5 * j, count + 0.15, f"feature {j + 1}", ha="center", va="bottom")
    mean, var = batch_statistics(X)
    right = 3 + 1.5 * features
    words = (
        "these share a mean",
        f"and a variance: $\\mu_{column + 1}$ = {mean[column]:g},",
        f"$\\sigma^2_{column + 1}$ = {var[column]:g}",
    )
    axis.text(right + 0.3, 2, "\n".join(words), va="center", linespacing=1.5)
    blank(axis, 11, count + 0.8)
    return made


@figure
def node():
    """Draw a hidden layer without and with batch norm: what stands where."""
    made, axis = plt.subplots(figsize=(6.4, 2.5))
    axis.text(0, 3.75, "without", va="center")
    plain = [(0.4, "$u$", "data"), (2.2, "$\\cdot\\, W + b$", "learned")]
    plain += [(8.6, "$g$", "plain"), (9.9, "$a$", "data")]
    chain(axis, [box(axis, (x, 3), text, meaning, 13) for x, text, meaning in plain])
    axis.text(0, 1.75, "with batch norm", va="center")
    normed = [(0.4, "$u$", "data"), (2.0, "$\\cdot\\, W$", "learned")]
    normed += [(4.2, "normalise", "normalised"), (6.75, "$\\cdot\\,\\gamma + \\beta$", "learned")]
    normed += [(8.6, "$g$", "plain"), (9.9, "$a$", "data")]
    chain(axis, [box(axis, (x, 1), text, meaning, 13) for x, text, meaning in normed])
    blank(axis, 10.3, 4.1)
    return made


@figure
def two_modes():
    """Draw the way of the numbers in training and at inference: where the statistics come from."""
    made, axis = plt.subplots(figsize=(6.4, 4.0))
    for height, mode in ((6.5, "training"), (1.1, "inference")):
        axis.text(0, height + 0.85, mode, weight="bold", va="center")
        way = [(0.35, "$x$", "data"), (2.95, "centre, scale", "normalised")]
        way += [(5.2, "$\\hat{x}$", "normalised")]
        way += [(7.4, "$\\cdot\\,\\gamma + \\beta$", "learned"), (9.6, "$y$", "data")]
        boxes = [box(axis, (x, height), text, meaning, 13) for x, text, meaning in way]
        chain(axis, boxes)
        if mode == "training":
            batch = box(axis, (2.95, 4.75), "mean, variance\nof this batch", "statistics", 11)
            arrow(axis, boxes[0], batch, bend=0.3)
            arrow(axis, batch, boxes[1])
    running = box(axis, (2.95, 2.85), "running mean,\nrunning variance", "statistics", 11)
    arrow(axis, batch, running, dashed=True)
    arrow(axis, running, boxes[1])
    axis.text(4.5, 3.8, "averaged over the batches", va="center")
    axis.text(4.5, 4.75, "of all examples of this batch", va="center")
    axis.text(4.5, 2.85, "of no example of this batch", va="center")
    blank(axis, 10, 7.8)
    return made


@figure
def dead_biases(seeds=SEEDS):
    """Draw how far the redundant bias of (F5) drifts, with plain gradient descent and with Adam.

    Args:
        seeds: one split, one set of weights, one order of the batches each.
    """
    made, axis = plt.subplots()
    for line, name in zip(LINES, dead_bias.OPTIMIZERS, strict=False):
        runs = [dead_bias.drift(name, seed).distance for seed in seeds]
        steps = np.arange(1, len(runs[0]) + 1)
        band(axis, steps, runs, line | {"marker": ""})
        axis.text(steps[-1], 2.2 * np.median(runs, axis=0)[-1], name, ha="right", va="bottom")
    axis.set(xscale="log", yscale="log", xlabel="step", ylabel="drift of the bias (rms)")
    axis.set(ylim=(1e-10, 1))
    return made


def variance_errors(seed=0, offsets=None):
    """Return how wrong four ways to compute a variance are in float32, for means of a batch.

    Args:
        seed: of the batch, 256 examples and 100 features with standard deviation 1.
        offsets: means of the batch; None takes 13 from 1 to a million.

    Returns:
        offsets, and a dict with the root mean square relative error of the biased variance for
        each way; nan where a layer gave no number.
    """
    offsets = np.logspace(0, 6, 13) if offsets is None else offsets
    deviations = np.random.default_rng(seed).standard_normal((256, 100))
    rows = []
    for offset in offsets:
        x = (offset + deviations).astype(np.float32)
        # The float32 batch is the input, so its rounding counts as no error.
        _, true = batch_statistics(x.astype(np.float64))
        ways = {
            "naive": (x**2).mean(axis=0) - x.mean(axis=0) ** 2,
            "mean first": batch_statistics(x)[1],
            "Keras's layer": keras_variance(x),
            "PyTorch's layer": torch_variance(x),
        }
        rows.append({key: np.sqrt((((v - true) / true) ** 2).mean()) for key, v in ways.items()})
    return offsets, {key: np.array([row[key] for row in rows]) for key in rows[0]}


def keras_variance(x):
    """Return the biased variance of a batch that Keras's layer computes in training, (D,)."""
    # Keras is slow to import, and most figures do without.
    import keras

    layer = keras.layers.BatchNormalization(momentum=0.0)
    layer(x, training=True)
    with warnings.catch_warnings():
        # Keras asks PyTorch for a copy in a way that NumPy 2 has deprecated.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        return keras.ops.convert_to_numpy(layer.moving_variance)


def torch_variance(x):
    """Return the biased variance of a batch that PyTorch's layer computes in training, (D,)."""
    layer = torch.nn.BatchNorm1d(x.shape[1], momentum=1.0)
    layer(torch.from_numpy(x))
    return layer.running_var.numpy() * (len(x) - 1) / len(x)


@figure
def cancellation(seed=0):
    """Draw the error of float32 variances against the mean of the batch.

    Args:
        seed: of the batch, as in ``variance_errors``.

    Returns:
        A matplotlib Figure with logarithmic axes: lines are formulas, points are layers.
    """
    offsets, errors = variance_errors(seed)
    made, axis = plt.subplots(figsize=(6.4, 3.6))
    axis.loglog(offsets, errors["naive"], **LINES[1] | {"marker": ""})
    axis.loglog(offsets, errors["mean first"], **LINES[0] | {"marker": ""})
    layers = {"linestyle": "", "markersize": 7, "markerfacecolor": "none", "markeredgewidth": 1.6}
    axis.loglog(offsets, errors["Keras's layer"], **LINES[1] | layers)
    axis.loglog(offsets, errors["PyTorch's layer"], **LINES[0] | layers)
    axis.axhline(1, color=COLORS["grey"], linewidth=1)
    axis.text(1, 2, "above: no digit is right", color=COLORS["grey"])
    axis.text(1e6, 0.4, "$E[x^2] - E[x]^2$\n(squares: Keras on torch)", ha="right", va="top")
    axis.text(1, 2.5e-8, "mean first (circles: PyTorch)")
    axis.set(
        xlabel="mean of the batch, in standard deviations",
        ylabel="relative error of the variance",
        ylim=(1e-8, 1e6),
    )
    return made


@figure
def variance_left(seed=0):
    """Draw the variance that is left after (F3) against the variance of the batch.

    Args:
        seed: of the batch, 512 examples.

    Returns:
        A matplotlib Figure: measured points on the curves var / (var + eps).
    """
    unit = np.random.default_rng(seed).standard_normal((512, 1))
    unit = normalize(unit, *batch_statistics(unit), eps=1e-12)
    variances = np.logspace(-8, 1, 19)
    made, axis = plt.subplots()
    for line, eps in zip(LINES, EPS.values(), strict=False):
        x = unit * np.sqrt(variances)
        x_hat = normalize(x, *batch_statistics(x), eps=eps)
        axis.semilogx(variances, x_hat.var(axis=0), **line | {"linestyle": ""})
        axis.semilogx(variances, variances / (variances + eps), **line | {"marker": ""})
    axis.text(6e-6, 0.55, f"{_power(EPS['PyTorch'])}\n(PyTorch)", ha="right")
    axis.text(2.5e-3, 0.45, f"{_power(EPS['Keras'])}\n(Keras)", va="center")
    axis.set(xlabel="variance of the feature in the batch", ylabel="variance after (F3)")
    return made


def _power(eps):
    return rf"$\epsilon = 10^{{{np.log10(eps):.0f}}}$"


def gradient_gain(variance, eps, seed=0, count=64, features=100):
    """Return |dx| / |dy| of batch norm with gamma = 1, over many features of one variance.

    Args:
        variance: of each feature in the batch; 0 makes the features constant.
        eps: added to the variance.
        seed: of the batch and of the gradients dy that arrive, standard normal.
        count, features: shape of the batch.
    """
    rng = np.random.default_rng(seed)
    unit = rng.standard_normal((count, features))
    unit = normalize(unit, *batch_statistics(unit), eps=1e-12)
    x = torch.tensor(np.sqrt(variance) * unit, requires_grad=True)
    dy = torch.tensor(rng.standard_normal((count, features)))
    y = torch.nn.functional.batch_norm(x, None, None, training=True, eps=eps)
    (dx,) = torch.autograd.grad(y, x, dy)
    return (dx.norm() / dy.norm()).item()


@figure
def gains(seed=0):
    """Draw by how much batch norm stretches a gradient, against the variance of the feature.

    Args:
        seed: of the batch and the gradients.

    Returns:
        A matplotlib Figure: measured points, and the lines gamma / sqrt(var + eps).
    """
    variances = np.logspace(-9, 1, 16)
    made, axis = plt.subplots()
    for line, (name, eps) in zip(LINES, EPS.items(), strict=False):
        measured = [gradient_gain(variance, eps, seed) for variance in variances]
        axis.loglog(variances, measured, **line | {"linestyle": ""})
        axis.loglog(variances, 1 / np.sqrt(variances + eps), **line | {"marker": ""})
        axis.text(1e-9, 0.85 / np.sqrt(eps), f"{_power(eps)} ({name})", va="top")
    axis.axhline(1, color=COLORS["grey"], linewidth=1)
    axis.set(xlabel="variance of the feature in the batch", ylabel="gradient out / in")
    return made


@figure
def largest(seed=0):
    """Draw the largest normalised value of heavy-tailed batches, and the bound (F13).

    Args:
        seed: of the batches, 1,000 features of Cauchy numbers for each size.
    """
    sizes = np.array([2, 3, 5, 10, 20, 50, 100, 200])
    rng = np.random.default_rng(seed)
    measured = []
    for size in sizes:
        x = rng.standard_cauchy((size, 1000))
        measured.append(np.abs(normalize(x, *batch_statistics(x))).max())
    made, axis = plt.subplots()
    axis.plot(sizes, np.sqrt(sizes - 1), **LINES[1] | {"marker": ""})
    axis.plot(sizes, measured, **LINES[0] | {"linestyle": ""})
    axis.text(60, 9.3, r"bound $\sqrt{N - 1}$", ha="right")
    axis.text(12, 0.9, "N = 2: always 1", va="center")
    axis.set(xlabel="batch size N", ylabel=r"largest $|\hat{x}|$", ylim=(0, 15))
    return made


@figure
def placed_losses():
    """Draw the training loss of a deep net without, with batch norm before and after g."""
    made, axes = plt.subplots(1, 2, sharey=True, figsize=(6.4, 2.9))
    for axis, activation in zip(axes, placement.ACTIVATIONS, strict=True):
        for x, (line, place) in enumerate(zip(LINES, placement.PLACES, strict=False)):
            losses = [run.loss for run in placement.at_its_best(place, activation)]
            rate = placement.BEST_RATE[activation, place]
            axis.plot([x] * len(losses), losses, **line | {"linestyle": ""}, alpha=0.7)
            axis.text(x + 0.14, np.median(losses), rf"$\eta$ = {rate:g}", va="center")
        axis.set(title=activation, xlabel="batch norm", xlim=(-0.4, 2.9), yscale="log")
        axis.set_xticks(range(3), placement.PLACES)
    axes[0].set(ylabel="training loss")
    return made


@figure
def output_losses(seeds=SEEDS):
    """Draw errors of a regression with batch norm at its output, in training and on test data.

    Args:
        seeds: one split, one set of weights, one order of the batches each.
    """
    sizes = np.array([2, 4, 8, 32])
    made, axes = plt.subplots(1, 2, sharey=True, figsize=(6.4, 3.1))
    for line, output in zip(LINES, placement.OUTPUTS[1:], strict=False):
        runs = np.array([placement.output_errors(output, int(n), seeds) for n in sizes])
        for column, axis in enumerate(axes):
            shift = 0.95 if output == "batch norm" else 1.05
            points(axis, sizes * shift, runs[:, :, column].T, line)
    floor = [placement.output_floor(int(n)) for n in sizes]
    axes[0].plot(sizes, floor, color=COLORS["black"], linestyle=":")
    axes[0].text(2, 0.1, "floor (F16)")
    axes[0].text(5.5, 0.78, "batch norm")
    axes[0].text(9.5, 0.23, "standardised\ntargets")
    for axis, title in zip(axes, ("in training", "on test data, inference"), strict=True):
        axis.axhline(1, color=COLORS["grey"], linewidth=1)
        axis.set(title=title, xscale="log", xlabel="batch size N", ylim=(0, 1.25))
        axis.set_xticks(sizes, [str(n) for n in sizes])
        axis.minorticks_off()
    axes[0].set(ylabel="error / variance of targets")
    return made
