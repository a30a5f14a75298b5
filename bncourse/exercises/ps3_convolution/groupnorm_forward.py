"""The exercise groupnorm_forward: its cases and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.exercises.ps3_convolution.inputs import channels_last_memory, images, scale_and_shift
from bncourse.inputs import cast
from bncourse.reference import convolution


def _group_cases(rng):
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
        "a variance smaller than eps": Case(given(scale=1e-3) | {"groups": 3, "eps": 1e-5}),
        "a large eps": Case(given() | {"groups": 2, "eps": 0.5}),
        # With a small eps the rounding of the mean, over the root of eps, would be all there is.
        "a constant group": Case(constant | {"groups": 2, "eps": 0.5}),
        "stored as NHWC, viewed as NCHW": Case(
            stored_nhwc | {"x": channels_last_memory(stored_nhwc["x"]), "groups": 3}
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


EXERCISE = function_exercise(
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
