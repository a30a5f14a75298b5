"""The exercise numerical_gradient: its cases and its known mistakes."""

import inspect

import numpy as np

from bncourse.exercise import (
    Case,
    Exercise,
    Mistake,
    Unusable,
    describe,
)
from bncourse.inputs import cast
from bncourse.reference import backward

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


EXERCISE = Exercise(
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
