"""Which files of bncourse a submission sees: what its own process runs, and no answers.

What is not there cannot be found. So this is a list of what is shown: a new module stays hidden
until it is named here, and so do specs, known mistakes and the self-test with its solutions.
"""

import importlib
import inspect
import pkgutil
from pathlib import Path

import bncourse
from bncourse import reference, registry

PACKAGE = Path(bncourse.__file__).parent

# All that the process of a submission imports, with what ``bncourse.check`` takes along.
ALWAYS = (
    "__init__.py",
    "attempt.py",
    "check.py",
    "compare.py",
    "diagnosis.py",
    "equations.py",
    "exercise.py",
    "exercises/__init__.py",
    "grading/__init__.py",
    "grading/isolate.py",
    "limits.py",
    "grading/protocol.py",
    "grading/runner.py",
    "grading/seccomp.py",
    "grading/shell.py",
    "grading/silence.py",
    "grading/transport.py",
    "grading/zygote.py",
    "inputs.py",
    "judge.py",
    "progress.py",
    "registry.py",
    "rules.py",
    "slips.py",
)


def visible_files(problem_set):
    """Return the files that submissions to a problem set see, relative to the package."""
    earlier = [each for each in registry.problem_sets() if each < problem_set]
    answered = {name for each in earlier for name in registry.load(each)}
    return (*ALWAYS, *(f"reference/{name}.py" for name in ("__init__", *_built_on(answered))))


def _built_on(answered):
    """Yield the reference modules with which a notebook may go on: they only answer these."""
    for found in pkgutil.iter_modules(reference.__path__):
        module = importlib.import_module(f"{reference.__name__}.{found.name}")
        public = {
            name
            for name, value in vars(module).items()
            if inspect.isfunction(value)
            and value.__module__ == module.__name__
            and not name.startswith("_")
        }
        if public <= answered:
            yield found.name
