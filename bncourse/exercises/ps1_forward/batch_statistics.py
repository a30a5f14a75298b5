"""The exercise batch_statistics: its cases and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.inputs import batch, cast
from bncourse.reference import forward


def _batch_statistics_cases(rng):
    return {
        "a random batch": Case({"x": batch(rng)}),
        "more features than examples": Case({"x": batch(rng, n=4, d=9)}),
        "one example": Case({"x": batch(rng, n=1)}),
        "a constant feature": Case({"x": np.column_stack([np.full(5, 3.0), batch(rng, n=5)])}),
        "mean near 1e6": Case({"x": batch(rng, n=50, offset=1e6, scale=0.1)}, noisy=True),
        "stored column by column": Case({"x": np.asfortranarray(batch(rng))}),
        "float32": Case(cast({"x": batch(rng)}, np.float32), "float32"),
    }


def statistics_unbiased(x):
    mean = x.mean(axis=0)
    var = x.var(axis=0, ddof=1)
    return mean, var


def statistics_wrong_axis(x):
    mean = x.mean(axis=1)
    var = x.var(axis=1)
    return mean, var


def statistics_pooled(x):
    mean = x.mean()
    var = x.var()
    return mean, var


def statistics_cancel(x):
    mean = x.mean(axis=0)
    var = (x**2).mean(axis=0) - mean**2
    return mean, var


def statistics_float32(x):
    x32 = x.astype(np.float32)
    return x32.mean(axis=0).astype(x.dtype), x32.var(axis=0).astype(x.dtype)


def statistics_std(x):
    mean = x.mean(axis=0)
    std = np.sqrt(((x - mean) ** 2).mean(axis=0))
    return mean, std


def statistics_sum(x):
    mean = x.mean(axis=0)
    var = ((x - mean) ** 2).sum(axis=0)
    return mean, var


def statistics_swapped(x):
    mean = x.mean(axis=0)
    var = x.var(axis=0)
    return var, mean


def statistics_keepdims(x):
    mean = x.mean(axis=0, keepdims=True)
    var = x.var(axis=0, keepdims=True)
    return mean, var


def statistics_centred_in_place(x):
    mean = x.mean(axis=0)
    x -= mean
    var = (x**2).mean(axis=0)
    return mean, var


EXERCISE = function_exercise(
    forward.batch_statistics,
    returns=("mean", "var"),
    cases=_batch_statistics_cases,
    see="F2",
    mistakes=[
        Mistake(
            "unbiased variance",
            statistics_unbiased,
            "The variance is the unbiased one, divided by N - 1. Batch norm normalises with the "
            "biased variance, divided by N.",
            "F2",
        ),
        Mistake(
            "wrong axis",
            statistics_wrong_axis,
            "The statistics are taken over the features of each example. They belong to each "
            "feature, over the examples: axis 0.",
            "F1",
        ),
        Mistake(
            "pooled features",
            statistics_pooled,
            "There is one mean for the whole array. Each feature has its own: reduce axis 0 only.",
            "F1",
        ),
        Mistake(
            "cancellation",
            statistics_cancel,
            "The variance is computed as E[x^2] - E[x]^2. When the mean is large the two terms "
            "agree in all their digits and the difference is noise. Subtract the mean first.",
            "F2",
        ),
        Mistake(
            "float32 inside",
            statistics_float32,
            "The statistics are computed in float32, which keeps seven digits. When the mean is "
            "large they hold little of the spread. Compute in the dtype of x.",
            "F2",
        ),
        Mistake(
            "standard deviation",
            statistics_std,
            "The second result is the standard deviation. Return the variance, without the root.",
            "F2",
        ),
        Mistake(
            "sum of squares",
            statistics_sum,
            "The squared deviations are summed and not averaged. Divide by N.",
            "F2",
        ),
        Mistake(
            "swapped results",
            statistics_swapped,
            "The two results are in the wrong order. Return (mean, var).",
            "F2",
        ),
        Mistake(
            "kept dimensions",
            statistics_keepdims,
            "The results kept the batch axis, shape (1, D). Return shape (D,): drop keepdims.",
            "F1",
        ),
        Mistake(
            "input centred in place",
            statistics_centred_in_place,
            "The mean is subtracted from x itself (x -= mean), so the caller's batch is changed. "
            "Write x - mean into a new array.",
            "F2",
        ),
    ],
)
