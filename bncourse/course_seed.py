"""The seed of grading: a course secret, so that verdicts repeat and students cannot know it."""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path


def course_seed(secret_file):
    """Return the seed of a course, made and stored at the first call.

    Args:
        secret_file: path of the secret; only its owner may read it.

    Raises:
        ValueError: if the file holds no secret. A new one would change inputs in mid-course, so
            it is not replaced silently.
    """
    path = Path(secret_file)
    if not path.exists():
        _make(path)
    text = path.read_text().strip()
    if not text.isdecimal():
        raise ValueError(f"{path} must hold one whole number. Received: {text[:20]!r}")
    return int(text)


def _make(path):
    # Written whole under another name and then linked: of two graders that start together, one
    # makes the secret, and neither ever reads half of it.
    handle, whole = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w") as file:
        file.write(f"{secrets.randbits(128)}\n")
    with contextlib.suppress(FileExistsError):
        os.link(whole, path)
    os.unlink(whole)
