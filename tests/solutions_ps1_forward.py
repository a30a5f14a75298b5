"""Correct solutions of problem set 1, written as differently as correct solutions are."""

import math

import numpy as np

from bncourse.exercises.ps1_forward import (
    batch_statistics,
    batchnorm_forward,
    batchnorm_inference,
    merge_statistics,
    normalize,
    update_running,
)

# --- batch_statistics -------------------------------------------------------------------------


def statistics_numpy(x):
    return x.mean(axis=0), x.var(axis=0)


def statistics_welford(x):
    mean = np.zeros(x.shape[1], x.dtype)
    squares = np.zeros(x.shape[1], x.dtype)
    for count, row in enumerate(x, start=1):
        delta = row - mean
        mean = mean + delta / count
        squares = squares + delta * (row - mean)
    return mean, squares / len(x)


def statistics_loops(x):
    count, features = x.shape
    mean = [math.fsum(x[:, j]) / count for j in range(features)]
    var = [math.fsum((v - mean[j]) ** 2 for v in x[:, j]) / count for j in range(features)]
    return np.array(mean), np.array(var)


def statistics_einsum(x):
    ones = np.full(len(x), 1 / len(x), x.dtype)
    mean = np.einsum("i,ij->j", ones, x)
    centred = x - mean
    return mean, np.einsum("i,ij,ij->j", ones, centred, centred)


# --- normalize --------------------------------------------------------------------------------


def normalize_divide(x, mean, var, eps=1e-5):
    return (x - mean) / np.sqrt(var + eps)


def normalize_power(x, mean, var, eps=1e-5):
    return (x - mean[None, :]) * (var + eps) ** -0.5


def normalize_affine(x, mean, var, eps=1e-5):
    scale = 1 / np.sqrt(var + eps)
    return x * scale - mean * scale


# --- batchnorm_forward ------------------------------------------------------------------------


def forward_numpy(x, gamma, beta, eps=1e-5):
    inv_std = 1 / np.sqrt(x.var(axis=0) + eps)
    x_hat = (x - x.mean(axis=0)) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def forward_columns(x, gamma, beta, eps=1e-5):
    y, x_hat, inv_std = np.empty_like(x), np.empty_like(x), np.empty_like(gamma)
    for j in range(x.shape[1]):
        column = x[:, j] - x[:, j].mean()
        inv_std[j] = 1 / np.sqrt(column @ column / len(x) + eps)
        x_hat[:, j] = column * inv_std[j]
        y[:, j] = gamma[j] * x_hat[:, j] + beta[j]
    return y, {"gamma": gamma, "inv_std": inv_std, "x_hat": x_hat}


def forward_projection(x, gamma, beta, eps=1e-5):
    n = len(x)
    centred = (np.eye(n, dtype=x.dtype) - np.ones((n, n), x.dtype) / n) @ x
    inv_std = (np.einsum("ij,ij->j", centred, centred) / n + eps) ** -0.5
    x_hat = centred @ np.diag(inv_std)
    cache = {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma, "more": "than asked is fine"}
    return np.multiply(x_hat, gamma) + beta, cache


# --- update_running ---------------------------------------------------------------------------


def update_numpy(running_mean, running_var, x, momentum=0.1):
    new_mean = (1 - momentum) * running_mean + momentum * x.mean(axis=0)
    return new_mean, (1 - momentum) * running_var + momentum * x.var(axis=0, ddof=1)


def update_step(running_mean, running_var, x, momentum=0.1):
    n = len(x)
    unbiased = x.var(axis=0) * n / (n - 1)
    return (
        running_mean + momentum * (x.mean(axis=0) - running_mean),
        running_var + momentum * (unbiased - running_var),
    )


def update_copies(running_mean, running_var, x, momentum=0.1):
    mean, var = running_mean.copy(), running_var.copy()
    for j, column in enumerate(x.T):
        centre = column.sum() / len(column)
        mean[j] += momentum * (centre - mean[j])
        var[j] += momentum * (((column - centre) ** 2).sum() / (len(column) - 1) - var[j])
    return mean, var


# --- batchnorm_inference ----------------------------------------------------------------------


def inference_numpy(x, gamma, beta, running_mean, running_var, eps=1e-5):
    return gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta


def inference_folded(x, gamma, beta, running_mean, running_var, eps=1e-5):
    scale = gamma * (running_var + eps) ** -0.5
    return x * scale + (beta - running_mean * scale)


def inference_rows(x, gamma, beta, running_mean, running_var, eps=1e-5):
    std = np.sqrt(running_var + eps)
    return np.stack([(row - running_mean) / std * gamma + beta for row in x])


# --- merge_statistics -------------------------------------------------------------------------


def merge_chan(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count = count_a + count_b
    delta = mean_b - mean_a
    squares = var_a * count_a + var_b * count_b + delta**2 * count_a * count_b / count
    return count, mean_a + delta * count_b / count, squares / count


def merge_around_new_mean(count_a, mean_a, var_a, count_b, mean_b, var_b):
    a, b = count_a / (count_a + count_b), count_b / (count_a + count_b)
    mean = a * mean_a + b * mean_b
    var = a * (var_a + (mean_a - mean) ** 2) + b * (var_b + (mean_b - mean) ** 2)
    return count_a + count_b, mean, var


def merge_shifted(count_a, mean_a, var_a, count_b, mean_b, var_b):
    # E[x^2] - E[x]^2 is sound once the data are shifted to the first mean.
    count = np.float64(count_a + count_b)
    shift = mean_b - mean_a
    first = count_b * shift / count
    second = (count_a * var_a + count_b * (var_b + shift**2)) / count
    return count, (mean_a + first).astype(mean_a.dtype), (second - first**2).astype(var_a.dtype)


# The right solutions in which the specs make their slips are judged as any other.
CORRECT = {
    "batch_statistics": [
        batch_statistics.RIGHT.obj,
        statistics_numpy,
        statistics_welford,
        statistics_loops,
        statistics_einsum,
    ],
    "normalize": [normalize.RIGHT.obj, normalize_divide, normalize_power, normalize_affine],
    "batchnorm_forward": [
        batchnorm_forward.RIGHT.obj,
        forward_numpy,
        forward_columns,
        forward_projection,
    ],
    "update_running": [update_running.RIGHT.obj, update_numpy, update_step, update_copies],
    "batchnorm_inference": [
        batchnorm_inference.RIGHT.obj,
        inference_numpy,
        inference_folded,
        inference_rows,
    ],
    "merge_statistics": [
        merge_statistics.RIGHT.obj,
        merge_chan,
        merge_around_new_mean,
        merge_shifted,
    ],
}
