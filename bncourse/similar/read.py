"""Read what a comparison of hand-ins needs: what students wrote, and what everybody may quote.

Nothing here runs, and nothing in the folders of the hand-ins is changed.
"""

import re
from pathlib import Path

from bncourse import reference
from bncourse.grading.intake.match import MISSING
from bncourse.grading.intake.read import Malformed
from bncourse.grading.work import read
from bncourse.similar.fingerprints import MOST_CHARACTERS, Answers, Text

_FENCED = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def read_hand_ins(course, releases):
    """Return ``(hand-ins, unreadable)`` of a Course.

    Args:
        course: the Course.
        releases: ``{file name: released notebook}``.

    Returns:
        the Answers that have at least one readable notebook, and ``[(student, reason)]``.
    """
    hand_ins, unreadable = [], []
    for student in course.students():
        texts = []
        for name in releases:
            try:
                texts.append(read_texts(course, student, name, releases))
            except Malformed as reason:
                unreadable.append((student, f"{name}: {reason}"))
        if texts:
            found, whole = shortened(sum(texts, ()))
            hand_ins.append(Answers(student, found))
            if not whole:
                reason = f"compared only in part: longer than {MOST_CHARACTERS} characters"
                unreadable.append((student, reason))
    return hand_ins, unreadable


def read_texts(course, student, name, releases):
    """Return the Texts of one notebook.

    Raises:
        Malformed: if there is none, or it cannot be read.
    """
    folder = course.folder(course.directory.submitted_directory, student)
    work = read(folder, student, name, releases, course.setting)
    notebook = work.cells()
    if notebook is None:
        raise Malformed(work.reason)
    wrong = _wrong_answers(course, work)
    texts = []
    for number, cell in enumerate(notebook.cells, 1):
        nbgrader = cell.metadata.get("nbgrader", {})
        if nbgrader.get("locked"):
            continue
        label = nbgrader.get("grade_id", f"cell {number}")
        kind = "code" if cell.cell_type == "code" else "written"
        texts.append(Text(label, kind, cell.source, label in wrong))
        texts += [
            Text(f"{label}, {picture}", "picture", data)
            for picture, bundle in cell.get("attachments", {}).items()
            for data in bundle.values()
        ]
    return tuple(texts)


def _wrong_answers(course, work):
    """Return the grade_ids of the answers that the last grading found wrong."""
    report = course.store.get(work.key)
    outcomes = report.outcomes if report else {}
    return {f"{name}_answer" for name, outcome in outcomes.items() if outcome.word != "ok"}


def shortened(texts):
    """Return Texts of at most MOST_CHARACTERS of code and prose, and whether these are all."""
    kept, left = [], MOST_CHARACTERS
    for text in texts:
        if text.kind != "picture":
            left -= len(text.source)
        if left < 0:
            return tuple(kept), False
        kept.append(text)
    return tuple(kept), True


def known_texts(course, releases):
    """Return the Texts that everybody may quote: the release, the chapters, the course's code."""
    cells = [cell for release in releases.values() for cell in release.cells]
    known = [
        Text("release", "code" if cell.cell_type == "code" else "written", cell.source)
        for cell in cells
    ]
    known.append(Text("release", "code", MISSING))
    known += [
        Text("release", "picture", data)
        for cell in cells
        for bundle in cell.get("attachments", {}).values()
        for data in bundle.values()
    ]
    for path in sorted((course.root / "chapters").glob("**/*.md")):
        chapter = path.read_text(encoding="utf-8")
        known.append(Text("book", "written", chapter))
        known += [Text("book", "code", block) for block in _FENCED.findall(chapter)]
    code = sorted((course.root / "chapters").glob("**/*.py"))
    for path in [*code, *sorted(Path(reference.__file__).parent.glob("*.py"))]:
        known.append(Text("book", "code", path.read_text(encoding="utf-8")))
    return known
