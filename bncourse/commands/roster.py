"""``bncourse roster``: tell the gradebook who is in the class."""

from pathlib import Path

import click

from bncourse.commands import Command
from bncourse.commands.course import root_option
from bncourse.console import printable


@click.command(cls=Command, epilog="Example: bncourse roster canvas-gradebook.csv --dry-run")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@root_option
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
def roster(file, root, dry_run):
    """Tell the gradebook who is in the class, from FILE.

    FILE is a list as Canvas, Moodle, GitHub Classroom or Excel writes it. Nobody is removed, and
    what the list does not say of a student stays.
    """
    from nbgrader.api import Gradebook
    from nbgrader.coursedir import CourseDirectory

    from bncourse.course import load_config, scripts_on_path
    from bncourse.grading.nbgrader.gradebook import prepare
    from bncourse.platforms.roster import read_roster

    students = read_roster(file.read_bytes())
    course = CourseDirectory(config=load_config(root.resolve()))
    prepare(course.db_url)
    with scripts_on_path(), Gradebook(course.db_url, course.course_id) as book:
        known = {each.id for each in book.students}
        for each in students if not dry_run else ():
            details = {key: value for key, value in each.items() if key != "id"}
            book.update_or_create_student(each["id"], **details)
    ids = {each["id"] for each in students}
    for what, found in (("new", ids - known), ("known", ids & known), ("not in it", known - ids)):
        names = f": {', '.join(sorted(found))}" if found and what != "known" else ""
        click.echo(printable(f"{len(found)} {what}{names}"))
    if dry_run:
        click.echo("Nothing was written.")
