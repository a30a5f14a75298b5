"""Read nbgrader's gradebook, and compare it with the verdicts on a class.

What is written, and how, is in ``writing``.
"""

import contextlib
import json
import math
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

from nbgrader.api import Gradebook, InvalidEntry, MissingEntry
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from bncourse.course import scripts_on_path
from bncourse.errors import CourseError, Locked
from bncourse.grading.intake.odd import is_timestamp
from bncourse.grading.kept import open_kept
from bncourse.grading.nbgrader import rows
from bncourse.grading.nbgrader.extensions import deadline
from bncourse.grading.nbgrader.known import is_listed, named, names_of
from bncourse.grading.nbgrader.mark import mark_of
from bncourse.grading.nbgrader.penalties import Policy
from bncourse.grading.side_by_side import side_by_side

LATE = "late penalty"

# Errors that do not pass by themselves: no rights, no such folder, tables of another version.
_TO_PUT_RIGHT = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_ERROR}


def prepare(db_url):
    """Make the file of a gradebook of SQLite, open to its owner and a group that shares the course.

    SQLite itself would open it to everybody, and let no group write.

    Args:
        db_url: the address of the gradebook; elsewhere than in a file nothing is made.

    Raises:
        CourseError: it cannot be made.
    """
    url = make_url(db_url)
    if url.get_backend_name() != "sqlite" or not url.database or os.path.exists(url.database):
        return
    try:
        os.close(open_kept(url.database, os.O_RDWR))
    except OSError as error:
        raise CourseError(f"The gradebook cannot be made: {error}") from None


@contextlib.contextmanager
def opened(course):
    """Yield the Gradebook of a Course.

    Raises:
        Locked: it cannot be used now.
        CourseError: it cannot be used.
    """
    url, course_id = course.directory.db_url, course.directory.course_id
    prepare(url)
    try:
        with scripts_on_path(), Gradebook(url, course_id) as book:
            yield book
    except (DatabaseError, InvalidEntry) as error:
        raise unusable(error) from None


def unusable(error):
    """Return the CourseError that an exception means, or itself where it says nothing."""
    # nbgrader answers an error of the database with exceptions of its own.
    cause = error if isinstance(error, DatabaseError) else error.__context__
    if isinstance(error, ArgumentError):
        return CourseError(f"c.CourseDirectory.db_url must be the address of a database. {error}")
    if not isinstance(cause, DatabaseError):
        return error
    reason = f"The gradebook cannot be used: {cause.orig}."
    # The low byte is the error, the rest its variety.
    code = getattr(cause.orig, "sqlite_errorcode", 0) & 0xFF
    passes = isinstance(cause, OperationalError) and code not in _TO_PUT_RIGHT
    return Locked(reason) if passes else CourseError(reason)


def newcomers(course, students):
    """Return who handed in and is not in the gradebook; nobody, where it knows no student yet.

    Args:
        course: the Course.
        students: the ids.

    Returns:
        A pair: the ids as one text, each with whom it may be; and whether the gradebook knows a
        list of the class, so that somebody has to say who they are.

    Raises:
        Locked: it cannot be read now.
        CourseError: it cannot be used.
    """
    with opened(course) as book:
        roster = {each.id: names_of(each) for each in book.students}
        has_list = any(map(is_listed, book.students))
    new = {*students} - roster.keys() if roster else ()
    return named(new, roster), has_list


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
    return [
        [row for row in changes if None not in row] if task.report else []
        for task, _, changes in _compared(course, tasks)
    ]


def written(course, tasks, processes=1):
    """Return the students for whom nothing is left to write: their verdicts are in the gradebook.

    Args:
        course: the GradedCourse.
        tasks: with their reports.
        processes: how many read graded notebooks side by side.

    Raises:
        Locked: the gradebook cannot be read.
    """
    done = [task for task, *kept in _compared(course, tasks) if _is_in_rows(course, task, *kept)]
    shown = [task for task in done if not task.is_missing]
    marks = side_by_side(mark_at, [graded(course, task) for task in shown], processes)
    seen = {
        id(task)
        for task, mark in zip(shown, marks, strict=True)
        if mark and (mark.verdict, mark.reason, mark.text) == (task.key, task.reason, task.text)
    }
    there = {id(task) for task in done if task.is_missing} | seen
    left = {task.student for task in tasks if id(task) not in there}
    return {task.student for task in tasks} - left


def _compared(course, tasks):
    """Yield ``(task, its Submission or None, what nbgrader would change now)`` for each task."""
    policy = Policy(course.config, course.problem_set)
    with opened(course) as book, book.engine.connect() as connection:
        assigned = rows.assigned(connection, course.problem_set)
        for some in rows.in_parts(tasks, rows.AT_ONCE):
            students = {task.student for task in some}
            found = rows.submissions(connection, assigned, students) if assigned else {}
            for task in some:
                kept = found.get(task.student)
                until = kept and _until(assigned, kept, policy)
                yield task, kept, _changes(course, task, kept, until, policy)


def _until(assigned, kept, policy):
    return deadline(assigned.due, kept.extension, policy.extensions.get(kept.student))


def _changes(course, task, kept, until, policy):
    """Return ``[(name, old points, new points)]`` of what nbgrader would change now.

    Returns:
        a row for each exercise with other points, with None where there is no grade yet, and one
        for the penalty on a late hand-in.
    """
    if task.report is None:
        return []
    notebook = kept and kept.notebooks.get(Path(task.notebook).stem)
    grades = notebook.grades if notebook else {}
    outcomes = task.report.outcomes
    new = {name: _points(grades[name], outcomes[name]) for name in outcomes if name in grades}
    changes = [(n, grades[n].auto_score if n in grades else None, new.get(n)) for n in outcomes]
    if notebook:
        late = 0.0
        if not task.is_missing:
            handed_in = _timestamp(course, task.student) or kept.timestamp
            score = sum(_score(grade, new) for grade in grades.values())
            late = policy.penalty(task.student, handed_in, until, score) or 0.0
        changes.append((LATE, notebook.late_submission_penalty or 0.0, late))
    return [row for row in changes if None in row or not math.isclose(*row[1:], abs_tol=1e-9)]


def _points(grade, outcome):
    return outcome.points(grade.max_score)


def _score(grade, points):
    return replace(grade, auto_score=points.get(grade.name, grade.auto_score)).score


def _timestamp(course, student):
    """Return when a hand-in came, or None if nothing says."""
    folder = course.folder(course.directory.submitted_directory, student)
    stamp = folder / "timestamp.txt"
    known = stamp.exists() and is_timestamp(stamp)
    return course.directory.get_existing_timestamp(str(folder)) if known else None


def _is_in_rows(course, task, kept, changes):
    """Return whether the gradebook has what a task would write there."""
    if task.report is None or changes:
        return False
    if task.is_missing:
        grades = kept.notebooks[Path(task.notebook).stem].grades.values()
        return not any(grade.needs_manual_grade for grade in grades)
    return _timestamp(course, task.student) in (None, kept.timestamp)


def graded(course, task):
    """Return the path of the graded notebook of a Work."""
    folder = course.folder(course.directory.autograded_directory, task.student)
    return folder / task.notebook


def mark_at(path):
    """Return the Mark of a graded notebook, or None where there is none that can be read."""
    try:
        return mark_of(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError):
        return None
