"""What the grader hands the zygote of a problem set: how its exercises are driven, and no answers.

Only the grader's process imports specs. It pickles the drive half of each exercise by value, which
takes along the globals that the drive refers to and nothing else of the module: no cases, no
reference, no known mistakes. The grader itself never unpickles anything.
"""

import contextlib
import io
from dataclasses import replace

import cloudpickle

from bncourse import exercises, registry


class _Pickler(cloudpickle.Pickler):
    def reducer_override(self, obj):
        # What a context manager that decorates a drive was made from; its generator has not begun.
        if isinstance(obj, contextlib._GeneratorContextManager):
            return type(obj), (obj.func, obj.args, obj.kwds)
        return super().reducer_override(obj)


def pack(problem_set):
    """Return the pickle of ``{name: Exercise}``, the drive halves of a problem set."""
    halves = {
        name: replace(exercise, cases=None, reference=None, mistakes=())
        for name, exercise in registry.load(problem_set).items()
    }
    buffer = io.BytesIO()
    cloudpickle.register_pickle_by_value(exercises)
    try:
        _Pickler(buffer).dump(halves)
    finally:
        cloudpickle.unregister_pickle_by_value(exercises)
    return buffer.getvalue()
