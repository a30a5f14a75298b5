"""normalize_once: the statistics of one batch in the weights, and the batch norms gone."""

import copy
import inspect

import numpy as np
import torch
from torch import nn

from bncourse.exercise import FLOAT64_TOLERANCE, Case, Exercise, Unusable, describe, so_far
from bncourse.exercises import hints
from bncourse.exercises.ps6_shift.drive import (
    build,
    network,
    parts_of,
    require_untouched,
    snapshot,
)
from bncourse.exercises.torch_drive import (
    one_thread,
    require_usable,
    settings,
    tensor,
    untouched,
)
from bncourse.inputs import batch, cast
from bncourse.reference import shift
from bncourse.slips import Instead, Right

TOLERANCE = {"float64": FLOAT64_TOLERANCE, "float32": 1e-3}

# Rounding is 1e-10 where the mean is near 1e6, and E[x^2] - E[x]^2 is off by 1e-4.
NEAR_A_MILLION = {"rtol": 1e-7, "noisy": True}


def _cases(rng):
    def given(sizes=(6, 5, 4, 3), n=9, eps=1e-5, affine=True, offset=0.0, **more):
        """Return a network and the one batch."""
        net = {
            key: more.pop(key)
            for key in ("act", "norm", "bias", "last_norm", "size")
            if key in more
        }
        inputs = network(rng, sizes, **net)
        for name, arrays in inputs["state"].items():
            if name.startswith("norm"):
                arrays["eps"] = eps
                if not affine:
                    del arrays["weight"], arrays["bias"]
        return inputs | {"x": batch(rng, n, sizes[0], offset)} | more

    return {
        "two batch norms": Case(given()),
        "as at the start, gamma 1 and beta 0": Case(given(affine=False)),
        "layers without bias": Case(given(bias=False)),
        "a large eps": Case(given(eps=0.5)),
        "a variance smaller than eps": Case(given((6, 5, 3), size=1e-3)),
        "as many outputs as inputs": Case(given((5, 5, 5, 3), act="relu")),
        "one layer, a batch norm after it": Case(given((6, 4), last_norm=True)),
        "a batch norm after the last layer too": Case(given(last_norm=True)),
        "no batch norm": Case(given(norm=False)),
        "a model in eval mode": Case(given(training=False)),
        "mean near 1e6": Case(given(offset=1e6), **NEAR_A_MILLION),
        "float32": Case(cast(given(act="relu"), np.float32), "float32"),
    }


@one_thread()
def _drive(obj, inputs):
    model, x = build(inputs), tensor(inputs["x"], inputs["device"])
    before = snapshot(model)
    # A linear layer that is made draws its first weights from torch's random state.
    with torch.random.fork_rng(devices=[]), untouched(x=x):
        once = obj(model, x)
    if not isinstance(once, nn.Module):
        raise Unusable(f"It must return a model. Received: {describe(once)}.")
    if once is model:
        raise Unusable("It returns the model that it is given. Return a new one.")
    require_untouched(model, before)
    linears = _linears(once, model)
    _require_no_new_bias(linears, model)
    outputs = {}
    for number, linear in enumerate(linears, start=1):
        outputs[f"weight of layer {number}"] = linear.weight
        if linear.bias is not None:
            outputs[f"bias of layer {number}"] = linear.bias
    with so_far(outputs):
        _require_free(once, linears, model)
        with torch.no_grad():
            outputs["output for the batch"] = once(x.clone())
    return outputs


def _linears(once, model):
    """Return the linear layers of the new model; its parts must be those of the old one."""
    if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in once.modules()):
        raise Unusable("The new model still holds a batch norm. Its work is in the weights now.")
    want = [_kind(part) for part in model if not isinstance(part, nn.BatchNorm1d)]
    leaves = [part for part in once.modules() if not list(part.children())]
    got = [_kind(part) for part in leaves if not isinstance(part, nn.Identity)]
    if got != want:
        raise Unusable(
            "The new model must hold what the old one holds, in that order, without the batch "
            f"norms: {', '.join(want)}. Received: {', '.join(got) or 'nothing'}."
        )
    return [part for part in leaves if isinstance(part, nn.Linear)]


def _require_no_new_bias(linears, model):
    """Raise Unusable if a layer that nothing is folded into has a bias that it had not."""
    parts = list(model)
    old = [(part, *parts[place + 1 : place + 2]) for place, part in enumerate(parts)]
    old = [each for each in old if isinstance(each[0], nn.Linear)]
    for number, (linear, (was, *after)) in enumerate(zip(linears, old, strict=True), start=1):
        folded = after and isinstance(after[0], nn.BatchNorm1d)
        if linear.bias is not None and was.bias is None and not folded:
            raise Unusable(
                f"Layer {number} has a bias now. It had none, and no batch norm is folded into it."
            )


def _kind(part):
    return type(part).__name__


def _require_free(once, linears, model):
    """Raise Unusable unless the new model can be trained, and shares nothing with the old one."""
    require_usable(once)
    if any(value for words, value in settings(once).items() if "hooks" in words):
        raise Unusable("It leaves a hook on the new model, which runs in every later pass.")
    old = {each.untyped_storage().data_ptr() for each in model.parameters()}
    for number, linear in enumerate(linears, start=1):
        for name, parameter in linear.named_parameters():
            if not parameter.requires_grad:
                raise Unusable(
                    f"The {name} of layer {number} does not require a gradient, and it is to learn."
                )
            if parameter.untyped_storage().data_ptr() in old:
                raise Unusable(
                    f"The {name} of layer {number} shares memory with the model that is given. "
                    "Copy it."
                )
    if any(part.training != model.training for part in once.modules()):
        mode = "training" if model.training else "eval"
        raise Unusable(f"The model came in {mode} mode; the new one must be in {mode} mode.")


def _reference(inputs):
    inputs = cast(inputs, np.float64)
    folded = shift.normalize_once(parts_of(inputs), inputs["x"])
    outputs = {}
    linears = [arrays for kind, arrays in folded if kind == "linear"]
    for number, arrays in enumerate(linears, start=1):
        for name in ("weight", "bias"):
            if name in arrays:
                outputs[f"{name} of layer {number}"] = arrays[name]
    return outputs | {"output for the batch": shift.passed(folded, inputs["x"])[-1]}


def once_part_by_part(model, x):
    given = model
    parts = []
    h = x
    with torch.no_grad():
        for part in given:
            if isinstance(part, nn.BatchNorm1d):
                var, mean = torch.var_mean(h, dim=0, correction=0)
                std = (var + part.eps).sqrt()
                scale = 1 / std if part.weight is None else part.weight / std
                beta = torch.zeros_like(mean) if part.bias is None else part.bias
                last = parts[-1]
                old = torch.zeros_like(mean) if last.bias is None else last.bias
                new_bias = beta + scale * (old - mean)
                last.weight.copy_(last.weight * scale[:, None])
                last.bias = nn.Parameter(new_bias)
                normed = scale * (h - mean) + beta
                h = normed
            else:
                new = copy.deepcopy(part)
                parts.append(new)
                h = new(h)
    returned = nn.Sequential(*parts).train(model.training)
    return returned


def once_in_two_passes(model, x):
    probe = copy.deepcopy(model).train()
    entered = {}
    handles = [
        part.register_forward_pre_hook(
            lambda part, args, name=name: entered.update({name: args[0].detach().clone()})
        )
        for name, part in probe.named_children()
    ]
    with torch.no_grad():
        _ = probe(x)
    for handle in handles:
        handle.remove()
    once = copy.deepcopy(model)
    names = [name for name, _ in once.named_children()]
    for index, name in enumerate(names[1:]):
        before = names[index]
        norm = once.get_submodule(name)
        if not isinstance(norm, nn.BatchNorm1d):
            continue
        linear, values = once.get_submodule(before), entered[name]
        std = torch.sqrt(values.var(dim=0, correction=0) + norm.eps)
        gamma = norm.weight if norm.affine else torch.ones_like(std)
        beta = norm.bias if norm.affine else torch.zeros_like(std)
        bias = 0 if linear.bias is None else linear.bias
        linear.weight.data = (linear.weight * (gamma / std)[:, None]).detach()
        linear.bias = nn.Parameter((beta + gamma / std * (bias - values.mean(dim=0))).detach())
        setattr(once, name, nn.Identity().train(model.training))
    return once


slip = Right(once_part_by_part).slip
two_passes = Right(once_in_two_passes).slip

_MISTAKES = (
    slip(
        "unbiased variance",
        "The variance is the unbiased one, divided by N - 1. Batch norm normalises with the "
        "biased one: correction=0.",
        "D2",
        var_mean="torch.var_mean(h, dim=0)",
    ),
    slip(
        "cancellation",
        hints.CANCELLATION,
        "D2",
        var_mean="(h**2).mean(dim=0) - h.mean(dim=0) ** 2, h.mean(dim=0)",
    ),
    slip(
        "eps missing",
        "eps is missing under the root: use that of the layer that goes.",
        "D2",
        std="var.sqrt()",
    ),
    slip(
        "eps of its own",
        "eps has a fixed value. Take that of the batch norm, part.eps.",
        "D2",
        std="(var + 1e-5).sqrt()",
    ),
    slip(
        "eps outside the root",
        "eps is added to the standard deviation. It belongs under the root.",
        "D2",
        std="var.sqrt() + part.eps",
    ),
    slip(
        "root missing",
        "It divides by the variance. Take the root.",
        "D2",
        std="var + part.eps",
    ),
    slip(
        "gamma forgotten",
        "gamma is lost with the layer. Multiply it into the scale.",
        "D2",
        scale="1 / std",
    ),
    slip(
        "beta forgotten",
        "beta is lost with the layer. Add it to the bias.",
        "D2",
        beta="torch.zeros_like(mean)",
    ),
    slip(
        "bias left as it was",
        "The bias of the linear layer stays as it was. It is normalised too: subtract the mean, "
        "and scale.",
        "D2",
        new_bias="old",
    ),
    slip(
        "bias not scaled",
        "The old bias is not scaled. It is a part of what batch norm normalises.",
        "D2",
        new_bias="beta + old - scale * mean",
    ),
    slip(
        "old bias lost",
        "The old bias is lost. The mean that is subtracted holds it, so it must be there too.",
        "D2",
        new_bias="beta - scale * mean",
    ),
    slip(
        "mean forgotten",
        "The mean is not subtracted.",
        "D2",
        new_bias="beta + scale * old",
    ),
    slip(
        "mean added",
        "The mean is added. Subtract it.",
        "D2",
        new_bias="beta + scale * (old + mean)",
    ),
    slip(
        "mean not scaled",
        "The mean is subtracted after the division. Subtract it first, then divide.",
        "D2",
        new_bias="beta + scale * old - mean",
    ),
    slip(
        "inputs scaled in place of units",
        "The scale meets the columns of the weight, which are inputs in PyTorch. A unit is a row: "
        "scale[:, None].",
        "D2",
        last_weight_copy=Instead("last.weight.copy_(last.weight * scale)"),
    ),
    slip(
        "weight left as it was",
        "The weight is not divided by the standard deviation.",
        "D2",
        last_weight_copy=Instead("pass"),
    ),
    slip(
        "running statistics folded",
        "The running statistics are folded in, as one does with a trained model. Here it is the "
        "statistics of the batch.",
        "D2",
        var_mean="part.running_var, part.running_mean",
    ),
    slip(
        "statistics of layers that are not normalised",
        "A later layer is measured on what earlier ones hand on without batch norm. Fold from the "
        "first to the last, each with the outputs of the folded ones before it.",
        "D2",
        normed="h",
    ),
    two_passes(
        "measured in eval mode",
        "The batch passes in eval mode, so a later layer is measured on what earlier ones make of "
        "it with stored statistics. Let it pass in training mode.",
        "D2",
        probe="copy.deepcopy(model).eval()",
    ),
    two_passes(
        "running statistics moved",
        "The pass in training mode moves the running statistics of the model that is given. Let a "
        "copy.deepcopy(model) take it.",
        "D2",
        probe="model.train()",
    ),
    slip(
        "given model changed",
        "The weights of the model that is given are changed. Work on copies.",
        "D2",
        new="part",
    ),
    slip(
        "last layer shared",
        "A layer that no batch norm follows is taken over as it is, so that training the new "
        "model changes the old one. Copy it too.",
        "D2",
        parts_append=Instead("parts.append(part if part is model[-1] else new)"),
    ),
    two_passes(
        "batch norm kept",
        "The batch norms are still there, and normalise a second time. Leave them out.",
        "D2",
        setattr=Instead("pass"),
    ),
    slip(
        "bias frozen",
        "A folded parameter does not require a gradient. It is the start of a training, so all of "
        "them learn: nn.Parameter(tensor).",
        "D2",
        bias="nn.Parameter(new_bias, requires_grad=False)",
    ),
    slip(
        "always in training mode",
        "The new model is in training mode where the given one is in eval mode. Hand the mode on: "
        "train(model.training).",
        "D2",
        returned="nn.Sequential(*parts).train()",
    ),
    slip(
        "the model itself returned",
        "The model is returned as it was given. Return the new one.",
        "D2",
        once_part_by_part__returns="model",
    ),
)


def _signature(model, x):
    """The function that the student writes."""


normalize_once = Exercise(
    name="normalize_once",
    signature=inspect.signature(_signature),
    cases=_cases,
    drive=_drive,
    reference=_reference,
    see="D2",
    insight="For this batch nothing has changed; the next step has the start without the upkeep.",
    mistakes=_MISTAKES,
    tolerance=TOLERANCE,
    takes_device=True,
    allows_ready_made=True,
)
