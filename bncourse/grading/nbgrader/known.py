"""Whom the gradebook knows, and who an id that it does not know may be."""

import difflib


def names_of(student):
    """Return what a Student of the gradebook may be called, in letters and digits alone."""
    first, last = student.first_name or "", student.last_name or ""
    return {_plain(each) for each in (student.id, f"{first}{last}", f"{last}{first}") if each}


def is_listed(student):
    """Return whether a Student came with a list of the class; grading adds one by the id alone."""
    return any((student.first_name, student.last_name, student.email, student.lms_user_id))


def named(unknown, roster):
    """Return ids as one text, each with whom on the roster it may be.

    Args:
        unknown: the ids.
        roster: ``{id: names}``, as ``names_of`` returns them.

    >>> named(["ADA", "zoe"], {"ada": {"ada", "adalovelace"}})
    'ADA (perhaps ada), zoe'
    """
    return ", ".join(f"{each}{_like(each, roster)}" for each in sorted(unknown))


def _like(unknown, roster):
    names = {name: student for student, names in roster.items() for name in names}
    close = difflib.get_close_matches(_plain(unknown), names, n=1, cutoff=0.8)
    return f" (perhaps {names[close[0]]})" if close else ""


def _plain(name):
    return "".join(filter(str.isalnum, name.casefold()))
