"""The backward pass of batch normalization: numerical, staged, closed form, Jacobian, inference."""

import numpy as np

from bncourse.reference.forward import batch_statistics, normalize


def numerical_gradient(f, x, h=1e-5):
    r"""Return the gradient of a scalar function by central differences.

    (B1) grad_i = (f(x + h e_i) - f(x - h e_i)) / (2 h), with an error of order h^2.

    Args:
        f: function of an array with the shape of x; returns a number. It must not keep or change
            its argument.
        x: array of any shape; integers are taken as float64. It is not changed.
        h: positive scalar, the step, in the units of x.

    Returns:
        grad, float64, with the shape of x.

    Raises:
        ValueError: if h is not positive.

    >>> numerical_gradient(lambda x: (x**2).sum(), np.array([1, 3])).round(6)
    array([2., 6.])

    Source: nocedal2006numerical.
    """
    if h <= 0:
        raise ValueError(f"h must be positive. Received: h={h}")
    point = np.array(x, dtype=np.float64)
    grad = np.empty_like(point)
    for index in np.ndindex(point.shape):
        value = point[index]
        point[index] = value + h
        above = f(point)
        point[index] = value - h
        below = f(point)
        # Adding h back would leave a rounding error behind.
        point[index] = value
        grad[index] = (above - below) / (2 * h)
    return grad


def batchnorm_backward_staged(dy, x, gamma, eps=1e-5):
    r"""Return the gradient of every node of the graph of batch norm, in backward order.

    (B2) dx_hat = dy gamma,
    (B3) dvar = -1/2 sum_i dx_hat_i (x_i - mean) (var + eps)^(-3/2),
    (B4) dmean = -inv_std sum_i dx_hat_i, for the part through var is zero: sum_i (x_i - mean) = 0,
    (B5) dx = dx_hat inv_std + dvar 2 (x - mean) / N + dmean / N,
    (B6) dgamma = sum_i dy_i x_hat_i, dbeta = sum_i dy_i.

    Args:
        dy: (N, D) float array, the gradient that arrives.
        x: (N, D) float array, the batch of the forward pass.
        gamma: (D,) float array.
        eps: positive scalar in the units of the variance.

    Returns:
        a dict with ``dx_hat`` and ``dx``, (N, D), and ``dvar``, ``dmean``, ``dgamma`` and
        ``dbeta``, (D,).

    Raises:
        ValueError: if eps is not positive.

    Source: ioffe2015batch, section 3.
    """
    mean, var = batch_statistics(x)
    x_hat = normalize(x, mean, var, eps)
    inv_std = 1 / np.sqrt(var + eps)
    centred = x - mean
    dx_hat = dy * gamma
    dvar = -0.5 * (dx_hat * centred).sum(axis=0) * inv_std**3
    dmean = -inv_std * dx_hat.sum(axis=0)
    return {
        "dx_hat": dx_hat,
        "dvar": dvar,
        "dmean": dmean,
        "dx": dx_hat * inv_std + (dvar * 2 * centred + dmean) / len(x),
        "dgamma": (dy * x_hat).sum(axis=0),
        "dbeta": dy.sum(axis=0),
    }


def batchnorm_backward(dy, cache):
    r"""Return the gradients of batch norm in closed form, from the cache of the forward pass.

    (B7) dx = gamma inv_std (dy - mean(dy) - x_hat mean(dy x_hat)), means over the batch;
    (B6) dgamma = sum_i dy_i x_hat_i, dbeta = sum_i dy_i.

    It follows that (B9) sum_i dx_i = 0 and sum_i dx_i x_hat_i = gamma eps inv_std^3 dgamma.

    Args:
        dy: (N, D) float array, the gradient that arrives.
        cache: dict of ``batchnorm_forward``: ``x_hat`` (N, D), ``inv_std`` (D,), ``gamma`` (D,).

    Returns:
        dx (N, D), dgamma (D,) and dbeta (D,).

    Source: ioffe2015batch, section 3; santurkar2018how for the closed form.
    """
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dy_x_hat = dy * x_hat
    dx = gamma * inv_std * (dy - dy.mean(axis=0) - x_hat * dy_x_hat.mean(axis=0))
    return dx, dy_x_hat.sum(axis=0), dy.sum(axis=0)


def batchnorm_jacobian(x, eps=1e-5):
    r"""Return the Jacobian of the normalisation of one feature.

    (B8) J = inv_std (I - 1 1^T / N - x_hat x_hat^T / N), where J_ik is the derivative of x_hat_i
    with respect to x_k. J is symmetric.

    Args:
        x: (N,) float array, one feature of the batch.
        eps: positive scalar in the units of the variance.

    Returns:
        J, (N, N).

    Raises:
        ValueError: if eps is not positive.

    >>> batchnorm_jacobian(np.array([1.0, 3.0]), eps=3.0)
    array([[ 0.1875, -0.1875],
           [-0.1875,  0.1875]])

    Source: ioffe2015batch, section 3; derived in the chapter.
    """
    mean, var = batch_statistics(x)
    x_hat = normalize(x, mean, var, eps)
    count = len(x)
    return (np.eye(count) - 1 / count - np.outer(x_hat, x_hat) / count) / np.sqrt(var + eps)


def batchnorm_inference_backward(dy, x, gamma, running_mean, running_var, eps=1e-5):
    r"""Return the gradients of batch norm at inference, where the statistics are constants.

    (B10) dx = dy gamma / sqrt(running_var + eps), dgamma = sum_i dy_i x_hat_i,
    dbeta = sum_i dy_i, with x_hat from the running statistics.

    Args:
        dy: (N, D) float array, the gradient that arrives.
        x: (N, D) float array; N may be 1.
        gamma, running_mean, running_var: (D,) float arrays.
        eps: positive scalar in the units of the variance.

    Returns:
        dx (N, D), dgamma (D,) and dbeta (D,).

    Raises:
        ValueError: if eps is not positive.

    Source: ioffe2015batch, algorithm 2, differentiated.
    """
    x_hat = normalize(x, running_mean, running_var, eps)
    dx = dy * gamma / np.sqrt(running_var + eps)
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)
