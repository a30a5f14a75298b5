"""Make the graded folder of a hand-in, and what belongs into the gradebook, without the gradebook.

nbgrader's own preprocessors decide both. A draft stands beside its place, and many processes may
make them: the one writer exchanges the folders after it has written the rows.
"""

import copy
import json
import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

from nbformat.v4 import new_notebook, writes
from nbgrader.api import MissingEntry
from nbgrader.converters import Autograde
from nbgrader.converters.base import BaseConverter
from nbgrader.preprocessors import OverwriteCells, SaveAutoGrades
from nbgrader.utils import find_all_files

from bncourse.course import read_releases
from bncourse.errors import Infra
from bncourse.grading.intake.odd import odd_paths
from bncourse.grading.nbgrader.execute import show_verdict
from bncourse.grading.record.journal import line_of
from bncourse.grading.work import GradedCourse


@dataclass(frozen=True)
class Filled:
    """What belongs into the gradebook about one notebook.

    Args:
        grades: ``{cell: (automatic points or None, whether a human has to look)}``.
        comments: ``{cell: text or None}``.
        look: whether nbgrader's flag is to be raised.
    """

    grades: dict
    comments: dict
    look: bool


@dataclass(frozen=True)
class Folder:
    """Where a graded folder waits, and where it belongs."""

    draft: Path
    place: Path


@dataclass(frozen=True)
class Draft:
    """A hand-in that is ready to be written.

    Args:
        student: whose it is.
        folder: the Folder; None where nothing of the release was handed in.
        timestamp: when it came, or None.
        notebooks: ``{name: Filled}``.
        lines: of the journal.
        problem: why there is no draft.
    """

    student: str
    folder: Folder | None = None
    timestamp: object = None
    notebooks: dict = field(default_factory=dict)
    lines: tuple = ()
    problem: str = ""


class Drafter:
    """Makes the Drafts of a course, in this process or in others.

    Args:
        course: the GradedCourse.
        notebooks: ``{name: Cells}``; see ``rows``.
    """

    def __init__(self, course, notebooks):
        self._course, self._notebooks = course, notebooks
        folder = course.folder(course.directory.release_directory, ".")
        self._releases = read_releases(folder)
        self._files = _Files(coursedir=course.directory, config=course.config)
        self._overwrite = OverwriteCells(config=course.config)
        self._save = SaveAutoGrades(config=course.config)

    def __reduce__(self):
        # A configuration may hold what cannot be pickled: each process reads its own.
        course = self._course
        which = (course.root, course.problem_set, course.unsafe, course.gpu)
        return _drafter, (which, self._notebooks)

    def __call__(self, works):
        """Return the Draft on one student.

        Args:
            works: on each notebook of the release, with their reports.
        """
        student = works[0].student
        try:
            if all(work.is_missing for work in works):
                lines = [self._line(work, new_notebook(), work.report) for work in works]
                return Draft(student, lines=tuple(lines))
            return self._draft(student, works)
        except Exception as error:
            # One hand-in must not stop the others.
            return Draft(student, problem=f"{type(error).__name__}: {error}")

    def _draft(self, student, works):
        folder, handed_in = self._files.begin(self._course, student, self._releases)
        filled, lines = {}, []
        for work in works:
            notebook = work.cells() or copy.deepcopy(self._releases[work.notebook])
            name = Path(work.notebook).stem
            seen = _Seen(self._notebooks[name])
            self._as_released(notebook, seen)
            report = show_verdict(notebook, self._with_report(work))
            filled[name] = self._filled(notebook, seen, report.needs_a_look)
            lines.append(self._line(work, notebook, report))
            (folder.draft / work.notebook).write_text(f"{writes(notebook)}\n", encoding="utf-8")
        self._files.set_permissions(self._course.problem_set, student)
        timestamp = self._course.directory.get_existing_timestamp(str(handed_in))
        return Draft(student, folder, timestamp, filled, tuple(lines))

    def _with_report(self, work):
        """Return a Work whose report has what the cells show; the batch keeps none of that."""
        report = self._course.store.get(work.key) if work.key else work.report
        if report is None:
            raise Infra("The verdict is no longer there.")
        return replace(work, report=report)

    def _as_released(self, notebook, seen):
        kernelspec = seen.cells.kernelspec
        if kernelspec and json.loads(kernelspec):
            notebook.metadata["kernelspec"] = json.loads(kernelspec)
        _run(self._overwrite, notebook, seen)

    def _filled(self, notebook, seen, look):
        _run(self._save, notebook, seen)
        grades = {n: (each.auto_score, each.needs_manual_grade) for n, each in seen.grades.items()}
        return Filled(grades, {n: each.auto_comment for n, each in seen.comments.items()}, look)

    def _line(self, work, notebook, report):
        names = {"assignment": self._course.problem_set, "student": work.student}
        names["notebook"] = Path(work.notebook).stem
        return line_of(names, notebook, report, self._course.setting.secret)


_drafters = {}


def _drafter(which, notebooks):
    """Return the Drafter of this process, which lives for one class."""
    if which not in _drafters:
        _drafters[which] = Drafter(GradedCourse(*which), notebooks)
    return _drafters[which]


def _run(preprocessor, notebook, seen):
    """Have one of nbgrader's preprocessors treat each cell, with a gradebook that is none."""
    preprocessor.gradebook = seen
    preprocessor.notebook_id = preprocessor.assignment_id = preprocessor.student_id = None
    for number, cell in enumerate(notebook.cells):
        notebook.cells[number], _ = preprocessor.preprocess_cell(cell, {}, number)


class _Seen:
    """What nbgrader's preprocessors ask a gradebook on one notebook, and what they would write.

    Args:
        cells: the Cells of the notebook.
    """

    def __init__(self, cells):
        self.cells, self.grades, self.comments = cells, {}, {}
        self.db = SimpleNamespace(commit=lambda: None)

    def find_source_cell(self, name, notebook, assignment):
        """Return the cell as it was released."""
        return _known(self.cells.sources, name)

    def find_graded_cell(self, name, notebook, assignment):
        """Return the cell with the most points that it gives."""
        return SimpleNamespace(max_score=_known(self.cells.points, name))

    def find_grade(self, name, notebook, assignment, student):
        """Return what takes the points; whether a human gave others is known when they are kept."""
        _known(self.cells.graded, name)
        return self.grades.setdefault(name, SimpleNamespace(manual_score=None))

    def find_comment(self, name, notebook, assignment, student):
        """Return what takes the comment."""
        _known(self.cells.commented, name)
        return self.comments.setdefault(name, SimpleNamespace())


def _known(things, name):
    try:
        return things[name]
    except KeyError:
        raise MissingEntry(f"No such cell: {name}") from None


class _Files(Autograde):
    """nbgrader's Autograde, which makes a folder beside its place and asks no gradebook."""

    def _format_dest(self, assignment_id, student_id, escape=False):
        place = Path(super()._format_dest(assignment_id, student_id, escape))
        return str(draft_beside(place))

    def begin(self, course, student, releases):
        """Make the draft of a folder with all but its notebooks.

        Args:
            course: the GradedCourse.
            student: whose it is.
            releases: ``{file name: released notebook}``.

        Returns:
            the Folder, and the path of the hand-in.
        """
        problem_set, directory = course.problem_set, course.directory
        handed_in = course.folder(directory.submitted_directory, student)
        place = course.folder(directory.autograded_directory, student)
        draft = draft_beside(place)
        remove(draft)
        directory.student_id = student
        self.notebooks = [str(handed_in / name) for name in releases]
        self.run_pre_convert_hook()
        if odd_paths(handed_in, releases):
            # It could not be moved away, and a copy must not reach the feedback.
            raise PermissionError("Something odd in the hand-in is still there.")
        draft.mkdir(parents=True, mode=0o755)
        BaseConverter.init_assignment(self, problem_set, student)
        self._copy_sources(course, draft)
        return Folder(draft, place), handed_in

    def _copy_sources(self, course, draft):
        """Put the files of the instructor into a draft, in the place of the student's."""
        source = str(course.folder(course.directory.source_directory, "."))
        own = self.exclude_overwriting.get(course.problem_set, ())
        kept = {os.path.join(source, each) for each in own}
        for path in find_all_files(source, [*self.coursedir.ignore, "*.ipynb"]):
            if path not in kept:
                target = draft / os.path.relpath(path, source)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                shutil.copy(path, target)


def draft_beside(place):
    """Return where the draft of a folder stands: nbgrader looks at no hidden name.

    >>> draft_beside(Path("autograded/ada/ps1")).as_posix()
    'autograded/ada/.ps1.draft'
    """
    return place.with_name(f".{place.name}.draft")


def remove(folder):
    """Take a folder away, if it is there."""
    if folder.exists():
        shutil.rmtree(folder)
