"""The exercise batchnorm_forward: its cases and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.inputs import batch, cast, scale_and_shift
from bncourse.reference import forward


def _forward_cases(rng):
    def given(n=7, d=4, **options):
        return {"x": batch(rng, n, d, **options), **scale_and_shift(rng, d)}

    return {
        "a random batch": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "a variance smaller than eps": Case(given(scale=1e-3) | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "a gamma of zero": Case(given() | {"gamma": np.array([0.0, 0.7, -1.3, 2.0])}),
        # With a small eps the rounding of the mean, over the root of eps, would be all there is.
        "one example": Case(given(n=1) | {"eps": 0.5}),
        "more features than examples": Case(given(n=4, d=9)),
        "float32": Case(cast(given(), np.float32), "float32"),
        # float32 stores x to 1e-3 here, so correct solutions agree to about 1e-3 only.
        "float32 with mean near 1e4": Case(
            cast(given(n=50, offset=1e4), np.float32), "float32", rtol=1e-2, noisy=True
        ),
    }


def forward_unbiased(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0, ddof=1)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def forward_without_eps(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / np.sqrt(var)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def forward_eps_outside(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / (np.sqrt(var) + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def forward_pooled(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(), x.var()
    inv_std = np.full(x.shape[1], 1 / np.sqrt(var + eps), dtype=x.dtype)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def forward_cancel(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=0)
    var = (x**2).mean(axis=0) - mean**2
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def forward_without_beta(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def forward_gamma_beta_swapped(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return beta * x_hat + gamma, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def forward_shift_first(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * (x_hat + beta), {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def forward_caches_std(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    std = np.sqrt(var + eps)
    x_hat = (x - mean) / std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": std, "gamma": gamma}


def forward_caches_y(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    y = gamma * (x - mean) * inv_std + beta
    return y, {"x_hat": y, "inv_std": inv_std, "gamma": gamma}


def forward_without_cache(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


EXERCISE = function_exercise(
    forward.batchnorm_forward,
    returns=("y", {"cache": ("x_hat", "inv_std", "gamma")}),
    cases=_forward_cases,
    see="F4",
    mistakes=[
        Mistake(
            "unbiased variance",
            forward_unbiased,
            "The batch is normalised with the unbiased variance, divided by N - 1. Use the biased "
            "one, divided by N.",
            "F2",
        ),
        Mistake(
            "eps missing",
            forward_without_eps,
            "eps is missing under the root. A feature that hardly varies is then blown up.",
            "F3",
        ),
        Mistake(
            "eps outside the root",
            forward_eps_outside,
            "eps is added outside the root. It belongs to the variance: sqrt(var + eps).",
            "F3",
        ),
        Mistake(
            "pooled features",
            forward_pooled,
            "One mean and one variance serve the whole array. Each feature has its own: reduce "
            "axis 0 only.",
            "F1",
        ),
        Mistake(
            "cancellation",
            forward_cancel,
            "The variance is computed as E[x^2] - E[x]^2, which cancels when the mean is large. "
            "Subtract the mean before squaring.",
            "F2",
        ),
        Mistake(
            "beta missing",
            forward_without_beta,
            "beta is not added. Scale first, then shift: gamma * x_hat + beta.",
            "F4",
        ),
        Mistake(
            "gamma and beta swapped",
            forward_gamma_beta_swapped,
            "gamma and beta have changed places: gamma scales, beta shifts.",
            "F4",
        ),
        Mistake(
            "shift before scale",
            forward_shift_first,
            "beta is added before the scaling, so gamma scales it too. Scale first, then shift.",
            "F4",
        ),
        Mistake(
            "cache holds the standard deviation",
            forward_caches_std,
            "cache['inv_std'] holds the standard deviation. It must hold one divided by it.",
            "F4",
        ),
        Mistake(
            "cache holds y",
            forward_caches_y,
            "cache['x_hat'] holds y. Store the normalised values from before scale and shift.",
            "F4",
        ),
        Mistake(
            "cache missing",
            forward_without_cache,
            "The cache is not returned. Return (y, cache): the backward pass needs it.",
            "F4",
        ),
    ],
)
