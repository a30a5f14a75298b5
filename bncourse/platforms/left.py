"""Tell which files of a collected archive became no hand-in, and which of them need a human."""

import csv
from dataclasses import dataclass
from pathlib import Path

from bncourse.grading.intake.odd import said
from bncourse.platforms.export import text
from bncourse.whole import whole_file

TABLE = "left.csv"
# In the log; the table holds all.
_MOST_SHOWN = 20


@dataclass(frozen=True)
class Left:
    """A file that became no hand-in.

    Args:
        path: relative to where everything was unpacked.
        reason: a sentence.
        student: whose it is, where its name tells.
        needs_human: whether nothing else of this student counts.
    """

    path: str
    reason: str
    student: str = ""
    needs_human: bool = True


def asked_for(folder):
    """Return ``{student: [reason]}`` of what needs a human, by the table in a folder.

    What tells nobody's name is under an empty one.
    """
    table, found = Path(folder, TABLE), {}
    if table.exists():
        with table.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["needs a human"]:
                    found.setdefault(row["student"], []).append(f"{row['file']}: {row['reason']}")
    return found


def report(log, folder, rows):
    """Write the table of what became no hand-in, and log what needs a human.

    Args:
        log: of nbgrader.
        folder: to write the table into; one of an earlier collection goes.
        rows: each a Left.
    """
    table = folder / TABLE
    if not rows:
        table.unlink(missing_ok=True)
        return
    rows = sorted(rows, key=lambda row: (not row.needs_human, row.path))
    with whole_file(table) as half, half.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["needs a human", "file", "student", "reason"])
        for row in rows:
            need = "yes" if row.needs_human else ""
            writer.writerow(
                [need, *map(text, map(_printable, (row.path, row.student, row.reason)))]
            )
    asked = [row for row in rows if row.needs_human]
    say = log.warning if asked else log.info
    say("%d of %d files that are no hand-in need a human: %s", len(asked), len(rows), table)
    for row in asked[:_MOST_SHOWN]:
        whose = f" (of {row.student})" if row.student else ""
        log.warning("  %s%s: %s", said(row.path), whose, _printable(row.reason))


def _printable(value):
    # A name in an archive may hold anything, half a character too.
    return value.encode("utf-8", "replace").decode()
