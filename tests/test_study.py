"""What a student starts in a terminal: ``bncourse new`` and ``bncourse watch``."""

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from bncourse.registry import ALL_SETS, PROBLEM_SETS
from bncourse.study import new, progress, watch

ALL = len(PROBLEM_SETS[0].exercises)
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
    assert f"1 of {ALL} are right." in out


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
        ("x = 1\n\ty = 2\n", "mine.py, line 2: unexpected indent"),
        ("%matplotlib inline\n", "mine.py, line 1: invalid syntax. A line with % or ! is for"),
        ("x = 1\nexit(3)\n", "mine.py, line 2: It ends the program (exit or quit)."),
        ("x = 1\0\n", "mine.py: it is no text in UTF-8. Save it with the encoding UTF-8.\n"),
        ("# \xfcbung\n".encode("latin-1"), "mine.py: it is no text in UTF-8."),
        ("x = 1\n".encode("utf-16"), "mine.py: it is no text in UTF-8."),
    ],
)
def test_watch_says_what_stops_a_file(text, told, folder, capsys):
    (folder / "mine.py").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert watch.main(["mine.py", "--once"]) == 1
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        RIGHT.replace("\n", "\r\n").encode(),
        RIGHT.encode("utf-8-sig"),
        ("# coding: latin-1\n# \xfcbung\n" + RIGHT).encode("latin-1"),
        ("from __future__ import annotations\n" + RIGHT.replace(":", " -> Absent:", 1)).encode(),
        RIGHT.replace("    ", "\t").encode(),
    ],
    ids=["Windows", "byte order mark", "latin-1", "annotations", "tabs"],
)
def test_watch_reads_what_python_reads(text, folder):
    (folder / "mine.py").write_bytes(text)
    standings, problem = watch.examine(folder / "mine.py")
    assert not problem
    assert "normalize" in [each.name for each in standings if not each.message]


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


def test_an_input_that_nobody_gives_is_told(folder, monkeypatch):
    (folder / "mine.py").write_text("input()\n")
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert watch.examine(Path("mine.py"))[1].startswith("mine.py, line 1: It asks for")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("absent.py", "Received: absent.py. Here is: mine.py."),
        ("forward.ipynb", "bncourse progress forward.ipynb."),
        (".", "FILE must be a Python file that exists."),
    ],
)
def test_watch_says_what_it_can_watch(name, told, folder, capsys):
    (folder / "mine.py").write_text(RIGHT)
    with pytest.raises(SystemExit):
        watch.main([name])
    assert told in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("called", ["1", "ps1", "forward", "forward.ipynb", "ps1_forward"])
def test_a_set_has_short_names(called, folder):
    assert new.main([called]) == 0
    assert (folder / "forward.ipynb").exists()


@pytest.mark.parametrize("called", [[], ["ps0"], ["forwards"]])
def test_new_names_the_sets(called, folder, capsys):
    with pytest.raises(SystemExit):
        new.main(called)
    assert "The sets: ps1_forward, ps2_backward, " in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_a_folder_that_takes_no_file_is_told(folder, monkeypatch, capsys):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(new, "read_notebook", lambda name: {"cells": []})
    with pytest.raises(SystemExit):
        new.main(["ps1_forward"])
    told = capsys.readouterr().err
    assert f"cannot be written into {folder} (Permission denied). Work in another folder." in told


def test_the_next_line_works_in_a_shell_that_knows_nothing_of_the_environment(folder, monkeypatch):
    scripts = folder / "my course" / ".venv" / "bin"
    scripts.mkdir(parents=True)
    for name in ("python", "bncourse"):
        (scripts / name).touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(scripts / "python"))
    monkeypatch.setenv("PATH", os.defpath)
    place = Path("my course", ".venv", "bin", "bncourse")
    assert new.beside_python("bncourse watch a.py") == f'"{place}" watch a.py'
    monkeypatch.setenv("PATH", str(scripts))
    assert new.beside_python("bncourse watch a.py") == "bncourse watch a.py"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("absent.ipynb", "There is no absent.ipynb in {}. Here is: mine.ipynb."),
        ("mine.py", "Received: mine.py (for a Python file: bncourse watch mine.py)"),
        ("mine.ipynb", "NOTEBOOK must be a notebook in format 4. Received: mine.ipynb ("),
    ],
)
def test_progress_says_what_it_can_read(name, told, folder, capsys):
    (folder / "mine.py").write_text(RIGHT)
    (folder / "mine.ipynb").write_text("no notebook")
    assert progress.main([name]) == 2
    assert told.format(folder) in capsys.readouterr().err


def test_ctrl_c_ends_a_check_without_a_traceback(folder):
    (folder / "mine.py").write_text("import time\nprint('here', flush=True)\ntime.sleep(60)\n")
    command = [sys.executable, "-m", "bncourse", "watch", "--once", "mine.py"]
    # What a shell starts in the background ignores Ctrl-C, and so do its children.
    heeds = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, cwd=folder, preexec_fn=heeds) as process:
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("", "")
    assert process.returncode == 130


def test_a_file_that_hides_a_module_harms_no_watch(folder):
    (folder / "random.py").write_text("x = 1\n")
    test_watch_checks_again_at_each_save(folder)


def test_watch_checks_again_at_each_save(folder):
    mine = folder / "mine.py"
    mine.write_text(WRONG)
    command = [sys.executable, "-u", "-P", "-m", "bncourse", "watch", "mine.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
        try:
            assert _line(process, "are right.").startswith(f"0 of {ALL}")
            mine.write_text(RIGHT)
            os.utime(mine, (time.time() + 5,) * 2)
            assert _line(process, "are right.").startswith(f"1 of {ALL}")
        finally:
            process.kill()


def _line(process, words):
    return next(line for line in process.stdout if words in line)
