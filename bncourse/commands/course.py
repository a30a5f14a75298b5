"""``bncourse release``, ``sample-class`` and ``show-grades``: make the course, and try it."""

import contextlib
from pathlib import Path

import click
from rich.table import Table

from bncourse.commands import Command
from bncourse.commands.stale import say_stale
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


def require_place(to):
    """Refuse a file to write that is a folder, or in a folder that is not there; None is neither.

    Raises:
        CourseError: it is.
    """
    if to and (Path(to).is_dir() or not Path(to).resolve().parent.is_dir()):
        raise CourseError(f"--to must be a file in a folder that is there. Received: {to}")


@click.command(cls=Command, epilog="Example: bncourse release --root ~/batch-norm")
@root_option
def release(root):
    """Derive the notebooks from solutions/ and release them to exercises/.

    It makes the gradebook where there is none. A group that shares the folder may write in it.
    """
    from nbgrader.coursedir import CourseDirectory

    from bncourse.course import load_config
    from bncourse.grading.nbgrader.gradebook import prepare
    from bncourse.grading.nbgrader.one_writer import only_writer
    from bncourse.release import release as run

    config = load_config(root.resolve())
    prepare(CourseDirectory(config=config).db_url)
    records = config.TrustedExecute.get("records")
    try:
        with only_writer(Path(records), click.echo) if records else contextlib.nullcontext():
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
    """Make a sample class from the exercise specs and grade it with nbgrader.

    A folder that holds anything but an earlier sample class is refused.
    """
    from bncourse.trial import sample_class as sample

    require_course(root)
    _require_sample(course)
    classes = sample.make_submissions(root, course)
    for assignment, students in classes.items():
        click.echo(f"{assignment}: {len(students)} students")
    sample.grade(course, classes, say=click.echo)


def _require_sample(course):
    from bncourse.trial.sample_class import is_sample

    if course.is_dir() and any(course.iterdir()) and not is_sample(course):
        raise CourseError(
            f"--course must be a new folder, or one with a sample class in it, which is made anew. "
            f"Received: {course}"
        )


@click.command("show-grades", cls=Command, epilog="Example: bncourse show-grades .")
@click.argument("course", type=click.Path(exists=True, file_okay=False, path_type=Path))
def show_grades(course):
    """Print the grades of COURSE, all problem sets, and where one student's feedback is."""
    from nbgrader.api import Gradebook
    from nbgrader.coursedir import CourseDirectory

    from bncourse.course import load_config, scripts_on_path
    from bncourse.trial.sample_class import BLANK, PERFECT

    config = load_config(course.resolve())
    directory = CourseDirectory(config=config)
    table = Table(title=f"Grades of {course.resolve().name}")
    table.add_column("problem set")
    table.add_column("student", no_wrap=True)
    for heading in ("points", "of", "by hand", "late", "waiting for a human"):
        table.add_column(heading, justify="right")
    with scripts_on_path(), Gradebook(directory.db_url, directory.course_id) as book:
        rows = sorted(grade_rows(book, config))
    for name, points, student, *others in rows:
        numbers = (f"{value:g}" for value in (-points, *others))
        table.add_row(safe(name), safe(student), *numbers)
    make_console().print(table)
    say_stale(course, [name for name, *_ in rows])
    pages = sorted(course.glob("feedback/*/*/*.html"))
    failing = [page for page in pages if page.parts[-3] not in (PERFECT, BLANK)]
    if failing:
        click.echo(printable(f"One student's feedback: {failing[0]}"))


def grade_rows(book, config):
    """Yield a row for each hand-in that the gradebook knows; it sorts the best of a set first.

    Args:
        book: the Gradebook.
        config: the traitlets Config of the course.

    Returns:
        Rows of problem set, points with a minus, student, points that can be had, those by hand,
        those that a late hand-in costs now, those that wait for a human.
    """
    from bncourse.grading.nbgrader.penalties import Policy

    for assignment in book.assignments:
        policy = Policy(config, assignment.name)
        for submission in book.assignment_submissions(assignment.name):
            cells = [grade for notebook in submission.notebooks for grade in notebook.grades]
            late = sum(penalty for _, penalty in policy.due(submission))
            yield (
                assignment.name,
                -max(0.0, submission.score - late),
                submission.student.id,
                submission.max_score,
                sum(grade.manual_score or 0.0 for grade in cells),
                late,
                sum(grade.max_score for grade in cells if grade.needs_manual_grade),
            )
