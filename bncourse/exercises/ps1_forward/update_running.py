"""The exercise update_running: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, function_exercise
from bncourse.exercises import hints
from bncourse.exercises.ps1_forward.shared import TOLERANCE
from bncourse.inputs import batch, cast, running
from bncourse.reference import forward
from bncourse.slips import Instead, Right


def _update_cases(rng):
    def given(n=7, d=4, **options):
        return running(rng, d) | {"x": batch(rng, n, d, **options)}

    by_column = given()
    by_column["x"] = np.asfortranarray(by_column["x"])
    return {
        "a random batch": Case(given() | {"momentum": 0.1}),
        "momentum left at its default": Case(given()),
        "a large momentum": Case(given() | {"momentum": 0.7}),
        "momentum 1 keeps the last batch only": Case(given() | {"momentum": 1.0}),
        "statistics that have seen nothing": Case(
            given() | {"running_mean": np.zeros(4), "running_var": np.ones(4), "momentum": 0.3}
        ),
        "momentum 0 changes nothing": Case(given() | {"momentum": 0.0}),
        "two examples": Case(given(n=2) | {"momentum": 0.3}),
        "one feature": Case(given(d=1) | {"momentum": 0.3}),
        "more features than examples": Case(given(n=4, d=9) | {"momentum": 0.3}),
        "as many features as examples": Case(given(n=5, d=5) | {"momentum": 0.3}),
        # Two roundings of the mean are squared and compared with a variance of 1.
        "mean near 1e6": Case(given(n=50, offset=1e6) | {"momentum": 0.9}, rtol=1e-7, noisy=True),
        "stored column by column": Case(by_column),
        "float32": Case(cast(given(), np.float32), "float32"),
    }


def update_running(running_mean, running_var, x, momentum=0.1):
    count = len(x)
    mean = x.mean(axis=0)
    var = ((x - mean) ** 2).mean(axis=0)
    unbiased = var * count / (count - 1)
    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var = (1 - momentum) * running_var + momentum * unbiased
    return new_mean, new_var


RIGHT = Right(update_running)
slip = RIGHT.slip

EXERCISE = function_exercise(
    forward.update_running,
    returns=("running_mean", "running_var"),
    cases=_update_cases,
    see="F6",
    insight="With PyTorch's momentum m, the value at the start still weighs (1 - m)^k "
    "after k batches.",
    tolerance=TOLERANCE,
    new_arrays=True,
    mistakes=[
        slip(
            "momentum reversed",
            "momentum weighs the old value here, as in Keras. In PyTorch's convention it weighs "
            "the new one: (1 - momentum) * old + momentum * new.",
            "F6",
            new_mean="momentum * running_mean + (1 - momentum) * mean",
            new_var="momentum * running_var + (1 - momentum) * unbiased",
        ),
        slip(
            "biased variance",
            "The running variance takes in the biased variance of the batch. Store the unbiased "
            "one, N / (N - 1) times as large.",
            "F6",
            unbiased="var",
        ),
        slip(
            "momentum reversed and biased variance",
            "This is Keras's rule: momentum weighs the old value and the variance is biased. The "
            "exercise asks for PyTorch's: momentum weighs the new value, the variance is unbiased.",
            "F6",
            unbiased="var",
            new_mean="momentum * running_mean + (1 - momentum) * mean",
            new_var="momentum * running_var + (1 - momentum) * unbiased",
        ),
        slip(
            "momentum ignored",
            "The argument momentum is ignored; 0.1 is written into the code. Use the argument.",
            "F6",
            new_mean="0.9 * running_mean + 0.1 * mean",
            new_var="0.9 * running_var + 0.1 * unbiased",
        ),
        slip(
            "momentum for both",
            hints.MOMENTUM_FOR_BOTH,
            "F6",
            new_mean="momentum * running_mean + momentum * mean",
            new_var="momentum * running_var + momentum * unbiased",
        ),
        slip(
            "momentum reversed in the variance",
            "The mean is updated rightly. In the variance momentum weighs the old value: write "
            "(1 - momentum) * old + momentum * new there too.",
            "F6",
            new_var="momentum * running_var + (1 - momentum) * unbiased",
        ),
        slip(
            "first batch replaces",
            "Statistics that have seen nothing are replaced by those of the first batch. (F6) "
            "mixes the first batch in with the weight momentum, as any other.",
            "F6",
            returns=Instead(
                """
                if not running_mean.any():
                    return mean, unbiased
                return new_mean, new_var
                """
            ),
        ),
        slip(
            "eps added",
            "1e-5 is added to the variance before it is stored. Store the variance itself: "
            "inference adds eps when it divides.",
            "F6",
            new_var="(1 - momentum) * running_var + momentum * (unbiased + 1e-5)",
        ),
        slip(
            "correction inverted",
            "The biased variance is multiplied by (N - 1) / N. The unbiased one is larger, not "
            "smaller: multiply by N / (N - 1).",
            "F6",
            unbiased="var * (count - 1) / count",
        ),
        slip(
            "corrected twice",
            "The variance is corrected twice: it is divided by N - 1 already and then multiplied "
            "by N / (N - 1).",
            "F6",
            var="x.var(axis=0, ddof=1)",
        ),
        slip(
            "N of the wrong axis",
            hints.N_OF_THE_WRONG_AXIS,
            "F6",
            count="x.shape[1]",
        ),
        slip(
            "old value not decayed",
            "The new value is added to the whole old one, so the statistics grow without end. "
            "Weigh the old value with 1 - momentum.",
            "F6",
            new_mean="running_mean + momentum * mean",
            new_var="running_var + momentum * unbiased",
        ),
        slip(
            "last batch only",
            "The running statistics are replaced by those of the batch. Mix old and new.",
            "F6",
            returns="mean, unbiased",
        ),
        slip(
            "never updated",
            "The running statistics come back as they went in. Mix in those of the batch.",
            "F6",
            returns="running_mean.copy(), running_var.copy()",
        ),
        slip(
            "standard deviation",
            "The running variance takes in the standard deviation. Take in the variance.",
            "F6",
            unbiased="np.sqrt(var * count / (count - 1))",
        ),
        slip(
            "biased standard deviation",
            "The running variance takes in x.std, the root of the biased variance. Take in the "
            "unbiased variance, without a root.",
            "F6",
            unbiased="np.sqrt(var)",
        ),
        slip(
            "variance around the running mean",
            "The deviations are taken from the running mean. The variance of a batch is taken "
            "around the mean of that batch.",
            "F6",
            var="((x - running_mean) ** 2).mean(axis=0)",
        ),
        slip(
            "pooled features",
            hints.POOLED_FEATURES,
            "F1",
            mean="x.mean()",
            var="x.var()",
        ),
        slip(
            "wrong axis",
            hints.WRONG_AXIS,
            "F1",
            mean="x.mean(axis=1)",
            var="x.var(axis=1)",
        ),
        slip(
            "cancellation",
            hints.CANCELLATION,
            "F2",
            var="(x**2).mean(axis=0) - mean**2",
        ),
        slip(
            "input rounded",
            hints.INPUT_ROUNDED,
            "F2",
            count=Instead("x = x.astype(np.float32).astype(x.dtype)\ncount = len(x)"),
        ),
        slip(
            "swapped results",
            "The two results are in the wrong order. Return (running_mean, running_var).",
            "F6",
            returns="new_var, new_mean",
        ),
        slip(
            "kept dimensions",
            hints.KEPT_DIMENSIONS,
            "F1",
            mean="x.mean(axis=0, keepdims=True)",
            var="((x - mean) ** 2).mean(axis=0, keepdims=True)",
        ),
        slip(
            "in place",
            "The running statistics are changed in place. Return new arrays: a function that "
            "changes its arguments surprises its caller.",
            "F6",
            new_mean=Instead(
                """
                running_mean *= 1 - momentum
                running_mean += momentum * mean
                new_mean = running_mean
                """
            ),
            new_var=Instead(
                """
                running_var *= 1 - momentum
                running_var += momentum * unbiased
                new_var = running_var
                """
            ),
        ),
    ],
)
