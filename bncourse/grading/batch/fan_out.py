"""Where tasks run: in this process, or on workers of dask.distributed."""

import contextlib
import itertools
import logging
import os

from bncourse.errors import CourseError
from bncourse.grading.pipeline import run_here

# A worker takes seconds to start; so few tasks are done sooner by one.
_ENOUGH_FOR_ONE = 20

# Enough to keep a large cluster busy, and a bound on the memory of the scheduler.
_UNDER_WAY = 1000

# Of a scheduler that is there; Dask's own patience is 30 seconds.
_CONNECT_SECONDS = 10

# A task raises only if the grader failed; another worker may do better.
_RETRIES = 2


@contextlib.contextmanager
def fan_out(count, workers=None, scheduler=None):
    """Yield a function like ``run_here``.

    Args:
        count: the number of tasks; few of them need few workers.
        workers: processes on this machine; by default one per processor. One means this process.
        scheduler: the address of a Dask scheduler to use instead, such as ``tcp://host:8786``.

    Raises:
        CourseError: that is no address, or nobody answers there.
    """
    workers = workers or min(os.cpu_count(), -(-count // _ENOUGH_FOR_ONE))
    if workers <= 1 and not scheduler:
        yield run_here
        return
    from distributed import LocalCluster

    with contextlib.ExitStack() as stack:
        address = scheduler or stack.enter_context(
            # One thread each: a task keeps a sandbox of its own busy.
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address=":0",
                # What fails comes back as a result; else a heartbeat that the end of all work cuts
                # off would look like a failure.
                silence_logs=logging.CRITICAL,
            )
        )
        client = stack.enter_context(_connect(address))
        yield lambda function, tasks: _run_on(client, function, tasks)


def _connect(address):
    from distributed import Client

    try:
        return Client(address, timeout=_CONNECT_SECONDS)
    except (ValueError, TypeError) as error:
        raise CourseError(
            f"--scheduler must be an address such as tcp://host:8786 ({error}). Received: {address}"
        ) from None
    except OSError:
        raise CourseError(
            f"--scheduler must be the address of a running Dask scheduler. "
            f"No Dask scheduler answers there. Received: {address}"
        ) from None


def _run_on(client, function, tasks):
    """Yield ``(number, result)`` as they come; a bounded number of tasks is under way at a time."""
    from distributed import as_completed

    waiting = iter(tasks.items())
    numbers = {}

    def submit(count):
        for number, arguments in itertools.islice(waiting, count):
            # Not pure: the same text handed in twice is graded twice.
            future = client.submit(function, *arguments, pure=False, retries=_RETRIES)
            numbers[future] = number
            yield future

    under_way = as_completed(submit(_UNDER_WAY))
    for future in under_way:
        try:
            # A lost scheduler cancels everything that is under way.
            if future.cancelled():
                break
            error = future.exception()
            result = future.result() if error is None else error
        except OSError:
            # It was lost while the result was on its way.
            break
        yield numbers.pop(future), result
        under_way.update(submit(1))
    for number in (*numbers.values(), *(number for number, _ in waiting)):
        yield number, ConnectionError("The connection to the scheduler was lost.")
