"""What goes into the sandbox: the drive half of each exercise, and no answer."""

import importlib
import inspect
import json
import pickletools
import pkgutil
import subprocess
import sys

import pytest

from bncourse import reference
from bncourse.grading.outside.pack import pack
from bncourse.grading.rooms import PACKAGE, seen_by
from bncourse.registry import load, problem_sets

from . import search

REFERENCES = [module.name for module in pkgutil.iter_modules(reference.__path__)]
# A drive calls its own or PyTorch's by these names, and they answer nothing.
COMMON = {"_linears", "cross_entropy", "half_squared_error"}
# On which oracles, those of earlier sets, the work on a set may build.
BUILT_ON = {
    "ps1_forward": [],
    "ps2_backward": ["forward"],
    "ps3_convolution": ["backward", "forward"],
    "ps4_pytorch": ["backward", "convolution", "forward"],
    "ps5_keras": ["backward", "convolution", "forward"],
    "ps6_shift": ["backward", "convolution", "forward"],
    "ps7_batches": ["backward", "convolution", "forward", "shift"],
    "ps8_capstone": ["backward", "batches", "convolution", "forward", "shift"],
    "ps9_triton": ["backward", "batches", "convolution", "forward", "residual", "shift"],
}


def texts(packed):
    """Return the strings in a pickle."""
    return {argument for _, argument, _ in pickletools.genops(packed) if isinstance(argument, str)}


def functions_of(module):
    """Return the names of the functions that a module defines."""
    named = vars(module).items()
    return {n for n, f in named if inspect.isfunction(f) and f.__module__ == module.__name__}


@pytest.mark.parametrize("problem_set", problem_sets())
def test_no_answer_is_packed(problem_set):
    exercises, packed = load(problem_set), texts(pack(problem_set))
    assert set(exercises) <= packed
    mistakes = [mistake for each in exercises.values() for mistake in each.mistakes]
    names = {mistake.obj.__name__ for mistake in mistakes} | {m.name for m in mistakes}
    for name in REFERENCES:
        names |= functions_of(importlib.import_module(f"bncourse.reference.{name}"))
    # An exercise is named as what a student writes is.
    assert packed & (names - set(exercises) - COMMON) == set()
    assert not [text for text in packed if "bncourse.reference" in text or "slips" in text]
    lines = {search.print_of_text(line.strip()) for text in packed for line in text.splitlines()}
    assert lines & search.answers(problem_set) == set()


@pytest.mark.parametrize("problem_set", problem_sets())
def test_what_is_packed_works_without_specs(problem_set):
    code = (
        "import json, pickle, sys\n"
        "halves = pickle.load(sys.stdin.buffer)\n"
        "kept = [e.name for e in halves.values() if e.cases or e.reference or e.mistakes]\n"
        "specs = [name for name in sys.modules if name.startswith('bncourse.exercises.')]\n"
        "drives = [callable(each.drive) for each in halves.values()]\n"
        "print(json.dumps([list(halves), kept, specs, all(drives)]))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], input=pack(problem_set), capture_output=True, check=True
    )
    assert json.loads(done.stdout) == [list(load(problem_set)), [], [], True]


def test_the_zygote_sees_what_it_imports():
    code = (
        "import json, sys\n"
        "import bncourse.grading.inside.zygote\n"
        "files = [m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'bncourse']\n"
        "print(json.dumps(files))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True)
    assert {*json.loads(done.stdout)} <= {str(PACKAGE / name) for name in seen_by()}


@pytest.mark.parametrize("problem_set", problem_sets(optional=True))
def test_a_notebook_builds_on_earlier_answers_only(problem_set):
    more = sorted(set(seen_by(problem_set)) - set(seen_by()))
    assert more == [f"reference/{name}.py" for name in BUILT_ON[problem_set]]
