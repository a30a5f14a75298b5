"""The library of the batch-norm course: reference solutions, self-check, grading, experiments."""

from bncourse.registry import choose_backend, told_what_hides

# Keras chooses when it is first imported, which may be in the next line of a notebook.
choose_backend()

with told_what_hides():
    # NumPy would load it at the first draw, where nobody tells what hides a part of it.
    import numpy.random  # noqa: F401

    from bncourse.check import check
    from bncourse.example import example
    from bncourse.notebook import report
    from bncourse.show import show
    from bncourse.solution import solution

__all__ = ["check", "example", "report", "show", "solution"]
