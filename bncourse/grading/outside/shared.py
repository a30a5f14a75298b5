"""The warm processes that this program shares, started when first needed.

One per problem set, and one more where submissions name a large package that the set does without.
"""

import atexit

from bncourse.grading.outside.warm import WarmProcess, packages_for

_processes = {}


def warm_process(problem_set, unsafe=False, gpu=False, sources=()):
    """Return a live WarmProcess for a submission with these cells; the same one for all alike."""
    key = (problem_set, unsafe, gpu, packages_for(problem_set, sources))
    if key in _processes and not _processes[key].alive:
        _processes.pop(key).close()
    if key not in _processes:
        _processes[key] = WarmProcess(*key)
    return _processes[key]


@atexit.register
def close_all():
    """End every shared process."""
    while _processes:
        _processes.popitem()[1].close()
