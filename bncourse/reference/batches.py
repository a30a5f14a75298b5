"""Batch norm whose batch is not one whole: ghosts of it, corrected ones, mixed ones, split ones."""

import numpy as np

# What Batch Layer Normalization takes off both of its weights.
SMALL = 1e-4


def ghost_batchnorm(x, gamma, beta, ghost_size, eps=1e-5):
    r"""Return the batch normalised in ghost batches, each with its own statistics.

    Examples k ghost_size to (k + 1) ghost_size - 1 form ghost k, and the last ghost holds what is
    left. In each, y = gamma (x - mean) / sqrt(var + eps) + beta with its mean and biased variance.

    Args:
        x: (N, D) float array.
        gamma, beta: (D,) float arrays, learned scale and shift.
        ghost_size: the number of examples in a ghost, an integer of at least 1.
        eps: positive scalar in the units of the variance.

    Returns:
        y, (N, D).

    Raises:
        ValueError: if ghost_size is smaller than 1, or eps is not positive.

    >>> x = np.array([[1.0], [3.0], [10.0], [30.0]])
    >>> ghost_batchnorm(x, np.ones(1), np.zeros(1), ghost_size=2, eps=1e-12).ravel()
    array([-1.,  1., -1.,  1.])

    Source: hoffer2017train.
    """
    if ghost_size < 1:
        raise ValueError(f"ghost_size must be at least 1. Received: ghost_size={ghost_size}")
    ghosts = [x[start : start + ghost_size] for start in range(0, len(x), ghost_size)]
    x_hat = np.concatenate([_standardize(ghost, 0, eps) for ghost in ghosts])
    return gamma * x_hat + beta


def batch_renorm_forward(x, gamma, beta, running_mean, running_std, r_max, d_max, eps=1e-5):
    r"""Return the batch-renormalised batch, and the two corrections.

    With std = sqrt(var + eps), of the biased variance of the batch:
    r = clip(std / running_std, 1 / r_max, r_max),
    d = clip((mean - running_mean) / running_std, -d_max, d_max),
    y = gamma ((x - mean) / std r + d) + beta.

    Where nothing is clipped, y is what the running statistics give.

    Args:
        x: (N, D) float array.
        gamma, beta: (D,) float arrays, learned scale and shift.
        running_mean, running_std: (D,) float arrays; running_std is positive, eps is in it.
        r_max: scalar of at least 1.
        d_max: scalar of at least 0.
        eps: positive scalar in the units of the variance.

    Returns:
        y, (N, D), and r and d, both (D,).

    Raises:
        ValueError: if r_max is smaller than 1, d_max is negative, or eps is not positive.

    >>> y, r, d = batch_renorm_forward(
    ...     np.array([[1.0], [3.0]]), np.ones(1), np.zeros(1),
    ...     running_mean=np.array([1.0]), running_std=np.array([2.0]), r_max=3, d_max=5, eps=1e-12)
    >>> y.ravel(), round(r.item(), 9), d.item()
    (array([0., 1.]), 0.5, 0.5)

    Source: ioffe2017renorm, algorithm 1.
    """
    if r_max < 1:
        raise ValueError(f"r_max must be at least 1. Received: r_max={r_max}")
    if d_max < 0:
        raise ValueError(f"d_max must be at least 0. Received: d_max={d_max}")
    mean, std = _mean_and_std(x, 0, eps)
    r = np.clip(std / running_std, 1 / r_max, r_max)
    d = np.clip((mean - running_mean) / running_std, -d_max, d_max)
    y = gamma * ((x - mean) / std * r + d) + beta
    return y, r.reshape(-1), d.reshape(-1)


def batch_layer_norm(x, gamma, beta, batch_size, running_mean=None, running_var=None, eps=1e-3):
    r"""Return a mixture of batch norm and layer norm, weighed by the inverse batch size.

    With x_b normalised by the statistics of its feature, x_f by those of its example, both with
    the biased variance, and w = 1 / batch_size:
    y = gamma ((w - 1e-4) x_f + (1 - w - 1e-4) x_b) / sqrt(D) + beta.

    Args:
        x: (N, D) float array.
        gamma, beta: (D,) float arrays, learned scale and shift.
        batch_size: the number of examples in a training batch, an integer of at least 1.
        running_mean, running_var: (D,) float arrays that stand for the statistics of the features
            of this batch, each on its own; None means those of the batch.
        eps: positive scalar in the units of the variance.

    Returns:
        y, (N, D).

    Raises:
        ValueError: if batch_size is smaller than 1, or eps is not positive.

    Source: ziaee2022batch, and the code that its authors published with it.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1. Received: batch_size={batch_size}")
    mean, std = _mean_and_std(x, 0, eps)
    mean = mean if running_mean is None else running_mean
    std = std if running_var is None else np.sqrt(running_var + eps)
    by_batch = (x - mean) / std
    by_example = _standardize(x, 1, eps)
    weight = 1 / batch_size
    mixed = (weight - SMALL) * by_example + (1 - weight - SMALL) * by_batch
    return gamma * mixed / np.sqrt(x.shape[1]) + beta


def sync_batch_statistics(shards):
    r"""Return the mean and the biased variance of the batch that lies on several processes.

    count = sum_k n_k, mean = sum_k sum_i x_i / count, var = sum_k sum_i (x_i - mean)^2 / count.

    Args:
        shards: a sequence of (n_k, D) float arrays, one for each process.

    Returns:
        mean and biased var, both (D,).

    >>> mean, var = sync_batch_statistics([np.array([[1.0]]), np.array([[3.0], [5.0]])])
    >>> mean.item(), round(var.item(), 3)
    (3.0, 2.667)

    Source: peng2018megdet for the layer; chan1983algorithms for the two passes.
    """
    count = sum(len(shard) for shard in shards)
    mean = sum(shard.sum(axis=0) for shard in shards) / count
    squares = sum(((shard - mean) ** 2).sum(axis=0) for shard in shards)
    return mean, squares / count


def _mean_and_std(x, axis, eps):
    """Return mean and sqrt(biased variance + eps) over an axis, which stays with length 1."""
    if eps <= 0:
        raise ValueError(f"eps must be positive. Received: eps={eps}")
    mean = x.mean(axis=axis, keepdims=True)
    # The mean goes first: E[x^2] - E[x]^2 cancels when the mean is large.
    return mean, np.sqrt(((x - mean) ** 2).mean(axis=axis, keepdims=True) + eps)


def _standardize(x, axis, eps):
    mean, std = _mean_and_std(x, axis, eps)
    return (x - mean) / std
