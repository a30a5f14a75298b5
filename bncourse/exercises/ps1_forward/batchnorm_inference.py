"""The exercise batchnorm_inference: its cases and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.inputs import batch, cast, running, scale_and_shift
from bncourse.reference import forward


def _inference_cases(rng):
    def given(n=7, d=4, **options):
        return {"x": batch(rng, n, d, **options), **scale_and_shift(rng, d), **running(rng, d)}

    tiny = given() | {"running_var": rng.uniform(0.5e-6, 2e-6, 4)}
    return {
        "a random batch": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "one example": Case(given(n=1) | {"eps": 1e-5}),
        "a running variance smaller than eps": Case(tiny | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "more features than examples": Case(given(n=4, d=9)),
        "float32": Case(cast(given(), np.float32), "float32"),
    }


def inference_batch_statistics(x, gamma, beta, running_mean, running_var, eps=1e-5):
    return gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) + beta


def inference_batch_mean(x, gamma, beta, running_mean, running_var, eps=1e-5):
    return gamma * (x - x.mean(axis=0)) / np.sqrt(running_var + eps) + beta


def inference_without_eps(x, gamma, beta, running_mean, running_var, eps=1e-5):
    return gamma * (x - running_mean) / np.sqrt(running_var) + beta


def inference_eps_outside(x, gamma, beta, running_mean, running_var, eps=1e-5):
    return gamma * (x - running_mean) / (np.sqrt(running_var) + eps) + beta


def inference_without_root(x, gamma, beta, running_mean, running_var, eps=1e-5):
    return gamma * (x - running_mean) / (running_var + eps) + beta


def inference_without_affine(x, gamma, beta, running_mean, running_var, eps=1e-5):
    return (x - running_mean) / np.sqrt(running_var + eps)


def inference_without_beta(x, gamma, beta, running_mean, running_var, eps=1e-5):
    return gamma * (x - running_mean) / np.sqrt(running_var + eps)


EXERCISE = function_exercise(
    forward.batchnorm_inference,
    returns="y",
    cases=_inference_cases,
    see="F7",
    mistakes=[
        Mistake(
            "batch statistics",
            inference_batch_statistics,
            "The statistics of this batch are used. At inference take the running ones: the answer "
            "for one example must not depend on its neighbours.",
            "F7",
        ),
        Mistake(
            "batch mean",
            inference_batch_mean,
            "The variance is the running one, but the mean is that of this batch. Take both from "
            "the running statistics.",
            "F7",
        ),
        Mistake(
            "eps missing",
            inference_without_eps,
            "eps is missing under the root. It belongs there at inference too, with the value "
            "used in training.",
            "F7",
        ),
        Mistake(
            "eps outside the root",
            inference_eps_outside,
            "eps is added outside the root. It belongs to the variance: sqrt(running_var + eps).",
            "F7",
        ),
        Mistake(
            "root missing",
            inference_without_root,
            "The result is divided by the running variance. Divide by its root.",
            "F7",
        ),
        Mistake(
            "scale and shift missing",
            inference_without_affine,
            "gamma and beta are not applied. They are part of the layer at inference too.",
            "F7",
        ),
        Mistake(
            "beta missing",
            inference_without_beta,
            "beta is not added. Scale first, then shift.",
            "F7",
        ),
    ],
)
