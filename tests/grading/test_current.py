"""Nothing stale: feedback and tables follow whatever changes points."""

import shutil

import pytest
from nbgrader.api import Gradebook

from bncourse.grading.nbgrader.gradebook import opened
from bncourse.grading.nbgrader.penalties import refresh
from bncourse.grading.work import GradedCourse
from bncourse.trial import corpus
from bncourse.trial import course as trial
from bncourse.trial.sample_class import run_nbgrader

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("needs_sandbox"),
    # nbgrader's own use of its database.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"),
]

SET = corpus.PROBLEM_SET
CONFIG = trial.CONFIG + trial.TRUSTED
ZERO_WHEN_LATE = 'c.LateSubmissionPlugin.penalty_method = "zero"\n'
BY_HAND = ("redundant_bias", "forward", SET, "ada")


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A course of two students, graded, with feedback."""
    root = tmp_path_factory.mktemp("graded") / "course"
    root.mkdir()
    trial.make_course(root, {"ada": trial.right("ada"), "ben": trial.right("ben")}, CONFIG)
    for command in ("autograde", "generate_feedback"):
        run_nbgrader(root, command, SET)
    return root


@pytest.fixture
def course(graded, tmp_path):
    return shutil.copytree(graded, tmp_path / "course")


def page(course, student="ada"):
    return (course / "feedback" / student / SET / corpus.NOTEBOOK).with_suffix(".html")


def score(course, student="ada"):
    with book_of(course) as book:
        return book.find_submission(SET, student).score


def book_of(course):
    return Gradebook(f"sqlite:///{course}/gradebook.db", "trial")


def give_by_hand(course, points, comment=None):
    with book_of(course) as book:
        grade = book.find_grade(*BY_HAND)
        grade.manual_score, grade.needs_manual_grade = points, False
        book.find_comment(*BY_HAND).manual_comment = comment
        book.db.commit()


def generate(course):
    """Run nbgrader's own command, as an instructor does, without --force."""
    run_nbgrader(course, "generate_feedback", SET)


def test_a_page_that_is_true_is_left_as_it_is(course):
    before = page(course).stat().st_mtime_ns
    generate(course)
    assert page(course).stat().st_mtime_ns == before


def test_who_has_withdrawn_stops_no_page_of_another(course):
    with book_of(course) as book:
        book.remove_student("ada")
        grade = book.find_grade(*BY_HAND[:3], "ben")
        grade.manual_score, grade.needs_manual_grade = 2, False
        book.db.commit()
    generate(course)
    assert "<strong>14 of " in page(course, "ben").read_text()


def test_feedback_follows_a_regrade(course):
    before = page(course, "ben").stat().st_mtime_ns
    trial.hand_in(course, "ada", lambda folder: corpus.write(folder, corpus.release()))
    run_nbgrader(course, "autograde", SET, "--student", "ada", "--force")
    assert "<strong>12 of " in page(course).read_text()
    generate(course)
    assert score(course) == 0
    assert "<strong>0 of " in page(course).read_text()
    assert page(course, "ben").stat().st_mtime_ns == before, "nothing of ben has changed"


def test_a_page_that_was_cut_short_is_made_anew(course):
    whole = page(course).read_bytes()
    # As a crash in the middle of writing leaves it.
    page(course).write_bytes(whole[: len(whole) // 2])
    generate(course)
    assert page(course).read_bytes() == whole


def test_feedback_follows_points_and_comments_by_hand(course):
    give_by_hand(course, 2, "And what replaces the bias?")
    generate(course)
    assert "<strong>14 of " in page(course).read_text()
    assert "And what replaces the bias?" in page(course).read_text()


def late(course, config=ZERO_WHEN_LATE):
    """Have ada hand in a minute after the deadline."""
    with (course / "nbgrader_config.py").open("a") as file:
        file.write(config)
    stamp = course / "submitted" / "ada" / SET / "timestamp.txt"
    stamp.write_text("2026-01-10 12:01:00 UTC")
    with book_of(course) as book:
        book.update_or_create_assignment(SET, duedate="2026-01-10 12:00:00 UTC")
    run_nbgrader(course, "autograde", SET, "--student", "ada", "--force")


def penalised(course):
    """Return what ada has in the end, after what is due was brought up to date."""
    made = GradedCourse(course, SET)
    with opened(made) as book:
        changed = refresh(book, made.config, SET)
        submission = book.find_submission(SET, "ada")
        return submission.score - submission.late_submission_penalty, changed


def test_a_penalty_takes_points_that_a_human_gave_later(course):
    late(course)
    give_by_hand(course, 3)
    assert penalised(course) == (0, [("ada", 12.0, 15.0)])
    assert penalised(course) == (0, []), "nothing is due a second time"


def test_a_penalty_and_the_page_follow_a_deadline_that_moves(course):
    late(course)
    generate(course)
    assert "<strong>0 of " in page(course).read_text()
    with book_of(course) as book:
        book.update_or_create_assignment(SET, duedate="2026-01-11 12:00:00 UTC")
    generate(course)
    assert "<strong>12 of " in page(course).read_text()
    assert penalised(course) == (12, [])
