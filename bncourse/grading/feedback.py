"""What a notebook shows of an outcome, in the form that nbgrader turns into points."""

from nbformat import v4


def grade_cell_outputs(name, outcome, points):
    """Return the outputs of a grade cell.

    nbgrader gives all points to a grade cell without an error, and none to one with an error; but
    where a number stands in front of the error, it gives that number.

    Args:
        name: of the exercise.
        outcome: the Outcome.
        points: that the cell can earn.
    """
    if outcome.word == "ok":
        text = f"{name}: correct with inputs that only the grader knows.\n"
        return [v4.new_output("stream", name="stdout", text=text)]
    earned = outcome.points(points)
    return [*([_number(earned)] if earned else []), error_output(outcome)]


def _number(value):
    data = {"text/plain": repr(value)}
    return v4.new_output("execute_result", data=data, execution_count=None)


def error_output(outcome):
    """Return the error output that tells a student about an outcome."""
    lines = [str(outcome), *outcome.message.splitlines()]
    return v4.new_output(
        "error", ename=outcome.word, evalue=lines[1] if lines[1:] else "", traceback=lines
    )
