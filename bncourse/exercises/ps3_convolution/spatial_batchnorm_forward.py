"""The exercise spatial_batchnorm_forward: its cases and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.exercises.ps3_convolution.inputs import (
    channels_last_memory,
    images,
    scale_and_shift,
)
from bncourse.inputs import cast
from bncourse.reference import convolution


def _spatial_forward_cases(rng):
    def given(shape=(4, 3, 5, 6), **options):
        return {"x": images(rng, shape, **options), **scale_and_shift(rng, shape[1])}

    stored_nhwc = given()
    constant = given()
    constant["x"][:, 1] = 3.0
    return {
        "random images": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "N, C, H and W all equal": Case(given((4, 4, 4, 4))),
        "a variance smaller than eps": Case(given(scale=1e-3) | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        # With a small eps the rounding of the mean, over the root of eps, would be all there is.
        "a constant channel": Case(constant | {"eps": 0.5}),
        "one image": Case(given((1, 3, 5, 4))),
        "images of one pixel": Case(given((7, 4, 1, 1))),
        "more channels than numbers per channel": Case(given((2, 15, 3, 1))),
        "stored as NHWC, viewed as NCHW": Case(
            stored_nhwc | {"x": channels_last_memory(stored_nhwc["x"])}
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


EXERCISE = function_exercise(
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
            "The cache is not returned. Return (y, cache): the backward pass needs it.",
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
