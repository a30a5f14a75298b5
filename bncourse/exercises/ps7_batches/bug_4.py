"""fix_the_bug_4: a variance that may be negative."""

import inspect

import numpy as np

from bncourse.exercise import FLOAT64_TOLERANCE, Case, Exercise, unpack
from bncourse.exercises import hints
from bncourse.inputs import batch, cast, far_from_zero, scale_and_shift
from bncourse.reference import forward
from bncourse.slips import Instead, Right


def _cases(rng):
    def given(n=7, d=4, **options):
        return {"x": batch(rng, n, d, **options)} | scale_and_shift(rng, d)

    def far(d):
        # To both sides, so that no one number can be subtracted from all features.
        x = far_from_zero(rng, d) * rng.choice([-1, 1], d)
        return cast(given(n=8, d=d) | {"x": x}, np.float32)

    # Seven numbers, whose mean is rounded: what multiplies that error by the mean shows it.
    rounded = given(d=80, offset=1e4)
    # Eight whole numbers whose mean is exact in float64, and whose squares are not.
    huge = given(n=8, d=30)
    huge["x"] = 2.0**30 + np.round(8 * (huge["x"] - huge["x"].mean(axis=0)))
    return {
        "a random batch": Case(given()),
        "more features than examples": Case(given(n=4, d=9)),
        "a large eps": Case(given() | {"eps": 0.5}),
        "one feature": Case(given(d=1)),
        "float32": Case(cast(given(), np.float32), "float32"),
        # Of eighty features some have a variance below zero at any seed.
        "float32, mean near 1e4": Case(far(80), "float32", rtol=2e-2, noisy=True),
        "mean near 1e9": Case(huge, rtol=1e-5, noisy=True),
        "a variance smaller than eps": Case(given(scale=1e-3)),
        "float32, a mean that is rounded": Case(
            cast(rounded, np.float32), "float32", rtol=5e-2, noisy=True
        ),
    }


def _reference(inputs):
    return {"y": forward.batchnorm_forward(**cast(inputs, np.float64))[0]}


def repaired(x, gamma, beta, eps=1e-5):
    """Return batch norm of x, (N, D), in training."""
    mean = x.mean(axis=0)
    var = ((x - mean) ** 2).mean(axis=0)
    std = np.sqrt(var + eps)
    y = gamma * (x - mean) / std + beta
    return y


slip = Right(repaired).slip

BUG = Exercise(
    name="fix_the_bug_4",
    signature=inspect.signature(repaired),
    cases=_cases,
    drive=lambda obj, inputs: unpack(obj(**inputs), "y"),
    reference=_reference,
    see="F15",
    insight="A sum of squares cannot be negative; a difference of two large numbers can be "
    "anything.",
    normalised="batch",
    pure=True,
    tolerance={"float64": FLOAT64_TOLERANCE, "float32": 1e-3},
    mistakes=(
        slip(
            "mean of squares minus square of mean",
            "The variance is E[x^2] - E[x]^2: two large numbers that agree in nearly all their "
            "digits. What is left is noise, and may be negative: then the root is NaN. Subtract "
            "the mean first, then square.",
            "F15",
            var="(x**2).mean(axis=0) - mean**2",
        ),
        slip(
            "cut off at zero",
            "The negative variances are cut off or made positive, or their NaN is replaced. No NaN "
            "is left, and the noise is: 0 is as wrong as -8. Subtract the mean before you square.",
            "F15",
            var="np.maximum((x**2).mean(axis=0) - mean**2, 0)",
        ),
        slip(
            "more digits",
            "The difference is taken in float64. That moves the trouble to larger means, where x "
            "in float64 meets it again. Subtract the mean, in the dtype of x.",
            "F15",
            var="((x.astype(np.float64) ** 2).mean(axis=0) - x.mean(axis=0, dtype=np.float64) ** 2"
            ").astype(x.dtype)",
        ),
        slip(
            "eps missing",
            "eps is missing under the root. It is what divides a feature that hardly varies.",
            "F3",
            std="np.sqrt(var)",
        ),
        slip(
            "unbiased variance",
            hints.UNBIASED_VARIANCE,
            "F2",
            var="((x - mean) ** 2).sum(axis=0) / (len(x) - 1)",
        ),
        slip(
            "squares summed",
            hints.SUM_OF_SQUARES,
            "F2",
            var="((x - mean) ** 2).sum(axis=0)",
        ),
        slip(
            "absolute deviations",
            "The deviations are taken absolute and averaged, and not squared. The variance is the "
            "mean of their squares.",
            "F2",
            var="np.abs(x - mean).mean(axis=0)",
        ),
        slip(
            "in place",
            hints.X_OVERWRITTEN,
            "F3",
            y=Instead("x -= mean\ny = gamma * x / std + beta"),
        ),
    ),
)
