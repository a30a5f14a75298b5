"""Refuse the text of a problem set that lacks what grading needs: students would get a half."""

from bncourse.registry import exercises_in, problem_sets

# What nbgrader puts the stub in place of; without it, it takes the whole cell.
_SOLUTION = "BEGIN SOLUTION"


def require_gradable(notebook, problem_set):
    """Refuse a solution notebook in which an exercise lacks its answer, its check or its solution.

    An exercise may be left out as a whole. Of a set that the registry does not know, nothing is
    demanded but a text.

    Args:
        notebook: the solution notebook.
        problem_set: the name of its set.

    Raises:
        ValueError: something is not there, or not known.
    """
    if not any(cell.source.strip() for cell in notebook.cells):
        raise ValueError("A text must hold a cell. Received: an empty one")
    if problem_set not in problem_sets(optional=True):
        return
    marks = [(cell, cell.metadata.get("nbgrader", {})) for cell in notebook.cells]
    if not any(mark.get("grade") for _, mark in marks):
        raise ValueError("A problem set must have a cell that earns points. Received: none")
    code = [(cell, mark) for cell, mark in marks if cell.cell_type == "code"]
    answers = {mark["grade_id"]: cell.source for cell, mark in code if mark.get("solution")}
    tested = [mark for _, mark in code if mark.get("grade") and not mark.get("solution")]
    checks = [mark["grade_id"] for mark in tested]
    for name in checks:
        _require_answered(name, answers, problem_set)
    for name, source in answers.items():
        if _SOLUTION not in source:
            raise ValueError(
                f"An answer must stand between ### BEGIN SOLUTION and ### END SOLUTION. "
                f"Received neither in: {name}"
            )
        exercise = name.removesuffix("_answer")
        if exercise in exercises_in(problem_set) and exercise not in checks:
            raise ValueError(f"An answer must have a check that earns points. Received: {name}")


def _require_answered(name, answers, problem_set):
    if name not in exercises_in(problem_set):
        known = ", ".join(exercises_in(problem_set))
        raise ValueError(f"A check must be of an exercise of its set: {known}. Received: {name}")
    if f"{name}_answer" not in answers:
        raise ValueError(f"A check must have an answer cell, {name}_answer. Received: {name} alone")
