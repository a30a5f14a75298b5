"""Where the commands print their tables, and what of a student's text may stand in them."""

import os
import sys

from rich.console import Console
from rich.text import Text

_WIDE = 110


def make_console():
    """Return a Console; where the output goes to a file, its rows are wide unless COLUMNS says."""
    narrow = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if narrow else _WIDE, highlight=False)


def printable(text):
    """Return what a student wrote without what a terminal would obey."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def safe(text):
    """Return what a student wrote without what a terminal, or rich, would obey."""
    return Text(printable(text))
