"""The library of the batch-norm course: reference solutions, self-check, grading, experiments."""

from bncourse.check import check

__all__ = ["check"]
