"""nbgrader's way to read a hand-in, made tolerant: no file can stop the batch or go without grade.

Switch it on with ``c.Autograde.exporter_class``.
"""

import datetime
import os
from pathlib import Path

import nbformat
from nbconvert.exporters import NotebookExporter

from bncourse.grading.hand_in import is_plain, read_hand_in
from bncourse.grading.limits import Limits
from bncourse.grading.normalise import Malformed

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
        release = nbformat.read(self._release_path(names), as_version=4)
        links = [each for each in path.parent.rglob("*") if each != path and not is_plain(each)]
        if links:
            # The hook removes them; if it could not, their copies must not reach the feedback.
            raise PermissionError(f"{links[0]} is a link or a device. Remove it and grade again.")
        try:
            nb, flags = read_hand_in(path, release, Limits())
            nb.metadata[MARK] = {"flags": flags}
        except Malformed as reason:
            self.log.warning("%s is malformed: %s", path, reason)
            nb = release
            nb.metadata[MARK] = {"flags": [], "malformed": str(reason)}
        return nb

    def _release_path(self, names):
        course = self.parent.coursedir
        folder = course.format_path(course.release_directory, ".", names["assignment"])
        path = Path(folder, f"{names['notebook']}.ipynb")
        if not path.exists():
            raise FileNotFoundError(
                f"{path} is missing. Run nbgrader generate_assignment {names['assignment']}"
            )
        return path
