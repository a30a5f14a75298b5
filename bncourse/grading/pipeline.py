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
import socket
import time
from dataclasses import replace

from bncourse.errors import Infra
from bncourse.grading.outside.shared import warm_process
from bncourse.grading.outside.submission import grade
from bncourse.grading.record.version import CODE
from bncourse.registry import load

_TRIES = 3


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
        works: from ``work.read``.
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
            warm = process or warm_process(
                setting.problem_set, setting.unsafe, setting.gpu, script.sources
            )
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
