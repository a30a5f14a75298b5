"""The forward pass of batch normalization, in training and at inference."""

import numpy as np


def batch_statistics(x):
    r"""Return the mean and the biased variance of each feature.

    (F1) mean_j = 1/N sum_i x_ij,  (F2) var_j = 1/N sum_i (x_ij - mean_j)^2.

    The mean is subtracted before squaring: E[x^2] - E[x]^2 cancels when the mean is large.

    Args:
        x: (N, D) float array, a batch of N examples with D features.

    Returns:
        mean and biased var, both (D,).

    >>> mean, var = batch_statistics(np.array([[1.0], [3.0]]))
    >>> mean.item(), var.item()
    (2.0, 1.0)

    Source: ioffe2015batch, algorithm 1; chan1983algorithms for the two passes.
    """
    mean = x.mean(axis=0)
    var = ((x - mean) ** 2).mean(axis=0)
    return mean, var


def normalize(x, mean, var, eps=1e-5):
    r"""Return x with the given mean removed and the given variance scaled to about one.

    (F3) x_hat_ij = (x_ij - mean_j) / sqrt(var_j + eps).

    Args:
        x: (N, D) float array.
        mean: (D,) float array.
        var: (D,) float array, not negative.
        eps: positive scalar in the units of var.

    Returns:
        x_hat, (N, D).

    Raises:
        ValueError: if eps is not positive.

    >>> x = np.array([[1.0], [3.0]])
    >>> normalize(x, np.array([2.0]), np.array([1.0]), eps=1e-12).ravel()
    array([-1.,  1.])

    Source: ioffe2015batch, algorithm 1.
    """
    if eps <= 0:
        raise ValueError(f"eps must be positive. Received: eps={eps}")
    return (x - mean) / np.sqrt(var + eps)


def batchnorm_forward(x, gamma, beta, eps=1e-5):
    r"""Return the batch-normalised, scaled and shifted batch, and what backward needs.

    (F4) y_ij = gamma_j x_hat_ij + beta_j, with x_hat of (F3) and the statistics of this batch.

    Args:
        x: (N, D) float array.
        gamma, beta: (D,) float arrays, learned scale and shift.
        eps: positive scalar in the units of the variance.

    Returns:
        y, (N, D), and cache, a dict with ``x_hat`` (N, D), ``inv_std`` (D,) and ``gamma`` (D,).

    Source: ioffe2015batch, algorithm 1.
    """
    mean, var = batch_statistics(x)
    x_hat = normalize(x, mean, var, eps)
    cache = {"x_hat": x_hat, "inv_std": 1 / np.sqrt(var + eps), "gamma": gamma}
    return gamma * x_hat + beta, cache


def update_running(running_mean, running_var, x, momentum=0.1):
    r"""Return the running statistics after one more training batch, PyTorch's convention.

    (F6) running <- (1 - momentum) running + momentum new, where the new variance is unbiased,
    N / (N - 1) times the biased one.

    Args:
        running_mean, running_var: (D,) float arrays, before the batch.
        x: (N, D) float array with N >= 2.
        momentum: weight of the new value, between 0 and 1 (Keras's momentum is one minus it).

    Returns:
        running_mean and running_var after the batch, new (D,) arrays.

    Raises:
        ValueError: if the batch has fewer than two examples; its unbiased variance does not exist.

    Source: ioffe2015batch, algorithm 2; torch.nn.BatchNorm1d for the convention.
    """
    count = len(x)
    if count < 2:
        raise ValueError(f"An unbiased variance needs at least 2 examples. Received: N={count}")
    mean, var = batch_statistics(x)
    unbiased_var = var * count / (count - 1)
    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var = (1 - momentum) * running_var + momentum * unbiased_var
    return new_mean, new_var


def batchnorm_inference(x, gamma, beta, running_mean, running_var, eps=1e-5):
    r"""Return the batch normalised with running statistics: each example on its own.

    (F7) y_ij = gamma_j (x_ij - running_mean_j) / sqrt(running_var_j + eps) + beta_j.

    Args:
        x: (N, D) float array; N may be 1.
        gamma, beta, running_mean, running_var: (D,) float arrays.
        eps: positive scalar in the units of the variance.

    Returns:
        y, (N, D).

    Source: ioffe2015batch, algorithm 2.
    """
    return gamma * normalize(x, running_mean, running_var, eps) + beta


def merge_statistics(count_a, mean_a, var_a, count_b, mean_b, var_b):
    r"""Return count, mean and biased variance of the union of two batches.

    (F8) With delta = mean_b - mean_a and count = count_a + count_b:
    mean = mean_a + delta count_b / count,
    var = (count_a var_a + count_b var_b) / count + delta^2 count_a count_b / count^2.

    Args:
        count_a, count_b: numbers of examples, integers of at least 0, not both of them 0.
        mean_a, mean_b: (D,) float arrays.
        var_a, var_b: (D,) float arrays, biased variances.

    Returns:
        count (an integer), mean (D,) and biased var (D,).

    Source: chan1983algorithms.
    """
    count = count_a + count_b
    delta = mean_b - mean_a
    mean = mean_a + delta * (count_b / count)
    within = (count_a * var_a + count_b * var_b) / count
    between = delta**2 * (count_a / count) * (count_b / count)
    return count, mean, within + between
