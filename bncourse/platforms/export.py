"""Export grades: nbgrader's own table, and those that Canvas and Moodle import.

Each brings the late penalties up to date first, so that points by hand are not left out of them.

::

    nbgrader export --exporter=bncourse.platforms.export.CanvasExport --to grades-canvas.csv
    nbgrader export --exporter=bncourse.platforms.export.MoodleExport --to grades-moodle.csv
"""

import contextlib
import csv

from nbgrader.plugins import CsvExportPlugin, ExportPlugin
from traitlets import Bool, Dict, Enum, Unicode

from bncourse.grading.nbgrader.penalties import refresh
from bncourse.whole import whole_file

# A spreadsheet takes a cell that begins with one of these for a formula; the last four are the
# wide forms of the same signs.
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")

_SAID = "Exporting grades to %s"


class PlainExport(CsvExportPlugin):
    """nbgrader's own table, with the penalties that are due now."""

    def export(self, gradebook):
        """Write the table."""
        refresh_all(self, gradebook)
        told, path = self.to, self.to or "grades.csv"
        self.log.info(_SAID, path)
        with whole_file(path) as half, _unsaid(self.log):
            self.to = str(half)
            try:
                super().export(gradebook)
            finally:
                self.to = told


@contextlib.contextmanager
def _unsaid(log):
    """Leave out where nbgrader writes: what it writes there is put into its place when whole."""

    def is_shown(record):
        return record.msg != _SAID

    log.addFilter(is_shown)
    try:
        yield
    finally:
        log.removeFilter(is_shown)


class WideExport(ExportPlugin):
    """One row per student, one column per assignment; subclasses know a platform."""

    titles = Dict(
        help="{assignment: its column on the platform}, such as 'Problem set 1 (98765)' on Canvas."
    ).tag(config=True)
    unfinished = Bool(
        False, help="Whether to export points although an answer still waits for a human."
    ).tag(config=True)
    missing = Unicode(help="What stands where nothing was handed in: nothing, or 0.").tag(
        config=True
    )

    file_name = "grades-wide.csv"

    def export(self, gradebook):
        """Write the table.

        Args:
            gradebook: nbgrader's Gradebook.
        """
        refresh_all(self, gradebook)
        assignments = [each for each in gradebook.assignments if _asked(self.assignment, each.name)]
        students = [each for each in gradebook.students if _asked(self.student, each.id)]
        scores = {each.name: self._scores(gradebook, each.name) for each in assignments}
        path = self.to or self.file_name
        self.log.info(_SAID, path)
        with (
            whole_file(path) as half,
            open(half, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file)
            writer.writerows(self.head(assignments))
            for student in sorted(students, key=lambda each: each.id):
                who = self.identity(student)
                if who is None:
                    self.log.warning("%s is left out: no %s is known", student.id, self.key)
                    continue
                points = [scores[a.name].get(student.id, self.missing) for a in assignments]
                writer.writerow([*map(text, who), *points])

    def title(self, assignment):
        """Return the head of a column."""
        return text(self.titles.get(assignment.name, assignment.name))

    def _scores(self, gradebook, assignment):
        """Return ``{student: points}``; nothing where a human has not finished."""
        scores = {}
        for submission in gradebook.assignment_submissions(assignment):
            name = submission.student.id
            scores[name] = points(submission)
            unfinished = submission.needs_manual_grade and not self.unfinished
            if unfinished or not is_graded(submission):
                self.log.warning("%s of %s is left empty: it is not all graded", assignment, name)
                scores[name] = ""
        return scores


class CanvasExport(WideExport):
    """The table that Canvas imports under Grades, Import."""

    student_is = Enum(
        ("SIS Login ID", "ID"),
        "SIS Login ID",
        help="Which column of Canvas the id of a student is; the LMS user id of the gradebook is "
        "always the ID.",
    ).tag(config=True)

    file_name = "grades-canvas.csv"

    def head(self, assignments):
        """Return the header, and the row with the points that can be had."""
        return [
            ["Student", "ID", "SIS Login ID", "Section", *map(self.title, assignments)],
            ["    Points Possible", "", "", "", *(number(each.max_score) for each in assignments)],
        ]

    def identity(self, student):
        """Return name, number, login and section; Canvas needs the number or the login."""
        name = ", ".join(filter(None, [student.last_name, student.first_name])) or student.id
        login, known = student.id, student.lms_user_id or ""
        if self.student_is == "ID":
            login, known = "", student.id
        return [name, known, login, ""]


class MoodleExport(WideExport):
    """The table that Moodle imports under Grades, Import, CSV file."""

    key = Enum(
        ("Username", "ID number", "Email address"),
        "Username",
        help="What identifies a student; map it to the user in Moodle's form. The id of a student "
        "is the username or the ID number, whichever you say.",
    ).tag(config=True)

    file_name = "grades-moodle.csv"

    def head(self, assignments):
        """Return the header."""
        return [[self.key, *map(self.title, assignments)]]

    def identity(self, student):
        """Return what identifies a student, or None: Moodle must never see an empty one."""
        found = student.email if self.key == "Email address" else student.id
        return [found] if found else None


def refresh_all(plugin, gradebook):
    """Bring all late penalties up to date, and say which have changed."""
    for assignment in gradebook.assignments:
        for student, old, new in refresh(gradebook, plugin.config, assignment.name):
            plugin.log.warning(
                "%s of %s: the late penalty is %g now, it was %g",
                assignment.name,
                student,
                new,
                old,
            )


def is_graded(submission):
    """Return whether anything of a submission has points; where grading failed, nothing has."""
    grades = (grade for notebook in submission.notebooks for grade in notebook.grades)
    return any(score is not None for g in grades for score in (g.auto_score, g.manual_score))


def points(submission):
    """Return what nbgrader calls the score: automatic and manual points less the late penalty."""
    return number(max(0.0, submission.score - submission.late_submission_penalty))


def number(value):
    """Return a number with at most two decimals, as Canvas shows them.

    >>> number(7.0), number(7.125), number(1234.5)
    ('7', '7.12', '1234.5')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".")


def text(value):
    """Return text as one cell that no spreadsheet takes for a formula.

    >>> text(" =1+1"), text("O'Brien")
    ("'=1+1", "O'Brien")
    """
    cell = " ".join(value.split())
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _asked(names, name):
    # nbgrader reads [1,2] on the command line as numbers.
    return not names or name in map(str, names)
