"""The exercise merge_statistics: its cases and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.inputs import cast
from bncourse.reference import forward


def _merge_cases(rng):
    def given(count_a, count_b, d=4, apart=1.0):
        return {
            "count_a": count_a,
            "mean_a": rng.uniform(0.5, 2.0, d),
            "var_a": rng.uniform(0.5, 2.0, d),
            "count_b": count_b,
            "mean_b": apart + rng.uniform(0.5, 2.0, d),
            "var_b": rng.uniform(2.0, 4.0, d),
        }

    far = given(40, 60) | {
        "mean_a": 1e7 + rng.uniform(0, 1, 4),
        "mean_b": 1e7 + rng.uniform(2, 3, 4),
    }
    return {
        "batches of different size": Case(given(6, 14)),
        "batches of the same size": Case(given(8, 8)),
        "one example joins": Case(given(9, 1) | {"var_b": np.zeros(4)}),
        "two single examples": Case(given(1, 1) | {"var_a": np.zeros(4), "var_b": np.zeros(4)}),
        "means far apart": Case(given(5, 11, apart=100.0)),
        "both means near 1e7": Case(far, noisy=True),
        "float32": Case(cast(given(6, 14), np.float32), "float32"),
    }


def merge_plain_average(count_a, mean_a, var_a, count_b, mean_b, var_b):
    return count_a + count_b, (mean_a + mean_b) / 2, (var_a + var_b) / 2


def merge_without_between(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count = count_a + count_b
    mean = (count_a * mean_a + count_b * mean_b) / count
    var = (count_a * var_a + count_b * var_b) / count
    return count, mean, var


def merge_weights_swapped(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count = count_a + count_b
    delta = mean_b - mean_a
    mean = mean_a + delta * count_a / count
    var = (count_b * var_a + count_a * var_b) / count
    return count, mean, var + delta**2 * count_a * count_b / count**2


def merge_unbiased(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count = count_a + count_b
    delta = mean_b - mean_a
    mean = mean_a + delta * count_b / count
    squares = (count_a - 1) * var_a + (count_b - 1) * var_b + delta**2 * count_a * count_b / count
    return count, mean, squares / (count - 1)


def merge_sum_of_squares(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count = count_a + count_b
    delta = mean_b - mean_a
    mean = mean_a + delta * count_b / count
    squares = count_a * var_a + count_b * var_b + delta**2 * count_a * count_b / count
    return count, mean, squares


def merge_between_too_large(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count = count_a + count_b
    delta = mean_b - mean_a
    mean = mean_a + delta * count_b / count
    var = (count_a * var_a + count_b * var_b) / count + delta**2 * count_a * count_b / count
    return count, mean, var


def merge_delta_not_squared(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count = count_a + count_b
    delta = mean_b - mean_a
    mean = mean_a + delta * count_b / count
    var = (count_a * var_a + count_b * var_b) / count + delta * count_a * count_b / count**2
    return count, mean, var


def merge_cancel(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count = count_a + count_b
    mean = (count_a * mean_a + count_b * mean_b) / count
    squares = (count_a * (var_a + mean_a**2) + count_b * (var_b + mean_b**2)) / count
    return count, mean, squares - mean**2


def merge_float32(count_a, mean_a, var_a, count_b, mean_b, var_b):
    dtype = mean_a.dtype
    mean_a, var_a, mean_b, var_b = (np.float32(v) for v in (mean_a, var_a, mean_b, var_b))
    count = count_a + count_b
    delta = mean_b - mean_a
    mean = mean_a + delta * count_b / count
    var = (count_a * var_a + count_b * var_b) / count + delta**2 * count_a * count_b / count**2
    return count, mean.astype(dtype), var.astype(dtype)


EXERCISE = function_exercise(
    forward.merge_statistics,
    returns=("count", "mean", "var"),
    cases=_merge_cases,
    see="F8",
    mistakes=[
        Mistake(
            "plain average",
            merge_plain_average,
            "The two batches count the same whatever their size. Weigh each with its count.",
            "F8",
        ),
        Mistake(
            "distance of the means missing",
            merge_without_between,
            "The variance is only the average of the two. The examples also spread because the two "
            "means differ: add the term with delta squared.",
            "F8",
        ),
        Mistake(
            "weights swapped",
            merge_weights_swapped,
            "Each batch is weighed with the count of the other.",
            "F8",
        ),
        Mistake(
            "unbiased variance",
            merge_unbiased,
            "The variances are treated as unbiased (N - 1). They are biased, going in and coming "
            "out.",
            "F8",
        ),
        Mistake(
            "sum of squares",
            merge_sum_of_squares,
            "The third result is the sum of squared deviations. Divide it by the total count.",
            "F8",
        ),
        Mistake(
            "between term too large",
            merge_between_too_large,
            "The term with delta squared is divided by count once. Divide by count twice: "
            "count_a count_b / count^2.",
            "F8",
        ),
        Mistake(
            "delta not squared",
            merge_delta_not_squared,
            "The difference of the means enters the variance without its square.",
            "F8",
        ),
        Mistake(
            "cancellation",
            merge_cancel,
            "The variance is computed as E[x^2] - E[x]^2, which cancels when the means are large. "
            "Use the squared difference of the two means.",
            "F8",
        ),
        Mistake(
            "float32 inside",
            merge_float32,
            "The statistics are merged in float32, which keeps seven digits. When the means are "
            "large little is left of their difference. Compute in the dtype of the arguments.",
            "F8",
        ),
    ],
)
