"""A file of a student hides no module unseen, and what is missing is said in one sentence."""

import subprocess
import sys

import pytest

from bncourse.release import set_up_cell

RIGHT = (
    "from bncourse import check\n"
    "def batch_statistics(x):\n"
    "    return x.mean(0), x.var(0)\n"
    "check(batch_statistics)\n"
)


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("name", ["numpy", "random", "inspect"])
@pytest.mark.parametrize("code", [RIGHT, set_up_cell("ps1_forward")], ids=["check", "first cell"])
def test_a_file_that_hides_a_module_is_named(name, code, tmp_path):
    (tmp_path / f"{name}.py").write_text("x = 1\n")
    (tmp_path / "mine.py").write_text(code)
    last = run(tmp_path, "mine.py").stderr.splitlines()[-1]
    assert f"A file called {name}.py hides" in last
    assert f"Rename {tmp_path / name}.py" in last.replace(".py,", ".py")


def test_an_answer_may_be_called_as_a_module_of_python(tmp_path):
    (tmp_path / "random.py").write_text(RIGHT)
    assert "A file called random.py hides" in run(tmp_path, "random.py").stderr
    (tmp_path / "check.py").write_text(RIGHT)
    (tmp_path / "random.py").unlink()
    assert "correct in all" in run(tmp_path, "check.py").stdout


@pytest.mark.parametrize("package", ["torch", "keras"])
def test_a_file_that_hides_what_a_set_needs_is_named(package, tmp_path):
    (tmp_path / f"{package}.py").write_text("x = 1\n")
    (tmp_path / "mine.py").write_text("from bncourse.registry import require\nrequire('ps5_keras')")
    assert f"A file called {package}.py hides" in run(tmp_path, "mine.py").stderr.splitlines()[-1]


def test_a_folder_called_as_a_package_is_no_package(tmp_path):
    (tmp_path / "triton").mkdir()
    code = (
        "import sys\nfrom importlib import machinery\n"
        "sys.path = [sys.path[0]]\n"
        "from bncourse.registry import _is_there\nprint(_is_there('triton'))"
    )
    (tmp_path / "mine.py").write_text("import bncourse\n" + code)
    assert run(tmp_path, "mine.py").stdout == "False\n"


def test_the_first_cell_says_that_numpy_is_missing(tmp_path):
    code = "import sys; sys.modules['numpy'] = None\n" + set_up_cell("ps1_forward")
    done = run(tmp_path, "-c", code)
    assert "This exercise needs NumPy, which is not installed here" in done.stderr
    assert "This notebook needs bncourse" not in done.stderr


def test_a_file_called_bncourse_is_told_in_the_first_cell(tmp_path):
    (tmp_path / "bncourse.py").write_text("x = 1\n")
    (tmp_path / "mine.py").write_text(set_up_cell("ps1_forward"))
    assert "hidden by a file called bncourse.py" in run(tmp_path, "mine.py").stderr.splitlines()[-1]


def test_a_set_that_is_newer_than_the_package_is_told(tmp_path):
    done = run(tmp_path, "-c", "from bncourse.registry import require; require('ps99_new')")
    assert "This notebook is newer than the bncourse here" in done.stderr.splitlines()[-1]
