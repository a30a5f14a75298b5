"""Find the spec of an exercise by its name."""

import importlib
import pkgutil
from functools import cache

from bncourse import exercises


def problem_sets():
    """Return the names of the spec modules in order, one per problem set."""
    return sorted(module.name for module in pkgutil.iter_modules(exercises.__path__))


@cache
def load(problem_set):
    """Return ``{name: Exercise}`` of one problem set."""
    module = importlib.import_module(f"bncourse.exercises.{problem_set}")
    return {exercise.name: exercise for exercise in module.EXERCISES}


def find(name):
    """Return the Exercise called ``name``, or None.

    Sets are imported in order and only as far as needed: a NumPy exercise must not wait for Keras.
    """
    for problem_set in problem_sets():
        if name in load(problem_set):
            return load(problem_set)[name]
    return None


def all_exercises():
    """Return ``{name: Exercise}`` of the whole course."""
    return {name: exercise for each in problem_sets() for name, exercise in load(each).items()}
