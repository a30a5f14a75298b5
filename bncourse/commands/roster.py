"""``bncourse roster``: tell the gradebook who is in the class."""

from pathlib import Path

import click

from bncourse.commands import Command
from bncourse.commands.course import root_option
from bncourse.console import printable
from bncourse.errors import CourseError


@click.command(cls=Command, epilog="Example: bncourse roster canvas-gradebook.csv --dry-run")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@root_option
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
def roster(file, root, dry_run):
    """Tell the gradebook who is in the class, from FILE.

    FILE is a list as Canvas, Moodle, GitHub Classroom or Excel writes it. Nobody is removed, and
    what the list does not say of a student stays.
    """
    from nbgrader.api import Gradebook, Student
    from nbgrader.coursedir import CourseDirectory

    from bncourse.course import load_config, scripts_on_path
    from bncourse.grading.nbgrader.gradebook import prepare
    from bncourse.platforms.roster import read_roster

    students = read_roster(file.read_bytes())
    course = CourseDirectory(config=load_config(root.resolve()))
    prepare(course.db_url)
    with scripts_on_path(), Gradebook(course.db_url, course.course_id) as book:
        there = {each.id: each for each in book.students}
        known = there.keys()
        _require_one_id_each(students, known)
        for each in students if not dry_run else ():
            student = there.get(each["id"]) or Student(id=each["id"])
            for key, value in each.items():
                setattr(student, key, value)
            book.db.add(student)
        # All of the list or, where it is stopped, nothing.
        book.db.commit()
    ids = {each["id"] for each in students}
    for what, found in (("new", ids - known), ("known", ids & known), ("not in it", known - ids)):
        names = f": {', '.join(sorted(found))}" if found and what != "known" else ""
        click.echo(printable(f"{len(found)} {what}{names}"))
    if dry_run:
        click.echo("Nothing was written.")


def _require_one_id_each(students, known):
    """Refuse an id that the gradebook knows in other letters: it would make two of a student."""
    alike = {each.casefold(): each for each in known}
    other = [
        f"{each['id']}, known as {alike[each['id'].casefold()]}"
        for each in students
        if each["id"] not in known and each["id"].casefold() in alike
    ]
    if other:
        raise CourseError(
            f"The id of a student must be written as the gradebook has it. Received: "
            f"{'; '.join(other)}"
        )
