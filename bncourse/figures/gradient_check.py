"""Figures of the chapter on checking a gradient."""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np

from bncourse.figures.style import COLORS, LINES, figure
from bncourse.reference.backward import batchnorm_backward, numerical_gradient
from bncourse.reference.forward import batchnorm_forward


def _terms(dy, cache):
    """Return the parts of (B7): dy, its mean, its part along x_hat, gamma and inv_std."""
    x_hat = cache["x_hat"]
    along = x_hat * (dy * x_hat).mean(axis=0)
    return dy, dy.mean(axis=0), along, cache["gamma"], cache["inv_std"]


# Wrong dx, one slip each, of the parts d, m, a of (B7), the scale g, r = inv_std and n examples.
SLIPS = {
    "variance path missing": lambda d, m, a, g, r, n: g * r * (d - m),
    "mean path missing": lambda d, m, a, g, r, n: g * r * (d - a),
    "statistics constant": lambda d, m, a, g, r, n: g * r * d,
    "variance path added": lambda d, m, a, g, r, n: g * r * (d - m + a),
    "mean path added": lambda d, m, a, g, r, n: g * r * (d + m - a),
    "sums for means": lambda d, m, a, g, r, n: g * r * (d - n * m - n * a),
    "N - 1 for N": lambda d, m, a, g, r, n: g * r * (d - m - a * n / (n - 1)),
    "N times too large": lambda d, m, a, g, r, n: n * g * r * (d - m - a),
    "gamma forgotten": lambda d, m, a, g, r, n: r * (d - m - a),
    "gamma twice": lambda d, m, a, g, r, n: g**2 * r * (d - m - a),
    "inv_std forgotten": lambda d, m, a, g, r, n: g * (d - m - a),
    "zeros": lambda d, m, a, g, r, n: np.zeros_like(d),
}


def slip(name, dy, cache):
    """Return the wrong dx that one of the SLIPS makes.

    Args:
        name: a key of SLIPS.
        dy: (N, D) float array, the gradient that arrives.
        cache: dict of ``batchnorm_forward``.
    """
    return SLIPS[name](*_terms(dy, cache), len(dy))


def total(y):
    """Return the loss sum(y) and its gradient."""
    return y.sum(), np.ones_like(y)


def square(y):
    """Return the loss sum(y^2) and its gradient."""
    return (y**2).sum(), 2 * y


def project(p):
    """Return the loss sum(p y) as a function of y, with its gradient p."""
    return lambda y: ((p * y).sum(), p)


def compare(dx_of, loss, x, gamma, beta):
    """Return a dx and the measured one, (B1).

    Args:
        dx_of: a function of dy and the cache of the forward pass.
        loss: a function of y that returns a number and its gradient.
        x: (N, D) float array.
        gamma, beta: (D,) float arrays.
    """
    y, cache = batchnorm_forward(x, gamma, beta)
    measured = numerical_gradient(lambda x: loss(batchnorm_forward(x, gamma, beta)[0])[0], x)
    return dx_of(loss(y)[1], cache), measured


def relative_error(a, b):
    """Return the relative error (G4) of two arrays of one shape, 0 if both are zero."""
    size = np.linalg.norm(a) + np.linalg.norm(b)
    return np.linalg.norm(a - b) / size if size else 0.0


def settings(seed=0, count=7, features=4):
    """Return ``{name: (loss, x, gamma, beta)}``, five tests of the same backward pass.

    Args:
        seed: of the batch, gamma and the projection.
        count, features: N and D.
    """
    rng = np.random.default_rng(seed)
    x = 3 + 2 * rng.standard_normal((count, features))
    p = rng.standard_normal((count, features))
    gamma, one, zero = rng.uniform(0.5, 2, features), np.ones(features), np.zeros(features)
    return {
        "Σ y": (total, x, gamma, zero),
        "Σ y²": (square, x, gamma, zero),
        "Σ p y, N = 2": (project(p[:2]), x[:2], gamma, zero),
        "Σ p y, gamma = 1": (project(p), x, one, zero),
        "Σ p y": (project(p), x, gamma, zero),
    }


def passes(dx_of, *setting, tolerance=1e-3):
    """Return whether each entry of a dx is within ``tolerance`` of the measured one."""
    got, measured = compare(dx_of, *setting)
    return bool(np.abs(got - measured).max() < tolerance)


def surviving(seed=0):
    """Return ``{test: names of the SLIPS that pass it}``."""
    return {
        test: {name for name in SLIPS if passes(partial(slip, name), *setting)}
        for test, setting in settings(seed).items()
    }


@figure
def survivors(seed=0):
    """Draw which wrong backward pass survives which test.

    Args:
        seed: of the tests.

    Returns:
        A matplotlib Figure: a grid with a row for each of the SLIPS and a column for each test.
    """
    found = surviving(seed)
    made, axis = plt.subplots(figsize=(6.4, 4.6))
    for column, names in enumerate(found.values()):
        for row, name in enumerate(SLIPS):
            lives = name in names
            face = COLORS["orange"] if lives else "#F2F2F2"
            axis.add_patch(plt.Rectangle((column - 0.46, row - 0.42), 0.92, 0.84, color=face))
            if lives:
                axis.text(column, row, "passes", ha="center", va="center", fontsize=11)
    axis.set_xticks(range(len(found)), [name.replace(", ", ",\n") for name in found])
    axis.set_yticks(range(len(SLIPS)), SLIPS)
    axis.tick_params(length=0)
    axis.xaxis.tick_top()
    axis.xaxis.set_label_position("top")
    axis.set_xlabel("loss of the test", labelpad=8)
    axis.set_ylabel("slip in dx")
    axis.set(xlim=(-0.6, len(found) - 0.4), ylim=(len(SLIPS) - 0.4, -0.6))
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    return made


@figure
def losses(seed=0):
    """Draw, for three losses, the gradient that arrives and what batch norm leaves of it.

    Args:
        seed: of the batch of eight examples and of the random projection.

    Returns:
        A matplotlib Figure of three panels; gamma is 1 and beta 0.
    """
    rng = np.random.default_rng(seed)
    x, p = rng.standard_normal((2, 8, 1))
    y, cache = batchnorm_forward(x, np.ones(1), np.zeros(1))
    panels = {"Σ y": total(y)[1], "Σ y²": square(y)[1], "Σ p y": project(p)(y)[1]}
    made, axes = plt.subplots(1, 3, sharey=True, figsize=(6.4, 2.5))
    places = np.arange(1, len(x) + 1)
    for axis, (title, dy) in zip(axes, panels.items(), strict=True):
        left = batchnorm_backward(dy, cache)[0] / cache["inv_std"]
        axis.bar(places - 0.2, dy.ravel(), width=0.4, color="#BBBBBB")
        axis.bar(places + 0.2, left.ravel(), width=0.4, color=COLORS["black"])
        axis.axhline(0, color=COLORS["grey"], linewidth=0.8)
        axis.set(title=title, xlabel="example", xticks=places[1::2])
        axis.grid(visible=False)
    axes[0].set(ylabel="gradient")
    axes[0].text(0.6, 1.3, "grey: arrives", color=COLORS["grey"])
    axes[0].text(0.6, -0.9, "black: is left")
    return made


@figure
def secant(x=1.0, h=0.5):
    """Draw x^3, its tangent, and the lines through one point beside x and through two.

    Args:
        x: the place of the tangent.
        h: the step, large enough to be seen.

    Returns:
        A matplotlib Figure.
    """
    made, axis = plt.subplots(figsize=(6.4, 3.2))
    near = np.linspace(x - 1.3 * h, x + 1.3 * h, 100)
    axis.plot(near, near**3, color=COLORS["black"])
    lines = {
        "tangent": (x, x**3, 3 * x**2, "-", COLORS["grey"]),
        "central": (x, x**3 + 3 * x * h**2, _central_cube(x, h), "--", COLORS["blue"]),
        "forward": (x, x**3, ((x + h) ** 3 - x**3) / h, "-.", COLORS["red"]),
    }
    for name, (at, height, slope, dash, color) in lines.items():
        ends = height + slope * (near - at)
        axis.plot(near, ends, dash, color=color)
        axis.annotate(
            f"{name}: slope {slope:.2f}",
            (near[-1], ends[-1]),
            (6, {"tangent": 0, "central": -7, "forward": 7}[name]),
            textcoords="offset points",
            va="center",
        )
    for place in (x - h, x, x + h):
        axis.plot(place, place**3, "o", color=COLORS["black"])
    axis.set_xticks([x - h, x, x + h], ["$x - h$", "$x$", "$x + h$"])
    axis.set(xlabel="one element of x", ylabel="f", xlim=(near[0], near[-1] + 0.9 * h))
    return made


def _central_cube(x, h):
    return float(numerical_gradient(lambda x: (x**3).sum(), np.array([x]), h)[0])


@figure
def step_size(seed=0):
    """Draw the error of the numerical gradient against the step h.

    Args:
        seed: of the batch, 6 examples and 3 features, and of the projection that makes the loss.

    Returns:
        A matplotlib Figure with logarithmic axes.
    """
    steps = np.logspace(-12, 0, 25)
    made, axis = plt.subplots(figsize=(6.4, 3.6))
    # Name: method, dtype, the step beside which the name stands, its offset in points.
    curves = {
        "forward": (_forward_difference, np.float64, 1e-5, (-42, 10)),
        "central": (numerical_gradient, np.float64, 1e-5, (-12, -20)),
        "central, float32": (numerical_gradient, np.float32, 1e-6, (10, 12)),
    }
    for line, (name, (method, dtype, place, offset)) in zip(LINES, curves.items(), strict=False):
        errors = [gradient_error(method, h, dtype, seed) for h in steps]
        axis.loglog(steps, errors, **line)
        nearest = int(np.argmin(abs(np.log(steps / place))))
        axis.annotate(
            name,
            (steps[nearest], errors[nearest]),
            offset,
            textcoords="offset points",
        )
    axis.text(3e-12, 1e-11, "← rounding", fontsize=11)
    axis.text(1e-2, 1e-11, "too coarse →", fontsize=11)
    axis.set(xlabel="step h", ylabel="relative error", ylim=(1e-13, 1e6))
    return made


def gradient_error(method, h, dtype=np.float64, seed=0):
    """Return the relative error of a numerical gradient of batch norm with respect to x.

    Args:
        method: a function of (f, x, h) that returns a gradient.
        h: the step.
        dtype: of the arithmetic inside f.
        seed: of the batch and of the projection.
    """
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal((2, 6, 3))
    gamma, beta = rng.uniform(0.5, 2, (2, 3))

    def loss(x):
        y, _ = batchnorm_forward(*(a.astype(dtype) for a in (x, gamma, beta)), dtype(1e-5))
        return float((dy.astype(dtype) * y).sum())

    true, *_ = batchnorm_backward(dy, batchnorm_forward(x, gamma, beta)[1])
    return np.linalg.norm(method(loss, x, h) - true) / np.linalg.norm(true)


def _forward_difference(f, x, h):
    here = f(x)
    steps = h * np.eye(x.size).reshape(x.size, *x.shape)
    return np.array([(f(x + step) - here) / h for step in steps]).reshape(x.shape)
