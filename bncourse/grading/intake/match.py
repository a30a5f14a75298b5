"""Find the instructor's cells again in what a student handed in.

The release says which cells there are. A cell is found by its grade_id, else by what it defines,
else by where it stands. Points, cell types and every locked cell come from the release, whatever
the submission says about them: editing, deleting or copying a test cell changes nothing.
"""

import copy
import re

from nbformat import v4

from bncourse.grading.intake.odd import said
from bncourse.grading.intake.prose import is_prose
from bncourse.grading.intake.read import Cell, new_cell
from bncourse.grading.intake.request import is_request

_DEFINITION = re.compile(r"^(?:def|class)\s+(\w+)", re.MULTILINE)

MISSING = "# This cell was missing from what you handed in."


def match(cells, release):
    """Return ``(notebook, flags)``.

    Args:
        cells: the Cells that were handed in.
        release: the released notebook.

    Returns:
        a notebook in which each cell of the release that nbgrader knows stands exactly once, and
        the flags: what had to be repaired.
    """
    known = [cell for cell in release.cells if _id(cell)]
    repairs = {}
    found = {}
    for original in known:
        index = _find(original, cells, found, release, repairs)
        if index is not None:
            found[index] = original
    notebook = v4.new_notebook(metadata=_kernel(release))
    for index, original in found.items():
        if _is_locked(original) and _defines_more(cells[index], original):
            repairs.setdefault(_IN_CHECK, []).append(_id(original))
    cells, moved = _with_written_answers(cells, found, release, repairs)
    for index, cell in enumerate(cells):
        if index in moved:
            continue
        original = found.get(index)
        notebook.cells.append(
            _restored(original, cell) if original else new_cell(cell, f"student-{index}")
        )
    _insert_missing(notebook, known, list(found.values()), repairs)
    flags = [_flag(*what, names) for what, names in repairs.items()]
    return notebook, _of_another(cells, known) + flags


# What had to be repaired, and how: one flag each, however many cells it was.
_TWICE = ("duplicate", "was there more than once, the last one counts")
_TWICE_WRITTEN = ("duplicate", "was there more than once, the last one with an answer counts")
_BY_CONTENT = ("metadata", "was found by its content")
_BESIDE = ("written", "stood in a new cell beside the place of the answer")
_ELSEWHERE = ("written", "has no answer in its place, but the student wrote text elsewhere")
_IN_CHECK = ("answer", "is a check, and what the student defined in it does not count")
_PUT_BACK = ("missing", "was put back")
_MOST_NAMED = 3


def _flag(kind, words, names):
    """Return a flag on some cells.

    >>> _flag(*_PUT_BACK, ["f"]), _flag(*_PUT_BACK, list("fghij"))
    ('missing: f was put back', 'missing: 5 cells, each was put back: f, g, h ...')
    """
    if len(names) == 1:
        return f"{kind}: {names[0]} {words}"
    more = " ..." if len(names) > _MOST_NAMED else ""
    return f"{kind}: {len(names)} cells, each {words}: {', '.join(names[:_MOST_NAMED])}{more}"


def _find(original, cells, found, release, repairs):
    """Return the index of the cell that stands for ``original``, or None."""
    name = _id(original)
    same = [i for i, cell in enumerate(cells) if cell.grade_id == name and i not in found]
    # Code runs from top to bottom; of texts, one that was left open replaces no other.
    answered = [i for i in same if not _is_open(original, cells[i])] or same
    if len(same) > 1:
        how = _TWICE if answered[-1] == same[-1] else _TWICE_WRITTEN
        repairs.setdefault(how, []).append(name)
    if same:
        return answered[-1]
    free = [i for i, cell in enumerate(cells) if cell.grade_id is None and i not in found]
    by_content = [i for i in free if _stands_for(original, cells[i])]
    index = by_content[-1] if by_content else _by_place(original, cells, free, release)
    if index is not None:
        repairs.setdefault(_BY_CONTENT, []).append(name)
    return index


def _of_another(cells, known):
    """Return a flag where all that a grader knows is of another notebook."""
    ids = {cell.grade_id for cell in cells} - {None}
    if not ids or ids & {_id(cell) for cell in known}:
        return []
    names = ", ".join(map(said, sorted(ids)[:_MOST_NAMED]))
    return [f"wrong notebook: it holds {names} ..., and no cell of this one"]


def _defines_more(cell, original):
    defined = {*_DEFINITION.findall(cell.source)} - {*_DEFINITION.findall(original.source)}
    return cell.cell_type == "code" and bool(defined)


def _stands_for(original, cell):
    if cell.cell_type != original.cell_type:
        return False
    if _is_locked(original):
        return cell.source.strip() == original.source.strip()
    names = set(_DEFINITION.findall(original.source))
    return bool(names & set(_DEFINITION.findall(cell.source)))


def _by_place(original, cells, free, release):
    """Return the index of the free cell that stands right after the same cell as ``original``.

    This is how a written answer is found, which defines nothing.
    """
    position = release.cells.index(original)
    if position == 0 or _is_locked(original) or original.cell_type != "markdown":
        return None
    before = release.cells[position - 1].source.strip()
    given = _texts(release)
    for index in free:
        # Where the answer was deleted, the next text of the task is not the answer.
        if _words(cells[index].source) in given or is_request(cells[index].source):
            continue
        follows = index > 0 and cells[index - 1].source.strip() == before
        if follows and cells[index].cell_type == original.cell_type:
            return index
    return None


def _texts(release):
    """Return the texts of the release that no student wrote, as ``_words`` has them."""
    return {_words(cell.source) for cell in release.cells if not _id(cell)} - {""}


def _words(text):
    # An editor may change the ends of lines.
    return " ".join(text.split())


def _own_texts(cells, found, release):
    """Return the indices of the cells in which a student wrote text, outside of all answers."""
    # A copy of the line to replace is nobody's text either.
    given = {_words(cell.source) for cell in release.cells if cell.cell_type == "markdown"}
    return {
        index
        for index, cell in enumerate(cells)
        if index not in found
        and cell.cell_type != "code"
        and not is_request(cell.source)
        and _words(cell.source) not in {"", *given}
    }


def _is_open(original, cell):
    """Return whether nobody wrote into the place of a written answer."""
    is_text = original.cell_type == "markdown" and not _is_locked(original)
    return is_text and _words(cell.source) in {"", _words(original.source)}


def _is_commented(original, place, cells, release):
    """Return whether a code cell of text stands where a written answer should.

    Elsewhere comments are notes on code.
    """
    if place is None:
        task = _words(release.cells[release.cells.index(original) - 1].source)
        around = [index + 1 for index, cell in enumerate(cells) if _words(cell.source) == task]
    else:
        around = [place - 1, place + 1]
    return any(0 <= each < len(cells) and is_prose(cells[each]) for each in around)


def _with_written_answers(cells, found, release, repairs):
    """Return the cells with each written answer in its place, and the indices that it came from.

    A student may leave the line to replace as it is, and write in new cells beside it. What is
    farther away may be anything: a human is told of it.
    """
    own, given = _own_texts(cells, found, release), _texts(release)
    # A task that was written into is no cell of the answer alone.
    new = {
        index
        for index in own
        if not any(_words(cells[index].source).startswith(text) for text in given)
    }
    cells, moved, open_answers, commented = list(cells), set(), [], []
    places = {_id(original): index for index, original in found.items()}
    for original in release.cells:
        name = _id(original)
        if not name or original.cell_type != "markdown" or _is_locked(original):
            continue
        index = places.get(name)
        if index is not None and not _is_open(original, cells[index]):
            continue
        beside = [] if index is None else _beside(index, new - moved)
        if beside:
            parts = [cells[each] for each in beside]
            text = "\n\n".join(part.source for part in parts)
            pictures = {name: each for part in parts for name, each in part.attachments.items()}
            cells[index] = Cell("markdown", text, name, pictures)
            moved |= {*beside}
            repairs.setdefault(_BESIDE, []).append(name)
        else:
            open_answers.append(name)
            if _is_commented(original, index, cells, release):
                commented.append(name)
    elsewhere = open_answers if own - moved else commented
    if elsewhere:
        repairs[_ELSEWHERE] = elsewhere
    return cells, moved


def _beside(index, own):
    """Return the cells of ``own`` that stand directly above and below a place, in order."""
    first, last = index, index
    while first - 1 in own:
        first -= 1
    while last + 1 in own:
        last += 1
    return [each for each in range(first, last + 1) if each != index]


def _restored(original, cell):
    """Return the cell of the release with the student's text, where the student may write."""
    restored = copy.deepcopy(original)
    restored.id = f"release-{_id(original)}"[:64]
    if not _is_locked(original):
        restored.source = cell.source
        if cell.attachments and restored.cell_type == "markdown":
            restored.attachments = cell.attachments
    if restored.cell_type == "code":
        restored.outputs, restored.execution_count = [], None
    return restored


def _insert_missing(notebook, known, found, repairs):
    """Put back the cells of the release that are gone, each after the one it follows there."""
    after = 0
    for original in known:
        places = [i for i, cell in enumerate(notebook.cells) if _id(cell) == _id(original)]
        if not places:
            repairs.setdefault(_PUT_BACK, []).append(_id(original))
            notebook.cells.insert(after, _restored(original, _stand_in(original)))
            places = [after]
        after = places[-1] + 1


def _stand_in(original):
    # Not the stub: it might define anew what the student defined elsewhere.
    source = MISSING if original.cell_type == "code" else original.source
    return Cell(original.cell_type, source, None)


def _kernel(release):
    return {key: release.metadata[key] for key in ("kernelspec",) if key in release.metadata}


def _id(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def _is_locked(cell):
    return cell.metadata.nbgrader.get("locked", False)
