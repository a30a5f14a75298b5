"""A record of each verdict: enough to explain it and to repeat it.

``submission``, ``seed`` and ``tests`` are hashes: of the cells, of the course secret, and of the
code of exercises and grader.
"""

import datetime
import fcntl
import hashlib
import json
import os

from bncourse.grading.kept import make_folder, open_kept
from bncourse.grading.record.version import CODE

# In the folder of records.
JOURNAL = "audit.jsonl"


def record(path, names, notebook, report, secret):
    """Append one line of JSON on a graded submission; see ``line_of`` and ``append``."""
    append(path, [line_of(names, notebook, report, secret)])


def line_of(names, notebook, report, secret):
    """Return the line of JSON on a graded submission.

    Args:
        names: ``{"assignment", "student", "notebook"}``.
        notebook: the notebook that was graded.
        report: the Report.
        secret: the seed of the course; only its hash is written.
    """
    return json.dumps(
        {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **{key: names[key] for key in ("assignment", "student", "notebook")},
            "seconds": round(report.seconds, 3),
            "memory": report.memory,
            "flags": report.flags,
            "submission": _hash([cell.source for cell in notebook.cells]),
            "seed": _hash(secret),
            "tests": CODE[:16],
            "outcomes": {
                name: {
                    "word": str(outcome),
                    "message": outcome.message,
                    "flags": outcome.flags,
                    "seconds": round(outcome.seconds, 3),
                }
                for name, outcome in report.outcomes.items()
            },
        }
    )


def append(path, lines):
    """Append lines to a file under a lock, so that graders may share the file.

    A full disk leaves the file as it was, and no line is glued to the half of one that a crash has
    left.

    Args:
        path: the file.
        lines: from ``line_of``.

    Raises:
        OSError: the lines could not be written; none of them is.
    """
    if not lines:
        return
    make_folder(path.parent)
    descriptor = open_kept(path, os.O_RDWR | os.O_APPEND)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _append(descriptor, "".join(f"{line}\n" for line in lines).encode())
    finally:
        os.close(descriptor)


def _append(descriptor, data):
    """Append bytes to a file: all of them, or none."""
    end = os.fstat(descriptor).st_size
    if end and os.pread(descriptor, 1, end - 1) != b"\n":
        data = b"\n" + data
    try:
        while data:
            # A disk that gets full takes a part first.
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, end)
        raise


def read(path):
    """Return the records of a file; a line cut short by a crash is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def _hash(value):
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
