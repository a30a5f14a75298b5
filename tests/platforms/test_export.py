"""The tables for Canvas and Moodle: every point, nothing unfinished, nothing a spreadsheet runs."""

import csv
import logging
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from nbgrader.api import Gradebook
from traitlets.config import Config

from bncourse.commands.term import export as export_verb
from bncourse.course import scripts_on_path
from bncourse.platforms.export import CanvasExport, MoodleExport, PlainExport, text
from bncourse.trial.sample_class import run_nbgrader

CONFIG = 'c = get_config()\nc.CourseDirectory.course_id = "test"\n'


# nbgrader's own use of its database.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")


@pytest.fixture(scope="module")
def gradebook(tmp_path_factory):
    """A gradebook with two assignments and four students."""
    path = tmp_path_factory.mktemp("gradebook") / "gradebook.db"
    with scripts_on_path(), Gradebook(f"sqlite:///{path}", "test") as book:
        for name in ("ps1", "ps2"):
            book.add_assignment(name, duedate="2026-01-10 12:00")
            book.add_notebook("forward", name)
            book.add_grade_cell("tested", "forward", name, max_score=10, cell_type="code")
            book.add_grade_cell("written", "forward", name, max_score=3, cell_type="markdown")
        book.add_student("ada", first_name="Ada", last_name="Lovelace", email="ada@example.org")
        book.add_student("bob", first_name="=cmd|'/c calc'!A1", last_name="+1", lms_user_id="4712")
        book.add_student("eve", first_name="Eve", last_name="Müller, Dr.")
        book.add_student("dan", email="dan@example.org")
        hand_in(book, "ps1", "ada", tested=7.125, written=2)
        hand_in(book, "ps1", "bob", tested=9, written=3, penalty=4.5)
        hand_in(book, "ps1", "eve", tested=10, written=None)
        hand_in(book, "ps2", "ada", tested=4, written=1, penalty=100)
    return path


@pytest.fixture
def course(gradebook, tmp_path):
    """A course folder with that gradebook."""
    (tmp_path / "nbgrader_config.py").write_text(CONFIG)
    shutil.copy(gradebook, tmp_path)
    return tmp_path


def hand_in(book, assignment, student, tested, written, penalty=0.0):
    """Put a graded submission into a gradebook; ``written=None`` waits for a human."""
    submission = book.add_submission(assignment, student)
    (notebook,) = submission.notebooks
    notebook.late_submission_penalty = penalty
    for grade in notebook.grades:
        grade.needs_manual_grade = grade.name == "written" and written is None
        if grade.name == "tested":
            grade.auto_score = tested
        else:
            grade.manual_score = written
    book.db.commit()


def export(course, exporter, **options):
    """Return the rows that an exporter writes."""
    path = course / "out.csv"
    log = logging.getLogger("export")
    late = options.pop("LateSubmissionPlugin", {})
    own = {exporter.__name__: {"to": str(path), **options}, "LateSubmissionPlugin": late}
    plugin = exporter(config=Config(own), log=log)
    with Gradebook(f"sqlite:///{course}/gradebook.db", "test") as book:
        plugin.export(book)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_the_canvas_table(course):
    assert export(course, CanvasExport, titles={"ps1": "Problem set 1 (98765)"}) == [
        ["Student", "ID", "SIS Login ID", "Section", "Problem set 1 (98765)", "ps2"],
        ["    Points Possible", "", "", "", "13", "13"],
        ["Lovelace, Ada", "", "ada", "", "9.12", "0"],
        ["'+1, =cmd|'/c calc'!A1", "4712", "bob", "", "7.5", ""],
        ["dan", "", "dan", "", "", ""],
        ["Müller, Dr., Eve", "", "eve", "", "", ""],
    ]


def test_the_moodle_table(course):
    assert export(course, MoodleExport) == [
        ["Username", "ps1", "ps2"],
        ["ada", "9.12", "0"],
        ["bob", "7.5", ""],
        ["dan", "", ""],
        ["eve", "", ""],
    ]


def test_an_unfinished_grade_is_left_empty_with_a_warning(course, caplog):
    def row(**options):
        return {row[2]: row[4] for row in export(course, CanvasExport, **options)}

    assert row()["eve"] == ""
    assert "ps1 of eve is left empty: it is not all graded" in caplog.text
    assert row(unfinished=True)["eve"] == "10"


def test_a_submission_that_was_never_graded_is_no_zero(course, caplog):
    with Gradebook(f"sqlite:///{course}/gradebook.db", "test") as book:
        book.add_submission("ps2", "eve")
    rows = {row[0]: row for row in export(course, MoodleExport, unfinished=True, missing="0")}
    assert rows["eve"] == ["eve", "10", ""]
    assert "ps2 of eve is left empty" in caplog.text


def test_what_was_not_handed_in_may_be_a_zero(course):
    rows = {row[0]: row for row in export(course, MoodleExport, missing="0")}
    assert rows["dan"] == ["dan", "0", "0"]
    assert rows["eve"] == ["eve", "", "0"]


def test_nobody_is_without_identity_on_moodle(course, caplog):
    rows = export(course, MoodleExport, key="Email address")
    assert [row[0] for row in rows] == ["Email address", "ada@example.org", "dan@example.org"]
    assert "eve is left out: no Email address is known" in caplog.text


def test_the_id_of_a_student_may_be_the_number_on_canvas(course):
    rows = export(course, CanvasExport, student_is="ID")
    assert rows[2][:4] == ["Lovelace, Ada", "ada", "", ""]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " =", "\t=", "\r=", "\n@", "\uff1d"])
def test_no_cell_is_a_formula(start):
    assert text(f"{start}1+1").startswith("'")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CanvasExport", "MoodleExport"])
def test_nbgrader_export_runs_it(course, name):
    run_nbgrader(
        course,
        "export",
        f"--exporter=bncourse.platforms.export.{name}",
        "--to=grades.csv",
        "--assignment=['ps1']",
        "--student=['ada']",
        f"--{name}.titles={{'ps1': 'Problem set 1 (98765)'}}",
    )
    with open(course / "grades.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][-1] == "Problem set 1 (98765)"
    assert rows[-1][-1] == "9.12"
    assert not [row for row in rows if "bob" in row]


@pytest.mark.parametrize("exporter", [PlainExport, CanvasExport, MoodleExport])
def test_points_by_hand_do_not_get_round_the_penalty(course, exporter, caplog):
    with Gradebook(f"sqlite:///{course}/gradebook.db", "test") as book:
        submission = book.find_submission("ps1", "ada")
        book.update_or_create_submission("ps1", "ada", timestamp="2026-01-10 12:01")
        submission.notebooks[0].late_submission_penalty = 7.125
        book.db.commit()
    policy = {"penalty_method": "zero"}
    with caplog.at_level("WARNING"):
        rows = export(course, exporter, LateSubmissionPlugin=policy)
    ada = next(row for row in rows if "ada" in row[:4])
    assert float(ada[-2] if exporter is not PlainExport else ada[9]) == 0
    assert "ps1 of ada: the late penalty is 9.125 now, it was 7.125" in caplog.text


def test_the_verb_writes_where_the_caller_says_however_often(tmp_path, gradebook, monkeypatch):
    course, elsewhere = tmp_path / "course", tmp_path / "elsewhere"
    course.mkdir()
    elsewhere.mkdir()
    (course / "nbgrader_config.py").write_text(CONFIG)
    shutil.copy(gradebook, course)
    monkeypatch.chdir(elsewhere)
    for platform, name in (("moodle", "first.csv"), ("canvas", "second.csv")):
        words = ["--root", str(course), "--for", platform, "--to", name]
        done = CliRunner().invoke(export_verb, words)
        assert done.exit_code == 0, done.output
    assert (elsewhere / "first.csv").read_text().startswith("Username,ps1,ps2")
    assert (elsewhere / "second.csv").read_text().startswith("Student,ID,SIS Login ID")
    assert Path.cwd() == elsewhere


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        ("sys.exit('[ExportApp | ERROR] no exporter')", "no exporter\nError: nbgrader export"),
        ("raise OSError(28, os.strerror(28))", "could not finish: No space left on device. Put"),
        ("raise ValueError('odd')", "ValueError: odd"),
    ],
)
def test_the_verb_ends_as_nbgrader_ends(tmp_path, gradebook, monkeypatch, fails, told):
    (tmp_path / "nbgrader_config.py").write_text(CONFIG)
    shutil.copy(gradebook, tmp_path)
    (tmp_path / "nbgrader").write_text(f"import os, sys\nprint('a line', file=sys.stderr)\n{fails}")
    monkeypatch.setattr("bncourse.commands.term.sysconfig.get_path", lambda name: str(tmp_path))
    done = CliRunner().invoke(export_verb, ["--root", str(tmp_path)])
    assert done.exit_code == 1
    assert done.stderr.startswith("a line\n")
    assert told in done.stderr
    assert ("Traceback" in done.stderr) is ("ValueError" in told)
    (tmp_path / "nbgrader").write_text("import sys; sys.exit(3)")
    assert CliRunner().invoke(export_verb, ["--root", str(tmp_path)]).exit_code == 3


@pytest.mark.parametrize("to", [".", "gone/grades.csv"])
def test_a_place_that_is_no_file_is_refused(tmp_path, to):
    (tmp_path / "nbgrader_config.py").write_text(CONFIG)
    done = CliRunner().invoke(export_verb, ["--root", str(tmp_path), "--to", str(tmp_path / to)])
    assert done.exit_code == 2
    assert "--to must be a file in a folder that is there. Received: " in done.stderr


def test_a_table_of_no_problem_set_is_not_written(tmp_path):
    (tmp_path / "nbgrader_config.py").write_text(CONFIG)
    done = CliRunner().invoke(export_verb, ["--root", str(tmp_path)])
    assert done.exit_code == 2
    assert "The gradebook knows no problem set yet" in done.stderr
    assert not (tmp_path / "grades.csv").exists()
