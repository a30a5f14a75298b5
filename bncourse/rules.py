"""Rules that are not values: inputs stay unchanged, global state stays, no ready-made answer."""

import contextlib
import random
import sys

import numpy as np

from bncourse.registry import closed_modules

_REFERENCE = "bncourse.reference."

# Names of C functions and of Python functions (by module) that are a batch norm already.
_READY_MADE_BUILTINS = {
    "batch_norm",
    "native_batch_norm",
    "cudnn_batch_norm",
    "_batch_norm_impl_index",
    "_native_batch_norm_legit",
    "instance_norm",
    "group_norm",
    "native_group_norm",
    "layer_norm",
    "native_layer_norm",
}
_READY_MADE_PYTHON = {
    ("torch.nn.functional", "batch_norm"),
    ("torch.nn.modules.batchnorm", "forward"),
    ("torch.nn.utils.fusion", "fuse_conv_bn_weights"),
    ("torch.optim.swa_utils", "update_bn"),
    ("keras.src.layers.normalization.batch_normalization", "call"),
    ("keras.src.ops.nn", "batch_normalization"),
}
_READY_MADE_MODULES = {module for module, _ in _READY_MADE_PYTHON}

_FORBIDDEN_CALL = "It calls a ready-made"

# Global state that a solution has no reason to touch.
_NUMPY_RANDOM = "NumPy's global random state (use np.random.default_rng instead)"
_PYTHON_RANDOM = "Python's global random state"
_NUMPY_ERRORS = "NumPy's floating-point error settings (use np.errstate)"
_TORCH_RANDOM = "torch's global random state (use a torch.Generator)"
_TORCH_DTYPE = "torch's default dtype"
_TORCH_GRAD = "torch's global gradient switch (use torch.no_grad as a block)"

_STATES = (
    _NUMPY_RANDOM,
    _PYTHON_RANDOM,
    _NUMPY_ERRORS,
    _TORCH_RANDOM,
    _TORCH_DTYPE,
    _TORCH_GRAD,
)


@contextlib.contextmanager
def broken_rules(exercise, inputs):
    """Yield a list that holds, after the block, a sentence for each rule that was broken.

    Global state that the block changed is put back, so that one solution cannot harm the next.

    Args:
        exercise: the Exercise that the block attempts.
        inputs: what the solution is given, by name.
    """
    rules = []
    before = {name: fingerprint(value) for name, value in inputs.items()}
    state = GlobalState()
    try:
        with _ready_made_calls(closed_modules(exercise.name)) as called:
            yield rules
    finally:
        # A solution that raises may have changed it too.
        changed = state.restore()
    rules += [
        _changes_input(name) for name, value in inputs.items() if fingerprint(value) != before[name]
    ]
    rules += changed
    if not exercise.allows_ready_made:
        rules += [_calls_ready_made(name) for name in sorted(called)]


def sentences(inputs):
    """Return every sentence that ``broken_rules`` may say: what else is said is not from it.

    Args:
        inputs: what the solution is given, by name.
    """
    ready_made = [f"{module}.{name}" for module, name in _READY_MADE_PYTHON]
    ready_made += [_torch_function(name) for name in _READY_MADE_BUILTINS]
    loaded = [module for name, module in sys.modules.items() if name.startswith(_REFERENCE)]
    ready_made += [_reference_function(name) for module in loaded for name in vars(module)]
    return {
        *map(_changes_input, inputs),
        *map(_changes_state, _STATES),
        *map(_calls_ready_made, ready_made),
    }


def _changes_input(name):
    return f"It changes its input {name} in place. Work on new arrays."


def _changes_state(what):
    return f"It changes {what}."


def _calls_ready_made(name):
    return f"{_FORBIDDEN_CALL} {name}. Write it yourself."


def names_forbidden_call(finding):
    """Return whether what was found wrong is that a ready-made batch norm was called.

    >>> names_forbidden_call(_calls_ready_made("torch function, batch_norm"))
    True
    """
    return _FORBIDDEN_CALL in finding


def _torch_function(name):
    return f"torch function, {name}"


def _reference_function(name):
    return f"bncourse.reference function, {name}"


def fingerprint(value):
    """Return the content of an input as something that compares NaN with itself."""
    if isinstance(value, dict):
        return {key: fingerprint(item) for key, item in value.items()}
    # The repr of a large array leaves out its middle, so arrays inside a list are not left to it.
    if isinstance(value, list | tuple):
        return [fingerprint(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    return repr(value)


class GlobalState:
    """The global switches that a solution has no reason to touch."""

    def __init__(self):
        self.numpy_random = np.random.get_state()
        self.python_random = random.getstate()
        self.numpy_errors = np.geterr()
        # A NumPy exercise must not pay for importing torch.
        self.torch = sys.modules.get("torch")
        if self.torch:
            self.torch_random = self.torch.get_rng_state()
            self.torch_dtype = self.torch.get_default_dtype()
            self.torch_grad = self.torch.is_grad_enabled()

    def restore(self):
        """Put everything back and return a sentence for each thing that had changed."""
        changed = []
        if not _same_numpy_state(np.random.get_state(), self.numpy_random):
            np.random.set_state(self.numpy_random)
            changed.append(_NUMPY_RANDOM)
        if random.getstate() != self.python_random:
            random.setstate(self.python_random)
            changed.append(_PYTHON_RANDOM)
        if np.geterr() != self.numpy_errors:
            np.seterr(**self.numpy_errors)
            changed.append(_NUMPY_ERRORS)
        if self.torch:
            changed += self._restore_torch()
        return [_changes_state(what) for what in changed]

    def _restore_torch(self):
        torch, changed = self.torch, []
        if not torch.equal(torch.get_rng_state(), self.torch_random):
            torch.set_rng_state(self.torch_random)
            changed.append(_TORCH_RANDOM)
        if torch.get_default_dtype() != self.torch_dtype:
            torch.set_default_dtype(self.torch_dtype)
            changed.append(_TORCH_DTYPE)
        if torch.is_grad_enabled() != self.torch_grad:
            torch.set_grad_enabled(self.torch_grad)
            changed.append(_TORCH_GRAD)
        return changed


def _same_numpy_state(a, b):
    return all(np.array_equal(part_a, part_b) for part_a, part_b in zip(a, b, strict=True))


@contextlib.contextmanager
def _ready_made_calls(answers):
    """Yield a set that collects the names of ready-made batch norms called in the block.

    Args:
        answers: the names of the modules of the reference that are out of bounds.
    """
    called = set()
    watched = _READY_MADE_MODULES | answers

    # It runs at every call and return of the solution, so the common case must be short.
    def watch(frame, event, argument):
        if event == "call":
            if frame.f_globals.get("__name__") in watched:
                called.update(_ready_made(frame, answers))
        elif event == "c_call" and argument.__name__ in _READY_MADE_BUILTINS:
            called.add(_torch_function(argument.__name__))

    previous = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield called
    finally:
        sys.setprofile(previous)


def _ready_made(frame, answers):
    """Yield the name of what a frame runs if that is a ready-made batch norm."""
    module, name = frame.f_globals["__name__"], frame.f_code.co_name
    if (module, name) in _READY_MADE_PYTHON:
        yield f"{module}.{name}"
    # The student did not name what the reference calls itself.
    elif module in answers and not _is_reference(frame.f_back):
        yield _reference_function(name)


def _is_reference(frame):
    return frame.f_globals.get("__name__", "").startswith(_REFERENCE)
