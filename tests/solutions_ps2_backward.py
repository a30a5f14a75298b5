"""Correct solutions of problem set 2, written as differently as correct solutions are."""

import math

import numpy as np

from bncourse.exercises.ps2_backward import (
    batchnorm_backward,
    batchnorm_backward_staged,
    batchnorm_inference_backward,
    batchnorm_jacobian,
    numerical_gradient,
)

# --- numerical_gradient -----------------------------------------------------------------------


def numerical_restored(f, x, h=1e-5):
    point = np.array(x, dtype=float)
    grad = np.zeros(point.shape)
    for index in np.ndindex(point.shape):
        value = point[index]
        point[index] = value + h
        above = f(point)
        point[index] = value - h
        below = f(point)
        point[index] = value
        grad[index] = (above - below) / (2 * h)
    return grad


def numerical_unit_vectors(f, x, h=1e-5):
    steps = h * np.eye(x.size).reshape(-1, *x.shape)
    return np.array([(f(x + step) - f(x - step)) / (2 * h) for step in steps]).reshape(x.shape)


def numerical_nditer(f, x, h=1e-5):
    grad = np.zeros(x.shape)
    with np.nditer(x, flags=["multi_index"]) as elements:
        for _ in elements:
            index = elements.multi_index
            above, below = np.array(x, float), np.array(x, float)
            above[index] += h
            below[index] -= h
            grad[index] = 0.5 * (f(above) / h - f(below) / h)
    return grad


def numerical_flat(f, x, h=1e-5):
    flat = [float(value) for value in x.ravel()]

    def moved(i, step):
        return f(np.array([*flat[:i], flat[i] + step, *flat[i + 1 :]]).reshape(x.shape))

    slopes = [(moved(i, h) - moved(i, -h)) / (2 * h) for i in range(len(flat))]
    return np.array(slopes).reshape(x.shape)


# --- batchnorm_backward_staged ----------------------------------------------------------------


def staged_by_the_book(dy, x, gamma, eps=1e-5):
    n = len(x)
    mean, var = x.mean(axis=0), x.var(axis=0)
    dx_hat = dy * gamma
    dvar = np.sum(dx_hat * (x - mean) * -0.5 * (var + eps) ** -1.5, axis=0)
    dmean = np.sum(-dx_hat / np.sqrt(var + eps), axis=0) + dvar * np.mean(-2 * (x - mean), axis=0)
    return {
        "dx_hat": dx_hat,
        "dvar": dvar,
        "dmean": dmean,
        "dx": dx_hat / np.sqrt(var + eps) + dvar * 2 * (x - mean) / n + dmean / n,
        "dgamma": np.sum(dy * (x - mean) / np.sqrt(var + eps), axis=0),
        "dbeta": np.sum(dy, axis=0),
    }


def staged_einsum(dy, x, gamma, eps=1e-5):
    ones = np.ones(len(x), x.dtype)
    centred = x - np.einsum("i,ij->j", ones, x) / len(x)
    inv_std = (np.einsum("ij,ij->j", centred, centred) / len(x) + eps) ** -0.5
    x_hat = np.einsum("ij,j->ij", centred, inv_std)
    dgamma, dbeta = np.einsum("ij,ij->j", dy, x_hat), np.einsum("i,ij->j", ones, dy)
    return {
        "dbeta": dbeta,
        "dgamma": dgamma,
        "dx_hat": np.einsum("ij,j->ij", dy, gamma),
        "dvar": -0.5 * gamma * dgamma * inv_std**2,
        "dmean": -gamma * dbeta * inv_std,
        "dx": gamma * inv_std * (dy - (dbeta + x_hat * dgamma) / len(x)),
    }


def staged_columns(dy, x, gamma, eps=1e-5):
    n, d = x.shape
    parts = {key: np.zeros((n, d), x.dtype) for key in ("dx_hat", "dx")}
    parts |= {key: np.zeros(d, x.dtype) for key in ("dvar", "dmean", "dgamma", "dbeta")}
    for j in range(d):
        mean = math.fsum(x[:, j]) / n
        centred = [float(value) - mean for value in x[:, j]]
        inv_std = 1 / math.sqrt(math.fsum(c * c for c in centred) / n + eps)
        for i in range(n):
            g = float(dy[i, j])
            parts["dx_hat"][i, j] = g * gamma[j]
            parts["dvar"][j] -= 0.5 * g * gamma[j] * centred[i] * inv_std**3
            parts["dmean"][j] -= g * gamma[j] * inv_std
            parts["dgamma"][j] += g * centred[i] * inv_std
            parts["dbeta"][j] += g
        for i in range(n):
            through_statistics = 2 * parts["dvar"][j] * centred[i] + parts["dmean"][j]
            parts["dx"][i, j] = parts["dx_hat"][i, j] * inv_std + through_statistics / n
    return parts


def staged_affine(dy, x, gamma, eps=1e-5):
    """x_hat as a scale and a shift of x, which loses digits where the mean is large."""
    n, mean = len(x), x.mean(axis=0)
    inv_std = 1 / np.sqrt(x.var(axis=0) + eps)
    x_hat = x * inv_std - mean * inv_std
    dx_hat = dy * gamma
    dvar = -0.5 * inv_std**2 * (dx_hat * x_hat).sum(axis=0)
    dmean = -(dx_hat * inv_std).sum(axis=0)
    dx = dx_hat * inv_std + dvar * 2 / n * (x - mean) + dmean / n
    dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    parts = {"dx_hat": dx_hat, "dvar": dvar, "dmean": dmean}
    return parts | {"dx": dx, "dgamma": dgamma, "dbeta": dbeta}


def staged_welford(dy, x, gamma, eps=1e-5):
    mean, squares = np.zeros(x.shape[1], x.dtype), np.zeros(x.shape[1], x.dtype)
    for count, row in enumerate(x, start=1):
        delta = row - mean
        mean = mean + delta / count
        squares = squares + delta * (row - mean)
    n, centred = len(x), x - mean
    inv_std = 1 / np.sqrt(squares / n + eps)
    dx_hat, x_hat = dy * gamma, centred * inv_std
    dvar = -0.5 * (dx_hat * centred).sum(axis=0) * inv_std**3
    dmean = -(dx_hat * inv_std).sum(axis=0)
    dx = dx_hat * inv_std + dvar * 2 * centred / n + dmean / n
    dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    parts = {"dx_hat": dx_hat, "dvar": dvar, "dmean": dmean}
    return parts | {"dx": dx, "dgamma": dgamma, "dbeta": dbeta}


# --- batchnorm_backward -----------------------------------------------------------------------


def backward_means(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx = gamma * inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_staged(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    n = len(dy)
    dx_hat = dy * gamma
    # x - mean is x_hat / inv_std.
    dvar = -0.5 * (dx_hat * x_hat).sum(axis=0) * inv_std**2
    dmean = -(dx_hat * inv_std).sum(axis=0)
    dx = dx_hat * inv_std + dvar * 2 * (x_hat / inv_std) / n + dmean / n
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_jacobian(dy, cache):
    n = len(dy)
    projection = np.eye(n)[:, :, None] - 1 / n
    projection = projection - np.einsum("ij,kj->ikj", cache["x_hat"], cache["x_hat"]) / n
    scale = cache["gamma"] * cache["inv_std"]
    dx = np.einsum("ikj,ij,j->kj", projection, dy, scale)
    return dx, np.einsum("ij,ij->j", dy, cache["x_hat"]), np.einsum("ij->j", dy)


def backward_loops(dy, cache):
    n, d = dy.shape
    dx = np.zeros((n, d), dy.dtype)
    dgamma, dbeta = np.zeros(d, dy.dtype), np.zeros(d, dy.dtype)
    for j in range(d):
        x_hat = cache["x_hat"][:, j]
        dgamma[j], dbeta[j] = dy[:, j] @ x_hat, math.fsum(dy[:, j])
        factor = cache["gamma"][j] * cache["inv_std"][j] / n
        for i in range(n):
            dx[i, j] = factor * (n * dy[i, j] - dbeta[j] - x_hat[i] * dgamma[j])
    return dx, dgamma, dbeta


# --- batchnorm_jacobian -----------------------------------------------------------------------


def jacobian_projection(x, eps=1e-5):
    n = len(x)
    centred = x - x.mean()
    var = centred @ centred / n
    projection = np.eye(n) - np.full((n, n), 1 / n)
    return projection / np.sqrt(var + eps) - np.outer(centred, centred) / n / (var + eps) ** 1.5


def jacobian_index_by_index(x, eps=1e-5):
    n = len(x)
    mean = math.fsum(x) / n
    centred = [float(value) - mean for value in x]
    inv_std = 1 / math.sqrt(math.fsum(c * c for c in centred) / n + eps)
    J = np.zeros((n, n))
    for i in range(n):
        for k in range(n):
            direct = (i == k) - 1 / n
            J[i, k] = inv_std * (direct - centred[i] * centred[k] * inv_std**2 / n)
    return J


def jacobian_of_staged(x, eps=1e-5):
    """Row i is the backward pass of the gradient e_i."""
    n = len(x)
    centred = x - x.mean()
    inv_std = 1 / np.sqrt(np.mean(centred**2) + eps)
    rows = []
    for dx_hat in np.eye(n):
        dvar = -0.5 * (dx_hat @ centred) * inv_std**3
        dmean = -inv_std * dx_hat.sum()
        rows.append(dx_hat * inv_std + 2 * dvar * centred / n + dmean / n)
    return np.stack(rows)


def jacobian_welford(x, eps=1e-5):
    n, mean, squares = len(x), x.dtype.type(0), x.dtype.type(0)
    for count, value in enumerate(x, start=1):
        delta = value - mean
        mean = mean + delta / x.dtype.type(count)
        squares = squares + delta * (value - mean)
    inv_std = 1 / np.sqrt(squares / n + eps)
    x_hat = (x - mean) * inv_std
    return inv_std * (np.eye(n) - 1 / n - np.outer(x_hat, x_hat) / n)


def jacobian_complex_step(x, eps=1e-5):
    """Column k is the imaginary part of x_hat after an imaginary step in x_k; nothing cancels."""
    step = 1e-20
    columns = []
    for direction in np.eye(len(x)):
        z = x.astype(np.float64) + 1j * step * direction
        centred = z - z.mean()
        columns.append((centred / np.sqrt((centred**2).mean() + eps)).imag / step)
    return np.column_stack(columns)


# --- batchnorm_inference_backward -------------------------------------------------------------


def inference_direct(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var + eps)
    x_hat = (x - running_mean) * inv_std
    return dy * gamma * inv_std, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_affine(dy, x, gamma, running_mean, running_var, eps=1e-5):
    """y = scale x + shift with constants, so the gradients follow from sums of dy x and dy."""
    std = np.sqrt(running_var + eps)
    dbeta = dy.sum(axis=0)
    dgamma = ((dy * x).sum(axis=0) - running_mean * dbeta) / std
    return dy * (gamma / std), dgamma, dbeta


def inference_loops(dy, x, gamma, running_mean, running_var, eps=1e-5):
    n, d = x.shape
    dx = np.zeros((n, d), x.dtype)
    dgamma, dbeta = np.zeros(d, x.dtype), np.zeros(d, x.dtype)
    for j in range(d):
        std = math.sqrt(float(running_var[j]) + eps)
        for i in range(n):
            dx[i, j] = dy[i, j] * gamma[j] / std
            dgamma[j] += dy[i, j] * (x[i, j] - running_mean[j]) / std
            dbeta[j] += dy[i, j]
    return dx, dgamma, dbeta


def inference_einsum(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = (running_var + eps) ** -0.5
    dx = np.einsum("ij,j,j->ij", dy, gamma, inv_std)
    dgamma = np.einsum("ij,ij,j->j", dy, x - running_mean, inv_std)
    return dx, dgamma, np.einsum("ij->j", dy)


# The right solutions in which the specs make their slips are judged as any other.
CORRECT = {
    "numerical_gradient": [
        numerical_gradient.RIGHT.obj,
        numerical_restored,
        numerical_unit_vectors,
        numerical_nditer,
        numerical_flat,
    ],
    "batchnorm_backward_staged": [
        batchnorm_backward_staged.RIGHT.obj,
        staged_by_the_book,
        staged_einsum,
        staged_columns,
        staged_affine,
        staged_welford,
    ],
    "batchnorm_backward": [
        batchnorm_backward.RIGHT.obj,
        backward_means,
        backward_staged,
        backward_jacobian,
        backward_loops,
    ],
    "batchnorm_jacobian": [
        batchnorm_jacobian.RIGHT.obj,
        jacobian_projection,
        jacobian_index_by_index,
        jacobian_of_staged,
        jacobian_welford,
        jacobian_complex_step,
    ],
    "batchnorm_inference_backward": [
        batchnorm_inference_backward.RIGHT.obj,
        inference_direct,
        inference_affine,
        inference_loops,
        inference_einsum,
    ],
}
