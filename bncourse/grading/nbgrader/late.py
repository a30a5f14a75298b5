"""What being late costs a hand-in that the gradebook may not know yet."""

from nbgrader.api import MissingEntry

from bncourse.grading.nbgrader.extensions import deadline
from bncourse.grading.nbgrader.gradebook import opened
from bncourse.grading.nbgrader.penalties import Policy


def late_cost(course):
    """Return the function ``(student, time in UTC or None, points) -> points that it loses``.

    Raises:
        CourseError: the gradebook cannot be used.
    """
    with opened(course) as book:
        try:
            due = book.find_assignment(course.problem_set).duedate
        except MissingEntry:
            due = None
    policy = Policy(course.config, course.problem_set)

    def cost(student, time, points):
        until = deadline(due, None, policy.extensions.get(student))
        return policy.penalty(student, time, until, points) or 0.0

    return cost
