"""The exercise spatial_batchnorm_forward: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.exercises import hints
from bncourse.exercises.ps3_convolution.families import TOLERANCE, cancelling, in_float32, own_eps
from bncourse.exercises.ps3_convolution.inputs import channels_last_memory, images
from bncourse.inputs import SMALL_EPS, cast, scale_and_shift
from bncourse.reference import convolution
from bncourse.slips import Instead, Right


def _cases(rng):
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
        "images of one row": Case(given((4, 3, 1, 6))),
        "one channel": Case(given((4, 1, 5, 6))),
        "one image with one channel": Case(given((1, 1, 5, 6))),
        "more channels than numbers per channel": Case(given((2, 15, 3, 1))),
        "stored as NHWC, viewed as NCHW": Case(
            stored_nhwc | {"x": channels_last_memory(stored_nhwc["x"])}
        ),
        "float32": Case(cast(given(), np.float32), "float32"),
        # Correct solutions agree to some 1e-4 only. E[x^2] - E[x]^2 is off by 1e-2 and more, but
        # seldom so far that the root of a negative number hides it.
        "float32 with mean near 1e4": Case(
            cast(given(offset=1e4, scale=5.0), np.float32), "float32", rtol=3e-3, noisy=True
        ),
        # Who computes in float64 passes the one above in any way. The mean is rounded to 1e-10.
        "mean near 1e6": Case(given(offset=1e6, scale=0.1), rtol=1e-5, noisy=True),
        "a gamma of zero": Case(_without_a_channel(given())),
        "a small eps": Case(given(scale=1e-3) | {"eps": SMALL_EPS}),
    }


def _without_a_channel(inputs):
    """Return inputs whose second channel is scaled away."""
    inputs["gamma"][1] = 0.0
    return inputs


def spatial_batchnorm_forward(x, gamma, beta, eps=1e-5):
    axes = (0, 2, 3)
    mean = x.mean(axis=axes, keepdims=True)
    var = x.var(axis=axes, keepdims=True)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    scale = gamma.reshape(1, -1, 1, 1)
    shift = beta.reshape(1, -1, 1, 1)
    y = scale * x_hat + shift
    cached_inv_std = inv_std.reshape(-1)
    return y, {"x_hat": x_hat, "inv_std": cached_inv_std, "gamma": gamma}


def channels_last_axes(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def reshaped_without_transpose(x, gamma, beta, eps=1e-5):
    rows = x.reshape(-1, x.shape[1])
    mean, var = rows.mean(axis=0), rows.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (rows - mean) * inv_std
    y = (gamma * x_hat + beta).reshape(x.shape)
    return y, {"x_hat": x_hat.reshape(x.shape), "inv_std": inv_std, "gamma": gamma}


def reshaped_back_without_transpose(x, gamma, beta, eps=1e-5):
    rows = x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])
    mean, var = rows.mean(axis=0), rows.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (rows - mean) * inv_std
    y = (gamma * x_hat + beta).reshape(x.shape)
    return y, {"x_hat": x_hat.reshape(x.shape), "inv_std": inv_std, "gamma": gamma}


def flattened_to_columns(x, gamma, beta, eps=1e-5):
    columns = x.reshape(x.shape[1], -1)
    mean, var = columns.mean(axis=1), columns.var(axis=1)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (columns - mean[:, None]) * inv_std[:, None]
    y = (gamma[:, None] * x_hat + beta[:, None]).reshape(x.shape)
    return y, {"x_hat": x_hat.reshape(x.shape), "inv_std": inv_std, "gamma": gamma}


RIGHT = Right(spatial_batchnorm_forward)
slip = RIGHT.slip

EXERCISE = function_exercise(
    convolution.spatial_batchnorm_forward,
    returns=("y", {"cache": ("x_hat", "inv_std", "gamma")}),
    cases=_cases,
    see="C2",
    normalised="batch",
    insight="Every pixel of a channel counts as an example, so one image already has a variance.",
    tolerance=TOLERANCE,
    mistakes=[
        slip(
            "statistics per pixel",
            "Each pixel position has a mean of its own: only axis 0 is reduced. All pixels of a "
            "channel share one mean, so reduce H and W too.",
            "C1",
            mean="x.mean(axis=0)",
            var="x.var(axis=0)",
            cached_inv_std="inv_std",
        ),
        slip(
            "statistics per image",
            "Each image is normalised by itself, which is instance norm. Batch norm also takes the "
            "mean over the examples: reduce axis 0 too.",
            "C1",
            axes="(2, 3)",
            cached_inv_std="inv_std[:, :, 0, 0]",
        ),
        slip(
            "layer norm",
            "The channel axis is reduced and the batch axis is not: that is layer norm. Keep the "
            "channels apart and pool over N, H and W.",
            "C1",
            axes="(1, 2, 3)",
        ),
        slip(
            "pooled channels",
            "One mean and one variance serve all channels. Each channel has its own: reduce every "
            "axis but axis 1.",
            "C1",
            mean="x.mean()",
            var="x.var()",
            cached_inv_std="np.full_like(gamma, inv_std)",
        ),
        Mistake(
            "channels-last axes",
            channels_last_axes,
            "The axes (0, 1, 2) are right for NHWC, where the channel comes last. The input is "
            "NCHW: the channel is axis 1.",
            "C1",
        ),
        Mistake(
            "reshaped without moving the channels",
            reshaped_without_transpose,
            "reshape(-1, C) reads the memory of NCHW as if the channel came last, so every row "
            "mixes pixels. Move the channel axis to the end first, then reshape.",
            "C1",
        ),
        Mistake(
            "reshaped back without moving the channels",
            reshaped_back_without_transpose,
            "The way back is missing a step: from (N*H*W, C) reshape to (N, H, W, C) first, then "
            "move the channels to axis 1.",
            "C2",
        ),
        slip(
            "y alone reshaped back without moving the channels",
            "The way back of y is missing a step: from (N*H*W, C) reshape to (N, H, W, C) first, "
            "then move the channels to axis 1.",
            "C2",
            y="(scale * x_hat + shift).transpose(0, 2, 3, 1).reshape(x.shape)",
        ),
        Mistake(
            "reshaped to (C, -1) without moving the channels",
            flattened_to_columns,
            "reshape(C, -1) cuts the memory into C runs, and with several images a run is no "
            "channel. Move the channel axis to the front first, then reshape.",
            "C1",
        ),
        slip(
            "average of the images' variances",
            "The variance is the average of the variances of the images. It misses that the "
            "images' means differ: take squared distances from the channel's mean.",
            "C1",
            var="x.var(axis=(2, 3), keepdims=True).mean(axis=0, keepdims=True)",
        ),
        slip(
            "average of the pixels' variances",
            "The variance is taken over the images at each pixel, and then averaged. Pixels of one "
            "channel also differ from each other: take it over axes 0, 2 and 3 at once.",
            "C1",
            var="x.var(axis=0, keepdims=True).mean(axis=(2, 3), keepdims=True)",
        ),
        slip(
            "divided by N only",
            "The sums run over N, H and W and are divided by N alone. Divide by N * H * W.",
            "C1",
            mean="x.sum(axis=axes, keepdims=True) / x.shape[0]",
            var="((x - mean) ** 2).sum(axis=axes, keepdims=True) / x.shape[0]",
        ),
        slip(
            "divided by H*W only",
            "The sums run over N, H and W and are divided by H * W, the pixels of one image. "
            "Divide by N * H * W.",
            "C1",
            mean="x.sum(axis=axes, keepdims=True) / x[0, 0].size",
            var="((x - mean) ** 2).sum(axis=axes, keepdims=True) / x[0, 0].size",
        ),
        slip(
            "divided by all channels",
            "The sums of one channel are divided by x.size, which counts the other channels too. "
            "Divide by N * H * W.",
            "C1",
            mean="x.sum(axis=axes, keepdims=True) / x.size",
            var="((x - mean) ** 2).sum(axis=axes, keepdims=True) / x.size",
        ),
        slip(
            "unbiased variance",
            "The variance is the unbiased one, divided by N * H * W - 1. Normalise with the biased "
            "variance.",
            "C1",
            var="x.var(axis=axes, keepdims=True, ddof=1)",
        ),
        *cancelling(slip, "C1", "x", "axes"),
        slip(
            "mean not subtracted in the variance",
            "The variance is the mean of x^2. Take squared distances from the channel's mean.",
            "C1",
            var="(x**2).mean(axis=axes, keepdims=True)",
        ),
        slip(
            "eps missing",
            "eps is missing under the root. A channel that hardly varies, such as a dead filter, "
            "is then blown up.",
            "C2",
            inv_std="1 / np.sqrt(var)",
        ),
        slip(
            "eps outside the root",
            hints.EPS_OUTSIDE_THE_ROOT,
            "C2",
            inv_std="1 / (np.sqrt(var) + eps)",
        ),
        *own_eps(slip, "C2", "inv_std", "1 / np.sqrt({})", ("axes", "(0, 2, 3)")),
        slip(
            "root missing",
            hints.ROOT_MISSING,
            "C2",
            inv_std="1 / (var + eps)",
        ),
        slip(
            "mean not subtracted",
            "The mean of the channel is not subtracted. Centre first, then divide.",
            "C2",
            x_hat="x * inv_std",
        ),
        slip(
            "gamma along the width",
            "gamma and beta of shape (C,) meet the last axis, the width. Give them the shape "
            "(1, C, 1, 1), so that they meet the channels.",
            "C2",
            y="gamma * x_hat + beta",
        ),
        slip(
            "gamma along the height",
            "gamma[:, None] has the shape (C, 1), which meets the height. Two trailing axes are "
            "needed: (1, C, 1, 1).",
            "C2",
            y="gamma[:, None] * x_hat + beta[:, None]",
        ),
        slip(
            "gamma per example",
            hints.GAMMA_PER_EXAMPLE,
            "C2",
            scale="gamma.reshape(-1, 1, 1, 1)",
            shift="beta.reshape(-1, 1, 1, 1)",
        ),
        slip(
            "statistics along the width",
            "The mean and inv_std of shape (C,) meet the last axis of x, the width. Keep the "
            "dimensions when you reduce, or reshape to (1, C, 1, 1).",
            "C2",
            mean="x.mean(axis=axes)",
            var="x.var(axis=axes)",
        ),
        slip(
            "scale and shift missing",
            hints.SCALE_AND_SHIFT_MISSING,
            "C2",
            y="x_hat.copy()",
        ),
        slip(
            "gamma missing",
            hints.GAMMA_MISSING,
            "C2",
            y="x_hat + shift",
        ),
        slip(
            "beta missing",
            hints.BETA_MISSING,
            "C2",
            y="scale * x_hat",
        ),
        slip(
            "beta scaled",
            hints.SHIFT_BEFORE_SCALE,
            "C2",
            y="scale * (x_hat + shift)",
        ),
        slip(
            "gamma and beta swapped",
            hints.GAMMA_AND_BETA_SWAPPED,
            "C2",
            y="shift * x_hat + scale",
        ),
        slip(
            "cache keeps dimensions",
            "y is right, but cache['inv_std'] kept the axes of length 1. Store it with shape (C,).",
            "C2",
            cached_inv_std="inv_std",
        ),
        slip(
            "gamma cached with four axes",
            "cache['gamma'] has the shape (1, C, 1, 1). Store gamma as it came, with shape (C,).",
            "C2",
            returns='y, {"x_hat": x_hat, "inv_std": cached_inv_std, "gamma": scale}',
        ),
        slip(
            "cache squeezed",
            hints.squeezed(
                "with one channel nothing is left of cache['inv_std']",
                "Say the shape that you want: reshape(-1).",
            ),
            "C2",
            cached_inv_std="np.squeeze(inv_std)",
        ),
        slip(
            "cache holds the standard deviation",
            hints.CACHE_HOLDS_THE_STANDARD_DEVIATION,
            "C2",
            cached_inv_std="np.sqrt(var + eps).reshape(-1)",
        ),
        slip(
            "cache holds the variance",
            hints.CACHE_HOLDS_THE_VARIANCE,
            "C2",
            cached_inv_std="var.reshape(-1)",
        ),
        slip(
            "cache holds y",
            hints.CACHE_HOLDS_Y,
            "C2",
            returns='y, {"x_hat": y, "inv_std": cached_inv_std, "gamma": gamma}',
        ),
        slip(
            "cache holds rows",
            "cache['x_hat'] holds the rows of shape (N H W, C) that the statistics were taken of. "
            "Bring x_hat back to the shape of x, as y.",
            "C1",
            x_hat=Instead("x_hat = (x - mean) * inv_std\nrows = x_hat.transpose(0, 2, 3, 1)"),
            returns='y, {"x_hat": rows.reshape(-1, x.shape[1]), "inv_std": cached_inv_std, '
            '"gamma": gamma}',
        ),
        slip(
            "cache holds the centred images",
            hints.CACHE_HOLDS_X_CENTRED,
            "C2",
            returns='y, {"x_hat": x - mean, "inv_std": cached_inv_std, "gamma": gamma}',
        ),
        slip(
            "cache missing",
            hints.CACHE_MISSING,
            "C2",
            returns="y",
        ),
        slip(
            "in place",
            hints.X_OVERWRITTEN,
            "C2",
            x_hat=Instead("x -= mean\nx *= inv_std\nx_hat = x"),
        ),
        *in_float32(
            slip,
            "C1",
            "The images are",
            rounded={"axes": Instead("axes = (0, 2, 3)\nx = x.astype(np.float32).astype(x.dtype)")},
            inside={"axes": Instead("axes = (0, 2, 3)\nx = x.astype(np.float32)")},
        ),
    ],
)
