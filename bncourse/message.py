"""What a student reads about a verdict: the same sentences in the self-check and in feedback."""

import itertools
import textwrap

from bncourse.attempt import OUR_WORDS
from bncourse.contents import where
from bncourse.progress import MOST_NAMED, listed


def report(exercise, verdict, hidden=False):
    """Return the message for a student; it holds no expected value, so grading can show it.

    Args:
        exercise: the Exercise.
        verdict: a Verdict other than ``ok``.
        hidden: whether the student may not see the inputs. What the solution printed, and the
            text of an exception, may hold them and are left out.
    """
    lines = [f"{exercise.name} is not right yet.", f'Case "{verdict.case}":']
    lines += [_wrap(line, indent="  ") for line in _finding(verdict, hidden).splitlines()]
    if verdict.progress:
        lines.append(_wrap(f"So far: {' '.join(verdict.progress)}"))
    if verdict.credit:
        lines.append(_wrap(verdict.credit))
    lines += [_wrap(line) for line in _causes(verdict)]
    lines.append(f"Re-read: {where(verdict.mistake.see if verdict.mistake else exercise.see)}.")
    if verdict.printed and not hidden:
        lines.append(f"It printed: {verdict.printed.rstrip()}")
    return "\n".join(lines)


def _causes(verdict):
    """Yield a line for each mistake that is known to explain the finding."""
    words = "Likely cause" if verdict.sure else "It may be"
    for mistake, labels in itertools.zip_longest(verdict.mistakes, verdict.explained, fillvalue=()):
        # A cause of the second result must not be taken for one of the first.
        of = f", for {listed(labels)}" if 0 < len(labels) <= MOST_NAMED else ""
        yield f"{words}{of}: {mistake.hint}"
        words = "And" if verdict.sure else "And it may be"


def _finding(verdict, hidden):
    if hidden and verdict.kind == "error" and verdict.error not in OUR_WORDS:
        return f"It raised {verdict.error}. Run the check in your notebook to see where and why."
    return verdict.finding + (f"\n{verdict.line}" if verdict.line and not hidden else "")


def _wrap(text, indent=""):
    # Notebooks and feedback pages do not wrap the text of an error.
    return textwrap.fill(text, width=88, initial_indent=indent, subsequent_indent=indent)
