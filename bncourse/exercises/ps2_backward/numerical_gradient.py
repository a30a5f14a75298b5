"""The exercise numerical_gradient: its cases, a right solution and its known mistakes."""

import inspect

import numpy as np

from bncourse.exercise import (
    Case,
    Exercise,
    Mistake,
    Unusable,
    describe,
)
from bncourse.exercises import hints
from bncourse.exercises.ps1_forward.shared import TOLERANCE
from bncourse.inputs import cast
from bncourse.reference import backward
from bncourse.slips import Instead, Right

# The function whose gradient is asked is made from two arrays, so that a case holds arrays only:
# f(x) = sum(fifth x^5) + (sum(slope x))^2 / 2. Its central difference is known exactly for every
# step, so a large h shows what is wrong and a small one what is left; and it is not the derivative,
# as it is not for a formula of more points.


def _numerical_cases(rng):
    def given(*shape):
        return {
            "x": _away_from_zero(rng, shape),
            "fifth": _away_from_zero(rng, shape),
            "slope": _away_from_zero(rng, shape),
        }

    integers = given(2, 3) | {"x": rng.integers(1, 5, (2, 3)) * rng.choice([-1, 1], (2, 3))}
    by_column = given(3, 4) | {"h": 1e-3}
    by_column["x"] = np.asfortranarray(by_column["x"])
    return {
        # With the default step, f agrees with itself in all but the last digits on both sides.
        "a vector, h left at its default": Case(given(5), rtol=1e-7),
        "a matrix": Case(given(3, 4) | {"h": 1e-3}),
        "a square matrix": Case(given(3, 3) | {"h": 1e-3}),
        "three axes": Case(given(2, 3, 2) | {"h": 1e-3}),
        "one element": Case(given(1) | {"h": 1e-3}),
        "no axis": Case(given() | {"h": 1e-3}),
        "a large step": Case(given(4, 3) | {"h": 0.5}),
        "stored column by column": Case(by_column),
        "integers": Case(integers | {"h": 1e-3}),
        # A step of 1e-5 is below the precision of float32.
        "float32": Case(cast(given(3, 4), np.float32) | {"h": 1e-2}, "float32"),
        "four axes, as images have": Case(given(2, 1, 3, 2) | {"h": 1e-3}),
        "five axes": Case(given(1, 2, 1, 2, 2) | {"h": 1e-3}),
    }


def _away_from_zero(rng, shape):
    return np.asarray(rng.uniform(0.5, 2.0, shape) * rng.choice([-1, 1], shape))


def _drive_numerical(obj, inputs):
    fifth, slope = inputs["fifth"], inputs["slope"]

    def f(x):
        if np.iscomplexobj(x):
            raise Unusable(
                "f takes real numbers. (B1) steps along the real line: f(x + h) and f(x - h)."
            )
        if np.shape(x) != fifth.shape:
            raise Unusable(
                f"f takes an array with the shape of x, {fifth.shape}. Received: {describe(x)}."
            )
        return float((fifth * x**5).sum() + (slope * x).sum() ** 2 / 2)

    options = {"h": inputs["h"]} if "h" in inputs else {}
    return {"grad": obj(f=f, x=inputs["x"], **options)}


def _reference_numerical(inputs):
    x, fifth, slope = (np.asarray(inputs[name], np.float64) for name in ("x", "fifth", "slope"))
    h = inputs.get("h", 1e-5)
    # The difference of the fifth powers is 10 x^4 h + 20 x^2 h^3 + 2 h^5; that of the square is
    # linear in h.
    fifths = 5 * x**4 + 10 * x**2 * h**2 + h**4
    return {"grad": fifth * fifths + slope * (slope * x).sum()}


def numerical_gradient(f, x, h=1e-5):
    point = np.array(x, dtype=float)
    grad = np.zeros(point.shape)
    for index in np.ndindex(point.shape):
        step = np.zeros(point.shape)
        step[index] = h
        above = f(point + step)
        below = f(point - step)
        slope = (above - below) / (2 * h)
        grad[index] = slope
    return grad


RIGHT = Right(numerical_gradient)
slip = RIGHT.slip


def numerical_aliases(f, x, h=1e-5):
    x = np.array(x, dtype=float)
    grad = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        above, below = x, x
        above[index] += h
        below[index] -= h
        grad[index] = (f(above) - f(below)) / (2 * h)
    return grad


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


def numerical_everything_integer(f, x, h=1e-5):
    grad = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        value = x[index]
        x[index] = value + h
        above = f(x)
        x[index] = value - h
        below = f(x)
        x[index] = value
        grad[index] = (above - below) / (2 * h)
    return grad


integer_slip = Right(numerical_everything_integer).slip


def numerical_not_restored(f, x, h=1e-5):
    grad = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        x[index] += h
        above = f(x)
        x[index] -= 2 * h
        below = f(x)
        grad[index] = (above - below) / (2 * h)
    return grad


def numerical_copy_not_restored(f, x, h=1e-5):
    x = np.array(x, dtype=float)
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
    insight="A smaller h has less error of the formula and more of rounding; no h has neither.",
    # A step is rounded with x: in float32 a step of 1e-2 keeps five digits.
    tolerance=TOLERANCE,
    pure=True,
    mistakes=(
        slip(
            "forward difference",
            "This is the forward difference, (f(x + h) - f(x)) / h, whose error shrinks only like "
            "h. Step to both sides of x: the error then shrinks like h^2.",
            "B1",
            below="f(point)",
            slope="(above - below) / h",
        ),
        slip(
            "backward difference",
            "This is the backward difference, (f(x) - f(x - h)) / h, whose error shrinks only like "
            "h. Step to both sides of x: the error then shrinks like h^2.",
            "B1",
            above="f(point)",
            slope="(above - below) / h",
        ),
        slip(
            "half the step",
            "The points lie h / 2 to each side. (B1) moves h to both sides and divides by 2 h.",
            "B1",
            above="f(point + step / 2)",
            below="f(point - step / 2)",
            slope="(above - below) / h",
        ),
        slip(
            "five points",
            "This is the formula of five points, which is more exact: its error shrinks like h^4. "
            "The exercise asks for the two points of (B1), x + h and x - h.",
            "B1",
            slope="(8 * (above - below) - f(point + 2 * step) + f(point - 2 * step)) / (12 * h)",
        ),
        slip(
            "factor two missing",
            "The two points lie 2 h apart, but the difference is divided by h.",
            "B1",
            slope="(above - below) / h",
        ),
        slip(
            "missing parentheses",
            "The difference is multiplied by h: a / 2 * h means (a / 2) * h. Write a / (2 * h).",
            "B1",
            slope="(above - below) / 2 * h",
        ),
        slip(
            "not divided",
            "The difference is not divided. Two points that lie 2 h apart give a slope only when "
            "you divide by 2 h.",
            "B1",
            slope="above - below",
        ),
        slip(
            "divided by h squared",
            "The difference is divided by h squared. That belongs to the second derivative; here "
            "divide by 2 h.",
            "B1",
            slope="(above - below) / h**2",
        ),
        slip(
            "sign reversed",
            "The sign is reversed: take f(x + h) minus f(x - h).",
            "B1",
            slope="(below - above) / (2 * h)",
        ),
        slip(
            "h ignored",
            "The argument h is ignored; a small step of your own, such as 1e-5, is written into "
            "the code. Use the argument.",
            "B1",
            point=Instead("h = 1e-5\npoint = np.array(x, dtype=float)"),
        ),
        slip(
            "h ignored, 1e-4",
            hints.own_value("h", "1e-4"),
            "B1",
            point=Instead("h = 1e-4\npoint = np.array(x, dtype=float)"),
        ),
        slip(
            "step above missing",
            "The upper point is x itself: its step is missing. (f(x) - f(x - h)) / (2 h) is half "
            "the slope.",
            "B1",
            above="f(point)",
        ),
        slip(
            "step below missing",
            "The lower point is x itself: its step is missing. (f(x + h) - f(x)) / (2 h) is half "
            "the slope.",
            "B1",
            below="f(point)",
        ),
        Mistake(
            "both names for one array",
            numerical_aliases,
            "Every element is zero: the steps never reach f, which sees the same x both times. Two "
            "names for one array, or a step on a number taken out of x (v = x[i]), do that. Make "
            "real copies with x.copy() and step in them.",
            "B1",
        ),
        slip(
            "all elements at once",
            "All elements are moved at once, which gives one directional derivative. Move one "
            "element, hold the others, and repeat for each.",
            "B1",
            above="f(point + h)",
            below="f(point - h)",
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
        slip(
            "gradient truncated",
            "The gradient has the dtype of x (zeros_like). Where x holds integers, each slope is "
            "cut back to an integer. Make the result of floats: np.zeros(x.shape).",
            "B1",
            grad="np.zeros_like(x)",
        ),
        Mistake(
            "steps and gradient truncated",
            numerical_everything_integer,
            "The steps and the gradient have the dtype of x. Where x holds integers, both are cut "
            "back to integers. Work on a copy of x in float64, and make grad of floats.",
            "B1",
        ),
        integer_slip(
            "h ignored, steps and gradient truncated",
            "The argument h is ignored; 1e-4 is written into the code. And the steps and the "
            "gradient have the dtype of x, so both are cut back where x holds integers. Use the "
            "argument, and work on a copy of x in float64.",
            "B1",
            grad=Instead("h = 1e-4\ngrad = np.zeros_like(x)"),
        ),
        Mistake(
            "not restored",
            numerical_not_restored,
            "Each element stays at x - h when the next one is moved, and the caller's x is "
            "changed. Put the old value back, or work on a copy.",
            "B1",
        ),
        Mistake(
            "not restored in a copy",
            numerical_copy_not_restored,
            "Each element of the copy stays at x - h when the next one is moved, so the next slope "
            "is that of another point. Put the old value back before you go on.",
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
