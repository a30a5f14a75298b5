"""Turn whatever was handed in into a notebook that can be graded, or say why it cannot be.

Nothing here runs, follows a link, or keeps anything of the file but the text of its cells and the
pictures pasted into written answers: cells are built anew, so that odd metadata, outputs and ids
never reach nbgrader.
"""

import json
import os
import stat
from dataclasses import dataclass, field

import nbformat
from nbformat import v4

from bncourse.grading.intake.odd import REFUSED
from bncourse.grading.outcome import plain
from bncourse.grading.sanitise import clean_attachments
from bncourse.limits import MIB

_MOST_CELLS = 2000
_LONGEST_REASON = 300
_LONGEST_SOURCE = MIB
_LARGEST_IMAGE = 4 * MIB
_HEADINGS = (1, 2, 3, 4, 5, 6)
_TYPES = {"code": v4.new_code_cell, "markdown": v4.new_markdown_cell, "raw": v4.new_raw_cell}


class Malformed(Exception):
    """The file is no notebook; the message says why."""


@dataclass(frozen=True)
class Cell:
    """What counts of a cell that was handed in."""

    cell_type: str
    source: str
    grade_id: str | None
    attachments: dict = field(default_factory=dict)


def read_cells(path, limits):
    """Return the cells of a notebook file.

    Args:
        path: the file.
        limits: the Limits.

    Raises:
        Malformed: for a link, a device, a file too large, broken JSON and so on.
    """
    text = _decode(_read_bytes(path, limits.notebook))
    if text.startswith(REFUSED):
        raise Malformed(plain(text.splitlines()[0][:_LONGEST_REASON]))
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed("The file is not valid JSON: it is damaged or no notebook.") from None
    if not isinstance(content, dict):
        raise Malformed("The file is not a notebook.")
    return _cells(_in_format_4(content))


def _read_bytes(path, most):
    """Return the content of a regular file that has one name; the size is checked first."""
    try:
        # Never through a link, and without waiting for a writer of a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        raise Malformed("The file is a link or cannot be read.") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise Malformed("The file is a folder, a link or a device, not a file of its own.")
        if status.st_size > most:
            raise Malformed(
                f"too large: the file has {status.st_size / MIB:.0f} MiB, "
                f"allowed are {most / MIB:.0f} MiB. Clear its outputs and hand it in again."
            )
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(descriptor)


def _decode(data):
    if not data.strip():
        raise Malformed("The file is empty.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Malformed("The file is not text in UTF-8.") from None


def _in_format_4(content):
    version = content.get("nbformat")
    if version == 4:
        return content
    if version not in (1, 2, 3):
        raise Malformed(f"The file is not a notebook in format 4. Its nbformat: {version!r:.50}.")
    _tame(content)
    try:
        return nbformat.convert(nbformat.from_dict(content), 4)
    except Exception as error:
        # The converters of nbformat assume well-formed input and fail in many ways.
        raise Malformed(
            f"The notebook is in the old format {version} and cannot be converted "
            f"({type(error).__name__})."
        ) from None


def _tame(content):
    """Take away what the converters of the old formats would take minutes for.

    Headings of a billion levels would become as many number signs, and outputs, which nobody reads,
    are converted one by one.
    """
    worksheets = content.get("worksheets")
    for part in (content, *(worksheets if isinstance(worksheets, list) else ())):
        cells = part.get("cells") if isinstance(part, dict) else None
        for cell in cells if isinstance(cells, list) else ():
            if not isinstance(cell, dict):
                continue
            if cell.get("level") not in _HEADINGS:
                cell["level"] = 1
            if "outputs" in cell:
                cell["outputs"] = []


def _cells(content):
    cells = content.get("cells")
    if not isinstance(cells, list):
        raise Malformed("The notebook has no list of cells.")
    if len(cells) > _MOST_CELLS:
        raise Malformed(f"too large: {len(cells)} cells, allowed are {_MOST_CELLS}.")
    return [_cell(cell) for cell in cells]


def _cell(cell):
    kind = cell.get("cell_type") if isinstance(cell, dict) else None
    if not isinstance(kind, str) or kind not in _TYPES:
        raise Malformed("The notebook holds something that is no cell.")
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise Malformed("The notebook holds a cell without text.")
    if len(source) > _LONGEST_SOURCE:
        raise Malformed(f"too large: a cell has {len(source)} characters.")
    # What JSON can hold and UTF-8 cannot would fail when the result is written.
    source = source.encode("utf-8", "replace").decode()
    attachments = clean_attachments(cell.get("attachments"), _LARGEST_IMAGE)
    return Cell(kind, source, _grade_id(cell), attachments)


def _grade_id(cell):
    found = cell.get("metadata")
    for key in ("nbgrader", "grade_id"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else None


def new_cell(cell, cell_id):
    """Return a notebook cell with the text and the pictures of a Cell, and nothing else."""
    made = _TYPES[cell.cell_type](cell.source, id=cell_id)
    if cell.attachments and cell.cell_type == "markdown":
        made.attachments = cell.attachments
    return made
