"""The inputs of a case of the self-check, to play with: ``example("normalize")``."""

from bncourse import seen
from bncourse.attempt import copy_inputs
from bncourse.check import CheckFailed, find_by_name
from bncourse.exercise import draw_cases


def example(name, case=None):
    """Return the inputs of one case of the self-check, as your function receives them.

    For a class, and where the check builds a model first, these are the numbers it builds from.
    They are those of your last check, or of the course; grading draws others.

    Args:
        name: the name of the exercise, or your function or class of that name.
        case: the name of the case; by default the one that failed last, else the first.

    Returns:
        A dict of arrays and numbers, by argument.

    Raises:
        CheckFailed: if there is no such exercise or case; the message lists the cases.
    """
    exercise = find_by_name(getattr(name, "__name__", name))
    return copy_inputs(case_of(exercise, case).inputs)


def case_of(exercise, name=None):
    """Return a Case of the last check of an exercise, or of the course's.

    Args:
        exercise: the Exercise.
        name: the name of the case; by default the one that failed last, else the first.

    Raises:
        CheckFailed: if there is no such case; the message lists the cases.
    """
    found = seen.last(exercise.name)
    cases = draw_cases(exercise, found.seed if found else 0)
    if name is None:
        name = found.case if found and found.case else next(iter(cases))
    if name not in cases:
        listed = ", ".join(f'"{each}"' for each in cases)
        raise CheckFailed(f"case must be one of {listed}. Received: {name!r}")
    return cases[name]
