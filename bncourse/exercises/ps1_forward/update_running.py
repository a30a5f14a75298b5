"""The exercise update_running: its cases and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.inputs import batch, cast, running
from bncourse.reference import forward


def _update_cases(rng):
    def given(n=7, d=4, **options):
        return running(rng, d) | {"x": batch(rng, n, d, **options)}

    return {
        "a random batch": Case(given() | {"momentum": 0.1}),
        "momentum left at its default": Case(given()),
        "a large momentum": Case(given() | {"momentum": 0.7}),
        "momentum 1 keeps the last batch only": Case(given() | {"momentum": 1.0}),
        "momentum 0 changes nothing": Case(given() | {"momentum": 0.0}),
        "two examples": Case(given(n=2) | {"momentum": 0.3}),
        "more features than examples": Case(given(n=4, d=9) | {"momentum": 0.3}),
        "float32": Case(cast(given(), np.float32), "float32"),
    }


def update_reversed(running_mean, running_var, x, momentum=0.1):
    new_mean = momentum * running_mean + (1 - momentum) * x.mean(axis=0)
    new_var = momentum * running_var + (1 - momentum) * x.var(axis=0, ddof=1)
    return new_mean, new_var


def update_biased(running_mean, running_var, x, momentum=0.1):
    new_mean = (1 - momentum) * running_mean + momentum * x.mean(axis=0)
    new_var = (1 - momentum) * running_var + momentum * x.var(axis=0)
    return new_mean, new_var


def update_reversed_and_biased(running_mean, running_var, x, momentum=0.1):
    new_mean = momentum * running_mean + (1 - momentum) * x.mean(axis=0)
    new_var = momentum * running_var + (1 - momentum) * x.var(axis=0)
    return new_mean, new_var


def update_without_decay(running_mean, running_var, x, momentum=0.1):
    new_mean = running_mean + momentum * x.mean(axis=0)
    new_var = running_var + momentum * x.var(axis=0, ddof=1)
    return new_mean, new_var


def update_replaces(running_mean, running_var, x, momentum=0.1):
    return x.mean(axis=0), x.var(axis=0, ddof=1)


def update_never(running_mean, running_var, x, momentum=0.1):
    return running_mean.copy(), running_var.copy()


def update_std(running_mean, running_var, x, momentum=0.1):
    new_mean = (1 - momentum) * running_mean + momentum * x.mean(axis=0)
    new_var = (1 - momentum) * running_var + momentum * x.std(axis=0, ddof=1)
    return new_mean, new_var


def update_around_running_mean(running_mean, running_var, x, momentum=0.1):
    new_mean = (1 - momentum) * running_mean + momentum * x.mean(axis=0)
    spread = ((x - running_mean) ** 2).sum(axis=0) / (len(x) - 1)
    return new_mean, (1 - momentum) * running_var + momentum * spread


def update_in_place(running_mean, running_var, x, momentum=0.1):
    running_mean *= 1 - momentum
    running_mean += momentum * x.mean(axis=0)
    running_var *= 1 - momentum
    running_var += momentum * x.var(axis=0, ddof=1)
    return running_mean, running_var


EXERCISE = function_exercise(
    forward.update_running,
    returns=("running_mean", "running_var"),
    cases=_update_cases,
    see="F6",
    mistakes=[
        Mistake(
            "momentum reversed",
            update_reversed,
            "momentum weighs the old value here, as in Keras. In PyTorch's convention it weighs "
            "the new one: (1 - momentum) * old + momentum * new.",
            "F6",
        ),
        Mistake(
            "biased variance",
            update_biased,
            "The running variance takes in the biased variance of the batch. Store the unbiased "
            "one, N / (N - 1) times as large.",
            "F6",
        ),
        Mistake(
            "momentum reversed and biased variance",
            update_reversed_and_biased,
            "This is Keras's rule: momentum weighs the old value and the variance is biased. The "
            "exercise asks for PyTorch's: momentum weighs the new value, the variance is unbiased.",
            "F6",
        ),
        Mistake(
            "old value not decayed",
            update_without_decay,
            "The new value is added to the whole old one, so the statistics grow without end. "
            "Weigh the old value with 1 - momentum.",
            "F6",
        ),
        Mistake(
            "last batch only",
            update_replaces,
            "The running statistics are replaced by those of the batch. Mix old and new.",
            "F6",
        ),
        Mistake(
            "never updated",
            update_never,
            "The running statistics come back as they went in. Mix in those of the batch.",
            "F6",
        ),
        Mistake(
            "standard deviation",
            update_std,
            "The running variance takes in the standard deviation. Take in the variance.",
            "F6",
        ),
        Mistake(
            "variance around the running mean",
            update_around_running_mean,
            "The deviations are taken from the running mean. The variance of a batch is taken "
            "around the mean of that batch.",
            "F6",
        ),
        Mistake(
            "in place",
            update_in_place,
            "The running statistics are changed in place. Return new arrays: a function that "
            "changes its arguments surprises its caller.",
            "F6",
        ),
    ],
)
