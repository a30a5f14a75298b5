"""What a large class costs: a model in four numbers, the numbers, and a simulated cluster.

Workers grade side by side, a scheduler hands out the work, one writer fills the gradebook. With n
hand-ins and w workers that takes::

    start + n * max(each / w, dispatch) + n * write
"""

import contextlib
import tempfile
import time
from dataclasses import dataclass

from distributed import LocalCluster

from bncourse.grading.batch import fan_out
from bncourse.grading.batch.tasks import grade_tasks, read_tasks
from bncourse.grading.nbgrader import writing
from bncourse.grading.outside.shared import warm_process
from bncourse.grading.work import GradedCourse
from bncourse.trial import corpus
from bncourse.trial.course import make_course, right

_TASKS = 300


@dataclass(frozen=True)
class Costs:
    """Seconds on one machine.

    Args:
        start: of a worker, once.
        each: to grade one hand-in on one worker.
        dispatch: of the scheduler for one hand-in.
        write: of one hand-in into the gradebook.
    """

    start: float
    each: float
    dispatch: float
    write: float


def seconds(costs, hand_ins, workers):
    """Return the seconds that a class takes.

    >>> seconds(Costs(start=8, each=0.2, dispatch=0.001, write=0.05), 1000, workers=4)
    108.0
    """
    grading = hand_ins * max(costs.each / workers, costs.dispatch)
    return costs.start + grading + hand_ins * costs.write


def measure(hand_ins=12):
    """Return the Costs on this machine, from a class of right hand-ins to the first problem set."""
    with tempfile.TemporaryDirectory() as root:
        make_course(root, {f"student{n}": right(f"{n}") for n in range(hand_ins)})
        course = GradedCourse(root, corpus.PROBLEM_SET)
        tasks = read_tasks(course)
        start = _seconds(
            lambda: warm_process(corpus.PROBLEM_SET, course.setting.unsafe, course.setting.gpu)
        )
        grading = _seconds(lambda: grade_tasks(course, tasks, _here, say=_nothing))
        filling = _seconds(lambda: writing.write_grades(course, tasks, say=_nothing))
    return Costs(start, grading / hand_ins, _dispatch(), filling / hand_ins)


def simulate(costs, hand_ins, workers):
    """Return the seconds that grading takes on a cluster whose workers sleep in place of grading.

    It is Dask's real scheduler with as many workers as asked for; the gradebook is left out.
    """
    tasks = dict.fromkeys(range(hand_ins), (costs.each,))
    with _sleepers(workers) as run:
        return _seconds(lambda: list(run(time.sleep, tasks)))


def _dispatch():
    tasks = dict.fromkeys(range(_TASKS), ())
    with _sleepers(2) as run:
        return _seconds(lambda: list(run(int, tasks))) / _TASKS


@contextlib.contextmanager
def _sleepers(workers):
    """Yield what ``fan_out.fan_out`` does, for tasks that only sleep: threads will do for those."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=workers, processes=False, dashboard_address=":0"
        ) as threads,
        fan_out.fan_out(_TASKS, scheduler=threads.scheduler_address) as run,
    ):
        yield run


def _here(count):
    return fan_out.fan_out(count, workers=1)


def _seconds(do):
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def _nothing(line):
    pass
