"""Open the nbgrader course of a folder."""

import contextlib
import os
import sysconfig
import traceback
from pathlib import Path

from traitlets.config import PyFileConfigLoader

from bncourse.mistake import Mistake


def require_course(root):
    """Refuse a folder that is no course.

    Raises:
        Mistake: there is no nbgrader_config.py in it.
    """
    if not Path(root, "nbgrader_config.py").exists():
        raise Mistake(
            f"--root must be the folder of a course, with nbgrader_config.py in it. "
            f"Received: {root}"
        )


def load_config(root):
    """Return the traitlets Config of a course folder, from its nbgrader_config.py.

    Raises:
        Mistake: the folder is no course, or its nbgrader_config.py cannot run.
    """
    require_course(root)
    try:
        config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
    except Exception as error:
        # An instructor's code may raise anything.
        raise Mistake(
            f"nbgrader_config.py must run without an error. "
            f"Received: {_place(error)}: {type(error).__name__}: {getattr(error, 'msg', error)}"
        ) from None
    config.CourseDirectory.root = str(root)
    return config


def _place(error):
    """Return the file and the line where the code of a course fails."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    config = [each for each in frames if Path(each.filename).name == "nbgrader_config.py"]
    last = (config or frames)[-1]
    return f"{last.filename}, line {last.lineno}"


@contextlib.contextmanager
def scripts_on_path():
    """Let nbgrader find ``alembic``, which it runs for a new gradebook.

    Without it nbgrader fails in a virtual environment that is used without being activated.
    """
    # Not nbgrader's setenv: it deletes the variable at the end instead of restoring it.
    before = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before
