"""Where the commands print their tables."""

import os
import sys

from rich.console import Console

_WIDE = 110


def make_console():
    """Return a Console; where the output goes to a file, its rows are wide unless COLUMNS says."""
    narrow = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if narrow else _WIDE, highlight=False)
