"""What an autograded notebook says about how it was graded: for the formgrader and for a resume."""

from dataclasses import asdict, dataclass

# In the metadata of the notebook.
_KEY = "bncourse"


@dataclass(frozen=True)
class Mark:
    """What the grader keeps in a notebook.

    Args:
        verdict: the key of the verdict in the store; empty where nothing was run.
        reason: why there was nothing to run.
        look: whether a human should see it.
        text: a hash of all that was read, answers in words too, which have no verdict.
    """

    verdict: str = ""
    reason: str = ""
    look: bool = False
    text: str = ""

    def write(self, notebook):
        """Put the mark into a notebook."""
        notebook.metadata[_KEY] = asdict(self)


def mark_of(notebook):
    """Return the Mark of a notebook, or None; a notebook is a dict, as nbformat or JSON has it."""
    found = notebook["metadata"].get(_KEY)
    try:
        return Mark(**found)
    except TypeError:
        return None
