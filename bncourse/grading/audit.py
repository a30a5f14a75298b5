"""A record of each verdict: enough to explain it and to repeat it.

``submission``, ``seed`` and ``tests`` are hashes: of the cells, of the course secret, and of the
code of exercises and grader.
"""

import datetime
import fcntl
import hashlib
import json
import os

from bncourse.grading.version import CODE


def record(path, names, notebook, report, secret):
    """Append one line of JSON on a graded submission.

    The line is written at once and under a lock, so that graders may share the file and a crash
    cannot leave half a line before another one.

    Args:
        path: the file.
        names: ``{"assignment", "student", "notebook"}``.
        notebook: the notebook that was graded.
        report: the Report.
        secret: the seed of the course; only its hash is written.
    """
    line = json.dumps(
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
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, f"{line}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path):
    """Return the records of a file; a line cut short by a full disk is left out."""
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
