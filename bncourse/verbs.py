"""The verbs of ``bncourse``: the table that the help shows, and where each is defined."""

import difflib
from importlib import import_module
from typing import NamedTuple


class Verb(NamedTuple):
    """A verb of the command line.

    Args:
        module: in bncourse.commands, or in bncourse.study; it defines the command under
            ``attribute``.
        attribute: the name of the command there.
        help: one line.
    """

    module: str
    attribute: str
    help: str


# For a student: they need NumPy and nothing else, so neither click nor rich.
STUDY = {
    "new": Verb("new", "main", "Put the notebook of a problem set into the current folder."),
    "progress": Verb("progress", "main", "Print how far a notebook is, as it was saved."),
    "watch": Verb("watch", "main", "Check a Python file again at each save."),
}

VERBS = {
    "book": Verb("book", "book", "Build the website, its pages executed side by side."),
    "class": Verb("glance", "glance", "Show a class at a glance, and write it to one page."),
    "collect": Verb("term", "collect", "Collect hand-ins from what a platform gave."),
    "export": Verb("term", "export", "Export the points, also as Canvas and Moodle import them."),
    "extend": Verb("extend", "extend", "Give one student more time."),
    "feedback": Verb("term", "feedback", "Make the pages of feedback, and pack them."),
    "grade": Verb("grade", "grade", "Grade all submissions of a problem set in the sandbox."),
    "release": Verb("course", "release", "Derive the notebooks and release them to exercises/."),
    "roster": Verb("roster", "roster", "Tell the gradebook who is in the class."),
    "sample-class": Verb("course", "sample_class", "Make a sample class and grade it."),
    "show-grades": Verb("course", "show_grades", "Print the grades of a course."),
    "similar": Verb("similar", "similar", "Show which hand-ins share unusual text."),
}

NEEDS = "Each verb needs the repository of the course and: pip install -e '.[grading]'"


def study(name):
    """Return the function of a verb for students; it takes the arguments behind the verb."""
    verb = STUDY[name]
    return getattr(import_module(f"bncourse.study.{verb.module}"), verb.attribute)


def command(name):
    """Return the click command of a verb."""
    verb = VERBS[name]
    return getattr(import_module(f"bncourse.commands.{verb.module}"), verb.attribute)


def unknown(name):
    """Return what to say of a verb that does not exist.

    >>> unknown("nwe")
    'There is no verb called "nwe". Did you mean new? All of them: bncourse --help'
    """
    close = difflib.get_close_matches(name, [*STUDY, *VERBS], n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f'There is no verb called "{name}".{hint} All of them: bncourse --help'


def plain_help():
    """Return the help where the packages of the command line are missing.

    >>> print(plain_help().splitlines()[0])
    Usage: bncourse VERB [OPTIONS]
    """
    mine, rest = (
        [f"  {name:14}{verb.help}" for name, verb in table.items()] for table in (STUDY, VERBS)
    )
    head = ["Usage: bncourse VERB [OPTIONS]", "", "For students:", *mine]
    return "\n".join([*head, "", "To build the course and to grade:", *rest, "", NEEDS])
