"""The exercise layernorm_forward: its cases and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.exercises.ps3_convolution.inputs import rows, scale_and_shift
from bncourse.inputs import cast
from bncourse.reference import convolution


def _layer_forward_cases(rng):
    def given(n=7, d=4, **options):
        return {"x": rows(rng, n, d, **options), **scale_and_shift(rng, d)}

    constant = given()
    constant["x"][2] = 3.0
    return {
        "a random batch": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "as many examples as features": Case(given(n=5, d=5)),
        "more features than examples": Case(given(n=4, d=9)),
        "one example": Case(given(n=1, d=6)),
        "a variance smaller than eps": Case(given(scale=1e-3) | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "an example with equal features": Case(constant | {"eps": 1e-3}),
        "stored column by column": Case(
            (stored := given()) | {"x": np.asfortranarray(stored["x"])}
        ),
        "float32": Case(cast(given(), np.float32), "float32"),
        # float32 stores x to 1e-3 here, so correct solutions agree to about 1e-3 only.
        "float32 with mean near 1e4": Case(
            cast(given(n=4, d=50, offset=1e4), np.float32), "float32", rtol=2e-2, noisy=True
        ),
    }


def layer_batch_axis(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_pooled(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(), x.var()
    inv_std = np.full(x.shape[0], 1 / np.sqrt(var + eps), dtype=x.dtype)
    x_hat = (x - mean) * inv_std[:, None]
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_not_kept(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=1), x.var(axis=1)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_unbiased(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(x.var(axis=1, ddof=1) + eps)
    x_hat = (x - mean) * inv_std[:, None]
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_without_eps(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(x.var(axis=1))
    x_hat = (x - mean) * inv_std[:, None]
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_eps_outside(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / (np.sqrt(x.var(axis=1)) + eps)
    x_hat = (x - mean) * inv_std[:, None]
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_without_root(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / (x.var(axis=1) + eps)
    x_hat = (x - mean) * inv_std[:, None]
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_root_mean_square(x, gamma, beta, eps=1e-5):
    inv_std = 1 / np.sqrt((x**2).mean(axis=1) + eps)
    x_hat = x * inv_std[:, None]
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_cancel(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt((x**2).mean(axis=1, keepdims=True) - mean**2 + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std[:, 0], "gamma": gamma}


def layer_gamma_per_example(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(x.var(axis=1) + eps)
    x_hat = (x - mean) * inv_std[:, None]
    y = gamma[:, None] * x_hat + beta[:, None]
    return y, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_without_beta(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(x.var(axis=1) + eps)
    x_hat = (x - mean) * inv_std[:, None]
    return gamma * x_hat, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_gamma_beta_swapped(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(x.var(axis=1) + eps)
    x_hat = (x - mean) * inv_std[:, None]
    return beta * x_hat + gamma, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_cache_keeps_dimensions(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(x.var(axis=1, keepdims=True) + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def layer_caches_y(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(x.var(axis=1) + eps)
    y = gamma * (x - mean) * inv_std[:, None] + beta
    return y, {"x_hat": y, "inv_std": inv_std, "gamma": gamma}


def layer_without_cache(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


def layer_in_place(x, gamma, beta, eps=1e-5):
    inv_std = 1 / np.sqrt(x.var(axis=1) + eps)
    x -= x.mean(axis=1, keepdims=True)
    x *= inv_std[:, None]
    return gamma * x + beta, {"x_hat": x, "inv_std": inv_std, "gamma": gamma}


EXERCISE = function_exercise(
    convolution.layernorm_forward,
    returns=("y", {"cache": ("x_hat", "inv_std", "gamma")}),
    cases=_layer_forward_cases,
    see="C4",
    mistakes=[
        Mistake(
            "statistics over the batch",
            layer_batch_axis,
            "The statistics run over the examples: that is batch norm. Layer norm takes them over "
            "the features of each example, axis 1.",
            "C4",
        ),
        Mistake(
            "pooled examples",
            layer_pooled,
            "One mean and one variance serve the whole array. Each example has its own: reduce "
            "axis 1 only.",
            "C4",
        ),
        Mistake(
            "statistics along the wrong axis",
            layer_not_kept,
            "The statistics have the shape (N,) and meet the features of x. Keep the dimension "
            "(keepdims=True), so that each row meets its own mean.",
            "C4",
        ),
        Mistake(
            "unbiased variance",
            layer_unbiased,
            "The variance is the unbiased one, divided by D - 1. Use the biased one.",
            "C4",
        ),
        Mistake(
            "eps missing",
            layer_without_eps,
            "eps is missing under the root. An example whose features are nearly equal is then "
            "blown up.",
            "C4",
        ),
        Mistake(
            "eps outside the root",
            layer_eps_outside,
            "eps is added outside the root. It belongs to the variance: sqrt(var + eps).",
            "C4",
        ),
        Mistake(
            "root missing",
            layer_without_root,
            "The result is divided by the variance. Divide by its root, the standard deviation.",
            "C4",
        ),
        Mistake(
            "root mean square",
            layer_root_mean_square,
            "The mean is not subtracted: this is RMS norm, a relative. Layer norm centres first.",
            "C4",
        ),
        Mistake(
            "cancellation",
            layer_cancel,
            "The variance is computed as E[x^2] - E[x]^2, which cancels when the mean is large. "
            "Subtract the mean before squaring.",
            "C4",
        ),
        Mistake(
            "gamma per example",
            layer_gamma_per_example,
            "gamma[:, None] scales the examples. gamma and beta belong to the features, although "
            "the statistics belong to the examples.",
            "C4",
        ),
        Mistake(
            "beta missing",
            layer_without_beta,
            "beta is not added. Scale first, then shift: gamma * x_hat + beta.",
            "C4",
        ),
        Mistake(
            "gamma and beta swapped",
            layer_gamma_beta_swapped,
            "gamma and beta have changed places: gamma scales, beta shifts.",
            "C4",
        ),
        Mistake(
            "cache keeps dimensions",
            layer_cache_keeps_dimensions,
            "y is right, but cache['inv_std'] has the shape (N, 1). Store it with shape (N,).",
            "C4",
        ),
        Mistake(
            "cache holds y",
            layer_caches_y,
            "cache['x_hat'] holds y. Store the normalised values from before scale and shift.",
            "C4",
        ),
        Mistake(
            "cache missing",
            layer_without_cache,
            "The cache is not returned. Return (y, cache): the backward pass needs it.",
            "C4",
        ),
        Mistake(
            "in place",
            layer_in_place,
            "The input is overwritten (x -= mean). The caller still needs x. Work on a new array.",
            "C4",
        ),
    ],
)
