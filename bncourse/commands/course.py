"""``bncourse release``, ``sample-class`` and ``show-grades``: make the course, and try it."""

from pathlib import Path

import click
from rich.table import Table

from bncourse.commands import Command
from bncourse.console import make_console, printable, safe
from bncourse.course import require_course
from bncourse.errors import CourseError

root_option = click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    help="The repository, with nbgrader_config.py.",
)


@click.command(cls=Command, epilog="Example: bncourse release --root ~/batch-norm")
@root_option
def release(root):
    """Derive the notebooks from solutions/ and release them to exercises/.

    It makes the gradebook where there is none. A group that shares the folder may write in it.
    """
    from nbgrader.coursedir import CourseDirectory

    from bncourse.course import load_config
    from bncourse.grading.nbgrader.gradebook import prepare
    from bncourse.release import release as run

    prepare(CourseDirectory(config=load_config(root.resolve())).db_url)
    try:
        run(root, say=click.echo)
    except OSError as error:
        raise CourseError(f"The folder of the course must be writable: {error}") from None
    except RuntimeError as reason:
        raise click.ClickException(str(reason)) from None


@click.command(
    "sample-class", cls=Command, epilog="Example: bncourse sample-class --course /tmp/trial"
)
@root_option
@click.option(
    "--course",
    type=click.Path(file_okay=False, path_type=Path),
    default="_build/sample_class",
    show_default=True,
    help="The folder of the sample class; it is made anew.",
)
def sample_class(root, course):
    """Make a sample class from the exercise specs and grade it with nbgrader."""
    from bncourse.trial import sample_class as sample

    require_course(root)
    classes = sample.make_submissions(root, course)
    for assignment, students in classes.items():
        click.echo(f"{assignment}: {len(students)} students")
    sample.grade(course, classes, say=click.echo)


@click.command("show-grades", cls=Command, epilog="Example: bncourse show-grades .")
@click.argument("course", type=click.Path(exists=True, file_okay=False, path_type=Path))
def show_grades(course):
    """Print the grades of COURSE, all problem sets, and where one student's feedback is."""
    from nbgrader.api import Gradebook
    from nbgrader.coursedir import CourseDirectory

    from bncourse.course import load_config, scripts_on_path
    from bncourse.trial.sample_class import BLANK, PERFECT

    directory = CourseDirectory(config=load_config(course.resolve()))
    table = Table(title=f"Grades of {course.resolve().name}")
    table.add_column("problem set")
    table.add_column("student", no_wrap=True)
    for heading in ("points", "of", "by hand", "late", "waiting for a human"):
        table.add_column(heading, justify="right")
    with scripts_on_path(), Gradebook(directory.db_url, directory.course_id) as book:
        for name, points, student, *others in sorted(grade_rows(book)):
            numbers = (f"{value:g}" for value in (-points, *others))
            table.add_row(safe(name), safe(student), *numbers)
    make_console().print(table)
    pages = sorted(course.glob("feedback/*/*/*.html"))
    failing = [page for page in pages if page.parts[-3] not in (PERFECT, BLANK)]
    if failing:
        click.echo(printable(f"One student's feedback: {failing[0]}"))


def grade_rows(book):
    """Yield a row for each hand-in that the gradebook knows; it sorts the best of a set first.

    Returns:
        Rows of problem set, points with a minus, student, points that can be had, those by hand,
        those that a late hand-in costs, those that wait for a human.
    """
    for assignment in book.assignments:
        for submission in book.assignment_submissions(assignment.name):
            cells = [grade for notebook in submission.notebooks for grade in notebook.grades]
            late = sum(each.late_submission_penalty or 0.0 for each in submission.notebooks)
            yield (
                assignment.name,
                -max(0.0, submission.score - late),
                submission.student.id,
                submission.max_score,
                sum(grade.manual_score or 0.0 for grade in cells),
                late,
                sum(grade.max_score for grade in cells if grade.needs_manual_grade),
            )
