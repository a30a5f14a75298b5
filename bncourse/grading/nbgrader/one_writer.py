"""One writer at a time to what nbgrader keeps of a course, whichever command it came from."""

import contextlib
import fcntl
import os
import threading

from bncourse.grading.kept import make_folder, open_kept

_LOCK = "writer.lock"
# The folders that this thread holds: it is the writer there, however often it asks.
_held = threading.local()


@contextlib.contextmanager
def only_writer(records, say):
    """Wait until nobody else writes to the gradebook and the graded notebooks of a course.

    Args:
        records: the folder of the records of grading.
        say: receives a line if there is somebody to wait for.
    """
    key = records.resolve()
    held = _held.__dict__.setdefault("folders", set())
    if key in held:
        yield
        return
    make_folder(records)
    with open(open_kept(records / _LOCK, os.O_WRONLY), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another command to finish writing")
            fcntl.flock(lock, fcntl.LOCK_EX)
        held.add(key)
        try:
            yield
        finally:
            held.discard(key)
