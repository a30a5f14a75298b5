"""Which cells of a hand-in run, which are graded, and when."""

import re
from dataclasses import dataclass, field

from nbgrader import utils

from bncourse.registry import load


def graded_cells(notebook):
    """Return the cells that a test decides on, and no human."""
    return [cell for cell in notebook.cells if _is_tested(cell)]


def code_cells(notebook):
    """Return the code cells that run: all but the graded ones, whose text is nbgrader's."""
    return [cell for cell in notebook.cells if _runs(cell)]


@dataclass(frozen=True)
class Script:
    """What of a hand-in runs.

    Args:
        sources: of the code cells, in order.
        places: ``{exercise: how many cells have run when its check stands}``.
    """

    sources: list
    places: dict = field(default_factory=dict)

    def rebinds_after(self, place):
        """Return whether a cell from a place on may give a name of before another value."""
        later = "\n".join(self.sources[place:])
        if _FORGETS.search(later):
            return True
        return bool(_bound("\n".join(self.sources[:place])) & _bound(later))


# What starts in the first column and binds or unbinds names.
_BINDS = re.compile(
    r"^(?:(?:async[ \t]+)?def|class|for|del|import|from[ \t]+[\w.]+[ \t]+import)[ \t]+([\w, \t]+)"
    r"|^(\w[\w, \t]*)(?::[^=\n]*)?[-+*/@]?=(?!=)",
    re.MULTILINE,
)
_FORGETS = re.compile(r"^%(?:reset|xdel|run)\b", re.MULTILINE)


def _bound(source):
    r"""Return the words in the places where a source binds names, a few too many.

    >>> sorted(_bound("import numpy as np\na, b = 1, 2\nif a == b:\n    c = 3"))
    ['a', 'as', 'b', 'np', 'numpy']
    """
    return {word for found in _BINDS.findall(source) for word in re.findall(r"\w+", "".join(found))}


def script_of(notebook):
    """Return the Script of a notebook.

    An exercise is tested where its grade cell stands, as its check in the notebook is, but not
    before the answer cell of the release: a student may have moved either.
    """
    sources, places, answers = [], {}, {}
    for cell in notebook.cells:
        if _is_tested(cell):
            places[_name(cell)] = len(sources)
        elif _runs(cell):
            sources.append(cell.source)
            if utils.is_solution(cell):
                answers[len(sources)] = cell.source
    for name in places:
        after = [place for place, source in answers.items() if defines(name, source)]
        places[name] = max([places[name], *after])
    return Script(sources, places)


def defines(name, source):
    """Return whether the text of a cell gives a value to a name.

    >>> defines("f", "f = lambda x: x"), defines("f", "f: Callable = g"), defines("f", "f(x)")
    (True, True, False)
    """
    # Only blanks of the same line: a pattern that runs over lines takes hours on a cell of them.
    pattern = (
        rf"^[ \t]*(?:(?:async[ \t]+)?def|class)[ \t]+{name}\b|^{name}[ \t]*(?::[^=\n]*)?=(?!=)"
    )
    return re.search(pattern, source, re.MULTILINE) is not None


def exercises_of(problem_set, graded):
    """Return ``{name: Exercise}`` for graded cells.

    Raises:
        KeyError: if a graded cell has no exercise of its name.
    """
    specs = load(problem_set)
    names = [_name(cell) for cell in graded]
    unknown = [name for name in names if name not in specs]
    if unknown:
        raise KeyError(
            f"Each tested cell needs an exercise of the same name in "
            f"bncourse/exercises/{problem_set}. Received: {unknown}."
        )
    return {name: specs[name] for name in names}


def _runs(cell):
    return cell.cell_type == "code" and not _is_tested(cell)


def _is_tested(cell):
    return utils.is_grade(cell) and not utils.is_solution(cell) and cell.cell_type == "code"


def _name(cell):
    return cell.metadata.nbgrader.grade_id
