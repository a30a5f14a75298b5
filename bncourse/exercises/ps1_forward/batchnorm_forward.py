"""The exercise batchnorm_forward: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, function_exercise
from bncourse.exercises import hints
from bncourse.exercises.ps1_forward.shared import TOLERANCE, own_eps
from bncourse.inputs import SMALL_EPS, batch, cast, scale_and_shift
from bncourse.reference import forward
from bncourse.slips import Instead, Right


def _forward_cases(rng):
    def given(n=7, d=4, **options):
        return {"x": batch(rng, n, d, **options), **scale_and_shift(rng, d)}

    by_column = {name: np.asfortranarray(value) for name, value in given().items()}
    constant = given() | {"x": np.column_stack([np.full(7, 3.0), batch(rng, d=3)])}
    return {
        "a random batch": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "a variance smaller than eps": Case(given(scale=1e-3) | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "a gamma of zero": Case(given() | {"gamma": np.array([0.0, 0.7, -1.3, 2.0])}),
        # With a small eps the rounding of the mean, over the root of eps, would be all there is.
        "one example": Case(given(n=1) | {"eps": 0.5}),
        "two examples": Case(given(n=2) | {"eps": 0.5}),
        "one feature": Case(given(d=1) | {"eps": 1e-5}),
        "more features than examples": Case(given(n=4, d=9)),
        "as many features as examples": Case(given(n=5, d=5)),
        "a constant feature": Case(constant | {"eps": 1e-2}),
        # The mean is rounded to 1e-10 there, against a spread of 0.1.
        "mean near 1e6": Case(given(n=50, offset=1e6, scale=0.1), rtol=1e-6, noisy=True),
        "stored column by column": Case(by_column),
        "float32": Case(cast(given(), np.float32), "float32"),
        "a small eps": Case(given(scale=1e-3) | {"eps": SMALL_EPS}),
    }


def batchnorm_forward(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=0)
    centred = x - mean
    var = (centred**2).mean(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = centred * inv_std
    y = gamma * x_hat + beta
    cache = {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}
    return y, cache


RIGHT = Right(batchnorm_forward)
slip = RIGHT.slip

EXERCISE = function_exercise(
    forward.batchnorm_forward,
    returns=("y", {"cache": ("x_hat", "inv_std", "gamma")}),
    cases=_forward_cases,
    see="F4",
    normalised="batch",
    insight="The layer can undo itself: with gamma = sqrt(var + eps) and beta = mean, y "
    "is x again.",
    tolerance=TOLERANCE,
    mistakes=[
        slip(
            "unbiased variance",
            hints.UNBIASED_VARIANCE,
            "F2",
            var="x.var(axis=0, ddof=1)",
        ),
        slip(
            "eps missing",
            "eps is missing under the root. A feature that hardly varies is then blown up.",
            "F3",
            inv_std="1 / np.sqrt(var)",
        ),
        slip(
            "eps outside the root",
            hints.EPS_OUTSIDE_THE_ROOT,
            "F3",
            inv_std="1 / (np.sqrt(var) + eps)",
        ),
        *own_eps(slip, "F3", "centred", "x - mean"),
        slip(
            "eps subtracted",
            hints.EPS_SUBTRACTED,
            "F3",
            inv_std="1 / np.sqrt(var - eps)",
        ),
        slip(
            "root missing",
            hints.ROOT_MISSING,
            "F3",
            inv_std="1 / (var + eps)",
        ),
        slip(
            "pooled features",
            hints.POOLED_FEATURES,
            "F1",
            mean="x.mean()",
            var="x.var()",
            inv_std="np.full(x.shape[1], 1 / np.sqrt(var + eps), dtype=x.dtype)",
        ),
        slip(
            "wrong axis",
            hints.WRONG_AXIS,
            "F1",
            mean="x.mean(axis=1, keepdims=True)",
            var="x.var(axis=1, keepdims=True)",
        ),
        slip(
            "N of the wrong axis",
            hints.N_OF_THE_WRONG_AXIS,
            "F1",
            mean="x.sum(axis=0) / x.shape[1]",
            var="(centred**2).sum(axis=0) / x.shape[1]",
        ),
        slip(
            "divided by all values",
            hints.DIVIDED_BY_ALL_VALUES,
            "F1",
            mean="x.sum(axis=0) / x.size",
            var="(centred**2).sum(axis=0) / x.size",
        ),
        slip(
            "sum of squares",
            hints.SUM_OF_SQUARES,
            "F2",
            var="(centred**2).sum(axis=0)",
        ),
        slip(
            "cancellation",
            hints.CANCELLATION,
            "F2",
            var="(x**2).mean(axis=0) - mean**2",
        ),
        slip(
            "float32 inside",
            hints.in_float32("The batch is normalised", "x"),
            "F3",
            mean=Instead("dtype = x.dtype\nx = x.astype(np.float32)\nmean = x.mean(axis=0)"),
            inv_std="(1 / np.sqrt(var + np.float32(eps))).astype(dtype)",
            x_hat="(centred * np.float32(inv_std)).astype(dtype)",
        ),
        slip(
            "input rounded",
            hints.INPUT_ROUNDED,
            "F2",
            mean=Instead("x = x.astype(np.float32).astype(x.dtype)\nmean = x.mean(axis=0)"),
        ),
        slip(
            "scale and shift missing",
            "y is x_hat: gamma and beta are not applied. Scale first, then shift: "
            "gamma * x_hat + beta.",
            "F4",
            y="x_hat",
        ),
        slip(
            "gamma missing",
            hints.GAMMA_MISSING,
            "F4",
            y="x_hat + beta",
        ),
        slip(
            "beta missing",
            hints.BETA_MISSING,
            "F4",
            y="gamma * x_hat",
        ),
        slip(
            "gamma and beta swapped",
            hints.GAMMA_AND_BETA_SWAPPED,
            "F4",
            y="beta * x_hat + gamma",
        ),
        slip(
            "shift before scale",
            hints.SHIFT_BEFORE_SCALE,
            "F4",
            y="gamma * (x_hat + beta)",
        ),
        slip(
            "cache holds the standard deviation",
            hints.CACHE_HOLDS_THE_STANDARD_DEVIATION,
            "F4",
            cache='{"x_hat": x_hat, "inv_std": np.sqrt(var + eps), "gamma": gamma}',
        ),
        slip(
            "cache holds the variance",
            hints.CACHE_HOLDS_THE_VARIANCE,
            "F4",
            cache='{"x_hat": x_hat, "inv_std": var, "gamma": gamma}',
        ),
        slip(
            "cache holds var + eps",
            "cache['inv_std'] holds var + eps. Divide one by its root.",
            "F4",
            cache='{"x_hat": x_hat, "inv_std": var + eps, "gamma": gamma}',
        ),
        slip(
            "cache holds y",
            hints.CACHE_HOLDS_Y,
            "F4",
            cache='{"x_hat": y, "inv_std": inv_std, "gamma": gamma}',
        ),
        slip(
            "cache holds x - mean",
            "cache['x_hat'] holds x - mean, which is not scaled yet. Store the normalised values.",
            "F4",
            cache='{"x_hat": centred, "inv_std": inv_std, "gamma": gamma}',
        ),
        slip(
            "cache missing",
            hints.CACHE_MISSING,
            "F4",
            returns="y",
        ),
        slip(
            "kept dimensions",
            "cache['inv_std'] kept the batch axis, shape (1, D). It has shape (D,): drop keepdims.",
            "F1",
            mean="x.mean(axis=0, keepdims=True)",
            var="(centred**2).mean(axis=0, keepdims=True)",
        ),
        slip(
            "squeezed",
            hints.squeezed(
                "the statistics of a single feature lose their own",
                "They have shape (D,) for every D.",
            ),
            "F1",
            mean="np.squeeze(x.mean(axis=0, keepdims=True))",
            var="np.squeeze((centred**2).mean(axis=0, keepdims=True))",
        ),
        slip(
            "in place",
            hints.X_OVERWRITTEN,
            "F3",
            centred=Instead("x -= mean\ncentred = x"),
        ),
    ],
)
