"""Remember which downloaded file became whose hand-in, so that feedback finds its way back."""

import csv
from pathlib import Path

from bncourse.errors import CourseError
from bncourse.whole import whole_file

TABLE = "counted.csv"


def write_counted(folder, collected, root):
    """Write the table of what counts.

    Args:
        folder: where to write it; one of an earlier collection goes.
        collected: ``{student: {"src_files": paths}}``, as nbgrader tells it.
        root: the folder that the paths shall be relative to.
    """
    rows = [
        (student, Path(path).relative_to(root))
        for student, told in collected.items()
        for path in told["src_files"]
    ]
    with (
        whole_file(Path(folder, TABLE)) as half,
        half.open("w", newline="", encoding="utf-8", errors="replace") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["student", "file"])
        writer.writerows(rows)


def read_counted(folder):
    """Return ``{student: path of the first file that counts}``, relative to what was unpacked.

    Raises:
        CourseError: nothing was collected from a platform.
    """
    path = Path(folder, TABLE)
    if not path.exists():
        raise CourseError(
            f"Feedback goes back under the names that the platform gave: {path} must hold them.",
            "Collect the hand-ins with bncourse collect, and with --force where they are there.",
        )
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {row["student"]: Path(row["file"]) for row in reversed(rows)}
