"""What a student installs: the check and the exercises on NumPy, and no grading of others."""

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import numpy
import pytest
from conftest import copy_repository

pytestmark = pytest.mark.slow

ROOMS = {"exercises", "reference", "lab", "figures", "study", "notebooks"}
RIGHT = "lambda x: (x.mean(axis=0), x.var(axis=0))"


def build(source, kind, target):
    """Build a wheel or an sdist of a folder with the project's own build backend."""
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(target)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=True
    )
    return target / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    source = copy_repository(tmp_path_factory.mktemp("source"))
    return build(source, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        # Python 3.11.2 knows no filters yet.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)
    (source,) = folder.iterdir()
    return build(source, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def student(wheel, tmp_path_factory):
    """A fresh environment with the wheel and NumPy: the Python of a student."""
    folder = tmp_path_factory.mktemp("student")
    venv.create(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    # The NumPy of this environment: a second copy would have to be downloaded.
    packages = Path(numpy.__file__).parents[1]
    for name in ("numpy", "numpy.libs"):
        if (packages / name).exists():
            (site / name).symlink_to(packages / name)
    python = folder / "bin" / "python"
    install = ["-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel]
    subprocess.run([sys.executable, *install], check=True, capture_output=True)
    return python


def run(python, *arguments):
    return subprocess.run(
        [python, "-I", *arguments], capture_output=True, text=True, cwd=python.parent
    )


def test_the_wheel_holds_what_a_student_needs_and_no_more(wheel):
    names = [Path(name) for name in zipfile.ZipFile(wheel).namelist()]
    folders = {name.parts[1] for name in names if name.parts[0] == "bncourse" and name.parts[2:]}
    assert folders == ROOMS
    assert {"bncourse/check.py", "bncourse/exercises/ps1_forward/normalize.py"} <= {
        *map(str, names)
    }


def test_the_wheel_holds_the_notebooks_as_they_are_released(wheel, root):
    with zipfile.ZipFile(wheel) as archive:
        carried = {
            name.removeprefix("bncourse/notebooks/"): archive.read(name)
            for name in archive.namelist()
            if name.startswith("bncourse/notebooks/")
        }
    released = root / "exercises"
    paths = released.glob("*/*.ipynb")
    assert carried == {path.relative_to(released).as_posix(): path.read_bytes() for path in paths}
    assert carried
    assert not any(b"BEGIN SOLUTION" in text for text in carried.values())


def test_a_student_gets_a_set_and_watches_a_file(student, tmp_path):
    def bncourse(*arguments):
        command = [student, "-I", "-m", "bncourse", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    assert bncourse("new", "ps1_forward").returncode == 0
    assert (tmp_path / "forward.ipynb").exists()
    assert bncourse("new", "ps2_backward", "--py").returncode == 0
    done = bncourse("watch", "--once", "backward.py")
    assert "  next  numerical_gradient\n" in done.stdout, done.stderr


def test_a_check_runs_where_only_numpy_is_installed(student):
    done = run(student, "-c", f"from bncourse import check; check({RIGHT}, 'batch_statistics')")
    assert done.stdout.startswith("batch_statistics: correct"), done.stderr


def test_an_exercise_in_torch_says_what_is_missing(student):
    done = run(student, "-c", "from bncourse import check; check(len, 'BatchNorm')")
    assert (
        "needs PyTorch, which is not installed here. Install it: pip install torch" in done.stderr
    )


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_the_command_shows_its_help(student, arguments):
    done = run(student, "-m", "bncourse", *arguments)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: bncourse")
    assert "grade" in done.stdout


def test_a_verb_says_what_it_needs(student):
    done = run(student, "-m", "bncourse", "grade", "ps1_forward")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "The verbs are not installed here. Each verb needs the repository of the course and: "
        "pip install -e '.[grading]'"
    ]


def test_a_verb_that_does_not_exist_is_told(student):
    done = run(student, "-m", "bncourse", "nwe")
    assert done.returncode == 1
    assert done.stderr == (
        'There is no verb called "nwe". Did you mean new? All of them: bncourse --help\n'
    )


def test_the_command_prints_its_version(student, wheel):
    done = run(student, "-m", "bncourse", "--version")
    assert done.stdout.split()[1] == wheel.name.split("-")[1]
