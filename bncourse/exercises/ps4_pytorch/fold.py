"""fold_conv_bn: one convolution that does what a convolution and the batch norm after it do."""

import inspect

import numpy as np
import torch
from torch import nn

from bncourse.exercise import Case, Exercise, Unusable, describe
from bncourse.exercises.ps4_pytorch.drive import TOLERANCE, called, mistakes, one_thread, tensor
from bncourse.inputs import cast, running, scale_and_shift
from bncourse.reference import layers
from bncourse.reference.convolution import fold_batchnorm

_CONVOLUTIONS = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}
_NORMS = {3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
# How a convolution moves over its input; a folded one must move alike.
_GEOMETRY = ("stride", "padding", "dilation", "groups", "padding_mode")


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

    tiny = given() | {"running_var": rng.uniform(0.5e-6, 2e-6, 5)}
    return {
        "a convolution with bias": Case(given()),
        "no bias": Case(given(bias=False)),
        "a large eps": Case(given(eps=0.5)),
        "a running variance smaller than eps": Case(tiny),
        "as many outputs as inputs": Case(given(outputs=3)),
        "affine=False": Case(given(affine=False)),
        "stride, padding and dilation": Case(given(stride=2, padding=1, dilation=2)),
        "groups": Case(given(outputs=6, inputs=4, groups=2)),
        "circular padding": Case(given(padding=1, padding_mode="circular")),
        "Conv1d": Case(given(kernel=(3,), size=(8,))),
        "Conv3d": Case(given(kernel=(2, 2, 2), size=(3, 4, 3))),
        "float32": Case(cast(given(), np.float32), "float32"),
    }


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
        before = _snapshot(conv, norm)
        folded = obj(conv, norm)
    if not isinstance(folded, type(conv)):
        raise Unusable(f"It must return a {type(conv).__name__}. Received: {describe(folded)}.")
    after = _snapshot(conv, norm)
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    if changed or folded is conv:
        raise Unusable("It changes the convolution or the batch norm it is given. Make a new one.")
    if folded.bias is None:
        raise Unusable("The folded convolution has no bias; beta and the running mean need one.")
    y = called(folded, tensor(inputs["x"], inputs["device"]))
    return {"weight": folded.weight, "bias": folded.bias, "y": y}


def _snapshot(*modules):
    return {
        f"{index} {name}": value.clone()
        for index, module in enumerate(modules)
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


_FOLD = """\
def fold_conv_bn(conv, bn):
    std = torch.sqrt(bn.running_var + bn.eps)
    scale = 1 / std if bn.weight is None else bn.weight / std
    shift = 0 if bn.bias is None else bn.bias
    bias = 0 if conv.bias is None else conv.bias
    folded = copy.deepcopy(conv)
    columns = scale.reshape(-1, *[1] * (conv.weight.dim() - 1))
    folded.weight = nn.Parameter(conv.weight * columns)
    folded.bias = nn.Parameter(shift + (bias - bn.running_mean) * scale)
    return folded
"""

_NEW_LAYER = (
    "folded = copy.deepcopy(conv)",
    "folded = type(conv)(\n"
    "        conv.in_channels,\n"
    "        conv.out_channels,\n"
    "        conv.kernel_size,\n"
    "        stride=conv.stride,\n"
    "        padding=conv.padding,\n"
    "        dilation=conv.dilation,\n"
    "        groups=conv.groups,\n"
    "        padding_mode=conv.padding_mode,\n"
    "    )",
)

_MISTAKES = (
    (
        "bias of the convolution forgotten",
        [("shift + (bias - bn.running_mean) * scale", "shift - bn.running_mean * scale")],
        "The bias of the convolution is lost. Batch norm sees z + bias, so it is scaled too: "
        "(bias - mean) * scale.",
        "C7",
    ),
    (
        "bias not scaled",
        [("shift + (bias - bn.running_mean) * scale", "shift + bias - bn.running_mean * scale")],
        "The bias of the convolution is not scaled. It passes through batch norm as the rest does: "
        "(bias - mean) * scale.",
        "C7",
    ),
    (
        "running mean forgotten",
        [("(bias - bn.running_mean) * scale", "bias * scale")],
        "The running mean is not subtracted. It becomes a part of the new bias.",
        "C7",
    ),
    (
        "running mean not scaled",
        [("shift + (bias - bn.running_mean) * scale", "shift + bias * scale - bn.running_mean")],
        "The running mean is subtracted without its scale: (bias - mean) * scale.",
        "C7",
    ),
    (
        "beta forgotten",
        [("shift + (bias", "(bias")],
        "The bias of the batch norm, its beta, is lost. It is added last.",
        "C7",
    ),
    (
        "eps missing",
        [("bn.running_var + bn.eps", "bn.running_var")],
        "eps is missing under the root. The folded layer must use the eps of the batch norm.",
        "C7",
    ),
    (
        "eps of its own",
        [("bn.running_var + bn.eps", "bn.running_var + 1e-5")],
        "eps has a fixed value in the code. Take bn.eps.",
        "C7",
    ),
    (
        "eps outside the root",
        [("torch.sqrt(bn.running_var + bn.eps)", "torch.sqrt(bn.running_var) + bn.eps")],
        "eps is added outside the root. It belongs to the variance: sqrt(running_var + eps).",
        "C7",
    ),
    (
        "root missing",
        [("torch.sqrt(bn.running_var + bn.eps)", "(bn.running_var + bn.eps)")],
        "The scale divides by the variance. Divide by its root.",
        "C7",
    ),
    (
        "gamma forgotten",
        [("1 / std if bn.weight is None else bn.weight / std", "1 / std")],
        "The weight of the batch norm, its gamma, is lost. scale = gamma / sqrt(var + eps).",
        "C7",
    ),
    (
        "weight not scaled",
        [("conv.weight * columns", "conv.weight.detach().clone()")],
        "The weight of the convolution is not scaled. Each output channel has its own factor.",
        "C7",
    ),
    (
        "bias kept",
        [
            (
                "nn.Parameter(shift + (bias - bn.running_mean) * scale)",
                "nn.Parameter(torch.zeros_like(scale) + bias)",
            ),
        ],
        "The bias is that of the convolution. The new one is beta + (bias - mean) * scale.",
        "C7",
    ),
    (
        "scale along the inputs",
        [
            (
                "scale.reshape(-1, *[1] * (conv.weight.dim() - 1))",
                "scale.reshape(1, -1, *[1] * (conv.weight.dim() - 2))",
            )
        ],
        "The scale runs along the input channels. Batch norm scales outputs, which are axis 0 of "
        "the weight.",
        "C7",
    ),
    (
        "two dimensions only",
        [("scale.reshape(-1, *[1] * (conv.weight.dim() - 1))", "scale.reshape(-1, 1, 1, 1)")],
        "It works for Conv2d only. Give the scale as many axes as the weight has.",
        "C7",
    ),
    (
        "a bias is expected",
        [("0 if conv.bias is None else conv.bias", "conv.bias")],
        "A convolution without bias has conv.bias None, as it should before a batch norm. Take 0.",
        "C7",
    ),
    (
        "affine is expected",
        [("1 / std if bn.weight is None else bn.weight / std", "bn.weight / std")],
        "A batch norm with affine=False has weight and bias None. Take 1 and 0.",
        "C7",
    ),
    (
        "stride, padding and dilation forgotten",
        [
            _NEW_LAYER,
            (
                "        stride=conv.stride,\n"
                "        padding=conv.padding,\n"
                "        dilation=conv.dilation,\n",
                "",
            ),
            ("        padding_mode=conv.padding_mode,\n", ""),
        ],
        "The new convolution lacks stride, padding or dilation of the old one. Copy the layer, or "
        "hand over every option.",
        "C7",
    ),
    (
        "groups forgotten",
        [_NEW_LAYER, ("        groups=conv.groups,\n", "")],
        "The new convolution lacks the groups of the old one. Copy the layer, or hand over every "
        "option.",
        "C7",
    ),
    (
        "padding mode forgotten",
        [_NEW_LAYER, ("        padding_mode=conv.padding_mode,\n", "")],
        "The new convolution lacks the padding_mode of the old one. Copy the layer, or hand over "
        "every option.",
        "C7",
    ),
    (
        "convolution changed in place",
        [("copy.deepcopy(conv)", "conv")],
        "The convolution that is given is changed. Its owner may still need it: copy it first.",
        "L7",
    ),
    (
        "pair returned",
        [("return folded", "return nn.Sequential(folded, bn)")],
        "Convolution and batch norm are returned as a pair. One layer is asked.",
        "L7",
    ),
)


fold_conv_bn = Exercise(
    name="fold_conv_bn",
    signature=inspect.signature(lambda conv, bn: None),
    cases=_cases,
    drive=_drive,
    reference=_reference,
    see="L7",
    mistakes=mistakes(_FOLD, "fold_conv_bn", _MISTAKES),
    # Convolutions on a GPU may round float32 to 10 bits (TF32).
    tolerance=TOLERANCE | {("y", "float32"): 1e-2},
    takes_device=True,
)
