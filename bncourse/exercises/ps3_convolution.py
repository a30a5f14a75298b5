"""Problem set 3, convolutions and relatives in NumPy: its exercises and their known mistakes.

The mistakes are written as students write them, each whole and on its own: the sample class hands
them in, and the tests prove that each is rejected under its own name.
"""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.inputs import cast
from bncourse.reference import convolution

# Inputs that let no mistake hide: N, C, H, W all different, except in the one case where all are
# equal, so that a scale on the wrong axis broadcasts without an error; channels and images of
# different mean and scale; gamma and beta away from 1 and 0; a random upstream gradient.


def _images(rng, shape=(4, 3, 5, 6), offset=0.0, scale=1.0):
    """Return images whose channels differ in mean and scale, and whose images differ in mean."""
    n, c = shape[:2]
    means = rng.uniform(0.5, 2.0, (c, 1, 1)) * rng.choice([-1, 1], (c, 1, 1))
    scales = rng.uniform(0.5, 2.0, (c, 1, 1))
    images = means + scales * rng.standard_normal(shape) + rng.standard_normal((n, 1, 1, 1))
    return offset + scale * images


def _rows(rng, n=7, d=4, offset=0.0, scale=1.0):
    """Return an (n, d) batch whose rows and columns differ in mean and scale."""
    rows = rng.standard_normal((n, d)) * rng.uniform(0.5, 2.0, (n, 1))
    return offset + scale * (rows + rng.uniform(1.0, 3.0, d) + rng.uniform(-2.0, 2.0, (n, 1)))


def _away_from_one(rng, size):
    return rng.uniform(0.5, 2.0, size) * rng.choice([-1, 1], size)


def _scale_and_shift(rng, size):
    return {"gamma": _away_from_one(rng, size), "beta": _away_from_one(rng, size)}


def _channels_last_memory(x):
    """Return x with the same values, stored as NHWC and viewed as NCHW."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


# --- spatial_batchnorm_forward ----------------------------------------------------------------


def _spatial_forward_cases(rng):
    def given(shape=(4, 3, 5, 6), **options):
        return {"x": _images(rng, shape, **options), **_scale_and_shift(rng, shape[1])}

    stored_nhwc = given()
    constant = given()
    constant["x"][:, 1] = 3.0
    return {
        "random images": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "N, C, H and W all equal": Case(given((4, 4, 4, 4))),
        "a variance smaller than eps": Case(given(scale=1e-3) | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "a constant channel": Case(constant | {"eps": 1e-3}),
        "one image": Case(given((1, 3, 5, 4))),
        "images of one pixel": Case(given((7, 4, 1, 1))),
        "more channels than numbers per channel": Case(given((2, 15, 3, 1))),
        "stored as NHWC, viewed as NCHW": Case(
            stored_nhwc | {"x": _channels_last_memory(stored_nhwc["x"])}
        ),
        "float32": Case(cast(given(), np.float32), "float32"),
        # float32 stores x to 1e-3 here, so correct solutions agree to about 1e-3 only.
        "float32 with mean near 1e4": Case(
            cast(given(offset=1e4), np.float32), "float32", rtol=2e-2, noisy=True
        ),
    }


def spatial_per_pixel(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    y = gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)
    return y, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def spatial_per_image(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=(2, 3), keepdims=True)
    var = x.var(axis=(2, 3), keepdims=True)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    y = gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)
    return y, {"x_hat": x_hat, "inv_std": inv_std[:, :, 0, 0], "gamma": gamma}


def spatial_per_example(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    var = x.var(axis=(1, 2, 3), keepdims=True)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    y = gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)
    return y, {"x_hat": x_hat, "inv_std": inv_std[:, 0, 0, 0], "gamma": gamma}


def spatial_pooled(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(), x.var()
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    y = gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)
    return y, {"x_hat": x_hat, "inv_std": np.full_like(gamma, inv_std), "gamma": gamma}


def spatial_channels_last_axes(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def spatial_reshaped_without_transpose(x, gamma, beta, eps=1e-5):
    rows = x.reshape(-1, x.shape[1])
    mean, var = rows.mean(axis=0), rows.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (rows - mean) * inv_std
    y = (gamma * x_hat + beta).reshape(x.shape)
    return y, {"x_hat": x_hat.reshape(x.shape), "inv_std": inv_std, "gamma": gamma}


def spatial_reshaped_back_without_transpose(x, gamma, beta, eps=1e-5):
    rows = x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])
    mean, var = rows.mean(axis=0), rows.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (rows - mean) * inv_std
    y = (gamma * x_hat + beta).reshape(x.shape)
    return y, {"x_hat": x_hat.reshape(x.shape), "inv_std": inv_std, "gamma": gamma}


def spatial_average_of_variances(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = x.var(axis=(2, 3), keepdims=True).mean(axis=0, keepdims=True)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    y = gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)
    return y, {"x_hat": x_hat, "inv_std": inv_std.ravel(), "gamma": gamma}


def spatial_divided_by_n(x, gamma, beta, eps=1e-5):
    n = x.shape[0]
    mean = x.sum(axis=(0, 2, 3), keepdims=True) / n
    var = ((x - mean) ** 2).sum(axis=(0, 2, 3), keepdims=True) / n
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    y = gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)
    return y, {"x_hat": x_hat, "inv_std": inv_std.ravel(), "gamma": gamma}


def spatial_unbiased(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = x.var(axis=(0, 2, 3), keepdims=True, ddof=1)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    y = gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)
    return y, {"x_hat": x_hat, "inv_std": inv_std.ravel(), "gamma": gamma}


def spatial_cancel(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = (x**2).mean(axis=(0, 2, 3), keepdims=True) - mean**2
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    y = gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)
    return y, {"x_hat": x_hat, "inv_std": inv_std.ravel(), "gamma": gamma}


def spatial_without_eps(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = x.var(axis=(0, 2, 3), keepdims=True)
    inv_std = 1 / np.sqrt(var)
    x_hat = (x - mean) * inv_std
    y = gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)
    return y, {"x_hat": x_hat, "inv_std": inv_std.ravel(), "gamma": gamma}


def spatial_eps_outside(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = x.var(axis=(0, 2, 3), keepdims=True)
    inv_std = 1 / (np.sqrt(var) + eps)
    x_hat = (x - mean) * inv_std
    y = gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)
    return y, {"x_hat": x_hat, "inv_std": inv_std.ravel(), "gamma": gamma}


def spatial_gamma_along_width(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = x.var(axis=(0, 2, 3), keepdims=True)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std.ravel(), "gamma": gamma}


def spatial_gamma_along_height(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = x.var(axis=(0, 2, 3), keepdims=True)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    y = gamma[:, None] * x_hat + beta[:, None]
    return y, {"x_hat": x_hat, "inv_std": inv_std.ravel(), "gamma": gamma}


def spatial_gamma_per_example(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = x.var(axis=(0, 2, 3), keepdims=True)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    y = gamma.reshape(-1, 1, 1, 1) * x_hat + beta.reshape(-1, 1, 1, 1)
    return y, {"x_hat": x_hat, "inv_std": inv_std.ravel(), "gamma": gamma}


def spatial_statistics_not_reshaped(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    y = gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)
    return y, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def spatial_without_beta(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = x.var(axis=(0, 2, 3), keepdims=True)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    y = gamma.reshape(1, -1, 1, 1) * x_hat
    return y, {"x_hat": x_hat, "inv_std": inv_std.ravel(), "gamma": gamma}


def spatial_gamma_beta_swapped(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = x.var(axis=(0, 2, 3), keepdims=True)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    y = beta.reshape(1, -1, 1, 1) * x_hat + gamma.reshape(1, -1, 1, 1)
    return y, {"x_hat": x_hat, "inv_std": inv_std.ravel(), "gamma": gamma}


def spatial_cache_keeps_dimensions(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = x.var(axis=(0, 2, 3), keepdims=True)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    y = gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)
    return y, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def spatial_caches_std(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = x.var(axis=(0, 2, 3), keepdims=True)
    std = np.sqrt(var + eps)
    x_hat = (x - mean) / std
    y = gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)
    return y, {"x_hat": x_hat, "inv_std": std.ravel(), "gamma": gamma}


def spatial_without_cache(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = x.var(axis=(0, 2, 3), keepdims=True)
    x_hat = (x - mean) / np.sqrt(var + eps)
    return gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)


def spatial_in_place(x, gamma, beta, eps=1e-5):
    inv_std = 1 / np.sqrt(x.var(axis=(0, 2, 3), keepdims=True) + eps)
    x -= x.mean(axis=(0, 2, 3), keepdims=True)
    x *= inv_std
    y = gamma.reshape(1, -1, 1, 1) * x + beta.reshape(1, -1, 1, 1)
    return y, {"x_hat": x, "inv_std": inv_std.ravel(), "gamma": gamma}


spatial_batchnorm_forward = function_exercise(
    convolution.spatial_batchnorm_forward,
    returns=("y", {"cache": ("x_hat", "inv_std", "gamma")}),
    cases=_spatial_forward_cases,
    see="C2",
    mistakes=[
        Mistake(
            "statistics per pixel",
            spatial_per_pixel,
            "Each pixel position has a mean of its own: only axis 0 is reduced. All pixels of a "
            "channel share one mean, so reduce H and W too.",
            "C1",
        ),
        Mistake(
            "statistics per image",
            spatial_per_image,
            "Each image is normalised by itself, which is instance norm. Batch norm also takes the "
            "mean over the examples: reduce axis 0 too.",
            "C1",
        ),
        Mistake(
            "layer norm",
            spatial_per_example,
            "The channel axis is reduced and the batch axis is not: that is layer norm. Keep the "
            "channels apart and pool over N, H and W.",
            "C1",
        ),
        Mistake(
            "pooled channels",
            spatial_pooled,
            "One mean and one variance serve all channels. Each channel has its own: reduce every "
            "axis but axis 1.",
            "C1",
        ),
        Mistake(
            "channels-last axes",
            spatial_channels_last_axes,
            "The axes (0, 1, 2) are right for NHWC, where the channel comes last. The input is "
            "NCHW: the channel is axis 1.",
            "C1",
        ),
        Mistake(
            "reshaped without moving the channels",
            spatial_reshaped_without_transpose,
            "reshape(-1, C) reads the memory of NCHW as if the channel came last, so every row "
            "mixes pixels. Move the channel axis to the end first, then reshape.",
            "C1",
        ),
        Mistake(
            "reshaped back without moving the channels",
            spatial_reshaped_back_without_transpose,
            "The way back is missing a step: from (N*H*W, C) reshape to (N, H, W, C) first, then "
            "move the channels to axis 1.",
            "C2",
        ),
        Mistake(
            "average of the images' variances",
            spatial_average_of_variances,
            "The variance is the average of the variances of the images. It misses that the "
            "images' means differ: take squared distances from the channel's mean.",
            "C1",
        ),
        Mistake(
            "divided by N only",
            spatial_divided_by_n,
            "The sums run over N, H and W and are divided by N alone. Divide by N * H * W.",
            "C1",
        ),
        Mistake(
            "unbiased variance",
            spatial_unbiased,
            "The variance is the unbiased one, divided by N * H * W - 1. Normalise with the biased "
            "variance.",
            "C1",
        ),
        Mistake(
            "cancellation",
            spatial_cancel,
            "The variance is computed as E[x^2] - E[x]^2, which cancels when the mean is large. "
            "Subtract the mean before squaring.",
            "C1",
        ),
        Mistake(
            "eps missing",
            spatial_without_eps,
            "eps is missing under the root. A channel that hardly varies, such as a dead filter, "
            "is then blown up.",
            "C2",
        ),
        Mistake(
            "eps outside the root",
            spatial_eps_outside,
            "eps is added outside the root. It belongs to the variance: sqrt(var + eps).",
            "C2",
        ),
        Mistake(
            "gamma along the width",
            spatial_gamma_along_width,
            "gamma and beta of shape (C,) meet the last axis, the width. Give them the shape "
            "(1, C, 1, 1), so that they meet the channels.",
            "C2",
        ),
        Mistake(
            "gamma along the height",
            spatial_gamma_along_height,
            "gamma[:, None] has the shape (C, 1), which meets the height. Two trailing axes are "
            "needed: (1, C, 1, 1).",
            "C2",
        ),
        Mistake(
            "gamma per example",
            spatial_gamma_per_example,
            "gamma and beta are laid along axis 0, so each example has its own scale. They belong "
            "to the channels, axis 1.",
            "C2",
        ),
        Mistake(
            "statistics along the width",
            spatial_statistics_not_reshaped,
            "The mean and inv_std of shape (C,) meet the last axis of x, the width. Keep the "
            "dimensions when you reduce, or reshape to (1, C, 1, 1).",
            "C2",
        ),
        Mistake(
            "beta missing",
            spatial_without_beta,
            "beta is not added. Scale first, then shift: gamma * x_hat + beta.",
            "C2",
        ),
        Mistake(
            "gamma and beta swapped",
            spatial_gamma_beta_swapped,
            "gamma and beta have changed places: gamma scales, beta shifts.",
            "C2",
        ),
        Mistake(
            "cache keeps dimensions",
            spatial_cache_keeps_dimensions,
            "y is right, but cache['inv_std'] kept the axes of length 1. Store it with shape (C,).",
            "C2",
        ),
        Mistake(
            "cache holds the standard deviation",
            spatial_caches_std,
            "cache['inv_std'] holds the standard deviation. It must hold one divided by it.",
            "C2",
        ),
        Mistake(
            "cache missing",
            spatial_without_cache,
            "Only y is returned. Return (y, cache): the backward pass needs the cache.",
            "C2",
        ),
        Mistake(
            "in place",
            spatial_in_place,
            "The images are overwritten (x -= mean). The caller still needs x. Work on a new "
            "array.",
            "C2",
        ),
    ],
)


# --- spatial_batchnorm_backward ---------------------------------------------------------------


def _spatial_backward_cases(rng):
    def given(shape=(4, 3, 5, 6), eps=1e-5, **options):
        x = _images(rng, shape, **options)
        parameters = _scale_and_shift(rng, shape[1])
        cache = convolution.spatial_batchnorm_forward(x, **parameters, eps=eps)[1]
        return {"dy": 0.5 + rng.standard_normal(shape), "cache": cache}

    stored_nhwc = given()
    stored_nhwc["dy"] = _channels_last_memory(stored_nhwc["dy"])
    return {
        "random images": Case(given()),
        "N, C, H and W all equal": Case(given((4, 4, 4, 4))),
        "a large eps": Case(given(eps=0.5)),
        "a variance smaller than eps": Case(given(scale=1e-3)),
        "one image": Case(given((1, 3, 5, 4))),
        "images of one pixel": Case(given((7, 4, 1, 1))),
        "more channels than numbers per channel": Case(given((2, 15, 3, 1))),
        "stored as NHWC, viewed as NCHW": Case(stored_nhwc),
        "float32": Case(cast(given(), np.float32), "float32"),
    }


def spatial_backward_divided_by_n(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    n = dy.shape[0]
    dbeta = dy.sum(axis=(0, 2, 3))
    dgamma = (dy * x_hat).sum(axis=(0, 2, 3))
    a = (dbeta / n).reshape(1, -1, 1, 1)
    b = (dgamma / n).reshape(1, -1, 1, 1)
    dx = (gamma * inv_std).reshape(1, -1, 1, 1) * (dy - a - x_hat * b)
    return dx, dgamma, dbeta


def spatial_backward_sums(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dbeta = dy.sum(axis=(0, 2, 3))
    dgamma = (dy * x_hat).sum(axis=(0, 2, 3))
    a, b = dbeta.reshape(1, -1, 1, 1), dgamma.reshape(1, -1, 1, 1)
    dx = (gamma * inv_std).reshape(1, -1, 1, 1) * (dy - a - x_hat * b)
    return dx, dgamma, dbeta


def spatial_backward_per_pixel(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dbeta = dy.sum(axis=(0, 2, 3))
    dgamma = (dy * x_hat).sum(axis=(0, 2, 3))
    a = dy.mean(axis=0, keepdims=True)
    b = (dy * x_hat).mean(axis=0, keepdims=True)
    dx = (gamma * inv_std).reshape(1, -1, 1, 1) * (dy - a - x_hat * b)
    return dx, dgamma, dbeta


def spatial_backward_per_image(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dbeta = dy.sum(axis=(0, 2, 3))
    dgamma = (dy * x_hat).sum(axis=(0, 2, 3))
    a = dy.mean(axis=(2, 3), keepdims=True)
    b = (dy * x_hat).mean(axis=(2, 3), keepdims=True)
    dx = (gamma * inv_std).reshape(1, -1, 1, 1) * (dy - a - x_hat * b)
    return dx, dgamma, dbeta


def spatial_backward_pooled(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dbeta = dy.sum(axis=(0, 2, 3))
    dgamma = (dy * x_hat).sum(axis=(0, 2, 3))
    scale = (gamma * inv_std).reshape(1, -1, 1, 1)
    dx = scale * (dy - dy.mean() - x_hat * (dy * x_hat).mean())
    return dx, dgamma, dbeta


def spatial_backward_without_mean_path(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dbeta = dy.sum(axis=(0, 2, 3))
    dgamma = (dy * x_hat).sum(axis=(0, 2, 3))
    b = (dy * x_hat).mean(axis=(0, 2, 3), keepdims=True)
    dx = (gamma * inv_std).reshape(1, -1, 1, 1) * (dy - x_hat * b)
    return dx, dgamma, dbeta


def spatial_backward_without_var_path(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dbeta = dy.sum(axis=(0, 2, 3))
    dgamma = (dy * x_hat).sum(axis=(0, 2, 3))
    a = dy.mean(axis=(0, 2, 3), keepdims=True)
    dx = (gamma * inv_std).reshape(1, -1, 1, 1) * (dy - a)
    return dx, dgamma, dbeta


def spatial_backward_direct_path_only(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dbeta = dy.sum(axis=(0, 2, 3))
    dgamma = (dy * x_hat).sum(axis=(0, 2, 3))
    dx = (gamma * inv_std).reshape(1, -1, 1, 1) * dy
    return dx, dgamma, dbeta


def spatial_backward_sign(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dbeta = dy.sum(axis=(0, 2, 3))
    dgamma = (dy * x_hat).sum(axis=(0, 2, 3))
    a = dy.mean(axis=(0, 2, 3), keepdims=True)
    b = (dy * x_hat).mean(axis=(0, 2, 3), keepdims=True)
    dx = (gamma * inv_std).reshape(1, -1, 1, 1) * (dy - a + x_hat * b)
    return dx, dgamma, dbeta


def spatial_backward_without_gamma(dy, cache):
    x_hat, inv_std = cache["x_hat"], cache["inv_std"]
    dbeta = dy.sum(axis=(0, 2, 3))
    dgamma = (dy * x_hat).sum(axis=(0, 2, 3))
    a = dy.mean(axis=(0, 2, 3), keepdims=True)
    b = (dy * x_hat).mean(axis=(0, 2, 3), keepdims=True)
    dx = inv_std.reshape(1, -1, 1, 1) * (dy - a - x_hat * b)
    return dx, dgamma, dbeta


def spatial_backward_without_inv_std(dy, cache):
    x_hat, gamma = cache["x_hat"], cache["gamma"]
    dbeta = dy.sum(axis=(0, 2, 3))
    dgamma = (dy * x_hat).sum(axis=(0, 2, 3))
    a = dy.mean(axis=(0, 2, 3), keepdims=True)
    b = (dy * x_hat).mean(axis=(0, 2, 3), keepdims=True)
    dx = gamma.reshape(1, -1, 1, 1) * (dy - a - x_hat * b)
    return dx, dgamma, dbeta


def spatial_backward_gamma_along_width(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dbeta = dy.sum(axis=(0, 2, 3))
    dgamma = (dy * x_hat).sum(axis=(0, 2, 3))
    a = dy.mean(axis=(0, 2, 3), keepdims=True)
    b = (dy * x_hat).mean(axis=(0, 2, 3), keepdims=True)
    dx = gamma * inv_std * (dy - a - x_hat * b)
    return dx, dgamma, dbeta


def spatial_backward_summed_over_batch_only(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    a = dy.mean(axis=(0, 2, 3), keepdims=True)
    b = (dy * x_hat).mean(axis=(0, 2, 3), keepdims=True)
    dx = (gamma * inv_std).reshape(1, -1, 1, 1) * (dy - a - x_hat * b)
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def spatial_backward_summed_over_pixels_only(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    a = dy.mean(axis=(0, 2, 3), keepdims=True)
    b = (dy * x_hat).mean(axis=(0, 2, 3), keepdims=True)
    dx = (gamma * inv_std).reshape(1, -1, 1, 1) * (dy - a - x_hat * b)
    return dx, (dy * x_hat).sum(axis=(2, 3)), dy.sum(axis=(2, 3))


def spatial_backward_averaged(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dbeta = dy.mean(axis=(0, 2, 3))
    dgamma = (dy * x_hat).mean(axis=(0, 2, 3))
    a, b = dbeta.reshape(1, -1, 1, 1), dgamma.reshape(1, -1, 1, 1)
    dx = (gamma * inv_std).reshape(1, -1, 1, 1) * (dy - a - x_hat * b)
    return dx, dgamma, dbeta


def spatial_backward_swapped(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dbeta = dy.sum(axis=(0, 2, 3))
    dgamma = (dy * x_hat).sum(axis=(0, 2, 3))
    a = dy.mean(axis=(0, 2, 3), keepdims=True)
    b = (dy * x_hat).mean(axis=(0, 2, 3), keepdims=True)
    dx = (gamma * inv_std).reshape(1, -1, 1, 1) * (dy - a - x_hat * b)
    return dx, dbeta, dgamma


def spatial_backward_gamma_in_dgamma(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx_hat = dy * gamma.reshape(1, -1, 1, 1)
    a = dx_hat.mean(axis=(0, 2, 3), keepdims=True)
    b = (dx_hat * x_hat).mean(axis=(0, 2, 3), keepdims=True)
    dx = inv_std.reshape(1, -1, 1, 1) * (dx_hat - a - x_hat * b)
    return dx, (dx_hat * x_hat).sum(axis=(0, 2, 3)), dx_hat.sum(axis=(0, 2, 3))


def spatial_backward_in_place(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dbeta = dy.sum(axis=(0, 2, 3))
    dgamma = (dy * x_hat).sum(axis=(0, 2, 3))
    dy -= dy.mean(axis=(0, 2, 3), keepdims=True)
    dy -= x_hat * (dy * x_hat).mean(axis=(0, 2, 3), keepdims=True)
    dy *= (gamma * inv_std).reshape(1, -1, 1, 1)
    return dy, dgamma, dbeta


spatial_batchnorm_backward = function_exercise(
    convolution.spatial_batchnorm_backward,
    returns=("dx", "dgamma", "dbeta"),
    cases=_spatial_backward_cases,
    see="C3",
    mistakes=[
        Mistake(
            "divided by N only",
            spatial_backward_divided_by_n,
            "In dx the sums over N, H and W are divided by N alone. A channel's mean is made of "
            "N * H * W numbers: divide by that.",
            "C3",
        ),
        Mistake(
            "sums in place of means",
            spatial_backward_sums,
            "dx subtracts the sums dbeta and dgamma. It needs the means: divide them by N * H * W.",
            "C3",
        ),
        Mistake(
            "means per pixel",
            spatial_backward_per_pixel,
            "The means in dx run over the batch only, one for each pixel position. The forward "
            "pass pooled over N, H and W, so the backward pass does too.",
            "C3",
        ),
        Mistake(
            "means per image",
            spatial_backward_per_image,
            "The means in dx run over each image by itself, as in instance norm. Take them over "
            "N, H and W.",
            "C3",
        ),
        Mistake(
            "means over all channels",
            spatial_backward_pooled,
            "The means in dx run over the channels as well. Each channel has its own: reduce axes "
            "0, 2 and 3.",
            "C3",
        ),
        Mistake(
            "path through the mean missing",
            spatial_backward_without_mean_path,
            "dx misses the path through the mean: every pixel moves the mean of its channel. "
            "Subtract mean(dy).",
            "C3",
        ),
        Mistake(
            "path through the variance missing",
            spatial_backward_without_var_path,
            "dx misses the path through the variance: every pixel moves the variance of its "
            "channel. Subtract x_hat * mean(dy * x_hat).",
            "C3",
        ),
        Mistake(
            "direct path only",
            spatial_backward_direct_path_only,
            "dx treats the mean and the variance as constants, as at inference. In training they "
            "depend on x: two more terms follow.",
            "C3",
        ),
        Mistake(
            "sign of the variance path",
            spatial_backward_sign,
            "The term with x_hat has the wrong sign. Both means are subtracted.",
            "C3",
        ),
        Mistake(
            "gamma forgotten in dx",
            spatial_backward_without_gamma,
            "dx lacks the factor gamma: the gradient passes through the scale on its way back.",
            "C3",
        ),
        Mistake(
            "inv_std forgotten in dx",
            spatial_backward_without_inv_std,
            "dx lacks the factor inv_std: the input was divided by its standard deviation, and so "
            "is its gradient.",
            "C3",
        ),
        Mistake(
            "factor along the width",
            spatial_backward_gamma_along_width,
            "gamma * inv_std has the shape (C,) and meets the width. Give it the shape "
            "(1, C, 1, 1).",
            "C3",
        ),
        Mistake(
            "not summed over H and W",
            spatial_backward_summed_over_batch_only,
            "dgamma and dbeta are summed over the batch only. One gamma serves all pixels of its "
            "channel, so its gradient sums over N, H and W.",
            "C3",
        ),
        Mistake(
            "not summed over N",
            spatial_backward_summed_over_pixels_only,
            "dgamma and dbeta are summed over the pixels of each image only. Sum over the batch "
            "too: one gamma serves all images.",
            "C3",
        ),
        Mistake(
            "averaged",
            spatial_backward_averaged,
            "dgamma and dbeta are averaged. The loss adds up the pixels, so these gradients are "
            "sums; only dx needs means.",
            "C3",
        ),
        Mistake(
            "dgamma and dbeta swapped",
            spatial_backward_swapped,
            "dgamma and dbeta have changed places. Return (dx, dgamma, dbeta).",
            "C3",
        ),
        Mistake(
            "gamma in dgamma and dbeta",
            spatial_backward_gamma_in_dgamma,
            "dgamma and dbeta are built from dy * gamma. Only the gradient of x_hat carries gamma: "
            "sum dy * x_hat and dy.",
            "C3",
        ),
        Mistake(
            "in place",
            spatial_backward_in_place,
            "The incoming gradient dy is overwritten. The caller may still need it. Work on a new "
            "array.",
            "C3",
        ),
    ],
)


# --- layernorm_forward ------------------------------------------------------------------------


def _layer_forward_cases(rng):
    def given(n=7, d=4, **options):
        return {"x": _rows(rng, n, d, **options), **_scale_and_shift(rng, d)}

    constant = given()
    constant["x"][2] = 3.0
    return {
        "a random batch": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "as many examples as features": Case(given(n=5, d=5)),
        "more features than examples": Case(given(n=4, d=9)),
        "one example": Case(given(n=1, d=6)),
        "a variance smaller than eps": Case(given(scale=1e-3) | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "an example with equal features": Case(constant | {"eps": 1e-3}),
        "stored column by column": Case(
            (stored := given()) | {"x": np.asfortranarray(stored["x"])}
        ),
        "float32": Case(cast(given(), np.float32), "float32"),
        # float32 stores x to 1e-3 here, so correct solutions agree to about 1e-3 only.
        "float32 with mean near 1e4": Case(
            cast(given(n=4, d=50, offset=1e4), np.float32), "float32", rtol=2e-2, noisy=True
        ),
    }


def layer_batch_axis(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_pooled(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(), x.var()
    inv_std = np.full(x.shape[0], 1 / np.sqrt(var + eps), dtype=x.dtype)
    x_hat = (x - mean) * inv_std[:, None]
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_not_kept(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=1), x.var(axis=1)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_unbiased(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(x.var(axis=1, ddof=1) + eps)
    x_hat = (x - mean) * inv_std[:, None]
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_without_eps(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(x.var(axis=1))
    x_hat = (x - mean) * inv_std[:, None]
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_eps_outside(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / (np.sqrt(x.var(axis=1)) + eps)
    x_hat = (x - mean) * inv_std[:, None]
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_without_root(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / (x.var(axis=1) + eps)
    x_hat = (x - mean) * inv_std[:, None]
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_root_mean_square(x, gamma, beta, eps=1e-5):
    inv_std = 1 / np.sqrt((x**2).mean(axis=1) + eps)
    x_hat = x * inv_std[:, None]
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_cancel(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt((x**2).mean(axis=1, keepdims=True) - mean**2 + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std[:, 0], "gamma": gamma}


def layer_gamma_per_example(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(x.var(axis=1) + eps)
    x_hat = (x - mean) * inv_std[:, None]
    y = gamma[:, None] * x_hat + beta[:, None]
    return y, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_without_beta(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(x.var(axis=1) + eps)
    x_hat = (x - mean) * inv_std[:, None]
    return gamma * x_hat, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_gamma_beta_swapped(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(x.var(axis=1) + eps)
    x_hat = (x - mean) * inv_std[:, None]
    return beta * x_hat + gamma, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_cache_keeps_dimensions(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(x.var(axis=1, keepdims=True) + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_caches_y(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(x.var(axis=1) + eps)
    y = gamma * (x - mean) * inv_std[:, None] + beta
    return y, {"x_hat": y, "inv_std": inv_std, "gamma": gamma}


def layer_without_cache(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


def layer_in_place(x, gamma, beta, eps=1e-5):
    inv_std = 1 / np.sqrt(x.var(axis=1) + eps)
    x -= x.mean(axis=1, keepdims=True)
    x *= inv_std[:, None]
    return gamma * x + beta, {"x_hat": x, "inv_std": inv_std, "gamma": gamma}


layernorm_forward = function_exercise(
    convolution.layernorm_forward,
    returns=("y", {"cache": ("x_hat", "inv_std", "gamma")}),
    cases=_layer_forward_cases,
    see="C4",
    mistakes=[
        Mistake(
            "statistics over the batch",
            layer_batch_axis,
            "The statistics run over the examples: that is batch norm. Layer norm takes them over "
            "the features of each example, axis 1.",
            "C4",
        ),
        Mistake(
            "pooled examples",
            layer_pooled,
            "One mean and one variance serve the whole array. Each example has its own: reduce "
            "axis 1 only.",
            "C4",
        ),
        Mistake(
            "statistics along the wrong axis",
            layer_not_kept,
            "The statistics have the shape (N,) and meet the features of x. Keep the dimension "
            "(keepdims=True), so that each row meets its own mean.",
            "C4",
        ),
        Mistake(
            "unbiased variance",
            layer_unbiased,
            "The variance is the unbiased one, divided by D - 1. Use the biased one.",
            "C4",
        ),
        Mistake(
            "eps missing",
            layer_without_eps,
            "eps is missing under the root. An example whose features are nearly equal is then "
            "blown up.",
            "C4",
        ),
        Mistake(
            "eps outside the root",
            layer_eps_outside,
            "eps is added outside the root. It belongs to the variance: sqrt(var + eps).",
            "C4",
        ),
        Mistake(
            "root missing",
            layer_without_root,
            "The result is divided by the variance. Divide by its root, the standard deviation.",
            "C4",
        ),
        Mistake(
            "root mean square",
            layer_root_mean_square,
            "The mean is not subtracted: this is RMS norm, a relative. Layer norm centres first.",
            "C4",
        ),
        Mistake(
            "cancellation",
            layer_cancel,
            "The variance is computed as E[x^2] - E[x]^2, which cancels when the mean is large. "
            "Subtract the mean before squaring.",
            "C4",
        ),
        Mistake(
            "gamma per example",
            layer_gamma_per_example,
            "gamma[:, None] scales the examples. gamma and beta belong to the features, although "
            "the statistics belong to the examples.",
            "C4",
        ),
        Mistake(
            "beta missing",
            layer_without_beta,
            "beta is not added. Scale first, then shift: gamma * x_hat + beta.",
            "C4",
        ),
        Mistake(
            "gamma and beta swapped",
            layer_gamma_beta_swapped,
            "gamma and beta have changed places: gamma scales, beta shifts.",
            "C4",
        ),
        Mistake(
            "cache keeps dimensions",
            layer_cache_keeps_dimensions,
            "y is right, but cache['inv_std'] has the shape (N, 1). Store it with shape (N,).",
            "C4",
        ),
        Mistake(
            "cache holds y",
            layer_caches_y,
            "cache['x_hat'] holds y. Store the normalised values from before scale and shift.",
            "C4",
        ),
        Mistake(
            "cache missing",
            layer_without_cache,
            "Only y is returned. Return (y, cache): the backward pass needs the cache.",
            "C4",
        ),
        Mistake(
            "in place",
            layer_in_place,
            "The input is overwritten (x -= mean). The caller still needs x. Work on a new array.",
            "C4",
        ),
    ],
)


# --- layernorm_backward -----------------------------------------------------------------------


def _layer_backward_cases(rng):
    def given(n=7, d=4, eps=1e-5, **options):
        x = _rows(rng, n, d, **options)
        cache = convolution.layernorm_forward(x, **_scale_and_shift(rng, d), eps=eps)[1]
        return {"dy": 0.5 + rng.standard_normal((n, d)), "cache": cache}

    return {
        "a random batch": Case(given()),
        "as many examples as features": Case(given(n=5, d=5)),
        "more features than examples": Case(given(n=4, d=9)),
        "one example": Case(given(n=1, d=6)),
        "a variance smaller than eps": Case(given(scale=1e-3)),
        "a large eps": Case(given(eps=0.5)),
        "stored column by column": Case(
            (stored := given()) | {"dy": np.asfortranarray(stored["dy"])}
        ),
        "float32": Case(cast(given(), np.float32), "float32"),
    }


def layer_backward_gamma_outside(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"][:, None], cache["gamma"]
    a = dy.mean(axis=1, keepdims=True)
    b = (dy * x_hat).mean(axis=1, keepdims=True)
    dx = gamma * inv_std * (dy - a - x_hat * b)
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def layer_backward_batch_axis(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"][:, None], cache["gamma"]
    g = dy * gamma
    dx = inv_std * (g - g.mean(axis=0) - x_hat * (g * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def layer_backward_divided_by_n(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"][:, None], cache["gamma"]
    n = dy.shape[0]
    g = dy * gamma
    a = g.sum(axis=1, keepdims=True) / n
    b = (g * x_hat).sum(axis=1, keepdims=True) / n
    return inv_std * (g - a - x_hat * b), (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def layer_backward_without_mean_path(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"][:, None], cache["gamma"]
    g = dy * gamma
    dx = inv_std * (g - x_hat * (g * x_hat).mean(axis=1, keepdims=True))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def layer_backward_without_var_path(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"][:, None], cache["gamma"]
    g = dy * gamma
    dx = inv_std * (g - g.mean(axis=1, keepdims=True))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def layer_backward_direct_path_only(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"][:, None], cache["gamma"]
    return dy * gamma * inv_std, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def layer_backward_without_gamma(dy, cache):
    x_hat, inv_std = cache["x_hat"], cache["inv_std"][:, None]
    a = dy.mean(axis=1, keepdims=True)
    b = (dy * x_hat).mean(axis=1, keepdims=True)
    return inv_std * (dy - a - x_hat * b), (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def layer_backward_without_inv_std(dy, cache):
    x_hat, gamma = cache["x_hat"], cache["gamma"]
    g = dy * gamma
    a = g.mean(axis=1, keepdims=True)
    b = (g * x_hat).mean(axis=1, keepdims=True)
    return g - a - x_hat * b, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def layer_backward_sign(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"][:, None], cache["gamma"]
    g = dy * gamma
    a = g.mean(axis=1, keepdims=True)
    b = (g * x_hat).mean(axis=1, keepdims=True)
    return inv_std * (g - a + x_hat * b), (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def layer_backward_summed_over_features(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"][:, None], cache["gamma"]
    g = dy * gamma
    a = g.mean(axis=1, keepdims=True)
    b = (g * x_hat).mean(axis=1, keepdims=True)
    return inv_std * (g - a - x_hat * b), (dy * x_hat).sum(axis=1), dy.sum(axis=1)


def layer_backward_not_summed(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"][:, None], cache["gamma"]
    g = dy * gamma
    a = g.mean(axis=1, keepdims=True)
    b = (g * x_hat).mean(axis=1, keepdims=True)
    return inv_std * (g - a - x_hat * b), dy * x_hat, dy


def layer_backward_averaged(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"][:, None], cache["gamma"]
    g = dy * gamma
    a = g.mean(axis=1, keepdims=True)
    b = (g * x_hat).mean(axis=1, keepdims=True)
    return inv_std * (g - a - x_hat * b), (dy * x_hat).mean(axis=0), dy.mean(axis=0)


def layer_backward_swapped(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"][:, None], cache["gamma"]
    g = dy * gamma
    a = g.mean(axis=1, keepdims=True)
    b = (g * x_hat).mean(axis=1, keepdims=True)
    return inv_std * (g - a - x_hat * b), dy.sum(axis=0), (dy * x_hat).sum(axis=0)


def layer_backward_gamma_in_dgamma(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"][:, None], cache["gamma"]
    g = dy * gamma
    a = g.mean(axis=1, keepdims=True)
    b = (g * x_hat).mean(axis=1, keepdims=True)
    return inv_std * (g - a - x_hat * b), (g * x_hat).sum(axis=0), g.sum(axis=0)


def layer_backward_inv_std_along_features(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    g = dy * gamma
    a = g.mean(axis=1, keepdims=True)
    b = (g * x_hat).mean(axis=1, keepdims=True)
    return inv_std * (g - a - x_hat * b), (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def layer_backward_in_place(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"][:, None], cache["gamma"]
    dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    dy *= gamma
    a = dy.mean(axis=1, keepdims=True)
    b = (dy * x_hat).mean(axis=1, keepdims=True)
    return inv_std * (dy - a - x_hat * b), dgamma, dbeta


layernorm_backward = function_exercise(
    convolution.layernorm_backward,
    returns=("dx", "dgamma", "dbeta"),
    cases=_layer_backward_cases,
    see="C5",
    mistakes=[
        Mistake(
            "gamma outside the means",
            layer_backward_gamma_outside,
            "gamma stands in front, as in batch norm. Here it varies along the axis that the means "
            "run over, so it cannot leave them: multiply dy by gamma first.",
            "C5",
        ),
        Mistake(
            "means over the batch",
            layer_backward_batch_axis,
            "The means in dx run over the examples, as in batch norm. The forward pass pooled the "
            "features of each example: axis 1.",
            "C5",
        ),
        Mistake(
            "divided by N",
            layer_backward_divided_by_n,
            "The sums over the features are divided by N. An example's mean is made of D numbers: "
            "divide by D.",
            "C5",
        ),
        Mistake(
            "path through the mean missing",
            layer_backward_without_mean_path,
            "dx misses the path through the mean: every feature moves the mean of its example.",
            "C5",
        ),
        Mistake(
            "path through the variance missing",
            layer_backward_without_var_path,
            "dx misses the path through the variance: every feature moves the variance of its "
            "example. Subtract the term with x_hat.",
            "C5",
        ),
        Mistake(
            "direct path only",
            layer_backward_direct_path_only,
            "dx treats the mean and the variance as constants. They depend on x: two more terms "
            "follow.",
            "C5",
        ),
        Mistake(
            "gamma forgotten in dx",
            layer_backward_without_gamma,
            "dx lacks gamma: the gradient passes through the scale on its way back.",
            "C5",
        ),
        Mistake(
            "inv_std forgotten in dx",
            layer_backward_without_inv_std,
            "dx lacks the factor inv_std: the input was divided by its standard deviation, and so "
            "is its gradient.",
            "C5",
        ),
        Mistake(
            "sign of the variance path",
            layer_backward_sign,
            "The term with x_hat has the wrong sign. Both means are subtracted.",
            "C5",
        ),
        Mistake(
            "summed over the features",
            layer_backward_summed_over_features,
            "dgamma and dbeta are summed over the features. Each feature has its own gamma, which "
            "serves all examples: sum over axis 0.",
            "C5",
        ),
        Mistake(
            "not summed",
            layer_backward_not_summed,
            "dgamma and dbeta are not summed. One gamma serves all examples: sum over axis 0.",
            "C5",
        ),
        Mistake(
            "averaged",
            layer_backward_averaged,
            "dgamma and dbeta are averaged. The loss adds up the examples, so these gradients are "
            "sums.",
            "C5",
        ),
        Mistake(
            "dgamma and dbeta swapped",
            layer_backward_swapped,
            "dgamma and dbeta have changed places. Return (dx, dgamma, dbeta).",
            "C5",
        ),
        Mistake(
            "gamma in dgamma and dbeta",
            layer_backward_gamma_in_dgamma,
            "dgamma and dbeta are built from dy * gamma. Only the gradient of x_hat carries gamma: "
            "sum dy * x_hat and dy.",
            "C5",
        ),
        Mistake(
            "inv_std along the features",
            layer_backward_inv_std_along_features,
            "inv_std has the shape (N,) and meets the features. Write inv_std[:, None], so that it "
            "meets the examples.",
            "C5",
        ),
        Mistake(
            "in place",
            layer_backward_in_place,
            "The incoming gradient dy is overwritten. The caller may still need it. Work on a new "
            "array.",
            "C5",
        ),
    ],
)


# --- groupnorm_forward ------------------------------------------------------------------------


def _group_cases(rng):
    def given(shape=(4, 6, 5, 3), **options):
        return {"x": _images(rng, shape, **options), **_scale_and_shift(rng, shape[1])}

    stored_nhwc = given()
    constant = given()
    constant["x"][2, 3:] = 3.0
    return {
        "two groups of three": Case(given() | {"groups": 2, "eps": 1e-5}),
        "three groups of two, eps left at its default": Case(given() | {"groups": 3}),
        "one group": Case(given() | {"groups": 1}),
        "as many groups as channels": Case(given() | {"groups": 6}),
        "N, C, H and W all equal": Case(given((4, 4, 4, 4)) | {"groups": 2}),
        "one image": Case(given((1, 6, 5, 3)) | {"groups": 2}),
        "a variance smaller than eps": Case(given(scale=1e-3) | {"groups": 3, "eps": 1e-5}),
        "a large eps": Case(given() | {"groups": 2, "eps": 0.5}),
        "a constant group": Case(constant | {"groups": 2, "eps": 1e-3}),
        "stored as NHWC, viewed as NCHW": Case(
            stored_nhwc | {"x": _channels_last_memory(stored_nhwc["x"]), "groups": 3}
        ),
        "float32": Case(cast(given(), np.float32) | {"groups": 3}, "float32"),
        # float32 stores x to 1e-3 here, so correct solutions agree to about 1e-3 only.
        "float32 with mean near 1e4": Case(
            cast(given(offset=1e4), np.float32) | {"groups": 2}, "float32", rtol=2e-2, noisy=True
        ),
    }


def group_interleaved(x, gamma, beta, groups, eps=1e-5):
    n, c, h, w = x.shape
    grouped = x.reshape(n, c // groups, groups, h, w)
    mean = grouped.mean(axis=(1, 3, 4), keepdims=True)
    var = grouped.var(axis=(1, 3, 4), keepdims=True)
    x_hat = ((grouped - mean) / np.sqrt(var + eps)).reshape(x.shape)
    return gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)


def group_sizes_mistaken(x, gamma, beta, groups, eps=1e-5):
    n, c, h, w = x.shape
    grouped = x.reshape(n, c // groups, groups, h, w)
    mean = grouped.mean(axis=(2, 3, 4), keepdims=True)
    var = grouped.var(axis=(2, 3, 4), keepdims=True)
    x_hat = ((grouped - mean) / np.sqrt(var + eps)).reshape(x.shape)
    return gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)


def group_over_batch(x, gamma, beta, groups, eps=1e-5):
    n, c, h, w = x.shape
    grouped = x.reshape(n, groups, c // groups, h, w)
    mean = grouped.mean(axis=(0, 2, 3, 4), keepdims=True)
    var = grouped.var(axis=(0, 2, 3, 4), keepdims=True)
    x_hat = ((grouped - mean) / np.sqrt(var + eps)).reshape(x.shape)
    return gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)


def group_per_pixel(x, gamma, beta, groups, eps=1e-5):
    n, c, h, w = x.shape
    grouped = x.reshape(n, groups, c // groups, h, w)
    mean = grouped.mean(axis=2, keepdims=True)
    var = grouped.var(axis=2, keepdims=True)
    x_hat = ((grouped - mean) / np.sqrt(var + eps)).reshape(x.shape)
    return gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)


def group_instance(x, gamma, beta, groups, eps=1e-5):
    n, c, h, w = x.shape
    grouped = x.reshape(n, groups, c // groups, h, w)
    mean = grouped.mean(axis=(3, 4), keepdims=True)
    var = grouped.var(axis=(3, 4), keepdims=True)
    x_hat = ((grouped - mean) / np.sqrt(var + eps)).reshape(x.shape)
    return gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)


def group_ignored(x, gamma, beta, groups, eps=1e-5):
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    var = x.var(axis=(1, 2, 3), keepdims=True)
    x_hat = (x - mean) / np.sqrt(var + eps)
    return gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)


def group_batch_norm(x, gamma, beta, groups, eps=1e-5):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = x.var(axis=(0, 2, 3), keepdims=True)
    x_hat = (x - mean) / np.sqrt(var + eps)
    return gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)


def group_unbiased(x, gamma, beta, groups, eps=1e-5):
    n, c, h, w = x.shape
    grouped = x.reshape(n, groups, c // groups, h, w)
    mean = grouped.mean(axis=(2, 3, 4), keepdims=True)
    var = grouped.var(axis=(2, 3, 4), keepdims=True, ddof=1)
    x_hat = ((grouped - mean) / np.sqrt(var + eps)).reshape(x.shape)
    return gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)


def group_cancel(x, gamma, beta, groups, eps=1e-5):
    n, c, h, w = x.shape
    grouped = x.reshape(n, groups, c // groups, h, w)
    mean = grouped.mean(axis=(2, 3, 4), keepdims=True)
    var = (grouped**2).mean(axis=(2, 3, 4), keepdims=True) - mean**2
    x_hat = ((grouped - mean) / np.sqrt(var + eps)).reshape(x.shape)
    return gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)


def group_without_eps(x, gamma, beta, groups, eps=1e-5):
    n, c, h, w = x.shape
    grouped = x.reshape(n, groups, c // groups, h, w)
    mean = grouped.mean(axis=(2, 3, 4), keepdims=True)
    var = grouped.var(axis=(2, 3, 4), keepdims=True)
    x_hat = ((grouped - mean) / np.sqrt(var)).reshape(x.shape)
    return gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)


def group_eps_outside(x, gamma, beta, groups, eps=1e-5):
    n, c, h, w = x.shape
    grouped = x.reshape(n, groups, c // groups, h, w)
    mean = grouped.mean(axis=(2, 3, 4), keepdims=True)
    var = grouped.var(axis=(2, 3, 4), keepdims=True)
    x_hat = ((grouped - mean) / (np.sqrt(var) + eps)).reshape(x.shape)
    return gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)


def group_gamma_along_width(x, gamma, beta, groups, eps=1e-5):
    n, c, h, w = x.shape
    grouped = x.reshape(n, groups, c // groups, h, w)
    mean = grouped.mean(axis=(2, 3, 4), keepdims=True)
    var = grouped.var(axis=(2, 3, 4), keepdims=True)
    x_hat = ((grouped - mean) / np.sqrt(var + eps)).reshape(x.shape)
    return gamma * x_hat + beta


def group_gamma_per_example(x, gamma, beta, groups, eps=1e-5):
    n, c, h, w = x.shape
    grouped = x.reshape(n, groups, c // groups, h, w)
    mean = grouped.mean(axis=(2, 3, 4), keepdims=True)
    var = grouped.var(axis=(2, 3, 4), keepdims=True)
    x_hat = ((grouped - mean) / np.sqrt(var + eps)).reshape(x.shape)
    return gamma.reshape(-1, 1, 1, 1) * x_hat + beta.reshape(-1, 1, 1, 1)


def group_gamma_per_group(x, gamma, beta, groups, eps=1e-5):
    n, c, h, w = x.shape
    grouped = x.reshape(n, groups, c // groups, h, w)
    mean = grouped.mean(axis=(2, 3, 4), keepdims=True)
    var = grouped.var(axis=(2, 3, 4), keepdims=True)
    x_hat = (grouped - mean) / np.sqrt(var + eps)
    y = gamma[:groups].reshape(1, -1, 1, 1, 1) * x_hat + beta[:groups].reshape(1, -1, 1, 1, 1)
    return y.reshape(x.shape)


def group_without_affine(x, gamma, beta, groups, eps=1e-5):
    n, c, h, w = x.shape
    grouped = x.reshape(n, groups, c // groups, h, w)
    mean = grouped.mean(axis=(2, 3, 4), keepdims=True)
    var = grouped.var(axis=(2, 3, 4), keepdims=True)
    return ((grouped - mean) / np.sqrt(var + eps)).reshape(x.shape)


def group_without_beta(x, gamma, beta, groups, eps=1e-5):
    n, c, h, w = x.shape
    grouped = x.reshape(n, groups, c // groups, h, w)
    mean = grouped.mean(axis=(2, 3, 4), keepdims=True)
    var = grouped.var(axis=(2, 3, 4), keepdims=True)
    x_hat = ((grouped - mean) / np.sqrt(var + eps)).reshape(x.shape)
    return gamma.reshape(1, -1, 1, 1) * x_hat


def group_not_reshaped_back(x, gamma, beta, groups, eps=1e-5):
    n, c, h, w = x.shape
    grouped = x.reshape(n, groups, c // groups, h, w)
    mean = grouped.mean(axis=(2, 3, 4), keepdims=True)
    var = grouped.var(axis=(2, 3, 4), keepdims=True)
    x_hat = (grouped - mean) / np.sqrt(var + eps)
    return gamma.reshape(1, groups, -1, 1, 1) * x_hat + beta.reshape(1, groups, -1, 1, 1)


def group_in_place(x, gamma, beta, groups, eps=1e-5):
    size = x.shape[1] // groups
    for g in range(groups):
        part = x[:, g * size : (g + 1) * size]
        part -= part.mean(axis=(1, 2, 3), keepdims=True)
        part /= np.sqrt(part.var(axis=(1, 2, 3), keepdims=True) + eps)
    return gamma.reshape(1, -1, 1, 1) * x + beta.reshape(1, -1, 1, 1)


groupnorm_forward = function_exercise(
    convolution.groupnorm_forward,
    returns="y",
    cases=_group_cases,
    see="C6",
    mistakes=[
        Mistake(
            "interleaved channels",
            group_interleaved,
            "Channels that lie apart share a group (0, G, 2G, ...). A group is a run of "
            "neighbouring channels: reshape to (N, groups, C // groups, H, W).",
            "C6",
        ),
        Mistake(
            "number and size of groups confused",
            group_sizes_mistaken,
            "groups is taken for the number of channels in a group. It is the number of groups; "
            "each holds C // groups channels.",
            "C6",
        ),
        Mistake(
            "pooled over the batch",
            group_over_batch,
            "The statistics run over the batch as well. Group norm treats each example on its own: "
            "do not reduce axis 0.",
            "C6",
        ),
        Mistake(
            "statistics per pixel",
            group_per_pixel,
            "Each pixel position has statistics of its own. Pool over H and W too.",
            "C6",
        ),
        Mistake(
            "instance norm",
            group_instance,
            "Each channel has statistics of its own, which is instance norm. Pool over the "
            "channels of a group too.",
            "C6",
        ),
        Mistake(
            "groups ignored",
            group_ignored,
            "All channels of an example share their statistics, whatever groups says. Split the "
            "channels into groups first.",
            "C6",
        ),
        Mistake(
            "batch norm",
            group_batch_norm,
            "This is batch norm: statistics per channel, pooled over the batch. Group norm pools "
            "over the channels of a group, within one example.",
            "C6",
        ),
        Mistake(
            "unbiased variance",
            group_unbiased,
            "The variance is the unbiased one. Use the biased one, divided by the full count.",
            "C6",
        ),
        Mistake(
            "cancellation",
            group_cancel,
            "The variance is computed as E[x^2] - E[x]^2, which cancels when the mean is large. "
            "Subtract the mean before squaring.",
            "C6",
        ),
        Mistake(
            "eps missing",
            group_without_eps,
            "eps is missing under the root. A group that hardly varies is then blown up.",
            "C6",
        ),
        Mistake(
            "eps outside the root",
            group_eps_outside,
            "eps is added outside the root. It belongs to the variance: sqrt(var + eps).",
            "C6",
        ),
        Mistake(
            "gamma along the width",
            group_gamma_along_width,
            "gamma and beta of shape (C,) meet the last axis, the width. Give them the shape "
            "(1, C, 1, 1).",
            "C6",
        ),
        Mistake(
            "gamma per example",
            group_gamma_per_example,
            "gamma and beta are laid along axis 0, so each example has its own scale. They belong "
            "to the channels, axis 1.",
            "C6",
        ),
        Mistake(
            "gamma per group",
            group_gamma_per_group,
            "One gamma serves a whole group. Statistics are shared in a group, gamma and beta are "
            "not: each channel has its own.",
            "C6",
        ),
        Mistake(
            "scale and shift missing",
            group_without_affine,
            "gamma and beta are not applied. Scale and shift each channel at the end.",
            "C6",
        ),
        Mistake(
            "beta missing",
            group_without_beta,
            "beta is not added. Scale first, then shift: gamma * x_hat + beta.",
            "C6",
        ),
        Mistake(
            "not reshaped back",
            group_not_reshaped_back,
            "The result still has five axes. Reshape it back to the shape of x.",
            "C6",
        ),
        Mistake(
            "in place",
            group_in_place,
            "The images are overwritten: a slice of an array is a view of it. Work on a new array.",
            "C6",
        ),
    ],
)


# --- fold_batchnorm ---------------------------------------------------------------------------


def _fold_cases(rng):
    def given(*shape):
        out = shape[0]
        return {
            "weight": rng.uniform(0.5, 2.0, shape) * rng.choice([-1, 1], shape),
            "bias": _away_from_one(rng, out),
            **_scale_and_shift(rng, out),
            "mean": rng.uniform(1.0, 3.0, out) * rng.choice([-1, 1], out),
            "var": rng.uniform(2.0, 4.0, out),
        }

    tiny = given(4, 3) | {"var": rng.uniform(0.5e-6, 2e-6, 4)}
    by_columns = given(5, 3)
    return {
        "a linear layer": Case(given(4, 3) | {"eps": 1e-5}),
        "a square linear layer": Case(given(4, 4)),
        "a convolution, eps left at its default": Case(given(4, 3, 2, 5)),
        "a convolution with as many inputs as outputs": Case(given(3, 3, 5, 2)),
        "a convolution as high and wide as it has outputs": Case(given(3, 2, 3, 3)),
        "a pointwise convolution": Case(given(5, 3, 1, 1)),
        "a layer without bias": Case(given(4, 3) | {"bias": np.zeros(4)}),
        "a variance smaller than eps": Case(tiny | {"eps": 1e-5}),
        "a variance of zero": Case(given(4, 3, 2, 2) | {"var": np.zeros(4), "eps": 1e-3}),
        "a large eps": Case(given(4, 3) | {"eps": 0.5}),
        "stored column by column": Case(
            by_columns | {"weight": np.asfortranarray(by_columns["weight"])}
        ),
        "float32": Case(cast(given(4, 3, 2, 5), np.float32), "float32"),
    }


def fold_without_bias(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, beta - mean * scale


def fold_without_mean(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, beta + bias * scale


def fold_without_beta(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, (bias - mean) * scale


def fold_without_gamma(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = 1 / np.sqrt(var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, beta + (bias - mean) * scale


def fold_bias_not_scaled(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, bias + beta - mean * scale


def fold_mean_not_scaled(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, beta + bias * scale - mean


def fold_nothing_scaled_in_bias(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, bias - mean + beta


def fold_mean_added(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, beta + (bias + mean) * scale


def fold_without_eps(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, beta + (bias - mean) * scale


def fold_eps_outside(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / (np.sqrt(var) + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, beta + (bias - mean) * scale


def fold_without_root(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / (var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, beta + (bias - mean) * scale


def fold_input_axis(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    row = scale.reshape(1, -1, *[1] * (weight.ndim - 2))
    return weight * row, beta + (bias - mean) * scale


def fold_last_axis(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    return weight * scale, beta + (bias - mean) * scale


def fold_linear_only(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    return weight * scale[:, None], beta + (bias - mean) * scale


def fold_conv_only(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    return weight * scale[:, None, None, None], beta + (bias - mean) * scale


def fold_weight_unchanged(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    return weight.copy(), beta + (bias - mean) * scale


def fold_in_place(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    weight *= scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight, beta + (bias - mean) * scale


fold_batchnorm = function_exercise(
    convolution.fold_batchnorm,
    returns=("weight", "bias"),
    cases=_fold_cases,
    see="C7",
    mistakes=[
        Mistake(
            "bias forgotten",
            fold_without_bias,
            "The old bias of the layer is lost. Batch norm saw it as part of its input: it is "
            "centred and scaled with the rest.",
            "C7",
        ),
        Mistake(
            "mean not subtracted",
            fold_without_mean,
            "The running mean is not subtracted. The new bias is beta + scale * (bias - mean).",
            "C7",
        ),
        Mistake(
            "beta missing",
            fold_without_beta,
            "beta is missing in the new bias.",
            "C7",
        ),
        Mistake(
            "gamma missing",
            fold_without_gamma,
            "gamma is missing in the scale: gamma / sqrt(var + eps).",
            "C7",
        ),
        Mistake(
            "bias not scaled",
            fold_bias_not_scaled,
            "The old bias is added as it was. Batch norm scales it like the rest of its input.",
            "C7",
        ),
        Mistake(
            "mean not scaled",
            fold_mean_not_scaled,
            "The mean is subtracted after the scaling. It is subtracted before: it lies inside the "
            "parentheses with the bias.",
            "C7",
        ),
        Mistake(
            "bias and mean not scaled",
            fold_nothing_scaled_in_bias,
            "The difference bias - mean is not scaled. Only beta stays as it is.",
            "C7",
        ),
        Mistake(
            "mean added",
            fold_mean_added,
            "The running mean is added. Batch norm subtracts it.",
            "C7",
        ),
        Mistake(
            "eps missing",
            fold_without_eps,
            "eps is missing under the root. The folded layer must divide by what the batch norm "
            "divided by: sqrt(var + eps).",
            "C7",
        ),
        Mistake(
            "eps outside the root",
            fold_eps_outside,
            "eps is added outside the root. It belongs to the variance: sqrt(var + eps).",
            "C7",
        ),
        Mistake(
            "root missing",
            fold_without_root,
            "The scale divides by the variance. Divide by its root.",
            "C7",
        ),
        Mistake(
            "inputs scaled",
            fold_input_axis,
            "The scale lies along axis 1 of the weight, the inputs. Batch norm works on the "
            "outputs of the layer: axis 0.",
            "C7",
        ),
        Mistake(
            "last axis scaled",
            fold_last_axis,
            "scale of shape (out,) meets the last axis of the weight. Give it one axis of length 1 "
            "for every other axis of the weight.",
            "C7",
        ),
        Mistake(
            "linear layers only",
            fold_linear_only,
            "scale[:, None] fits a weight with two axes. In a convolution it meets the kernel's "
            "height. Count the axes of the weight.",
            "C7",
        ),
        Mistake(
            "convolutions only",
            fold_conv_only,
            "scale[:, None, None, None] fits a weight with four axes only. Count the axes of the "
            "weight, so that linear layers work too.",
            "C7",
        ),
        Mistake(
            "weight unchanged",
            fold_weight_unchanged,
            "The weight comes back as it was. Every output is scaled, so its row of the weight is.",
            "C7",
        ),
        Mistake(
            "in place",
            fold_in_place,
            "The weight is changed in place. Return a new array: the model that is trained further "
            "still needs the old one.",
            "C7",
        ),
    ],
)


EXERCISES = (
    spatial_batchnorm_forward,
    spatial_batchnorm_backward,
    layernorm_forward,
    layernorm_backward,
    groupnorm_forward,
    fold_batchnorm,
)
