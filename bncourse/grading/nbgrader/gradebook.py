"""Read nbgrader's gradebook, and compare it with the verdicts on a class.

What is written, and how, is in ``writing``.
"""

import contextlib
import json
import math
import sqlite3
from pathlib import Path

from nbgrader.api import Gradebook, InvalidEntry, MissingEntry
from sqlalchemy.exc import DatabaseError, OperationalError

from bncourse.course import scripts_on_path
from bncourse.errors import CourseError, Locked
from bncourse.grading.intake.odd import is_timestamp
from bncourse.grading.nbgrader.mark import Mark, mark_of
from bncourse.grading.nbgrader.penalties import due_penalty

LATE = "late penalty"

# Errors that do not pass by themselves: no rights, no such folder, tables of another version.
_TO_PUT_RIGHT = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_ERROR}


@contextlib.contextmanager
def opened(course):
    """Yield the Gradebook of a Course.

    Raises:
        Locked: it cannot be used now.
        CourseError: it cannot be used.
    """
    url, course_id = course.directory.db_url, course.directory.course_id
    try:
        with scripts_on_path(), Gradebook(url, course_id) as book:
            yield book
    except (DatabaseError, InvalidEntry) as error:
        raise unusable(error) from None


def unusable(error):
    """Return the CourseError that an exception means, or itself where it says nothing."""
    # nbgrader answers an error of the database with exceptions of its own.
    cause = error if isinstance(error, DatabaseError) else error.__context__
    if not isinstance(cause, DatabaseError):
        return error
    reason = f"The gradebook cannot be used: {cause.orig}."
    # The low byte is the error, the rest its variety.
    code = getattr(cause.orig, "sqlite_errorcode", 0) & 0xFF
    passes = isinstance(cause, OperationalError) and code not in _TO_PUT_RIGHT
    return Locked(reason) if passes else CourseError(reason)


def require_assignment(course, notebooks):
    """Refuse a gradebook that could not take the grades.

    Args:
        course: the Course.
        notebooks: the file names of the release.

    Raises:
        Locked: it cannot be read now.
        CourseError: it does not know a notebook of the problem set.
    """
    with opened(course) as book:
        try:
            for name in notebooks:
                book.find_notebook(Path(name).stem, course.problem_set)
        except MissingEntry:
            raise CourseError(
                f"The gradebook does not know {name} of {course.problem_set}. "
                f"{course.how_to_release}"
            ) from None


def differences(course, tasks):
    """Return for each task ``[(name, old points, new points)]`` where a regrade changes points.

    Raises:
        Locked: the gradebook cannot be read.
    """
    with opened(course) as book:
        return [
            [row for row in compare(book, course, task) if None not in row] if task.report else []
            for task in tasks
        ]


def written(course, tasks):
    """Return the students for whom nothing is left to write: their verdicts are in the gradebook.

    Raises:
        Locked: the gradebook cannot be read.
    """
    with opened(course) as book:
        left = {task.student for task in tasks if not _is_written(book, course, task)}
    return {task.student for task in tasks} - left


def compare(book, course, task):
    """Return ``[(name, old points, new points)]`` of what nbgrader would change now.

    Args:
        book: the Gradebook.
        course: the Course.
        task: with its report.

    Returns:
        a row for each exercise with other points, with None where there is no grade yet, and one
        for the penalty on a late hand-in.
    """
    notebook = _find(book, course, task)
    grades = {grade.name: grade for grade in notebook.grades} if notebook else {}
    outcomes = task.report.outcomes
    new = {name: _points(grades[name], outcomes[name]) for name in outcomes if name in grades}
    rows = [(n, grades[n].auto_score if n in grades else None, new.get(n)) for n in outcomes]
    if notebook:
        late = 0.0 if task.is_missing else _penalty(course, task, notebook, new)
        rows.append((LATE, notebook.late_submission_penalty or 0.0, late))
    return [row for row in rows if None in row or not math.isclose(*row[1:], abs_tol=1e-9)]


def _find(book, course, task):
    name = Path(task.notebook).stem
    try:
        return book.find_submission_notebook(name, course.problem_set, task.student)
    except MissingEntry:
        return None


def _points(grade, outcome):
    return outcome.points(grade.max_score)


def _penalty(course, task, notebook, points):
    """Return what nbgrader's AssignLatePenalties would take away."""
    submission = notebook.assignment
    handed_in = _timestamp(course, task.student) or submission.timestamp
    score = sum(_score(grade, points) for grade in notebook.grades)
    return due_penalty(course.config, submission, handed_in, score)


def _score(grade, points):
    automatic = points.get(grade.name, grade.auto_score)
    given = automatic if grade.manual_score is None else grade.manual_score
    return (given or 0.0) + (grade.extra_credit or 0.0)


def _timestamp(course, student):
    """Return when a hand-in came, or None if nothing says."""
    folder = course.folder(course.directory.submitted_directory, student)
    known = is_timestamp(folder / "timestamp.txt")
    return course.directory.get_existing_timestamp(str(folder)) if known else None


def _is_written(book, course, task):
    if task.report is None or compare(book, course, task):
        return False
    notebook = _find(book, course, task)
    if task.is_missing:
        return not any(grade.needs_manual_grade for grade in notebook.grades)
    handed_in = _timestamp(course, task.student)
    return _shown(course, task) and handed_in in (None, notebook.assignment.timestamp)


def _shown(course, task):
    """Return whether the autograded notebook shows the verdict of a task."""
    path = course.folder(course.directory.autograded_directory, task.student) / task.notebook
    try:
        mark = mark_of(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError):
        return False
    return mark == Mark.of(task)
