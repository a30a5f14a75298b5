"""Move what is odd out of a hand-in before nbgrader copies it; nothing else there is changed."""

import logging
import os
import shutil
import tempfile
from pathlib import Path

from bncourse.grading.intake.odd import LEFTOVER, NOTE, odd_paths, said
from bncourse.grading.kept import make_folder, share

_log = logging.getLogger(__name__)


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
    make_folder(refused)
    # Fresh and flat: what was moved before may be a link, and a path through it leads elsewhere.
    target = Path(tempfile.mkdtemp(dir=refused))
    share(target)
    for number, (path, reason) in enumerate(odd.items(), 1):
        _log.warning("%s %s, and is moved to %s/%d", said(path), reason, target, number)
        _move(path, target / str(number))
    lines = [f"{said(p.relative_to(folder))} {r}" for p, r in odd.items() if r != LEFTOVER]
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
