"""Correct solutions of problem set 7, written as differently as correct solutions are."""

import numpy as np
import torch
import torch.distributed as dist

from bncourse.exercises.ps7_batches import ghosts, mixture, renorm, sync

# --- ghost_batchnorm ------------------------------------------------------------------------------


def ghost_by_labels(x, gamma, beta, ghost_size, eps=1e-5):
    # A 0/1 matrix says which example belongs to which ghost; statistics are matrix products.
    label = np.arange(len(x)) // ghost_size
    member = (label == np.arange(label[-1] + 1)[:, None]).astype(x.dtype)
    count = member.sum(1, keepdims=True)
    centred = x - (member @ x / count)[label]
    var = member @ centred**2 / count
    return centred * (gamma / np.sqrt(var + eps))[label] + beta


def ghost_split(x, gamma, beta, ghost_size, eps=1e-5):
    ghosts = np.split(x, range(ghost_size, len(x), ghost_size))
    done = []
    for ghost in ghosts:
        centred = ghost - ghost.sum(axis=0) / len(ghost)
        inv_std = (np.einsum("nd,nd->d", centred, centred) / len(ghost) + eps) ** -0.5
        done.append(np.einsum("nd,d->nd", centred, gamma * inv_std) + beta)
    return np.vstack(done).astype(x.dtype)


def ghost_reshaped(x, gamma, beta, ghost_size, eps=1e-5):
    # All whole ghosts at once, then the rest as a batch of its own.
    whole = len(x) // ghost_size * ghost_size
    y = np.empty_like(x)
    for rows, size in ((slice(0, whole), ghost_size), (slice(whole, None), len(x) - whole)):
        if size and len(x[rows]):
            table = x[rows].reshape(-1, size, x.shape[1])
            mean = table.mean(axis=1, keepdims=True)
            var = np.square(table - mean).mean(axis=1, keepdims=True)
            y[rows] = ((table - mean) / np.sqrt(var + eps)).reshape(-1, x.shape[1])
    return y * gamma + beta


# --- batch_renorm_forward -------------------------------------------------------------------------


def renorm_as_an_affine_map(x, gamma, beta, running_mean, running_std, r_max, d_max, eps=1e-5):
    mean = np.average(x, axis=0)
    std = (np.square(x - mean).mean(0) + eps) ** 0.5
    r = np.minimum(np.maximum(std / running_std, 1.0 / r_max), r_max)
    d = np.maximum(np.minimum((mean - running_mean) / running_std, d_max), -d_max)
    factor = gamma * r / std
    return factor * (x - mean) + (gamma * d + beta), r, d


def renorm_feature_by_feature(x, gamma, beta, running_mean, running_std, r_max, d_max, eps=1e-5):
    y, r, d = np.empty_like(x), np.empty_like(gamma), np.empty_like(gamma)
    for j in range(x.shape[1]):
        column = x[:, j]
        mean = column.mean()
        std = np.sqrt(column.var() + eps)
        r[j] = sorted((1 / r_max, std / running_std[j], r_max))[1]
        d[j] = sorted((-d_max, (mean - running_mean[j]) / running_std[j], d_max))[1]
        y[:, j] = gamma[j] * ((column - mean) / std * r[j] + d[j]) + beta[j]
    return y, r, d


def renorm_from_the_running(x, gamma, beta, running_mean, running_std, r_max, d_max, eps=1e-5):
    # What inference gives, moved and stretched by what the bounds took away.
    mean, std = x.mean(axis=0), np.sqrt(x.var(axis=0) + eps)
    whole_r, whole_d = std / running_std, (mean - running_mean) / running_std
    r = np.where(whole_r > r_max, r_max, np.where(whole_r < 1 / r_max, 1 / r_max, whole_r))
    d = np.where(np.abs(whole_d) > d_max, np.sign(whole_d) * d_max, whole_d)
    inference = (x - running_mean) / running_std
    y = gamma * ((inference - whole_d) * (r / whole_r) + d) + beta
    return y.astype(x.dtype), r.astype(x.dtype), d.astype(x.dtype)


# --- batch_layer_norm -----------------------------------------------------------------------------


def mixture_transposed(x, gamma, beta, batch_size, running_mean=None, running_var=None, eps=1e-3):
    def standardized(values, mean=None, var=None):
        mean = values.mean(axis=0) if mean is None else mean
        var = np.var(values, axis=0) if var is None else var
        return (values - mean) * (var + eps) ** -0.5

    shares = 1 / batch_size - 1e-4, 1 - 1 / batch_size - 1e-4
    parts = standardized(x.T).T, standardized(x, running_mean, running_var)
    return gamma * (shares[0] * parts[0] + shares[1] * parts[1]) / x.shape[1] ** 0.5 + beta


def mixture_with_one_gamma(
    x, gamma, beta, batch_size, running_mean=None, running_var=None, eps=1e-3
):
    n, d = x.shape
    mean = np.full(n, 1 / n) @ x if running_mean is None else running_mean
    var = np.square(x - x.mean(0)).sum(0) / n if running_var is None else running_var
    across = x - x.mean(1)[:, None]
    across = across / np.sqrt(np.einsum("nd,nd->n", across, across) / d + eps)[:, None]
    down = (x - mean) / np.sqrt(var + eps)
    y = down + (across - down) / batch_size - 1e-4 * (across + down)
    return (y * (gamma / np.sqrt(d)) + beta).astype(x.dtype)


def mixture_example_by_example(
    x, gamma, beta, batch_size, running_mean=None, running_var=None, eps=1e-3
):
    means = running_mean if running_mean is not None else x.sum(axis=0) / len(x)
    variances = running_var if running_var is not None else x.var(axis=0)
    rows = []
    for row in x:
        of_row = (row - row.mean()) / (row.var() + eps) ** 0.5
        of_batch = (row - means) / (variances + eps) ** 0.5
        mixed = np.array([1 / batch_size, 1 - 1 / batch_size]) - 0.0001
        rows.append(mixed[0] * of_row + mixed[1] * of_batch)
    return (gamma * np.stack(rows) / np.sqrt(len(gamma)) + beta).astype(x.dtype)


# --- sync_batch_statistics ------------------------------------------------------------------------


def sync_whole_batch(x):
    # Every process sends all it has: right, and the most that can cross the network.
    shards = [None] * dist.get_world_size()
    dist.all_gather_object(shards, x.numpy())
    whole = np.concatenate(shards)
    return torch.from_numpy(whole.mean(axis=0)), torch.from_numpy(whole.var(axis=0))


def sync_shifted_sums(x):
    # One exchange: the sums of the distances from a point near all examples.
    near = x[0].clone()
    dist.broadcast(near, src=0)
    away = x - near
    sums = torch.cat([away.sum(0), (away**2).sum(0), torch.ones(1, dtype=x.dtype) * len(x)])
    dist.all_reduce(sums, op=dist.ReduceOp.SUM)
    first, second = sums[:-1].reshape(2, -1) / sums[-1]
    return near + first, second - first**2


def sync_in_float64(x):
    sums = torch.zeros(x.shape[1] + 1, dtype=torch.float64)
    sums[:-1], sums[-1] = x.double().sum(dim=0), x.shape[0]
    dist.all_reduce(sums, async_op=True).wait()
    mean = sums[:-1] / sums[-1]
    var = torch.einsum("nd,nd->d", x.double() - mean, x.double() - mean) / sums[-1]
    dist.all_reduce(var)
    return mean.to(x.dtype), var.to(x.dtype)


CORRECT = {
    "ghost_batchnorm": [
        ghosts.ghost_batchnorm,
        ghost_by_labels,
        ghost_split,
        ghost_reshaped,
    ],
    "batch_renorm_forward": [
        renorm.batch_renorm_forward,
        renorm_as_an_affine_map,
        renorm_feature_by_feature,
        renorm_from_the_running,
    ],
    "batch_layer_norm": [
        mixture.batch_layer_norm,
        mixture_transposed,
        mixture_with_one_gamma,
        mixture_example_by_example,
    ],
    "sync_batch_statistics": [
        sync.sync_batch_statistics,
        sync.sync_by_merging,
        sync_whole_batch,
        sync_shifted_sums,
        sync_in_float64,
    ],
}
