"""Rules that are not values: inputs stay unchanged, global state stays, no ready-made answer."""

import contextlib
import functools
import inspect
import sys
import types
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bncourse.registry import closed_modules

_REFERENCE = "bncourse.reference."

# Names of torch's operations, and of Python functions by module, that are a batch norm already.
_READY_MADE_BUILTINS = {
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_backward_elemt",
    "batch_norm_backward_reduce",
    "batch_norm_elemt",
    "batch_norm_gather_stats",
    "batch_norm_gather_stats_with_counts",
    "batch_norm_stats",
    "batch_norm_update_stats",
    "native_batch_norm",
    "native_batch_norm_backward",
    "cudnn_batch_norm",
    "cudnn_batch_norm_backward",
    "miopen_batch_norm",
    "miopen_batch_norm_backward",
    "_batch_norm_impl_index",
    "_batch_norm_impl_index_backward",
    "_batch_norm_no_update",
    "_batch_norm_with_update",
    "_batch_norm_with_update_functional",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_functional",
    "_native_batch_norm_legit_no_training",
    "instance_norm",
    "group_norm",
    "native_group_norm",
    "native_group_norm_backward",
    "layer_norm",
    "native_layer_norm",
    "native_layer_norm_backward",
    "rms_norm",
}
_READY_MADE_PYTHON = {
    ("torch.nn.functional", "batch_norm"),
    ("torch.nn.modules.batchnorm", "forward"),
    ("torch.nn.utils.fusion", "fuse_conv_bn_weights"),
    ("torch.nn.utils.fusion", "fuse_linear_bn_weights"),
    ("torch.optim.swa_utils", "update_bn"),
    ("keras.src.layers.normalization.batch_normalization", "call"),
    ("keras.src.ops.nn", "batch_normalization"),
    ("keras.src.ops.nn", "layer_normalization"),
    ("keras.src.ops.nn", "rms_normalization"),
    *(
        (f"keras.src.backend.{backend}.nn", "batch_normalization")
        for backend in ("torch", "tensorflow", "jax")
    ),
}

_FORBIDDEN_CALL = "It calls a ready-made"
_RECEIVED = " Received: "


# A seed that nobody types. The same at each attempt: what draws from a global state is then told
# that it does, and not that its results differ.
_UNUSED = 3_868_240_917


class _State(NamedTuple):
    """Global state that a solution has no reason to touch.

    Args:
        what: what to say of it.
        module: what to read from, once it is loaded.
        read, write: how to read it and how to put it back.
        stir: how to move a random state to where no program has put it. In a notebook that has
            called np.random.seed(0), a solution that calls it too would seem to change nothing.
        look: what differs once a stirred state has moved; it may move the state itself. NumPy's
            takes longer to read than many solutions to run, and its next numbers tell as much.
    """

    what: str
    module: str
    read: Callable
    write: Callable
    stir: Callable | None = None
    look: Callable | None = None


_CUDNN = ("enabled", "benchmark", "deterministic", "allow_tf32")
_AUTOCAST_DEVICES = ("cpu", "cuda")
_SMALLEST_NORMAL = sys.float_info.min

_STATES = (
    _State(
        "NumPy's global random state (use np.random.default_rng instead)",
        "numpy",
        lambda np: np.random.get_state(),
        lambda np, old: np.random.set_state(old),
        lambda np: np.random.seed(_UNUSED),
        lambda np: np.random.bytes(16),
    ),
    _State(
        "Python's global random state",
        "random",
        lambda random: random.getstate(),
        lambda random, old: random.setstate(old),
        lambda random: random.seed(_UNUSED),
        lambda random: random.getrandbits(128),
    ),
    _State(
        "NumPy's floating-point error settings (use np.errstate)",
        "numpy",
        lambda np: np.geterr(),
        lambda np, old: np.seterr(**old),
    ),
    _State(
        "how NumPy prints arrays (use np.printoptions as a block)",
        "numpy",
        lambda np: np.get_printoptions(),
        lambda np, old: np.set_printoptions(**old),
    ),
    _State(
        "torch's global random state (use a torch.Generator)",
        "torch",
        lambda torch: torch.get_rng_state().numpy(),
        lambda torch, old: torch.set_rng_state(torch.from_numpy(old)),
        lambda torch: torch.default_generator.manual_seed(_UNUSED),
        lambda torch: torch.get_rng_state().numpy(),
    ),
    _State(
        "torch's default dtype",
        "torch",
        lambda torch: torch.get_default_dtype(),
        lambda torch, old: torch.set_default_dtype(old),
    ),
    _State(
        "torch's default device",
        "torch",
        lambda torch: torch.get_default_device(),
        lambda torch, old: torch.set_default_device(None if old == torch.device("cpu") else old),
    ),
    _State(
        "torch's global gradient switch (use torch.no_grad as a block)",
        "torch",
        lambda torch: torch.is_grad_enabled(),
        lambda torch, old: torch.set_grad_enabled(old),
    ),
    _State(
        "torch's anomaly detection",
        "torch",
        lambda torch: torch.is_anomaly_enabled(),
        lambda torch, old: torch.autograd.set_detect_anomaly(old),
    ),
    _State(
        "how torch prints tensors",
        "torch",
        lambda torch: tuple(vars(torch._tensor_str.PRINT_OPTS).items()),
        lambda torch, old: vars(torch._tensor_str.PRINT_OPTS).update(old),
    ),
    _State(
        "torch's choice of deterministic algorithms",
        "torch",
        lambda torch: torch.get_deterministic_debug_mode(),
        lambda torch, old: torch.set_deterministic_debug_mode(old),
    ),
    _State(
        "torch's switches of cuDNN",
        "torch",
        lambda torch: tuple(_readable(torch.backends.cudnn, name) for name in _CUDNN),
        lambda torch, old: [
            setattr(torch.backends.cudnn, name, value)
            for name, value in zip(_CUDNN, old, strict=True)
            if value is not None
        ],
    ),
    _State(
        "torch's switch of oneDNN",
        "torch",
        lambda torch: torch.backends.mkldnn.enabled,
        lambda torch, old: torch.backends.mkldnn.set_flags(old),
    ),
    _State(
        "the precision in which torch multiplies matrices of float32",
        "torch",
        lambda torch: matmul_precision(torch),
        lambda torch, old: set_matmul_precision(torch, old),
    ),
    _State(
        "whether torch keeps denormal numbers",
        "torch",
        # Torch sets the processor and does not say what is set.
        lambda torch: _SMALLEST_NORMAL / 2 == 0,
        lambda torch, old: torch.set_flush_denormal(old),
    ),
    _State(
        "torch's autocast (use torch.autocast as a block)",
        "torch",
        lambda torch: tuple(
            (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device))
            for device in _AUTOCAST_DEVICES
        ),
        lambda torch, old: [
            (torch.set_autocast_enabled(device, on), torch.set_autocast_dtype(device, dtype))
            for device, (on, dtype) in zip(_AUTOCAST_DEVICES, old, strict=True)
        ],
    ),
    _State(
        "how often torch warns",
        "torch",
        lambda torch: torch.is_warn_always_enabled(),
        lambda torch, old: torch.set_warn_always(old),
    ),
    _State(
        "the number of torch's threads",
        "torch",
        lambda torch: torch.get_num_threads(),
        lambda torch, old: torch.set_num_threads(old),
    ),
    _State(
        "the hooks that torch runs for every module",
        "torch",
        lambda torch: [dict(hooks) for hooks in _hooks_of_all_modules(torch)],
        lambda torch, old: [
            (hooks.clear(), hooks.update(kept))
            for hooks, kept in zip(_hooks_of_all_modules(torch), old, strict=True)
        ],
    ),
    _State(
        "a function of torch's own layers, for all models (use hooks, and remove them)",
        "torch",
        lambda torch: [vars(owner).get(name) for owner, name in _functions_of_layers(torch)],
        lambda torch, old: [
            _put(owner, name, function)
            for (owner, name), function in zip(_functions_of_layers(torch), old, strict=True)
        ],
    ),
    _State(
        "Keras's default float type (floatx)",
        "keras",
        lambda keras: keras.config.floatx(),
        lambda keras, old: keras.config.set_floatx(old),
    ),
    _State(
        "Keras's default epsilon",
        "keras",
        lambda keras: keras.config.epsilon(),
        lambda keras, old: keras.config.set_epsilon(old),
    ),
    _State(
        "Keras's image data format",
        "keras",
        lambda keras: keras.config.image_data_format(),
        lambda keras, old: keras.config.set_image_data_format(old),
    ),
    _State(
        "Keras's global dtype policy",
        "keras",
        lambda keras: keras.config.dtype_policy(),
        lambda keras, old: keras.config.set_dtype_policy(old),
    ),
    _State(
        "whether Keras shows the progress of a training",
        "keras",
        lambda keras: keras.config.is_interactive_logging_enabled(),
        lambda keras, old: (
            keras.config.enable_interactive_logging()
            if old
            else keras.config.disable_interactive_logging()
        ),
    ),
    _State(
        "whether Keras loads code from files (unsafe deserialization)",
        "keras",
        lambda keras: keras.src.saving.serialization_lib.in_safe_mode(),
        lambda keras, old: keras.src.backend.common.global_state.set_global_attribute(
            "safe_mode_saving", old
        ),
    ),
)


_WATCHED = sorted({*(each.module for each in _STATES), *(name for name, _ in _READY_MADE_PYTHON)})


def _hooks_of_all_modules(torch):
    module = torch.nn.modules.module
    return [
        module._global_forward_hooks,
        module._global_forward_pre_hooks,
        module._global_backward_hooks,
        module._global_backward_pre_hooks,
        module._global_parameter_registration_hooks,
        module._global_buffer_registration_hooks,
        module._global_module_registration_hooks,
    ]


def _functions_of_layers(torch):
    """Return (owner, name) of what someone who knows no hooks replaces."""
    nn, kinds = torch.nn, torch.nn.modules.batchnorm
    norms = (kinds._BatchNorm, kinds.BatchNorm1d, kinds.BatchNorm2d, kinds.BatchNorm3d)
    return [
        (nn.functional, "batch_norm"),
        *((nn.Module, name) for name in ("__call__", "_call_impl", "train", "eval")),
        *((norm, "forward") for norm in norms),
    ]


def _put(owner, name, function):
    """Give an object a function again that it had, or take away one that it had not."""
    if function is not None:
        setattr(owner, name, function)
    elif name in vars(owner):
        delattr(owner, name)


def _readable(switches, name):
    """Return a switch, or None where torch refuses to say it: it was set in two ways."""
    try:
        return getattr(switches, name)
    except RuntimeError:
        return None


def matmul_precision(torch):
    """Return how torch multiplies matrices of float32, as ``set_matmul_precision`` takes it."""
    try:
        return torch.get_float32_matmul_precision(), None
    except RuntimeError:
        # Torch refuses to say it where it was set through the newer of its two switches.
        return None, torch.backends.cuda.matmul.fp32_precision


def set_matmul_precision(torch, precision):
    """Set what ``matmul_precision`` returned."""
    older, newer = precision
    torch.set_float32_matmul_precision(older or "highest")
    if newer:
        torch.backends.cuda.matmul.fp32_precision = newer


class Watch:
    """Tells, attempt by attempt, which rules a solution breaks.

    What one attempt changes of the global state is put back before the next. Random states are
    set anew for each, and are as they were when the watch ends.

    Args:
        exercise: the Exercise that is attempted.
        obj: the solution.
        ours: whether it is one of the course, which calls nothing that is forbidden.
        state: the GlobalState of several watches, for who makes it to restore: to read all of it
            takes longer than many solutions.
    """

    def __init__(self, exercise, obj, ours=False, state=None):
        self._shared = state
        self._forbids = not (ours or exercise.allows_ready_made)
        self._answers = closed_modules(exercise.name)
        self._of_signature = another_order(exercise, obj) + _other_defaults(exercise, obj)

    def __enter__(self):
        self._known = _known_modules()
        with contextlib.ExitStack() as stack:
            if self._shared and self._shared.modules == self._known:
                self._state = self._shared
            else:
                self._state = GlobalState()
                stack.callback(self._state.restore)
            self._called = set()
            if self._forbids:
                stack.enter_context(_ready_made_calls(self._answers, self._called))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *details):
        self._open.close()

    @contextlib.contextmanager
    def attempt(self, inputs):
        """Yield a list that holds, after the block, a sentence for each rule that was broken.

        Args:
            inputs: what the solution is given, by name.
        """
        if _known_modules() != self._known:
            # The attempt before this one has imported a library.
            self.__exit__()
            self.__enter__()
        rules = []
        before = {name: fingerprint(value) for name, value in inputs.items()}
        self._called.clear()
        self._state.stir()
        try:
            yield rules
        finally:
            # A solution that raises may have changed it too.
            changed = self._state.changed()
        rules += [
            _changes_input(name)
            for name, value in inputs.items()
            if fingerprint(value) != before[name]
        ]
        rules += [
            _locks_input(name)
            for name, value in inputs.items()
            if not all(array.flags.writeable for array in _arrays_in(value))
        ]
        rules += self._of_signature + changed
        rules += [calls_ready_made(name) for name in sorted(self._called)]


def sentences(exercise, inputs):
    """Return every sentence that a ``Watch`` may say: what else is said is not from it.

    Args:
        exercise: the Exercise.
        inputs: what the solution is given, by name.
    """
    parameters = exercise.signature.parameters.values()
    ready_made = [f"{module}.{name}" for module, name in _READY_MADE_PYTHON]
    ready_made += [_torch_function(name) for name in _READY_MADE_BUILTINS]
    loaded = [module for name, module in sys.modules.items() if name.startswith(_REFERENCE)]
    ready_made += [_reference_function(name) for module in loaded for name in vars(module)]
    return {
        *map(_changes_input, inputs),
        *map(_locks_input, inputs),
        *(_default(each) for each in parameters if each.default is not each.empty),
        _order(exercise),
        CHANGED_LATER,
        *map(returns_input, inputs),
        *(_changes_state(what) for what, *_ in _STATES),
        *map(calls_ready_made, ready_made),
    }


def rule_of(sentence):
    """Return what a sentence on a broken rule asks for, without what the student has there.

    >>> rule_of("The default of eps must be 1e-05. Received: eps=0.1.")
    'The default of eps must be 1e-05.'
    """
    return sentence.partition(_RECEIVED)[0]


def another_order(exercise, obj):
    """Return a sentence if the arguments of the exercise cannot be given without their names."""
    found = parameters_of(obj)
    by_place = [name for name, each in found.items() if each.kind is each.POSITIONAL_OR_KEYWORD]
    if isinstance(obj, type):
        by_place = by_place[1:]
    for place, (name, asked) in enumerate(exercise.signature.parameters.items()):
        # An option may ask for its name.
        option = asked.default is not asked.empty and name not in by_place
        if name in found and not option and by_place[place : place + 1] != [name]:
            given = list(found.values())[1 if isinstance(obj, type) else 0 :]
            return [f"{_order(exercise)}{_RECEIVED}{str(inspect.Signature(given))[1:-1]}."]
    return []


def _order(exercise):
    names = ", ".join(exercise.signature.parameters)
    return f"Its arguments must be {names}, in this order, as a caller may leave their names out."


def _other_defaults(exercise, obj):
    """Return a sentence for each parameter whose default is not the one of the exercise."""
    found = parameters_of(obj)
    return [
        f"{_default(each)}{_RECEIVED}{_received(found[name])}."
        for name, each in exercise.signature.parameters.items()
        if name in found and _differ(each.default, found[name].default)
    ]


def parameters_of(obj):
    """Return the named parameters of a function, or of what makes an object of a class."""
    # Keras's layers take anything in __new__, which inspect looks at first.
    call = obj.__init__ if isinstance(obj, type) else obj
    try:
        return {
            name: each.replace(annotation=each.empty)
            for name, each in inspect.signature(call).parameters.items()
            if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        }
    except (TypeError, ValueError):
        return {}


def _differ(asked, given):
    """Return whether two defaults differ; None may stand for one that the body fills in."""
    if asked is inspect.Parameter.empty or given is None:
        return False
    if given is inspect.Parameter.empty:
        return True
    asked, given = (tuple(x) if isinstance(x, list) else x for x in (asked, given))
    # float32(1e-5) equals 1e-5 to NumPy, which compares them in float32.
    return repr(given) != repr(asked) and not (_is_number(given) and float(given) == asked)


def _received(parameter):
    return f"{parameter}, without one" if parameter.default is parameter.empty else str(parameter)


def _is_number(value):
    return isinstance(value, int | float | np.number)


def _default(parameter):
    return f"The default of {parameter.name} must be {parameter.default}."


def _changes_input(name):
    return f"It changes its input {name} in place. Work on new arrays."


def _locks_input(name):
    return f"It locks its input {name} (flags.writeable), so that the caller cannot write into it."


def returns_input(name):
    """Return the sentence where a result is an input, or a view of it, and new arrays are asked."""
    return f"A result is its input {name} itself, or a view of it. Return new arrays."


# Where a result is kept between two calls, as a buffer or a mutable default.
CHANGED_LATER = "A second call changes what the first one returned. Make new arrays in each call."


def _changes_state(what):
    return f"It changes {what}."


def calls_ready_made(name):
    """Return the sentence where a norm that exists already is called, by its name."""
    return f"{_FORBIDDEN_CALL} {name}. Write it yourself."


def names_forbidden_call(finding):
    """Return whether what was found wrong is that a ready-made batch norm was called.

    >>> names_forbidden_call(calls_ready_made("torch function, batch_norm"))
    True
    """
    return _FORBIDDEN_CALL in finding


def _torch_function(name):
    return f"torch function, {name}"


def _reference_function(name):
    return f"bncourse.reference function, {name}"


def _arrays_in(value):
    """Yield the arrays that an input is, or holds, as a cache does."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _arrays_in(item)
    elif isinstance(value, np.ndarray):
        yield value


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
        self.modules = _known_modules()
        # Only what is loaded: a NumPy exercise must not pay for importing torch.
        self.before = [
            (state, module, state.read(module))
            for state in _STATES
            if (module := _loaded(state.module))
        ]
        self.stirred = {}

    def stir(self):
        """Move the random states, so that setting them to anything is a change."""
        for state, module, _ in self.before:
            if state.stir:
                state.stir(module)
                if state.what not in self.stirred:
                    self.stirred[state.what] = state.look(module)
                    state.stir(module)

    def changed(self):
        """Return a sentence for each thing that changed since ``stir``; put back all but those."""
        changed = []
        for state, module, old in self.before:
            if state.stir:
                same = _same(state.look(module), self.stirred[state.what])
            else:
                same = self._put_back(state, module, old)
            if not same:
                changed.append(_changes_state(state.what))
        return changed

    def restore(self):
        """Put everything back and return a sentence for each thing that was not as it had been."""
        return [
            _changes_state(state.what)
            for state, module, old in self.before
            if not self._put_back(state, module, old)
        ]

    @staticmethod
    def _put_back(state, module, old):
        """Set a state to what it was; return whether that is what it is already."""
        same = _same(state.read(module), old)
        if not same:
            state.write(module, old)
        return same


def _known_modules():
    """Return which modules with something to watch are loaded."""
    return [name for name in _WATCHED if name in sys.modules]


def _loaded(name):
    """Return a module that has finished loading, or None."""
    module = sys.modules.get(name)
    return module if getattr(module, "__version__", None) or name == "random" else None


def _same(a, b):
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_same_part, a, b))
    return _same_part(a, b)


def _same_part(a, b):
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


@contextlib.contextmanager
def _ready_made_calls(answers, called):
    """Add to a set the names of the ready-made batch norms that are called in the block.

    ``sys.setprofile`` would see them too; it is told of all other calls as well, and that takes
    longer than the solution.

    Args:
        answers: the names of the modules of the reference that are out of bounds.
        called: the set.
    """
    with contextlib.ExitStack() as stack:
        for module, name in _READY_MADE_PYTHON:
            for function in _functions(module, name):
                note = functools.partial(_note_library, called, f"{module}.{name}")
                stack.enter_context(_noted(function, note))
        for module in answers:
            for function in _functions(module):
                note = functools.partial(_note_answer, called, function.__name__)
                stack.enter_context(_noted(function, note))
        if _loaded("torch"):
            stack.enter_context(_torch_watch()(called))
        yield


def _note_library(called, name, caller):
    called.add(name)


def _note_answer(called, name, caller):
    # The student did not name what the reference calls itself.
    if not _is_reference(caller):
        called.add(_reference_function(name))


def _functions(module, name=None):
    """Return the functions that a module defines, methods included: all of them, or those named."""
    return _functions_of(sys.modules[module], name) if module in sys.modules else ()


@functools.cache
def _functions_of(module, name):
    spaces = [vars(module), *(vars(x) for x in vars(module).values() if isinstance(x, type))]
    found = [x for space in spaces for x in (space.values() if not name else [space.get(name)])]
    functions = {inspect.unwrap(each) for each in found if callable(each)}
    return [
        each
        for each in functions
        if isinstance(each, types.FunctionType) and each.__module__ == module.__name__
    ]


@contextlib.contextmanager
def _noted(function, note):
    """Call ``note`` with the calling frame whenever a function is called in the block.

    Its code is replaced, since a student may hold the function under any name.
    """
    code = function.__code__
    original = types.FunctionType(
        code, function.__globals__, code.co_name, function.__defaults__, function.__closure__
    )
    original.__kwdefaults__ = function.__kwdefaults__

    def call(*args, **kwargs):
        note(sys._getframe(2))
        return original(*args, **kwargs)

    # Keras looks up which arguments a layer takes.
    function.__signature__ = _signature(function)
    function.__code__ = _STAND_IN.replace(
        co_consts=tuple(call if each == _CALL else each for each in _STAND_IN.co_consts),
        co_freevars=code.co_freevars,
    )
    try:
        yield
    finally:
        function.__code__ = code
        del function.__signature__


_signature = functools.cache(inspect.signature)
_CALL = "the function to call"


def _stand_in(*args, **kwargs):
    call = "the function to call"
    return call(*args, **kwargs)


_STAND_IN = _stand_in.__code__


@functools.cache
def _torch_watch():
    """Return a context that adds to a set the name of each ready-made operation of torch in it."""
    from torch.overrides import TorchFunctionMode

    class Watch(TorchFunctionMode):
        def __init__(self, called):
            super().__init__()
            self.called = called

        def __torch_function__(self, function, types, args=(), kwargs=None):
            # An operator is called batch_norm.default.
            name = getattr(function, "__name__", "").partition(".")[0]
            if name in _READY_MADE_BUILTINS:
                self.called.add(_torch_function(name))
            return function(*args, **(kwargs or {}))

    return Watch


def _is_reference(frame):
    return frame.f_globals.get("__name__", "").startswith(_REFERENCE)
