"""Take the answers out of the zygote's memory before any student's code runs.

The specs bring their references and known mistakes along. A solution that finds the reference and
calls it would be right without having been written, so in the sandbox the references of the graded
exercises only raise, and the files they came from are covered (``hidden_folders``).
"""

import importlib
import pkgutil
import sys
import types
from pathlib import Path

import bncourse
from bncourse import registry


def disarm(problem_set):
    """Disarm the specs of a problem set and return them as ``{name: Exercise}``."""
    exercises = registry.load(problem_set)
    for exercise in exercises.values():
        for mistake in exercise.mistakes:
            object.__setattr__(mistake, "obj", None)
        object.__setattr__(exercise, "mistakes", ())
        object.__setattr__(exercise, "reference", None)
        object.__setattr__(exercise, "cases", None)
    for module in _reference_modules():
        _disarm_module(module, exercises)
    _silence_check()
    return exercises


def hidden_folders():
    """Return the folders that a submission has no business to read: answers and their specs."""
    package = Path(bncourse.__file__).parent
    return [str(package / "reference"), str(package / "exercises")]


def _reference_modules():
    package = importlib.import_module("bncourse.reference")
    names = [
        f"bncourse.reference.{module.name}" for module in pkgutil.iter_modules(package.__path__)
    ]
    return [package, *(importlib.import_module(name) for name in names)]


def _disarm_module(module, names):
    """Disarm the answers of this problem set; a notebook may build on those of earlier ones."""
    for name, value in list(vars(module).items()):
        if name in names and isinstance(value, types.FunctionType):
            # The function object may be held elsewhere; its code is what must go.
            if value.__closure__ is None:
                value.__code__ = _unavailable.__code__
            setattr(module, name, _unavailable)


def _unavailable(*args, **kwargs):
    raise RuntimeError("The course's own solution is not available while your work is graded.")


def _silence_check():
    """Let ``check(...)`` in a student's cell pass by: the grader checks, with its own inputs."""

    def check(obj, name=None, *, seed=None, device=None):
        print("Your work is being graded with other inputs: see the grade cell.")

    for module in (bncourse, sys.modules["bncourse.check"]):
        module.check = check
