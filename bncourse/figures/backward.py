"""Figures of the chapter on the backward pass."""

import matplotlib.pyplot as plt
import numpy as np

from bncourse.figures.style import COLORS, LINES, figure
from bncourse.reference.backward import batchnorm_jacobian
from bncourse.reference.forward import batchnorm_forward

# The example by hand: one feature of four examples, and a loss that pulls on the first output.
FEATURE = np.array([3.0, 9.0, 11.0, 17.0])
ARRIVES = np.array([10.0, 0.0, 0.0, 0.0])

# Node: centre in the plane, symbol, gradient that backward brings to it.
NODES = {
    "x": ((0.0, 0.0), r"$x$", "dx"),
    "mean": ((0.9, 2.2), r"$\mu$", "dmean"),
    "var": ((3.1, 2.2), r"$\sigma^2$", "dvar"),
    "x_hat": ((4.0, 0.0), r"$\hat{x}$", "dx_hat"),
    "y": ((6.0, 0.0), r"$y$", "dy"),
    "gamma": ((5.2, 2.2), r"$\gamma$", "dgamma"),
    "beta": ((6.8, 2.2), r"$\beta$", "dbeta"),
}
# Edge: label, its place along the edge, its path to x.
EDGES = {
    ("x", "x_hat"): (r"$r$", 0.5, "direct"),
    ("x", "mean"): (r"$1/N$", 0.5, "mean"),
    ("mean", "x_hat"): (r"$-r$", 0.24, "mean"),
    ("x", "var"): (r"$2(x{-}\mu)/N$", 0.3, "variance"),
    ("var", "x_hat"): (r"$-\frac{1}{2}(x{-}\mu)\,r^3$", 0.5, "variance"),
    ("mean", "var"): (r"$0$", 0.5, "none"),
    ("x_hat", "y"): (r"$\gamma$", 0.5, "direct"),
    ("gamma", "y"): (r"$\hat{x}$", 0.5, "direct"),
    ("beta", "y"): (r"$1$", 0.5, "direct"),
}
# A path differs by colour, dash and width, so that grey keeps them apart.
PATHS = {
    "direct": {"color": COLORS["black"], "linestyle": "-", "linewidth": 2.2},
    "mean": {"color": COLORS["blue"], "linestyle": "--", "linewidth": 2.0},
    "variance": {"color": COLORS["red"], "linestyle": "-.", "linewidth": 2.0},
    "none": {"color": COLORS["grey"], "linestyle": ":", "linewidth": 1.4},
}


@figure
def graph():
    """Draw the computational graph of batch norm with the derivative of every edge.

    Returns:
        A matplotlib Figure; r is short for inv_std.
    """
    made, axis = plt.subplots(figsize=(6.4, 3.3))
    for (tail, head), (label, place, path) in EDGES.items():
        _edge(axis, NODES[tail][0], NODES[head][0], label, place, PATHS[path])
    for name, (centre, symbol, gradient) in NODES.items():
        _node(axis, centre, symbol, gradient, above=name not in {"x", "x_hat", "y"})
    for path, place in (("direct", (2, -0.4)), ("mean", (0.9, 3.5)), ("variance", (3.1, 3.5))):
        axis.text(*place, f"{path} path", color=PATHS[path]["color"], ha="center", fontsize=13)
    axis.set(xlim=(-0.9, 7.4), ylim=(-1.2, 3.9))
    axis.axis("off")
    return made


def _node(axis, centre, symbol, gradient, above):
    """Draw a node with its symbol inside and the name of its gradient beside it."""
    circle = {"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": "black"}
    axis.text(*centre, symbol, ha="center", va="center", fontsize=16, bbox=circle, zorder=4)
    x, y = centre
    axis.text(
        x,
        y + (0.75 if above else -0.75),
        gradient,
        ha="center",
        va="center",
        family="monospace",
        fontsize=12,
    )


def _edge(axis, tail, head, label, place, style):
    """Draw an arrow between two nodes with its derivative on it."""
    axis.annotate(
        "",
        xy=head,
        xytext=tail,
        arrowprops={"arrowstyle": "-|>", "mutation_scale": 16, "shrinkA": 16, "shrinkB": 16}
        | style,
        zorder=1,
    )
    x, y = (1 - place) * np.array(tail) + place * np.array(head)
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 1.2}
    axis.text(
        x,
        y,
        label,
        ha="center",
        va="center",
        fontsize=13,
        color=style["color"],
        bbox=paper,
        zorder=3,
    )


@figure
def projection():
    """Draw what batch norm takes away from the gradient of the example by hand.

    Returns:
        A matplotlib Figure of four panels: dy, its mean, its part along x_hat, and what is left.
    """
    _, cache = batchnorm_forward(FEATURE[:, None], np.ones(1), np.zeros(1), eps=1e-12)
    x_hat = cache["x_hat"].ravel()
    mean = np.full(4, ARRIVES.mean())
    along = x_hat * (ARRIVES * x_hat).mean()
    panels = (
        ("dy", ARRIVES, COLORS["grey"]),
        (r"$-$ its mean", mean, COLORS["orange"]),
        (r"$-$ its $\hat{x}$ part", along, COLORS["sky"]),
        ("= what is left", ARRIVES - mean - along, COLORS["black"]),
    )
    made, axes = plt.subplots(1, 4, sharey=True, figsize=(6.4, 2.5))
    for axis, (title, values, color) in zip(axes, panels, strict=True):
        _bars(axis, values, color)
        axis.set(title=title, xlabel="example")
    axes[0].set(ylabel="gradient", ylim=(-7.5, 12.5))
    return made


def _bars(axis, values, color):
    """Draw one bar an example, with its number at its end."""
    places = np.arange(1, len(values) + 1)
    axis.bar(places, values, color=color, width=0.75)
    for place, value in zip(places, values.round(1), strict=True):
        below = value < 0
        axis.text(
            place,
            value - 0.35 if below else value + 0.35,
            f"${value:g}$",
            ha="center",
            va="top" if below else "bottom",
        )
    axis.axhline(0, color=COLORS["grey"], linewidth=0.8)
    axis.set_xticks(places)
    axis.grid(visible=False)


@figure
def plane():
    """Draw the Jacobian of the example by hand, and what it does to a gradient for N = 3.

    Returns:
        A matplotlib Figure: a map with its numbers, and the plane of deviations.
    """
    made, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.9))
    _jacobian(left, FEATURE)
    _tangent(right, np.array([0.0, 1.0, -1.0]), np.array([3.0, 1.0, -1.0]))
    return made


def _jacobian(axis, x):
    """Draw J / inv_std of one feature with its numbers."""
    matrix = batchnorm_jacobian(x, eps=1e-12) * x.std()
    axis.imshow(matrix, cmap="RdBu_r", vmin=-1.3, vmax=1.3)
    for (i, k), value in np.ndenumerate(matrix):
        axis.text(k, i, f"{value:.2f}", ha="center", va="center", fontsize=11)
    ticks = range(len(x))
    axis.set_xticks(ticks, [f"{value:.0f}" for value in x])
    axis.set_yticks(ticks, [f"{value:.0f}" for value in x])
    axis.set(xlabel=r"input $x_k$ that moves", ylabel="output of the example at", title=r"$J / r$")
    axis.grid(visible=False)


def _tangent(axis, x, dy):
    """Draw x_hat and dy in the plane of vectors that sum to zero, and dy's part that is left."""
    count = len(x)
    x_hat = (x - x.mean()) / x.std()
    tangent = dy - dy.mean() - x_hat * (dy * x_hat).mean()
    # Two directions that span the plane.
    plane = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])
    here, arriving, left = plane @ x_hat, plane @ dy, plane @ tangent
    turn = np.linspace(0, 2 * np.pi, 200)
    axis.plot(*np.sqrt(count) * np.array([np.cos(turn), np.sin(turn)]), color=COLORS["grey"])
    axis.plot(0, 0, "o", color=COLORS["grey"])
    axis.plot(*np.array([here + arriving, here + left]).T, ":", color=COLORS["grey"])
    _arrow(axis, np.zeros(2), here, COLORS["black"], r"$\hat{x}$", (-16, -36))
    _arrow(axis, here, here + arriving, COLORS["orange"], "dy", (8, -4), linestyle="--")
    _arrow(axis, here, here + left, COLORS["blue"], "dx", (-2, -18))
    axis.set(aspect="equal", title="N = 3", xlim=(-2.1, 2.1), ylim=(-2, 4.2))
    axis.axis("off")


def _arrow(axis, start, end, color, label, offset, linestyle="-"):
    """Draw a vector with its name beside the tip, ``offset`` points away."""
    arrow = {"arrowstyle": "-|>", "color": color, "linestyle": linestyle, "linewidth": 2}
    # Without shrinking, the tip stands where the vector ends.
    axis.annotate("", xy=end, xytext=start, arrowprops=arrow | {"shrinkA": 0, "shrinkB": 0})
    axis.annotate(label, end, xytext=offset, textcoords="offset points", fontsize=12)


@figure
def gain(count=8, seed=0):
    """Draw the factors of the Jacobian against the standard deviation of the feature.

    Args:
        count: the number of examples.
        seed: of the batch.

    Returns:
        A matplotlib Figure with logarithmic axes; the factors are eigenvalues of (B8).
    """
    shape = np.random.default_rng(seed).standard_normal(count)
    shape = (shape - shape.mean()) / shape.std()
    stds = np.logspace(-5, 1, 25)
    made, axis = plt.subplots(figsize=(6.4, 3.0))
    kinds = ((1e-5, "PyTorch", 8), (1e-3, "Keras", -15))
    for line, (eps, framework, above) in zip(LINES, kinds, strict=False):
        factors = np.array([np.linalg.eigvalsh(batchnorm_jacobian(s * shape, eps)) for s in stds])
        across, along = factors[:, -1], factors[:, 1]
        axis.loglog(stds, across, **line)
        axis.loglog(stds, along, **line | {"markerfacecolor": "white", "linewidth": 1.0})
        name = f"eps = {eps:g} ({framework})"
        axis.annotate(name, (stds[0], across[0]), (0, above), textcoords="offset points")
    axis.annotate("across x̂", (stds[20], across[20]), (6, 6), textcoords="offset points")
    fallen = int(np.argmin(abs(along - 1e-2)))
    axis.annotate("along x̂", (stds[fallen], along[fallen]), (8, 0), textcoords="offset points")
    axis.set(xlabel="standard deviation of the feature", ylabel="factor of the gradient")
    axis.set(ylim=(1e-4, 2e3))
    return made
