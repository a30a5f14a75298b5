"""Who may hand in later than the class: one table in the folder of the course.

nbgrader keeps an extension with the hand-in, so nobody can have one before. Here it stands in
``extensions.csv`` from the day it is given; collecting, penalties and feedback follow it.
"""

import csv
import os
from pathlib import Path

from nbgrader.utils import parse_utc

from bncourse.errors import CourseError
from bncourse.grading.kept import open_kept
from bncourse.whole import whole_file

TABLE = "extensions.csv"
_FLAGS = os.O_WRONLY | os.O_TRUNC
_COLUMNS = ["problem set", "student", "until"]


def utc_of(when):
    """Return a time as nbgrader keeps it: in UTC, without a zone.

    Args:
        when: such as ``2026-11-05 23:59 Europe/Berlin``; without a zone it is UTC.

    Raises:
        CourseError: it is no time.

    >>> utc_of("2026-11-05 23:59 Europe/Berlin")
    datetime.datetime(2026, 11, 5, 22, 59)
    """
    try:
        return parse_utc(when)
    except (ValueError, OverflowError):
        raise CourseError(
            "A deadline must be a date and a time, such as '2026-11-05 23:59 Europe/Berlin'. "
            f"Received: {when!r}"
        ) from None


def extensions_of(config, problem_set):
    """Return ``{student: until when, in UTC}``.

    Args:
        config: the traitlets Config of the course.
        problem_set: the assignment.

    Raises:
        CourseError: the table cannot be read.
    """
    rows = _read(config.DuePenalty.get("extensions", TABLE))
    return {row[1]: utc_of(row[2]) for row in rows if row[0] == problem_set}


def give(path, problem_set, student, until):
    """Write an extension into the table, in the place of an earlier one.

    Args:
        path: of the table.
        problem_set: the assignment.
        student: the id.
        until: a text that ``utc_of`` reads, or None to take the extension away.
    """
    rows = [row for row in _read(path) if tuple(row[:2]) != (problem_set, student)]
    if until is not None:
        rows.append([problem_set, student, until])
    with (
        whole_file(path) as half,
        open(open_kept(half, _FLAGS), "w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows([_COLUMNS, *sorted(rows)])


def _read(path):
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return []
    head, *rows = list(csv.reader(text.splitlines())) or [_COLUMNS]
    if head != _COLUMNS or any(len(row) != len(_COLUMNS) for row in rows if row):
        raise CourseError(f"The columns of {path} must be {', '.join(_COLUMNS)}.")
    return [row for row in rows if row]


def deadline_of(submission, extensions):
    """Return when a hand-in was due, or None where the class has no deadline.

    Args:
        submission: nbgrader's SubmittedAssignment.
        extensions: as ``extensions_of``.
    """
    given = extensions.get(submission.student.id)
    return deadline(submission.assignment.duedate, submission.extension, given)


def deadline(due, kept, given):
    """Return when a hand-in was due, or None where the class has no deadline.

    Args:
        due: the deadline of the class, or None.
        kept: the extension that nbgrader keeps, or None.
        given: until when the table of extensions says, or None: then what is kept counts.

    >>> import datetime
    >>> due, hour = datetime.datetime(2026, 11, 5, 12), datetime.timedelta(hours=1)
    >>> told(deadline(due, hour, None)), told(deadline(due, hour, due + 2 * hour))
    ('2026-11-05 13:00 UTC', '2026-11-05 14:00 UTC')
    """
    if due is None:
        return None
    return given or (due if kept is None else due + kept)


def extension(due, kept, given):
    """Return the extension that nbgrader is to keep, or None; arguments as of ``deadline``."""
    until = deadline(due, kept, given)
    if until == deadline(due, kept, None):
        return kept
    return until - due or None


def apply(submission, extensions):
    """Have nbgrader keep the extension of a hand-in; the caller commits."""
    given = extensions.get(submission.student.id)
    submission.extension = extension(submission.assignment.duedate, submission.extension, given)


def told(when):
    """Return a time in UTC as a person reads it.

    >>> import datetime
    >>> told(datetime.datetime(2026, 11, 5, 22, 59))
    '2026-11-05 22:59 UTC'
    """
    return f"{when:%Y-%m-%d %H:%M} UTC"
