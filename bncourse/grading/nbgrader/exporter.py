"""nbgrader's way to read a hand-in, made tolerant: no file can stop the batch or go without grade.

Switch it on with ``c.Autograde.exporter_class``.
"""

import datetime
import functools
import os
from dataclasses import replace
from pathlib import Path

from nbconvert.exporters import NotebookExporter

from bncourse.course import read_releases
from bncourse.grading.intake.odd import odd_paths
from bncourse.grading.nbgrader.one_writer import only_writer
from bncourse.grading.work import read, records_of, setting_of


class TolerantExporter(NotebookExporter):
    """Reads what a student handed in as a notebook with exactly the cells of the release.

    nbgrader converts each notebook twice, with one exporter: to sanitise it, and to grade it.

    Attributes:
        work: the Work that the first pass has read, for the second.
    """

    work = None

    def __init__(self, **options):
        super().__init__(**options)
        # An exporter is made where a run begins, and nbgrader has no hook around all of it. Two
        # runs at once would move folders away from under each other.
        convert = self.parent.convert_notebooks
        self.parent.convert_notebooks = functools.partial(self._alone, convert)

    def _alone(self, convert):
        with only_writer(records_of(self.config), self.log.warning):
            convert()

    def from_filename(self, filename, resources=None, **options):
        """Convert a notebook file; nbgrader calls this to sanitise it and again to grade it."""
        if not self.parent._sanitizing:
            return super().from_filename(filename, resources=resources, **options)
        nb = self._read(Path(filename), resources["nbgrader"])
        resources["metadata"] = {
            "name": Path(filename).stem,
            "path": os.path.dirname(filename),
            "modified_date": datetime.date.today().isoformat(),
        }
        return self.from_notebook_node(nb, resources=resources, **options)

    def _read(self, path, names):
        releases = self._releases(names)
        for each, reason in odd_paths(path.parent, releases).items():
            # The hook removes them; if it could not, their copies must not reach the feedback.
            raise PermissionError(f"{each} {reason}. Remove it and grade again.")
        known = getattr(self.parent, "works", {}).get((names["student"], path.name))
        if known:
            # Its report lacks what the cells show; the store has it.
            self.work = replace(known, report=None if known.key else known.report)
        else:
            setting = setting_of(self.config, names["assignment"])
            self.work = read(path.parent, names["student"], path.name, releases, setting)
        if self.work.word:
            self.log.warning("%s is %s: %s", path, self.work.word, self.work.reason)
        return self.work.cells() or releases[path.name]

    def _releases(self, names):
        course = self.parent.coursedir
        folder = Path(course.format_path(course.release_directory, ".", names["assignment"]))
        releases = read_releases(folder)
        if f"{names['notebook']}.ipynb" not in releases:
            raise FileNotFoundError(
                f"{folder / names['notebook']}.ipynb is missing. Release the problem set again."
            )
        return releases
