"""The verbs of ``bncourse``: the table that the help shows, and where each is defined."""

from importlib import import_module
from typing import NamedTuple


class Verb(NamedTuple):
    """A verb of the command line.

    Args:
        module: in bncourse.commands; it defines the command under ``attribute``.
        attribute: the name of the command there.
        help: one line.
    """

    module: str
    attribute: str
    help: str


VERBS = {
    "book": Verb("book", "book", "Build the website, its pages executed side by side."),
    "class": Verb("glance", "glance", "Show a class at a glance, and write it to one page."),
    "grade": Verb("grade", "grade", "Grade all submissions of a problem set in the sandbox."),
    "progress": Verb("progress", "progress", "Print how far a notebook is, as it was saved."),
    "release": Verb("course", "release", "Derive the notebooks and release them to exercises/."),
    "roster": Verb("roster", "roster", "Tell the gradebook who is in the class."),
    "sample-class": Verb("course", "sample_class", "Make a sample class and grade it."),
    "show-grades": Verb("course", "show_grades", "Print the grades of the sample class."),
    "similar": Verb("similar", "similar", "Show which hand-ins share unusual text."),
}

NEEDS = "Each verb needs the repository of the course and: pip install -e '.[grading]'"


def command(name):
    """Return the click command of a verb."""
    verb = VERBS[name]
    return getattr(import_module(f"bncourse.commands.{verb.module}"), verb.attribute)


def plain_help():
    """Return the help where the packages of the command line are missing.

    >>> print(plain_help().splitlines()[0])
    Usage: bncourse VERB [OPTIONS]
    """
    lines = [f"  {name:14}{verb.help}" for name, verb in VERBS.items()]
    return "\n".join(["Usage: bncourse VERB [OPTIONS]", "", *lines, "", NEEDS])
