"""The library of the batch-norm course: reference solutions, self-check, grading, experiments."""

from bncourse.registry import choose_backend

# Keras chooses when it is first imported, which may be in the next line of a notebook.
choose_backend()

from bncourse.check import check  # noqa: E402
from bncourse.example import example  # noqa: E402
from bncourse.notebook import report  # noqa: E402
from bncourse.show import show  # noqa: E402
from bncourse.solution import solution  # noqa: E402

__all__ = ["check", "example", "report", "show", "solution"]
