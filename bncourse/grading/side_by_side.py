"""Do the same to many things in several processes of this machine: reading, drafting, comparing.

Nothing of a student runs in these processes. What does goes to the workers of ``batch.fan_out``.
"""

import collections
import functools
import itertools
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from bncourse.errors import Infra

# Fewer things are done before the processes have started.
_ENOUGH = 500

# Things that travel together; so many such parcels wait for each process.
_TOGETHER = 10
_PARCELS = 3


def side_by_side(function, things, processes=1):
    """Yield ``function(thing)`` for each thing, in order.

    Args:
        function: may be pickled; what it raises is raised here.
        things: may be pickled, as the results.
        processes: how many, where there are things enough for them.

    Raises:
        Infra: one of the processes was killed.
    """
    things = list(things)
    if processes < 2 or len(things) < _ENOUGH:
        yield from map(function, things)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_module_of(function)])
    pool = ProcessPoolExecutor(processes, context, initializer=_go_with_the_parent)
    try:
        yield from _in_order(pool, function, things, _PARCELS * processes)
    except BrokenProcessPool:
        raise Infra("A process of the grader was killed, perhaps for want of memory.") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(pool, function, things, most):
    parcels = (things[n : n + _TOGETHER] for n in range(0, len(things), _TOGETHER))
    submitted = (pool.submit(_do_all, function, parcel) for parcel in parcels)
    # A bounded number: what waits is in memory twice.
    under_way = collections.deque(itertools.islice(submitted, most))
    while under_way:
        yield from under_way.popleft().result()
        under_way.extend(itertools.islice(submitted, 1))


def _do_all(function, parcel):
    return [function(thing) for thing in parcel]


def _module_of(function):
    while isinstance(function, functools.partial):
        function = function.func
    return function.__module__


def _go_with_the_parent():
    """End this process when the one that started it ends, however it does."""
    # An interrupt is for the parent to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, daemon=True).start()


def _watch():
    multiprocessing.parent_process().join()
    os._exit(1)
