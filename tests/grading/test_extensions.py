"""An extension counts from the day it is given: before and after a hand-in, in all that follows."""

import datetime
import fcntl
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from nbgrader.api import Gradebook

from bncourse.commands.extend import extend
from bncourse.course import load_config, scripts_on_path
from bncourse.errors import CourseError
from bncourse.grading.nbgrader.extensions import deadline_of, extensions_of, give, utc_of
from bncourse.grading.nbgrader.penalties import Policy, refresh

# nbgrader's own use of its database.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")

SET = "ps1_forward"
DUE, LATE = "2026-11-02 12:00", "2026-11-03 12:00"
LATER = "2026-11-04 12:00"
CONFIG = """
c = get_config()
c.CourseDirectory.course_id = "trial"
from bncourse.grading.nbgrader.config import configure
configure(c, __file__)
c.LateSubmissionPlugin.penalty_method = "zero"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A course in which ada has handed in a day late, and ben nothing so far."""
    root = tmp_path_factory.mktemp("extensions") / "course"
    root.mkdir()
    (root / "nbgrader_config.py").write_text(CONFIG)
    with book_of(root) as book:
        book.add_assignment(SET, duedate=DUE)
        book.add_notebook("forward", SET)
        book.add_grade_cell("normalize", "forward", SET, max_score=3, cell_type="code")
        for student in ("ada", "ben"):
            book.add_student(student)
        hand_in(book, "ada")
    return root


@pytest.fixture
def course(made, tmp_path):
    return shutil.copytree(made, tmp_path / "course")


def book_of(course):
    with scripts_on_path():
        return Gradebook(f"sqlite:///{course}/gradebook.db", "trial")


def hand_in(book, student):
    submission = book.add_submission(SET, student, timestamp=LATE)
    submission.notebooks[0].grades[0].auto_score = 3
    book.db.commit()


def left_of(course, student):
    """Return the points of a student when all penalties are as they are due."""
    with book_of(course) as book:
        refresh(book, load_config(course), SET)
        submission = book.find_submission(SET, student)
        return submission.score - (submission.late_submission_penalty or 0)


def run(course, *arguments):
    return CliRunner().invoke(extend, [SET, *arguments, "--root", str(course)])


def test_after_a_hand_in(course):
    assert left_of(course, "ada") == 0
    done = run(course, "ada", "--until", LATER)
    assert done.exit_code == 0, done.output
    assert "ada: 2026-11-04 12:00 UTC" in done.output
    assert "the late penalty is 0 now, it was 3" in done.output
    assert left_of(course, "ada") == 3


def test_before_a_hand_in(course):
    assert run(course, "ben", "--until", "2026-11-04 13:00 Europe/Berlin").exit_code == 0
    with book_of(course) as book:
        hand_in(book, "ben")
        # Asked before anything is written, as a dry run does.
        policy = Policy(load_config(course), SET)
        due = deadline_of(book.find_submission(SET, "ben"), policy.extensions)
        assert not policy.penalty("ben", datetime.datetime.fromisoformat(LATE), due, 3.0)
    assert left_of(course, "ben") == 3
    assert left_of(course, "ada") == 0, "an extension is of one student"


def test_one_that_is_too_short_helps_nobody(course):
    run(course, "ada", "--until", "2026-11-02 18:00")
    assert left_of(course, "ada") == 0


def test_taken_away(course):
    run(course, "ada", "--until", LATER)
    done = run(course, "ada", "--none")
    assert "ada: the deadline of the class" in done.output
    assert left_of(course, "ada") == 0
    assert extensions_of(load_config(course), SET) == {}


def test_a_second_one_replaces_the_first(course):
    run(course, "ada", "--until", LATER)
    run(course, "ada", "--until", DUE)
    assert left_of(course, "ada") == 0


def test_what_nbgrader_was_told_stays(course):
    with book_of(course) as book:
        book.grant_extension(SET, "ada", days=2)
    assert left_of(course, "ada") == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ada"], "either --until TIME or --none"),
        (["ada", "--until", LATER, "--none"], "either --until TIME or --none"),
        (["eve", "--until", LATER], "must know them first"),
        (["ada", "--until", "tomorrow-ish"], "must be a date and a time"),
        # What is typed is looked at before what the course knows.
        (["eve", "--until", ""], "must be a date and a time"),
    ],
)
def test_what_cannot_be_is_said(course, arguments, said):
    done = run(course, *arguments)
    assert done.exit_code == 2
    assert said in done.output
    assert not Path(course, "extensions.csv").exists()


@pytest.mark.parametrize("until", [["--until", DUE], ["--none"]])
def test_one_that_fails_leaves_the_extension_of_before(course, monkeypatch, until):
    run(course, "ada", "--until", LATER)
    before = (course / "extensions.csv").read_text()

    def fails(*of):
        raise RuntimeError

    monkeypatch.setattr("bncourse.grading.nbgrader.penalties.refresh", fails)
    assert run(course, "ada", *until).exit_code == 1
    monkeypatch.undo()
    assert (course / "extensions.csv").read_text() == before
    assert left_of(course, "ada") == 3


def test_of_two_at_once_none_is_lost(course, monkeypatch):
    """Each reads the table and writes it anew, so one waits for the other."""

    def under_lock(*of):
        with (
            (course / ".grading" / "writer.lock").open("w") as lock,
            pytest.raises(BlockingIOError),
        ):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        give(*of)

    monkeypatch.setattr("bncourse.grading.nbgrader.extensions.give", under_lock)
    assert run(course, "ada", "--until", LATER).exit_code == 0


def test_without_a_deadline_there_is_nothing_to_extend(course):
    with book_of(course) as book:
        book.update_or_create_assignment(SET, duedate=None)
    done = run(course, "ada", "--until", LATER)
    assert done.exit_code == 2
    assert "nbgrader db assignment add" in done.output


def test_the_table_is_of_its_owner(course):
    give(course / "extensions.csv", SET, "ada", LATER)
    assert (course / "extensions.csv").stat().st_mode & 0o077 == 0


def test_a_table_that_a_spreadsheet_wrote(course):
    (course / "extensions.csv").write_bytes(
        b"\xef\xbb\xbfproblem set,student,until\r\n" + f"{SET},ada,{LATER}\r\n".encode()
    )
    assert extensions_of(load_config(course), SET) == {"ada": utc_of(LATER)}


def test_a_table_of_another_form_is_refused(course):
    (course / "extensions.csv").write_text("student;until\nada;tomorrow\n")
    with pytest.raises(CourseError, match="columns"):
        extensions_of(load_config(course), SET)
