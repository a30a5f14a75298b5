"""The gap that a tolerance stands in: above the spread of correct solutions, below any mistake."""

import itertools
import warnings
from dataclasses import dataclass

import numpy as np

from bncourse.attempt import attempt
from bncourse.compare import compare, scale
from bncourse.exercise import draw_cases


@dataclass(frozen=True)
class Error:
    """How far one solution is off in one label of one case.

    Args:
        label, dtype: of the result and of the case.
        tolerance: the relative error that passes there.
        size: the relative error, measured as the judge measures it.
    """

    label: str
    dtype: str
    tolerance: float
    size: float

    @property
    def ratio(self):
        """The error in units of the tolerance."""
        return self.size / self.tolerance


def errors(exercise, obj, seed, device=None):
    """Return the Errors of a solution over all cases, or None if values alone do not judge it.

    None means that it raises, breaks a rule, or returns a wrong shape, dtype or NaN somewhere.
    """
    cases = draw_cases(exercise, seed).values()
    found = [_errors_in(exercise, obj, case, device) for case in cases]
    return None if None in found else list(itertools.chain(*found))


def _errors_in(exercise, obj, case, device=None):
    made = _quiet_attempt(exercise, obj, case, device)
    want = exercise.reference(case.inputs)
    if made.error or made.rules or not _comparable(exercise, case, made.outputs, want):
        return None
    return [
        Error(label, case.dtype, exercise.rtol(label, case), _size(made.outputs[label], array))
        for label, array in want.items()
    ]


def _size(got, want):
    return float(np.max(np.abs(got.astype(np.float64) - want), initial=0.0) / scale(want))


def _quiet_attempt(exercise, obj, case, device):
    # A known mistake may divide by zero.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return attempt(exercise, obj, case, device)


def _comparable(exercise, case, outputs, want):
    """Return whether values are all that may differ: compare against the outputs themselves."""
    if outputs.keys() < want.keys() or not all(np.isfinite(a).all() for a in outputs.values()):
        return False
    same = {
        label: outputs[label] if outputs[label].shape == array.shape else array
        for label, array in want.items()
    }
    return compare(exercise, case, outputs, same) is None


def spread(exercise, solutions, seeds, device=None):
    """Return the Errors of correct solutions.

    Args:
        exercise, solutions, seeds: what is measured.
        device: "cpu" or "cuda".

    Raises:
        ValueError: if one of them is not correct in shape, dtype or rules.
    """
    found = []
    for solution in solutions:
        for seed in seeds:
            made = errors(exercise, solution, seed, device)
            if made is None:
                raise ValueError(f"{solution.__name__} must be correct. It fails at seed {seed}.")
            found += made
    return found


def weakest_catch(exercise, mistake, seeds):
    """Return the Error that catches a mistake best, at the seed where that is least, or None.

    None means that more than its values is wrong.
    """
    best = []
    for seed in seeds:
        made = errors(exercise, mistake.obj, seed)
        if made is None:
            return None
        best.append(max(made, key=lambda error: error.ratio))
    return min(best, key=lambda error: error.ratio)


def clearly_wrong(exercise, mistake, seed, factor=10):
    """Return whether some case shows a mistake by ``factor`` tolerances, or by more than values."""
    for case in draw_cases(exercise, seed).values():
        made = _errors_in(exercise, mistake.obj, case)
        if made is None or any(error.ratio >= factor for error in made):
            return True
    return False
