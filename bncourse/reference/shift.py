"""Probes of a small network, written out: percentiles, shifted gradients, fair steps, a fold.

A network is a list of parts, each a kind and its arrays:

    ("linear", {"weight": (out, in), "bias": (out,)}), the bias may be missing
    ("norm", {"weight": gamma, "bias": beta, "running_mean": (D,), "running_var": (D,), "eps": ()}),
        "frozen" is True where it stays in eval mode
    ("tanh", {}), ("relu", {}), ("sigmoid", {})

The weight of a linear part has the shape that PyTorch gives it. gamma and beta may be missing. The
vectors after a weight, the bias and those of a norm, belong to its layer.
"""

import numpy as np

from bncourse.reference.backward import batchnorm_backward, batchnorm_inference_backward
from bncourse.reference.forward import batch_statistics, batchnorm_forward, batchnorm_inference

# What gradient descent moves; the rest is state.
_TRAINED = ("weight", "bias")


# --- losses: the value, and its gradient with respect to the outputs ----------------------------


def half_squared_error(outputs, targets):
    """Return the loss 1/(2N) sum (outputs - targets)^2 and its gradient.

    >>> half_squared_error(np.array([[3.0]]), np.array([[1.0]]))
    (2.0, array([[2.]]))
    """
    off = outputs - targets
    return float((off**2).sum() / 2 / len(off)), off / len(off)


def cross_entropy(outputs, classes):
    """Return the mean of -log softmax(outputs)[class] and its gradient."""
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(outputs))
    gradient = np.exp(log_softmax)
    gradient[rows, classes] -= 1
    return float(-log_softmax[rows, classes].mean()), gradient / len(outputs)


LOSSES = {"squared error": half_squared_error, "cross entropy": cross_entropy}


# --- the network --------------------------------------------------------------------------------


def passed(parts, x, training=True):
    """Return what each part hands on for the batch ``x``, in order.

    Args:
        parts: the network.
        x: (N, K).
        training: whether batch norm uses the statistics of the batch, biased; else those stored.
    """
    handed_on = []
    for kind, arrays in parts:
        x = _forward(kind, arrays, x, training)
        handed_on.append(x)
    return handed_on


def _forward(kind, arrays, x, training):
    if kind == "linear":
        return x @ arrays["weight"].T + arrays.get("bias", 0.0)
    if kind == "norm":
        gamma, beta = _scale_and_shift(arrays, x)
        if training and not arrays.get("frozen"):
            return batchnorm_forward(x, gamma, beta, arrays["eps"])[0]
        return batchnorm_inference(x, gamma, beta, *_stored(arrays))
    if kind == "tanh":
        return np.tanh(x)
    return np.maximum(x, 0) if kind == "relu" else 1 / (1 + np.exp(-x))


def _scale_and_shift(arrays, x):
    width = x.shape[1]
    return arrays.get("weight", np.ones(width)), arrays.get("bias", np.zeros(width))


def _stored(arrays):
    return arrays["running_mean"], arrays["running_var"], arrays["eps"]


def _backward(kind, arrays, x, y, dy, training):
    """Return the gradient of the input of a part, and those of its arrays."""
    if kind == "linear":
        return dy @ arrays["weight"], {"weight": dy.T @ x, "bias": dy.sum(axis=0)}
    if kind == "norm":
        gamma, beta = _scale_and_shift(arrays, x)
        if training and not arrays.get("frozen"):
            found = batchnorm_backward(dy, batchnorm_forward(x, gamma, beta, arrays["eps"])[1])
        else:
            found = batchnorm_inference_backward(dy, x, gamma, *_stored(arrays))
        return found[0], {"weight": found[1], "bias": found[2]}
    slope = {"tanh": 1 - y**2, "relu": (x > 0).astype(float), "sigmoid": y * (1 - y)}[kind]
    return dy * slope, {}


def loss_and_gradients(parts, x, y, loss, training=True):
    """Return the loss of one batch and, for each part, the gradients of its trained arrays.

    Args:
        parts, x, training: as in ``passed``.
        y: targets, as the loss takes them.
        loss: a function of LOSSES.
    """
    handed_on = passed(parts, x, training)
    value, upstream = loss(handed_on[-1], y)
    gradients = [{} for _ in parts]
    for index in reversed(range(len(parts))):
        kind, arrays = parts[index]
        entered = handed_on[index - 1] if index else x
        found = _backward(kind, arrays, entered, handed_on[index], upstream, training)
        upstream = found[0]
        gradients[index] = {name: found[1][name] for name in _TRAINED if name in arrays}
    return value, gradients


def layer_numbers(parts):
    """Return the number of the layer to which each part belongs, from 0.

    >>> layer_numbers([("linear", {}), ("norm", {}), ("tanh", {}), ("linear", {})])
    [0, 0, 0, 1]
    """
    number, numbers = -1, []
    for kind, _ in parts:
        number += kind == "linear"
        numbers.append(max(number, 0))
    return numbers


def _linears(parts):
    """Return the places of the linear parts."""
    return [index for index, (kind, _) in enumerate(parts) if kind == "linear"]


# --- the probes ---------------------------------------------------------------------------------


def activation_percentiles(values, q):
    """Return the percentiles of an array of activations, (len(q),).

    (S3) Q_p: the value with p percent of the sample below it, between two neighbours by a line.

    Args:
        values: what one unit, or all units of a layer, hand on for the examples.
        q: percentiles between 0 and 100.

    Source: ioffe2015batch, figure 1.
    """
    return np.percentile(values, q)


def internal_covariate_shift(parts, x, y, loss, lr, training=True):
    r"""Return how far the gradient of each layer's weight moves when the earlier layers step.

    (S5) shift_i = |G_i - G'_i|, with G at (W_1, ..., W_k) and G'_i at
    (W'_1, ..., W'_{i-1}, W_i, ..., W_k), where W' = W - lr G.

    Args:
        parts, x, y, loss, training: as in ``loss_and_gradients``.
        lr: of the step.

    Returns:
        (layers,); the first is 0. Vectors step with their layer, and are not compared.

    Source: santurkar2018how.
    """
    _, before = loss_and_gradients(parts, x, y, loss, training)
    numbers = layer_numbers(parts)
    shift = []
    for layer, place in enumerate(_linears(parts)):
        mixed = [
            _stepped(part, gradient, lr) if number < layer else part
            for part, gradient, number in zip(parts, before, numbers, strict=True)
        ]
        _, after = loss_and_gradients(mixed, x, y, loss, training)
        shift.append(np.linalg.norm(after[place]["weight"] - before[place]["weight"]))
    return np.array(shift)


def _stepped(part, gradients, lr):
    kind, arrays = part
    moved = {name: arrays[name] - lr * gradient for name, gradient in gradients.items()}
    return kind, arrays | moved


def gradient_predictiveness(parts, x, y, loss, step_sizes, training=True):
    r"""Return the share of the promised decrease that is kept, for steps of several sizes.

    (D3) W_l(e) = W_l - e |W_l| G_l / |G_l|, and (D4) (L(W) - L(W(e))) / (e sum_l |W_l| |G_l|).
    A layer whose gradient is 0 stays.

    Args:
        parts, x, y, loss, training: as in ``loss_and_gradients``.
        step_sizes: the sizes e, relative to the length of the weights.

    Returns:
        (len(step_sizes),).
    """
    start, gradients = loss_and_gradients(parts, x, y, loss, training)
    directions, promise = {}, 0.0
    for place in _linears(parts):
        weight, gradient = parts[place][1]["weight"], gradients[place]["weight"]
        unit, length = np.linalg.norm(weight), np.linalg.norm(gradient)
        directions[place] = unit * gradient / length if length else np.zeros_like(weight)
        promise += unit * length
    kept = []
    for size in step_sizes:
        moved = list(parts)
        for place, way in directions.items():
            arrays = parts[place][1]
            moved[place] = ("linear", arrays | {"weight": arrays["weight"] - size * way})
        after = loss(passed(moved, x, training)[-1], y)[0]
        kept.append((start - after) / (size * promise))
    return np.array(kept)


def normalize_once(parts, x):
    """Return the network with the statistics of one batch in its weights, and no norm.

    (D2) With mean and biased variance of what enters the norm, gamma / sqrt(var + eps) times the
    weight, and beta + gamma / sqrt(var + eps) (bias - mean); gamma is 1 and beta 0 at the start.

    Args:
        parts: in which each norm follows a linear part.
        x: (N, K).

    Source: salimans2016weight, for an initialisation of this kind.
    """
    folded = []
    for kind, arrays in parts:
        if kind == "norm":
            _, last = folded[-1]
            mean, var = batch_statistics(x)
            gamma, beta = _scale_and_shift(arrays, x)
            scale = gamma / np.sqrt(var + arrays["eps"])
            folded[-1] = (
                "linear",
                {
                    "weight": last["weight"] * scale[:, None],
                    "bias": beta + scale * (last.get("bias", 0.0) - mean),
                },
            )
        else:
            folded.append((kind, arrays))
        x = _forward(kind, arrays, x, training=True)
    return folded
