"""gradient_predictiveness: the share of a gradient's promise that a step of fair size keeps."""

import copy
import inspect

import numpy as np
import torch

from bncourse.exercise import Case, Exercise
from bncourse.exercises.ps6_shift.drive import (
    TOLERANCE,
    classes,
    network,
    probe_on_batch,
    reference_on_batch,
)
from bncourse.exercises.torch_drive import one_thread
from bncourse.inputs import batch, cast
from bncourse.reference import shift
from bncourse.slips import Instead, Right


def _cases(rng):
    def given(sizes=(5, 6, 4, 3), step_sizes=(0.03, 0.1, 0.3), n=9, **more):
        """Return a network, a loss, one batch and sizes of steps."""
        net = {key: more.pop(key) for key in ("act", "norm", "size") if key in more}
        return (
            network(rng, sizes, **net)
            | {"loss": "squared error", "x": batch(rng, n, sizes[0])}
            | {"y": rng.standard_normal((n, sizes[-1])), "step_sizes": step_sizes}
            | more
        )

    images = given((5, 6, 4), norm=False, act="sigmoid", loss="cross entropy")
    with_norm = given()
    return {
        "three layers": Case(given(norm=False)),
        "with batch norm": Case(with_norm),
        "the same function, its hidden weights times 4": Case(_longer(with_norm)),
        "classes": Case(images | {"y": classes(rng, 9, 4)}),
        "one layer": Case(given((5, 3), norm=False)),
        "one size": Case(given(norm=False, step_sizes=(0.05,))),
        # So far that the loss grows, and the share is below zero.
        "a step too far": Case(given(norm=False, step_sizes=(0.1, 300.0))),
        "sizes as an array, out of order": Case(
            given(norm=False, step_sizes=np.array([0.5, 0.02, 1.0]))
        ),
        "a layer without gradient": Case(_dead(given(norm=False, act="relu"))),
        "a model in eval mode": Case(given(training=False)),
        "a batch norm that stays in eval mode": Case(given(frozen="norm1")),
        "layers inside another": Case(given(norm=False, nested=True)),
        "gradients of the last step are there": Case(given(norm=False, last_step=True)),
        "float32": Case(cast(given(norm=False), np.float32), "float32"),
        "layers of one's own": Case(given(plain=2)),
        "weights of three axes": Case(given(plain=3)),
    }


def _longer(inputs):
    """Return a network with its weights before a batch norm times 4, and 16 times the eps."""
    state = {
        name: arrays
        | ({"weight": 4 * arrays["weight"], "bias": 4 * arrays["bias"]} if name in _HIDDEN else {})
        | ({"eps": 16 * arrays["eps"]} if name.startswith("norm") else {})
        for name, arrays in inputs["state"].items()
    }
    return inputs | {"state": state}


_HIDDEN = ("linear1", "linear2")


def _dead(inputs):
    """Return a network whose first layer of ReLUs lets nothing pass, and the second its biases."""
    first, second = (inputs["state"][name] for name in _HIDDEN)
    closed = first | {"bias": first["bias"] - 100}
    # All of them below 0, as one draw of 16 has it, and no weight has a gradient: 0 divided by 0.
    opened = second | {"bias": np.abs(second["bias"]) + 0.1}
    return inputs | {"state": inputs["state"] | {"linear1": closed, "linear2": opened}}


@one_thread()
def _drive(obj, inputs):
    return {"share": probe_on_batch(obj, inputs, "step_sizes")}


def _reference(inputs):
    return {"share": reference_on_batch(shift.gradient_predictiveness, inputs, "step_sizes")}


def predictiveness_on_a_copy(model, loss_fn, x, y, step_sizes):
    probe = copy.deepcopy(model)
    weights = [parameter for parameter in probe.parameters() if parameter.dim() >= 2]
    start = loss_fn(probe(x), y)
    gradients = torch.autograd.grad(start, weights)
    ways, promise = [], 0.0
    kept = []
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            unit = weight.norm()
            length = gradient.norm()
            way = unit * gradient / length if length > 0 else torch.zeros_like(gradient)
            ways.append(way)
            promise += unit * length
        old = [weight.clone() for weight in weights]
        for size in step_sizes:
            for weight, start_at, way in zip(weights, old, ways, strict=True):
                new = start_at - size * way
                weight.copy_(new)
            after = loss_fn(probe(x), y)
            decrease = start - after
            promised = size * promise
            share = decrease / promised
            kept.append(share.item())
    return np.array(kept)


def predictiveness_and_back(model, loss_fn, x, y, step_sizes):
    weights = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    old = [weight.detach().clone() for weight in weights]
    buffers = [buffer.clone() for buffer in model.buffers()]
    start = loss_fn(model(x), y)
    gradients = torch.autograd.grad(start, weights)
    lengths = [gradient.norm() for gradient in gradients]
    kept = []
    with torch.no_grad():
        promise = sum(w.norm() * length for w, length in zip(old, lengths, strict=True))
        for size in step_sizes:
            for w, w0, g, length in zip(weights, old, gradients, lengths, strict=True):
                if length > 0:
                    w.copy_(w0 - size * w0.norm() * g / length)
            kept.append(((start - loss_fn(model(x), y)) / (size * promise)).item())
        for w, w0 in zip(weights, old, strict=True):
            w.copy_(w0)
        for buffer, value in zip(model.buffers(), buffers, strict=True):
            buffer.copy_(value)
    return kept


slip = Right(predictiveness_on_a_copy).slip
and_back = Right(predictiveness_and_back).slip

_MISTAKES = (
    slip(
        "absolute step",
        "The steps are of one absolute size. With batch norm the weights can be four times as "
        "long without any change of the function: measure a step against |W|, in (D3) and in the "
        "promise.",
        "D3",
        unit="torch.ones(())",
    ),
    slip(
        "length of all weights together",
        "The step of each layer is measured against the length of all weights together. Each "
        "layer has a length of its own.",
        "D3",
        unit="torch.cat([each.flatten() for each in weights]).norm()",
    ),
    slip(
        "length of all gradients together",
        "Each gradient is divided by the length of all gradients together. Each layer has a "
        "length of its own.",
        "D3",
        way="unit * gradient / torch.cat([each.flatten() for each in gradients]).norm()",
    ),
    slip(
        "gradient not brought to length 1",
        "The gradient is not divided by its length, so the step is not size times |W| long.",
        "D3",
        way="unit * gradient",
    ),
    slip(
        "0 divided by 0",
        "A layer whose gradient is 0 gets the direction 0/0, which is NaN. Such a layer stays.",
        "D3",
        way="unit * gradient / length",
    ),
    slip(
        "length per unit",
        "The lengths are taken for each unit, row by row. |W| and |G| are over all entries of a "
        "layer.",
        "D3",
        unit="weight.norm(dim=1, keepdim=True)",
        length="gradient.norm(dim=1, keepdim=True)",
        way="unit * gradient / length.clamp_min(1e-300)",
        promise="(unit * length).sum()",
    ),
    slip(
        "spectral norm",
        "torch.linalg.norm(W, 2) is the largest singular value of a matrix. The length is over "
        "all entries: W.norm().",
        "D3",
        unit="torch.linalg.norm(weight, 2)",
        length="torch.linalg.norm(gradient, 2)",
    ),
    slip(
        "step uphill",
        "The step goes along the gradient, uphill. Subtract it.",
        "D3",
        new="start_at + size * way",
    ),
    slip(
        "vectors move too",
        "Biases, gamma and beta step too. Only weights do: a vector after batch norm has a unit "
        "that means something.",
        "D3",
        weights="list(probe.parameters())",
    ),
    slip(
        "steps add up",
        "The steps add up: each begins where the last one ended. Each begins at W.",
        "D3",
        new="weight - size * way",
    ),
    slip(
        "promise without the weights",
        "The promise lacks |W|. A step of size e moves a layer by e |W|, and so the loss is to "
        "fall by e times the sum of |W| |G|.",
        "D4",
        promise="length",
    ),
    slip(
        "promise without the size",
        "The decrease is not divided by the size of the step.",
        "D4",
        promised="promise",
    ),
    slip(
        "promise with squares",
        "The promise has the square of |G|, as for a step of lr times the gradient. Here the step "
        "is e |W| long, so the slope along it is |W| |G|.",
        "D4",
        promise="unit * length**2",
    ),
    slip(
        "promise averaged over layers",
        "The promise is averaged over the layers. Every layer steps: it is the sum.",
        "D4",
        promised="size * promise / len(weights)",
    ),
    slip(
        "promise of the last layer",
        "The promise is that of the last layer only. Sum over the layers.",
        "D4",
        promised="size * unit * length",
    ),
    slip(
        "increase in place of decrease",
        "The sign is reversed: the share is positive where the loss falls.",
        "D4",
        decrease="after - start",
    ),
    slip(
        "decrease alone",
        "It is the decrease of the loss. Divide it by what the gradient promises.",
        "D4",
        share="decrease",
    ),
    slip(
        "loss after over loss before",
        "It is the loss after the step, divided by the loss before it. (D4) is the decrease, "
        "divided by what the gradient promises.",
        "D4",
        share="after / start",
    ),
    slip(
        "share turned over",
        "It is the promise, divided by the decrease. Turn it over.",
        "D4",
        share="promised / decrease",
    ),
    slip(
        "measured in eval mode",
        "The loss is taken in eval mode. Take it in the mode in which the model comes.",
        "D4",
        probe="copy.deepcopy(model).eval()",
    ),
    slip(
        "measured in training mode",
        "The loss is taken in training mode, also where the model comes in eval mode. Take it in "
        "the mode in which the model comes.",
        "D4",
        probe="copy.deepcopy(model).train()",
    ),
    slip(
        "model left moved",
        "The model itself takes the steps, and keeps the last one. Step on a "
        "copy.deepcopy(model), or put the weights back.",
        "D3",
        probe="model",
    ),
    and_back(
        "running statistics moved",
        "The weights are put back and the running statistics are not: in training mode each pass "
        "moves them. Put the buffers back too, or let a copy.deepcopy(model) take every pass.",
        "D4",
        buffer_copy=Instead("pass"),
    ),
    and_back(
        "gradients left behind",
        "The gradients of the probe are left in .grad of the model. Use torch.autograd.grad, or "
        "work on a copy.deepcopy(model).",
        "D4",
        gradients=Instead(
            "model.zero_grad()\nstart.backward()\n"
            "gradients = [weight.grad.clone() for weight in weights]"
        ),
    ),
)


def _signature(model, loss_fn, x, y, step_sizes):
    """The function that the student writes."""


gradient_predictiveness = Exercise(
    name="gradient_predictiveness",
    signature=inspect.signature(_signature),
    cases=_cases,
    drive=_drive,
    reference=_reference,
    see="D4",
    insight="Two networks can be compared now, since no unit is left in this number.",
    mistakes=_MISTAKES,
    tolerance=TOLERANCE,
    takes_device=True,
    allows_ready_made=True,
)
