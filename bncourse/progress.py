"""How far a wrong solution is: which cases pass, which results are right, what holds of the rest.

Nothing here gives an expected value away, so grading can show it.
"""

import numpy as np

from bncourse.compare import difference, scale

# More names than this are a list that nobody reads.
MOST_NAMED = 4


def progress(exercise, cases, attempts, expected, passing, named):
    """Return sentences on what is right already.

    Args:
        exercise: the Exercise.
        cases: ``{name: Case}``.
        attempts: ``{name: Attempt}``, one per case.
        expected: ``{name: {label: array}}``, what the reference returns.
        passing: the names of the cases that pass.
        named: whether a known mistake says the rest.
    """
    if not any(attempts[name].outputs for name in cases):
        return ()
    said = [f"{len(passing)} of {len(cases)} cases pass."]
    wrong = _wrong_by_case(exercise, cases, attempts, expected)
    said += [_right_labels(exercise, attempts, expected, wrong)]
    if not named:
        said += [_which_cases(cases, passing), _what_holds(exercise, cases, attempts, wrong)]
    return tuple(each for each in said if each)


def _wrong_by_case(exercise, cases, attempts, expected):
    """Return ``{case: {label: reference}}`` of what is wrong, where there are results."""
    found = {}
    for name, case in cases.items():
        made = attempts[name]
        if made.outputs:
            found[name] = {
                label: want
                for label, want in expected[name].items()
                if (label in made.outputs or not made.error)
                and difference(exercise, case, made.outputs, label, want)
            }
    return found


def _right_labels(exercise, attempts, expected, wrong):
    """Return a sentence on the results that are right wherever there are any."""
    # Of the reference only: where work is graded, a hostile process may send results of any name,
    # and the names would carry home what it has seen.
    labels = [
        label for name in wrong for label in expected[name] if label in attempts[name].outputs
    ]
    bad = {label for each in wrong.values() for label in each}
    good = [label for label in dict.fromkeys(labels) if label not in bad]
    missing = any(made.error for made in attempts.values())
    good = _by_parts(exercise, good, labels) if missing else good
    if good and not (bad or missing):
        return "All values are right: what is left is the rule."
    if not good:
        return ""
    # Where it raises before the first result, nothing can be said of any.
    empty = {made.error for made in attempts.values() if not made.outputs}
    where = "in every case"
    if empty - {None}:
        raised = empty - {"Unusable"}
        where = "wherever it does not raise" if raised else "wherever there is a result"
    if len(good) <= MOST_NAMED:
        return f"{listed(good)} {'is' if len(good) == 1 else 'are'} right {where}."
    if not bad:
        return f"All results that are there are right {where}."
    return f"{len(good)} of {len(good) + len(bad)} results are right {where}."


def _by_parts(exercise, good, labels):
    """Return names of results, those of a part that is right as a whole under its name."""
    bad_parts = {exercise.parts.get(label) for label in labels if label not in good}
    names = (exercise.parts.get(label, label) for label in good)
    words = (label if name in bad_parts else name for label, name in zip(good, names, strict=True))
    return list(dict.fromkeys(words))


def _which_cases(cases, passing):
    """Return a sentence that names the cases that fail, or those that pass, if they are few."""
    failing = [name for name in cases if name not in passing]
    if len(failing) <= 3 and passing:
        return f"It is right but for {_quoted(failing)}."
    if 0 < len(passing) <= 3:
        return f"It is right only in {_quoted(passing)}."
    return ""


def _what_holds(exercise, cases, attempts, wrong):
    """Return what is true of the first wrong result in all cases in which it is wrong, if a thing.

    A relation counts if it holds in two cases at least and in each that could refute it.
    """
    label = next((label for each in wrong.values() for label in each), None)
    found = None
    errors = []
    for name, bad in wrong.items():
        case, made = cases[name], attempts[name]
        if label not in bad or made.error or case.noisy:
            continue
        got, want = made.outputs.get(label), bad[label]
        if got is None or got.shape != want.shape:
            return ""
        # Of one number much is true, and nothing of one that is not finite.
        if want.size < 2 or not np.isfinite(got).all():
            continue
        holds = set(_relations(label, got.astype(np.float64), want, case, exercise))
        found = holds if found is None else found & holds
        errors.append(float(np.abs(got - want).max()) / scale(want))
    if len(errors) < 2:
        return ""
    if all(cases[name].dtype == "float64" for name in wrong if wrong[name]) and _rounded(errors):
        return f"{label} has the digits that float32 keeps, seven of the sixteen of float64."
    if not found:
        return ""
    return min(found, key=lambda each: each[0])[1]


def _rounded(errors):
    """Return whether the relative errors of a result are what float32 rounds off.

    A small variance makes more of them in some cases; a wrong formula is off by far more in one.
    """
    return float(np.median(errors)) <= 1e-6 and max(errors) <= 1e-3


# What a result lacks or has too much, in units of one input.
_ADDED = {
    -1: "is right but for {}, which is missing",
    1: "has {} once too often",
    -2: "is right but for the sign of {}, which must be added",
}


def _relations(label, got, want, case, exercise):
    """Yield (order, sentence) for each relation that holds between a result and what is right."""
    want = want.astype(np.float64)
    limit = exercise.rtol(label, case) * max(scale(want), scale(got))

    def near(a, b):
        # Broadcasting to another shape would be another result.
        a, b = np.broadcast_arrays(a, b)
        return a.shape == want.shape and np.all(np.abs(a - b) <= 10 * limit)

    if near(got, -want):
        yield 0, f"{label} has the wrong sign and is right otherwise."
    if near(got, np.zeros_like(want)):
        yield 0, f"{label} is zero everywhere."
    for sign, words in _ADDED.items():
        for name, array in _fitting(case, want):
            if near(got, want + sign * array):
                yield 1, f"{label} {words.format(name)}."
    for name, array in _fitting(case, want):
        if near(got, want * array):
            yield 2, f"{label} is multiplied by {name} once too often."
        if np.all(np.abs(array) > 0.1) and near(got, want / array):
            yield 2, f"{label} lacks the factor {name}."
    off = got - want
    # Of a difference on the edge of the tolerance all of this would be true.
    same = min(10 * limit, 0.1 * float(np.abs(off).max()))
    if _spread(off) <= same:
        yield 3, f"{label} is off by one and the same number everywhere."
    if want.ndim > 1 and _spread(off, axis=0) <= same:
        yield (
            4,
            (f"{label} is off by the same all along axis 0: look at what is added to all of them."),
        )
    large = np.abs(want) > 0.05 * scale(want)
    if large.sum() > 1:
        ratio = got[large] / want[large]
        if _spread(ratio) <= min(1e-4 * np.abs(ratio).max(), 0.1 * np.abs(ratio - 1).max()):
            yield 3, f"{label} is right up to one constant factor."


def _fitting(case, want):
    """Yield the arrays of the inputs that have one number for each feature of a result."""
    for name, value in case.inputs.items():
        if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind == "f":
            if want.ndim and want.shape[-1] == len(value):
                yield name, value.astype(np.float64)
            elif want.ndim > 2 and want.shape[1] == len(value):
                yield name, value.astype(np.float64).reshape(-1, *[1] * (want.ndim - 2))


def _spread(array, axis=None):
    return float(np.max(np.ptp(array, axis=axis)))


def listed(names):
    """Return names as a part of a sentence.

    >>> listed(["dx", "dgamma", "dbeta"])
    'dx, dgamma and dbeta'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _quoted(names):
    return listed([f'"{name}"' for name in names])
