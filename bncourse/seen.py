"""What the checks of this kernel have found so far."""

from dataclasses import dataclass

_seen = {}


@dataclass(frozen=True)
class Seen:
    """The last check of an exercise.

    Args:
        right: whether the solution was right.
        case: the first case that failed, or None.
        seed: the seed of its inputs.
        share: of the points that its right parts earn.
    """

    right: bool
    case: str | None
    seed: int
    share: float = 0.0


def note(name, seen):
    """Keep what a check found of the exercise called ``name``."""
    _seen[name] = seen


def last(name):
    """Return the Seen of an exercise, or None if no check of it has run."""
    return _seen.get(name)


def right(names):
    """Return those of some exercises whose last check found them right."""
    return [name for name in names if name in _seen and _seen[name].right]


def share(name):
    """Return the share of its points that the parts of a wrong solution earned last."""
    return _seen[name].share if name in _seen else 0.0


def checked():
    """Return the names of all exercises that were checked."""
    return list(_seen)
