"""How far a notebook is: what ``report()``, its last cell, and ``bncourse progress`` say.

It reads the file as JSON and runs nothing of it.
"""

import importlib.util
import itertools
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from bncourse import credit, seen
from bncourse.registry import ALL_SETS, set_of

# What a release has in the place of a text.
_STUB = "*Write your answer here, in place of this line.*"


@dataclass(frozen=True)
class _Cell:
    """What counts of a cell: its text, its place in grading, what it printed and when it ran.

    ``failed`` is what its error says, and ``weights`` what its parts weigh, where they earn points.
    """

    kind: str
    source: str
    mark: dict
    printed: str
    count: int | None
    failed: str = ""
    weights: dict | None = None


def report(notebook=None):
    """Print what is done of a problem set and what is still open; never raises.

    Args:
        notebook: the path of the notebook; by default the one that this kernel runs, as it was
            saved last.
    """
    try:
        if importlib.util.find_spec(f"bncourse.exercises.{ALL_SETS[0].name}") is None:
            # Where work is graded: what is said there stands on the page of feedback.
            return
        path = notebook or _notebook_of(sys._getframe(1).f_globals)
        print("\n".join(lines_on(path, seen.checked()) if path else _of_kernel()))
    except FileNotFoundError:
        print(f"There is no {path} in {Path.cwd()}.")
    except Exception as error:
        print(f"report cannot read the notebook: {type(error).__name__}: {error}")


def _notebook_of(names):
    """Return the path of the notebook that this kernel runs, or None if nothing tells it."""
    # JupyterLab says it in the environment, VS Code in a name of the notebook.
    told = [os.environ.get("JPY_SESSION_NAME"), names.get("__vsc_ipynb_file__")]
    homes = {set_of(name) for name in seen.checked()}
    told += [f"{home.notebook}.ipynb" for home in homes if home]
    return next((path for path in told if path and Path(path).is_file()), None)


def _of_kernel():
    """Return lines on what the checks of this kernel have found, where no file is known."""
    homes = [each for each in ALL_SETS if {*each.exercises} & {*seen.checked()}]
    lines = [
        f"Problem set {home.number}: {_count(seen.right(home.exercises), home.exercises)}"
        for home in homes
    ]
    return [
        *(lines or ["No check has run in this kernel."]),
        'For points and texts, name the saved notebook: report("NAME.ipynb").',
    ]


def lines_on(path, checked=()):
    """Return lines on a notebook.

    Args:
        path: the file.
        checked: the names of exercises of which this kernel knows more than the file.
    """
    cells = _read(path)
    points = {cell.mark["grade_id"]: cell.mark.get("points", 0) for cell in cells if _graded(cell)}
    names = [name for name in points if set_of(name)]
    if not names:
        return [f"{path} holds no exercise of the course.", *_lost(cells)]
    # A set is counted as it was released: a check cell that was deleted is missing.
    home = set_of(names[0])
    saved = [name for name in names if name not in checked and _passed(_check_of(cells, name))]
    right = {*saved, *seen.right(checked)}
    done = [name for name in home.exercises if name in right]
    tried = {name for name in names if _check_of(cells, name).count is not None} | {*checked}
    texts = [cell.mark["grade_id"] for cell in cells if _graded(cell) and cell.kind == "markdown"]
    earned, automatic = (sum(points.get(name, 0) for name in some) for some in (done, names))
    earned += sum(points[n] * _share(cells, n, n in checked) for n in names if n not in right)
    return [
        f"Problem set {home.number}: {_count(done, home.exercises)}",
        f"Points by self-check: {earned:g} of {automatic:g}.{_by_hand(points, texts)}",
        *_listed("Not right yet", [n for n in home.exercises if n in tried and n not in right]),
        *_listed("Not checked yet", [n for n in names if n not in tried and n not in right]),
        *_listed("Texts still empty", [name for name in texts if _is_empty(cells, name)]),
        *_listed("Check cells that are edited", _edited(cells, names)),
        *_listed("Check cells that are missing", [n for n in home.exercises if n not in names]),
        *_order(cells),
    ]


def _lost(cells):
    """Return a line where checks are there and their marks are not, as some editors save it."""
    called = (re.match(r"check\((\w+)", cell.source) for cell in cells if cell.kind == "code")
    homes = [set_of(found[1]) for found in called if found and set_of(found[1])]
    return [
        "Its check cells have lost the marks that grading needs. Copy your answers into a fresh "
        f"notebook: bncourse new {home.name}"
        for home in homes[:1]
    ]


def _count(done, names):
    listed = f": {', '.join(done)}" if 0 < len(done) < len(names) else ""
    return f"{len(done)} of {len(names)} exercises are right{listed}."


def _by_hand(points, texts):
    most = sum(points[name] for name in texts)
    return f" A person reads the texts, for {most:g} more." if most else ""


def _listed(words, names):
    return [f"{words}: {', '.join(names)}."] if names else []


def _edited(cells, names):
    return [name for name in names if _is_edited(name, _check_of(cells, name))]


def _is_edited(name, cell):
    return cell.source.strip() != credit.check_line(name, cell.weights)


def _share(cells, name, is_known):
    """Return the share of its points that a wrong answer earns, by its last check."""
    return seen.share(name) if is_known else credit.share_in(_check_of(cells, name).failed)


def _order(cells):
    """Return a line on the first two cells that ran against the order in which they stand."""
    counts = [cell.count for cell in cells if cell.count is not None]
    for above, below in itertools.pairwise(counts):
        if above > below:
            return [
                f"Cells ran out of order: [{above}] stands above [{below}]. "
                "Restart the kernel and run all cells."
            ]
    return []


def _graded(cell):
    return bool(cell.mark.get("grade"))


def _check_of(cells, name):
    return next(cell for cell in cells if _graded(cell) and cell.mark["grade_id"] == name)


def _passed(cell):
    name = cell.mark["grade_id"]
    return cell.printed.startswith(f"{name}: correct in all ")


def _is_empty(cells, name):
    return _check_of(cells, name).source.strip() in ("", _STUB)


def _read(path):
    """Return the cells of a notebook file.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no notebook.
    """
    content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(cells, list):
        raise ValueError("it has no list of cells")
    return [_cell(cell) for cell in cells]


def _cell(cell):
    mark = cell.get("metadata", {}).get("nbgrader", {})
    outputs = (each for each in cell.get("outputs", ()) if each.get("name") == "stdout")
    errors = (each for each in cell.get("outputs", ()) if each.get("output_type") == "error")
    weights = cell.get("metadata", {}).get("weights")
    return _Cell(
        cell.get("cell_type", ""),
        "".join(cell.get("source", "")),
        mark if mark.get("grade_id") else {},
        "".join("".join(each.get("text", "")) for each in outputs),
        cell.get("execution_count"),
        "".join(each.get("evalue", "") for each in errors),
        weights if isinstance(weights, dict) else None,
    )
