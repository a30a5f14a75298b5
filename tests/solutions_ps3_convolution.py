"""Correct solutions of problem set 3, written as differently as correct solutions are."""

import math

import numpy as np

from bncourse.exercises.ps3_convolution import (
    fold_batchnorm,
    groupnorm_forward,
    layernorm_backward,
    layernorm_forward,
    spatial_batchnorm_backward,
    spatial_batchnorm_forward,
)

# --- spatial_batchnorm_forward ----------------------------------------------------------------


def spatial_as_rows(x, gamma, beta, eps=1e-5):
    n, c, h, w = x.shape
    rows = x.transpose(0, 2, 3, 1).reshape(n * h * w, c)
    inv_std = 1 / np.sqrt(rows.var(axis=0) + eps)
    rows_hat = (rows - rows.mean(axis=0)) * inv_std

    def back(values):
        return values.reshape(n, h, w, c).transpose(0, 3, 1, 2)

    cache = {"x_hat": back(rows_hat), "inv_std": inv_std, "gamma": gamma}
    return back(gamma * rows_hat + beta), cache


def spatial_einsum(x, gamma, beta, eps=1e-5):
    count = x.size // x.shape[1]
    mean = np.einsum("nchw->c", x) / count
    centred = x - mean[:, None, None]
    inv_std = (np.einsum("nchw,nchw->c", centred, centred) / count + eps) ** -0.5
    x_hat = np.einsum("nchw,c->nchw", centred, inv_std)
    y = np.einsum("nchw,c->nchw", x_hat, gamma) + beta[:, None, None]
    return y, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def spatial_channel_by_channel(x, gamma, beta, eps=1e-5):
    y, x_hat, inv_std = np.empty_like(x), np.empty_like(x), np.empty_like(gamma)
    for c in range(x.shape[1]):
        plane = x[:, c]
        mean = math.fsum(plane.ravel()) / plane.size
        var = math.fsum((v - mean) ** 2 for v in plane.ravel()) / plane.size
        inv_std[c] = 1 / math.sqrt(var + eps)
        x_hat[:, c] = (plane - np.asarray(mean, x.dtype)) * inv_std[c]
        y[:, c] = gamma[c] * x_hat[:, c] + beta[c]
    return y, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def spatial_merged(x, gamma, beta, eps=1e-5):
    # Chan's rule, image by image: a running count, mean and sum of squared deviations.
    c, h, w = x.shape[1:]
    count, mean, squares = 0, np.zeros(c, x.dtype), np.zeros(c, x.dtype)
    for image in x:
        image_mean = image.mean(axis=(1, 2))
        delta, total = image_mean - mean, count + h * w
        squares = squares + image.var(axis=(1, 2)) * h * w + delta**2 * count * h * w / total
        mean, count = mean + delta * h * w / total, total
    inv_std = 1 / np.sqrt(squares / count + eps)
    x_hat = (x - mean[None, :, None, None]) * inv_std[None, :, None, None]
    y = np.moveaxis(gamma * np.moveaxis(x_hat, 1, -1) + beta, -1, 1)
    return y, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma, "extra": "is fine"}


# --- spatial_batchnorm_backward ---------------------------------------------------------------


def spatial_backward_staged(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    count = dy.size // dy.shape[1]
    s = inv_std[None, :, None, None]
    centred = x_hat / s
    dx_hat = dy * gamma[None, :, None, None]
    dvar = (dx_hat * centred * -0.5 * s**3).sum(axis=(0, 2, 3), keepdims=True)
    dmean = (-dx_hat * s).sum(axis=(0, 2, 3), keepdims=True)
    dmean = dmean - 2 * dvar * centred.mean(axis=(0, 2, 3), keepdims=True)
    dx = dx_hat * s + 2 * dvar * centred / count + dmean / count
    return dx, np.sum(dy * x_hat, axis=(0, 2, 3)), np.sum(dy, axis=(0, 2, 3))


def spatial_backward_rows(dy, cache):
    n, c, h, w = dy.shape
    rows = dy.transpose(0, 2, 3, 1).reshape(-1, c)
    rows_hat = cache["x_hat"].transpose(0, 2, 3, 1).reshape(-1, c)
    dbeta, dgamma = rows.sum(axis=0), (rows * rows_hat).sum(axis=0)
    m = len(rows)
    dx = cache["gamma"] * cache["inv_std"] / m * (m * rows - dbeta - rows_hat * dgamma)
    return dx.reshape(n, h, w, c).transpose(0, 3, 1, 2), dgamma, dbeta


def spatial_backward_jacobian(dy, cache):
    # One channel is one feature: its Jacobian is a projection, divided by the deviation.
    dx = np.empty_like(dy)
    for c in range(dy.shape[1]):
        v = cache["x_hat"][:, c].reshape(-1, 1)
        ones = np.ones_like(v)
        jacobian = np.eye(len(v), dtype=v.dtype) - (ones @ ones.T + v @ v.T) / len(v)
        flat = cache["gamma"][c] * cache["inv_std"][c] * jacobian @ dy[:, c].reshape(-1)
        dx[:, c] = flat.reshape(dy[:, c].shape)
    dgamma = np.einsum("nchw,nchw->c", dy, cache["x_hat"])
    return dx, dgamma, np.einsum("nchw->c", dy)


# --- layernorm_forward ------------------------------------------------------------------------


def layer_transposed(x, gamma, beta, eps=1e-5):
    columns = x.T
    inv_std = (columns.var(axis=0) + eps) ** -0.5
    x_hat = ((columns - columns.mean(axis=0)) * inv_std).T
    return x_hat * gamma + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_rows(x, gamma, beta, eps=1e-5):
    x_hat, inv_std = np.empty_like(x), np.empty(len(x), x.dtype)
    for i, row in enumerate(x):
        centred = row - row.sum() / len(row)
        inv_std[i] = 1 / np.sqrt(centred @ centred / len(row) + eps)
        x_hat[i] = centred * inv_std[i]
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_einsum(x, gamma, beta, eps=1e-5):
    d = x.shape[1]
    centred = x @ (np.eye(d, dtype=x.dtype) - np.full((d, d), 1 / d, x.dtype))
    inv_std = 1 / np.sqrt(np.einsum("ij,ij->i", centred, centred) / d + eps)
    x_hat = np.einsum("ij,i->ij", centred, inv_std)
    return np.einsum("ij,j->ij", x_hat, gamma) + beta, {
        "x_hat": x_hat,
        "inv_std": inv_std,
        "gamma": gamma,
    }


# --- layernorm_backward -----------------------------------------------------------------------


def layer_backward_staged(dy, cache):
    x_hat, s, gamma = cache["x_hat"], cache["inv_std"][:, None], cache["gamma"]
    d = dy.shape[1]
    centred = x_hat / s
    dx_hat = dy * gamma
    dvar = (-0.5 * dx_hat * centred * s**3).sum(axis=1, keepdims=True)
    dmean = (-dx_hat * s).sum(axis=1, keepdims=True)
    dx = dx_hat * s + 2 * dvar * centred / d + dmean / d
    return dx, np.einsum("ij,ij->j", dy, x_hat), np.einsum("ij->j", dy)


def layer_backward_jacobian(dy, cache):
    dx = np.empty_like(dy)
    for i, row in enumerate(cache["x_hat"]):
        d = len(row)
        projection = np.eye(d, dtype=row.dtype) - (1 + np.outer(row, row)) / d
        dx[i] = cache["inv_std"][i] * (projection @ (cache["gamma"] * dy[i]))
    return dx, np.diag(dy.T @ cache["x_hat"]).copy(), np.ones(len(dy), dy.dtype) @ dy


# --- groupnorm_forward ------------------------------------------------------------------------


def group_slices(x, gamma, beta, groups, eps=1e-5):
    size = x.shape[1] // groups
    y = np.empty_like(x)
    for start in range(0, x.shape[1], size):
        here = slice(start, start + size)
        part = x[:, here] - x[:, here].mean(axis=(1, 2, 3), keepdims=True)
        x_hat = part / np.sqrt(np.square(part).mean(axis=(1, 2, 3), keepdims=True) + eps)
        y[:, here] = gamma[here, None, None] * x_hat + beta[here, None, None]
    return y


def group_membership(x, gamma, beta, groups, eps=1e-5):
    # A 0/1 matrix says which channel belongs to which group; statistics are matrix products.
    c, pixels = x.shape[1], x.shape[2] * x.shape[3]
    member = (np.arange(c) * groups // c == np.arange(groups)[:, None]).astype(x.dtype)
    count = pixels * c // groups
    mean = np.einsum("gc,nchw,gd->nd", member, x, member) / count
    centred = x - mean[:, :, None, None]
    var = np.einsum("gc,nchw,gd->nd", member, centred**2, member) / count
    y = centred * (gamma / np.sqrt(var + eps))[:, :, None, None]
    return y + beta[None, :, None, None]


def group_example_by_example(x, gamma, beta, groups, eps=1e-5):
    images = []
    for image in x:
        parts = np.split(image, groups)
        hats = [(part - part.mean()) / np.sqrt(part.var() + eps) for part in parts]
        images.append(np.concatenate(hats).transpose(1, 2, 0) * gamma + beta)
    return np.stack(images).transpose(0, 3, 1, 2).astype(x.dtype)


# --- fold_batchnorm ---------------------------------------------------------------------------


def fold_flattened(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma * (var + eps) ** -0.5
    rows = weight.reshape(len(weight), -1)
    return (np.diag(scale) @ rows).reshape(weight.shape), scale * bias - scale * mean + beta


def fold_einsum(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    return np.einsum("o...,o->o...", weight, scale), beta - scale * (mean - bias)


def fold_loop(weight, bias, gamma, beta, mean, var, eps=1e-5):
    new_weight, new_bias = weight.copy(), bias.copy()
    for o in range(len(weight)):
        std = math.sqrt(var[o] + eps)
        new_weight[o] *= gamma[o] / std
        new_bias[o] = gamma[o] * (bias[o] - mean[o]) / std + beta[o]
    return new_weight, new_bias


def fold_transposed(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    return (weight.T * scale).T, (bias - mean) * scale + beta


# The right solutions in which the specs make their slips are judged as any other.
CORRECT = {
    "spatial_batchnorm_forward": [
        spatial_batchnorm_forward.RIGHT.obj,
        spatial_as_rows,
        spatial_einsum,
        spatial_channel_by_channel,
        spatial_merged,
    ],
    "spatial_batchnorm_backward": [
        spatial_batchnorm_backward.RIGHT.obj,
        spatial_backward_staged,
        spatial_backward_rows,
        spatial_backward_jacobian,
    ],
    "layernorm_forward": [
        layernorm_forward.RIGHT.obj,
        layer_transposed,
        layer_rows,
        layer_einsum,
    ],
    "layernorm_backward": [
        layernorm_backward.RIGHT.obj,
        layer_backward_staged,
        layer_backward_jacobian,
    ],
    "groupnorm_forward": [
        groupnorm_forward.RIGHT.obj,
        group_slices,
        group_membership,
        group_example_by_example,
    ],
    "fold_batchnorm": [
        fold_batchnorm.RIGHT.obj,
        fold_flattened,
        fold_einsum,
        fold_loop,
        fold_transposed,
    ],
}
