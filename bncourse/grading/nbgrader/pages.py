"""nbgrader's way to write feedback, made to notice which pages are no longer true.

Switch it on with ``c.GenerateFeedback.exporter_class``: then ``nbgrader generate_feedback``, the
button of the formgrader and the API all replace a page whose points have changed. The template
stands in ``page/``.
"""

import re
from pathlib import Path

from nbconvert.exporters import HTMLExporter
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import GenerateFeedback
from nbgrader.utils import rmtree

from bncourse.course import scripts_on_path
from bncourse.grading.nbgrader.basis import basis_of, is_due, is_waiting, stamped
from bncourse.grading.nbgrader.penalties import refresh
from bncourse.grading.nbgrader.results import colours, readable, results_of


class CurrentPages(HTMLExporter):
    """Writes pages that say what they were made from, and takes away those that are not true.

    nbgrader makes its exporter after it has listed the notebooks, and before it asks whether the
    page of one exists.
    """

    def __init__(self, config=None, **options):
        super().__init__(config=config, **options)
        for each in (colours, readable, results_of):
            self.register_filter(each.__name__, each)
        if isinstance(self.parent, GenerateFeedback):
            with scripts_on_path(), _book(self.parent) as book:
                for graded in unknown_folders(self.parent, book):
                    self.log.warning("No page is made, the gradebook does not know it: %s", graded)
                    del self.parent.assignments[graded]
                refresh(book, self.config, self.parent.coursedir.assignment_id)
                for folder in due_folders(self.parent, book):
                    self.log.info("No longer true, made anew: %s", folder)
                    rmtree(str(folder))

    def from_filename(self, filename, resources=None, **options):
        """Convert a graded notebook, and stamp the page."""
        names = (resources or {}).get("nbgrader")
        if not names:
            return super().from_filename(filename, resources=resources, **options)
        with Gradebook(names["db_url"]) as book:
            of = names["assignment"], names["student"]
            basis = basis_of(book, *of, filename)
            names["waiting"] = waiting(book, *of, names["notebook"])
        page, resources = super().from_filename(filename, resources=resources, **options)
        return stamped(page, basis), resources


def waiting(book, assignment, student, notebook):
    """Return the names of what a human has still to grade, and has given no points so far."""
    grades = book.find_submission_notebook(notebook, assignment, student).grades
    return [each.name for each in grades if is_waiting(each)]


def due_folders(converter, book):
    """Return the folders of feedback in which a page is not true any more.

    Args:
        converter: nbgrader's GenerateFeedback, after it has listed the notebooks.
        book: the Gradebook.
    """
    root = Path(converter.coursedir.root)
    found = []
    for graded, notebooks in converter.assignments.items():
        names = _names(converter, graded)
        folder = root / converter._format_dest(names["assignment"], names["student"])
        pages = {root / each: folder / f"{Path(each).stem}.html" for each in notebooks}
        if folder.exists() and any(
            is_due(book, names["assignment"], names["student"], notebook, page)
            for notebook, page in pages.items()
        ):
            found.append(folder)
    return found


def unknown_folders(converter, book):
    """Return the graded folders of whom the gradebook does not know, such as who has withdrawn.

    nbgrader would end with an error, and hand back no page to the others.

    Args:
        converter, book: as of ``due_folders``.
    """
    found = []
    for graded in converter.assignments:
        names = _names(converter, graded)
        try:
            book.find_submission(names["assignment"], names["student"])
        except MissingEntry:
            found.append(graded)
    return found


def _names(converter, graded):
    pattern = converter._format_source("(?P<assignment>.*)", "(?P<student>.*)", escape=True)
    return re.match(pattern, graded).groupdict()


def _book(converter):
    return Gradebook(converter.coursedir.db_url, converter.coursedir.course_id)
