"""A student's wish that a human looks again: a cell that begins with *Regrade request:*."""

import re

from bncourse.grading.outcome import plain

# How a flag on one begins.
REQUEST = "regrade request: "

# As a heading, in bold or plain.
_BEGINNING = re.compile(r"[\s#*_>]*regrade request\b[\s*_:.]*", re.IGNORECASE)
# Of a comment in code, at the beginning of its lines.
_MARK = re.compile(r"^[ \t]*#+", re.MULTILINE)
_LONGEST = 400


def requests(cells):
    """Return a flag for each regrade request among the cells of a hand-in.

    Args:
        cells: the Cells that were handed in; one of the release asks for nothing.
    """
    # In whatever kind of cell: a new one is of code until its student changes that.
    own = (each.source for each in cells if not each.grade_id)
    found = ((text, _BEGINNING.match(text)) for text in own)
    asked = (_sentence(text[begins.end() :]) for text, begins in found if begins)
    # Asked twice is asked once.
    return [f"{REQUEST}{text}" for text in dict.fromkeys(filter(None, asked))]


def is_request(text):
    r"""Return whether a text asks that a human looks again.

    >>> is_request("## Regrade request\n\nplease"), is_request("A regrade request: no")
    (True, False)
    """
    return _BEGINNING.match(text) is not None


def _sentence(text):
    r"""Return a text as one line that fits into a table.

    >>> _sentence("my mean\n is right.")
    'my mean is right.'
    """
    # Cut first: what follows may be a mebibyte.
    line = " ".join(plain(_MARK.sub("", text[: 4 * _LONGEST])).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
