"""How a case is made: the notebook that is handed in, and what must come of it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nbformat import v4

from bncourse.registry import load
from bncourse.trial.corpus.answers import (
    HEAD,
    IMPORTS,
    NOTEBOOK,
    PROBLEM_SET,
    SOLUTIONS,
    TARGET,
    body,
)


@dataclass(frozen=True)
class Bad:
    """One hand-in and what must come of it.

    Args:
        number: of the threat in the table of threats; several cases may share one.
        name: what it tries.
        make: writes the hand-in into a folder.
        words: ``{exercise: the outcome}``; "ok" elsewhere.
        says: what a message must contain.
        flag: what a flag must contain.
        limits: other Limits than those of the self-test.
        hidden: what nothing that is shown may contain: words, with ``|`` between them.
        shows: what an output of a cell must contain.
    """

    number: int
    name: str
    make: Callable
    words: Mapping = field(default_factory=dict)
    says: str = ""
    flag: str = ""
    limits: Mapping = field(default_factory=dict)
    hidden: str = ""
    shows: str = ""

    def __str__(self):
        return f"{self.number:02} {self.name}"


# --- Notebooks ----------------------------------------------------------------------------------


def release():
    """Return the released notebook that the corpus answers."""
    cells = [v4.new_markdown_cell("# Exercises"), v4.new_code_cell(IMPORTS)]
    for name, exercise in load(PROBLEM_SET).items():
        stub = f"def {name}{exercise.signature}:\n    raise NotImplementedError"
        cells += [answer_cell(name, stub), check_cell(name)]
    cells += [v4.new_markdown_cell("Why is the bias redundant?"), written_cell("YOUR ANSWER HERE")]
    return v4.new_notebook(cells=cells)


def answer_cell(name, source):
    """Return the cell that holds the answer to an exercise."""
    return _marked(v4.new_code_cell(source), f"{name}_answer", solution=True)


def check_cell(name):
    """Return the graded cell of an exercise."""
    cell = v4.new_code_cell(f"check({name})")
    return _marked(cell, name, grade=True, locked=True, points=2)


def written_cell(source):
    """Return the cell of the written answer."""
    cell = v4.new_markdown_cell(source)
    return _marked(cell, "redundant_bias", grade=True, solution=True, points=3)


def _marked(cell, grade_id, **options):
    cell.metadata["nbgrader"] = {
        "grade_id": grade_id,
        "grade": False,
        "solution": False,
        "locked": False,
        "task": False,
        "schema_version": 3,
        "cell_type": cell.cell_type,
        **options,
    }
    return cell


def notebook(changed=None, before=(), after=()):
    """Return a hand-in that is right but for some answers.

    Args:
        changed: ``{exercise: source}`` in place of the right answers.
        before: sources of cells after the imports.
        after: sources of cells at the end.
    """
    nb = release()
    answers = {f"{name}_answer": source for name, source in (SOLUTIONS | (changed or {})).items()}
    for cell in nb.cells:
        cell.source = answers.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
    nb.cells[2:2] = map(v4.new_code_cell, before)
    nb.cells += map(v4.new_code_cell, after)
    return nb


def write(folder, nb, name=NOTEBOOK):
    """Write a hand-in without nbformat's help, which would repair it."""
    (folder / name).write_text(json.dumps(nb))


# --- Cases --------------------------------------------------------------------------------------


def hands_in(nb):
    """Return what writes a notebook into a folder."""
    return lambda folder: write(folder, nb)


def answering(number, name, changed, words=None, before=(), after=(), **options):
    """Return a case with some answers in place of the right ones, ``{exercise: source}``."""
    return Bad(number, name, hands_in(notebook(changed, before, after)), words or {}, **options)


def trick(number, name, *lines, word="ok", **options):
    """Return a case whose target runs some lines before it answers rightly."""
    return answering(number, name, {TARGET: body(*lines)}, {TARGET: word}, **options)


def returns(number, name, expression, word, **options):
    """Return a case whose target returns an expression of ``right``, the right answer."""
    source = f"{HEAD}\n    right = (x - mean) / np.sqrt(var + eps)\n    return {expression}"
    return answering(number, name, {TARGET: source}, {TARGET: word}, **options)


def cell(number, name, *sources, word="ok", **options):
    """Return a case with cells in front of a right target."""
    return answering(number, name, {}, {TARGET: word}, before=sources, **options)
