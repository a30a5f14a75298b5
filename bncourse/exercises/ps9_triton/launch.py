"""What the exercises in Triton share: a launch on either device, in memory with room around it.

On the CPU a kernel is interpreted, on a GPU it is compiled. Triton decides that by a variable of
the environment when it is imported. Here the device decides: a process in which Triton was imported
to compile can do both.
"""

import contextlib
import inspect
from dataclasses import replace

import numpy as np
import torch

from bncourse.exercise import Unusable, describe
from bncourse.exercises.torch_drive import one_thread

# float16 keeps 11 bits of a number: an output may be off by 2^-11, and the tolerance is ten times
# that. What belongs to a channel is in float32 whatever x is.
TOLERANCE = {"float32": 1e-4, "float16": 5e-3}
_OF_CHANNELS = 2e-5

# Numbers before and after each array. A kernel that is wrong reads and writes there, not in the
# memory of the notebook: with the shapes of the cases no formula leads further.
_ROOM = 4096
# No case holds this number, and float16 can.
_UNTOUCHED = 1000.0


def tolerance(of_channels):
    """Return the tolerance of an exercise.

    Args:
        of_channels: the labels of the results that have one number for each channel.
    """
    return TOLERANCE | {
        (label, dtype): _OF_CHANNELS for label in of_channels for dtype in TOLERANCE
    }


def launch(kernel, programs, arguments, results, device):
    """Run a kernel, and return what it wrote.

    Args:
        kernel: what a student wrote: under ``@triton.jit``, or without.
        programs: how many.
        arguments: arrays and numbers by the names of its parameters; an array under ``x`` is handed
            in as ``x_ptr``.
        results: the names of those arrays that it may write.
        device: "cpu" or "cuda".

    Returns:
        ``{name: tensor}`` of the results.

    Raises:
        Unusable: it is no kernel, writes beside an array, or changes one that it must read only.
    """
    function = _function_of(kernel, arguments)
    memory = {
        name: _Memory(value, device)
        for name, value in arguments.items()
        if isinstance(value, np.ndarray)
    }
    given = {name: value for name, value in arguments.items() if name not in memory}
    pointers = {f"{name}_ptr": each.inside for name, each in memory.items()}
    with one_thread():
        _run(function, programs, given | pointers, device)
    for name, each in memory.items():
        each.require_untouched_room(name)
        if name not in results and not each.is_unchanged:
            raise Unusable(f"It changes {name}, which it must only read.")
    return {name: memory[name].inside for name in results}


class _Memory:
    """A tensor with the values of an array, and room around it.

    Args:
        array: the values.
        device: where the tensor lies.
    """

    def __init__(self, array, device):
        values = torch.from_numpy(array).reshape(-1)
        self._whole = torch.full((len(values) + 2 * _ROOM,), _UNTOUCHED, dtype=values.dtype)
        self._whole[_ROOM : _ROOM + len(values)] = values
        self._before = self._whole.clone()
        self._whole = self._whole.to(device)
        self.inside = self._whole[_ROOM : _ROOM + len(values)].view(array.shape)

    def require_untouched_room(self, name):
        """Raise Unusable if something was written outside of the array."""
        found = self._whole.cpu()
        if any((part != _UNTOUCHED).any() for part in (found[:_ROOM], found[-_ROOM:])):
            raise Unusable(
                f"It writes beside {name}. A lane whose i is n or more has no value: tl.store "
                "needs a mask."
            )

    @property
    def is_unchanged(self):
        """Whether all values are those of the beginning."""
        return torch.equal(self._whole.cpu(), self._before)


def _function_of(kernel, arguments):
    """Return the Python function of a kernel."""
    while hasattr(kernel, "fn"):
        kernel = kernel.fn
    if not inspect.isfunction(kernel):
        raise Unusable(f"It must be a function under @triton.jit. Received: {describe(kernel)}.")
    wanted = {n + "_ptr" * isinstance(v, np.ndarray) for n, v in arguments.items()}
    odd = wanted ^ {*inspect.signature(kernel).parameters}
    if odd:
        raise Unusable(
            "Its parameters must be those of the task: the check passes them by name. "
            f"Missing, or too many: {', '.join(sorted(odd))}."
        )
    return kernel


def signature_of(kernel):
    """Return the signature of a kernel without the annotations that Triton reads."""
    plain = inspect.signature(kernel).parameters.values()
    return inspect.Signature([each.replace(annotation=each.empty) for each in plain])


def _run(function, programs, arguments, device):
    from triton.runtime.interpreter import InterpretedFunction
    from triton.runtime.jit import JITFunction

    if device != "cpu":
        _require_compiler()
        JITFunction(function)[programs,](**arguments)
        return
    with interpreting():
        InterpretedFunction(function)[programs,](**arguments)


def _require_compiler():
    import triton.language as tl
    from triton.runtime.jit import JITFunction

    if not isinstance(tl.sum, JITFunction):
        raise Unusable(
            "On a GPU it must be compiled, and Triton was imported to interpret. Restart the "
            'kernel with os.environ["TRITON_INTERPRET"] = "0" in the first cell.'
        )


@contextlib.contextmanager
def interpreting():
    """Let Triton's interpreter run in a block, whether or not Triton was imported to interpret.

    It is also made faster, several times: a function of tl that is itself written in Triton, such
    as tl.sum, is not prepared anew at each call, and whole numbers are not watched for overflow,
    which a compiled kernel does not do either.
    """
    import triton.language as tl
    from triton.runtime import interpreter, jit

    def call(self, *args, **kwargs):
        return interpreter.InterpretedFunction(self.fn).rewrite()(*args, **kwargs)

    def patch_tensor(tensor, scope, patch=interpreter._patch_lang_tensor):
        patch(tensor, scope)
        # Triton 3.6 says int(array), which NumPy 2.4 refuses for an array of one number.
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    builder = interpreter.interpreter_builder
    changes = [
        (jit.JITFunction, "__call__", call),
        (interpreter.InterpretedFunction, "__call__", call),
        (interpreter, "_patch_lang_tensor", patch_tensor),
        (builder, "options", replace(builder.options, sanitize_overflow=False)),
    ]
    with contextlib.ExitStack() as stack:
        for owner, name, value in changes:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        # What the functions of tl are written with.
        stack.callback(interpreter._patch_lang(tl.standard.sum.fn).restore)
        try:
            yield
        except interpreter.InterpreterError as error:
            raise _cause(error) from None


def _cause(error):
    """Return what went wrong in the kernel, which the interpreter wraps."""
    while type(error).__name__ == "InterpreterError" and error.__cause__:
        error = error.__cause__
    return error
