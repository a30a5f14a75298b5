"""Problem set 2, the backward pass in NumPy: its exercises and their known mistakes.

The mistakes are written as students write them, each whole and on its own: the sample class hands
them in, and the tests prove that each is rejected under its own name.
"""

import inspect

import numpy as np

from bncourse.exercise import (
    DEFAULT_TOLERANCE,
    Case,
    Exercise,
    Mistake,
    Unusable,
    describe,
    function_exercise,
)
from bncourse.inputs import batch, cast, far_from_zero, running, scale_and_shift, upstream
from bncourse.reference import backward, forward
from bncourse.variants import variant

# Sums over the batch cancel in part, so float32 arithmetic inside is off by some 1e-6, too close to
# the default; the smallest mistake is off by 0.1.
GRADIENT_TOLERANCE = DEFAULT_TOLERANCE | {"float64": 1e-4}


# --- numerical_gradient -----------------------------------------------------------------------

# The function whose gradient is asked is made from two arrays, so that a case holds arrays only:
# f(x) = sum(cubic x^3) + (sum(slope x))^2 / 2. Its central difference is known exactly for every
# step, so a large h shows what is wrong and a small one what is left.


def _numerical_cases(rng):
    def given(*shape):
        return {
            "x": _away_from_zero(rng, shape),
            "cubic": _away_from_zero(rng, shape),
            "slope": _away_from_zero(rng, shape),
        }

    integers = given(2, 3) | {"x": rng.integers(1, 5, (2, 3)) * rng.choice([-1, 1], (2, 3))}
    return {
        "a vector, h left at its default": Case(given(5)),
        "a matrix": Case(given(3, 4) | {"h": 1e-4}),
        "three axes": Case(given(2, 3, 2) | {"h": 1e-4}),
        "a large step": Case(given(4, 3) | {"h": 0.5}),
        "stored column by column": Case(given(3, 4) | {"x": np.asfortranarray(given(3, 4)["x"])}),
        "integers": Case(integers | {"h": 1e-3}),
        # A step of 1e-5 is below the precision of float32.
        "float32": Case(cast(given(3, 4), np.float32) | {"h": 1e-2}, "float32"),
    }


def _away_from_zero(rng, shape):
    return rng.uniform(0.5, 2.0, shape) * rng.choice([-1, 1], shape)


def _drive_numerical(obj, inputs):
    cubic, slope = inputs["cubic"], inputs["slope"]

    def f(x):
        if np.shape(x) != cubic.shape:
            raise Unusable(
                f"f takes an array with the shape of x, {cubic.shape}. Received: {describe(x)}."
            )
        return float((cubic * x**3).sum() + (slope * x).sum() ** 2 / 2)

    options = {"h": inputs["h"]} if "h" in inputs else {}
    return {"grad": obj(f=f, x=inputs["x"], **options)}


def _reference_numerical(inputs):
    x, cubic, slope = (np.asarray(inputs[name], np.float64) for name in ("x", "cubic", "slope"))
    # The difference of the cubes is 6 x^2 h + 2 h^3; that of the square is linear in h.
    return {"grad": cubic * (3 * x**2 + inputs.get("h", 1e-5) ** 2) + slope * (slope * x).sum()}


def numerical_forward_difference(f, x, h=1e-5):
    x = np.array(x, dtype=float)
    grad = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        moved = x.copy()
        moved[index] += h
        grad[index] = (f(moved) - f(x)) / h
    return grad


def numerical_without_two(f, x, h=1e-5):
    x = np.array(x, dtype=float)
    grad = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[index] += h
        below[index] -= h
        grad[index] = (f(above) - f(below)) / h
    return grad


def numerical_times_h(f, x, h=1e-5):
    x = np.array(x, dtype=float)
    grad = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[index] += h
        below[index] -= h
        grad[index] = (f(above) - f(below)) / 2 * h
    return grad


def numerical_h_squared(f, x, h=1e-5):
    x = np.array(x, dtype=float)
    grad = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[index] += h
        below[index] -= h
        grad[index] = (f(above) - f(below)) / h**2
    return grad


def numerical_reversed(f, x, h=1e-5):
    x = np.array(x, dtype=float)
    grad = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[index] += h
        below[index] -= h
        grad[index] = (f(below) - f(above)) / (2 * h)
    return grad


def numerical_h_fixed(f, x, h=1e-5):
    h = 1e-5
    x = np.array(x, dtype=float)
    grad = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[index] += h
        below[index] -= h
        grad[index] = (f(above) - f(below)) / (2 * h)
    return grad


def numerical_aliases(f, x, h=1e-5):
    x = np.array(x, dtype=float)
    grad = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        above, below = x, x
        above[index] += h
        below[index] -= h
        grad[index] = (f(above) - f(below)) / (2 * h)
    return grad


def numerical_all_at_once(f, x, h=1e-5):
    x = np.array(x, dtype=float)
    return np.full(x.shape, (f(x + h) - f(x - h)) / (2 * h))


def numerical_whole_rows(f, x, h=1e-5):
    x = np.array(x, dtype=float)
    grad = np.zeros_like(x)
    for i in range(len(x)):
        above, below = x.copy(), x.copy()
        above[i] += h
        below[i] -= h
        grad[i] = (f(above) - f(below)) / (2 * h)
    return grad


def numerical_diagonal(f, x, h=1e-5):
    x = np.array(x, dtype=float)
    grad = np.zeros_like(x)
    for i in range(min(x.shape)):
        index = (i,) * x.ndim
        above, below = x.copy(), x.copy()
        above[index] += h
        below[index] -= h
        grad[index] = (f(above) - f(below)) / (2 * h)
    return grad


def numerical_returns_early(f, x, h=1e-5):
    x = np.array(x, dtype=float)
    grad = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[index] += h
        below[index] -= h
        grad[index] = (f(above) - f(below)) / (2 * h)
        return grad
    return grad


def numerical_flat_copy(f, x, h=1e-5):
    x = x.astype(float)
    flat = x.reshape(-1)
    grad = np.zeros(x.shape)
    for i, index in enumerate(np.ndindex(x.shape)):
        value = flat[i]
        flat[i] = value + h
        above = f(x)
        flat[i] = value - h
        below = f(x)
        flat[i] = value
        grad[index] = (above - below) / (2 * h)
    return grad


def numerical_integer_step(f, x, h=1e-5):
    grad = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        value = x[index]
        x[index] = value + h
        above = f(x)
        x[index] = value - h
        below = f(x)
        x[index] = value
        grad[index] = (above - below) / (2 * h)
    return grad


def numerical_not_restored(f, x, h=1e-5):
    grad = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        x[index] += h
        above = f(x)
        x[index] -= 2 * h
        below = f(x)
        grad[index] = (above - below) / (2 * h)
    return grad


def numerical_restored_by_sums(f, x, h=1e-5):
    grad = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        x[index] += h
        above = f(x)
        x[index] -= 2 * h
        below = f(x)
        x[index] += h
        grad[index] = (above - below) / (2 * h)
    return grad


numerical_gradient = Exercise(
    name="numerical_gradient",
    signature=inspect.signature(backward.numerical_gradient),
    cases=_numerical_cases,
    drive=_drive_numerical,
    reference=_reference_numerical,
    see="B1",
    mistakes=(
        Mistake(
            "forward difference",
            numerical_forward_difference,
            "This is the forward difference, (f(x + h) - f(x)) / h, whose error shrinks only like "
            "h. Step to both sides of x: the error then shrinks like h^2.",
            "B1",
        ),
        Mistake(
            "factor two missing",
            numerical_without_two,
            "The two points lie 2 h apart, but the difference is divided by h.",
            "B1",
        ),
        Mistake(
            "missing parentheses",
            numerical_times_h,
            "The difference is multiplied by h: a / 2 * h means (a / 2) * h. Write a / (2 * h).",
            "B1",
        ),
        Mistake(
            "divided by h squared",
            numerical_h_squared,
            "The difference is divided by h squared. That belongs to the second derivative; here "
            "divide by 2 h.",
            "B1",
        ),
        Mistake(
            "sign reversed",
            numerical_reversed,
            "The sign is reversed: take f(x + h) minus f(x - h).",
            "B1",
        ),
        Mistake(
            "h ignored",
            numerical_h_fixed,
            "The argument h is ignored; 1e-5 is written into the code. Use the argument.",
            "B1",
        ),
        Mistake(
            "both names for one array",
            numerical_aliases,
            "The two points are one array under two names, so both steps act on it and the "
            "difference is zero. Make real copies with x.copy().",
            "B1",
        ),
        Mistake(
            "all elements at once",
            numerical_all_at_once,
            "All elements are moved at once, which gives one directional derivative. Move one "
            "element, hold the others, and repeat for each.",
            "B1",
        ),
        Mistake(
            "whole rows",
            numerical_whole_rows,
            "Whole rows of x are moved, because the loop runs over the first axis only. Visit "
            "every element, for example with np.ndindex(x.shape).",
            "B1",
        ),
        Mistake(
            "diagonal only",
            numerical_diagonal,
            "Only the diagonal of x is visited, because one counter serves as every index.",
            "B1",
        ),
        Mistake(
            "returns in the loop",
            numerical_returns_early,
            "Only the first element is filled in: return stands inside the loop. Move it out.",
            "B1",
        ),
        Mistake(
            "flat copy",
            numerical_flat_copy,
            "The steps are made in a flat copy that f never sees. reshape(-1) and ravel() copy "
            "when x is not stored row by row. Index x itself.",
            "B1",
        ),
        Mistake(
            "integers truncated",
            numerical_integer_step,
            "The steps are made in the dtype of x. Where x holds integers, x + h is cut back to an "
            "integer. Start from a copy of x in float64.",
            "B1",
        ),
        Mistake(
            "not restored",
            numerical_not_restored,
            "Each element stays at x - h when the next one is moved, and the caller's x is "
            "changed. Put the old value back, or work on a copy.",
            "B1",
        ),
        Mistake(
            "restored by sums",
            numerical_restored_by_sums,
            "Adding and subtracting h does not bring back the old value: each step rounds. Save "
            "the value before you move it, or work on a copy.",
            "B1",
        ),
    ),
)


# --- batchnorm_backward_staged ----------------------------------------------------------------


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
        "one example": Case(given(n=1) | {"eps": 1e-2}),
        "a gamma of zero": Case(given() | {"gamma": np.array([0.0, 0.7, -1.3, 2.0])}),
        "a constant feature": Case(constant | {"eps": 1e-2}),
        "stored column by column": Case(by_column),
        "float32": Case(cast(given(), np.float32), "float32"),
        "float32 with mean near 1e4": Case(cast(far, np.float32), "float32", noisy=True),
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


batchnorm_backward_staged = function_exercise(
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


# --- batchnorm_backward -----------------------------------------------------------------------


def _backward_cases(rng):
    def given(n=7, d=4, eps=1e-5, gamma=None, **options):
        affine = scale_and_shift(rng, d)
        gamma = affine["gamma"] if gamma is None else gamma
        x = batch(rng, n, d, **options)
        cache = forward.batchnorm_forward(x, gamma, affine["beta"], eps)[1]
        return {"dy": upstream(rng, n, d), "cache": cache}

    by_column = given()
    by_column["dy"] = np.asfortranarray(by_column["dy"])
    by_column["cache"]["x_hat"] = np.asfortranarray(by_column["cache"]["x_hat"])
    return {
        "a random batch": Case(given()),
        "a variance smaller than eps": Case(given(scale=1e-3)),
        "a large eps": Case(given(eps=0.5)),
        "more features than examples": Case(given(n=4, d=9)),
        # With a small eps every dx is nearly zero here, and rounding would be all there is.
        "two examples": Case(given(n=2, eps=0.5)),
        "one example": Case(given(n=1, eps=1e-2)),
        "a gamma of zero": Case(given(gamma=np.array([0.0, 0.7, -1.3, 2.0]))),
        "a thousand examples": Case(given(n=1000)),
        "stored column by column": Case(by_column),
        "float32": Case(cast(given(), np.float32), "float32"),
    }


def backward_without_variance_path(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx = gamma * inv_std * (dy - dy.mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_without_mean_path(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx = gamma * inv_std * (dy - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_statistics_constant(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx = gamma * inv_std * dy
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_gamma_forgotten(dy, cache):
    x_hat, inv_std = cache["x_hat"], cache["inv_std"]
    dx = inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_gamma_twice(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx_hat = dy * gamma
    dx = gamma * inv_std * (dx_hat - dx_hat.mean(axis=0) - x_hat * (dx_hat * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_gamma_in_dgamma(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dy = dy * gamma
    dx = inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_inv_std_forgotten(dy, cache):
    x_hat, gamma = cache["x_hat"], cache["gamma"]
    dx = gamma * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_divided_by_inv_std(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx = gamma / inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_sums(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    dx = gamma * inv_std * (dy - dbeta - x_hat * dgamma)
    return dx, dgamma, dbeta


def backward_n_times(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    dx = gamma * inv_std * (len(dy) * dy - dbeta - x_hat * dgamma)
    return dx, dgamma, dbeta


def backward_unbiased(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    N = len(dy)
    dx = gamma * inv_std * (dy - dbeta / N - x_hat * dgamma / (N - 1))
    return dx, dgamma, dbeta


def backward_divided_by_features(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    N = dy.shape[1]
    dx = gamma * inv_std * (dy - dbeta / N - x_hat * dgamma / N)
    return dx, dgamma, dbeta


def backward_plus(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx = gamma * inv_std * (dy - dy.mean(axis=0) + x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_wrong_axis(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    mean_dy = dy.mean(axis=1, keepdims=True)
    mean_dy_x_hat = (dy * x_hat).mean(axis=1, keepdims=True)
    dx = gamma * inv_std * (dy - mean_dy - x_hat * mean_dy_x_hat)
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_swapped(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx = gamma * inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, dy.sum(axis=0), (dy * x_hat).sum(axis=0)


def backward_averaged(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dgamma, dbeta = (dy * x_hat).mean(axis=0), dy.mean(axis=0)
    return gamma * inv_std * (dy - dbeta - x_hat * dgamma), dgamma, dbeta


def backward_not_summed(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dx = gamma * inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, dy * x_hat, dy


def backward_cache_overwritten(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    inv_std *= gamma
    dx = inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def backward_dy_overwritten(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
    dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    dy -= dbeta / len(dy)
    dy -= x_hat * dgamma / len(dy)
    dy *= gamma * inv_std
    return dy, dgamma, dbeta


batchnorm_backward = function_exercise(
    backward.batchnorm_backward,
    returns=("dx", "dgamma", "dbeta"),
    cases=_backward_cases,
    see="B7",
    tolerance=GRADIENT_TOLERANCE,
    mistakes=[
        Mistake(
            "variance path missing",
            backward_without_variance_path,
            "The path through the variance is missing in dx: subtract x_hat mean(dy x_hat) too. A "
            "check with the loss sum(y) would not have shown it.",
            "B7",
        ),
        Mistake(
            "mean path missing",
            backward_without_mean_path,
            "The path through the mean is missing in dx: subtract mean(dy) too. A check with the "
            "loss sum(y^2) and beta = 0 would not have shown it.",
            "B7",
        ),
        Mistake(
            "statistics held constant",
            backward_statistics_constant,
            "dx is that of constant statistics, which is right at inference only. In training the "
            "mean and the variance depend on x.",
            "B7",
        ),
        Mistake(
            "gamma forgotten",
            backward_gamma_forgotten,
            "gamma is missing in dx: dy passes through the scale before it reaches x_hat.",
            "B2",
        ),
        Mistake(
            "gamma twice",
            backward_gamma_twice,
            "dx is multiplied by gamma twice: once in dx_hat and once in front of the bracket.",
            "B7",
        ),
        Mistake(
            "gamma in dgamma",
            backward_gamma_in_dgamma,
            "dgamma and dbeta are multiplied by gamma: dy was replaced by dy gamma before they "
            "were summed. They are made from dy as it arrives.",
            "B6",
        ),
        Mistake(
            "inv_std forgotten",
            backward_inv_std_forgotten,
            "inv_std is missing in dx. A feature with a large spread receives a small gradient.",
            "B7",
        ),
        Mistake(
            "divided by inv_std",
            backward_divided_by_inv_std,
            "dx is divided by inv_std. It is already the inverse of the standard deviation: "
            "multiply.",
            "B7",
        ),
        Mistake(
            "sums in place of means",
            backward_sums,
            "Inside the bracket the sums dbeta and dgamma stand undivided. Divide them by N, the "
            "number of examples.",
            "B7",
        ),
        Mistake(
            "N times too large",
            backward_n_times,
            "dx is N times too large. The form N dy - sum(dy) - x_hat sum(dy x_hat) needs a factor "
            "1/N in front.",
            "B7",
        ),
        Mistake(
            "N - 1",
            backward_unbiased,
            "The term of the variance is divided by N - 1, as for the unbiased variance. The "
            "batch was normalised with the biased one: divide by N.",
            "B7",
        ),
        Mistake(
            "divided by D",
            backward_divided_by_features,
            "The sums are divided by the number of features D. Divide by the number of examples, "
            "len(dy).",
            "B7",
        ),
        Mistake(
            "sign of the variance path",
            backward_plus,
            "The term x_hat mean(dy x_hat) is added. Subtract it: dx has no part along x_hat.",
            "B7",
        ),
        Mistake(
            "wrong axis",
            backward_wrong_axis,
            "The two means are taken over the features of each example. Take them over the batch, "
            "axis 0.",
            "B7",
        ),
        Mistake(
            "dgamma and dbeta swapped",
            backward_swapped,
            "dgamma and dbeta are swapped. gamma multiplies x_hat, so x_hat belongs into dgamma.",
            "B6",
        ),
        Mistake(
            "dgamma and dbeta averaged",
            backward_averaged,
            "dgamma and dbeta are averaged over the batch. They are sums; only dx needs the means.",
            "B6",
        ),
        Mistake(
            "dgamma and dbeta not summed",
            backward_not_summed,
            "dgamma and dbeta still have a row for each example. gamma and beta are shared by the "
            "batch: sum over axis 0.",
            "B6",
        ),
        Mistake(
            "cache overwritten",
            backward_cache_overwritten,
            "An array of the cache is changed (inv_std *= gamma), so a second backward pass would "
            "be wrong. Write into a new array.",
            "B7",
        ),
        Mistake(
            "dy overwritten",
            backward_dy_overwritten,
            "The gradient that arrives is overwritten (dy -= ...). The caller may still need it, "
            "for example on a second branch. Write into a new array.",
            "B7",
        ),
    ],
)


# --- batchnorm_jacobian -----------------------------------------------------------------------


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
        "float32 with mean near 1e4": Case({"x": far}, "float32", noisy=True),
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


batchnorm_jacobian = function_exercise(
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


# --- batchnorm_inference_backward -------------------------------------------------------------


def _inference_backward_cases(rng):
    def given(n=7, d=4, **options):
        return {
            "dy": upstream(rng, n, d),
            "x": batch(rng, n, d, **options),
            "gamma": scale_and_shift(rng, d)["gamma"],
            **running(rng, d),
        }

    tiny = given() | {"running_var": rng.uniform(0.5e-6, 2e-6, 4)}
    by_column = {name: np.asfortranarray(value) for name, value in given().items()}
    return {
        "a random batch": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "one example": Case(given(n=1) | {"eps": 1e-5}),
        "a running variance smaller than eps": Case(tiny | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "more features than examples": Case(given(n=4, d=9)),
        "a gamma of zero": Case(given() | {"gamma": np.array([0.0, 0.7, -1.3, 2.0])}),
        "stored column by column": Case(by_column),
        "float32": Case(cast(given(), np.float32), "float32"),
    }


def inference_training_backward(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(x.var(axis=0) + eps)
    x_hat = (x - x.mean(axis=0)) * inv_std
    dx = gamma * inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_keeps_paths(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var + eps)
    x_hat = (x - running_mean) * inv_std
    dx = gamma * inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_keeps_mean_path(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var + eps)
    x_hat = (x - running_mean) * inv_std
    dx = gamma * inv_std * (dy - dy.mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_batch_x_hat(dy, x, gamma, running_mean, running_var, eps=1e-5):
    x_hat = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)
    dx = dy * gamma / np.sqrt(running_var + eps)
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_dgamma_of_x(dy, x, gamma, running_mean, running_var, eps=1e-5):
    dx = dy * gamma / np.sqrt(running_var + eps)
    return dx, (dy * x).sum(axis=0), dy.sum(axis=0)


def inference_dgamma_of_centred(dy, x, gamma, running_mean, running_var, eps=1e-5):
    dx = dy * gamma / np.sqrt(running_var + eps)
    return dx, (dy * (x - running_mean)).sum(axis=0), dy.sum(axis=0)


def inference_gamma_forgotten(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var + eps)
    x_hat = (x - running_mean) * inv_std
    return dy * inv_std, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_scale_forgotten(dy, x, gamma, running_mean, running_var, eps=1e-5):
    x_hat = (x - running_mean) / np.sqrt(running_var + eps)
    return dy * gamma, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_without_root(dy, x, gamma, running_mean, running_var, eps=1e-5):
    x_hat = (x - running_mean) / (running_var + eps)
    dx = dy * gamma / (running_var + eps)
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_without_eps(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var)
    x_hat = (x - running_mean) * inv_std
    return dy * gamma * inv_std, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_eps_outside(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / (np.sqrt(running_var) + eps)
    x_hat = (x - running_mean) * inv_std
    return dy * gamma * inv_std, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_eps_fixed(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var + 1e-5)
    x_hat = (x - running_mean) * inv_std
    return dy * gamma * inv_std, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_swapped(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var + eps)
    x_hat = (x - running_mean) * inv_std
    return dy * gamma * inv_std, dy.sum(axis=0), (dy * x_hat).sum(axis=0)


def inference_averaged(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var + eps)
    x_hat = (x - running_mean) * inv_std
    return dy * gamma * inv_std, (dy * x_hat).mean(axis=0), dy.mean(axis=0)


def inference_not_summed(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var + eps)
    x_hat = (x - running_mean) * inv_std
    return dy * gamma * inv_std, dy * x_hat, dy


def inference_in_place(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var + eps)
    x -= running_mean
    x *= inv_std
    return dy * gamma * inv_std, (dy * x).sum(axis=0), dy.sum(axis=0)


batchnorm_inference_backward = function_exercise(
    backward.batchnorm_inference_backward,
    returns=("dx", "dgamma", "dbeta"),
    cases=_inference_backward_cases,
    see="B10",
    mistakes=[
        Mistake(
            "training backward",
            inference_training_backward,
            "This is the backward pass of training, with the statistics of the batch. At inference "
            "the running statistics are constants, and each example stands alone.",
            "B10",
        ),
        Mistake(
            "paths through constants",
            inference_keeps_paths,
            "The running statistics are used, but dx still subtracts the paths through mean and "
            "variance. Running statistics do not depend on x: both paths are gone.",
            "B10",
        ),
        Mistake(
            "mean path kept",
            inference_keeps_mean_path,
            "dx still subtracts mean(dy). The running mean does not depend on x.",
            "B10",
        ),
        Mistake(
            "x_hat of the batch",
            inference_batch_x_hat,
            "dgamma is taken with the x_hat of this batch. Forward normalised with the running "
            "statistics, so its x_hat is the one to use.",
            "B10",
        ),
        Mistake(
            "dgamma from x",
            inference_dgamma_of_x,
            "dgamma is taken with x. gamma multiplies the normalised x_hat.",
            "B10",
        ),
        Mistake(
            "dgamma not scaled",
            inference_dgamma_of_centred,
            "dgamma is taken with x - running_mean. Divide by the standard deviation to get x_hat.",
            "B10",
        ),
        Mistake(
            "gamma forgotten",
            inference_gamma_forgotten,
            "gamma is missing in dx: dy passes through the scale first.",
            "B10",
        ),
        Mistake(
            "standard deviation forgotten",
            inference_scale_forgotten,
            "dx is not divided by sqrt(running_var + eps), which forward divides by.",
            "B10",
        ),
        Mistake(
            "root missing",
            inference_without_root,
            "The running variance divides without its root. Divide by the standard deviation.",
            "B10",
        ),
        Mistake(
            "eps missing",
            inference_without_eps,
            "eps is missing under the root. It belongs there at inference too.",
            "B10",
        ),
        Mistake(
            "eps outside the root",
            inference_eps_outside,
            "eps is added outside the root. It belongs to the variance: sqrt(running_var + eps).",
            "B10",
        ),
        Mistake(
            "eps ignored",
            inference_eps_fixed,
            "The argument eps is ignored; 1e-5 is written into the code. Use the argument.",
            "B10",
        ),
        Mistake(
            "dgamma and dbeta swapped",
            inference_swapped,
            "dgamma and dbeta are swapped. gamma multiplies x_hat, so x_hat belongs into dgamma.",
            "B6",
        ),
        Mistake(
            "dgamma and dbeta averaged",
            inference_averaged,
            "dgamma and dbeta are averaged over the batch. All examples share gamma and beta, so "
            "their gradients add up: take the sum.",
            "B6",
        ),
        Mistake(
            "dgamma and dbeta not summed",
            inference_not_summed,
            "dgamma and dbeta still have a row for each example. gamma and beta are shared by the "
            "batch: sum over axis 0.",
            "B6",
        ),
        Mistake(
            "in place",
            inference_in_place,
            "The input is overwritten (x -= running_mean). Write x - running_mean into a new "
            "array.",
            "B10",
        ),
    ],
)


EXERCISES = (
    numerical_gradient,
    batchnorm_backward_staged,
    batchnorm_backward,
    batchnorm_jacobian,
    batchnorm_inference_backward,
)
