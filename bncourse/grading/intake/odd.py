"""What in a hand-in is odd: what nbgrader must not copy, show or read. Nothing here changes a file.

nbgrader copies every file of a hand-in, follows links while it does so, puts the copies into the
student's feedback, and serves them as pages of the formgrader: a link to a file of the instructor's
would hand that file out, and a page with a script would act with the instructor's rights.
"""

import stat
from pathlib import Path

from nbgrader.utils import parse_utc

from bncourse.grading.outcome import plain
from bncourse.limits import MIB

# Only the notebook is graded. Of the rest, what is shown as text or pixels may stay; a page may run
# a script in the browser of who opens it, and weights may run code when they are loaded. So may a
# module: it stands in the way of those that the kernel of who opens the notebook imports.
_HARMLESS = {".csv", ".jpeg", ".jpg", ".md", ".npy", ".png", ".txt"}
_NOTEBOOK = ".ipynb"

# Of all that may stay; a file counts as a block of the disk at least.
_MOST_BYTES = 100 * MIB
_BLOCK = 4096
_LONGEST_NAME = 80

# Of folders in folders; nbgrader recurses into them.
_DEEPEST = 20
_LONGEST_TIMESTAMP = 100

# Left by an editor, git or the system; it goes, and nobody need hear of it.
LEFTOVER = "is a leftover"
_SYSTEM_FILES = {"desktop.ini", "ehthumbs.db", "thumbs.db"}

# Begins what stands in the place of a notebook that was not collected; the reason follows.
REFUSED = "Refused when it was collected."

# Tells student and instructor what was taken out of a hand-in, also at the next grading.
NOTE = "REFUSED.txt"


def said(name):
    """Return a file name as text that can be shown and written anywhere, whatever it holds."""
    return plain(str(name).encode("utf-8", "replace").decode())[:_LONGEST_NAME]


def walk(folder):
    """Yield every path in a folder; links are not followed, and nothing too deep is entered."""
    waiting = [Path(folder)]
    while waiting:
        for path in waiting.pop().iterdir():
            yield path
            if path.is_dir() and not _oddity(path, folder):
                waiting.append(path)


def odd_paths(folder, kept):
    """Return ``{path: reason}`` of what in a hand-in must not be copied.

    Args:
        folder: the hand-in.
        kept: names directly in it that are left out; reading them is refused later, with a reason.
    """
    room, odd = _MOST_BYTES, {}
    for path in sorted(walk(folder)):
        if path.parent == Path(folder) and path.name in kept:
            continue
        reason = _oddity(path, folder)
        if not reason and not path.is_dir():
            room -= max(_BLOCK, path.lstat().st_size)
            reason = "takes too much room" if room < 0 else ""
        if reason:
            odd[path] = reason
    return odd


def _oddity(path, folder):
    """Return why something in a hand-in must not be copied, or an empty text."""
    parts = path.relative_to(folder).parts
    if not is_plain(path):
        return "is a link or a device"
    if len(parts) > _DEEPEST:
        return "is too deep in folders"
    if parts[-1].startswith(".") or parts[-1] == "__pycache__" or is_of_the_system(parts[-1]):
        return LEFTOVER
    if parts == (NOTE,) and path.is_dir():
        return "is a folder"
    if parts == ("timestamp.txt",) and not is_timestamp(path):
        return "is no timestamp"
    if path.is_dir() or path.suffix.lower() in {*_HARMLESS, _NOTEBOOK}:
        return ""
    return "is of a kind that is not needed"


def is_of_the_system(name):
    """Return whether a system puts a file of this name into folders by itself.

    >>> is_of_the_system("Thumbs.db"), is_of_the_system("forward.ipynb")
    (True, False)
    """
    return name.lower() in _SYSTEM_FILES


def is_timestamp(path):
    """Return whether nbgrader can read a file as the time of a hand-in; it fails on other text."""
    try:
        if not is_plain(path) or path.stat().st_size > _LONGEST_TIMESTAMP:
            return False
        parse_utc(path.read_text())
    except Exception:
        # What parses dates raises whatever it likes.
        return False
    return True


def is_plain(path):
    """Return whether a path is a folder, or a file with no other name; links are not followed."""
    status = path.lstat()
    return stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1)
