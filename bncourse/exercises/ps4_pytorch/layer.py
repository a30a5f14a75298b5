"""BatchNorm: a layer that behaves as torch's own, for any rank."""

import copy
import inspect

import numpy as np
import torch
from torch import nn

from bncourse.exercise import Case, Exercise, Unusable, describe, so_far
from bncourse.exercises.ps4_pytorch.layer_mistakes import LAYER_MISTAKES
from bncourse.exercises.torch_drive import (
    SECOND,
    TOLERANCE,
    called,
    differentiate,
    differentiate_again,
    graph_ends,
    hooks,
    one_thread,
    require_no_graph,
    require_same_parameters,
    require_usable,
    require_written,
    tensor,
)
from bncourse.inputs import SMALL_EPS, batch, cast, enlarged, running, scale_and_shift, upstream
from bncourse.reference import layers

_OPTIONS = ("eps", "momentum", "affine", "track_running_stats")
_DEFAULTS = {"eps": 1e-5, "momentum": 0.1, "affine": True, "track_running_stats": True}
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def _array(rng, shape, draw=batch, **options):
    """Return an array of any rank whose channels (axis 1) differ in mean and scale."""
    rows = draw(rng, np.prod(shape) // shape[1], shape[1], **options)
    return np.ascontiguousarray(layers.from_features(rows, shape))


def _bfloat16(inputs):
    """Return the inputs in float32, with values that bfloat16 holds exactly."""
    rounded = cast(inputs, np.float32)
    for name in ("x1", "x2", "x_eval"):
        rounded[name] = torch.from_numpy(rounded[name]).bfloat16().float().numpy()
    return rounded


def _met_again(inputs):
    """Return inputs for half types that are evaluated on the last batch they have learned from.

    With a large mean, bfloat16 holds x and not its mean: x - mean is then off by as much as x
    spreads, in eval mode too where x lies around the running mean.
    """
    return inputs | {"scenario": "half", "x_eval": inputs["x2"]}


def _reversed(inputs):
    """Return the inputs with x in an order of memory in which no two of its axes join."""
    return inputs | {name: np.asfortranarray(inputs[name]) for name in ("x1", "x2", "x_eval")}


def _layer_cases(rng):
    def given(*shapes, scenario="steps", **options):
        """Return a layer's state and a batch for each of two steps and for inference."""
        first, second, last = shapes * 3 if len(shapes) == 1 else shapes
        channels = first[1]
        spread = {name: options.pop(name) for name in ("offset", "scale") if name in options}
        inputs = {"scenario": scenario, "num_features": channels, **options}
        for name, shape in (("1", first), ("2", second), ("_eval", last)):
            inputs[f"x{name}"] = _array(rng, shape, **spread)
            inputs[f"dy{name}"] = _array(rng, shape, upstream)
        scale, shift = scale_and_shift(rng, channels).values()
        state = running(rng, channels)
        # As it is after training on such batches: in eval too a variance may be below eps.
        state["running_var"] *= spread.get("scale", 1.0) ** 2
        return inputs | {"weight": scale, "bias": shift, **state, "num_batches_tracked": 3}

    images = (4, 3, 2, 5)
    return {
        "two steps, then eval, (N, C)": Case(given((7, 4), (5, 4), (1, 4))),
        "a new layer": Case(
            {"scenario": "new", "num_features": 3, "x": cast(batch(rng, 5, 3), np.float32)},
            "float32",
        ),
        "(N, C, L)": Case(given((4, 3, 6))),
        "(N, C, H, W)": Case(given(images)),
        "(N, C, D, H, W)": Case(given((4, 3, 2, 3, 2))),
        "one channel": Case(given((5, 1, 3))),
        "one pixel": Case(given((5, 3, 1, 1))),
        "one image": Case(given((1, 3, 2, 5))),
        "momentum=0.3 and eps=0.1": Case(given((7, 4), momentum=0.3, eps=0.1)),
        # 1 / num_batches_tracked is a tensor in float32.
        "momentum=None": Case(given((7, 4), (5, 4), (3, 4), momentum=None), rtol=1e-6),
        "momentum=0": Case(given((7, 4), momentum=0.0)),
        "large gradients": Case(enlarged(given((7, 4)), ("dy1", "dy2", "dy_eval"))),
        "affine=False": Case(given(images, affine=False)),
        # Where nothing is remembered, no weight of the newest batch is needed.
        "track_running_stats=False": Case(given((7, 4), track_running_stats=False, momentum=None)),
        "trained under torch.no_grad": Case(given((7, 4), scenario="no_grad")),
        "a variance smaller than eps": Case(given((7, 4), scale=1e-3)),
        "mean near 1e6": Case(given((50, 4), offset=1e6, scale=0.1), rtol=1e-5, noisy=True),
        "one value per channel": Case({"scenario": "single", "num_features": 3}),
        "double backward": Case(given(images, scenario="double")),
        "deepcopy after a step": Case(given((7, 4), scenario="deepcopy")),
        "two layers": Case(given((7, 4), scenario="two", momentum=0.3, eps=0.1)),
        "channels_last": Case(given(images, channels_last=True)),
        "stored with its axes reversed": Case(_reversed(given(images))),
        "float32": Case(cast(given(images), np.float32), "float32"),
        "bfloat16": Case(_bfloat16(given((7, 4), scenario="half", momentum=0.5)), "bfloat16"),
        "bfloat16 under autocast": Case(
            _bfloat16(given(images, scenario="autocast", momentum=0.5)), "bfloat16"
        ),
        # A large eps: with a small one, all that two values leave of a gradient is rounding.
        "two values per channel": Case(given((2, 4), eps=1.0)),
        "a small eps": Case(given((7, 4), scale=1e-3, eps=SMALL_EPS)),
        "bfloat16 with mean near 1000": Case(
            _bfloat16(_met_again(given((40, 12), momentum=1.0, offset=1e3, scale=3.0))), "bfloat16"
        ),
    }


@one_thread()
def _drive_layer(obj, inputs):
    return _SCENARIOS[inputs["scenario"]](obj, inputs)


def _build(obj, inputs, dtype=None):
    """Return the student's layer on the device, with parameters and buffers as they must be."""
    options = {name: inputs[name] for name in _OPTIONS if name in inputs}
    layer = _made(obj, inputs["num_features"], options)
    if not isinstance(layer, nn.Module):
        raise Unusable(f"BatchNorm must be a torch.nn.Module. Received: {describe(layer)}.")
    affine, tracked = ((_DEFAULTS | options)[name] for name in _OPTIONS[2:])
    parameters = ("weight", "bias") if affine else ()
    _require_names("named_parameters()", dict(layer.named_parameters()), parameters)
    state = parameters + (_BUFFERS if tracked else ())
    _require_names("state_dict()", layer.state_dict(), state)
    if not all(parameter.requires_grad for parameter in layer.parameters()):
        raise Unusable("weight and bias must require gradients: an optimizer trains them.")
    _require_whole(layer)
    _require_shapes(layer, inputs["num_features"])
    _require_dtype(layer, torch.get_default_dtype(), "as torch makes tensors by default")
    _require_apart(layer)
    return layer.to(device=inputs["device"], dtype=dtype)


def _require_dtype(layer, dtype, reason):
    """Raise Unusable unless all numbers of a layer but the count have one dtype."""
    for name, value in layer.state_dict().items():
        if value.is_floating_point() and value.dtype != dtype:
            raise Unusable(f"{name} must be in {dtype}, {reason}. Received: {value.dtype}.")


def _require_shapes(layer, num_features):
    """Raise Unusable unless all that a layer saves has one number for each channel."""
    for name, value in layer.state_dict().items():
        shape = () if name == "num_batches_tracked" else (num_features,)
        if value.shape != shape:
            raise Unusable(
                f"{name} must have shape {shape}, as torch's has. Received: shape "
                f"{tuple(value.shape)}."
            )


def _require_apart(layer, other=None):
    """Raise Unusable if a tensor of a layer shares its memory with another, or another layer's."""
    places = _places(other) if other else {}
    for name, value in layer.state_dict().items():
        place = value.untyped_storage().data_ptr()
        if place in places:
            whose = " of another layer" if other else ""
            raise Unusable(
                f"{name} shares its memory with {places[place]}{whose}: what is written into one "
                "changes the other. Make a tensor for each."
            )
        if not other:
            places[place] = name


def _places(layer):
    return {x.untyped_storage().data_ptr(): name for name, x in layer.state_dict().items()}


def _in_mode(layer, training):
    """Return a layer in a mode, which it must take from the module that holds it."""
    nn.Sequential(layer).train(training)
    if layer.training is not training:
        raise Unusable(
            "self.training must say the mode. Leave train and eval as nn.Module has them: a model "
            "calls train(False) of its layers for eval."
        )
    if layer.train(training) is not layer:
        raise Unusable("train must return the layer. Leave train and eval as nn.Module has them.")
    return layer


def _made(obj, num_features, options):
    try:
        return obj(num_features, **options)
    except AttributeError as error:
        if "before Module.__init__() call" not in str(error):
            raise
        raise Unusable("__init__ must call super().__init__() before it sets anything.") from None


def _require_whole(layer):
    """Raise Unusable unless the batches are counted as torch counts them."""
    count = layer.state_dict().get("num_batches_tracked")
    if count is not None and count.dtype != torch.long:
        raise Unusable(
            f"num_batches_tracked must be a whole number, torch.long. Received: {count.dtype}."
        )


def _require_names(kind, have, want):
    missing = [name for name in want if name not in have]
    extra = [name for name in have if name not in want]
    if missing or extra:
        found = [("Missing", missing), ("Too many", extra)]
        asked = ", ".join(want) or "nothing"
        differences = " ".join(f"{word}: {', '.join(names)}." for word, names in found if names)
        raise Unusable(f"{kind} must hold exactly: {asked}. {differences}")


def _loaded(obj, inputs):
    """Return a layer with the state of the inputs loaded as from a checkpoint of torch's layer."""
    dtype = torch.from_numpy(inputs["weight"]).dtype
    layer = _build(obj, inputs, dtype)
    state = {name: torch.as_tensor(inputs[name]) for name in layer.state_dict()}
    try:
        layer.load_state_dict(state)
    except RuntimeError as error:
        problem = str(error).splitlines()[-1].strip()
        raise Unusable(f"A state_dict of torch's layer does not load: {problem}") from None
    return layer


def _state(layer, when):
    """Return the buffers of a layer, which must not carry a graph."""
    state = {name: getattr(layer, name) for name in _BUFFERS if name in layer.state_dict()}
    for name, value in state.items():
        if value.data_ptr() != layer.state_dict()[name].data_ptr():
            raise Unusable(
                f"layer.{name} is not the {name} of state_dict() {when}. Assign to self.{name}, or "
                "write into it."
            )
        if value.requires_grad:
            raise Unusable(
                f"{name} is attached to the graph of autograd {when}; it would grow with each step."
            )
    _require_whole(layer)
    require_usable(layer)
    return {f"{name} {when}": value.clone() for name, value in state.items()}


def _pass(layer, inputs, name, when):
    """Return output and gradients of one forward and backward pass."""
    x = tensor(inputs[f"x{name}"], inputs["device"])
    layout = torch.channels_last if inputs.get("channels_last") else torch.preserve_format
    x = x.to(memory_format=layout).requires_grad_()
    training, held = layer.training, hooks(layer)
    y = called(layer, x)
    if layer.training is not training:
        raise Unusable("forward changes the mode of the layer. train() and eval() alone set it.")
    if hooks(layer) != held:
        raise Unusable("forward leaves a hook on the layer: each call would add one more.")
    if not all(parameter.requires_grad for parameter in layer.parameters()):
        raise Unusable("forward changes requires_grad of a parameter. The caller sets that.")
    if y.shape != x.shape:
        return {f"y {when}": y}
    if inputs.get("channels_last") and not y.is_contiguous(memory_format=layout):
        raise Unusable("Its input is in channels_last memory format, its output is not. Keep it.")
    outputs = {f"y {when}": y}
    if torch.is_grad_enabled():
        leaves = {"x": x, **dict(layer.named_parameters())}
        dy = tensor(inputs[f"dy{name}"], inputs["device"])
        gradients = differentiate(y, list(leaves.values()), dy)
        outputs |= {f"d{leaf} {when}": g for leaf, g in zip(leaves, gradients, strict=True)}
    return outputs


def _drive_steps(obj, inputs, gradients=True):
    """Train for two steps, then evaluate."""
    layer = _loaded(obj, inputs)
    parameters, dtype = dict(layer.named_parameters()), tensor(inputs["weight"], "cpu").dtype
    names, outputs = layer.state_dict().keys(), {}
    with so_far(outputs):
        _in_mode(layer, True)
        for step in ("1", "2"):
            with torch.set_grad_enabled(gradients):
                outputs |= _pass(layer, inputs, step, f"in step {step}")
            outputs |= _state(layer, f"after step {step}")
        _in_mode(layer, False)
        outputs |= _pass(layer, inputs, "_eval", "in eval")
        outputs |= _state(layer, "after eval")
        _require_dtype(layer, dtype, "as x and the layer are")
        _require_no_more(layer, names)
        require_same_parameters(layer, parameters)
    return outputs


def _require_no_more(layer, names):
    """Raise Unusable if a layer saves more than it did before its steps."""
    more = sorted(layer.state_dict().keys() - names)
    if more:
        raise Unusable(
            f"The state_dict of the layer after its steps must hold what it held. New: {more[0]}."
        )


def _drive_new(obj, inputs):
    """Look at a layer that has seen nothing, let it answer, and train it for its first step."""
    layer = _build(obj, inputs)
    fresh = layer.state_dict().items()
    # Copies: the first step may write into the buffers themselves.
    outputs = {f"{name} of a new layer": value.clone() for name, value in fresh}
    x = tensor(inputs["x"], inputs["device"])
    with so_far(outputs):
        outputs["y of a new layer in eval"] = called(_in_mode(layer, False), x)
        outputs["y in the first step"] = called(_in_mode(layer, True), x)
        outputs |= _state(layer, "after the first step")
        # What eval mode has kept of the statistics at the start would be out of date.
        outputs["y in eval after the first step"] = called(_in_mode(layer, False), x)
        layer.load_state_dict({name: value + 1 for name, value in layer.state_dict().items()})
        outputs["y in eval after load_state_dict"] = called(layer, x)
    return outputs


def _drive_single(obj, inputs):
    """Hand in batches with one value per channel, then with two, then one in eval."""
    layer = _build(obj, inputs)
    for shape in [(1, 3), (1, 3, 1), (1, 3, 1, 1), (1, 3, 1, 1, 1)]:
        _require_refusal(layer, shape, inputs["device"])
    for option in ("affine", "track_running_stats"):
        other = _build(obj, inputs | {option: False})
        _require_refusal(other, (1, 3), inputs["device"], f" with {option}=False")
    # A new layer has float32, which holds the numbers that it starts with.
    outputs = {
        f"{name} after batches that are refused": getattr(layer, name).double()
        for name in _BUFFERS[:2]
    }
    two = layer(torch.ones((1, 3, 2), device=inputs["device"]))
    one = _in_mode(layer, False)(torch.ones((1, 3), device=inputs["device"]))
    return outputs | {
        "shape of y for x (1, 3, 2)": two.shape,
        "shape of y for x (1, 3) in eval": one.shape,
    }


def _require_refusal(layer, shape, device, options=""):
    try:
        layer(torch.ones(shape, device=device))
    except ValueError:
        return
    except NotImplementedError:
        raise
    except (AssertionError, RuntimeError) as error:
        # It may be a refusal of another kind, or a slip of its own: its line tells. Its words are
        # the student's, and stay in the process of the student.
        kind = "AssertionError" if isinstance(error, AssertionError) else "RuntimeError"
        raise Unusable(
            f"A training batch of shape {shape} must raise ValueError{options}. It raised {kind}."
        ).with_traceback(error.__traceback__) from None
    raise Unusable(
        f"A training batch of shape {shape} must raise ValueError{options}: one value per channel "
        "has no unbiased variance, and its x_hat is 0 whatever it is."
    )


def _drive_two(obj, inputs):
    """Use two layers with different options in turn: neither may know of the other."""
    # As they are made: where a dtype changes, memory that two of them share is copied apart.
    _require_apart(_build(obj, inputs), _build(obj, inputs))
    first = _loaded(obj, inputs)
    second = _loaded(obj, inputs | {"momentum": 0.7, "eps": 0.9})
    # training says the mode, whether or not there is anything to learn, as Keras has it.
    second.requires_grad_(False)
    kept = first.weight.grad = torch.ones_like(first.weight)
    x1, x2 = (tensor(inputs[name], inputs["device"]) for name in ("x1", "x2"))
    outputs = {"y of the first": called(_in_mode(first, True), x1)}
    with so_far(outputs):
        outputs["y of the second"] = called(_in_mode(second, True), x2)
        outputs["y of the first in eval"] = called(_in_mode(first, False), x2)
        if first.weight.grad is not kept:
            raise Unusable("forward changes the gradient that weight holds. Nothing is due there.")
        outputs |= _state(first, "of the first") | _state(second, "of the second")
    return outputs


def _drive_double(obj, inputs):
    """Differentiate the gradients of one training step again."""
    layer = _in_mode(_loaded(obj, inputs), True)
    x, dy = (tensor(inputs[name], inputs["device"]).requires_grad_() for name in ("x1", "dy1"))
    y = called(layer, x)
    require_written(y)
    # A second call before the gradients of the first: neither may overwrite what the other keeps.
    called(layer, tensor(inputs["x2"], inputs["device"]))
    first = differentiate(y, (x, layer.weight, layer.bias), dy)
    names = ("x2", "running_mean", "running_var")
    vectors = [tensor(inputs[name], inputs["device"]) for name in names]
    return differentiate_again(first, vectors, (dy, x, layer.weight))


def _drive_deepcopy(obj, inputs):
    """Copy a layer after a training step, and train the copy on."""
    layer = _loaded(obj, inputs)
    for training in (False, True):
        # Where x requires no gradient, the graph would begin at weight only.
        x = tensor(inputs["x1"], inputs["device"]).requires_grad_()
        _in_mode(layer, training)
        with graph_ends(x):
            called(layer, x)
            _state(layer, "after a step")
            require_no_graph(layer)
            # What an attribute holds without being a tensor has a sentence of its own.
            other = _copied(layer)
    called(other, tensor(inputs["x2"], inputs["device"]))
    return _state(layer, "of the original") | _state(other, "of the copy")


def _copied(layer):
    try:
        return copy.deepcopy(layer)
    except (RuntimeError, TypeError) as error:
        told, *_ = str(error).split("\n")
        raise Unusable(
            f"copy.deepcopy(layer) fails after a step: {told}\nAn attribute "
            "holds what cannot be copied, such as a tensor with its graph: keep it in a local name."
        ) from None


def _drive_half(obj, inputs, autocast=False):
    """Train in bfloat16 with the layer in float32, two steps, and evaluate."""
    layer = _loaded(obj, inputs)
    outputs = {}
    with so_far(outputs):
        for name, when in (("1", "in step 1"), ("2", "in step 2"), ("_eval", "in eval")):
            _in_mode(layer, name != "_eval")
            x = tensor(inputs[f"x{name}"], inputs["device"]).bfloat16()
            with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=autocast):
                outputs[f"y {when}"] = called(layer, x)
        outputs |= _state(layer, "after two steps")
        _require_dtype(layer, torch.float32, "also for x in bfloat16")
    return outputs


_SCENARIOS = {
    "steps": _drive_steps,
    "no_grad": lambda obj, inputs: _drive_steps(obj, inputs, gradients=False),
    "new": _drive_new,
    "single": _drive_single,
    "two": _drive_two,
    "double": _drive_double,
    "deepcopy": _drive_deepcopy,
    "half": _drive_half,
    "autocast": lambda obj, inputs: _drive_half(obj, inputs, autocast=True),
}


class _Oracle:
    """The layer in NumPy: the state of the inputs, and one method for each thing it does."""

    def __init__(self, inputs):
        options = _DEFAULTS | {name: inputs[name] for name in _OPTIONS if name in inputs}
        self.eps, self.momentum, self.affine, self.tracked = options.values()
        channels = inputs["num_features"]
        self.weight = inputs["weight"] if self.affine else np.ones(channels)
        self.bias = inputs["bias"] if self.affine else np.zeros(channels)
        self.mean, self.var = inputs["running_mean"], inputs["running_var"]
        self.batches = inputs["num_batches_tracked"]

    def train(self, x):
        self.batches += 1
        y, self.mean, self.var = layers.layer_training_step(
            x,
            self.weight,
            self.bias,
            self.mean,
            self.var,
            new_weight=layers.new_weight(self.momentum, self.batches),
            eps=self.eps,
        )
        return y

    def train_backward(self, dy, x):
        return self._named(layers.layer_backward(dy, x, self.weight, eps=self.eps))

    def infer(self, x):
        if not self.tracked:
            return self.train(x)
        return layers.layer_inference(x, self.weight, self.bias, self.mean, self.var, eps=self.eps)

    def infer_backward(self, dy, x):
        if not self.tracked:
            return self.train_backward(dy, x)
        return self._named(
            layers.layer_inference_backward(dy, x, self.weight, self.mean, self.var, eps=self.eps)
        )

    def _named(self, gradients):
        names = ("dx", "dweight", "dbias") if self.affine else ("dx",)
        return dict(zip(names, gradients, strict=False))

    def state(self, when):
        values = (self.mean, self.var, np.array(self.batches)) if self.tracked else ()
        return {f"{name} {when}": value for name, value in zip(_BUFFERS, values, strict=False)}


def _reference_layer(inputs):
    return _REFERENCES[inputs["scenario"]](cast(inputs, np.float64))


def _reference_steps(inputs, gradients=True):
    oracle, outputs = _Oracle(inputs), {}
    for step in ("1", "2"):
        x, dy, when = inputs[f"x{step}"], inputs[f"dy{step}"], f"in step {step}"
        outputs[f"y {when}"] = oracle.train(x)
        if gradients:
            outputs |= _labelled(oracle.train_backward(dy, x), when)
        outputs |= oracle.state(f"after step {step}")
    outputs["y in eval"] = oracle.infer(inputs["x_eval"])
    outputs |= _labelled(oracle.infer_backward(inputs["dy_eval"], inputs["x_eval"]), "in eval")
    return outputs | oracle.state("after eval")


def _labelled(arrays, when):
    return {f"{name} {when}": array for name, array in arrays.items()}


def _reference_new(inputs):
    zeros, ones = np.zeros(inputs["num_features"]), np.ones(inputs["num_features"])
    values = {"weight": ones, "bias": zeros, "running_mean": zeros, "running_var": ones}
    y = layers.layer_inference(inputs["x"], ones, zeros, zeros, ones, eps=_DEFAULTS["eps"])
    return {
        **_labelled(values | {"num_batches_tracked": np.array(0)}, "of a new layer"),
        "y of a new layer in eval": y,
        **_first_step(inputs["x"], **values),
    }


def _first_step(x, **values):
    oracle = _Oracle(values | {"num_features": x.shape[1], "num_batches_tracked": 0})
    outputs = {"y in the first step": oracle.train(x)} | oracle.state("after the first step")
    outputs["y in eval after the first step"] = oracle.infer(x)
    for name in ("weight", "bias", "mean", "var"):
        setattr(oracle, name, getattr(oracle, name) + 1)
    return outputs | {"y in eval after load_state_dict": oracle.infer(x)}


def _reference_single(inputs):
    zeros, ones = np.zeros(inputs["num_features"]), np.ones(inputs["num_features"])
    return {
        "running_mean after batches that are refused": zeros,
        "running_var after batches that are refused": ones,
        "shape of y for x (1, 3, 2)": np.array((1, 3, 2)),
        "shape of y for x (1, 3) in eval": np.array((1, 3)),
    }


def _reference_two(inputs):
    first, second = _Oracle(inputs), _Oracle(inputs | {"momentum": 0.7, "eps": 0.9})
    outputs = {"y of the first": first.train(inputs["x1"])}
    outputs["y of the second"] = second.train(inputs["x2"])
    outputs["y of the first in eval"] = first.infer(inputs["x2"])
    return outputs | first.state("of the first") | second.state("of the second")


def _reference_double(inputs):
    vectors = (inputs["x2"], inputs["running_mean"], inputs["running_var"])
    second = layers.layer_double_backward(
        *vectors, inputs["dy1"], inputs["x1"], inputs["weight"], eps=_DEFAULTS["eps"]
    )
    return dict(zip(SECOND, second, strict=True))


def _reference_deepcopy(inputs):
    oracle = _Oracle(inputs)
    oracle.train(inputs["x1"])
    original = oracle.state("of the original")
    oracle.train(inputs["x2"])
    return original | oracle.state("of the copy")


def _reference_half(inputs):
    oracle = _Oracle(inputs)
    outputs = {f"y in step {step}": oracle.train(inputs[f"x{step}"]) for step in ("1", "2")}
    outputs["y in eval"] = oracle.infer(inputs["x_eval"])
    return outputs | oracle.state("after two steps")


_REFERENCES = {
    "steps": _reference_steps,
    "no_grad": lambda inputs: _reference_steps(inputs, gradients=False),
    "new": _reference_new,
    "single": _reference_single,
    "two": _reference_two,
    "double": _reference_double,
    "deepcopy": _reference_deepcopy,
    "half": _reference_half,
    "autocast": _reference_half,
}


def _signature(num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True):
    """The constructor that the student writes."""


batchnorm_layer = Exercise(
    name="BatchNorm",
    signature=inspect.signature(_signature),
    cases=_layer_cases,
    drive=_drive_layer,
    reference=_reference_layer,
    see="L1",
    normalised="batch",
    insight="The biased variance normalises and the unbiased one is stored, as in "
    "torch's own layer.",
    mistakes=LAYER_MISTAKES,
    tolerance=TOLERANCE
    | {(f"{name} after two steps", "bfloat16"): 2e-5 for name in ("running_mean", "running_var")},
    takes_device=True,
)
