"""An nbgrader course: its folder, its configuration, who handed in, what was released."""

import contextlib
import os
import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbgrader.coursedir import CourseDirectory
from traitlets.config import PyFileConfigLoader

from bncourse.errors import CourseError
from bncourse.limits import limits_of
from bncourse.registry import MissingPackage, problem_sets, require


def require_course(root):
    """Refuse a folder that is no course.

    Raises:
        CourseError: there is no nbgrader_config.py in it.
    """
    if not Path(root, "nbgrader_config.py").exists():
        raise CourseError(
            f"--root must be the folder of a course, with nbgrader_config.py in it. "
            f"Received: {root}"
        )


def load_config(root):
    """Return the traitlets Config of a course folder, from its nbgrader_config.py.

    Raises:
        CourseError: the folder is no course, or its nbgrader_config.py cannot run.
    """
    require_course(root)
    try:
        config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
    except Exception as error:
        # An instructor's code may raise anything.
        raise CourseError(
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


@dataclass
class Course:
    """An nbgrader course folder, and one of its problem sets.

    Args:
        root: the folder with nbgrader_config.py.
        problem_set: the assignment.

    Raises:
        CourseError: there is no such course or problem set, a package that it needs is missing, or
            a limit is wrong.
    """

    root: Path
    problem_set: str

    def __post_init__(self):
        self.root = Path(self.root).resolve()
        self.config = load_config(self.root)
        known = problem_sets(optional=True)
        if self.problem_set not in known:
            raise CourseError(f"A problem set must be one of {known}. Received: {self.problem_set}")
        try:
            require(self.problem_set)
        except MissingPackage as missing:
            raise CourseError(str(missing)) from None
        self.options = self.config.TrustedExecute
        if "records" not in self.options:
            raise CourseError("nbgrader_config.py must end with configure(c, __file__).")
        self.directory = CourseDirectory(config=self.config)
        self.directory.assignment_id = self.problem_set
        self.records = Path(self.options.records)
        try:
            self.limits = limits_of(self.config)
        except ValueError as reason:
            raise CourseError(str(reason)) from None

    def folder(self, step, student):
        """Return the folder of a student at a step of nbgrader, such as ``submitted``."""
        return Path(self.directory.format_path(step, student, self.problem_set))

    def students(self):
        """Return everybody who handed in a folder, in order.

        Raises:
            CourseError: nobody did.
        """
        step = self.directory.submitted_directory
        pattern = self.folder(step, "*").relative_to(self.root)
        found = sorted(path.parent.name for path in self.root.glob(str(pattern)) if path.is_dir())
        if not found:
            raise CourseError(f"Nobody handed in {self.problem_set}.")
        return found

    @property
    def how_to_release(self):
        """What to run so that the release and the gradebook know the problem set."""
        source = self.folder(self.directory.source_directory, ".")
        # nbgrader needs the notebooks, which git does not carry: they are derived from the texts.
        if any(source.glob("*.md")):
            return "Run bncourse release"
        return f"Run nbgrader generate_assignment {self.problem_set} --force"

    def release(self):
        """Return ``{file name: released notebook}``.

        Raises:
            CourseError: there is none, or one cannot be read.
        """
        try:
            found = read_releases(self.folder(self.directory.release_directory, "."))
        except Exception as error:
            # Each reader of nbformat fails in ways of its own.
            raise self.damaged(error) from None
        if not found:
            raise CourseError(
                f"There is no released notebook of {self.problem_set}. {self.how_to_release}"
            )
        return found

    def damaged(self, error):
        """Return the CourseError that says what is wrong with the release."""
        reason = f"{type(error).__name__}: {error}"[:200]
        return CourseError(f"A released notebook is damaged. {self.how_to_release} ({reason})")


def read_releases(folder):
    """Return ``{file name: released notebook}`` of a folder."""
    paths = sorted(Path(folder).glob("*.ipynb"))
    return {path.name: nbformat.read(path, as_version=4) for path in paths}
