"""The warm processes that this program shares: one per problem set, started when first needed."""

import atexit

from bncourse.grading.outside.warm import WarmProcess

_processes = {}


def warm_process(problem_set, unsafe=False, gpu=False):
    """Return a live WarmProcess for a problem set; the same one at every call."""
    key = (problem_set, unsafe, gpu)
    if key in _processes and not _processes[key].alive:
        _processes.pop(key).close()
    if key not in _processes:
        _processes[key] = WarmProcess(problem_set, unsafe=unsafe, gpu=gpu)
    return _processes[key]


@atexit.register
def close_all():
    """End every shared process."""
    while _processes:
        _processes.popitem()[1].close()
