"""Read what ``make gpu`` measured on a graphics card, and put it in words and tables."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bncourse.lab.conventions import markdown
from bncourse.lab.system import PASSES, shown

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
    kernels: list[dict]  # those of set 9, in a run of their own; none where it has not run yet

    def of(self, **wanted) -> list[dict]:
        """Return the rows whose values are as wanted."""
        return [row for row in self.rows if all(row.get(name) == v for name, v in wanted.items())]


def read(path: str | Path = FILE) -> Report | None:
    """Return the Report of a file, None where there is no file.

    Args:
        path: of a JSON file with chip, driver, date, torch and a list of measurements; that of the
            kernels of set 9 may be missing.
    """
    path = Path(path)
    if not path.exists():
        return None
    found = json.loads(path.read_text())
    facts = (str(found[name]) for name in ("chip", "driver", "date", "torch"))
    kernels = found.get("kernels") or {}
    return Report(*facts, found["measurements"], kernels.get("measurements", []))


def told(report: Report | None) -> str:
    """Return on what was measured, or that nothing was."""
    if report is None:
        return MISSING
    return (
        f"Measured on {report.chip} with driver {report.driver} and PyTorch {report.torch}, "
        f"{report.date}:"
    )


_DIRECTIONS = {"forward": "training, forward", "backward": "training, backward"}


def of_the_copy(report: Report) -> dict[tuple[tuple[int, ...], str, str], float]:
    """Return how fast each kernel of set 9 moves its bytes, over how fast a copy moves its own.

    The bytes are those that (Y1) counts, whatever a kernel reads beyond them.

    Returns:
        The share by (shape, direction, way).
    """
    copies = {tuple(row["shape"]): row["seconds"] for row in report.kernels if row["how"] == "copy"}
    found = {}
    for row in report.kernels:
        if row["how"] != "copy":
            shape, counted = tuple(row["shape"]), PASSES[_DIRECTIONS[row["direction"]]].copies
            found[shape, row["direction"], row["how"]] = copies[shape] * counted / row["seconds"]
    return found


def told_of_kernels(report: Report | None) -> str:
    """Return what the kernels of set 9 reach, or that they were not measured."""
    if report is None or not report.kernels:
        return "The kernels of set 9 have not been measured on a GPU yet."
    shares = of_the_copy(report)
    shape = max((shape for shape, _, _ in shares), key=np.prod)
    parts = []
    for direction in _DIRECTIONS:
        here = {how: v for (at, to, how), v in shares.items() if (at, to) == (shape, direction)}
        several = here.pop("split")
        parts.append(
            f"{direction} at {100 * max(here.values()):.0f} % of the speed of a copy with one "
            f"program a channel and {100 * several:.0f} % with several"
        )
    return f"The best kernels of set 9 move the bytes of a {shown(shape)} {', '.join(parts)}."


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
