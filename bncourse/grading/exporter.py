"""nbgrader's way to read a hand-in, made tolerant: no file can stop the batch or go without grade.

Switch it on with ``c.Autograde.exporter_class``.
"""

import datetime
import os
from pathlib import Path

import nbformat
from nbconvert.exporters import NotebookExporter

from bncourse.grading.hand_in import odd_paths, read_hand_in
from bncourse.limits import limits_of

# In the metadata of the notebook: what the grader knows about the hand-in.
MARK = "bncourse"


class TolerantExporter(NotebookExporter):
    """Reads what a student handed in as a notebook with exactly the cells of the release."""

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
        folder = path.parent
        for each, reason in odd_paths(folder, releases).items():
            # The hook removes them; if it could not, their copies must not reach the feedback.
            raise PermissionError(f"{each} {reason}. Remove it and grade again.")
        found = read_hand_in(folder, path.name, releases, limits_of(self.config))
        nb, mark = found.notebook, {"flags": found.flags}
        if nb is None:
            self.log.warning("%s is %s: %s", path, found.word, found.reason)
            nb, mark = releases[path.name], mark | {"word": found.word, "reason": found.reason}
        nb.metadata[MARK] = mark
        return nb

    def _releases(self, names):
        course = self.parent.coursedir
        folder = Path(course.format_path(course.release_directory, ".", names["assignment"]))
        releases = read_releases(folder)
        if f"{names['notebook']}.ipynb" not in releases:
            raise FileNotFoundError(
                f"{folder / names['notebook']}.ipynb is missing. Release the problem set again."
            )
        return releases


def read_releases(folder):
    """Return ``{file name: released notebook}`` of a folder."""
    paths = sorted(Path(folder).glob("*.ipynb"))
    return {path.name: nbformat.read(path, as_version=4) for path in paths}
