"""fold_conv_bn: one convolution that does what a convolution and the batch norm after it do."""

import inspect

import numpy as np
import torch
from torch import nn

from bncourse.exercise import Case, Exercise, Unusable, describe, so_far
from bncourse.exercises import hints
from bncourse.exercises.torch_drive import (
    called,
    hooks,
    kinds,
    one_thread,
    require_same_kinds,
    require_same_parameters,
    require_settings,
    settings,
    tensor,
)
from bncourse.inputs import SMALL_EPS, cast, running, scale_and_shift
from bncourse.reference import layers
from bncourse.reference.convolution import fold_batchnorm
from bncourse.slips import Instead, Right

_CONVOLUTIONS = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}
_NORMS = {3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
# How a convolution moves over its input; a folded one must move alike.
_GEOMETRY = ("stride", "padding", "dilation", "groups", "padding_mode")
_SIZES = ("in_channels", "out_channels", "kernel_size")


def _cases(rng):
    def given(outputs=5, inputs=3, kernel=(3, 3), size=(6, 7), bias=True, affine=True, **options):
        groups = options.get("groups", 1)
        arrays = {
            "weight": rng.standard_normal((outputs, inputs // groups, *kernel)),
            "bias": rng.uniform(0.5, 2.0, outputs) if bias else None,
            **(scale_and_shift(rng, outputs) if affine else {"gamma": None, "beta": None}),
            **running(rng, outputs),
            "x": rng.standard_normal((1, inputs, *size)),
        }
        return arrays | {"eps": 1e-5} | options

    # Some far below any eps: who raises a variance to a least one must not pass.
    tiny = given() | {"running_var": rng.permutation(np.geomspace(1e-9, 2e-6, 5))}
    single = given(outputs=1, inputs=1)
    # The one bias then adds up without cancellation: what is left over of it would be rounding.
    single["running_mean"] = -np.abs(single["running_mean"])
    single["beta"] = np.copysign(single["beta"], single["gamma"])
    inputs = {
        "a convolution with bias": given(again=True),
        "no bias": given(bias=False),
        "a large eps": given(eps=0.5),
        "a running variance smaller than eps": tiny,
        "a small eps": tiny | {"eps": SMALL_EPS},
        "as many outputs as inputs": given(outputs=3),
        "one output, one input": single,
        "a pointwise convolution": given(kernel=(1, 1)),
        "affine=False": given(affine=False),
        "stride, padding and dilation": given(stride=2, padding=1, dilation=2),
        "other numbers along each axis": given(
            kernel=(2, 3), size=(8, 9), stride=(1, 2), padding=(2, 0), dilation=(2, 1)
        ),
        "padding='same'": given(kernel=(3, 2), padding="same", dilation=(1, 2)),
        "groups": given(outputs=6, inputs=4, groups=2),
        "a depthwise convolution": given(outputs=4, inputs=4, groups=4),
        "circular padding": given(padding=1, padding_mode="circular"),
        "Conv1d": given(kernel=(3,), size=(8,)),
        "Conv3d": given(kernel=(2, 2, 2), size=(3, 4, 3)),
    }
    # In float32, as models are: a new layer has that dtype by default.
    return {name: Case(cast(each, np.float32), "float32") for name, each in inputs.items()}


def _build(inputs, device):
    """Return the convolution and the batch norm of the inputs, both in eval mode."""
    weight = inputs["weight"]
    outputs, per_group, *kernel = weight.shape
    geometry = {name: inputs[name] for name in _GEOMETRY if name in inputs}
    conv = _CONVOLUTIONS[weight.ndim](
        per_group * geometry.get("groups", 1),
        outputs,
        tuple(kernel),
        bias=inputs["bias"] is not None,
        **geometry,
    )
    norm = _NORMS[weight.ndim](outputs, inputs["eps"], affine=inputs["gamma"] is not None)
    dtype = torch.from_numpy(weight).dtype
    for module in (conv, norm):
        module.eval().to(device=device, dtype=dtype)
    _fill(conv, weight=weight, bias=inputs["bias"])
    statistics = {name: inputs[name] for name in ("running_mean", "running_var")}
    _fill(norm, weight=inputs["gamma"], bias=inputs["beta"], **statistics)
    return conv, norm


def _fill(module, **arrays):
    for name, array in arrays.items():
        if array is not None:
            getattr(module, name).data.copy_(torch.from_numpy(array))


@one_thread()
def _drive(obj, inputs):
    # A layer that is made draws its first weights from torch's random state: no fault of anyone.
    with torch.random.fork_rng(devices=[]):
        conv, norm = _build(inputs, inputs["device"])
        before, kind = _snapshot(conv, norm), [kinds(module) for module in (conv, norm)]
        parameters = [dict(module.named_parameters()) for module in (conv, norm)]
        options = settings(conv), settings(norm)
        seed = torch.initial_seed()
        conv.weight.grad = torch.ones_like(conv.weight)
        held_grad = {conv.weight: conv.weight.grad}
        folded = obj(conv, norm)
        if torch.initial_seed() != seed:
            raise Unusable("It seeds torch's global random state. Nothing here is random.")
    if not isinstance(folded, type(conv)):
        raise Unusable(f"It must return a {type(conv).__name__}. Received: {describe(folded)}.")
    after = _snapshot(conv, norm)
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    if changed:
        raise Unusable(f"It changes {changed[0]} that is given. Compute into new tensors.")
    if folded is conv:
        raise Unusable("It must return a new convolution. Received: the one that is given.")
    given = zip((conv, norm), options, parameters, kind, strict=True)
    for module, was, held, of_kind in given:
        require_settings(module, was)
        require_same_parameters(module, held)
        require_same_kinds(module, of_kind, f" of the {type(module).__name__} that is given")
        if any(each.grad is not held_grad.get(each) for each in held.values()):
            raise Unusable(
                f"It changes a gradient that stands in .grad of the {type(module).__name__} that "
                "is given. Nothing is trained here."
            )
    if "again" in inputs:
        _require_apart(folded, obj, inputs)
    if folded.bias is None:
        raise Unusable("The folded convolution has no bias; beta and the running mean need one.")
    x = tensor(inputs["x"], inputs["device"])
    for name, value in (("weight", folded.weight), ("bias", folded.bias)):
        if not isinstance(value, nn.Parameter):
            raise Unusable(
                f"The {name} of the folded convolution must be an nn.Parameter, as that of conv "
                f"is. Received: {describe(value)}."
            )
        if value.dtype != x.dtype or value.device != x.device:
            raise Unusable(
                f"The {name} of the folded convolution must be {x.dtype} on {x.device}, as that "
                f"of conv is. Received: {value.dtype} on {value.device}."
            )
    outputs = {"weight": folded.weight, "bias": folded.bias}
    with so_far(outputs):
        _require_same_convolution(folded, conv)
        outputs["y"] = _convolved(folded, x)
    return outputs


def _require_apart(folded, obj, inputs):
    """Raise Unusable if folding another convolution changes the one that was returned before."""
    before = {name: value.clone() for name, value in folded.state_dict().items()}
    with torch.random.fork_rng(devices=[]):
        obj(*_build(inputs | {"weight": 2 * inputs["weight"]}, inputs["device"]))
    if any(not torch.equal(value, before[name]) for name, value in folded.state_dict().items()):
        raise Unusable(
            "A second call changes the convolution that the first one returned. Make a new one in "
            "each call."
        )


def _require_same_convolution(folded, conv):
    """Raise Unusable unless a folded convolution has the options and the sizes of the old one."""
    for name in (*_GEOMETRY, *_SIZES):
        asked, have = getattr(conv, name), getattr(folded, name)
        if have != asked:
            raise Unusable(
                f"{name} of the folded convolution must be that of conv, {asked!r}. "
                f"Received: {have!r}."
            )
    if hooks(folded) > hooks(conv):
        raise Unusable("The folded convolution has a hook. Its weight and bias do all the work.")
    extra = sorted(folded.state_dict().keys() - {"weight", "bias"})
    if extra:
        raise Unusable(
            f"The folded convolution must hold weight and bias, and nothing else. New: {extra[0]}."
        )


def _convolved(folded, x):
    try:
        return called(folded, x)
    except RuntimeError as error:
        problem = str(error).splitlines()[0]
        raise Unusable(
            f"The folded convolution does not take the input that conv takes: {problem}"
        ) from None


def _snapshot(*modules):
    return {
        f"{name} of the {type(module).__name__}": value.clone()
        for module in modules
        for name, value in module.state_dict().items()
    }


@one_thread()
def _reference(inputs):
    inputs = cast(inputs, np.float64)
    outputs = len(inputs["weight"])
    gamma = np.ones(outputs) if inputs["gamma"] is None else inputs["gamma"]
    beta = np.zeros(outputs) if inputs["beta"] is None else inputs["beta"]
    bias = np.zeros(outputs) if inputs["bias"] is None else inputs["bias"]
    statistics = inputs["running_mean"], inputs["running_var"]
    weight, bias = fold_batchnorm(inputs["weight"], bias, gamma, beta, *statistics, inputs["eps"])
    # The convolution itself is torch's: the exercise is not about it.
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        z = _build(inputs, "cpu")[0](torch.from_numpy(inputs["x"])).numpy()
    y = layers.layer_inference(z, gamma, beta, *statistics, eps=inputs["eps"])
    return {"weight": weight, "bias": bias, "y": y}


def fold(conv, bn):
    std = torch.sqrt(bn.running_var + bn.eps)
    scale = 1 / std if bn.weight is None else bn.weight / std
    beta = 0 if bn.bias is None else bn.bias
    shift = 0 if conv.bias is None else conv.bias
    columns = scale.reshape(-1, *[1] * (conv.weight.dim() - 1))
    options = {
        "stride": conv.stride,
        "padding": conv.padding,
        "dilation": conv.dilation,
        "groups": conv.groups,
        "padding_mode": conv.padding_mode,
    }
    folded = type(conv)(conv.in_channels, conv.out_channels, conv.kernel_size, **options)
    new_weight = conv.weight * columns
    new_bias = beta + (shift - bn.running_mean) * scale
    folded.weight = nn.Parameter(new_weight)
    folded.bias = nn.Parameter(new_bias)
    return folded


slip = Right(fold).slip

_MISTAKES = (
    slip(
        "bias of the convolution forgotten",
        "The bias of the convolution is lost. Batch norm sees z + bias, so it is scaled too: "
        "(bias - mean) * scale.",
        "C7",
        new_bias="beta - bn.running_mean * scale",
    ),
    slip(
        "bias not scaled",
        "The bias of the convolution is not scaled. It passes through batch norm as the rest does: "
        "(bias - mean) * scale.",
        "C7",
        new_bias="beta + shift - bn.running_mean * scale",
    ),
    slip(
        "running mean forgotten",
        "The running mean is not subtracted. It becomes a part of the new bias.",
        "C7",
        new_bias="beta + shift * scale",
    ),
    slip(
        "running mean not scaled",
        "The running mean is subtracted without its scale: (bias - mean) * scale.",
        "C7",
        new_bias="beta + shift * scale - bn.running_mean",
    ),
    slip(
        "running mean added",
        "The running mean is added. Batch norm subtracts it: (bias - mean) * scale.",
        "C7",
        new_bias="beta + (shift + bn.running_mean) * scale",
    ),
    slip(
        "beta forgotten",
        "The bias of the batch norm, its beta, is lost. It is added last.",
        "C7",
        new_bias="(shift - bn.running_mean) * scale",
    ),
    slip(
        "beta scaled too",
        "The bias of the batch norm, its beta, is scaled. It is added last, as it is.",
        "C7",
        new_bias="(beta + shift - bn.running_mean) * scale",
    ),
    slip(
        "eps missing",
        "eps is missing under the root. The folded layer must use the eps of the batch norm.",
        "C7",
        std="torch.sqrt(bn.running_var)",
    ),
    slip(
        "eps of its own",
        "eps has a fixed value in the code. Take bn.eps.",
        "C7",
        std="torch.sqrt(bn.running_var + 1e-5)",
    ),
    slip(
        "small eps raised",
        "An eps below 1e-5 is raised to it, as by max(bn.eps, 1e-5). Take bn.eps as it is.",
        "C7",
        std="torch.sqrt(bn.running_var + max(bn.eps, 1e-5))",
    ),
    slip(
        "eps outside the root",
        hints.EPS_OUTSIDE_THE_RUNNING_ROOT,
        "C7",
        std="torch.sqrt(bn.running_var) + bn.eps",
    ),
    slip(
        "root missing",
        hints.ROOT_MISSING_IN_SCALE,
        "C7",
        std="bn.running_var + bn.eps",
    ),
    slip(
        "gamma forgotten",
        "The weight of the batch norm, its gamma, is lost. scale = gamma / sqrt(var + eps).",
        "C7",
        scale="1 / std",
    ),
    slip(
        "weight not scaled",
        "The weight of the convolution is not scaled. Each output channel has its own factor.",
        "C7",
        new_weight="conv.weight.detach().clone()",
    ),
    slip(
        "bias kept",
        "The bias is that of the convolution. The new one is beta + (bias - mean) * scale.",
        "C7",
        new_bias="torch.zeros_like(scale) + shift",
    ),
    slip(
        "scale along the inputs",
        "The scale runs along the input channels. Batch norm scales outputs, which are axis 0 of "
        "the weight.",
        "C7",
        columns="scale.reshape(1, -1, *[1] * (conv.weight.dim() - 2))",
    ),
    slip(
        "two dimensions only",
        "It works for Conv2d only. Give the scale as many axes as the weight has.",
        "C7",
        columns="scale.reshape(-1, 1, 1, 1)",
    ),
    slip(
        "a bias is expected",
        "A convolution without bias has conv.bias None, as it should before a batch norm. Take 0.",
        "C7",
        shift="conv.bias",
    ),
    slip(
        "affine is expected",
        "A batch norm with affine=False has weight and bias None. Take 1 and 0.",
        "C7",
        scale="bn.weight / std",
    ),
    slip(
        "stride, padding and dilation forgotten",
        "The new convolution lacks stride, padding or dilation of the old one. Copy the layer, or "
        "hand over every option.",
        "C7",
        options='{"groups": conv.groups}',
    ),
    slip(
        "groups forgotten",
        "The new convolution lacks the groups of the old one. Copy the layer, or hand over every "
        "option.",
        "C7",
        folded=Instead(
            'options.pop("groups")\n'
            "folded = type(conv)(conv.in_channels, conv.out_channels, conv.kernel_size, **options)"
        ),
    ),
    slip(
        "padding mode forgotten",
        "The new convolution lacks the padding_mode of the old one. Copy the layer, or hand over "
        "every option.",
        "C7",
        folded=Instead(
            'options.pop("padding_mode")\n'
            "folded = type(conv)(conv.in_channels, conv.out_channels, conv.kernel_size, **options)"
        ),
    ),
    slip(
        "convolution changed in place",
        "The convolution that is given is changed. Its owner may still need it: copy it first.",
        "L7",
        folded="conv",
    ),
    slip(
        "eps of the batch norm set to 0",
        "The eps of the batch norm that is given is changed. Its owner may still need it: compute "
        "from its numbers, and set none of them.",
        "L7",
        returns=Instead("bn.eps = 0.0\nreturn folded"),
    ),
    slip(
        "batch norm left in training mode",
        "The batch norm that is given leaves in training mode, and would forget what it has "
        "learned. Leave its mode alone.",
        "L7",
        returns=Instead("bn.train()\nreturn folded"),
    ),
    slip(
        "convolution frozen",
        "The weight of the convolution that is given does not train any more. For results without "
        "a graph, use torch.no_grad() or detach().",
        "L7",
        new_weight="conv.requires_grad_(False).weight * columns",
    ),
    slip(
        "pair returned",
        "A container of layers is returned. One convolution is asked, which does the work of both.",
        "L7",
        returns="nn.Sequential(folded, bn)",
    ),
)


def _signature(conv, bn):
    """The function that the student writes."""


fold_conv_bn = Exercise(
    name="fold_conv_bn",
    signature=inspect.signature(_signature),
    cases=_cases,
    drive=_drive,
    reference=_reference,
    see="L7",
    insight="The batch norm costs nothing now: one layer is left of two, with the same output.",
    mistakes=_MISTAKES,
    # Convolutions on a GPU may round float32 to 10 bits (TF32).
    tolerance={"float32": 2e-5, ("y", "float32"): 1e-2},
    takes_device=True,
)
