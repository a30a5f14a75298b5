"""The exercise batchnorm_backward_staged: its cases and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.exercises.ps2_backward.tolerance import GRADIENT_TOLERANCE
from bncourse.inputs import batch, cast, far_from_zero, scale_and_shift, upstream
from bncourse.reference import backward
from bncourse.variants import variant


def _staged_cases(rng):
    def given(n=7, d=4, **options):
        return {
            "dy": upstream(rng, n, d),
            "x": batch(rng, n, d, **options),
            "gamma": scale_and_shift(rng, d)["gamma"],
        }

    by_column = {name: np.asfortranarray(value) for name, value in given().items()}
    constant = given() | {"x": np.column_stack([np.full(7, 3.0), batch(rng, d=3)])}
    far = given(n=8) | {"x": far_from_zero(rng, d=4)}
    return {
        "a random batch": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "a variance smaller than eps": Case(given(scale=1e-3) | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "more features than examples": Case(given(n=4, d=9)),
        # With a small eps every dx is nearly zero here, and rounding would be all there is.
        "two examples": Case(given(n=2) | {"eps": 0.5}),
        "one example": Case(given(n=1) | {"eps": 0.5}),
        "a gamma of zero": Case(given() | {"gamma": np.array([0.0, 0.7, -1.3, 2.0])}),
        "a constant feature": Case(constant | {"eps": 1e-2}),
        "stored column by column": Case(by_column),
        "float32": Case(cast(given(), np.float32), "float32"),
        # float32 stores mean * inv_std and the steps of a running mean to 1e-3 here, and dvar has
        # the third power of what follows; a variance by cancellation is off by 1 and more.
        "float32 with mean near 1e4": Case(cast(far, np.float32), "float32", rtol=0.2, noisy=True),
    }


# The correct solution; each mistake differs from it in one or two lines.
STAGED = """
import numpy as np


def batchnorm_backward_staged(dy, x, gamma, eps=1e-5):
    N = len(x)
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    dx_hat = dy * gamma
    dvar = (dx_hat * (x - mean)).sum(axis=0) * -0.5 * inv_std**3
    dmean = -(dx_hat * inv_std).sum(axis=0)
    dx = dx_hat * inv_std + dvar * 2 * (x - mean) / N + dmean / N
    affine = {"dgamma": dgamma, "dbeta": dbeta}
    return {"dx_hat": dx_hat, "dvar": dvar, "dmean": dmean, "dx": dx, **affine}
"""


def staged(*changes):
    return variant(STAGED, "batchnorm_backward_staged", *changes)


EXERCISE = function_exercise(
    backward.batchnorm_backward_staged,
    returns={"gradients": ("dx_hat", "dvar", "dmean", "dx", "dgamma", "dbeta")},
    cases=_staged_cases,
    see="B5",
    tolerance=GRADIENT_TOLERANCE,
    mistakes=[
        Mistake(
            "variance path missing",
            staged((" + dvar * 2 * (x - mean) / N", "")),
            "dx leaves out the path through the variance. x reaches x_hat on three ways: directly, "
            "through var and through mean.",
            "B5",
        ),
        Mistake(
            "mean path missing",
            staged((" / N + dmean / N", " / N")),
            "dx leaves out the path through the mean. Add dmean / N for each example.",
            "B5",
        ),
        Mistake(
            "statistics held constant",
            staged((" + dvar * 2 * (x - mean) / N + dmean / N", "")),
            "dx holds the direct path only, as if mean and var did not depend on x. In training "
            "they do: add both paths.",
            "B5",
        ),
        Mistake(
            "gamma forgotten",
            staged(("dx_hat = dy * gamma", "dx_hat = dy")),
            "gamma is missing: y = gamma x_hat + beta, so dx_hat = dy gamma.",
            "B2",
        ),
        Mistake(
            "half forgotten",
            staged(("-0.5", "-1")),
            "dvar is twice too large. The derivative of (var + eps)^(-1/2) carries a factor -1/2.",
            "B3",
        ),
        Mistake(
            "wrong power",
            staged(("inv_std**3", "inv_std")),
            "dvar has the wrong power of (var + eps). The derivative of the power -1/2 has the "
            "power -3/2, which is inv_std cubed.",
            "B3",
        ),
        Mistake(
            "sign of dmean",
            staged(("dmean = -(dx_hat", "dmean = (dx_hat")),
            "dmean has the wrong sign: the mean is subtracted in x_hat.",
            "B4",
        ),
        Mistake(
            "dmean not scaled",
            staged(("-(dx_hat * inv_std).sum", "-dx_hat.sum")),
            "dmean lacks the factor inv_std: x - mean is multiplied by it on the way to x_hat.",
            "B4",
        ),
        Mistake(
            "two forgotten",
            staged(("dvar * 2 *", "dvar *")),
            "The path through the variance is half as large as it should be: the derivative of "
            "the square (x - mean)^2 brings a factor 2.",
            "B5",
        ),
        Mistake(
            "not divided by N",
            staged((" / N + dmean / N", " + dmean")),
            "dvar and dmean enter dx undivided. mean and var are averages over N examples, so "
            "each example receives a share of 1/N.",
            "B5",
        ),
        Mistake(
            "unbiased variance",
            staged(("x.var(axis=0)", "x.var(axis=0, ddof=1)")),
            "The variance is the unbiased one, divided by N - 1. The batch was normalised with "
            "the biased variance, divided by N.",
            "B3",
        ),
        Mistake(
            "eps missing",
            staged(("var + eps", "var")),
            "eps is missing under the root. Backward must use the same inv_std as forward.",
            "B3",
        ),
        Mistake(
            "eps outside the root",
            staged(("1 / np.sqrt(var + eps)", "1 / (np.sqrt(var) + eps)")),
            "eps is added outside the root. It belongs to the variance: sqrt(var + eps).",
            "B3",
        ),
        Mistake(
            "cancellation",
            staged(("x.var(axis=0)", "(x**2).mean(axis=0) - x.mean(axis=0) ** 2")),
            "The variance is computed as E[x^2] - E[x]^2. When the mean is large, the difference "
            "is noise. Subtract the mean first.",
            "B3",
        ),
        Mistake(
            "wrong axis",
            staged(
                (
                    "mean(axis=0), x.var(axis=0)",
                    "mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)",
                )
            ),
            "The statistics are taken over the features of each example. They belong to each "
            "feature, over the examples: axis 0.",
            "B3",
        ),
        Mistake(
            "dgamma and dbeta swapped",
            staged(("dgamma, dbeta = ", "dbeta, dgamma = ")),
            "dgamma and dbeta are swapped. gamma multiplies x_hat, so x_hat belongs into dgamma.",
            "B6",
        ),
        Mistake(
            "dgamma and dbeta averaged",
            staged(
                (
                    "(dy * x_hat).sum(axis=0), dy.sum(axis=0)",
                    "(dy * x_hat).mean(axis=0), dy.mean(axis=0)",
                )
            ),
            "dgamma and dbeta are averaged over the batch. All examples share gamma and beta, so "
            "their gradients add up: take the sum.",
            "B6",
        ),
        Mistake(
            "dgamma and dbeta not summed",
            staged(("(dy * x_hat).sum(axis=0), dy.sum(axis=0)", "dy * x_hat, dy")),
            "dgamma and dbeta still have a row for each example. gamma and beta are shared by the "
            "batch: sum over axis 0.",
            "B6",
        ),
        Mistake(
            "dgamma from x",
            staged(("(dy * x_hat).sum", "(dy * x).sum")),
            "dgamma is taken with x. gamma multiplies the normalised x_hat.",
            "B6",
        ),
        Mistake(
            "in place",
            staged(("dx_hat = dy * gamma", "dy *= gamma\n    dx_hat = dy")),
            "The gradient that arrives is overwritten (dy *= gamma). The caller may still need "
            "it. Write dy * gamma into a new array.",
            "B2",
        ),
    ],
)
