"""The exercise batchnorm_inference: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, function_exercise
from bncourse.exercises import hints
from bncourse.exercises.ps1_forward.shared import TOLERANCE, own_eps
from bncourse.inputs import SMALL_EPS, batch, cast, running, scale_and_shift
from bncourse.reference import forward
from bncourse.slips import Instead, Right


def _inference_cases(rng):
    def given(n=7, d=4, **options):
        return {"x": batch(rng, n, d, **options), **scale_and_shift(rng, d), **running(rng, d)}

    tiny = given() | {"running_var": rng.uniform(0.5e-6, 2e-6, 4)}
    by_column = {name: np.asfortranarray(value) for name, value in given().items()}
    return {
        "a random batch": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "one example": Case(given(n=1) | {"eps": 1e-5}),
        "a running variance smaller than eps": Case(tiny | {"eps": 1e-5}),
        "a running variance of zero": Case(given() | {"running_var": np.zeros(4), "eps": 1e-3}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "a gamma of zero": Case(given() | {"gamma": np.array([0.0, 0.7, -1.3, 2.0])}),
        "one feature": Case(given(d=1)),
        "more features than examples": Case(given(n=4, d=9)),
        "as many features as examples": Case(given(n=5, d=5)),
        "stored column by column": Case(by_column),
        "float32": Case(cast(given(), np.float32), "float32"),
        "a small eps": Case(
            given() | {"running_var": rng.uniform(0.5e-6, 2e-6, 4), "eps": SMALL_EPS}
        ),
        "far from the running mean": Case(given(offset=1e4)),
    }


def batchnorm_inference(x, gamma, beta, running_mean, running_var, eps=1e-5):
    centred = x - running_mean
    std = np.sqrt(running_var + eps)
    x_hat = centred / std
    y = gamma * x_hat + beta
    return y


RIGHT = Right(batchnorm_inference)
slip = RIGHT.slip

EXERCISE = function_exercise(
    forward.batchnorm_inference,
    returns="y",
    cases=_inference_cases,
    see="F7",
    normalised="given",
    insight="At inference each feature has one slope and one intercept: no example sees another.",
    tolerance=TOLERANCE,
    mistakes=[
        slip(
            "batch statistics",
            "The statistics of this batch are used. At inference take the running ones: the answer "
            "for one example must not depend on its neighbours.",
            "F7",
            centred="x - x.mean(axis=0)",
            std="np.sqrt(x.var(axis=0) + eps)",
        ),
        slip(
            "batch mean",
            "The variance is the running one, but the mean is that of this batch. Take both from "
            "the running statistics.",
            "F7",
            centred="x - x.mean(axis=0)",
        ),
        slip(
            "batch variance",
            "The mean is the running one, but the variance is that of this batch. Take both from "
            "the running statistics.",
            "F7",
            std="np.sqrt(x.var(axis=0) + eps)",
        ),
        slip(
            "running variance corrected again",
            "The running variance is multiplied by N / (N - 1), with the N of this batch. It was "
            "made of unbiased variances already: use it as it is.",
            "F7",
            std="np.sqrt(running_var * len(x) / (len(x) - 1) + eps)",
        ),
        slip(
            "running variance corrected again, from two examples on",
            "From two examples on, the running variance is multiplied by N / (N - 1). It was made "
            "of unbiased variances already, and the N of this batch has nothing to do with it.",
            "F7",
            std="np.sqrt(running_var * len(x) / max(len(x) - 1, 1) + eps)",
        ),
        slip(
            "eps missing",
            "eps is missing under the root. It belongs there at inference too, with the value "
            "used in training.",
            "F7",
            std="np.sqrt(running_var)",
        ),
        slip(
            "eps outside the root",
            hints.EPS_OUTSIDE_THE_RUNNING_ROOT,
            "F7",
            std="np.sqrt(running_var) + eps",
        ),
        *own_eps(slip, "F7", "centred", "x - running_mean"),
        slip(
            "eps subtracted",
            hints.EPS_SUBTRACTED,
            "F7",
            std="np.sqrt(running_var - eps)",
        ),
        slip(
            "root missing",
            "The result is divided by the running variance. Divide by its root.",
            "F7",
            std="running_var + eps",
        ),
        slip(
            "multiplied",
            hints.MULTIPLIED,
            "F7",
            x_hat="centred * std",
        ),
        slip(
            "missing parentheses",
            "Only the running mean is divided, because / binds before -. Put x - running_mean in "
            "parentheses.",
            "F7",
            x_hat="x - running_mean / std",
        ),
        slip(
            "mean not subtracted",
            "The running mean is not subtracted. Centre first, then scale.",
            "F7",
            centred="x",
        ),
        slip(
            "scale and shift missing",
            "gamma and beta are not applied. They are part of the layer at inference too.",
            "F7",
            y="x_hat",
        ),
        slip(
            "gamma missing",
            hints.GAMMA_MISSING,
            "F7",
            y="x_hat + beta",
        ),
        slip(
            "beta missing",
            hints.BETA_MISSING,
            "F7",
            y="gamma * x_hat",
        ),
        slip(
            "gamma and beta swapped",
            hints.GAMMA_AND_BETA_SWAPPED,
            "F7",
            y="beta * x_hat + gamma",
        ),
        slip(
            "shift before scale",
            hints.SHIFT_BEFORE_SCALE,
            "F7",
            y="gamma * (x_hat + beta)",
        ),
        slip(
            "float32 inside",
            hints.in_float32("The result is computed", "x"),
            "F7",
            centred="np.float32(x) - np.float32(running_mean)",
            std="np.sqrt(np.float32(running_var) + np.float32(eps))",
            y="(np.float32(gamma) * x_hat + np.float32(beta)).astype(x.dtype)",
        ),
        slip(
            "squeezed",
            hints.squeezed("one example or one feature loses its shape", "Return the shape of x."),
            "F7",
            returns="np.squeeze(y)",
        ),
        slip(
            "in place",
            hints.X_OVERWRITTEN_AT_INFERENCE,
            "F7",
            centred=Instead("x -= running_mean\ncentred = x"),
        ),
    ],
)
