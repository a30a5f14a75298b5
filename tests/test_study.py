"""What a student starts in a terminal: ``bncourse new`` and ``bncourse watch``."""

import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from bncourse.registry import ALL_SETS, PROBLEM_SETS
from bncourse.study import new, watch

RIGHT = "def normalize(x, mean, var, eps=1e-5):\n    return (x - mean) / (var + eps) ** 0.5\n"
WRONG = RIGHT.replace("var + eps", "var")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.mark.parametrize("problem_set", ALL_SETS, ids=lambda each: each.name)
def test_new_gives_the_released_notebook(problem_set, folder, root, capsys):
    assert new.main([problem_set.name]) == 0
    name = f"{problem_set.notebook}.ipynb"
    made = nbformat.read(folder / name, 4)
    nbformat.validate(made)
    released = nbformat.read(root / "exercises" / problem_set.name / name, 4)
    code = [cell.source for cell in released.cells if cell.cell_type == "code"]
    assert [cell.source for cell in made.cells if cell.cell_type == "code"] == code
    assert "../../chapters" not in (folder / name).read_text()
    assert f"Next: jupyter lab {name}" in capsys.readouterr().out


def test_inside_the_clone_a_chapter_is_linked(root):
    notebook = new.read_notebook("ps1_forward", root / "exercises")
    text = "".join(line for cell in notebook["cells"] for line in cell["source"])
    assert "[Normalise a batch](../chapters/forward.md)" in text


@pytest.mark.parametrize("kind", [[], ["--py"]])
def test_new_never_overwrites_work(kind, folder, capsys):
    new.main(["ps1_forward", *kind])
    (mine,) = folder.iterdir()
    mine.write_text("my work")
    with pytest.raises(SystemExit):
        new.main(["ps1_forward", *kind])
    assert mine.read_text() == "my work"
    assert f"{mine.name} is here already" in capsys.readouterr().err


@pytest.mark.parametrize("problem_set", PROBLEM_SETS[:3], ids=lambda each: each.name)
def test_a_blank_file_is_told_exercise_by_exercise(problem_set, folder, capsys):
    new.main([problem_set.name, "--py"])
    capsys.readouterr()
    # An editor shows no picture: its words stay, its bytes go.
    text = (folder / f"{problem_set.notebook}.py").read_text()
    assert "\n# Picture: " in text
    assert "base64" not in text
    assert watch.main([f"{problem_set.notebook}.py", "--once"]) == 1
    out = capsys.readouterr().out
    first, *rest = problem_set.exercises
    assert f"  next  {first}\n" in out
    assert all(f"  open  {name}\n" in out for name in rest)
    assert f"0 of {len(problem_set.exercises)} are right." in out
    assert "the answer is missing" in out


def test_watch_says_what_is_done_and_what_is_next(folder, capsys):
    (folder / "mine.py").write_text(RIGHT)
    assert watch.show(folder / "mine.py", colour=True) == 1
    out = capsys.readouterr().out
    assert "\x1b[32m  done  normalize\x1b[0m" in out
    assert "  next  batch_statistics" in out
    assert "1 of 6 are right." in out


def test_watch_names_the_mistake(folder, capsys):
    (folder / "mine.py").write_text(WRONG)
    watch.main(["mine.py", "--once"])
    (standing,) = [s for s in watch.examine(folder / "mine.py")[0] if s.name == "normalize"]
    assert standing.message.startswith("normalize is not right yet.")
    assert "  open  normalize" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def f(:\n", "mine.py, line 1: "),
        ("x = 1\ny = x / 0\n", "mine.py, line 2: ZeroDivisionError: division by zero"),
        ("x = 1\n", "No function or class here has the name of an exercise."),
    ],
)
def test_watch_says_what_stops_a_file(text, told, folder, capsys):
    (folder / "mine.py").write_text(text)
    assert watch.main(["mine.py", "--once"]) == 1
    assert told in capsys.readouterr().out


def test_what_follows_from_a_missing_answer_is_no_news(folder):
    text = (
        "def normalize():\n    raise NotImplementedError\nx = normalize()\ny = x + 1\nz = y + k\n"
    )
    (folder / "mine.py").write_text(text)
    assert watch.examine(folder / "mine.py")[1] == ""
    (folder / "mine.py").write_text(text + "k\n")
    assert "NameError: name 'k'" in watch.examine(folder / "mine.py")[1]


def test_a_missing_package_is_told_once_and_first(folder):
    text = "import absent_package as p\nclass A(p.Module):\n    pass\na = A()\nb = a + 1\n"
    (folder / "mine.py").write_text(text)
    told = watch.examine(Path("mine.py"))[1]
    assert told == "mine.py, line 1: ModuleNotFoundError: No module named 'absent_package'"


def test_watch_checks_again_at_each_save(folder):
    mine = folder / "mine.py"
    mine.write_text(WRONG)
    command = [sys.executable, "-u", "-m", "bncourse", "watch", "mine.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
        try:
            assert _line(process, "are right.").startswith("0 of 6")
            mine.write_text(RIGHT)
            os.utime(mine, (time.time() + 5,) * 2)
            assert _line(process, "are right.").startswith("1 of 6")
        finally:
            process.kill()


def _line(process, words):
    return next(line for line in process.stdout if words in line)
