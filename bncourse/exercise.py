"""What an exercise is: cases, drive, reference, tolerance, mistakes.

``drive`` is the untrusted half: it calls the student's object in the student's process.
``reference`` is the trusted half: a float64 oracle that grading never runs there.
Both return a flat dict of labelled arrays, and nothing else crosses between the two.
"""

import contextlib
import functools
import inspect
import itertools
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from bncourse.inputs import cast

# Normwise relative error that separates correct solutions (float32 arithmetic inside included)
# from wrong ones; benchmarks/tolerances.py prints both sides of the gap for each exercise.
DEFAULT_TOLERANCE = MappingProxyType({"float64": 1e-5, "float32": 1e-3})

# Where a case in float32 stands beside, float64 is asked for its own digits: float32 arithmetic
# inside is off by 1e-8 at least.
FLOAT64_TOLERANCE = 1e-9


class Unusable(Exception):
    """The student's object, or what it returned, cannot be compared; the message says why."""


@contextlib.contextmanager
def so_far(outputs):
    """Keep what a drive has in hand, should the block raise: a student reads what is right already.

    Args:
        outputs: ``{label: array}``, which may grow in the block.

    >>> try:
    ...     with so_far({"y": 1.0}):
    ...         raise NotImplementedError
    ... except NotImplementedError as error:
    ...     print(error.so_far)
    {'y': 1.0}
    """
    try:
        yield
    except Exception as error:
        with contextlib.suppress(AttributeError):
            error.so_far = {**outputs, **getattr(error, "so_far", {})}
        raise


@dataclass(frozen=True)
class Case:
    """One set of inputs.

    Args:
        inputs: plain arrays and scalars by parameter name.
        dtype: the precision that the case asks for: float64, float32 or bfloat16.
        rtol: a tolerance of its own, for a case that is badly conditioned in its dtype.
        noisy: whether wrong solutions return rounding noise here, so that two students with the
            same mistake differ from each other.
        costly: whether it takes so long that known mistakes are tried on it only where it fails.
    """

    inputs: Mapping
    dtype: str = "float64"
    rtol: float | None = None
    noisy: bool = False
    costly: bool = False


@dataclass(frozen=True)
class Mistake:
    """A wrong solution people really write.

    Args:
        name: a short identifier.
        obj: the wrong solution, self-contained, as a student would write it.
        hint: one or two sentences to the student, naming the mistake.
        see: the tag of the equation to re-read, such as F3.
        right: the bncourse.slips.Right solution that it differs from, if it is a slip.
        steps: what stands in the place of which of its steps.
    """

    name: str
    obj: Callable
    hint: str
    see: str
    right: object = None
    steps: Mapping = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Exercise:
    """One graded object: what is asked, how it is driven and what is true.

    Each is equal to itself alone, so that what is made for it can be kept.

    Args:
        name: the function or class the student writes; also the grade_id of its grade cell.
        signature: how the object must accept its arguments.
        cases: ``rng -> {case name: Case}``.
        drive: ``(obj, inputs) -> {label: array}``, untrusted.
        reference: ``inputs -> {label: array}``, trusted.
        see: the tag of the equation that the exercise implements.
        insight: one sentence to whoever got it right: what it is good for.
        mistakes: the known wrong solutions.
        parts: what the student calls the part that makes a result, by label, where an object is
            written part by part: ``{"y": "forward", "dx": "backward"}``.
        normalised: whose mean and variance its results are normalised with: those of the "batch",
            of each "example", or others, "given" to it; "" where nothing is.
        tolerance: relative error by dtype, or by (label, dtype) where a label needs its own.
        takes_device: whether ``inputs`` gain a ``device`` when the check names one.
        allows_ready_made: whether a solution may call a batch norm that exists already.
        pure: whether each call stands alone, so that a second one must leave the results of the
            first as they were.
        new_arrays: whether no result may share memory with an input.
        chained: whether a result may be made from those before it, so that what explains it alone
            may only have come down to it.
    """

    name: str
    signature: inspect.Signature
    cases: Callable
    drive: Callable
    reference: Callable
    see: str
    insight: str = ""
    mistakes: tuple[Mistake, ...] = ()
    parts: Mapping = field(default_factory=dict)
    normalised: str = ""
    tolerance: Mapping = field(default_factory=lambda: DEFAULT_TOLERANCE)
    takes_device: bool = False
    allows_ready_made: bool = False
    pure: bool = False
    new_arrays: bool = False
    chained: bool = False

    def rtol(self, label, case):
        """Return the relative tolerance of one label in one case."""
        if case.rtol is not None:
            return case.rtol
        return self.tolerance.get((label, case.dtype), self.tolerance[case.dtype])


def draw_cases(exercise, seed):
    """Return ``{case name: Case}`` for a seed; each exercise has a stream of its own.

    Raises:
        ValueError: if the seed is not a whole number of at least 0.
    """
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0. Received: seed={seed!r}")
    return exercise.cases(np.random.default_rng([seed, zlib.crc32(exercise.name.encode())]))


# A whole class is asked the same, and a known mistake after the other is tried on the same.
@functools.lru_cache(maxsize=64)
def asked(exercise, seed):
    """Return what a seed asks, and what is due: ``({case name: Case}, {case name: outputs})``.

    It is made once and handed out again, so nobody may change it.
    """
    cases = draw_cases(exercise, seed)
    return cases, {name: exercise.reference(case.inputs) for name, case in cases.items()}


def function_exercise(reference, returns, cases, see, mistakes, **options):
    """Return the Exercise of a function whose reference has the same name and signature.

    Args:
        reference: the oracle, a pure function of arrays and scalars.
        returns: the structure of the result; see ``unpack``.
        cases, see, mistakes, options: as in Exercise.
    """
    return Exercise(
        name=reference.__name__,
        signature=inspect.signature(reference),
        cases=cases,
        drive=lambda obj, inputs: Unpacked(obj(**inputs), returns),
        reference=lambda inputs: _arrays(unpack(reference(**cast(inputs, np.float64)), returns)),
        see=see,
        mistakes=tuple(mistakes),
        pure=True,
        **options,
    )


class Unpacked(dict):
    """The labelled parts of a result, which can be looked up once more, after another call.

    Args:
        value, returns: as for ``unpack``.
    """

    def __init__(self, value, returns):
        super().__init__(unpack(value, returns))
        self.once_more = lambda: unpack(value, returns)


def _arrays(parts):
    return {label: np.asarray(value) for label, value in parts.items()}


def unpack(value, returns):
    """Return the labelled parts of a result, or raise Unusable with what is missing.

    Args:
        value: what a solution returned.
        returns: a label; or a tuple of structures, for a tuple; or a dict of one label to the
            keys of a dict, such as ``{"cache": ("x_hat", "inv_std")}``.

    >>> unpack((1.0, {"a": 2.0}), ("y", {"cache": ("a",)}))
    {'y': 1.0, "cache['a']": 2.0}
    """
    if isinstance(returns, str):
        return {returns: value}
    if isinstance(returns, dict):
        ((label, keys),) = returns.items()
        return _unpack_keys(value, label, keys)
    return _unpack_tuple(value, returns)


def _unpack_tuple(value, returns):
    names = ", ".join(part if isinstance(part, str) else next(iter(part)) for part in returns)
    if not isinstance(value, tuple | list) or len(value) != len(returns):
        missing = " Is a return missing?" if value is None else ""
        raise Unusable(
            f"The result must be a tuple of {len(returns)}: ({names}). "
            f"Received: {describe(value)}.{missing}"
        )
    parts = {}
    for item, structure in zip(value, returns, strict=True):
        parts |= unpack(item, structure)
    return parts


def _unpack_keys(value, label, keys):
    expected = ", ".join(keys)
    if not isinstance(value, Mapping):
        raise Unusable(
            f"{label} must be a dict with the keys {expected}. Received: {describe(value)}."
        )
    missing = [key for key in keys if key not in value]
    if missing:
        raise Unusable(f"{label} must have the keys {expected}. Missing: {', '.join(missing)}.")
    return {f"{label}['{key}']": value[key] for key in keys}


def describe(value):
    """Return a short description of any value, with shape and dtype where it has them.

    >>> describe(np.zeros((2, 3)))
    'ndarray of shape (2, 3) and dtype float64'
    >>> describe((1, 2))
    'tuple of 2'
    """
    kind = _kind_of(type(value))
    if isinstance(value, np.ndarray):
        dtype = "of fields" if value.dtype.names else value.dtype
        return f"{kind} of shape {value.shape} and dtype {dtype}"
    if isinstance(value, tuple | list | dict):
        return f"{kind} of {len(value)}"
    return kind


_LIBRARIES = {"bncourse", "jax", "jaxlib", "keras", "numpy", "tensorflow", "torch", "triton"}
_MADE_BY_A_CLASS_STATEMENT = 1 << 9


def _kind_of(kind):
    # A name that is a student's own may be made of hidden inputs, and feedback would show it.
    home = str(kind.__module__)
    library = home.partition(".")[0] in _LIBRARIES | sys.stdlib_module_names
    in_it = library and getattr(sys.modules.get(home), kind.__name__, None) is kind
    if in_it or not kind.__flags__ & _MADE_BY_A_CLASS_STATEMENT:
        return kind.__name__
    return "an object of a class of your own"


def nested_parts(value, depth=4):
    """Return what stands in dicts, lists and tuples, and in those that stand in them."""
    if not isinstance(value, dict | list | tuple) or not depth:
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    return itertools.chain.from_iterable(nested_parts(part, depth - 1) for part in parts)
