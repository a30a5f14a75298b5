"""The static table of the problem sets, and what it spares a student who lacks a package."""

import subprocess
import sys

import pytest
from conftest import ROOT

from bncourse import reference, registry
from bncourse.course import Course
from bncourse.errors import CourseError
from bncourse.registry import (
    ALL_SETS,
    OLDEST,
    PROBLEM_SETS,
    MissingPackage,
    closed_modules,
    open_modules,
)


@pytest.mark.parametrize("each", PROBLEM_SETS, ids=lambda each: each.name)
def test_the_table_names_what_a_set_defines(each):
    assert tuple(registry.load(each.name)) == each.exercises


@pytest.mark.parametrize("each", ALL_SETS, ids=lambda each: each.name)
def test_the_table_agrees_with_the_notebook(each):
    text = (ROOT / "solutions" / each.name / f"{each.notebook}.md").read_text()
    assert f"\n# Exercises {each.number}: {each.title}\n" in text


def test_every_set_and_every_oracle_is_in_the_table():
    folders = {path.name for path in (ROOT / "bncourse/exercises").iterdir() if path.is_dir()}
    assert {each.name for each in ALL_SETS} == folders - {"__pycache__"}
    numbers = [each.number for each in PROBLEM_SETS]
    assert numbers == sorted(numbers)
    assert len({each.number for each in ALL_SETS}) == len(ALL_SETS)
    assert all(each.name.startswith(f"ps{each.number}_") for each in ALL_SETS)
    names = {name for each in ALL_SETS for name in each.answers}
    assert names <= set(registry._reference_modules())


def test_answers_of_earlier_sets_are_open():
    assert open_modules("ps1_forward") == ()
    assert open_modules("ps3_convolution") == ("backward", "forward")
    # Both of the last two sets are answered by the same oracle.
    assert "layers" not in open_modules("ps5_keras")


def test_an_oracle_that_no_set_declares_is_closed(monkeypatch):
    monkeypatch.setattr(registry, "_reference_modules", lambda: ("forward", "new_oracle"))
    assert closed_modules("batchnorm_backward") == {f"{reference.__name__}.new_oracle"}
    assert len(closed_modules("no exercise")) == 2


def test_who_grades_a_set_is_told_what_it_needs(monkeypatch):
    there = registry._is_there
    monkeypatch.setattr(registry, "_is_there", lambda name: name != "triton" and there(name))
    with pytest.raises(CourseError, match=r"needs Triton, .* Install it: pip install triton$"):
        Course(ROOT, "ps9_triton")


def run(code, **environment):
    """Run code in a fresh interpreter; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "KERAS_BACKEND": "torch"} | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


_MESSAGE = """
from bncourse.check import CheckFailed, check
try:
    check({})
except CheckFailed as failure:
    print(failure)
"""


def test_a_misspelled_name_imports_no_set():
    code = "import sys\ndef batch_stats(x):\n    return x\n" + _MESSAGE.format("batch_stats")
    code += 'heavy = ("torch", "keras", "matplotlib")\n'
    code += 'print(*sorted(m for m in sys.modules if m.split(".")[0] in heavy))\n'
    code += 'print(*sorted(m for m in sys.modules if m.startswith("bncourse.exercises.ps")))'
    text = run(code)
    assert text == ('There is no exercise called "batch_stats". Did you mean batch_statistics?')


def test_a_name_imports_its_own_set_only():
    code = (
        "import sys\nfrom bncourse.registry import find\n"
        "assert find('layernorm_forward').name == 'layernorm_forward'\n"
        'print(*sorted(m for m in sys.modules if m.startswith("bncourse.exercises.ps")))'
    )
    assert {name.split(".")[2] for name in run(code).split()} == {"ps3_convolution"}


@pytest.mark.parametrize(
    ("blocked", "name", "line"),
    [
        ("torch", "BatchNorm", "needs PyTorch, which is not installed here. Install it: pip"),
        ("keras", "BatchNormalization", "needs Keras, which is not installed here. Install it"),
        ("torch", "BatchNormalization", "Keras is set to compute with torch, which is not"),
    ],
)
def test_a_package_that_is_missing_gets_one_sentence(blocked, name, line):
    code = f"import sys\nsys.modules[{blocked!r}] = None\n" + _MESSAGE.format(f"len, {name!r}")
    text = run(code)
    assert line in text
    assert "pip install" in text
    assert text.count("\n") == 0


def test_a_keras_set_does_not_import_the_torch_set():
    pytest.importorskip("keras")
    code = (
        "import sys\nfrom bncourse.registry import find\nfind('BatchNormalization')\n"
        'print(*sorted(m for m in sys.modules if m.startswith("bncourse.exercises.ps")))'
    )
    assert {name.split(".")[2] for name in run(code).split()} == {"ps5_keras"}


def test_a_numpy_set_works_where_torch_and_keras_are_not_there():
    code = (
        "import sys\nsys.modules['torch'] = sys.modules['keras'] = None\n"
        "from bncourse import check\n"
        "check(lambda x: (x.mean(0), x.var(0)), 'batch_statistics')"
    )
    assert run(code).startswith("batch_statistics: correct")


@pytest.mark.parametrize(
    ("there", "chosen"), [(("torch", "jax"), "torch"), (("jax",), "jax"), ((), None)]
)
def test_keras_computes_with_what_is_installed(monkeypatch, there, chosen):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(registry, "_is_there", lambda name: name in there)
    registry.choose_backend()
    assert registry.os.environ.pop("KERAS_BACKEND", None) == chosen


@pytest.mark.parametrize("package", OLDEST)
def test_a_package_that_is_too_old_gets_one_sentence(monkeypatch, package):
    major, minor = OLDEST[package]
    monkeypatch.setattr(registry, "_is_there", lambda name: True)
    monkeypatch.setattr(registry, "_version", lambda name: f"{major}.{minor - 1}.9+cpu")
    with pytest.raises(MissingPackage, match=rf'pip install "{package}>={major}\.{minor}"'):
        registry._require(package)
    monkeypatch.setattr(registry, "_version", lambda name: f"{major}.{minor}.0rc1")
    registry._require(package)
