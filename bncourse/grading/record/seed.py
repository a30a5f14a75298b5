"""The seed of grading: a course secret, so that verdicts repeat and students cannot know it."""

import contextlib
import logging
import os
import secrets
import tempfile
from pathlib import Path

from bncourse.grading.kept import share

_log = logging.getLogger(__name__)


def course_seed(secret_file, records=None):
    """Return the seed of a course, made and stored at the first call.

    Args:
        secret_file: path of the secret; only its owner, and the group of a shared course, may
            read it.
        records: the folder of the record of grading; if it is there and the secret is not, the
            instructor hears of it.

    Raises:
        ValueError: if the file holds no secret. A new one would change inputs in mid-course, so
            it is not replaced silently.
    """
    path = Path(secret_file)
    if not path.exists():
        if records and Path(records).exists():
            _log.warning("%s was gone, a new one is drawn: inputs of tests change", path)
        _make(path)
    text = path.read_bytes().strip()
    if not text.isdigit():
        # Not even a part of what it holds is shown: logs are kept, and sent around.
        raise ValueError(f"{path} must hold one whole number: restore it from a copy.")
    return int(text)


def _make(path):
    # Written whole under another name and then linked: of two graders that start together, one
    # makes the secret, and neither ever reads half of it.
    handle, whole = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(f"{secrets.randbits(128)}\n")
        share(whole)
        with contextlib.suppress(FileExistsError):
            os.link(whole, path)
    finally:
        os.unlink(whole)
