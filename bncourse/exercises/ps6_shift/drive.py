"""What the exercises on networks share: a network of plain arrays, in torch and for the oracle."""

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from bncourse.attempt import as_array
from bncourse.exercise import Unusable
from bncourse.exercises.torch_drive import (
    require_same_parameters,
    require_settings,
    require_usable,
    settings,
    tensor,
    untouched,
)
from bncourse.inputs import cast, running, scale_and_shift
from bncourse.reference import shift

# Numbers in a list become float32 in torch.tensor, so float64 is asked for no more than that.
TOLERANCE = {"float64": 1e-5, "float32": 1e-3}


# --- networks -------------------------------------------------------------------------------------


def network(rng, sizes, act="tanh", norm=True, bias=True, last_norm=False, size=1.0):
    """Return the inputs that make a network: the names of its parts, and their arrays.

    Args:
        rng: NumPy's generator.
        sizes: of the input, of each layer.
        act: the activation after each layer but the last: tanh, relu or sigmoid.
        norm: whether a batch norm stands before each activation.
        bias: whether the linear parts have one.
        last_norm: whether a batch norm and an activation follow the last layer too.
        size: of the weights, times 1 over the root of what enters.
    """
    parts, state = [], {}
    for number, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        weight = size / np.sqrt(inputs) * rng.standard_normal((outputs, inputs))
        state[f"linear{number}"] = {"weight": weight}
        if bias:
            state[f"linear{number}"]["bias"] = rng.uniform(-1, 1, outputs)
        parts.append(f"linear{number}")
        if number == len(sizes) - 1 and not last_norm:
            break
        if norm:
            gamma, beta = scale_and_shift(rng, outputs).values()
            state[f"norm{number}"] = {
                "weight": gamma,
                "bias": beta,
                **running(rng, outputs),
                "eps": 1e-5,
            }
            parts.append(f"norm{number}")
        parts.append(f"{act}{number}")
    return {"parts": tuple(parts), "state": state, "training": True, "nested": False}


def classes(rng, count, number):
    """Return targets, whole numbers below ``number``."""
    return rng.integers(0, number, count)


def parts_of(inputs):
    """Return the network of the inputs as the oracle takes it."""
    return [
        (
            name.rstrip("0123456789"),
            inputs["state"].get(name, {}) | {"frozen": _is_frozen(name, inputs)},
        )
        for name in inputs["parts"]
    ]


def _is_frozen(name, inputs):
    return name == inputs.get("frozen")


class _Plain(nn.Module):
    """A linear layer that is no nn.Linear: a layer is what has a weight, of two axes or more."""

    def __init__(self, inputs, outputs, bias, axes):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, *[1] * (axes - 2)))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x):
        return nn.functional.linear(x, self.weight.flatten(1), self.bias)


_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}


def build(inputs):
    """Return the network of the inputs on its device; its parts carry their names.

    Where it is nested, all but the last part stand in a module called ``body``. A part that is
    frozen stays in eval mode.
    """
    # A layer that is made draws its first weights from torch's random state.
    with torch.random.fork_rng(devices=[]):
        named = [(name, _part(name, inputs)) for name in inputs["parts"]]
    if inputs["nested"]:
        named = [("body", nn.Sequential(OrderedDict(named[:-1]))), named[-1]]
    model = nn.Sequential(OrderedDict(named)).to(inputs["device"]).train(inputs["training"])
    if "frozen" in inputs:
        model.get_submodule(inputs["frozen"]).eval()
    return model


def _part(name, inputs):
    kind, arrays = name.rstrip("0123456789"), inputs["state"].get(name, {})
    if kind in _ACTIVATIONS:
        in_place = {"inplace": True} if inputs.get("in_place") else {}
        return _ACTIVATIONS[kind](**in_place)
    if kind == "linear":
        outputs, entering = arrays["weight"].shape
        kind = partial(_Plain, axes=inputs["plain"]) if "plain" in inputs else nn.Linear
        part = kind(entering, outputs, bias="bias" in arrays)
        arrays = arrays | {"weight": arrays["weight"].reshape(part.weight.shape)}
    else:
        part = nn.BatchNorm1d(
            len(arrays["running_mean"]), eps=arrays["eps"], affine="weight" in arrays
        )
        # As after some training.
        part.num_batches_tracked.fill_(20)
    tensors = {key: torch.from_numpy(value) for key, value in arrays.items() if key != "eps"}
    part.to(next(iter(tensors.values())).dtype).load_state_dict(tensors, strict=False)
    return part


# --- losses, as a student knows them --------------------------------------------------------------


def half_squared_error(outputs, targets):
    """Return 1/(2N) sum (outputs - targets)^2."""
    return ((outputs - targets) ** 2).sum() / 2 / len(outputs)


_LOSSES = {"squared error": half_squared_error, "cross entropy": nn.functional.cross_entropy}


def loss_and_batch(inputs):
    """Return the loss function of the inputs, x and y on their device."""
    return (
        _LOSSES[inputs["loss"]],
        tensor(inputs["x"], inputs["device"]),
        tensor(inputs["y"], inputs["device"]),
    )


# --- what a probe hands back, and what it leaves as it was --------------------------------------


def numbers(result):
    """Return what a probe measured, in float64; it must carry no graph."""
    listed = result if isinstance(result, list | tuple) else [result]
    if any(isinstance(each, torch.Tensor) and each.requires_grad for each in listed):
        raise Unusable(
            "The result carries the graph of autograd. Return plain numbers: it is a measurement."
        )
    plain = [each.numpy(force=True) if isinstance(each, torch.Tensor) else each for each in listed]
    array = as_array(plain if listed is result else plain[0], "The result")
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def probe_on_batch(obj, inputs, argument):
    """Return what a probe of a loss on one batch measures, once it has left the model as it was.

    Args:
        obj: the probe, called with the model, the loss, x, y and one argument more.
        inputs: of the case.
        argument: the name of that input.
    """
    model = build(inputs)
    if inputs.get("last_step"):
        leave_gradients(model)
    before = snapshot(model)
    loss, x, y = loss_and_batch(inputs)
    with untouched(x=x, y=y):
        result = obj(model, loss, x, y, inputs[argument])
    require_untouched(model, before)
    return numbers(result)


def reference_on_batch(oracle, inputs, argument):
    """Return what an oracle of ``reference.shift`` says of the same; arguments as above."""
    inputs = cast(inputs, np.float64)
    loss = shift.LOSSES[inputs["loss"]]
    batch = parts_of(inputs), inputs["x"], inputs["y"]
    return oracle(*batch, loss, inputs[argument], inputs["training"])


def leave_gradients(model):
    """Put a gradient on each parameter, as between backward() and step()."""
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)


@dataclass(frozen=True)
class Snapshot:
    """What a probe must leave as it was: options by words; all else by name."""

    options: dict
    parameters: dict
    state: dict
    gradients: dict


def snapshot(model):
    """Return the Snapshot of a model."""
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    gradients = {
        name: None if parameter.grad is None else parameter.grad.clone()
        for name, parameter in model.named_parameters()
    }
    return Snapshot(settings(model), dict(model.named_parameters()), state, gradients)


def require_untouched(model, before):
    """Raise Unusable with the first thing of a model that is not as in its Snapshot."""
    _require_hooks(settings(model), before.options)
    require_same_parameters(model, before.parameters)
    require_usable(model)
    require_settings(model, before.options)
    now = model.state_dict()
    for name, value in before.state.items():
        if name not in now or not torch.equal(now[name], value):
            what = "weights" if name in before.gradients else "buffers"
            raise Unusable(
                f"It leaves {name} of the model changed. {_REMEDIES[what]} "
                "The model is to stay as it was."
            )
    for name, parameter in model.named_parameters():
        was = before.gradients[name]
        if not _same(parameter.grad, was):
            raise Unusable(
                f"It leaves the .grad of {name} changed. It must be as it was: "
                f"{'None' if was is None else 'the gradient of the last step'}."
            )


def _require_hooks(options, before):
    # How many there are depends on how often a solution registers one.
    more = [words for words in before if "hooks" in words and options[words] != before[words]]
    if more:
        raise Unusable("It leaves a hook on the model, which runs in every later pass.")


_REMEDIES = {
    "weights": "Work on a copy, or put the weights back.",
    "buffers": "In training mode each pass moves the running statistics.",
}


def _same(one, other):
    if one is None or other is None:
        return one is other
    return torch.equal(one, other)
