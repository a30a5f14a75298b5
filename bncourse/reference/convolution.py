"""Batch norm on images, its relatives layer norm and group norm, and folding into a layer.

Images are (N, C, H, W): examples, channels, height, width.
"""

import numpy as np

# The axes that share one statistic in spatial batch norm: all but the channel axis.
SPATIAL_AXES = (0, 2, 3)


def spatial_batchnorm_forward(x, gamma, beta, eps=1e-5):
    r"""Return the batch-normalised images and what backward needs.

    (C1) mean_c and biased var_c are taken over n, h and w: N H W numbers for each channel.
    (C2) y_nchw = gamma_c x_hat_nchw + beta_c, x_hat_nchw = (x_nchw - mean_c) / sqrt(var_c + eps).

    Args:
        x: (N, C, H, W) float array, a batch of N images with C channels.
        gamma, beta: (C,) float arrays, learned scale and shift of each channel.
        eps: positive scalar in the units of the variance.

    Returns:
        y, (N, C, H, W), and cache, a dict with ``x_hat`` (N, C, H, W), ``inv_std`` (C,) and
        ``gamma`` (C,).

    Raises:
        ValueError: if eps is not positive.

    >>> x = np.array([1.0, 3.0]).reshape(1, 1, 1, 2)
    >>> y, cache = spatial_batchnorm_forward(x, np.array([2.0]), np.array([5.0]), eps=1e-12)
    >>> y.ravel()
    array([3., 7.])

    Source: ioffe2015batch, section 3.2.
    """
    x_hat, inv_std = _standardize(x, SPATIAL_AXES, eps)
    cache = {"x_hat": x_hat, "inv_std": inv_std.reshape(-1), "gamma": gamma}
    return _per_channel(gamma) * x_hat + _per_channel(beta), cache


def spatial_batchnorm_backward(dy, cache):
    r"""Return the gradients of spatial batch norm with respect to x, gamma and beta.

    (C3) dbeta_c = sum dy, dgamma_c = sum dy x_hat, both over n, h and w, and
    dx = gamma_c inv_std_c (dy - mean(dy) - x_hat mean(dy x_hat)) with means over the same N H W
    numbers.

    Args:
        dy: (N, C, H, W) float array, the gradient that arrives.
        cache: the dict of ``spatial_batchnorm_forward``.

    Returns:
        dx (N, C, H, W), dgamma (C,) and dbeta (C,).

    Source: ioffe2015batch, section 3; the closed form is derived in the chapter.
    """
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dbeta = dy.sum(axis=SPATIAL_AXES)
    dgamma = (dy * x_hat).sum(axis=SPATIAL_AXES)
    count = dy.size / dy.shape[1]
    projected = dy - _per_channel(dbeta / count) - x_hat * _per_channel(dgamma / count)
    return _per_channel(gamma * inv_std) * projected, dgamma, dbeta


def layernorm_forward(x, gamma, beta, eps=1e-5):
    r"""Return the layer-normalised batch, each example by its own statistics, and the cache.

    (C4) mean_i = 1/D sum_j x_ij, biased var_i = 1/D sum_j (x_ij - mean_i)^2 and
    y_ij = gamma_j (x_ij - mean_i) / sqrt(var_i + eps) + beta_j.

    Args:
        x: (N, D) float array; N may be 1.
        gamma, beta: (D,) float arrays, one scale and shift for each feature.
        eps: positive scalar in the units of the variance.

    Returns:
        y, (N, D), and cache, a dict with ``x_hat`` (N, D), ``inv_std`` (N,) and ``gamma`` (D,).

    Raises:
        ValueError: if eps is not positive.

    >>> x = np.array([[1.0, 3.0], [10.0, 30.0]])
    >>> layernorm_forward(x, np.ones(2), np.zeros(2), eps=1e-12)[0]
    array([[-1.,  1.],
           [-1.,  1.]])

    Source: ba2016layer.
    """
    x_hat, inv_std = _standardize(x, 1, eps)
    cache = {"x_hat": x_hat, "inv_std": inv_std.reshape(-1), "gamma": gamma}
    return gamma * x_hat + beta, cache


def layernorm_backward(dy, cache):
    r"""Return the gradients of layer norm with respect to x, gamma and beta.

    (C5) With g = dy gamma: dx = inv_std_i (g - mean_j(g) - x_hat mean_j(g x_hat)); gamma stays
    inside the means, because it varies along the axis they run over. dgamma_j = sum_i dy x_hat and
    dbeta_j = sum_i dy.

    Args:
        dy: (N, D) float array, the gradient that arrives.
        cache: the dict of ``layernorm_forward``.

    Returns:
        dx (N, D), dgamma (D,) and dbeta (D,).

    Source: ba2016layer; the closed form is derived in the chapter.
    """
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    g = dy * gamma
    along = g.mean(axis=1, keepdims=True) + x_hat * (g * x_hat).mean(axis=1, keepdims=True)
    return inv_std[:, None] * (g - along), (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def groupnorm_forward(x, gamma, beta, groups, eps=1e-5):
    r"""Return the images normalised by groups of neighbouring channels, example by example.

    (C6) Channels g C/groups to (g + 1) C/groups - 1 form group g. Its mean and biased variance
    are taken over those channels, h and w of one example; gamma and beta stay per channel.
    groups = 1 normalises the whole image, groups = C is instance norm.

    Args:
        x: (N, C, H, W) float array; N may be 1.
        gamma, beta: (C,) float arrays, one scale and shift for each channel.
        groups: the number of groups, an integer that divides C.
        eps: positive scalar in the units of the variance.

    Returns:
        y, (N, C, H, W).

    Raises:
        ValueError: if groups does not divide C, or eps is not positive.

    Source: wu2018group.
    """
    channels = x.shape[1]
    if channels % groups:
        raise ValueError(
            f"groups must divide the number of channels. Received: groups={groups}, C={channels}"
        )
    grouped = x.reshape(len(x), groups, -1)
    x_hat = _standardize(grouped, 2, eps)[0].reshape(x.shape)
    return _per_channel(gamma) * x_hat + _per_channel(beta)


def fold_batchnorm(weight, bias, gamma, beta, mean, var, eps=1e-5):
    r"""Return the weight and bias of one layer that equals a layer followed by batch norm.

    (C7) With scale = gamma / sqrt(var + eps): weight' = scale weight, one factor for each output,
    and bias' = beta + scale (bias - mean).

    Args:
        weight: (out, ...) float array: (out, in) for a linear layer, (out, in, kernel ...) for a
            convolution over one, two or three axes.
        bias: (out,) float array; zeros for a layer without one.
        gamma, beta: (out,) float arrays, scale and shift of the batch norm.
        mean, var: (out,) float arrays, its running statistics.
        eps: positive scalar in the units of the variance.

    Returns:
        weight, shaped as before, and bias, (out,), both new arrays.

    >>> weight, bias = fold_batchnorm(
    ...     np.array([[2.0]]), np.array([1.0]), gamma=np.array([6.0]), beta=np.array([5.0]),
    ...     mean=np.array([2.0]), var=np.array([9.0]), eps=1e-16)
    >>> weight.item(), bias.item()
    (4.0, 3.0)

    Source: jacob2018quantization, section 3.2.
    """
    scale = gamma / np.sqrt(var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, beta + scale * (bias - mean)


def _standardize(x, axes, eps):
    """Return x_hat and inv_std; the statistics over ``axes`` keep their dimensions."""
    if eps <= 0:
        raise ValueError(f"eps must be positive. Received: eps={eps}")
    # The mean goes first: E[x^2] - E[x]^2 cancels when the mean is large.
    centred = x - x.mean(axis=axes, keepdims=True)
    inv_std = 1 / np.sqrt((centred**2).mean(axis=axes, keepdims=True) + eps)
    return centred * inv_std, inv_std


def _per_channel(values):
    """Return a (C,) array in a shape that meets (N, C, H, W) on its channel axis."""
    return values[:, None, None]
