"""A picture of what an own answer returns: ``show(batchnorm_forward)``."""

import importlib
import sys

from bncourse.attempt import attempt
from bncourse.check import exercise_of
from bncourse.example import case_of
from bncourse.registry import MissingPackage


def show(obj, name=None, case=None):
    """Draw what a solution returns in one case, beside the spread that it should have.

    It draws your own results and their inputs, and nothing that is computed for you. Where there is
    nothing to draw it says why, in one sentence.

    Args:
        obj: the function or class you wrote.
        name: the name of the exercise, as in ``check``.
        case: the name of the case; by default the one that failed last, else the first.

    Returns:
        A matplotlib Figure, or None.

    Raises:
        CheckFailed: if there is no such exercise or case.
        MissingPackage: if matplotlib is missing.
    """
    try:
        # By its name: it stands in a room above, which is closed where work is graded.
        picture = importlib.import_module("bncourse.study.picture")
    except ModuleNotFoundError as absent:
        if (absent.name or "").startswith("matplotlib"):
            raise MissingPackage(
                "show needs matplotlib, which is not installed here. "
                "Install it: pip install matplotlib"
            ) from None
        return None
    exercise = exercise_of(obj, name, sys._getframe(1).f_globals)
    chosen = case_of(exercise, case)
    made = attempt(exercise, obj, chosen)
    panels = picture.panels(exercise, chosen.inputs, made.outputs)
    if not panels:
        print(_why(exercise, made))
        return None
    return picture.draw(panels)


def _why(exercise, made):
    if made.error and not made.outputs:
        return f"There is nothing to draw of {exercise.name} yet. {made.message}"
    return f"{exercise.name} has no picture here: it returns nothing whose spread is known."
