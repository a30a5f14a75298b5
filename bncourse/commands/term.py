"""``bncourse collect``, ``feedback`` and ``export``: the steps of a term around grading.

Each is a thin step over nbgrader's own command of that step.
"""

import contextlib
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import click

from bncourse.commands import Command
from bncourse.commands.course import require_place, root_option
from bncourse.commands.stale import say_stale
from bncourse.console import printable

_EXPORTS = {"table": "PlainExport", "canvas": "CanvasExport", "moodle": "MoodleExport"}


@click.command(cls=Command, epilog="Example: bncourse collect ps1_forward")
@click.argument("problem_set")
@root_option
@click.option("--force", is_flag=True, help="Collect again, such as after an extension.")
@click.option("--allow-unknown", is_flag=True, help="Take ids that the roster does not know.")
def collect(problem_set, root, force, allow_unknown):
    """Collect PROBLEM_SET from the archive in downloaded/PROBLEM_SET/archive.

    Each file becomes a hand-in, or a line of left.csv with the reason. It is `nbgrader
    zip_collect`, which takes any option of a course by its name.
    """
    from bncourse.course import Course

    course = Course(root, problem_set)
    _require_archive(course)
    _keep_attempts(course)
    options = ["--force"] if force else []
    options += ["--HandInCollector.allow_unknown=True"] if allow_unknown else []
    _nbgrader(course.root, "zip_collect", problem_set, *options)


def _require_archive(course):
    """Refuse to collect from nothing: nbgrader would end as if all were well.

    Raises:
        CourseError: there is no file where the course keeps what it downloads.
    """
    from nbgrader.apps import ZipCollectApp

    from bncourse.errors import CourseError

    # Without an application, which would set up logging for the whole process.
    def value(name):
        default = getattr(ZipCollectApp, name).default_value
        return course.config.ZipCollectApp.get(name, default)

    folder = course.root / value("collect_directory_structure").format(
        downloaded=value("downloaded_directory"),
        assignment_id=course.problem_set,
        collect_step=value("archive_directory"),
    )
    if not any(path.is_file() for path in folder.rglob("*")):
        raise CourseError(f"{folder} must hold what the platform gave, such as a zip.")


def _keep_attempts(course):
    """Keep what this collection may replace, where the course keeps attempts."""
    from bncourse.errors import CourseError
    from bncourse.grading.batch import attempts

    if attempts.rule_of(course):
        # Before the first collection nobody has handed in.
        with contextlib.suppress(CourseError):
            attempts.keep(course, course.students())


@click.command(cls=Command, epilog="Example: bncourse feedback ps1_forward --for canvas")
@click.argument("problem_set")
@root_option
@click.option(
    "--for",
    "platform",
    type=click.Choice(["canvas", "moodle", "classroom", "mail"]),
    help="Pack the pages as this platform takes them back.",
)
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
@click.option("--unfinished", is_flag=True, help="Pack what waits for a human as well.")
def feedback(problem_set, root, platform, to, unfinished):
    """Bring the pages of feedback of PROBLEM_SET up to date, and pack them.

    The pages that no longer say what the gradebook says are made anew, as by `nbgrader
    generate_feedback`. A page on which an answer still waits for a human stays out of the pack.
    """
    from bncourse.course import Course
    from bncourse.platforms.counted import read_counted

    course = Course(root, problem_set)
    if to and platform in (None, "classroom"):
        raise click.UsageError("--to names a file, so --for must be canvas, moodle or mail.")
    require_place(to)
    _require_graded(course)
    # Before the work of minutes: whether the names are there that the platform gave.
    files = read_counted(_downloaded(course)) if platform in _BY_NAME else {}
    _nbgrader(course.root, "generate_feedback", problem_set, quiet=True)
    pages, waiting, unknown = _pages(course, files, unfinished)
    click.echo(f"{len(pages) + len(waiting)} pages say what the gradebook says.")
    _say_left("is not in the gradebook", unknown)
    say_stale(root, [problem_set])
    if platform:
        _say_left("still waits for a human (--unfinished packs it)", waiting)
        _SENDERS[platform](course, pages, to)


def _require_graded(course):
    from bncourse.errors import CourseError

    step = course.directory.autograded_directory
    if not any(course.root.glob(str(course.folder(step, "*").relative_to(course.root)))):
        raise CourseError(
            f"Nothing of {course.problem_set} is graded yet, so there is nothing to tell.",
            f"Grade it first: bncourse grade {course.problem_set}",
        )


@click.command(cls=Command, epilog="Example: bncourse export --for canvas --to grades-canvas.csv")
@root_option
@click.option(
    "--for",
    "platform",
    type=click.Choice(list(_EXPORTS)),
    default="table",
    show_default=True,
    help="Which form: nbgrader's own table, or what a platform imports.",
)
@click.option("--to", help="The file to write; each form has a name of its own.")
def export(root, platform, to):
    """Export the points of all problem sets, late penalties brought up to date.

    It is `nbgrader export`, which takes any option of a course by its name.
    """
    from bncourse.course import require_course
    from bncourse.errors import CourseError

    require_course(root)
    require_place(to)
    assignments = _assignments(root)
    if not assignments:
        raise CourseError(
            "The gradebook knows no problem set yet, so there are no points to export.",
            "Release one first: bncourse release",
        )
    exporter = f"--exporter=bncourse.platforms.export.{_EXPORTS[platform]}"
    # nbgrader writes into the folder of the course; a path of the caller's is relative to theirs.
    options = [f"--to={Path(to).resolve()}"] if to else []
    _nbgrader(root, "export", exporter, *options)
    say_stale(root, assignments)


def _assignments(root):
    """Return the names of what the gradebook of a course knows."""
    from nbgrader.api import Gradebook
    from nbgrader.coursedir import CourseDirectory

    from bncourse.course import load_config, scripts_on_path

    directory = CourseDirectory(config=load_config(root.resolve()))
    with scripts_on_path(), Gradebook(directory.db_url, directory.course_id) as book:
        return [each.name for each in book.assignments]


def _nbgrader(root, *arguments, quiet=False):
    """Run a command of nbgrader in the folder of a course, and end with what it ends with.

    It has a process of its own: an application of nbgrader sets up logging for all of it.

    Args:
        root: the folder.
        arguments: of nbgrader.
        quiet: whether to show what it says only where it fails.
    """
    from bncourse.course import scripts_on_path

    command = [sys.executable, Path(sysconfig.get_path("scripts"), "nbgrader"), *arguments]
    said, broke = [], False
    with (
        scripts_on_path(),
        subprocess.Popen(
            command, cwd=root, stderr=subprocess.PIPE, stdout=_OUTPUT[quiet], text=True
        ) as process,
    ):
        for line in process.stderr:
            said.append(line.rstrip("\n"))
            broke = broke or bool(_BROKE.match(line))
            if not quiet and not broke:
                click.echo(printable(said[-1]), err=True)
    if process.returncode:
        what, status = " ".join(arguments[:2]), process.returncode
        click.echo(printable(f"Error: {_failure(what, said, quiet)}"), err=True)
        # Killed by a signal, it has a negative one.
        sys.exit(status if status > 0 else 1)


_OUTPUT = {True: subprocess.DEVNULL, False: None}
# What begins the way in which Python and nbgrader show an exception that nobody caught.
_BROKE = re.compile(r"Traceback \(most recent call last\):|\w\S*(Error|Exception): ")
# What Python, SQLAlchemy and nbgrader say of the machine or the config, and not of a hand-in.
_REASONS = re.compile(
    r"No space left on device|[dD]isk quota exceeded|database or disk is full|"
    r"database is locked|readonly database|Read-only file system|Permission denied.*|"
    r"disk I/O error|(?:Trait|Argument|ModuleNotFound)Error: .*\w'?"
)


def _failure(what, said, quiet):
    """Return the sentence on a command of nbgrader that failed, from the lines that it wrote."""
    reasons = [found[0] for line in said if (found := _REASONS.search(line))]
    if reasons:
        return f"nbgrader {what} could not finish: {reasons[-1]}. Put it right, and repeat it."
    if quiet or any(map(_BROKE.match, said)):
        return "\n".join([f"nbgrader {what} could not finish:", *said])
    return f"nbgrader {what} could not finish, for the reason above."


def _pages(course, files, unfinished):
    """Return the Pages that go back, for whom something waits for a human, and who is not known.

    Args:
        course: the Course.
        files: ``{student: what was downloaded and counts}``.
        unfinished: whether the pages of those students go back as well.
    """
    from bncourse.grading.nbgrader.gradebook import opened
    from bncourse.platforms.back import Page

    with opened(course) as book:
        waits = {
            each.student.id: each.needs_manual_grade and not unfinished
            for each in book.assignment_submissions(course.problem_set)
        }
    step = course.directory.feedback_directory
    pattern = course.folder(step, "*").relative_to(course.root) / "*.html"
    found = [
        Page(path.parents[1].name, path, files.get(path.parents[1].name))
        for path in sorted(course.root.glob(str(pattern)))
    ]
    # A page stays where its student has withdrawn.
    unknown = sorted({each.student for each in found} - waits.keys())
    waiting = sorted({each.student for each in found if waits.get(each.student)})
    left = {*waiting, *unknown}
    return [each for each in found if each.student not in left], waiting, unknown


def _downloaded(course):
    return course.root / "downloaded" / course.problem_set


def _send_zip(course, pages, to, platform, name_of):
    from bncourse.platforms.back import pack

    _require_some(filter(name_of, pages), platform)
    to = to or course.root / f"feedback-{course.problem_set}-{platform}.zip"
    left = pack(pages, name_of, to)
    _say_left(f"did not come through {platform.title()}", left)
    click.echo(f"{len(pages) - len(left)} pages in {to}")


def _require_some(packed, platform):
    """Refuse a pack of nothing, which would look like all that there is.

    Raises:
        CourseError: none of the pages goes back.
    """
    from bncourse.errors import CourseError

    if not any(True for _ in packed):
        raise CourseError(
            f"A pack must hold at least one page, and none can go back now. Received: {platform}.",
            "--for must name where the hand-ins came from; --unfinished packs what waits.",
        )


def _send_canvas(course, pages, to):
    from bncourse.platforms.back import canvas_name

    _send_zip(course, pages, to, "canvas", canvas_name)
    click.echo("In Canvas: the assignment, Upload Submissions.")


def _send_moodle(course, pages, to):
    from bncourse.platforms.back import moodle_name

    _send_zip(course, pages, to, "moodle", moodle_name)
    click.echo("In Moodle: the assignment, Submissions, Upload multiple feedback files in a zip.")


def _send_classroom(course, pages, to):
    from bncourse.platforms.back import BRANCH, commit_pages

    archive = _downloaded(course) / "archive"
    repositories, left = commit_pages(pages, archive)
    _say_left("has no repository here", left)
    _require_some(repositories, "classroom")
    click.echo(f"{len(repositories)} repositories have the branch {BRANCH}. To send them:")
    where = archive.relative_to(course.root)
    click.echo(f'for r in {where}/*-submissions/*/; do git -C "$r" push -f origin {BRANCH}; done')


def _send_mail(course, pages, to):
    from bncourse.grading.nbgrader.gradebook import opened
    from bncourse.platforms.back import write_mail
    from bncourse.platforms.export import points

    with opened(course) as book:
        people = {
            each.id: (each.first_name or "", each.last_name or "", each.email or "")
            for each in book.students
        }
        earned = {
            each.student.id: f"{points(each)} of {each.max_score:g}"
            for each in book.assignment_submissions(course.problem_set)
        }
    _require_some((each for each in pages if people[each.student][2]), "mail")
    to = to or course.root / f"feedback-{course.problem_set}-mail.csv"
    left = write_mail(pages, people, earned, to)
    _say_left("has no e-mail in the gradebook (bncourse roster)", left)
    click.echo(f"{len(pages) - len(left)} mails in {to}")


# These find a student by the name that they gave to what was downloaded.
_BY_NAME = ("canvas", "moodle", "classroom")

_SENDERS = {
    "canvas": _send_canvas,
    "moodle": _send_moodle,
    "classroom": _send_classroom,
    "mail": _send_mail,
}


def _say_left(reason, students):
    if students:
        names = ", ".join(students)
        click.echo(printable(f"Left out, since it {reason}: {names}"), err=True)
