"""Find and read the notebook of a hand-in, whatever its folder holds; nothing there is changed.

But for links, which go before nbgrader copies the folder. nbgrader copies every file of a hand-in,
follows links while it does so, and later puts the copies into the student's feedback: a link to a
file of the instructor's would hand that file out.
"""

import logging
import os
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path

from nbgrader.utils import parse_utc

from bncourse.grading.match import match
from bncourse.grading.normalise import Malformed, read_cells
from bncourse.grading.outcome import plain

# Files that run code when they are loaded. Nothing here loads them, and a human should not either.
_LOADED_AS_CODE = {".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".joblib", ".keras", ".h5"}

# A student who hands in more notebooks than these has to name the right one.
_MOST_NOTEBOOKS = 20
_MOST_FLAGS = 20
_LONGEST_NAME = 80

# Of folders in folders; nbgrader recurses into them.
_DEEPEST = 20
_ODD = "is a link, a device, a folder too deep or no timestamp"

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
    flags = []
    for path in sorted(walk(folder)):
        name = path.relative_to(folder)
        if path.suffix in _LOADED_AS_CODE:
            flags.append(f"malformed: {_said(name)} was not read, loading it could run code")
        elif is_odd(path, folder) and str(name) not in releases:
            flags.append(f"malformed: {_said(name)} {_ODD}, and was not read")
        elif str(name) == NOTE:
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
            if path.is_dir() and not is_odd(path, folder):
                waiting.append(path)


def is_odd(path, folder):
    """Return whether something in a hand-in must not be copied."""
    if not is_plain(path) or len(path.relative_to(folder).parts) > _DEEPEST:
        return True
    return path == Path(folder, "timestamp.txt") and not _is_timestamp(path)


def _is_timestamp(path):
    # nbgrader reads it to see whether the hand-in is late, and fails on any other text.
    try:
        parse_utc(path.read_text())
    except (OSError, ValueError, OverflowError):
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
        refused: the folder that links are moved to.
    """
    if not notebooks:
        return
    folder = Path(notebooks[0]).parent
    expected = {path.name for path in Path(release, folder.name).glob("*.ipynb")}
    set_aside(folder, expected, Path(refused, folder.name, folder.parent.name))
    notebooks[:] = sorted(str(folder / name) for name in expected)


def set_aside(folder, kept, refused):
    """Move links, devices and folders too deep out of a hand-in, and leave a note there.

    Args:
        folder: the hand-in.
        kept: names directly in it that stay; reading them is refused later, with a reason.
        refused: the folder to move it to.
    """
    odd = [
        path
        for path in sorted(walk(folder))
        if not (path.parent == folder and path.name in kept) and is_odd(path, folder)
    ]
    for path in odd:
        _log.warning("%s %s, and is moved to %s", _said(path), _ODD, refused)
        _move(path, refused / path.relative_to(folder))
    if odd:
        names = "\n".join(_said(path.relative_to(folder)) for path in odd)
        _write_note(folder / NOTE, f"What {_ODD} was taken out of this hand-in:\n{names}\n")


def _move(path, target):
    target.parent.mkdir(parents=True, exist_ok=True)
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
