"""Exercises that take a device, spread over processes that are spawned, never forked from CUDA."""

import concurrent.futures
import importlib
import multiprocessing
import os
import sys
import time
from pathlib import Path

from bncourse.registry import MissingPackage, load, problem_sets

_TESTS = Path(__file__).parents[2] / "tests"
# Each holds a context on the GPU, of about half a gigabyte.
_MOST = 14
_SMALL_SET = "ps4_pytorch"


def sets(small):
    """Return ([sets that take a device and can be loaded], [why others cannot])."""
    found, reasons = [], []
    for name in problem_sets():
        try:
            exercises = load(name).values()
        except MissingPackage as missing:
            reasons.append(f"{name}: {missing}")
            continue
        if any(each.takes_device for each in exercises):
            found.append(name)
    return [_SMALL_SET] if small else found, reasons


def correct(problem_set):
    """Return {exercise: right solutions} of a set."""
    if str(_TESTS) not in sys.path:
        sys.path.insert(0, str(_TESTS))
    return importlib.import_module(f"solutions_{problem_set}").CORRECT


def spread_over(function, tasks, setting, extra=()):
    """Yield (task, result, error) as they come.

    Args:
        function: of a module, called as ``function(*task)``.
        tasks: tuples.
        setting: the Setting.
        extra: tasks that are left out, with neither result nor error, where the time of the setting
            is over before they begin.
    """
    end = time.monotonic() + setting.seconds if setting.device == "cuda" else float("inf")
    tasks = [*tasks, *extra]
    if setting.small:
        yield from ((task, function(*task), None) for task in tasks)
        return
    most = min(_MOST if setting.device == "cuda" else 1, os.cpu_count() or 1, len(tasks))
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(most, mp_context=context) as pool:
        late = [None] * (len(tasks) - len(extra)) + [end] * len(extra)
        waiting = {
            pool.submit(_unless_late, until, function, task): task
            for task, until in zip(tasks, late, strict=True)
        }
        for future in concurrent.futures.as_completed(waiting):
            error = future.exception()
            result = None if error else future.result()
            yield waiting[future], result, error and f"{type(error).__name__}: {error}"[:300]


def _unless_late(end, function, task):
    # The clock is one for all processes of a machine.
    return None if end is not None and time.monotonic() > end else function(*task)
