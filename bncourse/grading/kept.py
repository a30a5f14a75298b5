"""Who may read what is kept: its owner and, in a course that is shared, the group of teachers.

A folder is shared if its group may write in it and what is made in it belongs to that group (the
setgid bit). Whoever may write in the folder of a course could change its configuration, and with it
all that the grader does: so there is nothing to hide from that group, and all from everybody else.
"""

import contextlib
import os
import stat
from pathlib import Path

_GROUP_FILE = stat.S_IRGRP | stat.S_IWGRP
_GROUP_FOLDER = stat.S_IRWXG | stat.S_ISGID


def share(path):
    """Let the group of a shared folder use what was made in it a moment ago."""
    around = Path(path).parent.stat().st_mode
    if not (around & stat.S_ISGID and around & stat.S_IWGRP):
        return
    mode = os.stat(path).st_mode
    # The umask has taken these away.
    os.chmod(path, stat.S_IMODE(mode) | (_GROUP_FOLDER if stat.S_ISDIR(mode) else _GROUP_FILE))


def make_folder(path):
    """Make a folder and those around it, each closed to all but its owner and a group that shares.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     make_folder(Path(folder, "a", "b"))
    ...     oct(Path(folder, "a").stat().st_mode)
    '0o40700'
    """
    path = Path(path)
    if path.exists():
        return
    make_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        share(path)


def open_kept(path, flags):
    """Return the descriptor of a file that only its owner and a group that shares may open."""
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        share(path)
        return descriptor
    return os.open(path, flags)
