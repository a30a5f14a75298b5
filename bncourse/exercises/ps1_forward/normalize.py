"""The exercise normalize: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, function_exercise
from bncourse.exercises import hints
from bncourse.exercises.ps1_forward.shared import TOLERANCE, own_eps
from bncourse.inputs import SMALL_EPS, batch, cast, running
from bncourse.reference import forward
from bncourse.slips import Instead, Right


def _normalize_cases(rng):
    # The statistics are not those of x: a solution must use the ones it is given.
    def given(n=7, d=4, **options):
        x = batch(rng, n, d, **options)
        mean, var = running(rng, d).values()
        return {"x": x, "mean": mean, "var": var}

    tiny = given() | {"var": rng.uniform(0.5e-6, 2e-6, 4)}
    by_column = given()
    by_column["x"] = np.asfortranarray(by_column["x"])
    return {
        "a random batch": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "a variance smaller than eps": Case(tiny | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "a variance of zero": Case(given() | {"var": np.zeros(4), "eps": 1e-3}),
        "one example": Case(given(n=1) | {"eps": 1e-5}),
        "one feature": Case(given(d=1) | {"eps": 1e-5}),
        "more features than examples": Case(given(n=4, d=9)),
        "as many features as examples": Case(given(n=5, d=5)),
        "stored column by column": Case(by_column),
        "float32": Case(cast(given() | {"eps": 1e-5}, np.float32), "float32"),
        "a small eps": Case(given() | {"var": rng.uniform(0.5e-6, 2e-6, 4), "eps": SMALL_EPS}),
        "far from the mean": Case(given(offset=1e4)),
    }


def normalize(x, mean, var, eps=1e-5):
    centred = x - mean
    std = np.sqrt(var + eps)
    x_hat = centred / std
    return x_hat


RIGHT = Right(normalize)
slip = RIGHT.slip

EXERCISE = function_exercise(
    forward.normalize,
    returns="x_hat",
    cases=_normalize_cases,
    see="F3",
    normalised="given",
    insight="eps keeps the root away from 0, so a feature that does not vary comes out "
    "as 0, not as NaN.",
    tolerance=TOLERANCE,
    mistakes=[
        slip(
            "eps missing",
            "eps is missing. Without it a feature with little or no variance is divided by almost "
            "zero. Add eps to the variance, under the root.",
            "F3",
            std="np.sqrt(var)",
        ),
        slip(
            "eps outside the root",
            hints.EPS_OUTSIDE_THE_ROOT,
            "F3",
            std="np.sqrt(var) + eps",
        ),
        *own_eps(slip, "F3", "centred", "x - mean"),
        slip(
            "eps subtracted",
            hints.EPS_SUBTRACTED,
            "F3",
            std="np.sqrt(var - eps)",
        ),
        slip(
            "eps as a floor",
            hints.EPS_AS_A_FLOOR,
            "F3",
            std="np.sqrt(np.maximum(var, eps))",
        ),
        slip(
            "eps twice",
            "eps is added under the root and once more outside. It belongs to the variance: "
            "sqrt(var + eps) alone.",
            "F3",
            std="np.sqrt(var + eps) + eps",
        ),
        slip(
            "root missing",
            hints.ROOT_MISSING,
            "F3",
            std="var + eps",
        ),
        slip(
            "mean not subtracted",
            "The mean is not subtracted. Normalising centres first, then scales.",
            "F3",
            centred="x",
        ),
        slip(
            "own statistics",
            "The statistics are computed from x again. Use the mean and var that are passed in: at "
            "inference they are not those of x.",
            "F3",
            centred="x - x.mean(axis=0)",
            std="np.sqrt(x.var(axis=0) + eps)",
        ),
        slip(
            "multiplied",
            hints.MULTIPLIED,
            "F3",
            x_hat="centred * std",
        ),
        slip(
            "missing parentheses",
            "Only the mean is divided, because / binds before -. Put x - mean in parentheses.",
            "F3",
            x_hat="x - mean / std",
        ),
        slip(
            "sign of the difference",
            "The sign is reversed: subtract the mean from x, not x from the mean.",
            "F3",
            centred="mean - x",
        ),
        slip(
            "float32 inside",
            hints.in_float32("The result is computed", "x"),
            "F3",
            centred="np.float32(x) - np.float32(mean)",
            std="np.sqrt(np.float32(var) + np.float32(eps))",
            returns="x_hat.astype(x.dtype)",
        ),
        slip(
            "squeezed",
            hints.squeezed(
                "a batch of one example or of one feature loses its shape", "Return the shape of x."
            ),
            "F3",
            returns="np.squeeze(x_hat)",
        ),
        slip(
            "in place",
            hints.X_OVERWRITTEN,
            "F3",
            centred=Instead("x -= mean\ncentred = x"),
        ),
    ],
)
