"""Open the nbgrader course of a folder."""

import contextlib
import os
import sysconfig

from traitlets.config import PyFileConfigLoader


def load_config(root):
    """Return the traitlets Config of a course folder, from its nbgrader_config.py."""
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
