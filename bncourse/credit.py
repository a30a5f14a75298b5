"""Partial credit: the share of its points that an exercise earns for the parts that are right.

It is off unless the grade cell of a notebook says in its option ``weights`` what each part weighs.
A part bears the name of a result (``dx``), of a dict of results (``cache``), or the name in
``parts`` of the exercise (``forward``); ``others`` stands for all results that no name covers.
"""

import math
import re

from bncourse.compare import wrong_labels
from bncourse.exercise import draw_cases
from bncourse.progress import listed

OTHERS = "others"

# As ``told`` says it.
_TOLD = re.compile(r"Partial credit: .*?(\d\S*) of (\d\S*) shares of\s+the\s+points", re.DOTALL)


def check_line(name, weights=None):
    """Return the one line of the grade cell of an exercise.

    >>> check_line("f"), check_line("f", {"dx": 2, "others": 1})
    ('check(f)', "check(f, weights={'dx': 2, 'others': 1})")
    """
    return f"check({name}, weights={dict(weights)!r})" if weights else f"check({name})"


def require_weights(exercise, weights):
    """Refuse weights that do not say what each result of an exercise weighs.

    Args:
        exercise: the Exercise.
        weights: ``{part: weight}``.

    Raises:
        ValueError: a weight is not positive, a name is not of a part, a result is left out.
    """
    if (
        not isinstance(weights, dict)
        or len(weights) < 2
        or not all(map(_is_weight, weights.items()))
    ):
        raise ValueError(
            f"weights of {exercise.name} must give at least two parts a positive number each. "
            f"Received: {weights!r}"
        )
    cases = draw_cases(exercise, 0).values()
    labels = list(
        dict.fromkeys(label for each in cases for label in exercise.reference(each.inputs))
    )
    found = {label: _part_of(exercise, label, weights) for label in labels}
    unknown = sorted({*weights} - {*found.values()})
    left = [label for label, part in found.items() if part is None]
    if unknown or left:
        raise ValueError(
            f"weights of {exercise.name} must name its results {labels}, parts of them, or "
            f"{OTHERS!r} for the rest. Unknown: {unknown}. Without a weight: {left}"
        )


def _is_weight(item):
    name, weight = item
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    return isinstance(name, str) and number and math.isfinite(weight) and weight > 0


def _part_of(exercise, label, weights):
    """Return the part that a result counts for, or None."""
    names = (label, exercise.parts.get(label), label.partition("[")[0], OTHERS)
    return next((name for name in names if name in weights), None)


def right_parts(exercise, cases, attempts, expected, weights):
    """Return the parts whose results are right in all cases; none if a rule is broken.

    Args:
        exercise: the Exercise.
        cases: ``{name: Case}``.
        attempts: ``{name: Attempt}``, one per case.
        expected: ``{name: {label: array}}``, what the reference returns.
        weights: ``{part: weight}``, or nothing.
    """
    if not weights or any(made.rules for made in attempts.values()):
        return ()
    wrong = {
        _part_of(exercise, label, weights)
        for name, case in cases.items()
        for label in wrong_labels(exercise, case, attempts[name].outputs, expected[name])
    }
    return tuple(part for part in weights if part not in wrong)


def share(weights, right):
    """Return the share of the points, from 0 to 1, that some parts earn.

    >>> share({"forward": 1, "backward": 3}, ["forward"])
    0.25
    """
    return sum(weights[part] for part in right) / sum(weights.values()) if right else 0.0


def told(weights, right):
    """Return the sentence on the parts that earn a share of the points, or nothing.

    >>> told({"forward": 1, "backward": 3}, ["forward"])
    'Partial credit: forward is right, which earns 1 of 4 shares of the points.'
    """
    if not right:
        return ""
    earned, whole = (sum(map(weights.get, names)) for names in (right, weights))
    verb = "is right, which earns" if len(right) == 1 else "are right, which earn"
    return f"Partial credit: {listed(right)} {verb} {earned:g} of {whole:g} shares of the points."


def share_in(text):
    """Return the share of the points of which a message of a check tells.

    >>> share_in(told({"forward": 1, "backward": 3}, ["forward"]))
    0.25
    """
    found = _TOLD.search(text)
    return float(found[1]) / float(found[2]) if found else 0.0
