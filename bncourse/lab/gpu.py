"""Read what ``make gpu`` measured on a graphics card, and put it in words and tables."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bncourse.lab.conventions import markdown
from bncourse.lab.system import shown

FILE = Path(__file__).parents[2] / "chapters" / "data" / "gpu.json"

MISSING = (
    "*Not measured here: this copy of the course has no file of measurements on a GPU. On a "
    "machine with one, `make gpu` writes it, and the next build shows it in this place.*"
)


class Report(NamedTuple):
    """What was measured, and on what."""

    chip: str
    driver: str
    date: str
    torch: str
    rows: list[dict]  # as the file has them

    def of(self, **wanted) -> list[dict]:
        """Return the rows whose values are as wanted."""
        return [row for row in self.rows if all(row.get(name) == v for name, v in wanted.items())]


def read(path: str | Path = FILE) -> Report | None:
    """Return the Report of a file, None where there is no file.

    Args:
        path: of a JSON file with chip, driver, date, torch and a list of measurements.
    """
    path = Path(path)
    if not path.exists():
        return None
    found = json.loads(path.read_text())
    facts = (str(found[name]) for name in ("chip", "driver", "date", "torch"))
    return Report(*facts, found["measurements"])


def told(report: Report | None) -> str:
    """Return on what was measured, or that nothing was."""
    if report is None:
        return MISSING
    return (
        f"Measured on {report.chip} with driver {report.driver} and PyTorch {report.torch}, "
        f"{report.date}:"
    )


def tables(report: Report | None) -> str:
    """Return all that was measured, in Markdown; nothing where there is no report."""
    if report is None:
        return ""
    parts = [
        "Each time is over that of a copy of the same shape and type; in brackets its least and "
        "largest.",
        _table(report, [row for row in report.rows if "seconds" in row], _time),
    ]
    memory = report.of(what="memory")
    if memory:
        parts += [
            "Memory, in units of the input:",
            _table(report, [row for row in memory if "bytes" in row], _memory),
        ]
    return "\n\n".join(parts)


def over_copy(report: Report, dtype: str = "float32") -> dict[tuple[str, str], float]:
    """Return the times of the largest shape over those of a copy, by (pass, way).

    Args:
        report: with a copy of that shape and type.
        dtype: of the tensors.
    """
    shape = max((row["shape"] for row in report.of(what="copy", dtype=dtype)), key=np.prod)
    (copy,) = report.of(what="copy", dtype=dtype, shape=shape)
    found = {}
    for what, direction in (("inference", ""), ("training", "forward"), ("training", "backward")):
        for row in report.of(what=what, dtype=dtype, shape=shape):
            if direction in ("", row["direction"]):
                name = f"{what}, {direction}" if direction else what
                found[name, row["how"]] = row["seconds"] / copy["seconds"]
    return found


def _table(report: Report, rows: list[dict], entry) -> str:
    shapes = list(dict.fromkeys(tuple(row["shape"]) for row in rows))
    cells: dict[tuple, dict] = {}
    for row in rows:
        key = row["what"], row["how"], row.get("direction", ""), row["dtype"]
        cells.setdefault(key, {})[tuple(row["shape"])] = entry(report, row)
    head = ["", *map(shown, shapes)]
    lines = [[_label(key), *(by.get(shape, "") for shape in shapes)] for key, by in cells.items()]
    return markdown(head, lines)


def _label(key: tuple) -> str:
    what, how, direction, dtype = key
    parts = [what, direction, how if how != what else "", dtype if dtype != "float32" else ""]
    return ", ".join(part for part in parts if part)


def _time(report: Report, row: dict) -> str:
    """Return seconds over those of the copy; of the copy itself, its microseconds."""
    if row["what"] == "copy":
        return f"{1e6 * row['seconds']:.3g} µs"
    copies = report.of(what="copy", shape=row["shape"], dtype=row["dtype"])
    if not copies:
        return f"{1e6 * row['seconds']:.3g} µs"
    copy = copies[0]["seconds"]
    least, most = (seconds / copy for seconds in row["spread"])
    return f"{row['seconds'] / copy:.2g} ({least:.2g} to {most:.2g})"


def _memory(report: Report, row: dict) -> str:
    size = 2 if "16" in row["dtype"] else 4
    return f"{row['bytes'] / (size * np.prod(row['shape'])):.2f}"
