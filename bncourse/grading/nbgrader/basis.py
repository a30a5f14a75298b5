"""What a page of feedback was made from, so that a page which tells old points is found.

nbgrader compares the times of hand-ins, and neither a regrade nor points by hand change those. Here
each page carries a hash of what it shows; when the gradebook or the graded notebook says something
else, the page is due.
"""

import hashlib
import json
import re
from pathlib import Path

from nbgrader.api import MissingEntry

_MARK = re.compile(r'<meta name="bncourse-basis" content="(\w+)">')
_LONGEST_HEAD = 4096


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
    """Return a page of HTML that says what it was made from."""
    return page.replace("<head>", f'<head><meta name="bncourse-basis" content="{basis}">', 1)


def stamp_of(path):
    """Return what a page says that it was made from, or None."""
    with Path(path).open(encoding="utf-8", errors="replace") as page:
        found = _MARK.search(page.read(_LONGEST_HEAD))
    return found and found[1]


def is_due(book, assignment, student, graded, page):
    """Return whether a page is missing, or tells something else than the gradebook does."""
    page = Path(page)
    return not page.exists() or stamp_of(page) != basis_of(book, assignment, student, graded)
