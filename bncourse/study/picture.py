"""What ``show`` draws of an answer: its own results, and the inputs that they were made from.

What a result should look like is never computed: it follows from what normalising means. x_hat has
mean 0 and spread 1, y has mean beta and spread gamma, and dx has no part along 1 or along x_hat.
"""

import re
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np

from bncourse.figures.style import COLORS, LINES, figure

# More panels than this are too small to read.
_MOST = 4
# In these moments no statistics of the batch are used, so the gradient has no projection.
_FIXED = re.compile(r"eval|inference|left out|trainable|rebuilt|double")


@dataclass(frozen=True)
class Panel:
    """One part of a picture.

    Args:
        title: what it shows.
        dots: ``{position: values}``, one column of dots each.
        band: (middle, half width) of where each column should be, or None.
        should: what the band is.
        bars: ``{name: (middle, half width)}``, one bar in each column.
        xlabel: what a column is.
    """

    title: str
    dots: dict
    band: tuple | None = None
    should: str = "should: mean ± spread"
    bars: dict | None = None
    xlabel: str = "feature"


def panels(exercise, inputs, outputs):
    """Return the Panels of a case: of values, of statistics and of gradients, where there are any.

    Args:
        exercise: the Exercise.
        inputs: of the case.
        outputs: what the solution returned, by label.
    """
    found = []
    if exercise.normalised:
        found += _values(exercise, inputs, outputs)
    found += _statistics(inputs, outputs)
    if exercise.normalised in ("batch", "example"):
        found += _gradients(exercise, inputs, outputs)
    return found[:_MOST]


@figure
def draw(parts):
    """Return a Figure with a panel for each part."""
    made, axes = plt.subplots(1, len(parts), figsize=(3.4 * max(2, len(parts)), 3.2), squeeze=False)
    for axis, part in zip(axes[0], parts, strict=True):
        _draw(axis, part)
    return made


def _draw(axis, part):
    rng = np.random.default_rng(0)
    for place, values in part.dots.items():
        shift = rng.uniform(-0.12, 0.12, len(values))
        axis.plot(place + shift, values, ".", color=COLORS["grey"], alpha=0.6, markersize=4)
    width = max((len(middle) for middle, _ in (part.bars or {}).values()), default=len(part.dots))
    places = np.arange(width)
    if part.band:
        middle, half = (np.broadcast_to(each, width) for each in part.band)
        axis.bar(
            places,
            2 * half,
            bottom=middle - half,
            color=COLORS["sky"],
            alpha=0.35,
            label=part.should,
        )
    for index, (name, (middle, half)) in enumerate((part.bars or {}).items()):
        style = LINES[index % len(LINES)]
        axis.errorbar(
            places + 0.16 * (index + 1),
            middle,
            yerr=half,
            fmt=style["marker"],
            color=style["color"],
            markersize=4,
            label=name,
        )
    axis.set(title=part.title, xlabel=part.xlabel, xticks=places, xlim=(-0.6, width - 0.2))
    if part.band or part.bars:
        axis.legend(fontsize=8)


# --- values -----------------------------------------------------------------------------------


def _values(exercise, inputs, outputs):
    """Yield a Panel of x, and of each result that is x normalised."""
    x = _input(inputs, outputs)
    if x is None:
        return
    shown = {"x": x}
    for name in ("x_hat", "y"):
        label = next((each for each in outputs if _is(name, each) and not _FIXED.search(each)), "")
        if label and outputs[label].shape == x.shape:
            shown[label] = outputs[label]
    for label, array in shown.items() if len(shown) > 1 else ():
        columns = _columns(exercise, inputs, array)
        dots = {i: _finite(column) for i, column in enumerate(columns)}
        if label == "x":
            yield Panel(
                "x, as it arrives", dots, bars=_given(inputs), xlabel=_word(exercise, inputs)
            )
        else:
            band = _band(exercise, inputs, label)
            yours = {"yours: mean ± spread": _spread(columns)}
            yield Panel(f"{label}, yours", dots, band, bars=yours, xlabel=_word(exercise, inputs))


def _is(name, label):
    return re.fullmatch(rf"(cache\[')?{name}\b.*", label)


def _word(exercise, inputs):
    """Return what shares a mean."""
    if exercise.normalised != "example":
        return "feature"
    return "group of an example" if "groups" in inputs else "example"


def _given(inputs):
    """Return the bars of the statistics that are handed in."""
    return {
        f"given{where}": (mean, np.sqrt(np.maximum(var, 0)))
        for where, (mean, var) in _pairs(inputs)
    }


def _band(exercise, inputs, label):
    """Return the spread that a result should have, or None where that is not the same for all."""
    # Statistics that are handed in need not be those of the batch.
    if exercise.normalised == "given":
        return None
    if "x_hat" in label:
        return 0.0, 1.0
    scale, shift = (
        inputs.get(first, inputs.get(second))
        for first, second in (("gamma", "weight"), ("beta", "bias"))
    )
    if exercise.normalised != "batch" or scale is None or shift is None:
        return None
    return shift, np.abs(scale)


def _spread(columns):
    with np.errstate(all="ignore"):
        return columns.mean(1), columns.std(1)


# --- statistics -------------------------------------------------------------------------------


def _statistics(inputs, outputs):
    """Yield a Panel of each pair of a mean and a variance, given or returned, of one length."""
    pairs = {f"yours{where}": pair for where, pair in _pairs(outputs) if "start" not in where}
    pairs = {name: pair for name, pair in pairs.items() if "step" in name} or pairs
    yours = {name: (mean, np.sqrt(np.maximum(var, 0))) for name, (mean, var) in pairs.items()}
    x = _input(inputs, outputs)
    rows = [] if x is None or x.ndim < 2 else _by_channel(x, inputs)
    for length in dict.fromkeys(len(mean) for mean, _ in yours.values()):
        bars = {**_given(inputs), **yours}
        chosen = {name: bar for name, bar in bars.items() if len(bar[0]) == length}
        dots = {i: _finite(row) for i, row in enumerate(rows)} if len(rows) == length else {}
        yield Panel(f"mean ± root of var{', and x' if dots else ''}", dots, bars=chosen)


def _pairs(arrays):
    """Yield (where, (mean, var)) for each mean that a variance of its length stands beside."""
    for name, mean in arrays.items():
        # A gradient is called dmean.
        found = re.search(r"\b(running_|moving_)?mean", name)
        if not found or not _is_row(mean):
            continue
        for word in ("var", "variance"):
            var = arrays.get(name.replace("mean", word))
            if _is_row(var) and len(var) == len(mean):
                where = name.replace(found[0], "").strip(" _")
                yield (f" {where}" if where else ""), (mean, var)


def _is_row(array):
    return isinstance(array, np.ndarray) and array.ndim == 1 and np.isfinite(array).all()


# --- gradients --------------------------------------------------------------------------------


def _gradients(exercise, inputs, outputs):
    """Yield a Panel with the part of the first dx along 1 and along x_hat: both are near 0."""
    label = next((each for each in outputs if _is_dx(each)), None)
    cache = inputs.get("cache", {})
    x = cache.get("x_hat") if cache else _input(inputs, outputs)
    dx = outputs.get(label)
    if dx is None or x is None or dx.shape != x.shape or not np.isfinite(dx).all():
        return
    dx, x = (_columns(exercise, inputs, array).astype(np.float64) for array in (dx, x))
    x = x - x.mean(1, keepdims=True)
    parts = {"along 1": _share(dx, np.ones_like(dx)), "along x_hat": _share(dx, x)}
    # A large eps leaves a part of it along x_hat.
    bars = {f"yours, {name}": (share, np.zeros(len(share))) for name, share in parts.items()}
    words = _word(exercise, inputs)
    yield Panel("dx: its part along 1 and x_hat", {}, (0.0, 0.02), "should: near 0", bars, words)


def _is_dx(label):
    return re.search(r"\bdx\b", label) and not _FIXED.search(label)


def _share(rows, directions):
    """Return the cosine of the angle between rows, 0 where one of them is zero."""
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(directions, axis=1)
    return (rows * directions).sum(1) / np.where(lengths > 0, lengths, 1)


# --- shapes -----------------------------------------------------------------------------------


def _input(inputs, outputs):
    """Return the batch that the first result was made from, or None."""
    x = next((inputs[name] for name in ("x", "x1") if name in inputs), None)
    if x is None or "x_new" not in inputs:
        return x
    # One batch for each training step.
    return x[0]


def _columns(exercise, inputs, array):
    """Return one row for each group of values that shares a mean."""
    if exercise.normalised == "example":
        return array.reshape(len(array) * inputs.get("groups", 1), -1)
    return _by_channel(array, inputs)


def _by_channel(array, inputs):
    # Keras has the channels last unless told otherwise; a batch of rows has them there too.
    axis = inputs.get("axis", -1 if "x_new" in inputs else 1)
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)


def _finite(values):
    return values[np.isfinite(values)]
