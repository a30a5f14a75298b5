"""Which folder may see what, and which has a say: where a module stands decides its exposure.

A submission sees the files directly in the folders of ``SEEN``, and of ``reference`` the modules
with which its problem set goes on. What is not there cannot be found: specs, known mistakes and
oracles that answer the problem set have no file in the sandbox. A module put into another folder
stays hidden.

A verdict depends on the folders of ``DECIDES``, with all that is in them, and on nothing else.
"""

from pathlib import Path

import bncourse
from bncourse.registry import open_modules

PACKAGE = Path(bncourse.__file__).parent

# The self-check, which a student installs anyway, and what runs a submission.
SEEN = (".", "grading/inside")

# The judge and the limits, the specs, the oracles, the grader. Files directly in the package too.
DECIDES = ("exercises", "reference", "grading")

# Packages that hold what is seen: a submission imports them, and there is nothing in them.
_DOORS = ("exercises/__init__.py", "grading/__init__.py", "reference/__init__.py")


def seen_by(problem_set=None):
    """Return the files that a submission sees, relative to the package.

    Args:
        problem_set: what was handed in; without one, what every submission sees.
    """
    files = [path for folder in SEEN for path in (PACKAGE / folder).glob("*.py")]
    names = {str(path.relative_to(PACKAGE)) for path in files}
    opened = open_modules(problem_set) if problem_set else ()
    return sorted({*names, *_DOORS, *(f"reference/{name}.py" for name in opened)})


def files_that_decide():
    """Return the paths of all files with a say in a verdict, in order."""
    found = {*PACKAGE.glob("*.py")}
    for folder in DECIDES:
        found |= {*(PACKAGE / folder).rglob("*.py")}
    return sorted(found)
