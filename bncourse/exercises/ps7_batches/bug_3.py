"""fix_the_bug_3: a layer that asks autograd for its mode, and forgets its statistics when saved."""

import inspect

import numpy as np
import torch
from torch import nn

from bncourse.exercise import Case, Exercise, Unusable, describe, so_far
from bncourse.exercises import hints
from bncourse.exercises.ps7_batches.inputs import NEAR_A_MILLION
from bncourse.exercises.torch_drive import (
    TOLERANCE,
    called,
    differentiate,
    graph_ends,
    one_thread,
    require_no_graph,
    require_usable,
    tensor,
)
from bncourse.inputs import away_from_one, batch, cast, upstream
from bncourse.reference import layers
from bncourse.slips import Instead, Right

_LEARNT = ("weight", "bias")
_BUFFERS = ("running_mean", "running_var")
# Under these names torch's layer reads them, too.
_NAMED = (*_LEARNT, *_BUFFERS)
_GRADIENTS = ("dx in training", "gradient of weight", "gradient of bias")


def _cases(rng):
    def given(n=7, d=4, eps=1e-5, momentum=0.1, offset=0.0, scale=1.0):
        return {
            **{name: batch(rng, n, d, offset, scale) for name in ("x1", "x2", "x_eval")},
            "dy": upstream(rng, n, d),
            "weight": away_from_one(rng, d),
            "bias": away_from_one(rng, d),
            "eps": eps,
            "momentum": momentum,
        }

    return {
        "two steps, then an answer": Case(given()),
        "another momentum": Case(given(momentum=0.3)),
        "a large eps": Case(given(eps=0.5)),
        "more features than examples": Case(given(n=4, d=9)),
        "one feature": Case(given(d=1)),
        "mean near 1e6": Case(given(n=50, offset=1e6), **NEAR_A_MILLION),
        "float32": Case(cast(given(), np.float32), "float32"),
        # A momentum of 1 remembers the last batch alone.
        "variances smaller than eps": Case(given(momentum=1.0, scale=1e-3)),
    }


@one_thread()
def _drive(obj, inputs):
    layer = _made(obj, inputs)
    x1, x2, x_eval = (tensor(inputs[name], "cpu") for name in ("x1", "x2", "x_eval"))
    x1.requires_grad_()
    y = called(layer, x1)
    outputs = {"y in training": y}
    with so_far(outputs):
        dy = tensor(inputs["dy"], "cpu")
        gradients = differentiate(y, (x1, layer.weight, layer.bias), dy)
        outputs |= dict(zip(_GRADIENTS, gradients, strict=True))
        require_no_graph(layer)
        require_usable(layer)
        with torch.no_grad():
            outputs["y in training, under no_grad"] = called(layer, x2)
            outputs |= {name: _buffer(layer, name).clone() for name in _BUFFERS}
            # As the layers of a model are told, by the model.
            nn.Sequential(layer).eval()
            outputs["y in eval, under no_grad"] = called(layer, x_eval)
            outputs["y in eval of a copy by its state_dict"] = called(
                _copied(obj, layer, inputs), x_eval
            )
            outputs["y in eval of a new layer"] = called(_made(obj, inputs).eval(), x_eval)
        x_eval.requires_grad_()
        outputs["y in eval, with gradients"] = y = called(layer, x_eval)
        if not y.requires_grad:
            raise Unusable(
                "In eval mode, with gradients on, y has no graph: what is trained below a frozen "
                "layer gets no gradient."
            )
        (outputs["dx in eval"],) = differentiate(y, (x_eval,), dy)
        outputs |= {f"{name} after eval": _buffer(layer, name).clone() for name in _BUFFERS}
        outputs["numbers to train"] = sum(p.numel() for p in layer.parameters() if p.requires_grad)
        _require_learning(layer)
        other = _made(obj, inputs)
        outputs["y in training, of data"] = called(other, x2)
        outputs["running_mean, of data"] = _buffer(other, "running_mean").clone()
        x2.requires_grad_()
        with graph_ends(x2):
            called(other, x2)
        new = _new(obj, inputs)
        outputs |= {f"{name} of a new layer": getattr(new, name) for name in _LEARNT}
    return outputs


def _made(obj, inputs):
    layer = _new(obj, inputs)
    for name in _LEARNT:
        getattr(layer, name).data.copy_(torch.from_numpy(inputs[name]))
    return layer.train()


def _new(obj, inputs):
    layer = obj(inputs["weight"].size, eps=inputs["eps"], momentum=inputs["momentum"])
    if not isinstance(layer, nn.Module):
        raise Unusable(f"fix_the_bug_3 must be a torch.nn.Module. Received: {describe(layer)}.")
    for name in _NAMED:
        made = getattr(layer, name, None)
        if isinstance(made, torch.Tensor) and made.dtype != torch.get_default_dtype():
            raise Unusable(
                f"{name} of a new layer must have torch's default dtype, "
                f"{torch.get_default_dtype()}. Received: {made.dtype}."
            )
    dtype = torch.from_numpy(inputs["weight"]).dtype
    layer.to(dtype)
    # What is no buffer yet would stay behind, and fail before anything is compared.
    for name in _BUFFERS:
        if isinstance(vars(layer).get(name), torch.Tensor):
            setattr(layer, name, vars(layer)[name].to(dtype))
    for name in _LEARNT:
        if not isinstance(getattr(layer, name, None), nn.Parameter):
            raise Unusable(f"It must hold the parameter {name}, as it did.")
    _require_learning(layer)
    return layer


def _require_learning(layer):
    for name in _LEARNT:
        if not getattr(layer, name).requires_grad:
            raise Unusable(f"{name} must require gradients: an optimizer trains it.")


def _buffer(layer, name):
    value = getattr(layer, name, None)
    if not isinstance(value, torch.Tensor):
        raise Unusable(f"It must hold the tensor {name}, as it did. Received: {describe(value)}.")
    return value


def _copied(obj, layer, inputs):
    """Return a layer that knows of another what a file of weights would hold."""
    other = _made(obj, inputs)
    state = {name: value for name, value in layer.state_dict().items() if name in _NAMED}
    for name in _LEARNT:
        if name not in state:
            raise Unusable(f"Its state_dict must hold {name}, under that name.")
    other.load_state_dict(state, strict=False)
    for name, value in state.items():
        if not torch.equal(getattr(other, name), value):
            raise Unusable(f"Its load_state_dict does not take over {name}.")
    return other.eval()


def _reference(inputs):
    given = cast(inputs, np.float64)
    gamma, beta, eps = given["weight"], given["bias"], given["eps"]
    step = {"new_weight": given["momentum"], "eps": eps}
    y1, mean, var = layers.layer_training_step(
        given["x1"], gamma, beta, np.zeros_like(gamma), np.ones_like(gamma), **step
    )
    y2, mean, var = layers.layer_training_step(given["x2"], gamma, beta, mean, var, **step)
    gradients = layers.layer_backward(given["dy"], given["x1"], gamma, eps=eps)
    other, other_mean, _ = layers.layer_training_step(
        given["x2"], gamma, beta, np.zeros_like(gamma), np.ones_like(gamma), **step
    )
    y_eval = layers.layer_inference(given["x_eval"], gamma, beta, mean, var, eps=eps)
    return {
        "y in training": y1,
        **dict(zip(_GRADIENTS, gradients, strict=True)),
        "y in training, under no_grad": y2,
        "running_mean": mean,
        "running_var": var,
        "y in eval, under no_grad": y_eval,
        "y in eval of a copy by its state_dict": y_eval,
        "y in eval of a new layer": layers.layer_inference(
            given["x_eval"], gamma, beta, np.zeros_like(gamma), np.ones_like(gamma), eps=eps
        ),
        "y in eval, with gradients": y_eval,
        "dx in eval": given["dy"] * gamma / np.sqrt(var + eps),
        "running_mean after eval": mean,
        "running_var after eval": var,
        "numbers to train": np.asarray(2 * gamma.size),
        "y in training, of data": other,
        "running_mean, of data": other_mean,
        "weight of a new layer": np.ones_like(gamma),
        "bias of a new layer": np.zeros_like(gamma),
    }


class Repaired(nn.Module):
    """Batch norm for x, (N, D), as torch.nn.BatchNorm1d does it."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.running_mean = nn.Buffer(torch.zeros(num_features))
        self.running_var = nn.Buffer(torch.ones(num_features))

    def forward(self, x):
        """Return y, with the shape of x."""
        learning = self.training
        if learning:
            mean, var = x.mean(dim=0), x.var(dim=0, unbiased=False)
            self.remember(mean.detach(), x.detach().var(dim=0))
        else:
            mean, var = self.running_mean, self.running_var
        y = self.weight * (x - mean) / torch.sqrt(var + self.eps) + self.bias
        return y

    def remember(self, mean, var):
        """Mix new statistics into the running ones."""
        m = self.momentum
        self.running_mean = (1 - m) * self.running_mean + m * mean
        self.running_var = (1 - m) * self.running_var + m * var


slip = Right(Repaired).slip

# Where they stand outside of the state.
_PLAIN = {
    "__init____running_mean": "torch.zeros(num_features)",
    "__init____running_var": "torch.ones(num_features)",
}

BUG = Exercise(
    name="fix_the_bug_3",
    signature=inspect.signature(Repaired),
    cases=_cases,
    drive=_drive,
    reference=_reference,
    see="L1",
    insight="Mode and gradients are two switches: recalibration has the first without the second.",
    normalised="batch",
    tolerance=TOLERANCE,
    mistakes=(
        slip(
            "mode from autograd, statistics outside of the state",
            "Two things. The layer takes gradients for training, so eval mode changes nothing "
            "while they are on: ask self.training. And its running statistics are plain "
            "attributes, so state_dict does not save them: make them buffers.",
            "L1",
            learning="torch.is_grad_enabled()",
            **_PLAIN,
        ),
        slip(
            "mode from autograd",
            "The statistics are saved now. The mode is still read from autograd: gradients can be "
            "on in eval mode, and off in training. Ask self.training.",
            "L1",
            learning="torch.is_grad_enabled()",
        ),
        slip(
            "statistics outside of the state",
            "The mode is right now. state_dict still leaves the running statistics out, so whoever "
            "loads the weights starts from 0 and 1: plain attributes and buffers with "
            "persistent=False are not saved.",
            "L1",
            **_PLAIN,
        ),
        slip(
            "running mean outside of the state",
            "running_var is saved now. state_dict still leaves running_mean out: make it a buffer "
            "too.",
            "L1",
            __init____running_mean="torch.zeros(num_features)",
        ),
        slip(
            "running variance outside of the state",
            "running_mean is saved now. state_dict still leaves running_var out: make it a buffer "
            "too.",
            "L1",
            __init____running_var="torch.ones(num_features)",
        ),
        slip(
            "both switches",
            "It trains where self.training and gradients are both on. Under no_grad, a layer in "
            "training mode still has to use the batch and to remember it.",
            "L1",
            learning="self.training and torch.is_grad_enabled()",
        ),
        slip(
            "statistics as parameters",
            "The running statistics are parameters that ask for gradients. They are saved, and an "
            "optimiser trains them too. A buffer is saved and not trained.",
            "L1",
            __init____running_mean="nn.Parameter(torch.zeros(num_features))",
            __init____running_var="nn.Parameter(torch.ones(num_features))",
            remember__running_mean=Instead(
                "self.running_mean.data = (1 - m) * self.running_mean.data + m * mean"
            ),
            remember__running_var=Instead(
                "self.running_var.data = (1 - m) * self.running_var.data + m * var"
            ),
        ),
        slip(
            "biased variance remembered",
            "The variance that is remembered is the biased one now. The repair was not asked to "
            "touch it: PyTorch stores the unbiased one.",
            "L1",
            remember="self.remember(mean.detach(), var.detach())",
        ),
        slip(
            "statistics remembered with a graph",
            "What is remembered carries the graph of the batch: copy.deepcopy fails, and the batch "
            "stays in memory. Detach what is remembered.",
            "L1",
            remember="self.remember(mean, x.var(dim=0))",
        ),
        slip(
            "momentum reversed",
            hints.MOMENTUM_REVERSED,
            "L1",
            m="1 - self.momentum",
        ),
        slip(
            "cancellation",
            hints.CANCELLATION,
            "F15",
            y=Instead(
                "if learning:\n"
                "    var = (x**2).mean(dim=0) - mean**2\n"
                "y = self.weight * (x - mean) / torch.sqrt(var + self.eps) + self.bias"
            ),
        ),
        slip(
            "statistics without a graph",
            "In training the batch statistics are cut off from autograd. Only what is remembered "
            "is to be detached.",
            "B7",
            y="self.weight * (x - mean.detach()) / torch.sqrt(var.detach() + self.eps) + self.bias",
        ),
        slip(
            "weight and bias without a graph",
            "weight and bias are cut off from autograd (detach, .data), so no optimiser moves "
            "them. Only what is remembered is to be detached.",
            "B6",
            y="self.weight.detach() * (x - mean) / torch.sqrt(var + self.eps) + self.bias.detach()",
        ),
        slip(
            "eval without a graph",
            "The mode says nothing about gradients, which may be on in eval. Take no_grad, detach "
            "or .data out of that branch.",
            "L1",
            y=Instead(
                "with torch.set_grad_enabled(learning and torch.is_grad_enabled()):\n"
                "    y = self.weight * (x - mean) / torch.sqrt(var + self.eps) + self.bias"
            ),
        ),
    ),
)
