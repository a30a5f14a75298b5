"""``bncourse release``, ``sample-class`` and ``show-grades``: make the course, and try it."""

from pathlib import Path

import click
from rich.table import Table

from bncourse.commands import Command
from bncourse.console import make_console
from bncourse.course import require_course
from bncourse.errors import CourseError

root_option = click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    help="The repository, with nbgrader_config.py.",
)


@click.command(cls=Command)
@root_option
def release(root):
    """Derive the notebooks from solutions/ and release them to exercises/."""
    from bncourse.release import release as run

    require_course(root)
    try:
        run(root, say=click.echo)
    except OSError as error:
        raise CourseError(f"The folder of the course must be writable: {error}") from None
    except RuntimeError as reason:
        raise click.ClickException(str(reason)) from None


@click.command("sample-class", cls=Command)
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


@click.command("show-grades", cls=Command)
@click.argument("course", type=click.Path(exists=True, file_okay=False, path_type=Path))
def show_grades(course):
    """Print the grade table of COURSE, and where one failing student's feedback is."""
    from bncourse.trial import sample_class as sample

    feedback = sorted(Path(course, "feedback").glob("*/*/*.html"))
    assignments = sorted({path.parent.name for path in feedback})
    table = Table(title="Sample class")
    table.add_column("assignment")
    table.add_column("student", no_wrap=True)
    for heading in ("points", "of", "waiting for a human"):
        table.add_column(heading, justify="right")
    for row in sample.grades(course, assignments):
        numbers = (f"{row[key]:g}" for key in ("auto", "of", "by_hand"))
        table.add_row(row["assignment"], row["student"], *numbers)
    make_console().print(table)
    failing = next(p for p in feedback if p.parts[-3] not in (sample.PERFECT, sample.BLANK))
    click.echo(f"One student's feedback: {failing}")
