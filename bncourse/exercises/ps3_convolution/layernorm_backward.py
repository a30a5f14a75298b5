"""The exercise layernorm_backward: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, function_exercise
from bncourse.exercises import hints
from bncourse.exercises.ps3_convolution.families import TOLERANCE, in_float32
from bncourse.exercises.ps3_convolution.inputs import rows
from bncourse.inputs import cast, enlarged, scale_and_shift
from bncourse.reference import convolution
from bncourse.slips import Instead, Right


def _cases(rng):
    def given(n=7, d=4, eps=1e-5, gamma=None, **options):
        x = rows(rng, n, d, **options)
        affine = scale_and_shift(rng, d) | ({} if gamma is None else {"gamma": gamma})
        cache = convolution.layernorm_forward(x, **affine, eps=eps)[1]
        return {"dy": 0.5 + rng.standard_normal((n, d)), "cache": cache}

    stored = given()
    return {
        "a random batch": Case(given()),
        "as many examples as features": Case(given(n=5, d=5)),
        "more features than examples": Case(given(n=4, d=9)),
        "one example": Case(given(n=1, d=6)),
        "one feature": Case(given(n=6, d=1)),
        "a variance smaller than eps": Case(given(scale=1e-3)),
        "a large eps": Case(given(eps=0.5)),
        "stored column by column": Case(stored | {"dy": np.asfortranarray(stored["dy"])}),
        "float32": Case(cast(given(), np.float32), "float32"),
        "large gradients": Case(enlarged(given())),
        "a gamma of zero": Case(given(gamma=np.array([0.0, 0.7, -1.3, 2.0]))),
    }


def layernorm_backward(dy, cache):
    x_hat = cache["x_hat"]
    inv_std = cache["inv_std"][:, None]
    gamma = cache["gamma"]
    dbeta = dy.sum(axis=0)
    dgamma = (dy * x_hat).sum(axis=0)
    g = dy * gamma
    mean_path = g.mean(axis=1, keepdims=True)
    var_path = x_hat * (g * x_hat).mean(axis=1, keepdims=True)
    dx = inv_std * (g - mean_path - var_path)
    return dx, dgamma, dbeta


RIGHT = Right(layernorm_backward)
slip = RIGHT.slip

EXERCISE = function_exercise(
    convolution.layernorm_backward,
    returns=("dx", "dgamma", "dbeta"),
    cases=_cases,
    see="C5",
    normalised="example",
    insight="dx sums to 0 over the features of each example: the axis moved, the formula stayed.",
    tolerance=TOLERANCE,
    mistakes=[
        slip(
            "gamma outside the means",
            "gamma stands in front, as in batch norm. Here it varies along the axis that the means "
            "run over, so it cannot leave them: multiply dy by gamma first.",
            "C5",
            g="dy",
            dx="gamma * inv_std * (g - mean_path - var_path)",
        ),
        slip(
            "means over the batch",
            "The means in dx run over the examples, as in batch norm. The forward pass pooled the "
            "features of each example: axis 1.",
            "C5",
            mean_path="g.mean(axis=0)",
            var_path="x_hat * (g * x_hat).mean(axis=0)",
        ),
        slip(
            "means over everything",
            "The means in dx run over the whole array. Each example has its own: reduce axis 1.",
            "C5",
            mean_path="g.mean()",
            var_path="x_hat * (g * x_hat).mean()",
        ),
        slip(
            "divided by N",
            hints.DIVIDED_BY_N,
            "C5",
            mean_path="g.sum(axis=1, keepdims=True) / len(dy)",
            var_path="x_hat * (g * x_hat).sum(axis=1, keepdims=True) / len(dy)",
        ),
        slip(
            "sums in place of means",
            "dx subtracts sums over the features. It needs the means: divide them by D.",
            "C5",
            mean_path="g.sum(axis=1, keepdims=True)",
            var_path="x_hat * (g * x_hat).sum(axis=1, keepdims=True)",
        ),
        slip(
            "own feature only",
            "dx holds the effect of each x on its own y only. Each x moves every y of its example, "
            "through the mean and the variance: sum over all of them.",
            "C5",
            dx="inv_std * g * (1 - 1 / dy.shape[1] - x_hat**2 / dy.shape[1])",
        ),
        slip(
            "x - mean in the mean",
            hints.CENTRED_IN_THE_MEAN,
            "C5",
            var_path="x_hat * (g * x_hat / inv_std).mean(axis=1, keepdims=True)",
        ),
        slip(
            "x_hat in the place of x - mean",
            hints.X_HAT_FOR_X_MINUS_MEAN,
            "C5",
            var_path="x_hat * inv_std * (g * x_hat).mean(axis=1, keepdims=True)",
        ),
        slip(
            "D times too large",
            "dx is D times too large. Where g is multiplied by D and sums are subtracted, the "
            "whole is divided by D once more.",
            "C5",
            dx="inv_std * (g - mean_path - var_path) * dy.shape[1]",
        ),
        slip(
            "D - 1",
            "The term with x_hat is divided by D - 1, as for the unbiased variance. The forward "
            "pass divides by the biased one, so divide by D.",
            "C5",
            var_path="x_hat * (g * x_hat).sum(axis=1, keepdims=True) / (dy.shape[1] - 1)",
        ),
        slip(
            "D - 1 in both means",
            "dx divides by D - 1. Forward divides by D, so its derivative does.",
            "C5",
            mean_path="g.sum(axis=1, keepdims=True) / (dy.shape[1] - 1)",
            var_path="x_hat * (g * x_hat).sum(axis=1, keepdims=True) / (dy.shape[1] - 1)",
        ),
        slip(
            "path through the mean missing",
            "dx misses the path through the mean: every feature moves the mean of its example.",
            "C5",
            dx="inv_std * (g - var_path)",
        ),
        slip(
            "path through the variance missing",
            "dx misses the path through the variance: every feature moves the variance of its "
            "example. Subtract the term with x_hat.",
            "C5",
            dx="inv_std * (g - mean_path)",
        ),
        slip(
            "direct path only",
            "dx treats the mean and the variance as constants. They depend on x: two more terms "
            "follow.",
            "C5",
            dx="inv_std * g",
        ),
        slip(
            "x_hat forgotten in the variance path",
            "The last term of dx is the mean of g * x_hat alone. Multiply it by x_hat: a feature "
            "moves the variance by how far it lies from the mean.",
            "C5",
            var_path="(g * x_hat).mean(axis=1, keepdims=True)",
        ),
        slip(
            "gamma forgotten in dx",
            "dx lacks gamma: the gradient passes through the scale on its way back.",
            "C5",
            g="dy",
        ),
        slip(
            "gamma twice in dx",
            "dx holds gamma twice, in g and in front. It belongs into g alone.",
            "C5",
            dx="gamma * inv_std * (g - mean_path - var_path)",
        ),
        slip(
            "inv_std forgotten in dx",
            hints.INV_STD_FORGOTTEN_IN_DX,
            "C5",
            dx="g - mean_path - var_path",
        ),
        slip(
            "divided by the variance",
            hints.DIVIDED_BY_THE_VARIANCE,
            "C5",
            dx="inv_std**2 * (g - mean_path - var_path)",
        ),
        slip(
            "divided by inv_std",
            hints.DIVIDED_BY_INV_STD,
            "C5",
            dx="(g - mean_path - var_path) / inv_std",
        ),
        slip(
            "sign of the variance path",
            hints.SIGN_OF_THE_VARIANCE_PATH,
            "C5",
            dx="inv_std * (g - mean_path + var_path)",
        ),
        slip(
            "sign of the mean path",
            "mean(g) is added in dx. Both means are subtracted.",
            "C5",
            dx="inv_std * (g + mean_path - var_path)",
        ),
        slip(
            "variance path twice as large",
            hints.VARIANCE_PATH_TWICE_AS_LARGE,
            "C5",
            dx="inv_std * (g - mean_path - 2 * var_path)",
        ),
        slip(
            "variance path half as large",
            hints.VARIANCE_PATH_HALF_AS_LARGE,
            "C5",
            dx="inv_std * (g - mean_path - 0.5 * var_path)",
        ),
        slip(
            "summed over the features",
            "dgamma and dbeta are summed over the features. Each feature has its own gamma, which "
            "serves all examples: sum over axis 0.",
            "C5",
            returns="dx, (dy * x_hat).sum(axis=1), dy.sum(axis=1)",
        ),
        slip(
            "not summed",
            "dgamma and dbeta are not summed. One gamma serves all examples: sum over axis 0.",
            "C5",
            returns="dx, dy * x_hat, dy",
        ),
        slip(
            "averaged",
            "dgamma and dbeta are averaged. The loss adds up the examples, so these gradients are "
            "sums.",
            "C5",
            returns="dx, dgamma / len(dy), dbeta / len(dy)",
        ),
        slip(
            "dgamma averaged",
            hints.DGAMMA_AVERAGED,
            "C5",
            returns="dx, dgamma / len(dy), dbeta",
        ),
        slip(
            "dgamma and dbeta swapped",
            hints.DGAMMA_AND_DBETA_SWAPPED,
            "C5",
            returns="dx, dbeta, dgamma",
        ),
        slip(
            "dx returned last",
            hints.DX_RETURNED_LAST,
            "C5",
            returns="dgamma, dbeta, dx",
        ),
        slip(
            "gamma in dgamma",
            hints.GAMMA_IN_DGAMMA,
            "C5",
            returns="dx, gamma * dgamma, dbeta",
        ),
        slip(
            "gamma in dgamma and dbeta",
            hints.GAMMA_IN_DGAMMA_AND_DBETA,
            "C5",
            returns="dx, gamma * dgamma, gamma * dbeta",
        ),
        slip(
            "sums keep dimensions",
            "dgamma and dbeta have the shape (1, D). Return them with shape (D,), as gamma and "
            "beta have it.",
            "C5",
            returns="dx, dgamma[None], dbeta[None]",
        ),
        slip(
            "sums squeezed",
            hints.squeezed(
                "with one feature nothing is left of dgamma and dbeta",
                "Say the shape that you want: reshape(-1).",
            ),
            "C5",
            returns="dx, np.squeeze(dgamma), np.squeeze(dbeta)",
        ),
        slip(
            "inv_std along the features",
            "inv_std has the shape (N,) and meets the features. Write inv_std[:, None], so that it "
            "meets the examples.",
            "C5",
            inv_std='cache["inv_std"]',
        ),
        slip(
            "in place",
            hints.DY_OVERWRITTEN,
            "C5",
            g=Instead("dy *= gamma\ng = dy"),
        ),
        slip(
            "cache overwritten",
            hints.CACHE_OVERWRITTEN,
            "C5",
            var_path=Instead("x_hat *= (g * x_hat).mean(axis=1, keepdims=True)\nvar_path = x_hat"),
        ),
        *in_float32(
            slip,
            "C5",
            "The gradient is",
            rounded={
                "dbeta": Instead(
                    "dy = dy.astype(np.float32).astype(dy.dtype)\ndbeta = dy.sum(axis=0)"
                )
            },
            inside={
                "dbeta": Instead(
                    "dy, x_hat = dy.astype(np.float32), x_hat.astype(np.float32)\n"
                    "dbeta = dy.sum(axis=0)"
                )
            },
        ),
    ],
)
