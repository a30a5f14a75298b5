"""What a large class costs: a model in six numbers, the numbers, and a simulated cluster.

Workers grade side by side, and a scheduler hands out the work. On the machine of the instructor p
processes read hand-ins and make graded notebooks, and one writer fills the gradebook. With n
hand-ins and w workers that takes::

    start + n * read / p + n * max(each / w, dispatch) + n * max(draft / p, write)
"""

import contextlib
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from distributed import LocalCluster

from bncourse.grading.batch import fan_out
from bncourse.grading.batch.tasks import grade_tasks, read_tasks
from bncourse.grading.nbgrader import gradebook, rows, writing
from bncourse.grading.nbgrader.drafts import Drafter
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
        read: of one hand-in, in one process.
        each: to grade one hand-in on one worker.
        dispatch: of the scheduler for one hand-in.
        draft: to make one graded notebook, in one process.
        write: to compare one hand-in with the gradebook and to write it there.
    """

    start: float
    read: float
    each: float
    dispatch: float
    draft: float
    write: float


def seconds(costs, hand_ins, workers, processes=8):
    """Return the seconds that a class takes.

    >>> costs = Costs(start=8, read=0.004, each=0.2, dispatch=0.001, draft=0.008, write=0.002)
    >>> seconds(costs, 1000, workers=4, processes=2)
    64.0
    """
    reading = hand_ins * costs.read / processes
    grading = hand_ins * max(costs.each / workers, costs.dispatch)
    return costs.start + reading + grading + writing_seconds(costs, hand_ins, processes)


def writing_seconds(costs, hand_ins, processes=8):
    """Return the seconds of the last part: notebooks are made while the gradebook is written."""
    return hand_ins * max(costs.draft / processes, costs.write)


def measure(hand_ins=12, written=300):
    """Return the Costs on this machine, from a class of right hand-ins to the first problem set.

    Args:
        hand_ins: that are graded.
        written: that are read and written; they are copies of those.
    """
    with tempfile.TemporaryDirectory() as root:
        make_course(root, {f"student{n}": right(f"{n}") for n in range(hand_ins)})
        course = GradedCourse(root, corpus.PROBLEM_SET)
        tasks = read_tasks(course)
        start = _seconds(
            lambda: warm_process(corpus.PROBLEM_SET, course.setting.unsafe, course.setting.gpu)
        )
        grading = _seconds(lambda: grade_tasks(course, tasks, _here, say=_nothing))
        shutil.rmtree(Path(root, "submitted", "student0"))
        for number in range(written):
            source = Path(root, "submitted", f"student{1 + number % (hand_ins - 1)}")
            shutil.copytree(source, Path(root, "submitted", f"copy{number}"))
        many = read_tasks(course)
        read = _seconds(lambda: read_tasks(course))
        # The same text has the same verdict.
        grade_tasks(course, many, _here, resume=True, say=_nothing)
        draft = _seconds(lambda: _draft(course, many))
        fill = _seconds(lambda: gradebook.differences(course, many))
        fill += _seconds(lambda: writing.write_grades(course, many, say=_nothing)) - draft
    each = [value / len(many) for value in (read, draft, max(fill, 0.0))]
    return Costs(start, each[0], grading / hand_ins, _dispatch(), *each[1:])


def _draft(course, tasks):
    with gradebook.opened(course) as book, book.engine.connect() as connection:
        assigned = rows.assigned(connection, course.problem_set)
    drafter = Drafter(course, assigned.notebooks)
    for task in tasks:
        drafter([task])


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
