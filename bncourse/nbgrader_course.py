"""Open the nbgrader course of a folder."""

import os
import sysconfig

from nbgrader.utils import setenv
from traitlets.config import PyFileConfigLoader


def load_config(root):
    """Return the traitlets Config of a course folder, from its nbgrader_config.py."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
    config.CourseDirectory.root = str(root)
    return config


def scripts_on_path():
    """Return a context in which nbgrader finds ``alembic``, which it runs for a new gradebook.

    Without it nbgrader fails in a virtual environment that is used without being activated.
    """
    return setenv(PATH=os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")]))
