"""The exercise spatial_batchnorm_backward: its cases and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.exercises.ps3_convolution.inputs import channels_last_memory, images, scale_and_shift
from bncourse.inputs import cast
from bncourse.reference import convolution


def _spatial_backward_cases(rng):
    def given(shape=(4, 3, 5, 6), eps=1e-5, **options):
        x = images(rng, shape, **options)
        parameters = scale_and_shift(rng, shape[1])
        cache = convolution.spatial_batchnorm_forward(x, **parameters, eps=eps)[1]
        return {"dy": 0.5 + rng.standard_normal(shape), "cache": cache}

    stored_nhwc = given()
    stored_nhwc["dy"] = channels_last_memory(stored_nhwc["dy"])
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


EXERCISE = function_exercise(
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
