"""Wrong solutions that no hint was written for, each with the names that would be right for it.

They are written as other people write: other forms of known mistakes, two faults at once, special
cases for one example, and mistakes that nobody has a hint for, of which silence is right.
"""

import linecache
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Unseen:
    """A wrong solution.

    Args:
        exercise: the name of the exercise.
        obj: the solution.
        names: the known mistakes that it may be told; none where no hint fits.
    """

    exercise: str
    obj: Callable
    names: tuple[str, ...]


class Table:
    """The wrong solutions of one problem set, in the order in which they are written."""

    def __init__(self):
        self.rows = []

    def of(self, exercise, *names):
        """Return a decorator that takes in a solution of an exercise."""

        def take_in(obj):
            self.rows.append(Unseen(exercise, obj, names))
            return obj

        return take_in


def written(source, name, changes=(), **names):
    """Return what a source defines under a name after some changes of its text.

    Args:
        source: Python code.
        name: the function or class that it defines.
        changes: pairs (old text, new text).
        names: what the code may use beside NumPy.
    """
    for old, new in changes:
        if old not in source:
            raise ValueError(f"A change must replace a text of the source. Received: {old!r}")
        source = source.replace(old, new)
    file = f"<unseen {len(linecache.cache)}>"
    linecache.cache[file] = len(source), None, source.splitlines(True), file
    space = {"np": np, "__name__": "unseen", **names}
    exec(compile(source, file, "exec"), space)
    return space[name]
