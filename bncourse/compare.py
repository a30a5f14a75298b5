"""Compare what a solution returned with the reference, and say what the first difference is."""

import numpy as np

# A result may be more precise than its case asks, never less.
_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}


def compare(exercise, case, outputs, expected):
    """Return a sentence on the first difference, or None: shape and dtype come before values."""
    for label, want in expected.items():
        finding = difference(exercise, case, outputs, label, want)
        if finding:
            return finding
    return None


def difference(exercise, case, outputs, label, want):
    """Return a sentence on what is wrong with one result, or None."""
    if label not in outputs:
        return f"{label} is missing."
    got = outputs[label]
    return (
        _shape_problem(label, got, want)
        or _dtype_problem(label, got, want, case)
        or _value_problem(label, got, want, exercise.rtol(label, case))
    )


def wrong_labels(exercise, case, outputs, expected):
    """Return the labels of the results that are wrong, in order."""
    return [
        label
        for label, want in expected.items()
        if difference(exercise, case, outputs, label, want)
    ]


def _shape_problem(label, got, want):
    if got.shape != want.shape:
        # Without values the other sides may be of any size, and say anything.
        found = f"shape {got.shape}" if got.size else "an array without values"
        return f"{label} must have shape {want.shape}. Received: {found}."
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
