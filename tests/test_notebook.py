"""What report() and ``bncourse progress`` say of a notebook."""

import json
import shutil

import pytest
from solutions_ps1_forward import statistics_numpy

from bncourse import check, report
from bncourse.check import CheckFailed
from bncourse.notebook import lines_on
from bncourse.registry import ALL_SETS, PROBLEM_SETS
from bncourse.study import progress

ALL = len(PROBLEM_SETS[0].exercises)


@pytest.fixture(autouse=True)
def _new_kernel(monkeypatch, tmp_path):
    monkeypatch.setattr("bncourse.seen._seen", {})
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def notebook(root, tmp_path):
    """The released notebook of set 1, and a function that edits its cells by grade_id."""
    path = tmp_path / "forward.ipynb"
    shutil.copy(root / "exercises" / "ps1_forward" / "forward.ipynb", path)

    def edit(grade_id, **changes):
        content = json.loads(path.read_text())
        for cell in content["cells"]:
            if cell["metadata"].get("nbgrader", {}).get("grade_id") == grade_id:
                cell.update(changes)
        path.write_text(json.dumps(content))

    return path, edit


def ran(count, text):
    output = {"output_type": "stream", "name": "stdout", "text": [text]}
    return {"execution_count": count, "outputs": [output]}


def printed(capsys, *arguments):
    report(*arguments)
    return capsys.readouterr().out


@pytest.mark.parametrize("each", ALL_SETS, ids=lambda each: each.name)
def test_a_released_notebook_has_everything_to_do(each, root, capsys):
    path = root / "exercises" / each.name / f"{each.notebook}.ipynb"
    text = printed(capsys, path)
    count = len(each.exercises)
    assert text.startswith(f"Problem set {each.number}: 0 of {count} exercises are right.\n")
    assert f"Not checked yet: {', '.join(each.exercises)}." in text
    assert "edited" not in text
    assert "missing" not in text
    assert "order" not in text


def test_the_last_cell_of_each_notebook_is_the_report(root):
    for path in (root / "exercises").glob("*/*.ipynb"):
        last = json.loads(path.read_text())["cells"][-1]
        assert "".join(last["source"]).endswith("report()"), path


def test_what_this_kernel_has_seen_counts(notebook, capsys):
    check(statistics_numpy, "batch_statistics")
    with pytest.raises(CheckFailed):
        check(lambda x, mean, var, eps=1e-5: x, "normalize")
    # The file is found by the set that was checked.
    text = printed(capsys).split("Next:")[-1]
    assert f"1 of {ALL} exercises are right: batch_statistics." in text
    assert "Points by self-check: 2 of 17. A person reads the texts, for 3 more." in text
    assert "Not right yet: normalize." in text
    assert "Texts still empty: redundant_bias." in text


def test_what_the_kernel_has_seen_is_newer_than_the_file(notebook, capsys):
    path, edit = notebook
    edit("normalize", **ran(5, "normalize: correct in all 11 cases.\n"))
    assert "exercises are right: normalize." in printed(capsys, path)
    with pytest.raises(CheckFailed):
        check(lambda x, mean, var, eps=1e-5: x, "normalize")
    assert f"0 of {ALL} exercises are right." in printed(capsys, path)


def test_what_was_changed_and_what_ran_out_of_order_is_told(notebook, capsys):
    path, edit = notebook
    edit("redundant_bias", source=["b falls out."])
    edit("batch_statistics", **ran(9, "batch_statistics: correct in all 12 cases.\n"))
    edit("normalize", source=["print('ok')"], **ran(4, "normalize: correct in all 11 cases."))
    edit("merge_statistics", cell_type="raw", metadata={})
    text = printed(capsys, path)
    assert "Check cells that are edited: normalize." in text
    assert "Check cells that are missing: merge_statistics." in text
    assert "Cells ran out of order: [9] stands above [4]." in text
    assert "Texts still empty" not in text


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"cells": [3]}', "\0"])
def test_a_report_never_raises(content, tmp_path, capsys):
    path = tmp_path / "odd.ipynb"
    path.write_text(content)
    assert printed(capsys, path).startswith("report cannot read the notebook")
    assert "There is no " in printed(capsys, tmp_path / "absent.ipynb")
    assert progress.main([str(path)]) == 2
    assert capsys.readouterr().err.startswith("NOTEBOOK must be a notebook in format 4.")


def test_without_a_file_it_says_what_it_knows(capsys):
    assert printed(capsys).startswith("No check has run in this kernel.")
    check(statistics_numpy, "batch_statistics")
    assert f"Problem set 1: 1 of {ALL} exercises are right: batch_statistics." in printed(capsys)


def test_jupyter_tells_which_notebook_runs(notebook, capsys, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", str(notebook[0]))
    assert printed(capsys).startswith(f"Problem set 1: 0 of {ALL}")


def test_a_terminal_says_the_same(notebook, capsys):
    path, _ = notebook
    assert progress.main([str(path)]) == 0
    assert capsys.readouterr().out == printed(capsys, path)


def test_marks_that_an_editor_has_lost_are_told(root, tmp_path):
    content = json.loads((root / "exercises" / "ps1_forward" / "forward.ipynb").read_text())
    for cell in content["cells"]:
        cell["metadata"] = {}
    path = tmp_path / "lost.ipynb"
    path.write_text(json.dumps(content))
    assert lines_on(path)[1].endswith("into a fresh notebook: bncourse new ps1_forward")


def test_what_colab_and_vs_code_save_is_read(root, tmp_path):
    """Colab moves ids into metadata, VS Code writes a text as one string, Windows its line ends."""
    content = json.loads((root / "exercises" / "ps1_forward" / "forward.ipynb").read_text())
    content |= {"nbformat_minor": 0, "metadata": {"colab": {"provenance": []}}}
    for cell in content["cells"]:
        cell["metadata"] |= {"id": cell.pop("id"), "vscode": {"languageId": "python"}}
        cell["source"] = "".join(cell["source"]).replace("\n", "\r\n") + "\r\n"
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == "normalize":
            cell["outputs"] = [
                {"output_type": "stream", "name": "stdout", "text": "normalize: correct in all 9\n"}
            ]
    path = tmp_path / "Übung 1 (copy).ipynb"
    path.write_text(json.dumps(content), encoding="utf-8-sig", newline="\r\n")
    lines = lines_on(path)
    assert lines[0] == f"Problem set 1: 1 of {ALL} exercises are right: normalize."
    assert not [line for line in lines if "edited" in line or "missing" in line]


def test_a_notebook_that_is_not_here_is_told(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report("absent.ipynb")
    assert capsys.readouterr().out == f"There is no absent.ipynb in {tmp_path}.\n"
