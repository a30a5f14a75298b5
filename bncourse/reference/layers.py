"""Batch norm as a layer: a step of training with its buffers, double backward, recalibration.

The functions serve both frameworks. Their conventions are arguments: the channel axis, the weight
of the new statistics and whether the stored variance is unbiased.
"""

import numpy as np

from bncourse.reference.backward import batchnorm_backward, batchnorm_inference_backward
from bncourse.reference.forward import (
    batch_statistics,
    batchnorm_forward,
    batchnorm_inference,
    merge_statistics,
    normalize,
)


def to_features(x, axis=1):
    """Return x as (n, C): one row for each place that shares the statistics of its channel.

    Args:
        x: float array of any rank of at least 2.
        axis: the channel axis; 1 in PyTorch, -1 by default in Keras.

    >>> to_features(np.zeros((5, 3, 8, 8))).shape
    (320, 3)
    """
    return np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])


def from_features(rows, shape, axis=1):
    """Return the array of the given shape whose ``to_features`` is ``rows``."""
    moved = np.moveaxis(np.empty(shape), axis, -1).shape
    return np.moveaxis(rows.reshape(moved), -1, axis)


def layer_training_step(x, gamma, beta, mean, var, *, new_weight, eps, axis=1, unbiased=True):
    r"""Return the output of a layer in training, and its buffers after the step.

    (L1) y = gamma x_hat + beta with the biased statistics of the batch, and
    stored <- (1 - w) stored + w new, w the weight of the new value.
    PyTorch stores the unbiased variance with w = momentum, Keras the biased one with
    w = 1 - momentum: (L4).

    Args:
        x: float array of any rank of at least 2.
        gamma, beta: (C,) float arrays.
        mean, var: (C,) float arrays, the stored statistics before the step.
        new_weight: weight of the new statistics, between 0 and 1.
        eps: positive scalar in the units of the variance.
        axis: the channel axis.
        unbiased: whether the stored variance is n / (n - 1) times the biased one.

    Returns:
        y, as x, and the stored mean and var after the step, new (C,) arrays.

    Raises:
        ValueError: if unbiased and there is one value per channel.

    Source: ioffe2015batch; torch.nn.BatchNorm2d and keras.layers.BatchNormalization.
    """
    rows = to_features(x, axis)
    count = len(rows)
    if unbiased and count < 2:
        raise ValueError(f"Training needs more than one value per channel. Received: {x.shape}")
    y = from_features(batchnorm_forward(rows, gamma, beta, eps)[0], x.shape, axis)
    new_mean, new_var = batch_statistics(rows)
    if unbiased:
        new_var = new_var * count / (count - 1)
    return y, _mix(mean, new_mean, new_weight), _mix(var, new_var, new_weight)


def _mix(old, new, weight):
    return (1 - weight) * old + weight * new


def new_weight(momentum, batches_tracked):
    r"""Return the weight of the newest statistics in PyTorch's layer.

    (L2) With momentum None the weight is 1 / t in step t = 1, 2, ..., so that the stored value is
    the plain average of all batches so far. Otherwise it is momentum.

    Args:
        momentum: a number between 0 and 1, or None.
        batches_tracked: t, the number of training batches, this one included.

    >>> new_weight(0.1, 4), new_weight(None, 4)
    (0.1, 0.25)

    Source: torch.nn.BatchNorm2d.
    """
    return 1 / batches_tracked if momentum is None else momentum


def layer_inference(x, gamma, beta, mean, var, *, eps, axis=1):
    """Return the output of a layer at inference, (F7) for any rank; arguments as above."""
    rows = batchnorm_inference(to_features(x, axis), gamma, beta, mean, var, eps)
    return from_features(rows, x.shape, axis)


def layer_backward(dy, x, gamma, *, eps, axis=1):
    """Return dx, dgamma and dbeta of a layer in training: (B7) and (B6) for any rank.

    Args:
        dy, x: float arrays of one shape, any rank of at least 2.
        gamma: (C,) float array.
        eps: positive scalar in the units of the variance.
        axis: the channel axis.
    """
    rows = to_features(x, axis)
    cache = batchnorm_forward(rows, gamma, np.zeros_like(gamma), eps)[1]
    dx, dgamma, dbeta = batchnorm_backward(to_features(dy, axis), cache)
    return from_features(dx, x.shape, axis), dgamma, dbeta


def layer_inference_backward(dy, x, gamma, mean, var, *, eps, axis=1):
    """Return dx, dgamma and dbeta of a layer at inference: (B10) for any rank."""
    rows = to_features(dy, axis), to_features(x, axis)
    dx, dgamma, dbeta = batchnorm_inference_backward(*rows, gamma, mean, var, eps)
    return from_features(dx, x.shape, axis), dgamma, dbeta


def layer_double_backward(v_x, v_gamma, v_beta, dy, x, gamma, *, eps, axis=1):
    r"""Return the gradients of s = <v_x, dx> + <v_gamma, dgamma> + <v_beta, dbeta>.

    (L3) With P u = u - mean(u) - x_hat mean(u x_hat), the projection of (B8), r = inv_std and
    h = v_gamma dy - gamma r (v_x mean(dy x_hat) + dy mean(v_x x_hat)):
    ds/d(dy) = gamma r P v_x + v_gamma x_hat + v_beta,
    ds/dgamma = r v_x^T P dy,
    ds/dx = r P h - gamma r^2 (v_x^T P dy) x_hat / n; s does not depend on beta.

    Args:
        v_x, dy, x: float arrays of one shape, any rank of at least 2.
        v_gamma, v_beta, gamma: (C,) float arrays.
        eps: positive scalar in the units of the variance.
        axis: the channel axis.

    Returns:
        ds/d(dy) and ds/dx, as x, and ds/dgamma, (C,).

    Source: derived in the chapter.
    """
    v, dy_rows, rows = (to_features(array, axis) for array in (v_x, dy, x))
    mean, var = batch_statistics(rows)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = normalize(rows, mean, var, eps)

    def project(u):
        return u - u.mean(axis=0) - x_hat * (u * x_hat).mean(axis=0)

    a = gamma * inv_std
    inner = (v * project(dy_rows)).sum(axis=0)
    to_dy = a * project(v) + v_gamma * x_hat + v_beta
    along = v * (dy_rows * x_hat).mean(axis=0) + dy_rows * (v * x_hat).mean(axis=0)
    to_x = inv_std * (project(v_gamma * dy_rows - a * along) - a * inner * x_hat / len(rows))
    return from_features(to_dy, x.shape, axis), from_features(to_x, x.shape, axis), inv_std * inner


def pooled_statistics(batches):
    r"""Return count, mean and biased variance of all examples of all batches.

    (L6) n = sum_b n_b, mean = sum_b n_b mean_b / n,
    var = sum_b n_b (var_b + (mean_b - mean)^2) / n: the spread inside the batches and the spread
    of their means.

    Args:
        batches: (n_b, C) float arrays, at least one.

    Source: wu2021rethinking; chan1983algorithms for the merging.
    """
    first, *others = ((len(rows), *batch_statistics(rows)) for rows in batches)
    pooled = first
    for other in others:
        pooled = merge_statistics(*pooled, *other)
    return pooled
