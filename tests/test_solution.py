"""A model solution is shown to who has earned it or gives up, and is right as it is printed."""

import re
import sys

import pytest

from bncourse import check, seen, solution
from bncourse.check import CheckFailed
from bncourse.registry import all_exercises, set_of
from bncourse.release import derive_notebook


@pytest.fixture(autouse=True)
def nothing_seen(monkeypatch):
    monkeypatch.setattr(seen, "_seen", {})


def imports_of(name, root):
    """Return the names that the notebook of an exercise has before any answer."""
    home = set_of(name)
    notebook = derive_notebook(root / "solutions" / home.name / f"{home.notebook}.md")
    lines = [
        line
        for cell in notebook.cells
        if cell.cell_type == "code"
        for line in cell.source.splitlines()
        if re.match(r"(import|from) (?!bncourse)", line)
    ]
    names = {}
    exec("\n".join(lines), names)
    return names


@pytest.mark.parametrize("name", all_exercises())
def test_what_is_printed_is_right(name, root, capsys):
    solution(name, give_up=True)
    source = capsys.readouterr().out
    names = imports_of(name, root)
    exec(source, names)
    check(names[name], name)
    assert "correct in all" in capsys.readouterr().out


def test_it_is_to_be_earned(capsys):
    solution("normalize")
    said = capsys.readouterr().out
    assert "def " not in said
    assert 'solution("normalize", give_up=True)' in said
    seen.note("normalize", seen.Seen(True, None, 0))
    solution("normalize")
    assert "def normalize(x, mean, var, eps=1e-5):" in capsys.readouterr().out
    seen.note("normalize", seen.Seen(False, "a random batch", 0))
    solution("normalize")
    assert "def " not in capsys.readouterr().out


def test_a_course_may_keep_them(capsys, monkeypatch):

    monkeypatch.setattr(sys.modules["bncourse.solution"], "SHOWN", False)
    solution("normalize", give_up=True)
    assert "def " not in capsys.readouterr().out


def test_a_name_that_is_none_is_told():
    with pytest.raises(CheckFailed, match="Did you mean normalize"):
        solution("normalise")
