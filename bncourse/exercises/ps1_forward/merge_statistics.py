"""The exercise merge_statistics: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, function_exercise
from bncourse.exercises import hints
from bncourse.exercises.ps1_forward.shared import TOLERANCE
from bncourse.inputs import cast
from bncourse.reference import forward
from bncourse.slips import Instead, Right


def _merge_cases(rng):
    def given(count_a, count_b, d=4, apart=1.0):
        # Both means of a feature have one sign, so that they lie apart.
        signs = rng.choice([-1, 1], d)
        return {
            "count_a": count_a,
            "mean_a": signs * rng.uniform(0.5, 2.0, d),
            "var_a": rng.uniform(0.5, 2.0, d),
            "count_b": count_b,
            "mean_b": signs * (apart + rng.uniform(0.5, 2.0, d)),
            "var_b": rng.uniform(2.0, 4.0, d),
        }

    far = given(40, 60) | {
        "mean_a": 1e7 + rng.uniform(0, 1, 4),
        "mean_b": 1e7 + rng.uniform(2, 3, 4),
    }
    nothing = np.zeros(4)
    return {
        "batches of different size": Case(given(6, 14)),
        "batches of the same size": Case(given(8, 8)),
        "one feature": Case(given(6, 14, d=1)),
        "one example joins": Case(given(9, 1) | {"var_b": nothing}),
        "two single examples": Case(given(1, 1) | {"var_a": nothing, "var_b": nothing}),
        "a machine that has seen nothing": Case(
            given(0, 9) | {"mean_a": nothing, "var_a": nothing}
        ),
        # Not more: the square of the count is to be a whole number of 64 bits.
        "two thousand million examples and a thousand": Case(given(2_000_000_000, 1000)),
        "means far apart": Case(given(5, 11, apart=100.0)),
        # The mean is rounded to 1e-9 there, and a variance around it takes part in that.
        "both means near 1e7": Case(far, rtol=1e-6, noisy=True),
        "float32": Case(cast(given(6, 14), np.float32), "float32"),
        "the second machine has seen nothing": Case(
            given(9, 0) | {"mean_b": nothing, "var_b": nothing}
        ),
    }


def merge_statistics(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count = count_a + count_b
    delta = mean_b - mean_a
    mean = mean_a + delta * count_b / count
    within = (count_a * var_a + count_b * var_b) / count
    between = delta**2 * count_a * count_b / count**2
    var = within + between
    return count, mean, var


RIGHT = Right(merge_statistics)
slip = RIGHT.slip

EXERCISE = function_exercise(
    forward.merge_statistics,
    returns=("count", "mean", "var"),
    cases=_merge_cases,
    see="F8",
    insight="The distance of the two means is a part of the variance; an average of "
    "variances lacks it.",
    tolerance=TOLERANCE,
    mistakes=[
        slip(
            "plain average",
            "The two batches count the same whatever their size. Weigh each with its count.",
            "F8",
            mean="(mean_a + mean_b) / 2",
            var="(var_a + var_b) / 2",
        ),
        slip(
            "distance of the means missing",
            "The variance is only the average of the two. The examples also spread because the two "
            "means differ: add the term with delta squared.",
            "F8",
            var="within",
        ),
        slip(
            "weight added to delta",
            "The mean is mean_a + delta + count_b / count. The weight is a factor of delta: "
            "mean_a + delta * count_b / count.",
            "F8",
            mean="mean_a + delta + count_b / count",
        ),
        slip(
            "variances taken for sums",
            "var_a and var_b are added as if they were sums of squares. They are averages: "
            "multiply each by its count first.",
            "F8",
            within="(var_a + var_b) / count",
        ),
        slip(
            "step of one example",
            "delta (mean_b - mean) is Welford's step for a single example. A batch takes it once "
            "for each: multiply by count_b.",
            "F8",
            between="delta * (mean_b - mean) / count",
        ),
        slip(
            "weights swapped",
            "Each batch is weighed with the count of the other.",
            "F8",
            mean="mean_a + delta * count_a / count",
            within="(count_b * var_a + count_a * var_b) / count",
        ),
        slip(
            "unbiased variance",
            "The variances are treated as unbiased (N - 1). They are biased, going in and coming "
            "out.",
            "F8",
            within="((count_a - 1) * var_a + (count_b - 1) * var_b) / (count - 1)",
            between="delta**2 * count_a * count_b / count / (count - 1)",
        ),
        slip(
            "unbiased result",
            "The merged squares are divided by the count less one. Divide by the count: the "
            "variance that comes out is biased, as those that go in.",
            "F8",
            var="(within + between) * count / (count - 1)",
        ),
        slip(
            "sum of squares",
            "The third result is the sum of squared deviations. Divide it by the total count.",
            "F8",
            var="(within + between) * count",
        ),
        slip(
            "between term too large",
            "The term with delta squared is divided by count once. Divide by count twice: "
            "count_a count_b / count^2.",
            "F8",
            between="delta**2 * count_a * count_b / count",
        ),
        slip(
            "delta not squared",
            "The difference of the means enters the variance without its square.",
            "F8",
            between="delta * count_a * count_b / count**2",
        ),
        slip(
            "count padded",
            "A small number, 1e-4, is added to count_a where it weighs var_a. Nothing is divided "
            "by one count alone, so neither needs it: use the counts as they are.",
            "F8",
            within="(var_a * (count_a + 1e-4) + var_b * count_b) / count",
        ),
        slip(
            "cancellation",
            "The variance is computed as E[x^2] - E[x]^2, which cancels when the means are large. "
            "Use the squared difference of the two means.",
            "F8",
            var="(count_a * (var_a + mean_a**2) + count_b * (var_b + mean_b**2)) / count - mean**2",
        ),
        slip(
            "float32 inside",
            hints.in_float32(
                "The statistics are merged",
                "the arguments",
                "When the means are large little is left of their difference.",
            ),
            "F8",
            count=Instead(
                """
                dtype = mean_a.dtype
                mean_a, var_a = np.float32(mean_a), np.float32(var_a)
                mean_b, var_b = np.float32(mean_b), np.float32(var_b)
                count = count_a + count_b
                """
            ),
            returns="count, mean.astype(dtype), var.astype(dtype)",
        ),
        slip(
            "input rounded",
            "The means and variances are rounded to float32 first: digits that are gone do not "
            "come back with astype. Compute from the arguments as they are.",
            "F8",
            count=Instead(
                """
                mean_a, var_a = (np.float32(v).astype(v.dtype) for v in (mean_a, var_a))
                mean_b, var_b = (np.float32(v).astype(v.dtype) for v in (mean_b, var_b))
                count = count_a + count_b
                """
            ),
        ),
        slip(
            "swapped results",
            "The results are in the wrong order. Return (count, mean, var).",
            "F8",
            returns="count, var, mean",
        ),
        slip(
            "in place",
            "mean_a is changed, as by mean_a += delta. The machine that sent it still needs it. "
            "Write into a new array.",
            "F8",
            mean=Instead("mean_a += delta * count_b / count\nmean = mean_a"),
        ),
    ],
)
