"""Figures of the chapter on the forward pass."""

import matplotlib.pyplot as plt
import numpy as np

from bncourse.figures.style import COLORS, LINES, figure
from bncourse.reference.forward import batch_statistics, batchnorm_forward, normalize


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
    x = rng.multivariate_normal([7.0, 3.0], [[4.0, 1.0], [1.0, 0.4]], size=60)
    gamma, beta = np.array([1.2, 0.5]), np.array([1.0, -3.0])
    y, cache = batchnorm_forward(x, gamma, beta)
    panels = {
        r"as it arrives: $x$": x,
        r"normalised: $\hat{x}$": cache["x_hat"],
        r"scaled, shifted: $y$": y,
    }
    made, axes = plt.subplots(1, 3, sharex=True, sharey=True, figsize=(6.4, 2.8))
    for axis, (title, batch) in zip(axes, panels.items(), strict=True):
        _scatter(axis, batch)
        axis.set(title=title, xlabel="feature 1", aspect="equal")
    axes[0].set(ylabel="feature 2", xlim=(-4, 13), ylim=(-6.5, 6.5))
    axes[0].legend(loc="lower right", fontsize=9, handletextpad=0.4, borderaxespad=0.0)
    return made


def _scatter(axis, batch):
    """Draw the examples, the origin, and a cross of one standard deviation about the mean."""
    mean, var = batch_statistics(batch)
    axis.axhline(0, color=COLORS["grey"], linewidth=0.8, zorder=0)
    axis.axvline(0, color=COLORS["grey"], linewidth=0.8, zorder=0)
    axis.plot(*batch.T, "o", color=COLORS["sky"], markersize=3.5, label="one example")
    axis.errorbar(
        *mean[:, None],
        xerr=np.sqrt(var[:1]),
        yerr=np.sqrt(var[1:]),
        color=COLORS["black"],
        elinewidth=2.2,
        capsize=3,
        label="mean ± std",
    )


@figure
def cancellation(seed=0):
    """Draw the error of two float32 variances against the mean of the batch.

    Args:
        seed: of the batch, 256 examples and 100 features with standard deviation 1.

    Returns:
        A matplotlib Figure with logarithmic axes.
    """
    offsets = np.logspace(0, 6, 25)
    deviations = np.random.default_rng(seed).standard_normal((256, 100))
    errors = np.array([_variance_errors(deviations, offset) for offset in offsets])
    made, axis = plt.subplots()
    axis.loglog(offsets, errors[:, 0], **LINES[1], label=r"$E[x^2] - E[x]^2$")
    axis.loglog(offsets, errors[:, 1], **LINES[0], label="mean first, then squares")
    unit = np.finfo(np.float32).eps / 2
    axis.loglog(
        offsets, unit * offsets**2, **LINES[2] | {"marker": ""}, label=r"rounding $\cdot$ mean$^2$"
    )
    axis.axhline(1, color=COLORS["grey"], linewidth=1)
    axis.text(1, 0.5, "above: no digit is right", color=COLORS["grey"], fontsize=10, va="top")
    axis.set(
        xlabel="mean of the batch, in standard deviations",
        ylabel="relative error of the variance",
        ylim=(1e-8, 1e6),
    )
    axis.legend(loc="upper left", fontsize=10)
    return made


def _variance_errors(deviations, offset):
    """Return the root mean square relative errors of the naive and the two-pass variance."""
    x = (offset + deviations).astype(np.float32)
    # The float32 batch is the input, so its rounding counts as no error.
    _, true = batch_statistics(x.astype(np.float64))
    naive = (x**2).mean(axis=0) - x.mean(axis=0) ** 2
    _, two_pass = batch_statistics(x)
    return [np.sqrt((((var - true) / true) ** 2).mean()) for var in (naive, two_pass)]


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
    for line, eps, name in zip(LINES, (1e-5, 1e-3), ("PyTorch", "Keras"), strict=False):
        x = unit * np.sqrt(variances)
        x_hat = normalize(x, *batch_statistics(x), eps=eps)
        label = rf"eps = $10^{{{np.log10(eps):.0f}}}$, default of {name}"
        axis.semilogx(variances, x_hat.var(axis=0), **line | {"linestyle": ""}, label=label)
        axis.semilogx(variances, variances / (variances + eps), **line | {"marker": ""})
    axis.set(xlabel="variance of the feature in the batch", ylabel="variance after normalising")
    axis.legend(loc="lower right", fontsize=10)
    return made
