"""``bncourse show-grades``: what the gradebook of any course says."""

import pytest
from click.testing import CliRunner
from nbgrader.api import Gradebook

from bncourse.commands.course import show_grades
from bncourse.course import scripts_on_path

# nbgrader's own use of its database.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")


@pytest.fixture
def course(tmp_path):
    """A course with two problem sets: points by tests and by hand, one of them late."""
    course = tmp_path / "term"
    course.mkdir()
    (course / "nbgrader_config.py").write_text(
        'c = get_config()\nc.CourseDirectory.course_id = ""\n'
    )
    with scripts_on_path(), Gradebook(f"sqlite:///{course}/gradebook.db", "") as book:
        for name in ("ps1", "ps2"):
            book.add_assignment(name)
            book.add_notebook("forward", name)
            book.add_grade_cell("tests", "forward", name, max_score=17, cell_type="code")
            book.add_grade_cell("text", "forward", name, max_score=3, cell_type="markdown")
        for student, name, by_hand, late in (
            ("ada", "ps1", 2, 0),
            ("ben", "ps1", None, 0),
            ("ada", "ps2", 3, 10),
        ):
            book.update_or_create_student(student)
            submission = book.update_or_create_submission(name, student)
            submission.notebooks[0].late_submission_penalty = late
            tested = book.find_grade("tests", "forward", name, student)
            tested.auto_score, tested.needs_manual_grade = 17, False
            written = book.find_grade("text", "forward", name, student)
            written.manual_score, written.needs_manual_grade = by_hand, by_hand is None
        book.db.commit()
    return course


def test_points_by_hand_and_penalties_of_all_problem_sets_are_in_the_table(course):
    done = CliRunner().invoke(show_grades, [str(course)], catch_exceptions=False)
    assert "Grades of term" in done.output
    rows = [line.replace("│", " ").split() for line in done.output.splitlines() if "ps" in line]
    assert rows == [
        ["ps1", "ada", "19", "20", "2", "0", "0"],
        ["ps1", "ben", "17", "20", "0", "0", "3"],
        ["ps2", "ada", "10", "20", "3", "10", "0"],
    ]
    # Nobody has feedback yet.
    assert "feedback" not in done.output


def test_the_penalty_is_the_one_that_is_due_and_not_the_one_that_is_kept(course):
    """Points by hand, a deadline and the policy change it; nbgrader computed it before."""
    with (course / "nbgrader_config.py").open("a") as file:
        file.write('c.LateSubmissionPlugin.penalty_method = "zero"\n')
    with scripts_on_path(), Gradebook(f"sqlite:///{course}/gradebook.db", "") as book:
        book.update_or_create_assignment("ps2", duedate="2026-11-02 12:00")
        book.update_or_create_submission("ps2", "ada", timestamp="2026-11-02 12:01")
    done = CliRunner().invoke(show_grades, [str(course)], catch_exceptions=False)
    (row,) = [line.replace("│", " ").split() for line in done.output.splitlines() if "ps2" in line]
    assert row == ["ps2", "ada", "0", "20", "3", "20", "0"]
