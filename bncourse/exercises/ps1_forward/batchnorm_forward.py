"""The exercise batchnorm_forward: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, function_exercise
from bncourse.exercises.ps1_forward.shared import OWN_EPS, TOLERANCE
from bncourse.inputs import batch, cast, scale_and_shift
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
            "The batch is normalised with the unbiased variance, divided by N - 1. Use the biased "
            "one, divided by N.",
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
            "eps is added outside the root. It belongs to the variance: sqrt(var + eps).",
            "F3",
            inv_std="1 / (np.sqrt(var) + eps)",
        ),
        *[
            slip(
                name,
                f"The argument eps is ignored; {eps} is written into the code. Use the argument.",
                "F3",
                inv_std=f"1 / np.sqrt(var + {eps})",
            )
            for name, eps in OWN_EPS.items()
        ],
        slip(
            "eps subtracted",
            "eps is subtracted from the variance, which may leave less than nothing under the "
            "root. Add it.",
            "F3",
            inv_std="1 / np.sqrt(var - eps)",
        ),
        slip(
            "root missing",
            "x - mean is divided by the variance. Divide by its root, the standard deviation.",
            "F3",
            inv_std="1 / (var + eps)",
        ),
        slip(
            "pooled features",
            "One mean and one variance serve the whole array. Each feature has its own: reduce "
            "axis 0 only.",
            "F1",
            mean="x.mean()",
            var="x.var()",
            inv_std="np.full(x.shape[1], 1 / np.sqrt(var + eps), dtype=x.dtype)",
        ),
        slip(
            "wrong axis",
            "The statistics are taken over the features of each example, as in layer norm. They "
            "belong to each feature, over the examples: axis 0.",
            "F1",
            mean="x.mean(axis=1, keepdims=True)",
            var="x.var(axis=1, keepdims=True)",
        ),
        slip(
            "N of the wrong axis",
            "The sums are divided by the number of features, x.shape[1]. Divide by the number of "
            "examples N, which is len(x).",
            "F1",
            mean="x.sum(axis=0) / x.shape[1]",
            var="(centred**2).sum(axis=0) / x.shape[1]",
        ),
        slip(
            "sum of squares",
            "The squared deviations are summed and not averaged. Divide by N.",
            "F2",
            var="(centred**2).sum(axis=0)",
        ),
        slip(
            "cancellation",
            "The variance is computed as E[x^2] - E[x]^2, which cancels when the mean is large. "
            "Subtract the mean before squaring.",
            "F2",
            var="(x**2).mean(axis=0) - mean**2",
        ),
        slip(
            "float32 inside",
            "The batch is normalised in float32, which keeps seven digits. Compute in the dtype of "
            "x.",
            "F3",
            mean=Instead("dtype = x.dtype\nx = x.astype(np.float32)\nmean = x.mean(axis=0)"),
            inv_std="(1 / np.sqrt(var + np.float32(eps))).astype(dtype)",
            x_hat="(centred * np.float32(inv_std)).astype(dtype)",
        ),
        slip(
            "input rounded",
            "x is rounded to float32 first: digits that are gone do not come back with "
            "astype(x.dtype). Compute from x as it is.",
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
            "gamma does not scale x_hat. Scale first, then shift.",
            "F4",
            y="x_hat + beta",
        ),
        slip(
            "beta missing",
            "beta is not added. Scale first, then shift: gamma * x_hat + beta.",
            "F4",
            y="gamma * x_hat",
        ),
        slip(
            "gamma and beta swapped",
            "gamma and beta have changed places: gamma scales, beta shifts.",
            "F4",
            y="beta * x_hat + gamma",
        ),
        slip(
            "shift before scale",
            "beta is added before the scaling, so gamma scales it too. Scale first, then shift.",
            "F4",
            y="gamma * (x_hat + beta)",
        ),
        slip(
            "cache holds the standard deviation",
            "cache['inv_std'] holds the standard deviation. It must hold one divided by it.",
            "F4",
            cache='{"x_hat": x_hat, "inv_std": np.sqrt(var + eps), "gamma": gamma}',
        ),
        slip(
            "cache holds the variance",
            "cache['inv_std'] holds the variance. It must hold 1 / sqrt(var + eps).",
            "F4",
            cache='{"x_hat": x_hat, "inv_std": var, "gamma": gamma}',
        ),
        slip(
            "cache holds y",
            "cache['x_hat'] holds y. Store the normalised values from before scale and shift.",
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
            "The cache is not returned. Return (y, cache): the backward pass needs it.",
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
            "np.squeeze removes every axis of length one, so the statistics of a single feature "
            "lose their own. They have shape (D,) for every D.",
            "F1",
            mean="np.squeeze(x.mean(axis=0, keepdims=True))",
            var="np.squeeze((centred**2).mean(axis=0, keepdims=True))",
        ),
        slip(
            "in place",
            "The input is overwritten (x -= mean). The caller still needs x. Write x - mean into "
            "a new array.",
            "F3",
            centred=Instead("x -= mean\ncentred = x"),
        ),
    ],
)
