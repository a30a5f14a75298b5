"""The warm workers of this process: one per problem set, started when first needed."""

import atexit

from bncourse.grading.worker import Worker

_workers = {}


def shared_worker(problem_set, unsafe=False, gpu=False):
    """Return a live Worker for a problem set; the same one at every call."""
    key = (problem_set, unsafe, gpu)
    if key in _workers and not _workers[key].alive:
        _workers.pop(key).close()
    if key not in _workers:
        _workers[key] = Worker(problem_set, unsafe=unsafe, gpu=gpu)
    return _workers[key]


@atexit.register
def close_all():
    """End every shared worker."""
    while _workers:
        _workers.popitem()[1].close()
