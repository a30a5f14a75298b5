"""Say which points of the gradebook are older than what counts now, where points are handed on."""

import click

from bncourse.console import printable
from bncourse.errors import CourseError


def say_stale(root, problem_sets):
    """Print a line for what is old in the gradebook, or under way, of some problem sets.

    Args:
        root: the folder of the course.
        problem_sets: the names of assignments; of those that this course cannot grade, nothing is
            known.
    """
    from bncourse.glance.facts import UNGRADED, facts_of
    from bncourse.grading.work import GradedCourse
    from bncourse.platforms.transfer import unfinished
    from bncourse.registry import problem_sets as known

    for name in sorted({*problem_sets} & {*known(optional=True)}):
        try:
            course = GradedCourse(root, name)
            facts = facts_of(course)
        except CourseError as reason:
            click.echo(printable(f"Whether {name} is up to date is not known: {reason}"), err=True)
            continue
        if told := unfinished(course):
            click.echo(told, err=True)
        if ungraded := facts.count(UNGRADED):
            line = f"{name}: {ungraded} x {UNGRADED}; to grade them: bncourse grade {name}"
            click.echo(printable(line), err=True)
        for students, what, command in facts.old():
            line = f"{name}: {students} x {what}; to bring it up to date: {command}"
            click.echo(printable(line), err=True)
