"""A hand-in on its way through grading: what was read, and the setting it is graded in.

Nothing here runs a student's code, so what only reads hand-ins needs no sandbox.
"""

import hashlib
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from bncourse.course import Course
from bncourse.credit import require_weights
from bncourse.errors import CourseError
from bncourse.grading.intake.hand_in import read_hand_in
from bncourse.grading.intake.script import exercises_of, graded_cells, script_of, weights_of
from bncourse.grading.outcome import Report, ungraded
from bncourse.grading.outside.sandbox import require_hidden
from bncourse.grading.record.seed import course_seed
from bncourse.grading.record.store import Store, key_of
from bncourse.limits import Limits, limits_of
from bncourse.registry import load


@dataclass(frozen=True)
class Setting:
    """What a verdict depends on, beside the hand-in and the code.

    Args:
        problem_set: its name.
        limits: the Limits.
        secret: the seed of the course; see ``record.seed``.
        unsafe, gpu: as for WarmProcess.
    """

    problem_set: str
    limits: Limits
    secret: int
    unsafe: bool = False
    gpu: bool = False


def setting_of(config, problem_set):
    """Return the Setting that the traitlets Config of a course demands.

    Raises:
        CourseError: a limit is wrong, or the secret of the course cannot be read or made.
    """
    options = config.TrustedExecute
    try:
        limits = limits_of(config)
        secret = course_seed(options.get("secret_file", ".course_secret"), records_of(config))
    except (ValueError, OSError) as reason:
        raise CourseError(str(reason)) from None
    unsafe, gpu = bool(options.get("unsafe", False)), bool(options.get("gpu", False))
    if not unsafe:
        require_hidden(records_of(config).resolve().parent)
    return Setting(problem_set, limits, secret, unsafe, gpu)


def records_of(config):
    """Return the folder of the records of a course."""
    return Path(config.TrustedExecute.get("records", ".grading"))


def store_of(records):
    """Return the Store of verdicts in the folder of records of a course."""
    return Store(records / "verdicts")


@dataclass
class GradedCourse(Course):
    """A course with the setting in which its hand-ins are graded.

    Args:
        root, problem_set: as of Course.
        unsafe, gpu: as for WarmProcess, also where the course does not say so.

    Raises:
        CourseError: as Course, and where the secret of the course cannot be read.
    """

    unsafe: bool = False
    gpu: bool = False

    def __post_init__(self):
        super().__post_init__()
        self.options.unsafe = self.unsafe or bool(self.options.get("unsafe", False))
        self.options.gpu = self.gpu or bool(self.options.get("gpu", False))
        self.setting = setting_of(self.config, self.problem_set)
        self.store = store_of(self.records)

    def release(self):
        """Return ``{file name: released notebook}``.

        Raises:
            CourseError: there is none, or one cannot be graded.
        """
        found = super().release()
        try:
            for notebook in found.values():
                # It refuses a graded cell that no exercise answers.
                exercises_of(self.problem_set, graded_cells(notebook))
                for name, weights in weights_of(notebook).items():
                    require_weights(load(self.problem_set)[name], weights)
        except (KeyError, ValueError) as reason:
            raise CourseError(reason.args[0]) from None
        except Exception as error:
            raise self.damaged(error) from None
        return found


@dataclass
class Work:
    """One notebook of one student on its way through the pipeline.

    ``report`` is there from the start for what needs no sandbox: a missing file, or one that is no
    notebook.

    Args:
        student, notebook: whose it is, and its file name in the release.
        exercises: the names of what is graded in it.
        flags: what a human should look at, from reading.
        script: the Script of its cells, or None.
        key: of the verdict; see ``record.store``.
        report: the Report, once it is there.
        problem: why there is no report, if grading failed.
        word, reason: for a hand-in that cannot be graded, "missing" or "malformed" and why.
        packed: the notebook with the cells of the release; see ``cells``.
        text: the hash of it; an answer that no test decides on changes it, and not the key.
    """

    student: str
    notebook: str
    exercises: list
    flags: list = field(default_factory=list)
    script: object = None
    key: str = ""
    report: Report | None = None
    problem: str = ""
    word: str = ""
    reason: str = ""
    packed: bytes = b""
    text: str = ""

    @property
    def is_missing(self):
        """Whether nothing of the name was handed in."""
        return self.word == "missing"

    def cells(self):
        """Return the notebook, read from the hand-in, or None; a fresh copy at each call."""
        if not self.packed:
            return None
        return nbformat.from_dict(json.loads(zlib.decompress(self.packed)))


def read(folder, student, name, releases, setting):
    """Return the Work on one notebook of a hand-in, with its key.

    Args:
        folder: of the hand-in.
        student: whose it is.
        name: the file name in the release.
        releases: ``{file name: released notebook}``.
        setting: the Setting.
    """
    found = read_hand_in(folder, name, releases, setting.limits)
    exercises = exercises_of(setting.problem_set, graded_cells(releases[name]))
    work = Work(student, name, exercises, found.flags)
    if found.notebook is None:
        work.word, work.reason = found.word, found.reason
        work.report = ungraded(found.word, found.reason, exercises)
        return work
    work.script = script_of(found.notebook)
    work.key = key_of(work.script, exercises, setting)
    # Packed, since a class waits in memory until its grades are written.
    content = json.dumps(found.notebook).encode()
    work.packed, work.text = zlib.compress(content), hashlib.sha256(content).hexdigest()[:32]
    return work
