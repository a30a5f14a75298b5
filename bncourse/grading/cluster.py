"""Where tasks run: in this process, or on workers of dask.distributed."""

import contextlib
import logging
import os

# A worker takes seconds to start; so few tasks are done sooner by one.
_ENOUGH_FOR_ONE = 20


def run_here(function, tasks):
    """Yield ``(number, result)`` for ``{number: arguments}``, one after the other."""
    for number, arguments in tasks.items():
        try:
            yield number, function(*arguments)
        except Exception as error:
            # One task must not stop the others; the caller reports it.
            yield number, error


@contextlib.contextmanager
def runner(count, workers=None, scheduler=None):
    """Yield a function like ``run_here``.

    Args:
        count: the number of tasks; few of them need few workers.
        workers: processes on this machine; by default one per processor. One means this process.
        scheduler: the address of a Dask scheduler to use instead, such as ``tcp://host:8786``.
    """
    workers = workers or min(os.cpu_count(), -(-count // _ENOUGH_FOR_ONE))
    if workers <= 1 and not scheduler:
        yield run_here
        return
    from distributed import Client, LocalCluster

    with contextlib.ExitStack() as stack:
        address = scheduler or stack.enter_context(
            # One thread each: a task keeps a sandbox of its own busy.
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address=None,
                silence_logs=logging.ERROR,
            )
        )
        client = stack.enter_context(Client(address))
        yield lambda function, tasks: _run_on(client, function, tasks)


def _run_on(client, function, tasks):
    from distributed import as_completed

    futures = {
        # Not pure: the same text handed in twice is graded twice.
        client.submit(function, *arguments, pure=False): number
        for number, arguments in tasks.items()
    }
    for future in as_completed(futures):
        error = future.exception()
        yield futures[future], error if error is not None else future.result()
        future.release()
