"""The exercise layernorm_forward: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, function_exercise
from bncourse.exercises import hints
from bncourse.exercises.ps3_convolution.families import TOLERANCE, cancelling, in_float32, own_eps
from bncourse.exercises.ps3_convolution.inputs import rows
from bncourse.inputs import SMALL_EPS, cast, scale_and_shift
from bncourse.reference import convolution
from bncourse.slips import Instead, Right


def _cases(rng):
    def given(n=7, d=4, **options):
        return {"x": rows(rng, n, d, **options), **scale_and_shift(rng, d)}

    constant = given()
    constant["x"][2] = 3.0
    stored = given()
    return {
        "a random batch": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "as many examples as features": Case(given(n=5, d=5)),
        "more features than examples": Case(given(n=4, d=9)),
        "one example": Case(given(n=1, d=6)),
        "one feature": Case(given(n=6, d=1)),
        "a variance smaller than eps": Case(given(scale=1e-3) | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "an example with equal features": Case(constant | {"eps": 1e-3}),
        "stored column by column": Case(stored | {"x": np.asfortranarray(stored["x"])}),
        "float32": Case(cast(given(), np.float32), "float32"),
        # Correct solutions agree to some 1e-4 only. E[x^2] - E[x]^2 is off by 1e-2 and more, but
        # seldom so far that the root of a negative number hides it.
        "float32 with mean near 1e4": Case(
            cast(given(n=4, d=50, offset=1e4, scale=5.0), np.float32),
            "float32",
            rtol=3e-3,
            noisy=True,
        ),
        # Who computes in float64 passes the one above in any way. The mean is rounded to 1e-10.
        "mean near 1e6": Case(given(n=4, d=50, offset=1e6, scale=0.1), rtol=1e-5, noisy=True),
        "a gamma of zero": Case(given() | {"gamma": np.array([0.0, 0.7, -1.3, 2.0])}),
        "a small eps": Case(given(scale=1e-3) | {"eps": SMALL_EPS}),
    }


def layernorm_forward(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    y = gamma * x_hat + beta
    cached_inv_std = inv_std.reshape(-1)
    return y, {"x_hat": x_hat, "inv_std": cached_inv_std, "gamma": gamma}


RIGHT = Right(layernorm_forward)
slip = RIGHT.slip

EXERCISE = function_exercise(
    convolution.layernorm_forward,
    returns=("y", {"cache": ("x_hat", "inv_std", "gamma")}),
    cases=_cases,
    see="C4",
    normalised="example",
    insight="Each example has statistics of its own, so training and inference compute the same.",
    tolerance=TOLERANCE,
    mistakes=[
        slip(
            "statistics over the batch",
            "The statistics run over the examples: that is batch norm. Layer norm takes them over "
            "the features of each example, axis 1.",
            "C4",
            mean="x.mean(axis=0)",
            var="x.var(axis=0)",
        ),
        slip(
            "pooled examples",
            "One mean and one variance serve the whole array. Each example has its own: reduce "
            "axis 1 only.",
            "C4",
            mean="x.mean()",
            var="x.var()",
            cached_inv_std="np.full(len(x), inv_std, dtype=x.dtype)",
        ),
        slip(
            "statistics along the wrong axis",
            "The statistics have the shape (N,) and meet the features of x. Keep the dimension "
            "(keepdims=True), so that each row meets its own mean.",
            "C4",
            mean="x.mean(axis=1)",
            var="x.var(axis=1)",
        ),
        slip(
            "unbiased variance",
            "The variance is the unbiased one, divided by D - 1. Use the biased one.",
            "C4",
            var="x.var(axis=1, keepdims=True, ddof=1)",
        ),
        slip(
            "divided by N",
            hints.DIVIDED_BY_N,
            "C4",
            mean="x.sum(axis=1, keepdims=True) / len(x)",
            var="((x - mean) ** 2).sum(axis=1, keepdims=True) / len(x)",
        ),
        slip(
            "eps missing",
            "eps is missing under the root. An example whose features are nearly equal is then "
            "blown up.",
            "C4",
            inv_std="1 / np.sqrt(var)",
        ),
        slip(
            "eps outside the root",
            hints.EPS_OUTSIDE_THE_ROOT,
            "C4",
            inv_std="1 / (np.sqrt(var) + eps)",
        ),
        *own_eps(slip, "C4", "inv_std", "1 / np.sqrt({})"),
        slip(
            "root missing",
            hints.ROOT_MISSING,
            "C4",
            inv_std="1 / (var + eps)",
        ),
        slip(
            "root mean square",
            "The mean is not subtracted: this is RMS norm, a relative. Layer norm centres first.",
            "C4",
            var="(x**2).mean(axis=1, keepdims=True)",
            x_hat="x * inv_std",
        ),
        slip(
            "mean not subtracted",
            "The mean is subtracted in the variance only. Centre the example too, then divide.",
            "C4",
            x_hat="x * inv_std",
        ),
        slip(
            "mean not subtracted in the variance",
            "The variance is the mean of x^2. Take squared distances from the example's mean.",
            "C4",
            var="(x**2).mean(axis=1, keepdims=True)",
        ),
        *cancelling(slip, "C4", "x", "1"),
        slip(
            "gamma per example",
            "gamma[:, None] scales the examples. gamma and beta belong to the features, although "
            "the statistics belong to the examples.",
            "C4",
            y="gamma[:, None] * x_hat + beta[:, None]",
        ),
        slip(
            "scale and shift missing",
            hints.SCALE_AND_SHIFT_NOT_APPLIED,
            "C4",
            y="x_hat.copy()",
        ),
        slip(
            "gamma missing",
            hints.GAMMA_MISSING,
            "C4",
            y="x_hat + beta",
        ),
        slip(
            "beta missing",
            hints.BETA_MISSING,
            "C4",
            y="gamma * x_hat",
        ),
        slip(
            "beta scaled",
            hints.SHIFT_BEFORE_SCALE,
            "C4",
            y="gamma * (x_hat + beta)",
        ),
        slip(
            "gamma and beta swapped",
            hints.GAMMA_AND_BETA_SWAPPED,
            "C4",
            y="beta * x_hat + gamma",
        ),
        slip(
            "cache keeps dimensions",
            "y is right, but cache['inv_std'] has the shape (N, 1). Store it with shape (N,).",
            "C4",
            cached_inv_std="inv_std",
        ),
        slip(
            "cache squeezed",
            hints.squeezed(
                "with one example nothing is left of cache['inv_std']",
                "Say the shape that you want: reshape(-1).",
            ),
            "C4",
            cached_inv_std="np.squeeze(inv_std)",
        ),
        slip(
            "cache holds the standard deviation",
            hints.CACHE_HOLDS_THE_STANDARD_DEVIATION,
            "C4",
            cached_inv_std="np.sqrt(var + eps).reshape(-1)",
        ),
        slip(
            "cache holds the variance",
            hints.CACHE_HOLDS_THE_VARIANCE,
            "C4",
            cached_inv_std="var.reshape(-1)",
        ),
        slip(
            "cache holds y",
            hints.CACHE_HOLDS_Y,
            "C4",
            returns='y, {"x_hat": y, "inv_std": cached_inv_std, "gamma": gamma}',
        ),
        slip(
            "cache holds the centred batch",
            hints.CACHE_HOLDS_X_CENTRED,
            "C4",
            returns='y, {"x_hat": x - mean, "inv_std": cached_inv_std, "gamma": gamma}',
        ),
        slip(
            "cache missing",
            hints.CACHE_MISSING,
            "C4",
            returns="y",
        ),
        slip(
            "in place",
            hints.X_OVERWRITTEN,
            "C4",
            x_hat=Instead("x -= mean\nx *= inv_std\nx_hat = x"),
        ),
        *in_float32(
            slip,
            "C4",
            "The batch is",
            rounded={
                "mean": Instead(
                    "x = x.astype(np.float32).astype(x.dtype)\nmean = x.mean(axis=1, keepdims=True)"
                )
            },
            inside={
                "mean": Instead("x = x.astype(np.float32)\nmean = x.mean(axis=1, keepdims=True)")
            },
        ),
    ],
)
