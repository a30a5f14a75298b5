"""Write the verdicts on a class into nbgrader's gradebook: one writer, nbgrader's own autograde.

The verdicts are on disk before the first grade is written, so a crash, a locked database or a full
disk loses nothing: a second run writes what is missing.
"""

import contextlib
import fcntl
import json
import time
import warnings
from pathlib import Path

from nbformat.v4 import new_notebook
from nbgrader import api
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import Autograde
from nbgrader.converters.base import NbGraderException
from sqlalchemy.exc import OperationalError, SAWarning

from bncourse.grading.audit import record
from bncourse.grading.exporter import MARK
from bncourse.nbgrader_course import scripts_on_path


class Locked(Exception):
    """The gradebook cannot be read or written now; the message says why."""


def differences(course, tasks):
    """Return ``[(student, exercise, old points, new points)]`` where a regrade changes points.

    Raises:
        Locked: the gradebook cannot be read.
    """
    with _gradebook(course) as book:
        return [
            (task.student, name, old.auto_score, _points(old, outcome))
            for task in tasks
            if task.report
            for name, outcome in task.report.outcomes.items()
            if (old := _find(book, course, task, name)) and old.auto_score is not None
            if old.auto_score != _points(old, outcome)
        ]


def written(course, tasks):
    """Return the students for whom nothing is left to write: their verdicts are in the gradebook.

    Raises:
        Locked: the gradebook cannot be read.
    """
    with _gradebook(course) as book:
        left = {task.student for task in tasks if not _is_written(book, course, task)}
    return {task.student for task in tasks} - left


def _is_written(book, course, task):
    if task.report is None or not task.key:
        return False
    path = course.folder(course.directory.autograded_directory, task.student) / task.notebook
    if _key_in(path) != task.key:
        return False
    grades = {name: _find(book, course, task, name) for name in task.exercises}
    outcomes = task.report.outcomes
    return all(
        grade is not None and grade.auto_score == _points(grade, outcomes[name])
        for name, grade in grades.items()
    )


def _key_in(path):
    """Return the key of the verdict that an autograded notebook shows, or None."""
    try:
        return json.loads(path.read_text())["metadata"][MARK]["verdict"]
    except (OSError, ValueError, KeyError):
        return None


def _find(book, course, task, name):
    try:
        return book.find_grade(name, Path(task.notebook).stem, course.problem_set, task.student)
    except MissingEntry:
        return None


def _points(grade, outcome):
    return grade.max_score if outcome.word == "ok" else 0.0


def write_grades(course, tasks, say=print):
    """Have nbgrader autograde the class with the stored verdicts.

    Args:
        course: the Course.
        tasks: with their reports; a student without a report keeps the grades of before.
        say: receives lines of progress.

    Returns:
        ``{student: reason}`` for those whose grades could not be written.
    """
    graded = [task for task in tasks if task.report is not None]
    students = sorted({task.student for task in graded})
    # nbgrader skips a hand-in without any notebook; one of several it counts as zero itself.
    gone = {*students} - {task.student for task in graded if not task.is_missing}
    failed, start = {}, time.monotonic()
    with _only_writer(course, say), scripts_on_path(), _one_engine(course), _quiet():
        for done, student in enumerate(students, 1):
            try:
                if student in gone:
                    _write_missing(course, [task for task in graded if task.student == student])
                else:
                    _autograde(course, student)
            except Locked as reason:
                # It would be the same for everybody else, a minute later each.
                return failed | dict.fromkeys(students[done - 1 :], str(reason))
            except NbGraderException as reason:
                failed[student] = f"nbgrader could not write the grades. {reason}"
            left = (time.monotonic() - start) / done * (len(students) - done)
            say(f"written {done}/{len(students)} {student}, about {left:.0f} s left")
    return failed


@contextlib.contextmanager
def _gradebook(course):
    with (
        scripts_on_path(),
        _no_lock_goes_unexplained(),
        Gradebook(course.directory.db_url, course.directory.course_id) as book,
    ):
        yield book


@contextlib.contextmanager
def _no_lock_goes_unexplained():
    try:
        yield
    except OperationalError as error:
        raise Locked(f"The gradebook cannot be used: {error.orig}.") from None


@contextlib.contextmanager
def _only_writer(course, say):
    """Wait until no other ``bncourse grade`` writes to the gradebook of this course."""
    course.records.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (course.records / "writer.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another bncourse grade to finish writing")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _one_engine(course):
    """Let nbgrader keep its engine for the database.

    It makes a new one dozens of times per student, and each compiles every query anew: half of the
    time of writing.
    """
    original = api.create_engine
    engine = original(course.directory.db_url)
    api.create_engine = lambda *args, **options: engine
    try:
        yield
    finally:
        api.create_engine = original
        engine.dispose()


@contextlib.contextmanager
def _quiet():
    """Hide warnings on nbgrader's own use of its database; no grader could act on them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)
        yield


def _autograde(course, student):
    course.directory.student_id = student
    config = course.config.copy()
    config.TrustedExecute.reuse = True
    converter = Autograde(coursedir=course.directory, config=config)
    converter.force = True
    try:
        converter.start()
    except NbGraderException as error:
        if isinstance(error.__context__, OperationalError):
            raise Locked(f"The gradebook cannot be used: {error.__context__.orig}.") from None
        raise


def _write_missing(course, tasks):
    """Give no points to the student of these tasks, whose hand-in holds no notebook."""
    student = tasks[0].student
    with _gradebook(course) as book:
        book.update_or_create_student(student)
        submission = book.update_or_create_submission(course.problem_set, student)
        for notebook in submission.notebooks:
            notebook.flagged = True
            for each in notebook.grades:
                each.auto_score, each.needs_manual_grade = 0, False
        book.db.commit()
    for task in tasks:
        names = {"assignment": course.problem_set, "student": student}
        names["notebook"] = Path(task.notebook).stem
        record(course.records / "audit.jsonl", names, new_notebook(), task.report, course.secret)
