"""What a page of feedback was made from, so that a page which tells old points is found.

nbgrader compares the times of hand-ins, and neither a regrade nor points by hand change those. Here
each page carries a hash of what it shows; when the gradebook or the graded notebook says something
else, the page is due.
"""

import hashlib
import json
import os
import re
from pathlib import Path

from nbgrader.api import MissingEntry

# The last line of a page: of one that is cut short, by a full disk or a crash, nothing is believed.
_MARK = re.compile(rb"<!-- bncourse-basis (\w+) -->\n\Z")
_LONGEST_MARK = 100


def basis_of(book, assignment, student, graded):
    """Return the hash of all that a page of feedback shows, or None where there are no points.

    Args:
        book: the Gradebook.
        assignment, student: whose page it is.
        graded: the path of the autograded notebook.
    """
    graded = Path(graded)
    try:
        notebook = book.find_submission_notebook(graded.stem, assignment, student)
    except MissingEntry:
        return None
    shown = {
        "penalty": notebook.late_submission_penalty or 0.0,
        "points": sorted((each.name, each.score, each.max_score) for each in notebook.grades),
        "waiting": sorted(each.name for each in notebook.grades if is_waiting(each)),
        "comments": sorted((each.name, each.comment or "") for each in notebook.comments),
        "notebook": hashlib.sha256(graded.read_bytes()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:32]


def is_waiting(grade):
    """Return whether a human has still to grade something, and has given no points so far."""
    return bool(grade.needs_manual_grade) and grade.manual_score is None


def stamped(page, basis):
    """Return a page of HTML that says what it was made from, at its end."""
    return f"{page.rstrip()}\n<!-- bncourse-basis {basis} -->\n"


def stamp_of(path):
    """Return what a page says that it was made from, or None."""
    with Path(path).open("rb") as page:
        page.seek(max(0, page.seek(0, os.SEEK_END) - _LONGEST_MARK))
        found = _MARK.search(page.read())
    return found and found[1].decode()


def is_due(book, assignment, student, graded, page):
    """Return whether a page is missing, or tells something else than the gradebook does."""
    page = Path(page)
    return not page.exists() or stamp_of(page) != basis_of(book, assignment, student, graded)
