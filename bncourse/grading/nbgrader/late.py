"""What being late costs a hand-in that the gradebook may not know yet."""

from types import SimpleNamespace

from nbgrader.api import MissingEntry

from bncourse.grading.nbgrader.gradebook import opened
from bncourse.grading.nbgrader.penalties import due_penalty


def late_cost(course):
    """Return the function ``(student, time in UTC or None, points) -> points that it loses``.

    Raises:
        CourseError: the gradebook cannot be used.
    """
    with opened(course) as book:
        try:
            deadline = book.find_assignment(course.problem_set).duedate
        except MissingEntry:
            deadline = None
    assignment = SimpleNamespace(name=course.problem_set, duedate=deadline)

    def cost(student, time, points):
        who = SimpleNamespace(id=student)
        asked = SimpleNamespace(student=who, assignment=assignment, duedate=deadline)
        return due_penalty(course.config, asked, time, points)

    return cost
