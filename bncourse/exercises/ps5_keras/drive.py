"""The untrusted half of the Keras exercises: build what a student wrote, run it, return arrays.

All that differs between the backends of Keras is in this module: devices and gradients.
"""

import contextlib
import inspect
import itertools
import random
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
from keras import ops

from bncourse.exercise import Unusable, describe, nested_parts, so_far

STATE = ("moving_mean", "moving_variance")
OPTIONS = ("axis", "momentum", "epsilon", "center", "scale")
DEVICES = {"cpu": "cpu", "cuda": "gpu"}
# What keras.layers.Layer itself takes as a keyword argument.
_OF_KERAS = ("name", "trainable", "dtype", "autocast", "activity_regularizer")


@contextlib.contextmanager
def session(device):
    """Run a block on a device and leave nothing behind.

    Args:
        device: "cpu" or "cuda".
    """
    with (
        warnings.catch_warnings(),
        keras.device(_place(device)),
        _python_random_kept(),
        _bare_errors(),
        _settings_kept(),
    ):
        # Keras's torch backend saves weights through an __array__ that NumPy 2 calls outdated.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield


def _place(device):
    # Keras 3.8 on JAX takes a device with its number only, and on PyTorch one without it.
    number = ":0" if keras.backend.backend() == "jax" else ""
    return DEVICES[device] + number


@contextlib.contextmanager
def _python_random_kept():
    # Keras draws the seed of every initializer from Python's random state, so that a correct
    # solution changes it without knowing.
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


@contextlib.contextmanager
def _bare_errors():
    # Keras wraps an error in a report on the arguments, in bold; a student needs the error.
    filtering = keras.config.is_traceback_filtering_enabled()
    keras.config.disable_traceback_filtering()
    try:
        yield
    finally:
        if filtering:
            keras.config.enable_traceback_filtering()


@contextlib.contextmanager
def _settings_kept():
    """Put back what holds for all of Keras, and raise Unusable if the block changed it."""
    before, uid = _settings(), _uid()
    changed = []
    try:
        yield
    finally:
        cleared = _uid() != uid + 1
        after = _settings()
        changed += [name for name, value in before.items() if after[name] != value]
        for name in changed:
            getattr(keras.config, f"set_{name}")(before[name])
    if changed:
        raise Unusable(f"It changes a setting of all of Keras, {changed[0]}. Leave keras.config.")
    if cleared:
        raise Unusable(
            "It calls clear_session, with which all of Keras forgets its state. Leave it out."
        )


def _uid():
    """Return one more than at the last call, unless the state of Keras was cleared in between."""
    return keras.backend.get_uid("bncourse")


def _settings():
    config = keras.config
    return {
        "floatx": config.floatx(),
        "epsilon": config.epsilon(),
        "image_data_format": config.image_data_format(),
        "dtype_policy": config.dtype_policy(),
    }


def to_numpy(tensor):
    """Return a tensor or variable as an ndarray; float32 holds each value of the half types."""
    if keras.backend.standardize_dtype(tensor.dtype) in ("float16", "bfloat16"):
        tensor = ops.cast(tensor, "float32")
    value = getattr(tensor, "value", tensor)
    if hasattr(value, "detach"):
        # The same as below at a tenth of its time, of which a check is made of a thousand.
        return value.detach().cpu().numpy().copy()
    return np.array(ops.convert_to_numpy(tensor))


# --- a layer ----------------------------------------------------------------------------------


def drive_layer(obj, inputs):
    """Return what a batch-norm layer does in training, at inference, frozen and rebuilt."""
    with session(inputs["device"]):
        return _life_of_a_layer(obj, inputs)


def _life_of_a_layer(obj, inputs):
    options = {name: inputs[name] for name in OPTIONS if name in inputs}
    layer = obj(**options, dtype=inputs["dtype"])
    if not isinstance(layer, keras.layers.Layer):
        raise Unusable(f"It must make a keras.layers.Layer. Received: {describe(layer)}.")
    if not hasattr(layer, "dtype_policy"):
        raise Unusable("__init__ must call super().__init__(**kwargs) first.")
    _require_dtype(layer, inputs["dtype"])
    _require_default_mode(layer)
    shape = _shape_in_build(inputs["x_new"].shape, inputs.get("axis", -1))
    layer.build(shape)
    _require_same_shape(layer, shape)
    weights = _weights(layer, inputs)
    outputs = {f"{name} at the start": to_numpy(weight) for name, weight in weights.items()}
    with so_far(outputs):
        _live(obj, layer, weights, inputs, options, outputs)
    return outputs


def _shape_in_build(shape, axis):
    """Return what a layer knows in build: one that sees images may see them in other sizes."""
    if len(shape) < 4 or axis != -1:
        return None, *shape[1:]
    return tuple(size if place == axis % len(shape) else None for place, size in enumerate(shape))


def _require_default_mode(layer):
    mode = inspect.signature(layer.call).parameters.get("training")
    if mode and mode.default is mode.empty:
        raise Unusable(
            "call must give training a default, training=None: a bare call, layer(x), names no "
            "mode."
        )


def _live(obj, layer, weights, inputs, options, outputs):
    """Train a layer, use, rebuild and freeze it, and add to the outputs what it returns.

    Where it trains for one step, a short life is enough: another case has the rest.
    """
    for name, weight in weights.items():
        weight.assign(inputs[name])
    other, before = None, _tensors(layer)
    for step, (x, dy) in enumerate(zip(inputs["x"], inputs["dy"], strict=True), start=1):
        moment = f"in training step {step}"
        outputs |= _training_step(layer, weights, x, dy, moment) | _state(layer, weights, moment)
        # After each step, so that a state which the two share shows in what follows. A layer with
        # default options would show no more than one with others, and each takes time.
        if options:
            other = other or _another(obj, inputs, options)
            other(ops.convert_to_tensor(inputs["x_new"]), training=True)
    if layer.losses:
        raise Unusable("The layer adds a loss to the model's. Batch norm has none.")
    _require_no_graph(layer, before)
    whole = len(inputs["x"]) > 1
    outputs["y at inference"] = _run(layer, inputs["x_new"], training=False)
    if whole:
        outputs["y with training left out"] = _run(layer, inputs["x_new"])
    outputs |= _state(layer, weights, "after inference")
    if inputs["rebuild"]:
        outputs |= _rebuilt(layer, weights, inputs)
    if whole:
        layer.trainable = False
        outputs["y with trainable=False"] = _run(layer, inputs["x"][0], training=True)
        outputs |= _state(layer, weights, "with trainable=False")
    if inputs["rebuild"] == "config":
        _require_frozen_twin(layer)
        layer.trainable = True
        layer(ops.convert_to_tensor(inputs["x_new"]), training=True)
        outputs |= _state(layer, weights, "with trainable=True again")
        # A layer that keeps the last mode trains here too.
        y = outputs["y with training left out after a step"] = _run(layer, inputs["x_new"])
        _require_mode_apart_from_gradients(layer, inputs["x_new"], y)


def _require_mode_apart_from_gradients(layer, x, y):
    """Raise Unusable if a bare call does something else where a gradient may be asked of it."""
    if keras.backend.backend() == "torch":
        tracked = _checked(layer, layer(ops.convert_to_tensor(x).clone().requires_grad_()), x)
        if not np.allclose(to_numpy(tracked), y, rtol=1e-2, atol=1e-2, equal_nan=True):
            raise Unusable(
                "A bare call, layer(x), does something else where gradients are on. The mode is "
                "for training to say, and None is inference."
            )


def _require_same_shape(layer, shape):
    """Raise Unusable if a layer says that its output has another shape or dtype than it has."""
    base = keras.layers.Layer
    own = type(layer).compute_output_shape is not base.compute_output_shape
    said = tuple(layer.compute_output_shape(shape)) if own else shape
    if said != shape:
        raise Unusable(
            f"compute_output_shape must return the shape of the input, {shape}. Received: {said}."
        )
    if type(layer).compute_output_spec is base.compute_output_spec:
        return
    spec = layer.compute_output_spec(keras.KerasTensor(shape, dtype=layer.compute_dtype))
    if (tuple(spec.shape), spec.dtype) != (shape, layer.compute_dtype):
        raise Unusable(
            f"compute_output_spec must return the shape of the input, {shape}, and the "
            f"compute_dtype, {layer.compute_dtype}. Received: {tuple(spec.shape)} and {spec.dtype}."
        )


def _another(obj, inputs, options):
    """Return a second layer, with other options: the first must not know of it."""
    other = obj(**options | {"momentum": 0.25, "epsilon": 0.75}, dtype=inputs["dtype"])
    other.build((None, *inputs["x_new"].shape[1:]))
    return other


def _require_no_graph(layer, before):
    """Raise Unusable if an attribute of a layer holds the graph of a batch.

    On PyTorch a tensor shows its graph. On JAX and TensorFlow, any tensor that a step leaves on the
    layer is of the graph as soon as the step is traced, as it is in ``fit``.

    Args:
        layer: after training steps.
        before: the tensors that its attributes held before them.
    """
    on_torch = keras.backend.backend() == "torch"
    for name, part in _tensors(layer):
        new = not any(part is other for _, other in before)
        if part.grad_fn is not None if on_torch else new:
            raise Unusable(f"The attribute {name} holds the graph of the batch after a step.")


def _tensors(layer):
    """Return ``(name, tensor)`` of what the attributes of a layer hold, without its variables.

    Those of its class are among them: there all layers share a batch.
    """
    return [
        (name, part)
        for name, value in (*vars(type(layer)).items(), *vars(layer).items())
        for part in nested_parts(value)
        if ops.is_tensor(part) and not isinstance(part, keras.Variable)
    ]


def _require_dtype(layer, dtype, of=""):
    """Raise Unusable unless a layer has the dtype that it was made with."""
    if layer.dtype_policy.name != dtype:
        raise Unusable(
            f'The dtype{of} must be the one given, "{dtype}". '
            f'Received: "{layer.dtype_policy.name}".'
        )


def _weights(layer, inputs, of=""):
    """Return ``{name: variable}`` of a built layer, or raise Unusable with what is amiss."""
    absent = [
        name
        for name, option in (("gamma", "scale"), ("beta", "center"))
        if not inputs.get(option, True)
    ]
    wanted = [name for name in ("gamma", "beta", *STATE) if name not in absent]
    weights = {name: _weight(layer, name, inputs[name].shape, of) for name in wanted}
    if len(layer.weights) != len(weights):
        raise Unusable(
            f"The weights{of} must be {', '.join(wanted)} and no others with these options. "
            f"Received: {', '.join(weight.name for weight in layer.weights)}."
        )
    return weights


def _weight(layer, name, shape, of):
    weight = getattr(layer, name, None)
    if not isinstance(weight, keras.Variable):
        raise Unusable(
            f"{name}{of} must be a variable of the layer, made by add_weight in build. "
            f"Received: {describe(weight)}."
        )
    group = "non_trainable_variables" if name in STATE else "trainable_variables"
    if not any(other is weight for other in getattr(layer, group)):
        raise Unusable(f"{name}{of} must be one of the layer's {group}.")
    if tuple(weight.shape) != shape:
        raise Unusable(f"{name}{of} must have shape {shape}. Received: {tuple(weight.shape)}.")
    if weight.dtype != "float32":
        raise Unusable(f"{name}{of} must have dtype float32. Received: {weight.dtype}.")
    if weight.regularizer or weight.constraint:
        raise Unusable(f"{name}{of} must be free of a regularizer and of a constraint.")
    return weight


def _state(layer, weights, moment):
    """Return the moving statistics, or raise Unusable when they are no longer in the variables."""
    for name in STATE:
        if getattr(layer, name, None) is not weights[name]:
            raise Unusable(
                f"{name} must stay the variable that build made. "
                f"Received: {describe(getattr(layer, name, None))} after a call."
            )
    return {f"{name} {moment}": to_numpy(weights[name]) for name in STATE}


def _run(layer, x, **options):
    """Return y of a call that asks for no gradient and owns what it hands in."""
    given = ops.convert_to_tensor(x)
    with _no_gradients():
        y = _checked(layer, layer(given, **options), x)
    if not np.array_equal(to_numpy(given), x):
        raise Unusable("It changes its input in place. Work on new tensors.")
    if any(getattr(each, "requires_grad", False) for each in (given, y)):
        raise Unusable("It turns gradients on where the caller has turned them off.")
    return to_numpy(y)


def _no_gradients():
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()


def _checked(layer, y, x):
    """Return y, or raise Unusable when it has not the shape of x or not the dtype of the layer."""
    if not ops.is_tensor(y):
        raise Unusable(f"call must return a tensor. Received: {describe(y)}.")
    if tuple(y.shape) != x.shape:
        raise Unusable(
            f"y must have the shape of the input, {x.shape}. Received: {tuple(y.shape)}."
        )
    dtype = keras.backend.standardize_dtype(y.dtype)
    if dtype != layer.compute_dtype:
        raise Unusable(
            f"y must have dtype {layer.compute_dtype}, the compute_dtype of the layer. "
            f"Received: {dtype}."
        )
    return y


def _rebuilt(layer, weights, inputs):
    """Return what a copy of a layer does that was made from its config or its file."""
    of = " of the rebuilt layer"
    _require_config(layer, inputs)
    if inputs["rebuild"] == "file":
        twin = _from_file(layer, inputs["x_new"].shape)
    else:
        twin = _from_config(layer)
        twin.build((None, *inputs["x_new"].shape[1:]))
    _require_dtype(twin, inputs["dtype"], of)
    if _has_config(layer) and twin.name != layer.name:
        raise Unusable(f"The name{of} must be that of the layer. {_KWARGS}")
    copies = _weights(twin, inputs, of)
    if inputs["rebuild"] == "config":
        for name, copy in copies.items():
            copy.assign(weights[name])
    outputs = {f"y{of}": _run(twin, inputs["x_new"], training=False)}
    # Whether it trains is for training to say, not for who asks for gradients.
    with _no_gradients():
        twin(ops.convert_to_tensor(inputs["x_new"]), training=True)
    return outputs | _state(twin, copies, f"{of.strip()} after a training step")


def _has_config(layer):
    """Return whether a layer has a get_config; what Keras makes by itself holds no name."""
    return type(layer).get_config is not keras.layers.Layer.get_config


def _from_config(layer):
    """Return a layer made from the config of another, or raise Unusable with what is too much."""
    config = layer.get_config()
    try:
        return type(layer).from_config(config)
    except (TypeError, ValueError):
        more = [name for name in config if name not in (*OPTIONS, *_OF_KERAS)]
        if not more:
            raise
        raise Unusable(
            f"get_config must return no more than __init__ takes. Received: {', '.join(more)}."
        ) from None


_KWARGS = "Pass all of **kwargs on to super().__init__."


def _require_frozen_twin(layer):
    """Raise Unusable if a frozen layer comes back as one that trains."""
    if _has_config(layer) and _from_config(layer).trainable:
        raise Unusable(f"A layer with trainable=False must come back with it. {_KWARGS}")


def _require_config(layer, inputs):
    """Raise Unusable with the arguments that a config lacks; a default may be left out."""
    config = layer.get_config()
    if not isinstance(config, dict):
        raise Unusable(f"get_config must return a dict. Received: {describe(config)}.")
    wanted = [name for name in (*OPTIONS, "dtype") if name in inputs]
    if _has_config(layer):
        wanted += ["name", "trainable"]
    missing = [name for name in wanted if name not in config]
    if missing:
        raise Unusable(
            "get_config must return every argument of __init__, those of keras.layers.Layer "
            f"included. Missing: {', '.join(missing)}."
        )


def _from_file(layer, shape):
    """Return the layer of a model that went to a .keras file and came back."""
    model = keras.Sequential([keras.Input(shape[1:]), layer])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        loaded = keras.saving.load_model(path, custom_objects={type(layer).__name__: type(layer)})
    return loaded.layers[0]


# --- gradients, one function per backend ------------------------------------------------------


def _training_step(layer, weights, x, dy, moment):
    """Return y, dx, dgamma and dbeta of one step, where dy is the gradient that arrives."""
    learned = {name: weights[name] for name in ("gamma", "beta") if name in weights}
    backward = {"torch": _torch, "tensorflow": _tensorflow, "jax": _jax}[keras.backend.backend()]
    y, gradients = backward(layer, x, dy, list(learned.values()))
    # A gradient that does not exist is zero.
    arrays = [
        np.zeros_like(value) if gradient is None else to_numpy(gradient)
        for gradient, value in zip(gradients, (x, *map(to_numpy, learned.values())), strict=True)
    ]
    labels = ("dx", *(f"d{name}" for name in learned))
    outputs = {"y": to_numpy(y)} | dict(zip(labels, arrays, strict=True))
    return {f"{label} {moment}": array for label, array in outputs.items()}


def _torch(layer, x, dy, variables):
    import torch

    x_tensor = ops.convert_to_tensor(x).clone().requires_grad_()
    y = _checked(layer, layer(x_tensor, training=True), x)
    nodes = [x_tensor, *(variable.value for variable in variables)]
    if not y.requires_grad:
        return y, [None] * len(nodes)
    dy_tensor = ops.convert_to_tensor(dy, dtype=y.dtype)
    return y, torch.autograd.grad(y, nodes, dy_tensor, allow_unused=True)


def _tensorflow(layer, x, dy, variables):
    import tensorflow as tf

    x_tensor = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x_tensor)
        y = _checked(layer, layer(x_tensor, training=True), x)
    nodes = [x_tensor, *(variable.value for variable in variables)]
    return y, tape.gradient(y, nodes, output_gradients=ops.cast(dy, y.dtype))


def _jax(layer, x, dy, variables):
    import jax

    def loss(x_tensor, learned):
        state = layer.non_trainable_variables
        y, state = layer.stateless_call(learned, state, x_tensor, training=True)
        y = _checked(layer, y, x)
        return ops.sum(y * ops.cast(dy, y.dtype)), (y, state)

    learned = [variable.value for variable in layer.trainable_variables]
    gradient = jax.grad(loss, argnums=(0, 1), has_aux=True)
    (dx, all_gradients), (y, state) = gradient(ops.convert_to_tensor(x), learned)
    for variable, value in zip(layer.non_trainable_variables, state, strict=True):
        variable.assign(value)
    by_variable = {
        id(variable): value
        for variable, value in zip(layer.trainable_variables, all_gradients, strict=True)
    }
    return y, [dx, *(by_variable[id(variable)] for variable in variables)]


# --- a model ----------------------------------------------------------------------------------


def drive_classifier(obj, inputs):
    """Return the size and the output of a classifier whose weights are given."""
    with session(inputs["device"]):
        options = {name: inputs[name] for name in ("hidden",) if name in inputs}
        model = obj(inputs["input_dim"], **options)
        _require_structure(model, inputs["input_dim"])
        if inputs["twice"]:
            _require_another(obj(inputs["input_dim"], **options), model, inputs["input_dim"])
        _fill(model, inputs["weights"])
        outputs = {
            "trainable parameters": _count(model.trainable_variables),
            "non-trainable parameters": _count(model.non_trainable_variables),
        }
        with so_far(outputs):
            outputs["y"] = to_numpy(model(ops.convert_to_tensor(inputs["x"]), training=False))
        return outputs


_HIDDEN = ("Dense without bias", "batch norm", "relu")
_OUTPUT = "Dense(1) with bias and sigmoid"


def _count(variables):
    return np.array(sum(int(np.prod(variable.shape)) for variable in variables))


def _require_structure(model, input_dim):
    """Raise Unusable unless the layers follow each other as the exercise says."""
    if not isinstance(model, keras.Sequential):
        raise Unusable(f"It must return a keras.Sequential. Received: {describe(model)}.")
    if not model.built:
        raise Unusable(
            "The model must be built, so that its weights exist: give it a "
            "keras.Input((input_dim,)) first."
        )
    if model.input_shape[0] is not None:
        raise Unusable(
            "The model must leave the number of examples open. A batch size in keras.Input and a "
            "first call on an array both fix it; keras.Input((input_dim,)) does not. "
            f"Received: an input of shape {model.input_shape}."
        )
    if model.input_shape != (None, input_dim):
        raise Unusable(
            f"The input must have the shape (N, input_dim), here (None, {input_dim}). Received: "
            f"{model.input_shape}."
        )
    names = _names(_layers(model))
    # The activation of the last layer may stand in it or after it.
    if names[-2:] == ["Dense(1) with bias", "sigmoid"]:
        names[-2:] = [_OUTPUT]
    if names[-2:] == ["Dense(1) without bias", "sigmoid"]:
        names[-2:] = ["Dense(1) with sigmoid"]
    if names != [*_HIDDEN * ((len(names) - 1) // len(_HIDDEN)), _OUTPUT]:
        raise Unusable(
            f"Each hidden layer must be {', '.join(_HIDDEN)}; the end, {_OUTPUT}. "
            f"Received: {', '.join(names)}."
        )
    if len({id(layer) for layer in _layers(model)}) < len(names):
        raise Unusable("One layer stands in the model at several places. Make a new one for each.")
    _require_defaults(_layers(model))
    _require_start(_layers(model))


def _require_start(layers):
    """Raise Unusable if a layer does not start as Keras makes it, or has units that stay alike."""
    for layer, name in zip(layers, _names(layers), strict=True):
        if isinstance(layer, keras.layers.BatchNormalization):
            _require_new_norm(layer)
        if isinstance(layer, keras.layers.Dense) and _is_bound(layer):
            raise Unusable(
                "Each Dense layer must be free of regularizers and constraints: they train the "
                f"model to something else. Received: {name} with one."
            )
        if layer.dtype_policy.name != keras.config.dtype_policy().name:
            raise Unusable(
                f"Each layer must have the default dtype of Keras. Received: {name} with "
                f"{layer.dtype_policy.name}."
            )
        if isinstance(layer, keras.layers.Dense) and layer.units > 1:
            kernel = to_numpy(layer.kernel)
            if np.array_equal(kernel, kernel[:, :1] + 0 * kernel):
                raise Unusable(
                    "All units of a Dense layer start with the same numbers, so they get the same "
                    "gradient and stay alike. Leave kernel_initializer out."
                )


def _require_new_norm(layer):
    for name, start in (("gamma", 1), ("beta", 0), ("moving_mean", 0), ("moving_variance", 1)):
        variable = getattr(layer, name)
        if variable is not None and not np.all(to_numpy(variable) == start):
            raise Unusable(
                f"{name} of a new batch norm must be {start}, as Keras makes it. Set nothing, and "
                "train nothing before you return the model."
            )


def _is_bound(dense):
    """Return whether a Dense layer adds to the loss, or keeps its weights from where they go."""
    kinds = [f"{what}_{kind}" for what in ("kernel", "bias") for kind in _BOUNDS]
    return any(getattr(dense, name, None) for name in ("activity_regularizer", *kinds))


_BOUNDS = ("regularizer", "constraint")


def _require_another(twin, model, input_dim):
    """Raise Unusable if the models of two calls share a layer, or the second is not as the first.

    Args:
        twin: what the second call returned.
        model: what the first did.
        input_dim: the width of the input of both.
    """
    if {id(layer) for layer in _layers(twin)} & {id(layer) for layer in _layers(model)}:
        raise Unusable(
            "A second call returns layers of the first model again. Make new ones in each call."
        )
    _require_structure(twin, input_dim)
    if twin.count_params() != model.count_params():
        raise Unusable("A second call returns a model with another number of parameters.")


def _require_defaults(layers):
    """Raise Unusable if a batch norm was given another option than the default of Keras.

    The axis is free: 1 and -1 are the same here.
    """
    default = keras.layers.BatchNormalization().get_config()
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            config = layer.get_config()
            given = {
                name: config[name]
                for name in default
                if name not in ("name", "axis") and config.get(name) != default[name]
            }
            for name, value in given.items():
                raise Unusable(
                    "BatchNormalization must have its default options. "
                    f"Received: {name}={_in_words(value)}."
                )


def _in_words(value):
    """Return an option in words; a config holds an initializer as a dict."""
    return value.get("class_name", "another") if isinstance(value, dict) else value


def _layers(model):
    """Return the layers of a model in order, those of a Sequential inside it included."""
    nested = (_layers(x) if isinstance(x, keras.Sequential) else [x] for x in model.layers)
    return list(itertools.chain.from_iterable(nested))


def _names(layers):
    """Return the kinds of layers in words; of the last Dense, its width too."""
    names = [_name(layer) for layer in layers]
    dense = [i for i, layer in enumerate(layers) if isinstance(layer, keras.layers.Dense)]
    if dense:
        last = dense[-1]
        names[last] = names[last].replace("Dense", f"Dense({layers[last].units})", 1)
    return names


def _name(layer):
    """Return the kind of a layer in words, with what matters for its place beside batch norm."""
    if isinstance(layer, keras.layers.Dense):
        extra = ["bias"] if layer.use_bias else []
        extra += [] if _activation(layer) == "linear" else [_activation(layer)]
        return f"Dense with {' and '.join(extra)}" if extra else "Dense without bias"
    if isinstance(layer, keras.layers.Activation):
        return _activation(layer)
    kind = type(layer).__name__
    if isinstance(layer, keras.layers.ReLU | keras.layers.LeakyReLU | keras.layers.Lambda):
        other = "ReLU with options" if isinstance(layer, keras.layers.ReLU) else kind
        return _by_value(layer) or other
    # The layer of the exercise before has this name too. In grading a message must be short.
    return "batch norm" if kind == "BatchNormalization" else kind


def _activation(layer):
    name = getattr(layer.activation, "__name__", "an activation")
    known = _by_value(layer.activation)
    if known:
        return known
    # What it is called is not what it is.
    return {"<lambda>": "a lambda", "relu": "another relu", "sigmoid": "another sigmoid"}.get(
        name, name
    )


def _by_value(function):
    """Return "linear", "relu" or "sigmoid" if that is what a function of numbers is, or None."""
    try:
        got = to_numpy(function(ops.convert_to_tensor(_POINTS)))
    except Exception:
        return None
    for name, want in _KNOWN.items():
        if got.shape == want.shape and np.allclose(got, want, atol=1e-5):
            return name
    return None


_POINTS = np.float32([-500, -100, -3, -0.5, -1e-3, 0, 1e-4, 0.2, 1.5, 8, 100, 500])[:, None]
_KNOWN = {
    "linear": _POINTS,
    "relu": np.maximum(_POINTS, 0),
    "sigmoid": 1 / (1 + np.exp(-_POINTS.astype(np.float64))),
}


def _fill(model, weights):
    """Give the weights their values, from one flat array in the order of the layers."""
    if _count(model.weights) != len(weights):
        raise Unusable(
            "The number of parameters is not the one that follows from input_dim and hidden. "
            f"Received: {_count(model.weights)}."
        )
    start = 0
    for layer in _layers(model):
        for name in ("kernel", "bias", "gamma", "beta", *STATE):
            variable = getattr(layer, name, None)
            if variable is not None:
                stop = start + int(np.prod(variable.shape))
                variable.assign(weights[start:stop].reshape(variable.shape))
                start = stop
