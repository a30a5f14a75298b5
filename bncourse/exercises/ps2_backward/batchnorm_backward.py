"""The exercise batchnorm_backward: its cases and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.exercises.ps2_backward.tolerance import GRADIENT_TOLERANCE
from bncourse.inputs import batch, cast, scale_and_shift, upstream
from bncourse.reference import backward, forward


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
        "more features than examples": Case(given(n=4, d=9)),
        # With a small eps every dx is nearly zero here, and rounding would be all there is.
        "two examples": Case(given(n=2, eps=0.5)),
        "one example": Case(given(n=1, eps=1e-2)),
        "a gamma of zero": Case(given(gamma=np.array([0.0, 0.7, -1.3, 2.0]))),
        # More would not tell more: dx element by element through J costs the square of it.
        "two hundred examples": Case(given(n=200, d=6)),
        "stored column by column": Case(by_column),
        "float32": Case(cast(given(), np.float32), "float32"),
    }


def backward_without_variance_path(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx = gamma * inv_std * (dy - dy.mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_without_mean_path(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx = gamma * inv_std * (dy - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_statistics_constant(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx = gamma * inv_std * dy
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_gamma_forgotten(dy, cache):
    x_hat, inv_std = cache["x_hat"], cache["inv_std"]
    dx = inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_gamma_twice(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx_hat = dy * gamma
    dx = gamma * inv_std * (dx_hat - dx_hat.mean(axis=0) - x_hat * (dx_hat * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_gamma_in_dgamma(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dy = dy * gamma
    dx = inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_inv_std_forgotten(dy, cache):
    x_hat, gamma = cache["x_hat"], cache["gamma"]
    dx = gamma * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_divided_by_inv_std(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx = gamma / inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_sums(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    dx = gamma * inv_std * (dy - dbeta - x_hat * dgamma)
    return dx, dgamma, dbeta


def backward_n_times(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    dx = gamma * inv_std * (len(dy) * dy - dbeta - x_hat * dgamma)
    return dx, dgamma, dbeta


def backward_unbiased(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    N = len(dy)
    dx = gamma * inv_std * (dy - dbeta / N - x_hat * dgamma / (N - 1))
    return dx, dgamma, dbeta


def backward_divided_by_features(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    N = dy.shape[1]
    dx = gamma * inv_std * (dy - dbeta / N - x_hat * dgamma / N)
    return dx, dgamma, dbeta


def backward_plus(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx = gamma * inv_std * (dy - dy.mean(axis=0) + x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_wrong_axis(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    mean_dy = dy.mean(axis=1, keepdims=True)
    mean_dy_x_hat = (dy * x_hat).mean(axis=1, keepdims=True)
    dx = gamma * inv_std * (dy - mean_dy - x_hat * mean_dy_x_hat)
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_swapped(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx = gamma * inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, dy.sum(axis=0), (dy * x_hat).sum(axis=0)


def backward_averaged(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dgamma, dbeta = (dy * x_hat).mean(axis=0), dy.mean(axis=0)
    return gamma * inv_std * (dy - dbeta - x_hat * dgamma), dgamma, dbeta


def backward_not_summed(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx = gamma * inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, dy * x_hat, dy


def backward_cache_overwritten(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    inv_std *= gamma
    dx = inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_dy_overwritten(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    dy -= dbeta / len(dy)
    dy -= x_hat * dgamma / len(dy)
    dy *= gamma * inv_std
    return dy, dgamma, dbeta


EXERCISE = function_exercise(
    backward.batchnorm_backward,
    returns=("dx", "dgamma", "dbeta"),
    cases=_backward_cases,
    see="B7",
    tolerance=GRADIENT_TOLERANCE,
    mistakes=[
        Mistake(
            "variance path missing",
            backward_without_variance_path,
            "The path through the variance is missing in dx: subtract x_hat mean(dy x_hat) too. A "
            "check with the loss sum(y) would not have shown it.",
            "B7",
        ),
        Mistake(
            "mean path missing",
            backward_without_mean_path,
            "The path through the mean is missing in dx: subtract mean(dy) too. A check with the "
            "loss sum(y^2) and beta = 0 would not have shown it.",
            "B7",
        ),
        Mistake(
            "statistics held constant",
            backward_statistics_constant,
            "dx is that of constant statistics, which is right at inference only. In training the "
            "mean and the variance depend on x.",
            "B7",
        ),
        Mistake(
            "gamma forgotten",
            backward_gamma_forgotten,
            "gamma is missing in dx: dy passes through the scale before it reaches x_hat.",
            "B2",
        ),
        Mistake(
            "gamma twice",
            backward_gamma_twice,
            "dx is multiplied by gamma twice: once in dx_hat and once in front of the bracket.",
            "B7",
        ),
        Mistake(
            "gamma in dgamma",
            backward_gamma_in_dgamma,
            "dgamma and dbeta are multiplied by gamma: dy was replaced by dy gamma before they "
            "were summed. They are made from dy as it arrives.",
            "B6",
        ),
        Mistake(
            "inv_std forgotten",
            backward_inv_std_forgotten,
            "inv_std is missing in dx. A feature with a large spread receives a small gradient.",
            "B7",
        ),
        Mistake(
            "divided by inv_std",
            backward_divided_by_inv_std,
            "dx is divided by inv_std. It is already the inverse of the standard deviation: "
            "multiply.",
            "B7",
        ),
        Mistake(
            "sums in place of means",
            backward_sums,
            "Inside the bracket the sums dbeta and dgamma stand undivided. Divide them by N, the "
            "number of examples.",
            "B7",
        ),
        Mistake(
            "N times too large",
            backward_n_times,
            "dx is N times too large. The form N dy - sum(dy) - x_hat sum(dy x_hat) needs a factor "
            "1/N in front.",
            "B7",
        ),
        Mistake(
            "N - 1",
            backward_unbiased,
            "The term of the variance is divided by N - 1, as for the unbiased variance. The "
            "batch was normalised with the biased one: divide by N.",
            "B7",
        ),
        Mistake(
            "divided by D",
            backward_divided_by_features,
            "The sums are divided by the number of features D. Divide by the number of examples, "
            "len(dy).",
            "B7",
        ),
        Mistake(
            "sign of the variance path",
            backward_plus,
            "The term x_hat mean(dy x_hat) is added. Subtract it: dx has no part along x_hat.",
            "B7",
        ),
        Mistake(
            "wrong axis",
            backward_wrong_axis,
            "The two means are taken over the features of each example. Take them over the batch, "
            "axis 0.",
            "B7",
        ),
        Mistake(
            "dgamma and dbeta swapped",
            backward_swapped,
            "dgamma and dbeta are swapped. gamma multiplies x_hat, so x_hat belongs into dgamma.",
            "B6",
        ),
        Mistake(
            "dgamma and dbeta averaged",
            backward_averaged,
            "dgamma and dbeta are averaged over the batch. They are sums; only dx needs the means.",
            "B6",
        ),
        Mistake(
            "dgamma and dbeta not summed",
            backward_not_summed,
            "dgamma and dbeta still have a row for each example. gamma and beta are shared by the "
            "batch: sum over axis 0.",
            "B6",
        ),
        Mistake(
            "cache overwritten",
            backward_cache_overwritten,
            "An array of the cache is changed (inv_std *= gamma), so a second backward pass would "
            "be wrong. Write into a new array.",
            "B7",
        ),
        Mistake(
            "dy overwritten",
            backward_dy_overwritten,
            "The gradient that arrives is overwritten (dy -= ...). The caller may still need it, "
            "for example on a second branch. Write into a new array.",
            "B7",
        ),
    ],
)
