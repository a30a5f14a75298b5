"""Put a file or a folder into its place whole or not at all: killed anywhere, the old one stays."""

import contextlib
import glob
import os
import shutil
from pathlib import Path


@contextlib.contextmanager
def whole_file(path):
    """Yield the path to write to; it becomes ``path`` where the block ends well.

    Args:
        path: the file. What is no plain file, such as /dev/stdout, is written to as it is.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        yield path
        return
    # A link stays one.
    path = path.resolve()
    _clean(path)
    # Two commands may write the same file at once.
    half = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield half
        if path.exists():
            shutil.copymode(path, half)
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)


@contextlib.contextmanager
def back_if_it_fails(path):
    """Give a file back what it held where what depends on it fails."""
    path = Path(path)
    before = path.read_bytes() if path.exists() else None
    try:
        yield
    except BaseException:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            with whole_file(path) as half:
                half.write_bytes(before)
        raise


def _clean(path):
    """Remove what killed commands have left of a file."""
    for half in path.parent.glob(f"{glob.escape(path.name)}.*.part"):
        writer = half.suffixes[-2][1:]
        if writer.isdigit() and not Path(f"/proc/{writer}").exists():
            half.unlink(missing_ok=True)


def replace_folder(new, place):
    """Put a folder in the place of another one, on the same disk.

    Args:
        new: the folder, which is complete.
        place: where it goes; ``recover`` mends what a crash between the two steps leaves.
    """
    old = _old(place)
    recover(place)
    if place.exists():
        place.rename(old)
    try:
        new.rename(place)
    except BaseException:
        if old.exists():
            old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def recover(place):
    """Bring a folder back that ``replace_folder`` had moved away when it was killed."""
    old = _old(place)
    if old.exists() and not place.exists():
        old.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def beside(place):
    """Return where to make the folder that will replace another one; nothing reads it there."""
    return place.with_name(f".{place.name}.part")


def _old(place):
    return place.with_name(f".{place.name}.old")
