"""Make the folder of a hand-in safe to copy, before nbgrader copies it.

nbgrader copies every file of a hand-in, follows links while it does so, and later puts the copies
into the student's feedback: a link to a file of the instructor's would hand that file out. It also
skips a notebook whose name it does not know.
"""

import logging
import shutil
import stat
from pathlib import Path

from bncourse.grading.match import match
from bncourse.grading.normalise import read_cells

# Files that run code when they are loaded. Nothing here loads them, and a human should not either.
_LOADED_AS_CODE = {".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".joblib", ".keras", ".h5"}

_log = logging.getLogger(__name__)


def prepare(assignment, student, notebooks, release):
    """Refuse links and find renamed notebooks; a ``pre_convert_hook`` of nbgrader's Autograde.

    Args:
        assignment, student: the patterns that nbgrader was called with.
        notebooks: the paths of the notebooks of one hand-in; changed in place.
        release: the release directory of the course.
    """
    if not notebooks:
        return
    folder = Path(notebooks[0]).parent
    expected = {path.name for path in Path(release, folder.name).glob("*.ipynb")}
    refuse_links(folder, expected)
    found = restore_names(folder, expected)
    notebooks[:] = sorted({*notebooks, *map(str, found)})


def refuse_links(folder, kept=()):
    """Remove whatever is no file or folder of its own, and return what was removed.

    Args:
        folder: the hand-in.
        kept: names directly in it that stay; reading them is refused later, with a reason.
    """
    refused = [
        path
        for path in folder.rglob("*")
        if not (path.parent == folder and path.name in kept) and not is_plain(path)
    ]
    for path in refused:
        _log.warning("%s is a link or a device, and was removed", path)
        path.unlink()
    return refused


def is_plain(path):
    """Return whether a path is a folder, or a file with no other name; links are not followed."""
    status = path.lstat()
    return stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1)


def read_hand_in(path, release, limits):
    """Return ``(notebook, flags)``: the cells of the release with the student's answers.

    Args:
        path: the notebook file that was handed in.
        release: the released notebook.
        limits: the Limits.

    Raises:
        Malformed: the file is no notebook.
    """
    notebook, flags = match(read_cells(path, limits), release)
    unread = sorted(each.name for each in path.parent.rglob("*") if each.suffix in _LOADED_AS_CODE)
    flags += [f"malformed: {name} was not read, loading it could run code" for name in unread]
    return notebook, flags


def restore_names(folder, expected):
    """Give notebooks with a changed name, such as ``forward (1).ipynb``, their own.

    A copy under the expected name is added where exactly one notebook can be meant; the hand-in
    keeps everything it had.

    Returns:
        the notebooks that were added.
    """
    missing = [name for name in expected if not (folder / name).exists()]
    others = [path for path in folder.glob("*.ipynb") if path.name not in expected]
    if len(missing) != 1 or not others:
        return []
    found = others if len(others) == 1 else [p for p in others if Path(missing[0]).stem in p.stem]
    if len(found) != 1 or not is_plain(found[0]):
        return []
    target = folder / missing[0]
    shutil.copyfile(found[0], target)
    _log.warning("%s: %s was taken for %s", folder, found[0].name, target.name)
    return [target]
