"""Write the verdicts on a class into nbgrader's gradebook, a hundred students in a transaction.

What is written is what nbgrader's own autograde writes, row for row, and so are the folders; see
``drafts`` and ``rows``. A course that has changed nbgrader's steps, and a hand-in of which no draft
can be made, go through nbgrader itself, one after the other.

The verdicts are on disk before the first grade is written. Killed anywhere, a second run writes
what is missing: a graded folder goes before its rows change, and comes back after they are in the
gradebook. So where it stands, all is written.
"""

import contextlib
import logging
import sys
import time
import warnings
from dataclasses import replace

from nbgrader import api
from nbgrader.converters import Autograde
from nbgrader.converters.base import NbGraderException
from sqlalchemy.exc import DatabaseError, SAWarning

from bncourse.course import scripts_on_path
from bncourse.errors import Infra, Locked
from bncourse.grading.nbgrader import rows
from bncourse.grading.nbgrader.config import is_as_configured
from bncourse.grading.nbgrader.drafts import Drafter, draft_beside, remove
from bncourse.grading.nbgrader.extensions import deadline, extension
from bncourse.grading.nbgrader.gradebook import opened, unusable
from bncourse.grading.nbgrader.one_writer import only_writer
from bncourse.grading.nbgrader.penalties import Policy
from bncourse.grading.record.journal import JOURNAL, append
from bncourse.grading.side_by_side import side_by_side


def write_grades(course, tasks, say=print, processes=1):
    """Write the points of a class, and its graded notebooks.

    Args:
        course: the GradedCourse.
        tasks: with their reports; a student without a report keeps the grades of before.
        say: receives lines of progress.
        processes: how many make notebooks side by side.

    Returns:
        ``{student: reason}`` for those whose grades could not be written.

    Raises:
        CourseError: the gradebook cannot be used at all.
    """
    works = {}
    for task in tasks:
        if task.report is not None:
            works.setdefault(task.student, []).append(task)
    if not works:
        return {}
    run = _Run(course, dict(sorted(works.items())), say)
    with only_writer(course.records, say), scripts_on_path(), _one_engine(course), _quiet():
        try:
            run.write(processes)
        except (Locked, Infra, OSError) as reason:
            # It would be the same for everybody else, a minute later each.
            return run.failed | dict.fromkeys(run.left, str(reason))
    return run.failed


class _Run:
    """One writing of a class.

    Attributes:
        left: those who are not written yet, in order.
        failed: ``{student: reason}``.
    """

    def __init__(self, course, works, say):
        self._course, self._works, self._say = course, works, say
        self._start = time.monotonic()
        self.left, self.failed = dict.fromkeys(works), {}

    def write(self, processes):
        """Write everybody."""
        course = self._course
        with opened(course) as book:
            with book.engine.connect() as connection:
                assigned = rows.assigned(connection, course.problem_set)
            if assigned:
                policy = Policy(course.config, course.problem_set)
                drafter = Drafter(course, assigned.notebooks)
                drafts = side_by_side(drafter, self._ready(assigned), processes)
                for some in rows.in_parts(drafts, rows.AT_ONCE):
                    self._write_some(book.engine, assigned, policy, some)
        # What is left is for nbgrader, which opens the gradebook itself.
        for student in [*self.left]:
            self._write_alone(student)

    def _ready(self, assigned):
        """Return the Works of each student who may be written together with others."""
        every = {f"{name}.ipynb" for name in assigned.notebooks}
        plain = is_as_configured(self._course.config)
        return [
            # What has run already need not travel.
            [replace(work, script=None) for work in works]
            for works in self._works.values()
            if {work.notebook for work in works} == every
            and (plain or all(work.is_missing for work in works))
        ]

    def _write_some(self, engine, assigned, policy, drafts):
        drafts = [draft for draft in drafts if not draft.problem]
        with _transaction(engine) as connection:
            good = _write_rows(connection, assigned, policy, drafts)
            append(self._course.records / JOURNAL, [line for each in good for line in each.lines])
            for draft in good:
                if draft.folder:
                    # Before the rows change: a folder that stands there tells that all is written.
                    remove(draft.folder.place)
        for draft in good:
            if draft.folder:
                draft.folder.draft.rename(draft.folder.place)
            self._done(draft.student)

    def _write_alone(self, student):
        works = self._works[student]
        autograded = self._course.directory.autograded_directory
        remove(draft_beside(self._course.folder(autograded, student)))
        try:
            _autograde(self._course, student, works)
        except NbGraderException as reason:
            self.failed[student] = f"nbgrader could not write the grades. {reason}"
        self._done(student)

    def _done(self, student):
        del self.left[student]
        done, count = len(self._works) - len(self.left), len(self._works)
        left = (time.monotonic() - self._start) / done * len(self.left)
        self._say(f"written {done}/{count} {student}, about {left:.0f} s left")


@contextlib.contextmanager
def _transaction(engine):
    """Yield a connection; what is read and written there is one step for everybody else."""
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            # Else it locks at the first change only, and what was read is old by then.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection


def _write_rows(connection, assigned, policy, drafts):
    """Write the rows of some Drafts, and return those Drafts for which the gradebook has room."""
    students = [draft.student for draft in drafts]
    found = rows.submissions(connection, assigned, students, to_change=True)
    before = {}
    for submission in found.values():
        before |= rows.changeable(submission)
    new, after, good = [], {}, []
    for draft in drafts:
        submission = found.get(draft.student) or rows.new_submission(assigned, draft.student)
        if not _has_room(submission, draft):
            continue
        _fill(submission, draft, assigned.due, policy)
        good.append(draft)
        if draft.student in found:
            after |= rows.changeable(submission)
        else:
            new.append(submission)
    if new:
        rows.insert_all(connection, assigned, new)
    rows.update_all(connection, before, after)
    return good


def _has_room(submission, draft):
    """Return whether each cell of a Draft has its row: a cell may be younger than a submission."""
    return all(
        name in submission.notebooks
        and filled.grades.keys() <= submission.notebooks[name].grades.keys()
        and filled.comments.keys() <= submission.notebooks[name].comments.keys()
        for name, filled in draft.notebooks.items()
    )


def _fill(submission, draft, due, policy):
    """Put a Draft into the rows of a student, as nbgrader's autograde does."""
    if draft.folder is None:
        # nbgrader skips a hand-in without any notebook.
        for notebook in submission.notebooks.values():
            notebook.flagged, notebook.late_submission_penalty = True, None
            for grade in notebook.grades.values():
                grade.auto_score, grade.needs_manual_grade = 0, False
        return
    given = policy.extensions.get(draft.student)
    submission.timestamp = draft.timestamp or submission.timestamp
    submission.extension = extension(due, submission.extension, given)
    until = deadline(due, submission.extension, given)
    for name, filled in draft.notebooks.items():
        notebook = submission.notebooks[name]
        for cell, (points, look) in filled.grades.items():
            grade = notebook.grades[cell]
            grade.auto_score = points
            # What a human gave counts on, and a human sees that it may be due again.
            grade.needs_manual_grade = look or grade.manual_score is not None
        for cell, text in filled.comments.items():
            notebook.comments[cell].auto_comment = text
        notebook.flagged = notebook.flagged or filled.look
        notebook.late_submission_penalty = policy.penalty(
            draft.student, submission.timestamp, until, notebook.score
        )


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
    cause = _Cause(logging.ERROR)
    converter.log.addHandler(cause)
    try:
        converter.start()
    except (DatabaseError, NbGraderException) as error:
        told = unusable(error)
        if told is error and cause.error:
            raise NbGraderException(str(cause.error)) from None
        raise told from None
    finally:
        converter.log.removeHandler(cause)


class _Cause(logging.Handler):
    """Keeps the exception on which nbgrader writes to its log: whoever called it hears of none."""

    error = None

    def emit(self, record):
        self.error = sys.exc_info()[1] or self.error
