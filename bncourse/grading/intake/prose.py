"""Whether a cell of code holds words: a written answer in the wrong kind of cell."""

import keyword
import re

from bncourse.grading.intake.request import is_request

# A cell that shows text, or only holds it as a string.
_SHOWN = re.compile(
    r"%%(?:markdown|latex|html)\b|(?:print\()?[rfbu]{0,2}([\"']).*\1\)?;?$", re.DOTALL
)
_STRING = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|#.*")
# What parts the words of a sentence from each other; the words of Python do, as it has no three
# others in a row.
_BETWEEN = re.compile(rf"\b(?:{'|'.join(keyword.kwlist)})\b|[^\w\s]|\d+")
_LEAST = 3


def is_prose(cell):
    """Return whether a cell of code holds text: comments only, one string, or a sentence."""
    text = cell.source.strip()
    if cell.cell_type != "code" or not text or is_request(text):
        return False
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    only_comments = all(line[0] == "#" for line in lines)
    return only_comments or bool(_SHOWN.match(text)) or any(map(_is_sentence, lines))


def _is_sentence(line):
    """Return whether no Python reads a line, since it is in words.

    >>> _is_sentence("The mean takes it away."), _is_sentence("y = [x for x in y if x is not None]")
    (True, False)
    """
    if line[0] in "#%!":
        return False
    runs = _BETWEEN.split(_STRING.sub("(", line))
    return any(len(run.split()) >= _LEAST for run in runs)
