"""``bncourse extend``: give one student more time."""

import click

from bncourse.commands import Command
from bncourse.commands.course import root_option
from bncourse.console import printable
from bncourse.errors import CourseError


@click.command(
    cls=Command,
    epilog="Example: bncourse extend ps1_forward ada --until '2026-11-05 23:59 Europe/Berlin'",
)
@click.argument("problem_set")
@click.argument("student")
@root_option
@click.option("--until", help="The new deadline; without a zone it is UTC.")
@click.option("--none", is_flag=True, help="Take the extension away.")
def extend(problem_set, student, root, until, none):
    """Give STUDENT until another time to hand in PROBLEM_SET, before or after they did.

    It stands in extensions.csv. Collecting and late penalties follow it; feedback and exports are
    brought up to date when they are made again.
    """
    from bncourse.course import Course
    from bncourse.grading.nbgrader.extensions import extensions_of, give, told, utc_of
    from bncourse.grading.nbgrader.gradebook import opened
    from bncourse.grading.nbgrader.one_writer import only_writer
    from bncourse.grading.nbgrader.penalties import refresh
    from bncourse.whole import back_if_it_fails

    if (until is None) != none:
        raise click.UsageError("Say either --until TIME or --none.")
    if until is not None:
        utc_of(until)
    course = Course(root, problem_set)
    # The table is read and written again, so two of these at once would lose one.
    with only_writer(course.records, click.echo), opened(course) as book:
        _require_known(book, problem_set, student)
        if none:
            # Before the table: killed in between, the extension is still there.
            _forget(book, problem_set, student)
        table = course.config.DuePenalty.extensions
        with back_if_it_fails(table):
            give(table, problem_set, student, until)
            changed = refresh(book, course.config, problem_set)
    when = extensions_of(course.config, problem_set).get(student)
    click.echo(printable(f"{student}: {told(when) if when else 'the deadline of the class'}"))
    for who, old, new in changed:
        click.echo(printable(f"{who}: the late penalty is {new:g} now, it was {old:g}"))


def _require_known(book, problem_set, student):
    from nbgrader.api import MissingEntry

    try:
        due = book.find_assignment(problem_set).duedate
        book.find_student(student)
    except MissingEntry as error:
        raise CourseError(f"The gradebook must know them first. Received: {error}") from None
    if due is None:
        raise CourseError(
            f"{problem_set} has no deadline that could be extended.",
            f"Set one: nbgrader db assignment add {problem_set} --duedate='2026-11-02 23:59'",
        )


def _forget(book, problem_set, student):
    from nbgrader.api import MissingEntry

    try:
        book.find_submission(problem_set, student).extension = None
    except MissingEntry:
        # Nobody has handed in, so nbgrader keeps none.
        return
    book.db.commit()
