"""The exercise batch_statistics: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, function_exercise
from bncourse.exercises import hints
from bncourse.exercises.ps1_forward.shared import TOLERANCE
from bncourse.inputs import batch, cast
from bncourse.reference import forward
from bncourse.slips import Instead, Right


def _batch_statistics_cases(rng):
    return {
        "a random batch": Case({"x": batch(rng)}),
        "more features than examples": Case({"x": batch(rng, n=4, d=9)}),
        "as many features as examples": Case({"x": batch(rng, n=5, d=5)}),
        "one feature": Case({"x": batch(rng, d=1)}),
        "two examples": Case({"x": batch(rng, n=2)}),
        "one example": Case({"x": batch(rng, n=1)}),
        "a constant feature": Case({"x": np.column_stack([np.full(5, 3.0), batch(rng, n=5)])}),
        "a tiny variance": Case({"x": batch(rng, scale=1e-3)}),
        # Two roundings of the mean are squared and compared with a variance of 0.01.
        "mean near 1e6": Case(
            {"x": batch(rng, n=50, offset=1e6, scale=0.1)}, rtol=1e-6, noisy=True
        ),
        "stored column by column": Case({"x": np.asfortranarray(batch(rng))}),
        "float32": Case(cast({"x": batch(rng)}, np.float32), "float32"),
    }


def batch_statistics(x):
    mean = x.mean(axis=0)
    var = ((x - mean) ** 2).mean(axis=0)
    return mean, var


RIGHT = Right(batch_statistics)
slip = RIGHT.slip

EXERCISE = function_exercise(
    forward.batch_statistics,
    returns=("mean", "var"),
    cases=_batch_statistics_cases,
    see="F2",
    insight="One mean and one variance for each feature are all that batch norm knows of a batch.",
    tolerance=TOLERANCE,
    mistakes=[
        slip(
            "unbiased variance",
            hints.UNBIASED_VARIANCE,
            "F2",
            var="x.var(axis=0, ddof=1)",
        ),
        slip(
            "wrong axis",
            hints.WRONG_AXIS,
            "F1",
            mean="x.mean(axis=1)",
            var="x.var(axis=1)",
        ),
        slip(
            "wrong axis, kept",
            hints.WRONG_AXIS_KEPT,
            "F1",
            mean="x.mean(axis=1, keepdims=True)",
            var="x.var(axis=1, keepdims=True)",
        ),
        slip(
            "pooled features",
            hints.POOLED_FEATURES,
            "F1",
            mean="x.mean()",
            var="x.var()",
        ),
        slip(
            "N of the wrong axis",
            hints.N_OF_THE_WRONG_AXIS,
            "F1",
            mean="x.sum(axis=0) / x.shape[1]",
            var="((x - mean) ** 2).sum(axis=0) / x.shape[1]",
        ),
        slip(
            "divided by all values",
            hints.DIVIDED_BY_ALL_VALUES,
            "F1",
            mean="x.sum(axis=0) / x.size",
            var="((x - mean) ** 2).sum(axis=0) / x.size",
        ),
        slip(
            "cancellation",
            hints.CANCELLATION,
            "F2",
            var="(x**2).mean(axis=0) - mean**2",
        ),
        slip(
            "cancellation of sums",
            hints.CANCELLATION_OF_SUMS,
            "F2",
            var="((x**2).sum(axis=0) - mean * x.sum(axis=0)) / len(x)",
        ),
        slip(
            "float32 inside",
            hints.in_float32(
                "The statistics are computed",
                "x",
                "When the mean is large they hold little of the spread.",
            ),
            "F2",
            mean="x.astype(np.float32).mean(axis=0).astype(x.dtype)",
            var="x.astype(np.float32).var(axis=0).astype(x.dtype)",
        ),
        slip(
            "input rounded",
            hints.INPUT_ROUNDED,
            "F2",
            mean=Instead("x = x.astype(np.float32).astype(x.dtype)\nmean = x.mean(axis=0)"),
        ),
        slip(
            "standard deviation",
            "The second result is the standard deviation. Return the variance, without the root.",
            "F2",
            var="x.std(axis=0)",
        ),
        slip(
            "sum of squares",
            hints.SUM_OF_SQUARES,
            "F2",
            var="((x - mean) ** 2).sum(axis=0)",
        ),
        slip(
            "mean not subtracted",
            "The second result is the mean of x squared. Subtract the mean before you square.",
            "F2",
            var="(x**2).mean(axis=0)",
        ),
        slip(
            "absolute deviations",
            "The deviations enter the variance by their absolute value. Square them.",
            "F2",
            var="np.abs(x - mean).mean(axis=0)",
        ),
        *[
            slip(
                name,
                f"{eps} is added to the variance. Return the variance itself: eps comes in where a "
                "later step divides by it.",
                "F2",
                returns=f"mean, var + {eps}",
            )
            for name, eps in {
                "eps added": "1e-5",
                "eps added, 1e-6": "1e-6",
                "eps added, 1e-8": "1e-8",
            }.items()
        ],
        slip(
            "swapped results",
            "The two results are in the wrong order. Return (mean, var).",
            "F2",
            returns="var, mean",
        ),
        slip(
            "kept dimensions",
            hints.KEPT_DIMENSIONS,
            "F1",
            mean="x.mean(axis=0, keepdims=True)",
            var="x.var(axis=0, keepdims=True)",
        ),
        slip(
            "squeezed",
            hints.squeezed(
                "a single feature loses its own",
                "Each result has shape (D,) for every D: reduce axis 0 without keepdims and leave "
                "squeeze out.",
            ),
            "F1",
            returns="np.squeeze(mean), np.squeeze(var)",
        ),
        slip(
            "input centred in place",
            "x itself is changed, as by x -= mean, and the caller's batch with it. Write into new "
            "arrays.",
            "F2",
            var=Instead("x -= mean\nvar = (x**2).mean(axis=0)"),
        ),
    ],
)
