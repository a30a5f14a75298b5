"""The exercise layernorm_backward: its cases and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.exercises.ps3_convolution.inputs import rows, scale_and_shift
from bncourse.inputs import cast
from bncourse.reference import convolution


def _layer_backward_cases(rng):
    def given(n=7, d=4, eps=1e-5, **options):
        x = rows(rng, n, d, **options)
        cache = convolution.layernorm_forward(x, **scale_and_shift(rng, d), eps=eps)[1]
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


EXERCISE = function_exercise(
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
