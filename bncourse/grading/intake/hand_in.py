"""Find and read the notebook of a hand-in, whatever its folder holds; nothing there is changed."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from bncourse.grading.intake.match import match
from bncourse.grading.intake.odd import LEFTOVER, NOTE, is_plain, odd_paths, said
from bncourse.grading.intake.read import Malformed, read_cells
from bncourse.grading.intake.request import requests

# A student who hands in more notebooks than these has to name the right one.
_MOST_NOTEBOOKS = 20
_MOST_FLAGS = 20


@dataclass
class HandIn:
    """What a student handed in for one notebook of the release.

    Args:
        notebook: the cells of the release with the student's answers, or None.
        flags: what a human should look at.
        word: where there is no notebook, "missing" or "malformed".
        reason: why there is none.
    """

    notebook: object = None
    flags: list = field(default_factory=list)
    word: str = ""
    reason: str = ""


def read_hand_in(folder, name, releases, limits):
    """Return the HandIn for one notebook of the release.

    Args:
        folder: of the student.
        name: the file name in the release.
        releases: ``{file name: released notebook}`` of the problem set.
        limits: the Limits.
    """
    folder = Path(folder)
    found = _find(folder, name, releases, limits)
    if found is None:
        reason = f"{name} is not among the files you handed in."
        return HandIn(flags=["missing notebook"], word="missing", reason=reason)
    flags = _odd_files(folder, releases)
    if found.name != name:
        flags.append(f"renamed: {said(found.name)} was taken for {name}")
    try:
        cells = read_cells(found, limits)
        notebook, repairs = match(cells, releases[name])
    except Malformed as reason:
        return HandIn(flags=flags, word="malformed", reason=str(reason))
    return HandIn(notebook, requests(cells) + repairs + flags)


def _find(folder, name, releases, limits):
    """Return the path of the notebook, also where its name was changed, or None."""
    if os.path.lexists(folder / name):
        return folder / name
    others = sorted(path for path in folder.glob("*.ipynb") if path.name not in releases)
    others = [path for path in others if path.is_file() and is_plain(path)][:_MOST_NOTEBOOKS]
    known = {_grade_id(cell) for cell in releases[name].cells} - {None}
    candidates = [path for path in others if known & _grade_ids(path, limits)]
    if not candidates and all(os.path.lexists(folder / each) for each in {*releases} - {name}):
        candidates = others
    if len(candidates) > 1:
        candidates = [path for path in candidates if Path(name).stem in path.stem]
    return candidates[0] if len(candidates) == 1 else None


def _grade_id(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def _grade_ids(path, limits):
    try:
        return {cell.grade_id for cell in read_cells(path, limits)}
    except Malformed:
        return set()


def _odd_files(folder, releases):
    """Return a flag for each file that is not read, and could harm who opens it."""
    flags = [
        f"malformed: {said(path.relative_to(folder))} was not read, it {reason}"
        for path, reason in odd_paths(folder, releases).items()
        if reason != LEFTOVER
    ]
    if (folder / NOTE).is_file():
        flags.append(f"malformed: something was taken out, see {NOTE}")
    return flags[:_MOST_FLAGS]
