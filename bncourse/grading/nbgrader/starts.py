"""Release an exercise that repairs code with the code that is to be repaired."""

from nbgrader.converters import GenerateAssignment
from nbgrader.preprocessors import ClearSolutions

from bncourse.registry import find
from bncourse.solution import start_of


class ClearToStart(ClearSolutions):
    """Clear solutions; where a cell says ``starts_wrong: true``, leave the bug in their place.

    The bug is the first known mistake of the exercise, and stands nowhere else.
    """

    def preprocess_cell(self, cell, resources, cell_index):
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if cell.metadata.pop("starts_wrong", False):
            cell.source = start_of(find(cell.metadata.nbgrader.grade_id.removesuffix("_answer")))
        return cell, resources


def preprocessors():
    """Return nbgrader's own list of what a release passes through, with this one in its place."""
    own = GenerateAssignment.class_traits()["preprocessors"].make_dynamic_default()
    return [ClearToStart if each is ClearSolutions else each for each in own]
