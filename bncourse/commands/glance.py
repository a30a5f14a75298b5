"""``bncourse class``: a class at a glance, in the terminal and as one page."""

import hashlib
import os

import click
from rich.table import Table

from bncourse.commands import Command
from bncourse.commands.course import require_place, root_option
from bncourse.console import make_console, printable, safe
from bncourse.errors import CourseError

_SHOWN_MISTAKES = 5


@click.command(
    "class",
    cls=Command,
    epilog="Example: bncourse class ps1_forward --anonymous --to class.html",
)
@click.argument("problem_set")
@root_option
@click.option("--anonymous", is_flag=True, help="Numbers in the place of names.")
@click.option(
    "--to", type=click.Path(dir_okay=False), help="The page; by default in .grading, for you only."
)
def glance(problem_set, root, anonymous, to):
    """Show a class at a glance, and write it to one page of HTML.

    It reads the verdicts that are there, so it can be used while grading runs. Nothing runs and no
    grade changes.
    """
    from bncourse.glance.facts import LEFT, facts_of, page_path
    from bncourse.glance.page import page_of, request_rows, states
    from bncourse.grading.work import GradedCourse
    from bncourse.platforms.left import TABLE, asked_for
    from bncourse.platforms.transfer import unfinished
    from bncourse.release import unfinished as release_unfinished

    require_place(to)
    course = GradedCourse(root, problem_set)
    downloaded = course.root / "downloaded" / problem_set
    left = asked_for(downloaded)
    of_nobody = len(left.pop("", ()))
    facts = facts_of(course, left)
    students = [each.student for each in facts.standings]
    names = (
        numbered(students, course.setting.secret)
        if anonymous
        else dict(zip(students, students, strict=True))
    )
    if anonymous:
        facts.standings.sort(key=lambda each: int(names[each.student].split()[1]))
    path = to or page_path(course)
    try:
        write_private(path, page_of(facts, names))
    except OSError as error:
        raise CourseError(f"The page must be writable: {error}") from None
    _print(facts, states(facts), names)
    if of_nobody or facts.count(LEFT):
        nameless = f" ({of_nobody} tell no student)" if of_nobody else ""
        click.echo(f"Files that are no hand-in{nameless}: {downloaded / TABLE}")
    for told in filter(None, (release_unfinished(course.root), unfinished(course))):
        click.echo(told)
    for students, what, command in facts.old():
        click.echo(f"{students} x {what}; to bring it up to date: {command}")
    for student, text, flag in request_rows(facts, names):
        click.echo(printable(f"Regrade request of {student} (flag {flag}): {text}"))
    click.echo(f"The page: {path}")


def numbered(students, secret):
    """Return ``{student: "student 1"}`` in an order that tells nothing of the names.

    Args:
        students: the ids.
        secret: of the course; the same at each call, and known to nobody else.
    """
    order = sorted(students, key=lambda each: hashlib.sha256(f"{secret} {each}".encode()).digest())
    return {student: f"student {number}" for number, student in enumerate(order, 1)}


def write_private(path, text):
    """Write a file that only its owner, and the group of a shared course, may read."""
    from bncourse.grading.kept import make_folder, open_kept
    from bncourse.whole import whole_file

    make_folder(os.path.dirname(path) or ".")
    flags = os.O_WRONLY | os.O_TRUNC
    with whole_file(path) as half, open(open_kept(half, flags), "w") as file:
        file.write(text)


def _print(facts, counts, names):
    from bncourse.glance.facts import LEFT, MISSING

    console = make_console()
    console.print(", ".join(f"{number} {state}" for state, number in counts))
    for heading, found in (
        ("Nothing came from", [e.student for e in facts.standings if e.state == MISSING]),
        ("Came as no hand-in, from", [e.student for e in facts.standings if e.state == LEFT]),
        ("Not in the list of the class", [e.student for e in facts.standings if not e.known]),
    ):
        if found:
            console.print(safe(f"{heading}: {', '.join(names[each] for each in found)}"))
    table = Table(title="Outcomes")
    for heading in ("exercise", "ok", "wrong", "other"):
        table.add_column(heading)
    for name, words in facts.outcomes.items():
        other = words.total() - words["ok"] - words["wrong"]
        table.add_row(safe(name), *map(str, (words["ok"], words["wrong"], other)))
    console.print(table)
    for number, name, hint in facts.mistakes[:_SHOWN_MISTAKES]:
        console.print(safe(f"{number} x {name}: {hint}"))
