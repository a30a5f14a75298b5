"""The exercise batchnorm_jacobian: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, function_exercise
from bncourse.exercises import hints
from bncourse.exercises.ps1_forward.shared import TOLERANCE, own_eps
from bncourse.inputs import SMALL_EPS, batch, cast
from bncourse.reference import backward
from bncourse.slips import Instead, Right


def _jacobian_cases(rng):
    def given(n=7, **options):
        return {"x": batch(rng, n, 1, **options)[:, 0]}

    return {
        "a random feature": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "a variance smaller than eps": Case(given(scale=1e-3) | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        # With a small eps the Jacobian is nearly zero here, and rounding would be all there is.
        "two examples": Case(given(n=2) | {"eps": 0.5}),
        "one example": Case(given(n=1) | {"eps": 1e-2}),
        "a constant feature": Case({"x": np.full(5, 3.0), "eps": 1e-2}),
        "fifty examples": Case(given(n=50)),
        # The mean is rounded to 1e-10 there, against a spread of 0.1.
        "mean near 1e6": Case(given(n=12, offset=1e6, scale=0.1), rtol=1e-6, noisy=True),
        "float32": Case(cast(given(), np.float32), "float32"),
        "a small eps": Case(given(scale=1e-3) | {"eps": SMALL_EPS}),
    }


def batchnorm_jacobian(x, eps=1e-5):
    N = len(x)
    mean = x.mean()
    centred = x - mean
    var = (centred**2).mean()
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = centred * inv_std
    through_mean = np.ones((N, N)) / N
    through_var = np.outer(x_hat, x_hat) / N
    J = inv_std * (np.eye(N) - through_mean - through_var)
    return J


RIGHT = Right(batchnorm_jacobian)
slip = RIGHT.slip

EXERCISE = function_exercise(
    backward.batchnorm_jacobian,
    returns="J",
    cases=_jacobian_cases,
    see="B8",
    insight="But for eps, J maps two directions to 0: the ones, and x_hat itself.",
    tolerance=TOLERANCE,
    mistakes=[
        slip(
            "variance path missing",
            "The path through the variance is missing: subtract the outer product of x_hat with "
            "itself, divided by N.",
            "B8",
            J="inv_std * (np.eye(N) - through_mean)",
        ),
        slip(
            "mean path missing",
            "The path through the mean is missing: subtract 1/N from every entry.",
            "B8",
            J="inv_std * (np.eye(N) - through_var)",
        ),
        slip(
            "diagonal only",
            "Only the direct path is there, the diagonal. Each x_k moves every x_hat_i through the "
            "mean and the variance.",
            "B8",
            J="inv_std * np.eye(N)",
        ),
        slip(
            "diagonal of the Jacobian only",
            "The diagonal is right and everything else is 0. Entry (i, k) with i and k different "
            "is -(1 + x_hat_i x_hat_k) / N, times inv_std.",
            "B8",
            returns="np.diag(np.diag(J))",
        ),
        slip(
            "N times too large",
            "J is N times too large. The form N I - 1 - x_hat x_hat needs a factor 1/N in front.",
            "B8",
            returns="N * J",
        ),
        slip(
            "inv_std forgotten",
            "The factor inv_std in front is missing.",
            "B8",
            J="np.eye(N) - through_mean - through_var",
        ),
        slip(
            "divided by inv_std",
            "The matrix is divided by inv_std. It is already the inverse of the standard "
            "deviation: multiply.",
            "B8",
            J="(np.eye(N) - through_mean - through_var) / inv_std",
        ),
        slip(
            "mean term undivided",
            "The matrix of ones is not divided by N. The derivative of a mean is 1/N.",
            "B8",
            through_mean="np.ones((N, N))",
        ),
        slip(
            "variance term undivided",
            "The outer product is not divided by N. The variance is an average over N.",
            "B8",
            through_var="np.outer(x_hat, x_hat)",
        ),
        slip(
            "inner product",
            "x_hat @ x_hat is the inner product, one number. The outer product is a matrix: "
            "np.outer(x_hat, x_hat).",
            "B8",
            through_var="x_hat @ x_hat / N",
        ),
        slip(
            "product of elements",
            "x_hat * x_hat multiplies element by element and is then spread over the rows. Entry "
            "(i, k) needs x_hat_i x_hat_k: the outer product.",
            "B8",
            through_var="x_hat * x_hat / N",
        ),
        slip(
            "outer product of x - mean",
            "The outer product is taken of x - mean. Take it of the normalised x_hat.",
            "B8",
            through_var="np.outer(centred, centred) / N",
        ),
        slip(
            "sign of the variance path",
            "The outer product is added. Subtract it: a step along x_hat changes the scale of x "
            "only, and the normalisation takes that out again.",
            "B8",
            J="inv_std * (np.eye(N) - through_mean + through_var)",
        ),
        slip(
            "unbiased variance",
            hints.UNBIASED_VARIANCE,
            "B8",
            var="x.var(ddof=1)",
        ),
        slip(
            "divided by N - 1",
            "The outer product is divided by N - 1, as for the unbiased variance. Batch norm "
            "normalises with the biased one: divide by N.",
            "B8",
            through_var="np.outer(x_hat, x_hat) / (N - 1)",
        ),
        slip(
            "root missing",
            hints.ROOT_MISSING,
            "B8",
            inv_std="1 / (var + eps)",
        ),
        slip(
            "eps missing",
            "eps is missing under the root, in inv_std and therefore in x_hat.",
            "B8",
            inv_std="1 / np.sqrt(var)",
        ),
        slip(
            "eps outside the root",
            hints.EPS_OUTSIDE_THE_ROOT,
            "B8",
            inv_std="1 / (np.sqrt(var) + eps)",
        ),
        *own_eps(slip, "B8", "centred", "x - mean"),
        slip(
            "eps subtracted",
            hints.EPS_SUBTRACTED,
            "B8",
            inv_std="1 / np.sqrt(var - eps)",
        ),
        slip(
            "cancellation",
            hints.CANCELLATION,
            "B8",
            var="(x**2).mean() - mean**2",
        ),
        slip(
            "float32 inside",
            hints.in_float32("The Jacobian is computed", "x"),
            "B8",
            N=Instead("dtype = x.dtype\nx = x.astype(np.float32)\nN = len(x)"),
            returns="J.astype(np.float32).astype(dtype)",
        ),
        slip(
            "squeezed",
            hints.squeezed("one example leaves a bare number", "Return shape (N, N) for every N."),
            "B8",
            returns="np.squeeze(J)",
        ),
        slip(
            "in place",
            hints.X_OVERWRITTEN,
            "B8",
            centred=Instead("x -= mean\ncentred = x"),
        ),
    ],
)
