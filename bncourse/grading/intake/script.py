"""Which cells of a hand-in run, which are graded, and when."""

import re
from dataclasses import dataclass, field

from nbgrader import utils

from bncourse.registry import exercises_in


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
        weights: ``{exercise: {part: weight}}`` where parts earn points, as the release says.
    """

    sources: list
    places: dict = field(default_factory=dict)
    weights: dict = field(default_factory=dict)

    def may_change_after(self, place):
        """Return whether a cell from a place on may change what the cells before it use.

        New functions do not. Whatever else runs may: bind a name anew, or change a value in place.
        """
        known = set(_WORD.findall("\n".join(self.sources[:place])))
        return not all(_adds_functions(source, known) for source in self.sources[place:])


_WORD = re.compile(r"\w+")
_FUNCTION = re.compile(r"(?:async[ \t]+)?def[ \t]+(\w+)")


def _adds_functions(source, known):
    r"""Return whether a cell only defines functions, none of which has a known name.

    >>> cell = "def f(x):\n    return x"
    >>> _adds_functions(cell, {"g"}), _adds_functions(cell, {"f"}), _adds_functions("f(1)", set())
    (True, False, False)
    """
    lines = [line for line in source.splitlines() if line.strip() and line.lstrip()[0] != "#"]
    # A first line with an indent is of a cell that is indented as a whole.
    starts = [line for number, line in enumerate(lines) if number == 0 or line[0] not in " \t)"]
    functions = [_FUNCTION.match(line) for line in starts]
    return all(found and found[1] not in known for found in functions)


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
    return Script(sources, places, weights_of(notebook))


def weights_of(notebook):
    """Return ``{exercise: {part: weight}}`` of the graded cells where parts earn points."""
    cells = {_name(cell): cell.metadata.get("weights") for cell in graded_cells(notebook)}
    return {name: dict(weights) for name, weights in cells.items() if weights}


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
    """Return the names of the exercises of graded cells; no set is imported.

    Raises:
        KeyError: if a graded cell has no exercise of its name.
    """
    names = [_name(cell) for cell in graded]
    unknown = [name for name in names if name not in exercises_in(problem_set)]
    if unknown:
        raise KeyError(
            f"Each tested cell needs an exercise of the same name in "
            f"bncourse/exercises/{problem_set}. Received: {unknown}."
        )
    return names


def _runs(cell):
    return cell.cell_type == "code" and not _is_tested(cell)


def _is_tested(cell):
    return utils.is_grade(cell) and not utils.is_solution(cell) and cell.cell_type == "code"


def _name(cell):
    return cell.metadata.nbgrader.grade_id
