"""The exercise batchnorm_backward: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, function_exercise
from bncourse.exercises import hints
from bncourse.exercises.ps1_forward.shared import TOLERANCE
from bncourse.inputs import batch, cast, enlarged, scale_and_shift, upstream
from bncourse.reference import backward, forward
from bncourse.slips import Instead, Right


def _backward_cases(rng):
    def given(n=7, d=4, eps=1e-5, gamma=None, **options):
        affine = scale_and_shift(rng, d)
        gamma = affine["gamma"] if gamma is None else gamma
        x = batch(rng, n, d, **options)
        cache = forward.batchnorm_forward(x, gamma, affine["beta"], eps)[1]
        return {"dy": upstream(rng, n, d), "cache": cache}

    by_column = given()
    by_column["dy"] = np.asfortranarray(by_column["dy"])
    by_column["cache"]["x_hat"] = np.asfortranarray(by_column["cache"]["x_hat"])
    return {
        "a random batch": Case(given()),
        "a variance smaller than eps": Case(given(scale=1e-3)),
        "a large eps": Case(given(eps=0.5)),
        "one feature": Case(given(d=1)),
        "more features than examples": Case(given(n=4, d=9)),
        "as many features as examples": Case(given(n=5, d=5)),
        # With a small eps every dx is nearly zero here, and rounding would be all there is.
        "two examples": Case(given(n=2, eps=0.5)),
        "one example": Case(given(n=1, eps=1e-2)),
        "a gamma of zero": Case(given(gamma=np.array([0.0, 0.7, -1.3, 2.0]))),
        # More would not tell more: dx element by element through J costs the square of it.
        "two hundred examples": Case(given(n=200, d=6)),
        "stored column by column": Case(by_column),
        "float32": Case(cast(given(), np.float32), "float32"),
        "large gradients": Case(enlarged(given())),
    }


def batchnorm_backward(dy, cache):
    x_hat = cache["x_hat"]
    inv_std = cache["inv_std"]
    gamma = cache["gamma"]
    N = len(dy)
    dgamma = (dy * x_hat).sum(axis=0)
    dbeta = dy.sum(axis=0)
    bracket = dy - dbeta / N - x_hat * dgamma / N
    dx = gamma * inv_std * bracket
    return dx, dgamma, dbeta


RIGHT = Right(batchnorm_backward)
slip = RIGHT.slip

EXERCISE = function_exercise(
    backward.batchnorm_backward,
    returns=("dx", "dgamma", "dbeta"),
    cases=_backward_cases,
    see="B7",
    normalised="batch",
    insight="dx sums to 0 over the batch: no gradient can move the mean of a feature.",
    tolerance=TOLERANCE,
    mistakes=[
        slip(
            "variance path missing",
            "The path through the variance is missing in dx: subtract x_hat mean(dy x_hat) too. A "
            "check with the loss sum(y) would not have shown it.",
            "B7",
            bracket="dy - dbeta / N",
        ),
        slip(
            "mean path missing",
            "The path through the mean is missing in dx: subtract mean(dy) too. A check with the "
            "loss sum(y^2) and beta = 0 would not have shown it.",
            "B7",
            bracket="dy - x_hat * dgamma / N",
        ),
        slip(
            "statistics held constant",
            "dx is that of constant statistics, which is right at inference only. In training the "
            "mean and the variance depend on x.",
            "B7",
            bracket="dy",
        ),
        slip(
            "gamma forgotten",
            "gamma is missing in dx: dy passes through the scale before it reaches x_hat.",
            "B2",
            dx="inv_std * bracket",
        ),
        slip(
            "gamma twice",
            "dx is multiplied by gamma twice: once in dx_hat and once in front of the bracket.",
            "B7",
            dx="gamma * inv_std * (gamma * bracket)",
        ),
        slip(
            "gamma in dgamma",
            "dgamma and dbeta are multiplied by gamma: dy was replaced by dy gamma before they "
            "were summed. They are made from dy as it arrives.",
            "B6",
            returns="dx, gamma * dgamma, gamma * dbeta",
        ),
        slip(
            "inv_std forgotten",
            "inv_std is missing in dx. A feature with a large spread receives a small gradient.",
            "B7",
            dx="gamma * bracket",
        ),
        slip(
            "divided by inv_std",
            hints.DIVIDED_BY_INV_STD,
            "B7",
            dx="gamma / inv_std * bracket",
        ),
        slip(
            "sums in place of means",
            "Inside the bracket the sums dbeta and dgamma stand undivided. Divide them by N, the "
            "number of examples.",
            "B7",
            bracket="dy - dbeta - x_hat * dgamma",
        ),
        slip(
            "mean path not divided",
            "The sum dbeta stands undivided in dx. Subtract the mean of dy: divide by N, the "
            "number of examples.",
            "B7",
            bracket="dy - dbeta - x_hat * dgamma / N",
        ),
        slip(
            "variance path not divided",
            "The sum dgamma stands undivided in dx. Subtract x_hat times a mean: divide by N, the "
            "number of examples.",
            "B7",
            bracket="dy - dbeta / N - x_hat * dgamma",
        ),
        slip(
            "variance path not scaled",
            "The factor gamma inv_std multiplies the first two terms of dx only. Put the third "
            "into the parentheses too.",
            "B7",
            dx="gamma * inv_std * (dy - dbeta / N) - x_hat * dgamma / N",
        ),
        slip(
            "own example only",
            hints.OWN_EXAMPLE_ONLY,
            "B8",
            dx="gamma * inv_std * dy * (1 - 1 / N - x_hat**2 / N)",
        ),
        slip(
            "own example only, by the quotient rule",
            hints.OWN_EXAMPLE_ONLY_BY_QUOTIENT,
            "B8",
            dx="gamma * inv_std * dy * (1 - 1 / N) * (1 - x_hat**2 / N)",
        ),
        slip(
            "x - mean in the mean",
            hints.CENTRED_IN_THE_MEAN,
            "B7",
            bracket="dy - dbeta / N - x_hat * dgamma / N / inv_std",
        ),
        slip(
            "x_hat in the place of x - mean",
            hints.X_HAT_FOR_X_MINUS_MEAN,
            "B5",
            bracket="dy - dbeta / N - x_hat * inv_std * dgamma / N",
        ),
        slip(
            "N times too large",
            "dx is N times too large. The form N dy - sum(dy) - x_hat sum(dy x_hat) needs a factor "
            "1/N in front.",
            "B7",
            bracket="N * dy - dbeta - x_hat * dgamma",
        ),
        slip(
            "N - 1",
            "The term of the variance is divided by N - 1, as for the unbiased variance. The "
            "batch was normalised with the biased one: divide by N.",
            "B7",
            dx="gamma * inv_std / N * (N * dy - N / (N - 1) * x_hat * dgamma - dbeta)",
        ),
        slip(
            "N - 1 in both means",
            hints.N_MINUS_1_IN_DX,
            "B7",
            bracket="dy - dbeta / (N - 1) - x_hat * dgamma / (N - 1)",
        ),
        slip(
            "N - 1 in front",
            "dx is divided by N - 1 as a whole. Divide by N: forward does, too.",
            "B7",
            dx="gamma * inv_std / (N - 1) * (N * dy - dbeta - x_hat * dgamma)",
        ),
        slip(
            "dgamma averaged",
            hints.DGAMMA_AVERAGED,
            "B6",
            returns="dx, dgamma / N, dbeta",
        ),
        slip(
            "divided by D",
            "The sums are divided by the number of features D. Divide by the number of examples, "
            "len(dy).",
            "B7",
            N="dy.shape[1]",
        ),
        slip(
            "sign of the variance path",
            "The term x_hat mean(dy x_hat) is added. Subtract it: dx has no part along x_hat.",
            "B7",
            bracket="dy - dbeta / N + x_hat * dgamma / N",
        ),
        slip(
            "sign of the mean path",
            "The term mean(dy) is added. Subtract it: dx sums to zero over the batch.",
            "B7",
            bracket="dy + dbeta / N - x_hat * dgamma / N",
        ),
        slip(
            "wrong axis",
            "The two means are taken over the features of each example. Take them over the batch, "
            "axis 0.",
            "B7",
            bracket=Instead(
                """
                mean_dy = dy.mean(axis=1, keepdims=True)
                mean_dy_x_hat = (dy * x_hat).mean(axis=1, keepdims=True)
                bracket = dy - mean_dy - x_hat * mean_dy_x_hat
                """
            ),
        ),
        slip(
            "backward pass of layer norm",
            "This is dx of layer norm: the two means are taken over the features, of dy gamma. "
            "Batch norm takes them over the batch, axis 0.",
            "B7",
            dx=Instead(
                """
                dx_hat = dy * gamma
                mean_dx_hat = dx_hat.mean(axis=1, keepdims=True)
                along_x_hat = x_hat * (dx_hat * x_hat).mean(axis=1, keepdims=True)
                dx = inv_std * (dx_hat - mean_dx_hat - along_x_hat)
                """
            ),
        ),
        slip(
            "pooled means",
            "The two means are taken over the whole array. Each feature has its own: reduce axis 0 "
            "only.",
            "B7",
            bracket="dy - dy.mean() - x_hat * (dy * x_hat).mean()",
        ),
        slip(
            "dgamma and dbeta swapped",
            hints.DGAMMA_AND_DBETA_SWAPPED,
            "B6",
            returns="dx, dbeta, dgamma",
        ),
        slip(
            "dx returned last",
            hints.DX_RETURNED_LAST,
            "B7",
            returns="dgamma, dbeta, dx",
        ),
        slip(
            "dgamma and dbeta summed over everything",
            "dgamma and dbeta are one number each, the sum over the whole array. Each feature has "
            "its own gamma and beta: sum over axis 0 only.",
            "B6",
            returns="dx, (dy * x_hat).sum(), dy.sum()",
        ),
        slip(
            "dgamma and dbeta averaged",
            hints.DGAMMA_AND_DBETA_AVERAGED,
            "B6",
            returns="dx, dgamma / N, dbeta / N",
        ),
        slip(
            "dgamma and dbeta not summed",
            hints.DGAMMA_AND_DBETA_NOT_SUMMED,
            "B6",
            returns="dx, dy * x_hat, dy",
        ),
        slip(
            "dgamma and dbeta summed over the features",
            hints.DGAMMA_AND_DBETA_SUMMED_OVER_THE_FEATURES,
            "B6",
            returns="dx, (dy * x_hat).sum(axis=1), dy.sum(axis=1)",
        ),
        slip(
            "kept dimensions",
            hints.GRADIENTS_KEPT_DIMENSIONS,
            "B6",
            dgamma="(dy * x_hat).sum(axis=0, keepdims=True)",
            dbeta="dy.sum(axis=0, keepdims=True)",
        ),
        slip(
            "squeezed",
            hints.squeezed(
                "with one feature dgamma and dbeta lose their own",
                "They have shape (D,) for every D.",
            ),
            "B6",
            returns="dx, np.squeeze(dgamma), np.squeeze(dbeta)",
        ),
        slip(
            "float32 inside",
            hints.in_float32("The gradients are computed", "dy"),
            "B7",
            N=Instead(
                """
                dtype = dy.dtype
                dy, x_hat = np.float32(dy), np.float32(x_hat)
                inv_std, gamma = np.float32(inv_std), np.float32(gamma)
                N = len(dy)
                """
            ),
            returns="dx.astype(dtype), dgamma.astype(dtype), dbeta.astype(dtype)",
        ),
        slip(
            "cache overwritten",
            hints.CACHE_OVERWRITTEN,
            "B7",
            dx=Instead("inv_std *= gamma\ndx = inv_std * bracket"),
        ),
        slip(
            "dy overwritten",
            "The gradient that arrives is overwritten, as by dy -= dbeta / N. The caller may still "
            "need it, for example on a second branch. Write into a new array.",
            "B7",
            bracket=Instead("dy -= dbeta / N\ndy -= x_hat * dgamma / N\nbracket = dy"),
        ),
    ],
)
