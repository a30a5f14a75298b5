"""Find and read the notebook of a hand-in, whatever its folder holds; nothing there is changed.

But for odd files, which go before nbgrader copies the folder. nbgrader copies every file of a
hand-in, follows links while it does so, puts the copies into the student's feedback, and serves
them as pages of the formgrader: a link to a file of the instructor's would hand that file out, and
a page with a script would act with the instructor's rights.
"""

import logging
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from nbgrader.utils import parse_utc

from bncourse.grading.match import match
from bncourse.grading.normalise import Malformed, read_cells
from bncourse.grading.outcome import plain
from bncourse.limits import MIB

# Only the notebook is graded. Of the rest, what is shown as text or pixels may stay; a page may run
# a script in the browser of who opens it, and weights may run code when they are loaded.
_HARMLESS = {".csv", ".jpeg", ".jpg", ".md", ".npy", ".png", ".py", ".txt"}
_NOTEBOOK = ".ipynb"

# Of all that may stay; a file counts as a block of the disk at least.
_MOST_BYTES = 100 * MIB
_BLOCK = 4096

# A student who hands in more notebooks than these has to name the right one.
_MOST_NOTEBOOKS = 20
_MOST_FLAGS = 20
_LONGEST_NAME = 80

# Of folders in folders; nbgrader recurses into them.
_DEEPEST = 20
_LONGEST_TIMESTAMP = 100

# Left by an editor, git or the system; it goes, and nobody need hear of it.
_LEFTOVER = "is a leftover"

# Tells student and instructor what was taken out of a hand-in, also at the next grading.
NOTE = "REFUSED.txt"

_log = logging.getLogger(__name__)


@dataclass
class HandIn:
    """What a student handed in for one notebook of the release.

    Args:
        notebook: the cells of the release with the student's answers, or None.
        flags: what a human should look at.
        word: where there is no notebook, "missing" or "malformed".
        reason: why there is none.
    """

    notebook: object = None
    flags: list = field(default_factory=list)
    word: str = ""
    reason: str = ""


def read_hand_in(folder, name, releases, limits):
    """Return the HandIn for one notebook of the release.

    Args:
        folder: of the student.
        name: the file name in the release.
        releases: ``{file name: released notebook}`` of the problem set.
        limits: the Limits.
    """
    folder = Path(folder)
    found = _find(folder, name, releases, limits)
    if found is None:
        reason = f"{name} is not among the files you handed in."
        return HandIn(flags=["missing notebook"], word="missing", reason=reason)
    flags = _odd_files(folder, releases)
    if found.name != name:
        flags.append(f"renamed: {_said(found.name)} was taken for {name}")
    try:
        notebook, repairs = match(read_cells(found, limits), releases[name])
    except Malformed as reason:
        return HandIn(flags=flags, word="malformed", reason=str(reason))
    return HandIn(notebook, repairs + flags)


def _find(folder, name, releases, limits):
    """Return the path of the notebook, also where its name was changed, or None."""
    if os.path.lexists(folder / name):
        return folder / name
    others = sorted(path for path in folder.glob("*.ipynb") if path.name not in releases)
    others = [path for path in others if path.is_file() and is_plain(path)][:_MOST_NOTEBOOKS]
    known = {_grade_id(cell) for cell in releases[name].cells} - {None}
    candidates = [path for path in others if known & _grade_ids(path, limits)]
    if not candidates and all(os.path.lexists(folder / each) for each in {*releases} - {name}):
        candidates = others
    if len(candidates) > 1:
        candidates = [path for path in candidates if Path(name).stem in path.stem]
    return candidates[0] if len(candidates) == 1 else None


def _grade_id(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def _grade_ids(path, limits):
    try:
        return {cell.grade_id for cell in read_cells(path, limits)}
    except Malformed:
        return set()


def _odd_files(folder, releases):
    """Return a flag for each file that is not read, and could harm who opens it."""
    flags = [
        f"malformed: {_said(path.relative_to(folder))} was not read, it {reason}"
        for path, reason in odd_paths(folder, releases).items()
        if reason != _LEFTOVER
    ]
    if (folder / NOTE).is_file():
        flags.append(f"malformed: something was taken out, see {NOTE}")
    return flags[:_MOST_FLAGS]


def _said(name):
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
    if parts[-1].startswith(".") or parts[-1] == "__pycache__":
        return _LEFTOVER
    if parts == (NOTE,) and path.is_dir():
        return "is a folder"
    if parts == ("timestamp.txt",) and not is_timestamp(path):
        return "is no timestamp"
    if path.is_dir() or path.suffix.lower() in {*_HARMLESS, _NOTEBOOK}:
        return ""
    return "is of a kind that is not needed"


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


def prepare(assignment, student, notebooks, release, refused):
    """Make a hand-in safe to copy; a ``pre_convert_hook`` of nbgrader's Autograde.

    Args:
        assignment, student: the patterns that nbgrader was called with.
        notebooks: the paths of the notebooks of one hand-in; changed in place, to those of the
            release. One need not exist: see ``read_hand_in``.
        release: the release directory of the course.
        refused: the folder that what is odd is moved to.
    """
    if not notebooks:
        return
    folder = Path(notebooks[0]).parent
    expected = {path.name for path in Path(release, folder.name).glob("*.ipynb")}
    notebooks[:] = sorted(str(folder / name) for name in expected)
    set_aside(folder, expected, Path(refused, folder.name, folder.parent.name))


def set_aside(folder, kept, refused):
    """Move what is odd out of a hand-in, and leave a note there.

    Args:
        folder: the hand-in.
        kept: names directly in it that stay.
        refused: the folder to move it to.
    """
    odd = odd_paths(folder, kept)
    if not odd:
        return
    refused.mkdir(parents=True, exist_ok=True)
    # Fresh and flat: what was moved before may be a link, and a path through it leads elsewhere.
    target = Path(tempfile.mkdtemp(dir=refused))
    for number, (path, reason) in enumerate(odd.items(), 1):
        _log.warning("%s %s, and is moved to %s/%d", _said(path), reason, target, number)
        _move(path, target / str(number))
    lines = [f"{_said(p.relative_to(folder))} {r}" for p, r in odd.items() if r != _LEFTOVER]
    if lines:
        text = "\n".join(["This was taken out of the hand-in, and was not graded:", *lines, ""])
        _write_note(folder / NOTE, text)


def _move(path, target):
    try:
        # Never a copy, which would follow a link.
        path.rename(target)
    except OSError:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _write_note(path, text):
    # The student may have handed in something of this name, and it is not followed.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
    with open(descriptor, "a") as note:
        note.write(text)
