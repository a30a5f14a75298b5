"""The untrusted half of a check: run a solution on one case and keep plain arrays only."""

import contextlib
import copy
import functools
import inspect
import io
import sys
import sysconfig
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bncourse.exercise import Unpacked, Unusable, describe
from bncourse.rules import (
    CHANGED_LATER,
    Watch,
    another_order,
    matmul_precision,
    returns_input,
    set_matmul_precision,
)

# Exceptions that have a plain meaning here.
OUR_WORDS = MappingProxyType(
    {
        "NotImplementedError": "It still raises NotImplementedError: the answer is missing.",
        "SystemExit": "It stopped the program (exit or quit). A solution must return.",
    }
)

_COURSE = str(Path(__file__).parent)

# Enough to see what a stray print says, too little to flood a notebook.
PRINTED_LIMIT = 500


@dataclass(frozen=True)
class Attempt:
    """What one solution did on one case.

    Args:
        outputs: the labelled arrays; where there is an error, those made before it.
        error: the name of the exception, ``Unusable`` for a result nobody can compare, or None.
        message: what to tell the student about the error.
        rules: sentences, one for each rule that the solution broke.
        printed: the beginning of what it printed.
        line: the line of the student's code that led to an error, if one did.
    """

    outputs: dict = field(default_factory=dict)
    error: str | None = None
    message: str = ""
    rules: tuple[str, ...] = ()
    printed: str = ""
    line: str = ""


def attempt(exercise, obj, case, device=None, ours=False, state=None):
    """Return what ``obj`` does on ``case``; never raises on account of ``obj``.

    Args:
        exercise, obj, case: what is tried.
        device: "cpu" or "cuda".
        ours: whether ``obj`` is a known mistake; see ``Watch``.
        state: the GlobalState of several attempts; see ``Watch``.
    """
    (made,) = attempt_each(exercise, obj, [case], device, ours, state=state)
    return made


def attempt_each(
    exercise, obj, cases, device=None, ours=False, caught=(Exception, SystemExit), state=None
):
    """Yield what ``obj`` does on each of some cases, as ``attempt`` does: to watch all costs less.

    Args:
        exercise, obj, cases: what is tried.
        device, ours: as for ``attempt``.
        caught: the exceptions of ``obj`` that do not pass.
        state: as for ``attempt``.
    """
    try:
        _require_signature(exercise, obj)
        watch = Watch(exercise, obj, ours, state)
    except caught as error:
        yield from (_failed(error, io.StringIO()) for _ in cases)
        return
    with watch:
        for case in cases:
            yield _attempt(exercise, obj, case, device, watch, caught)


def _attempt(exercise, obj, case, device, watch, caught):
    inputs = copy_inputs(case.inputs)
    if exercise.takes_device:
        inputs["device"] = device or "cpu"
    printed = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(printed),
            _quiet(),
            watch.attempt(inputs) as rules,
            full_precision(device),
        ):
            returned = exercise.drive(obj, inputs)
            # Inside, since an object may do its work only when it is read.
            outputs = {label: as_array(value, label) for label, value in returned.items()}
            shared = _shared(exercise, obj, case, inputs, returned, outputs)
    except Unusable as problem:
        return _failed(problem, printed)
    except caught as error:
        # Called by place, what stands in another order fails in ways that do not tell.
        return _failed(error, printed, another_order(exercise, obj))
    return Attempt(outputs=outputs, rules=(*rules, *shared), printed=_start(printed))


def _arrays_in(parts):
    return {label: each for label, each in parts.items() if isinstance(each, np.ndarray)}


def _shared(exercise, obj, case, inputs, returned, outputs):
    """Return sentences on memory that results share with inputs, or with a later call.

    Args:
        exercise, obj, case: what is tried.
        inputs: what the solution was given.
        returned: what it returned, by label.
        outputs: copies of that.
    """
    arrays = _arrays_in(returned)
    rules = []
    if exercise.new_arrays:
        rules += [
            returns_input(name)
            for name, value in inputs.items()
            # One that is changed in place has a sentence of its own.
            if np.array_equal(value, case.inputs[name])
            and any(np.shares_memory(value, each) for each in arrays.values())
        ]
    if exercise.pure:
        with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
            exercise.drive(obj, _other(case.inputs))
            if isinstance(returned, Unpacked):
                # A list or a dict may be the same in each call, and hold other arrays now.
                arrays = _arrays_in(returned.once_more())
        if any(not _equal(each, outputs[label]) for label, each in arrays.items()):
            rules.append(CHANGED_LATER)
    return rules


def _other(inputs):
    """Return inputs of the same shapes with other numbers."""
    if isinstance(inputs, dict):
        return {name: _other(value) for name, value in inputs.items()}
    is_float = isinstance(inputs, np.ndarray) and inputs.dtype.kind == "f"
    return (1.5 * inputs).astype(inputs.dtype) if is_float else copy.deepcopy(inputs)


def _equal(one, other):
    return one.shape == other.shape and np.array_equal(one, other, equal_nan=True)


def _failed(error, printed, notes=()):
    unusable = isinstance(error, Unusable)
    name = "Unusable" if unusable else _name_of(error)
    message = "\n".join([str(error) if unusable else explain(error), *notes])
    return Attempt(_partial(error), name, message, (), _start(printed), students_line(error))


def _name_of(error):
    """Return the name of an exception; what a library has not implemented is no missing answer."""
    name = type(error).__name__
    if name != "NotImplementedError" or hasattr(error, "students_line"):
        return name
    *_, last = traceback.extract_tb(error.__traceback__)
    return name if _is_ours_to_write(last) else f"{name} of a library"


def _is_ours_to_write(frame):
    return frame.filename.startswith(_COURSE) or _is_students(frame)


def _partial(error):
    """Return the arrays that a drive had in hand when it failed; see ``so_far``."""
    arrays = {}
    for label, value in getattr(error, "so_far", {}).items():
        with contextlib.suppress(Exception):
            arrays[label] = as_array(value, label)
    return arrays


@contextlib.contextmanager
def _quiet():
    # What NumPy warns of shows in the values, and would stand above the message.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def full_precision(device):
    """Have a GPU multiply matrices of float32 in float32 while a block runs.

    A program may have allowed it to round to 10 bits (TF32); what is right does not depend on that
    switch. Convolutions, which round so by default, are left alone.

    Args:
        device: "cpu", "cuda" or None.
    """
    torch = sys.modules.get("torch")
    if torch is None or device in (None, "cpu"):
        yield
        return
    before = matmul_precision(torch)
    torch.set_float32_matmul_precision("highest")
    here = matmul_precision(torch)
    try:
        yield
    finally:
        # What the block has set is not ours to hide: a watch around it looks at it.
        if matmul_precision(torch) == here:
            set_matmul_precision(torch, before)


def copy_inputs(inputs):
    """Return inputs that a solution may spoil without harm; memory order is kept."""
    return {
        name: value.copy(order="K") if isinstance(value, np.ndarray) else copy.deepcopy(value)
        for name, value in inputs.items()
    }


def as_array(value, label):
    """Return a plain ndarray that holds ``value``, or raise Unusable.

    Lossless conversions are made: NumPy scalars, Python numbers, lists of numbers, tensors.
    """
    if hasattr(value, "detach"):
        value = _tensor_to_array(value)
    try:
        array = np.array(value, copy=True, subok=False)
    except Exception:
        raise Unusable(
            f"{label} must be an array of numbers. Received: {describe(value)}."
        ) from None
    if array.dtype.kind not in "fiub":
        raise Unusable(
            f"{label} must be an array of real numbers. "
            f"Received: {describe(value)}{_dtype_note(value, array)}."
        )
    return array


def _dtype_note(value, array):
    return "" if isinstance(value, np.ndarray) else f", which NumPy reads as dtype {array.dtype}"


def _tensor_to_array(tensor):
    tensor = tensor.detach().cpu()
    # NumPy has no bfloat16; float32 holds each of its values.
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def explain(error):
    """Return one or two lines on an exception: what it says, and where in the student's code."""
    name = _name_of(error)
    if name in OUR_WORDS:
        return OUR_WORDS[name]
    line = students_line(error)
    return f"It raised {name}: {error}" + (f"\n{line}" if line else "")


def students_line(error):
    """Return where in the student's code an exception came from, or nothing.

    It is the innermost line of theirs: torch and Keras may have raised below it. An exception of
    another process brings its line along.
    """
    if hasattr(error, "students_line"):
        return error.students_line
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _is_students(frame) and frame.line:
            return f"in line {frame.lineno} of your cell or file: {frame.line}"
    return ""


def _is_students(frame):
    return not frame.filename.startswith(_not_students())


@functools.cache
def _not_students():
    """Return how the files of this course and of libraries begin: Python takes long to say it."""
    paths = sysconfig.get_paths()
    libraries = (paths[key] for key in ("stdlib", "purelib", "platlib"))
    return (_COURSE, *libraries, "<frozen", sys.prefix)


def _require_signature(exercise, obj):
    """Raise Unusable unless ``obj`` takes the arguments of the exercise under their names."""
    try:
        actual = inspect.signature(obj)
    except (TypeError, ValueError):
        return
    try:
        actual.bind(**dict.fromkeys(exercise.signature.parameters))
    except TypeError:
        raise Unusable(
            f"It must be called as {exercise.name}{exercise.signature}, its arguments by name. "
            f"Received: {exercise.name}{_without_annotations(actual)}."
        ) from None


def _without_annotations(signature):
    # Type hints can be longer than all the rest of a message.
    parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return inspect.Signature(parameters)


def _start(printed):
    text = printed.getvalue()
    return text if len(text) <= PRINTED_LIMIT else text[:PRINTED_LIMIT] + " ..."
