"""Open the nbgrader course of a folder."""

import contextlib
import os
import sysconfig
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
        Mistake: the folder is no course.
    """
    require_course(root)
    config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
    config.CourseDirectory.root = str(root)
    return config


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
