"""What the batch-norm layers of the frameworks do: read from their signatures, or found by trying.

The tables are lists of rows of Markdown, so that a page prints what the installed versions do.
"""

import inspect
from typing import NamedTuple

import keras
import numpy as np
import torch
from torch import nn

# One feature, two examples: mean 2, biased variance 1, unbiased variance 2.
PAIR = torch.tensor([[1.0], [3.0]])
MEAN, BIASED, UNBIASED = 2.0, 1.0, 2.0
SIZES = (2, 3, 5, 7)

TORCH = inspect.signature(nn.BatchNorm2d).parameters
KERAS = inspect.signature(keras.layers.BatchNormalization).parameters


class Step(NamedTuple):
    """What one layer with default settings did with the batch PAIR: all numbers."""

    output: float  # of the example 3
    mean: float  # stored, from 0
    var: float  # stored, from 1

    @property
    def new_weight(self):
        """Weight of the new value in the stored statistics."""
        return self.mean / MEAN

    @property
    def used(self):
        """The variance that normalised, "biased" or "unbiased": 3 comes out as 1 / std."""
        return _name(1 / self.output**2)

    @property
    def stored(self):
        """The variance that was stored, "biased" or "unbiased"."""
        return _name((self.var - (1 - self.new_weight)) / self.new_weight)


def to_numpy(tensor):
    """Return what a tensor or variable of either framework holds, as an array."""
    value = getattr(tensor, "value", tensor)
    # keras.ops.convert_to_numpy asks PyTorch for a copy in a way that NumPy 2 has deprecated.
    return value.numpy(force=True) if isinstance(value, torch.Tensor) else np.asarray(value)


def _name(variance):
    return {BIASED: "biased", UNBIASED: "unbiased"}[round(variance, 2)]


def steps():
    """Return the Step of PyTorch and the Step of Keras, in this order."""
    layer = nn.BatchNorm1d(1)
    by_torch = layer(PAIR)[1, 0], layer.running_mean, layer.running_var
    layer = keras.layers.BatchNormalization()
    by_keras = layer(PAIR, training=True)[1, 0], layer.moving_mean, layer.moving_variance
    return tuple(
        Step(*(to_numpy(value).item() for value in values)) for values in (by_torch, by_keras)
    )


def channel_axes():
    """Return the axis that PyTorch and Keras take for the channels of a 4-D input."""
    (in_torch,) = (axis for axis in range(4) if _accepted(axis))
    built = keras.layers.BatchNormalization()
    built.build(SIZES)
    return in_torch, SIZES.index(built.gamma.shape[0]) - len(SIZES)


def _accepted(axis):
    try:
        return nn.BatchNorm2d(SIZES[axis])(torch.zeros(SIZES)) is not None
    except RuntimeError:
        return False


def table():
    """Return what no option says: rows ``(what, PyTorch, Keras)``."""
    by_torch, by_keras = steps()
    torch_axis, keras_axis = channel_axes()
    return [
        ("momentum weighs, [(R7)](#R7)", _weighed(TORCH, by_torch), _weighed(KERAS, by_keras)),
        ("plain average, [(L2)](#L2)", "`momentum=None`", "none"),
        ("channel axis of images", f"{torch_axis}, always", f"{keras_axis}, or any"),
        ("variance that normalises", by_torch.used, by_keras.used),
        ("variance that is stored", by_torch.stored, by_keras.stored),
        (
            "variance, [how computed](#layers-answer)",
            "from deviations: two passes on a CPU, Welford's update on a GPU",
            "$E[x^2] - E[x]^2$ on PyTorch and NumPy; from deviations on TensorFlow and JAX, "
            "and with a `mask`",
        ),
        ("padding", "enters the statistics", "hidden from them by `mask` in the call"),
        ("[freeze](#know-the-mode)", "`eval()`", "`trainable=False`"),
    ]


def _weighed(parameters, step):
    new = np.isclose(parameters["momentum"].default, step.new_weight)
    return f"the *{'new' if new else 'old'}* value"


def modes():
    """Return what each switch does: rows ``(switches, batch statistics, memory moves, learns)``.

    Switches that do the same share a row.
    """
    tried = [
        _torch_mode("PyTorch `train()`"),
        _keras_mode("Keras `training=True`", training=True),
        _torch_mode("PyTorch `train()` in `no_grad()`", gradients=False),
        _torch_mode("PyTorch `train()` with `requires_grad_(False)`", learn=False),
        _torch_mode("PyTorch `eval()`", train=False),
        _keras_mode("Keras `training=False`", training=False),
        _keras_mode("Keras, mode not named"),
        _keras_mode(
            "Keras `trainable=False`, even with `training=True`", learn=False, training=True
        ),
    ]
    rows = {}
    for name, *facts in tried:
        rows.setdefault(tuple(facts), []).append(name)
    return [("; ".join(names), *facts) for facts, names in rows.items()]


def _torch_mode(name, *, train=True, gradients=True, learn=True):
    layer = nn.BatchNorm1d(1).train(train).requires_grad_(learn)
    with torch.set_grad_enabled(gradients):
        y = layer(PAIR)
    learns = y.requires_grad and layer.weight.requires_grad
    return name, abs(y.mean().item()) < 0.1, layer.running_mean.item() != 0, learns


def _keras_mode(name, *, learn=True, **call):
    layer = keras.layers.BatchNormalization()
    layer.build((None, 1))
    layer.trainable = learn
    y = to_numpy(layer(PAIR, **call))
    moved = to_numpy(layer.moving_mean)[0] != 0
    return name, bool(abs(y.mean()) < 0.1), bool(moved), bool(layer.trainable_weights)


def markdown(head, rows):
    """Return a Markdown table; True and False read yes and no.

    >>> print(markdown(("", "holds"), [("one", True)]))
    |  | holds |
    |---|---|
    | one | yes |
    """
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value):
    return ("no", "yes")[value] if isinstance(value, bool) else value
