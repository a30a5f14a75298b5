"""The trusted half of a check: compare what a solution returned with the reference."""

import contextlib
import hashlib
import warnings
from dataclasses import dataclass

import numpy as np

from bncourse.attempt import attempt
from bncourse.exercise import Mistake
from bncourse.rules import fingerprint

# A result may be more precise than its case asks, never less.
_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Verdict:
    """The outcome for one exercise.

    Args:
        kind: ``ok``, ``wrong`` or ``error``.
        case: the name of the first case that went wrong, if any.
        finding: what went wrong there, without any expected value.
        mistake: the known mistake that behaves the same on all cases, if any.
        printed: the beginning of what the solution printed in that case.
        error: the name of the exception that it raised in that case, if any.
    """

    kind: str
    case: str | None = None
    finding: str = ""
    mistake: Mistake | None = None
    printed: str = ""
    error: str | None = None


def judge(exercise, cases, attempts):
    """Return the Verdict on a solution.

    Args:
        exercise: the Exercise.
        cases: ``{name: Case}``.
        attempts: ``{name: Attempt}``, one per case.
    """
    for name, case in cases.items():
        made = attempts[name]
        kind, finding = _first_problem(exercise, case, made)
        if kind != "ok":
            # The case that went wrong comes first: it rules out most mistakes at once.
            ordered = {name: case} | cases
            stub = made.error == "NotImplementedError"
            mistake = None if stub else diagnose(exercise, ordered, attempts)
            return Verdict(kind, name, finding, mistake, made.printed, made.error)
    return Verdict("ok")


def _first_problem(exercise, case, made):
    if made.error == "Unusable":
        return "wrong", made.message
    if made.error:
        return "error", made.message
    finding = compare(exercise, case, made.outputs, exercise.reference(case.inputs))
    if finding:
        return "wrong", finding
    if made.rules:
        return "wrong", "\n".join(made.rules)
    return "ok", ""


def compare(exercise, case, outputs, expected):
    """Return a sentence on the first difference, or None: shape and dtype come before values."""
    for label, want in expected.items():
        if label not in outputs:
            return f"{label} is missing."
        got = outputs[label]
        finding = (
            _shape_problem(label, got, want)
            or _dtype_problem(label, got, want, case)
            or _value_problem(label, got, want, exercise.rtol(label, case))
        )
        if finding:
            return finding
    return None


def _shape_problem(label, got, want):
    if got.shape != want.shape:
        return f"{label} must have shape {want.shape}. Received: shape {got.shape}."
    return None


def _dtype_problem(label, got, want, case):
    if want.dtype.kind in "iub":
        return None
    if got.dtype.kind == "f" and got.dtype.itemsize >= _BYTES[case.dtype]:
        return None
    integers = [name for name, value in case.inputs.items() if _holds_integers(value)]
    if got.dtype.kind != "f" and integers:
        return (
            f"{label} must have dtype {case.dtype}, not that of {integers[0]}, which holds "
            f"integers here. Received: {got.dtype}."
        )
    like = "" if integers else ", as the inputs have"
    return f"{label} must have dtype {case.dtype}{like}. Received: {got.dtype}."


def _holds_integers(value):
    return isinstance(value, np.ndarray) and value.dtype.kind in "iu"


def _value_problem(label, got, want, rtol):
    bad = ~np.isfinite(got)
    if bad.any() and np.isfinite(want).all():
        return f"{label} holds {bad.sum()} non-finite values (NaN or infinity) of {got.size}."
    # A mistake may be off by more than the largest float64; infinity says so just as well.
    with np.errstate(over="ignore", invalid="ignore"):
        difference = np.abs(got.astype(np.float64) - want)
    limit = rtol * scale(want)
    off = ~(difference <= limit)
    if not off.any():
        return None
    index = np.unravel_index(np.argmax(difference), difference.shape)
    where = f" at {label}[{', '.join(map(str, index))}]" if index else ""
    return (
        f"{label} is off in {off.sum()} of {off.size} values; "
        f"the largest difference is {difference[index]:.3g}{where}, allowed is {limit:.1g}."
    )


def scale(want):
    """Return the size that errors are measured against: the largest magnitude, or 1 for zeros.

    The error is normwise, one number per array: an element of y may be near zero by cancellation,
    and its own relative error would then reject correct solutions.
    """
    largest = float(np.max(np.abs(want), initial=0.0))
    return largest if largest > 0 else 1.0


def diagnose(exercise, cases, attempts):
    """Return the first known mistake that behaves like the solution on every case, or None."""
    for mistake in exercise.mistakes:
        if all(_same(exercise, case, attempts[name], mistake) for name, case in cases.items()):
            return mistake
    return None


# What a known mistake returns stays the same while a student tries again, and over a whole class.
_MOST_KNOWN = 4096
_known = {}


def _try(exercise, mistake, case):
    inputs = hashlib.sha256(repr(fingerprint(case.inputs)).encode()).digest()
    key = (exercise.name, mistake.name, inputs)
    if key not in _known:
        if len(_known) == _MOST_KNOWN:
            # The oldest entry; a dict keeps the order in which its keys came.
            _known.pop(next(iter(_known)))
        with _quiet():
            _known[key] = attempt(exercise, mistake.obj, case)
    return _known[key]


@contextlib.contextmanager
def _quiet():
    # A known mistake may divide by zero; that warning is not about the student's code.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _same(exercise, case, student, mistake):
    """Return whether a student's attempt at a case shows the same behaviour as a mistake."""
    known = _try(exercise, mistake, case)
    if student.error or known.error:
        return _error_of(student) == _error_of(known)
    if student.rules != known.rules or student.outputs.keys() != known.outputs.keys():
        return False
    if case.noisy:
        want = exercise.reference(case.inputs)
        return _is_single(case, student) == _is_single(case, known) and (
            _misses(exercise, case, student, want) == _misses(exercise, case, known, want)
        )
    return all(
        _close(student.outputs[label], array, exercise.rtol(label, case))
        for label, array in known.outputs.items()
    )


def _error_of(made):
    # The text of an exception depends on how the code is written; the text of ours does not.
    return made.error, made.message if made.error == "Unusable" else ""


def _is_single(case, made):
    """Return whether float64 is asked and float32 holds every value, so was used to make them."""
    return case.dtype == "float64" and all(
        np.array_equal(array, array.astype(np.float32), equal_nan=True)
        for array in made.outputs.values()
    )


def _misses(exercise, case, made, want):
    """Return the labels whose values are wrong."""
    return {label for label in want if compare(exercise, case, made.outputs, {label: want[label]})}


def _close(a, b, rtol):
    if a.shape != b.shape or a.dtype.kind != b.dtype.kind:
        return False
    finite = b[np.isfinite(b)]
    return np.allclose(a, b, rtol=rtol, atol=rtol * scale(finite), equal_nan=True)
