"""The exercise batchnorm_jacobian: its cases and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.inputs import batch, cast, far_from_zero
from bncourse.reference import backward


def _jacobian_cases(rng):
    def given(n=7, **options):
        return {"x": batch(rng, n, 1, **options)[:, 0]}

    far = far_from_zero(rng, d=1)[:, 0].astype(np.float32)
    return {
        "a random feature": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "a variance smaller than eps": Case(given(scale=1e-3) | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        # With a small eps the Jacobian is nearly zero here, and rounding would be all there is.
        "two examples": Case(given(n=2) | {"eps": 0.5}),
        "one example": Case(given(n=1) | {"eps": 1e-2}),
        "a constant feature": Case({"x": np.full(5, 3.0), "eps": 1e-2}),
        "every second value of an array": Case({"x": given(n=12)["x"][::2]}),
        "float32": Case(cast(given(), np.float32), "float32"),
        "float32 with mean near 1e4": Case({"x": far}, "float32", rtol=1e-2, noisy=True),
    }


def jacobian_without_variance_path(x, eps=1e-5):
    N = len(x)
    return (np.eye(N) - np.ones((N, N)) / N) / np.sqrt(x.var() + eps)


def jacobian_without_mean_path(x, eps=1e-5):
    N = len(x)
    inv_std = 1 / np.sqrt(x.var() + eps)
    x_hat = (x - x.mean()) * inv_std
    return inv_std * (np.eye(N) - np.outer(x_hat, x_hat) / N)


def jacobian_diagonal(x, eps=1e-5):
    return np.eye(len(x)) / np.sqrt(x.var() + eps)


def jacobian_inv_std_forgotten(x, eps=1e-5):
    N = len(x)
    x_hat = (x - x.mean()) / np.sqrt(x.var() + eps)
    return np.eye(N) - np.ones((N, N)) / N - np.outer(x_hat, x_hat) / N


def jacobian_ones_undivided(x, eps=1e-5):
    N = len(x)
    inv_std = 1 / np.sqrt(x.var() + eps)
    x_hat = (x - x.mean()) * inv_std
    return inv_std * (np.eye(N) - np.ones((N, N)) - np.outer(x_hat, x_hat) / N)


def jacobian_outer_undivided(x, eps=1e-5):
    N = len(x)
    inv_std = 1 / np.sqrt(x.var() + eps)
    x_hat = (x - x.mean()) * inv_std
    return inv_std * (np.eye(N) - np.ones((N, N)) / N - np.outer(x_hat, x_hat))


def jacobian_inner_product(x, eps=1e-5):
    N = len(x)
    inv_std = 1 / np.sqrt(x.var() + eps)
    x_hat = (x - x.mean()) * inv_std
    return inv_std * (np.eye(N) - np.ones((N, N)) / N - x_hat @ x_hat / N)


def jacobian_elementwise(x, eps=1e-5):
    N = len(x)
    inv_std = 1 / np.sqrt(x.var() + eps)
    x_hat = (x - x.mean()) * inv_std
    return inv_std * (np.eye(N) - np.ones((N, N)) / N - x_hat * x_hat / N)


def jacobian_outer_of_centred(x, eps=1e-5):
    N = len(x)
    inv_std = 1 / np.sqrt(x.var() + eps)
    centred = x - x.mean()
    return inv_std * (np.eye(N) - np.ones((N, N)) / N - np.outer(centred, centred) / N)


def jacobian_plus(x, eps=1e-5):
    N = len(x)
    inv_std = 1 / np.sqrt(x.var() + eps)
    x_hat = (x - x.mean()) * inv_std
    return inv_std * (np.eye(N) - np.ones((N, N)) / N + np.outer(x_hat, x_hat) / N)


def jacobian_unbiased(x, eps=1e-5):
    N = len(x)
    inv_std = 1 / np.sqrt(x.var(ddof=1) + eps)
    x_hat = (x - x.mean()) * inv_std
    return inv_std * (np.eye(N) - np.ones((N, N)) / N - np.outer(x_hat, x_hat) / N)


def jacobian_without_eps(x, eps=1e-5):
    N = len(x)
    inv_std = 1 / np.sqrt(x.var())
    x_hat = (x - x.mean()) * inv_std
    return inv_std * (np.eye(N) - np.ones((N, N)) / N - np.outer(x_hat, x_hat) / N)


def jacobian_eps_outside(x, eps=1e-5):
    N = len(x)
    inv_std = 1 / (np.sqrt(x.var()) + eps)
    x_hat = (x - x.mean()) * inv_std
    return inv_std * (np.eye(N) - np.ones((N, N)) / N - np.outer(x_hat, x_hat) / N)


def jacobian_eps_fixed(x, eps=1e-5):
    N = len(x)
    inv_std = 1 / np.sqrt(x.var() + 1e-5)
    x_hat = (x - x.mean()) * inv_std
    return inv_std * (np.eye(N) - np.ones((N, N)) / N - np.outer(x_hat, x_hat) / N)


def jacobian_cancel(x, eps=1e-5):
    N = len(x)
    inv_std = 1 / np.sqrt((x**2).mean() - x.mean() ** 2 + eps)
    x_hat = (x - x.mean()) * inv_std
    return inv_std * (np.eye(N) - np.ones((N, N)) / N - np.outer(x_hat, x_hat) / N)


def jacobian_in_place(x, eps=1e-5):
    N = len(x)
    x -= x.mean()
    inv_std = 1 / np.sqrt((x**2).mean() + eps)
    x *= inv_std
    return inv_std * (np.eye(N) - np.ones((N, N)) / N - np.outer(x, x) / N)


EXERCISE = function_exercise(
    backward.batchnorm_jacobian,
    returns="J",
    cases=_jacobian_cases,
    see="B8",
    mistakes=[
        Mistake(
            "variance path missing",
            jacobian_without_variance_path,
            "The path through the variance is missing: subtract the outer product of x_hat with "
            "itself, divided by N.",
            "B8",
        ),
        Mistake(
            "mean path missing",
            jacobian_without_mean_path,
            "The path through the mean is missing: subtract 1/N from every entry.",
            "B8",
        ),
        Mistake(
            "diagonal only",
            jacobian_diagonal,
            "Only the direct path is there, the diagonal. Each x_k moves every x_hat_i through the "
            "mean and the variance.",
            "B8",
        ),
        Mistake(
            "inv_std forgotten",
            jacobian_inv_std_forgotten,
            "The factor inv_std in front is missing.",
            "B8",
        ),
        Mistake(
            "mean term undivided",
            jacobian_ones_undivided,
            "The matrix of ones is not divided by N. The derivative of a mean is 1/N.",
            "B8",
        ),
        Mistake(
            "variance term undivided",
            jacobian_outer_undivided,
            "The outer product is not divided by N. The variance is an average over N.",
            "B8",
        ),
        Mistake(
            "inner product",
            jacobian_inner_product,
            "x_hat @ x_hat is the inner product, one number. The outer product is a matrix: "
            "np.outer(x_hat, x_hat).",
            "B8",
        ),
        Mistake(
            "product of elements",
            jacobian_elementwise,
            "x_hat * x_hat multiplies element by element and is then spread over the rows. Entry "
            "(i, k) needs x_hat_i x_hat_k: the outer product.",
            "B8",
        ),
        Mistake(
            "outer product of x - mean",
            jacobian_outer_of_centred,
            "The outer product is taken of x - mean. Take it of the normalised x_hat.",
            "B8",
        ),
        Mistake(
            "sign of the variance path",
            jacobian_plus,
            "The outer product is added. Subtract it: a step along x_hat changes the scale of x "
            "only, and the normalisation takes that out again.",
            "B8",
        ),
        Mistake(
            "unbiased variance",
            jacobian_unbiased,
            "The variance is the unbiased one, divided by N - 1. Batch norm normalises with the "
            "biased variance, divided by N.",
            "B8",
        ),
        Mistake(
            "eps missing",
            jacobian_without_eps,
            "eps is missing under the root, in inv_std and therefore in x_hat.",
            "B8",
        ),
        Mistake(
            "eps outside the root",
            jacobian_eps_outside,
            "eps is added outside the root. It belongs to the variance: sqrt(var + eps).",
            "B8",
        ),
        Mistake(
            "eps ignored",
            jacobian_eps_fixed,
            "The argument eps is ignored; 1e-5 is written into the code. Use the argument.",
            "B8",
        ),
        Mistake(
            "cancellation",
            jacobian_cancel,
            "The variance is computed as E[x^2] - E[x]^2. When the mean is large, the difference "
            "is noise. Subtract the mean first.",
            "B8",
        ),
        Mistake(
            "in place",
            jacobian_in_place,
            "The input is overwritten (x -= mean). Write x - mean into a new array.",
            "B8",
        ),
    ],
)
