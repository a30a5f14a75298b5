"""Verdicts on disk, so that a batch that was killed goes on where it stopped.

A verdict is found by what it depends on: the text of the submission, the specs and the grader, the
seed, the limits, the kind of sandbox. Change any of them and it is not found.
"""

import errno
import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from nbformat import from_dict

from bncourse.grading.kept import make_folder, share
from bncourse.grading.outcome import CellResult, Outcome, Report
from bncourse.grading.record.version import CODE


class Store:
    """Reports in a folder, one file each.

    Args:
        folder: made when first needed.
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    def require_writable(self):
        """Make the folder.

        Raises:
            PermissionError: no verdict could be kept there.
        """
        self._make()
        if not os.access(self.folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.folder))

    def get(self, key):
        """Return the Report under a key, or None; a damaged one is none."""
        try:
            return _from_json(json.loads((self.folder / f"{key}.json").read_bytes()))
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def put(self, key, report):
        """Keep a Report; a crash or a full disk leaves the old file or none, never half of one."""
        self._make()
        draft = self.folder / f"{key}.{os.getpid()}.draft"
        try:
            with draft.open("w") as file:
                json.dump(asdict(report), file)
                file.flush()
                os.fsync(file.fileno())
            share(draft)
            draft.replace(self.folder / f"{key}.json")
        finally:
            draft.unlink(missing_ok=True)

    def _make(self):
        make_folder(self.folder)


def key_of(script, names, setting):
    """Return the key of a verdict.

    Args:
        script: the Script of the submission.
        names: of the exercises that are graded.
        setting: the Setting; its secret cannot be had back from the key, and a verdict from outside
            a sandbox is none from inside.
    """
    parts = [asdict(script), sorted(names), asdict(setting), CODE]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _from_json(data):
    outcomes = {
        name: Outcome(**{**outcome, "flags": tuple(outcome["flags"])})
        for name, outcome in data["outcomes"].items()
    }
    cells = [
        CellResult(
            [from_dict(output) for output in cell["outputs"]], cell["error"], cell["message"]
        )
        for cell in data["cells"]
    ]
    return Report(outcomes, cells, data["seconds"], data["memory"], data["flags"])
