"""The exercise normalize: its cases and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.inputs import batch, cast
from bncourse.reference import forward


def _normalize_cases(rng):
    # The statistics are not those of x: a solution must use the ones it is given.
    def given(n=7, d=4, **options):
        x = batch(rng, n, d, **options)
        return {"x": x, "mean": rng.uniform(1.0, 3.0, d), "var": rng.uniform(2.0, 4.0, d)}

    tiny = given() | {"var": rng.uniform(0.5e-6, 2e-6, 4)}
    return {
        "a random batch": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "a variance smaller than eps": Case(tiny | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "a variance of zero": Case(given() | {"var": np.zeros(4), "eps": 1e-3}),
        "one example": Case(given(n=1) | {"eps": 1e-5}),
        "float32": Case(cast(given() | {"eps": 1e-5}, np.float32), "float32"),
    }


def normalize_without_eps(x, mean, var, eps=1e-5):
    return (x - mean) / np.sqrt(var)


def normalize_eps_outside(x, mean, var, eps=1e-5):
    return (x - mean) / (np.sqrt(var) + eps)


def normalize_eps_fixed(x, mean, var, eps=1e-5):
    return (x - mean) / np.sqrt(var + 1e-5)


def normalize_without_root(x, mean, var, eps=1e-5):
    return (x - mean) / (var + eps)


def normalize_without_mean(x, mean, var, eps=1e-5):
    return x / np.sqrt(var + eps)


def normalize_own_statistics(x, mean, var, eps=1e-5):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)


def normalize_multiplied(x, mean, var, eps=1e-5):
    return (x - mean) * np.sqrt(var + eps)


def normalize_precedence(x, mean, var, eps=1e-5):
    return x - mean / np.sqrt(var + eps)


def normalize_in_place(x, mean, var, eps=1e-5):
    x -= mean
    x /= np.sqrt(var + eps)
    return x


EXERCISE = function_exercise(
    forward.normalize,
    returns="x_hat",
    cases=_normalize_cases,
    see="F3",
    mistakes=[
        Mistake(
            "eps missing",
            normalize_without_eps,
            "eps is missing. Without it a feature with little or no variance is divided by almost "
            "zero. Add eps to the variance, under the root.",
            "F3",
        ),
        Mistake(
            "eps outside the root",
            normalize_eps_outside,
            "eps is added outside the root. It belongs to the variance: sqrt(var + eps).",
            "F3",
        ),
        Mistake(
            "eps ignored",
            normalize_eps_fixed,
            "The argument eps is ignored; 1e-5 is written into the code. Use the argument.",
            "F3",
        ),
        Mistake(
            "root missing",
            normalize_without_root,
            "The result is divided by the variance. Divide by its root, the standard deviation.",
            "F3",
        ),
        Mistake(
            "mean not subtracted",
            normalize_without_mean,
            "The mean is not subtracted. Normalising centres first, then scales.",
            "F3",
        ),
        Mistake(
            "own statistics",
            normalize_own_statistics,
            "The statistics are computed from x again. Use the mean and var that are passed in: at "
            "inference they are not those of x.",
            "F3",
        ),
        Mistake(
            "multiplied",
            normalize_multiplied,
            "The result is multiplied by the standard deviation. Divide by it.",
            "F3",
        ),
        Mistake(
            "missing parentheses",
            normalize_precedence,
            "Only the mean is divided, because / binds before -. Put x - mean in parentheses.",
            "F3",
        ),
        Mistake(
            "in place",
            normalize_in_place,
            "The input is overwritten (x -= mean). The caller still needs x. Return a new array.",
            "F3",
        ),
    ],
)
