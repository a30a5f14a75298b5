"""How a hand-in becomes a verdict: read, key, grade, keep. Every way to grade goes through here.

::

    read ─► key ─► kept already? ──yes──► report
                        │ no
                        ▼
              grade (sandbox, judge outside) ─► keep ─► report

``bncourse grade`` spreads the third step over workers; ``nbgrader autograde`` and the self-test
take one hand-in at a time.
"""

import contextlib
import json
import socket
import time
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import nbformat

from bncourse.errors import CourseError, Infra
from bncourse.grading.intake.hand_in import read_hand_in
from bncourse.grading.intake.script import exercises_of, graded_cells, script_of
from bncourse.grading.outcome import Report, ungraded
from bncourse.grading.outside.shared import warm_process
from bncourse.grading.outside.submission import grade
from bncourse.grading.record.seed import course_seed
from bncourse.grading.record.store import Store, key_of
from bncourse.grading.record.version import CODE
from bncourse.limits import Limits, limits_of
from bncourse.registry import load

_TRIES = 3


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
    return Setting(problem_set, limits, secret, unsafe, gpu)


def records_of(config):
    """Return the folder of the records of a course."""
    return Path(config.TrustedExecute.get("records", ".grading"))


def store_of(records):
    """Return the Store of verdicts in the folder of records of a course."""
    return Store(records / "verdicts")


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
    work = Work(student, name, list(exercises), found.flags)
    if found.notebook is None:
        work.word, work.reason = found.word, found.reason
        work.report = ungraded(found.word, found.reason, exercises)
        return work
    work.script = script_of(found.notebook)
    work.key = key_of(work.script, exercises, setting)
    # Packed, since a class waits in memory until its grades are written.
    work.packed = zlib.compress(json.dumps(found.notebook).encode())
    return work


def run_here(function, tasks):
    """Yield ``(number, result)`` for ``{number: arguments}``, one after the other.

    A result is what the function returns, or the exception that it raises.
    """
    for number, arguments in tasks.items():
        try:
            yield number, function(*arguments)
        except Exception as error:
            # One task must not stop the others; the caller reports it.
            yield number, error


@contextlib.contextmanager
def here(count):
    """Yield ``run_here``, whatever the number of tasks."""
    yield run_here


def grade_all(works, setting, store=None, resume=False, spread=here, process=None, slim=False):
    """Give a Report to each Work that has none, and yield ``(Work, number left)`` as they come.

    Args:
        works: from ``read``.
        setting: the Setting.
        store: keeps the verdicts; without one they are not kept.
        resume: whether kept verdicts count.
        spread: ``count -> context`` of a function like ``run_here``; see ``batch.fan_out``.
        process: the WarmProcess to use in place of the one that this program shares.
        slim: whether reports come without what the cells show: the plots of a class fill memory.

    Yields:
        each Work that was to be graded, with its report, or with the ``problem`` why there is none.
    """
    waiting = {}
    for number, work in enumerate(works):
        if work.report is None and work.key and resume:
            work.report = _shown(store.get(work.key), slim)
        if work.report is None and not work.problem:
            waiting[number] = (work.exercises, work.script, setting, CODE, process)
    if not waiting:
        return
    left = len(waiting)
    with spread(left) as run:
        for number, result in run(verdict_on, waiting):
            left -= 1
            _keep(works[number], result, store, slim)
            yield works[number], left


def verdict_on(names, script, setting, code, process):
    """Grade one submission; this is what runs on a worker, here or on another machine.

    Raises:
        Infra: after several tries, or at once where other code than ``code`` runs.
    """
    if code != CODE:
        raise Infra(
            f"The worker on {socket.gethostname()} runs other code than this machine: "
            f"install the same commit of bncourse there, and start it again"
        )
    exercises = {name: load(setting.problem_set)[name] for name in names}
    for attempt in range(_TRIES):
        try:
            warm = process or warm_process(setting.problem_set, setting.unsafe, setting.gpu)
            return grade(script, exercises, warm, setting.limits, setting.secret)
        except Infra:
            if attempt == _TRIES - 1:
                raise
            time.sleep(attempt)
    raise AssertionError("unreachable")


def _keep(work, result, store, slim):
    """Store a Report and give it to its Work, or say there why there is none."""
    if isinstance(result, BaseException):
        work.problem = f"{type(result).__name__}: {result}"
        return
    try:
        if store:
            store.put(work.key, result)
    except OSError as error:
        # A verdict that a crash could lose is none: repeat it when there is room again.
        work.problem = f"The verdict could not be stored: {error}"
    else:
        work.report = _shown(result, slim)


def _shown(report, slim):
    """Return a Report, or None, without what the cells show if it is to be slim."""
    return replace(report, cells=[]) if report and slim else report
