"""The exercise groupnorm_forward: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.exercises import hints
from bncourse.exercises.ps3_convolution.families import TOLERANCE, cancelling, in_float32, own_eps
from bncourse.exercises.ps3_convolution.inputs import channels_last_memory, images
from bncourse.inputs import SMALL_EPS, cast, scale_and_shift
from bncourse.reference import convolution
from bncourse.slips import Instead, Right


def _cases(rng):
    def given(shape=(4, 6, 5, 3), **options):
        return {"x": images(rng, shape, **options), **scale_and_shift(rng, shape[1])}

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
        "one channel": Case(given((4, 1, 5, 3)) | {"groups": 1}),
        "images of one pixel": Case(given((4, 6, 1, 1)) | {"groups": 2}),
        "images of one row": Case(given((4, 6, 1, 5)) | {"groups": 3}),
        "a variance smaller than eps": Case(given(scale=1e-3) | {"groups": 3, "eps": 1e-5}),
        "a large eps": Case(given() | {"groups": 2, "eps": 0.5}),
        # With a small eps the rounding of the mean, over the root of eps, would be all there is.
        "a constant group": Case(constant | {"groups": 2, "eps": 0.5}),
        "stored as NHWC, viewed as NCHW": Case(
            stored_nhwc | {"x": channels_last_memory(stored_nhwc["x"]), "groups": 3}
        ),
        "float32": Case(cast(given(), np.float32) | {"groups": 3}, "float32"),
        # Correct solutions agree to some 1e-4 only. E[x^2] - E[x]^2 is off by 1e-2 and more, but
        # seldom so far that the root of a negative number hides it.
        "float32 with mean near 1e4": Case(
            cast(given(offset=1e4, scale=5.0), np.float32) | {"groups": 2},
            "float32",
            rtol=3e-3,
            noisy=True,
        ),
        # Who computes in float64 passes the one above in any way. The mean is rounded to 1e-10.
        "mean near 1e6": Case(given(offset=1e6, scale=0.1) | {"groups": 2}, rtol=1e-5, noisy=True),
        "a gamma of zero": Case(_without_a_channel(given()) | {"groups": 2}),
        "a small eps": Case(given(scale=1e-3) | {"groups": 2, "eps": SMALL_EPS}),
    }


def _without_a_channel(inputs):
    """Return inputs whose second channel is scaled away."""
    inputs["gamma"][1] = 0.0
    return inputs


def groupnorm_forward(x, gamma, beta, groups, eps=1e-5):
    n, c, h, w = x.shape
    grouped = x.reshape(n, groups, c // groups, h, w)
    axes = (2, 3, 4)
    mean = grouped.mean(axis=axes, keepdims=True)
    var = grouped.var(axis=axes, keepdims=True)
    std = np.sqrt(var + eps)
    x_hat = ((grouped - mean) / std).reshape(x.shape)
    scale = gamma.reshape(1, -1, 1, 1)
    shift = beta.reshape(1, -1, 1, 1)
    y = scale * x_hat + shift
    return y


def in_place(x, gamma, beta, groups, eps=1e-5):
    size = x.shape[1] // groups
    for g in range(groups):
        part = x[:, g * size : (g + 1) * size]
        part -= part.mean(axis=(1, 2, 3), keepdims=True)
        part /= np.sqrt(part.var(axis=(1, 2, 3), keepdims=True) + eps)
    return gamma.reshape(1, -1, 1, 1) * x + beta.reshape(1, -1, 1, 1)


RIGHT = Right(groupnorm_forward)
slip = RIGHT.slip

EXERCISE = function_exercise(
    convolution.groupnorm_forward,
    returns="y",
    cases=_cases,
    see="C6",
    normalised="example",
    insight="One group is layer norm over (C, H, W); a group for each channel is instance norm.",
    tolerance=TOLERANCE,
    mistakes=[
        slip(
            "interleaved channels",
            "Channels that lie apart share a group (0, G, 2G, ...). A group is a run of "
            "neighbouring channels: reshape to (N, groups, C // groups, H, W).",
            "C6",
            grouped="x.reshape(n, c // groups, groups, h, w)",
            axes="(1, 3, 4)",
        ),
        slip(
            "number and size of groups confused",
            "groups is taken for the number of channels in a group. It is the number of groups; "
            "each holds C // groups channels.",
            "C6",
            grouped="x.reshape(n, c // groups, groups, h, w)",
        ),
        slip(
            "pooled across the groups",
            "The axis of the groups is reduced and the one within a group is not: the first "
            "channels of all groups share a statistic. Reduce the axes after the groups: 2, 3, 4.",
            "C6",
            axes="(1, 3, 4)",
        ),
        slip(
            "pooled over the batch",
            "The statistics run over the batch as well. Group norm treats each example on its own: "
            "do not reduce axis 0.",
            "C6",
            axes="(0, 2, 3, 4)",
        ),
        slip(
            "groups of memory",
            "reshape(groups, -1) cuts the whole batch into groups, so images share statistics. "
            "The batch axis comes first: (N, groups, ...).",
            "C6",
            grouped="x.reshape(groups, -1)",
            axes="1",
        ),
        slip(
            "statistics per pixel",
            "Each pixel position has statistics of its own. Pool over H and W too.",
            "C6",
            axes="2",
        ),
        slip(
            "instance norm",
            "Each channel has statistics of its own, which is instance norm. Pool over the "
            "channels of a group too.",
            "C6",
            axes="(3, 4)",
        ),
        slip(
            "groups ignored",
            "All channels of an example share their statistics, whatever groups says. Split the "
            "channels into groups first.",
            "C6",
            axes="(1, 2, 3, 4)",
        ),
        slip(
            "batch norm",
            "This is batch norm: statistics per channel, pooled over the batch. Group norm pools "
            "over the channels of a group, within one example.",
            "C6",
            axes="(0, 3, 4)",
        ),
        slip(
            "average of the channels' variances",
            "The variance of a group is the average of the variances of its channels. It misses "
            "that the channels' means differ: take squared distances from the group's mean.",
            "C6",
            var="grouped.var(axis=(3, 4), keepdims=True).mean(axis=2, keepdims=True)",
        ),
        slip(
            "unbiased variance",
            "The variance is the unbiased one. Use the biased one, divided by the full count.",
            "C6",
            var="grouped.var(axis=axes, keepdims=True, ddof=1)",
        ),
        slip(
            "divided by H*W only",
            "The sums run over the channels of a group, H and W, and are divided by H * W alone. "
            "Divide by (C // groups) * H * W.",
            "C6",
            mean="grouped.sum(axis=axes, keepdims=True) / (h * w)",
            var="((grouped - mean) ** 2).sum(axis=axes, keepdims=True) / (h * w)",
        ),
        *cancelling(slip, "C6", "grouped", "axes"),
        slip(
            "eps missing",
            "eps is missing under the root. A group that hardly varies is then blown up.",
            "C6",
            std="np.sqrt(var)",
        ),
        slip(
            "eps outside the root",
            hints.EPS_OUTSIDE_THE_ROOT,
            "C6",
            std="np.sqrt(var) + eps",
        ),
        *own_eps(slip, "C6", "std", "np.sqrt({})", ("axes", "(2, 3, 4)")),
        slip(
            "root missing",
            hints.ROOT_MISSING,
            "C6",
            std="var + eps",
        ),
        slip(
            "mean not subtracted",
            "The mean of the group is not subtracted. Centre first, then divide.",
            "C6",
            x_hat="(grouped / std).reshape(x.shape)",
        ),
        slip(
            "gamma along the width",
            "gamma and beta of shape (C,) meet the last axis, the width. Give them the shape "
            "(1, C, 1, 1).",
            "C6",
            y="gamma * x_hat + beta",
        ),
        slip(
            "gamma per example",
            hints.GAMMA_PER_EXAMPLE,
            "C6",
            scale="gamma.reshape(-1, 1, 1, 1)",
            shift="beta.reshape(-1, 1, 1, 1)",
        ),
        slip(
            "gamma per group",
            "One gamma serves a whole group. Statistics are shared in a group, gamma and beta are "
            "not: each channel has its own.",
            "C6",
            scale="np.repeat(gamma[:groups], c // groups).reshape(1, -1, 1, 1)",
            shift="np.repeat(beta[:groups], c // groups).reshape(1, -1, 1, 1)",
        ),
        slip(
            "scale and shift missing",
            hints.SCALE_AND_SHIFT_MISSING,
            "C6",
            returns="x_hat",
        ),
        slip(
            "gamma missing",
            hints.GAMMA_MISSING,
            "C6",
            y="x_hat + shift",
        ),
        slip(
            "beta missing",
            hints.BETA_MISSING,
            "C6",
            y="scale * x_hat",
        ),
        slip(
            "beta scaled",
            hints.SHIFT_BEFORE_SCALE,
            "C6",
            y="scale * (x_hat + shift)",
        ),
        slip(
            "gamma and beta swapped",
            hints.GAMMA_AND_BETA_SWAPPED,
            "C6",
            y="shift * x_hat + scale",
        ),
        slip(
            "not reshaped back",
            "The result still has five axes. Reshape it back to the shape of x.",
            "C6",
            x_hat="(grouped - mean) / std",
            scale="gamma.reshape(1, groups, -1, 1, 1)",
            shift="beta.reshape(1, groups, -1, 1, 1)",
        ),
        slip(
            "squeezed",
            hints.squeezed("one image or one pixel loses its axis", "Return the shape of x."),
            "C6",
            returns="np.squeeze(y)",
        ),
        Mistake(
            "in place",
            in_place,
            "The images are overwritten: a slice or a reshaped array may be a view. Write into "
            "new arrays.",
            "C6",
        ),
        *in_float32(
            slip,
            "C6",
            "The images are",
            rounded={
                "axes": Instead(
                    "axes = (2, 3, 4)\ngrouped = grouped.astype(np.float32).astype(x.dtype)"
                )
            },
            inside={"axes": Instead("axes = (2, 3, 4)\ngrouped = grouped.astype(np.float32)")},
        ),
    ],
)
