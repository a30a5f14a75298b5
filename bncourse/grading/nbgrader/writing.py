"""Write the verdicts on a class into nbgrader's gradebook: one writer, nbgrader's own autograde.

The verdicts are on disk before the first grade is written, so a crash, a locked database or a full
disk loses nothing: a second run writes what is missing.
"""

import contextlib
import time
import warnings
from pathlib import Path

from nbformat.v4 import new_notebook
from nbgrader import api
from nbgrader.converters import Autograde
from nbgrader.converters.base import NbGraderException
from sqlalchemy.exc import DatabaseError, SAWarning

from bncourse.course import scripts_on_path
from bncourse.errors import Locked
from bncourse.grading.nbgrader.gradebook import opened, unusable
from bncourse.grading.nbgrader.one_writer import only_writer
from bncourse.grading.record.journal import JOURNAL, record


def write_grades(course, tasks, say=print):
    """Have nbgrader autograde the class with the stored verdicts.

    Args:
        course: the Course.
        tasks: with their reports; a student without a report keeps the grades of before.
        say: receives lines of progress.

    Returns:
        ``{student: reason}`` for those whose grades could not be written.

    Raises:
        Mistake: the gradebook cannot be used at all.
    """
    graded = [task for task in tasks if task.report is not None]
    students = sorted({task.student for task in graded})
    # nbgrader skips a hand-in without any notebook; one of several it counts as zero itself.
    gone = {*students} - {task.student for task in graded if not task.is_missing}
    failed, start = {}, time.monotonic()
    with only_writer(course.records, say), scripts_on_path(), _one_engine(course), _quiet():
        for done, student in enumerate(students, 1):
            try:
                if student in gone:
                    _write_missing(course, [task for task in graded if task.student == student])
                else:
                    _autograde(course, student, graded)
            except (Locked, OSError) as reason:
                # It would be the same for everybody else, a minute later each.
                return failed | dict.fromkeys(students[done - 1 :], str(reason))
            except NbGraderException as reason:
                failed[student] = f"nbgrader could not write the grades. {reason}"
            left = (time.monotonic() - start) / done * (len(students) - done)
            say(f"written {done}/{len(students)} {student}, about {left:.0f} s left")
    return failed


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


def _autograde(course, student, tasks):
    course.directory.student_id = student
    config = course.config.copy()
    config.TrustedExecute.reuse = True
    converter = Autograde(coursedir=course.directory, config=config)
    converter.force = True
    # Read already: see ``TolerantExporter``.
    converter.works = {(task.student, task.notebook): task for task in tasks}
    try:
        converter.start()
    except (DatabaseError, NbGraderException) as error:
        raise unusable(error) from None


def _write_missing(course, tasks):
    """Give no points to the student of these tasks, whose hand-in holds no notebook."""
    student = tasks[0].student
    with opened(course) as book:
        book.update_or_create_student(student)
        submission = book.update_or_create_submission(course.problem_set, student)
        for notebook in submission.notebooks:
            notebook.flagged, notebook.late_submission_penalty = True, None
            for each in notebook.grades:
                each.auto_score, each.needs_manual_grade = 0, False
        book.db.commit()
    for task in tasks:
        names = {"assignment": course.problem_set, "student": student}
        names["notebook"] = Path(task.notebook).stem
        record(course.records / JOURNAL, names, new_notebook(), task.report, course.setting.secret)
