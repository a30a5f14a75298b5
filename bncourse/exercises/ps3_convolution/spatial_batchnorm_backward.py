"""The exercise spatial_batchnorm_backward: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, function_exercise
from bncourse.exercises import hints
from bncourse.exercises.ps3_convolution.families import TOLERANCE, in_float32
from bncourse.exercises.ps3_convolution.inputs import channels_last_memory, images
from bncourse.inputs import cast, enlarged, scale_and_shift
from bncourse.reference import convolution
from bncourse.slips import Instead, Right


def _cases(rng):
    def given(shape=(4, 3, 5, 6), eps=1e-5, gamma=None, **options):
        x = images(rng, shape, **options)
        parameters = scale_and_shift(rng, shape[1]) | ({} if gamma is None else {"gamma": gamma})
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
        "images of one row": Case(given((4, 3, 1, 6))),
        "one channel": Case(given((4, 1, 5, 6))),
        "one image with one channel": Case(given((1, 1, 5, 6))),
        "more channels than numbers per channel": Case(given((2, 15, 3, 1))),
        "stored as NHWC, viewed as NCHW": Case(stored_nhwc),
        "float32": Case(cast(given(), np.float32), "float32"),
        "large gradients": Case(enlarged(given())),
        "a gamma of zero": Case(given(gamma=np.array([0.0, 0.7, -1.3]))),
    }


def spatial_batchnorm_backward(dy, cache):
    x_hat = cache["x_hat"]
    inv_std = cache["inv_std"]
    gamma = cache["gamma"]
    axes = (0, 2, 3)
    dbeta = dy.sum(axis=axes)
    dgamma = (dy * x_hat).sum(axis=axes)
    count = dy.size // dy.shape[1]
    mean_path = (dbeta / count).reshape(1, -1, 1, 1)
    var_path = x_hat * (dgamma / count).reshape(1, -1, 1, 1)
    factor = (gamma * inv_std).reshape(1, -1, 1, 1)
    dx = factor * (dy - mean_path - var_path)
    return dx, dgamma, dbeta


RIGHT = Right(spatial_batchnorm_backward)
slip = RIGHT.slip

EXERCISE = function_exercise(
    convolution.spatial_batchnorm_backward,
    returns=("dx", "dgamma", "dbeta"),
    cases=_cases,
    see="C3",
    normalised="batch",
    insight="It is the backward pass of rows, with each pixel an example: the formula stays.",
    tolerance=TOLERANCE,
    mistakes=[
        slip(
            "divided by N only",
            "In dx the sums over N, H and W are divided by N alone. A channel's mean is made of "
            "N * H * W numbers: divide by that.",
            "C3",
            count="dy.shape[0]",
        ),
        slip(
            "divided by H*W only",
            "In dx the sums over N, H and W are divided by H * W, the pixels of one image. Divide "
            "by N * H * W.",
            "C3",
            count="dy.shape[2] * dy.shape[3]",
        ),
        slip(
            "divided by all channels",
            "In dx the sums of one channel are divided by dy.size, which counts the other "
            "channels too. Divide by N * H * W.",
            "C3",
            count="dy.size",
        ),
        slip(
            "sums in place of means",
            "dx subtracts the sums dbeta and dgamma. It needs the means: divide them by N * H * W.",
            "C3",
            count="1",
        ),
        slip(
            "N*H*W times too large",
            "dx is N * H * W times too large. Where dy is multiplied by the count and sums are "
            "subtracted, the whole is divided by the count once more.",
            "C3",
            dx="factor * (dy - mean_path - var_path) * count",
        ),
        slip(
            "N*H*W - 1",
            "The term with x_hat is divided by N * H * W - 1, as for the unbiased variance. The "
            "forward pass divides by the biased one, so divide by N * H * W.",
            "C3",
            var_path="x_hat * (dgamma / (count - 1)).reshape(1, -1, 1, 1)",
        ),
        slip(
            "N*H*W - 1 in both means",
            "dx divides by N * H * W - 1. Forward divides by N * H * W, so its derivative does.",
            "C3",
            count="dy.size // dy.shape[1] - 1",
        ),
        slip(
            "means per pixel",
            "The means in dx run over the batch only, one for each pixel position. The forward "
            "pass pooled over N, H and W, so the backward pass does too.",
            "C3",
            mean_path="dy.mean(axis=0)",
            var_path="x_hat * (dy * x_hat).mean(axis=0)",
        ),
        slip(
            "means per image",
            "The means in dx run over each image by itself, as in instance norm. Take them over "
            "N, H and W.",
            "C3",
            mean_path="dy.mean(axis=(2, 3), keepdims=True)",
            var_path="x_hat * (dy * x_hat).mean(axis=(2, 3), keepdims=True)",
        ),
        slip(
            "sums over N divided by N*H*W",
            "The two sums run over the images only and are divided by N H W. Sum over all that you "
            "divide by: axes 0, 2 and 3.",
            "C1",
            mean_path="dy.sum(axis=0) / count",
            var_path="x_hat * (dy * x_hat).sum(axis=0) / count",
        ),
        slip(
            "reshaped without moving the channels",
            "dy and x_hat are reshaped to (N H W, C) as they lie in memory, which mixes the "
            "channels. Move the channel axis to the end first, and back afterwards.",
            "C1",
            dbeta=Instead(
                "shape = dy.shape\ndy = dy.reshape(-1, shape[1])\ndbeta = dy.sum(axis=0)"
            ),
            dgamma=Instead("x_hat = x_hat.reshape(dy.shape)\ndgamma = (dy * x_hat).sum(axis=0)"),
            count="len(dy)",
            mean_path="dbeta / count",
            var_path="x_hat * dgamma / count",
            factor="gamma * inv_std",
            dx="(factor * (dy - mean_path - var_path)).reshape(shape)",
        ),
        slip(
            "reshaped back without moving the channels",
            "The way back of dx is missing a step: from (N*H*W, C) reshape to (N, H, W, C) first, "
            "then move the channels to axis 1.",
            "C1",
            dx="(factor * (dy - mean_path - var_path)).transpose(0, 2, 3, 1).reshape(dy.shape)",
        ),
        slip(
            "own pixel only",
            "dx holds the effect of each x on its own y only. Each x moves every y of its channel, "
            "through the mean and the variance: sum over all of them.",
            "C3",
            dx="factor * dy * (1 - 1 / count - x_hat**2 / count)",
        ),
        slip(
            "x - mean in the mean",
            hints.CENTRED_IN_THE_MEAN,
            "C3",
            var_path="x_hat * (dgamma / inv_std / count).reshape(1, -1, 1, 1)",
        ),
        slip(
            "x_hat in the place of x - mean",
            hints.X_HAT_FOR_X_MINUS_MEAN,
            "C3",
            var_path="x_hat * (dgamma * inv_std / count).reshape(1, -1, 1, 1)",
        ),
        slip(
            "averaged with dimensions kept",
            "dgamma and dbeta are means with four axes. They are sums over N, H and W, of the "
            "shape (C,): write sum in the place of mean, and drop keepdims.",
            "C1",
            returns=Instead(
                """
                dgamma = (dy * x_hat).mean(axis=axes, keepdims=True)
                return dx, dgamma, dy.mean(axis=axes, keepdims=True)
                """
            ),
        ),
        slip(
            "means over all channels",
            "The means in dx run over the channels as well. Each channel has its own: reduce axes "
            "0, 2 and 3.",
            "C3",
            mean_path="dy.mean()",
            var_path="x_hat * (dy * x_hat).mean()",
        ),
        slip(
            "path through the mean missing",
            "dx misses the path through the mean: every pixel moves the mean of its channel. "
            "Subtract mean(dy).",
            "C3",
            dx="factor * (dy - var_path)",
        ),
        slip(
            "path through the variance missing",
            "dx misses the path through the variance: every pixel moves the variance of its "
            "channel. Subtract x_hat * mean(dy * x_hat).",
            "C3",
            dx="factor * (dy - mean_path)",
        ),
        slip(
            "direct path only",
            "dx treats the mean and the variance as constants, as at inference. In training they "
            "depend on x: two more terms follow.",
            "C3",
            dx="factor * dy",
        ),
        slip(
            "x_hat forgotten in the variance path",
            "The last term of dx is the mean of dy * x_hat alone. Multiply it by x_hat: a pixel "
            "moves the variance by how far it lies from the mean.",
            "C3",
            var_path="(dgamma / count).reshape(1, -1, 1, 1)",
        ),
        slip(
            "sign of the variance path",
            hints.SIGN_OF_THE_VARIANCE_PATH,
            "C3",
            dx="factor * (dy - mean_path + var_path)",
        ),
        slip(
            "sign of the mean path",
            "mean(dy) is added in dx. Both means are subtracted.",
            "C3",
            dx="factor * (dy + mean_path - var_path)",
        ),
        slip(
            "variance path twice as large",
            hints.VARIANCE_PATH_TWICE_AS_LARGE,
            "C3",
            dx="factor * (dy - mean_path - 2 * var_path)",
        ),
        slip(
            "variance path half as large",
            hints.VARIANCE_PATH_HALF_AS_LARGE,
            "C3",
            dx="factor * (dy - mean_path - 0.5 * var_path)",
        ),
        slip(
            "gamma forgotten in dx",
            "dx lacks the factor gamma: the gradient passes through the scale on its way back.",
            "C3",
            factor="inv_std.reshape(1, -1, 1, 1)",
        ),
        slip(
            "inv_std forgotten in dx",
            hints.INV_STD_FORGOTTEN_IN_DX,
            "C3",
            factor="gamma.reshape(1, -1, 1, 1)",
        ),
        slip(
            "divided by the variance",
            hints.DIVIDED_BY_THE_VARIANCE,
            "C3",
            factor="(gamma * inv_std**2).reshape(1, -1, 1, 1)",
        ),
        slip(
            "divided by inv_std",
            hints.DIVIDED_BY_INV_STD,
            "C3",
            factor="(gamma / inv_std).reshape(1, -1, 1, 1)",
        ),
        slip(
            "factor along the width",
            "gamma * inv_std has the shape (C,) and meets the width. Give it the shape "
            "(1, C, 1, 1).",
            "C3",
            factor="gamma * inv_std",
        ),
        slip(
            "sums along the width",
            "dbeta and dgamma of shape (C,) meet the width in dx. Give them the shape "
            "(1, C, 1, 1) there.",
            "C3",
            mean_path="dbeta / count",
            var_path="x_hat * dgamma / count",
        ),
        slip(
            "not summed over H and W",
            "dgamma and dbeta are summed over the batch only. One gamma serves all pixels of its "
            "channel, so its gradient sums over N, H and W.",
            "C3",
            returns="dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)",
        ),
        slip(
            "not summed over N",
            "dgamma and dbeta are summed over the pixels of each image only. Sum over the batch "
            "too: one gamma serves all images.",
            "C3",
            returns="dx, (dy * x_hat).sum(axis=(2, 3)), dy.sum(axis=(2, 3))",
        ),
        slip(
            "averaged",
            "dgamma and dbeta are averaged. The loss adds up the pixels, so these gradients are "
            "sums; only dx needs means.",
            "C3",
            returns="dx, dgamma / count, dbeta / count",
        ),
        slip(
            "dgamma averaged",
            "dbeta is a sum, and dgamma is averaged. The loss adds up the pixels, so both are "
            "sums; only dx needs means.",
            "C3",
            returns="dx, dgamma / count, dbeta",
        ),
        slip(
            "averaged over the images",
            "dgamma and dbeta are divided by the number of images. If the loss is a mean, dy "
            "holds that factor already: only sum.",
            "C3",
            returns="dx, dgamma / len(dy), dbeta / len(dy)",
        ),
        slip(
            "dgamma and dbeta swapped",
            hints.DGAMMA_AND_DBETA_SWAPPED,
            "C3",
            returns="dx, dbeta, dgamma",
        ),
        slip(
            "dx returned last",
            hints.DX_RETURNED_LAST,
            "C3",
            returns="dgamma, dbeta, dx",
        ),
        slip(
            "gamma in dgamma",
            hints.GAMMA_IN_DGAMMA,
            "C3",
            returns="dx, gamma * dgamma, dbeta",
        ),
        slip(
            "gamma in dgamma and dbeta",
            hints.GAMMA_IN_DGAMMA_AND_DBETA,
            "C3",
            returns="dx, gamma * dgamma, gamma * dbeta",
        ),
        slip(
            "sums keep dimensions",
            "dgamma and dbeta kept the axes of length 1. Return them with shape (C,), as gamma and "
            "beta have it.",
            "C3",
            returns="dx, dgamma.reshape(1, -1, 1, 1), dbeta.reshape(1, -1, 1, 1)",
        ),
        slip(
            "sums squeezed",
            hints.squeezed(
                "with one channel nothing is left of dgamma and dbeta",
                "Say the shape that you want: reshape(-1).",
            ),
            "C3",
            returns="dx, np.squeeze(dgamma), np.squeeze(dbeta)",
        ),
        slip(
            "in place",
            hints.DY_OVERWRITTEN,
            "C3",
            dx=Instead("dy -= mean_path + var_path\ndx = factor * dy"),
        ),
        slip(
            "cache overwritten",
            hints.CACHE_OVERWRITTEN,
            "C3",
            var_path=Instead("x_hat *= (dgamma / count).reshape(1, -1, 1, 1)\nvar_path = x_hat"),
        ),
        *in_float32(
            slip,
            "C3",
            "The gradient is",
            rounded={
                "axes": Instead("axes = (0, 2, 3)\ndy = dy.astype(np.float32).astype(dy.dtype)")
            },
            inside={
                "axes": Instead(
                    "axes = (0, 2, 3)\ndy, x_hat = dy.astype(np.float32), x_hat.astype(np.float32)"
                )
            },
        ),
    ],
)
