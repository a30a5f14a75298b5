"""The exercise fold_batchnorm: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, function_exercise
from bncourse.exercises import hints
from bncourse.exercises.ps3_convolution.families import TOLERANCE, in_float32, own_eps
from bncourse.inputs import SMALL_EPS, away_from_one, cast, scale_and_shift
from bncourse.reference import convolution
from bncourse.slips import Instead, Right


def _cases(rng):
    def given(*shape):
        out = shape[0]
        return {
            "weight": rng.uniform(0.5, 2.0, shape) * rng.choice([-1, 1], shape),
            "bias": away_from_one(rng, out),
            **scale_and_shift(rng, out),
            "mean": rng.uniform(1.0, 3.0, out) * rng.choice([-1, 1], out),
            "var": rng.uniform(2.0, 4.0, out),
        }

    tiny = given(4, 3) | {"var": rng.uniform(0.5e-6, 2e-6, 4)}
    pruned = given(4, 3, 2, 2)
    pruned["gamma"][1] = 0.0
    by_columns = given(5, 3)
    return {
        "a linear layer": Case(given(4, 3) | {"eps": 1e-5}),
        "a square linear layer": Case(given(4, 4)),
        "a convolution, eps left at its default": Case(given(4, 3, 2, 5)),
        "a convolution with as many inputs as outputs": Case(given(3, 3, 5, 2)),
        "a convolution as high and wide as it has outputs": Case(given(3, 2, 3, 3)),
        "a pointwise convolution": Case(given(5, 3, 1, 1)),
        "a convolution over one axis": Case(given(4, 3, 5)),
        "a convolution over one axis, all lengths equal": Case(given(3, 3, 3)),
        "a convolution over three axes": Case(given(4, 3, 2, 3, 2)),
        "a convolution over three axes, all lengths equal": Case(given(2, 2, 2, 2, 2)),
        "one output": Case(given(1, 3)),
        "one input and one output": Case(given(1, 1, 3, 3)),
        "a layer without bias": Case(given(4, 3) | {"bias": np.zeros(4)}),
        "a variance smaller than eps": Case(tiny | {"eps": 1e-5}),
        "a variance of zero": Case(given(4, 3, 2, 2) | {"var": np.zeros(4), "eps": 1e-3}),
        "a large eps": Case(given(4, 3) | {"eps": 0.5}),
        "a gamma of zero": Case(pruned),
        "stored column by column": Case(
            by_columns | {"weight": np.asfortranarray(by_columns["weight"])}
        ),
        "float32": Case(cast(given(4, 3, 2, 5), np.float32), "float32"),
        "a small eps": Case(
            given(4, 3, 2, 2) | {"var": rng.uniform(0.5e-6, 2e-6, 4), "eps": SMALL_EPS}
        ),
    }


def fold_batchnorm(weight, bias, gamma, beta, mean, var, eps=1e-5):
    std = np.sqrt(var + eps)
    scale = gamma / std
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    new_weight = weight * column
    new_bias = beta + scale * (bias - mean)
    return new_weight, new_bias


RIGHT = Right(fold_batchnorm)
slip = RIGHT.slip

EXERCISE = function_exercise(
    convolution.fold_batchnorm,
    returns=("weight", "bias"),
    cases=_cases,
    see="C7",
    insight="At inference batch norm is free: its numbers fit into the weights before it.",
    tolerance=TOLERANCE,
    new_arrays=True,
    mistakes=[
        slip(
            "bias forgotten",
            "The old bias of the layer is lost. Batch norm saw it as part of its input: it is "
            "centred and scaled with the rest.",
            "C7",
            new_bias="beta - scale * mean",
        ),
        slip(
            "mean not subtracted",
            "The running mean is not subtracted. The new bias is beta + scale * (bias - mean).",
            "C7",
            new_bias="beta + scale * bias",
        ),
        slip(
            "bias and mean forgotten",
            "The new bias is beta alone. The old bias and the mean of the batch norm belong to it: "
            "beta + scale * (bias - mean).",
            "C7",
            new_bias="beta.copy()",
        ),
        slip(
            "bias unchanged",
            "The bias comes back as it was. Batch norm shifts and scales every output, so the bias "
            "changes with the weight.",
            "C7",
            new_bias="bias.copy()",
        ),
        slip(
            "beta missing",
            "beta is missing in the new bias.",
            "C7",
            new_bias="scale * (bias - mean)",
        ),
        slip(
            "beta scaled",
            "beta is scaled with the bias and the mean. Batch norm adds it after the scale.",
            "C7",
            new_bias="scale * (bias - mean + beta)",
        ),
        slip(
            "gamma missing",
            "gamma is missing in the scale: gamma / sqrt(var + eps).",
            "C7",
            scale="1 / std",
        ),
        slip(
            "gamma missing in the weight",
            "The bias is right, but the weight is only divided by the standard deviation. Both "
            "take the scale gamma / sqrt(var + eps).",
            "C7",
            column="(1 / std).reshape(-1, *[1] * (weight.ndim - 1))",
        ),
        slip(
            "gamma missing in the bias",
            "The weight is right, but the bias is only divided by the standard deviation. Both "
            "take the scale gamma / sqrt(var + eps).",
            "C7",
            new_bias="beta + (bias - mean) / std",
        ),
        slip(
            "bias not scaled",
            "The old bias is added as it was. Batch norm scales it like the rest of its input.",
            "C7",
            new_bias="beta + bias - scale * mean",
        ),
        slip(
            "mean not scaled",
            "The mean is subtracted after the scaling. It is subtracted before: it lies inside the "
            "parentheses with the bias.",
            "C7",
            new_bias="beta + scale * bias - mean",
        ),
        slip(
            "bias and mean not scaled",
            "The difference bias - mean is not scaled. Only beta stays as it is.",
            "C7",
            new_bias="beta + bias - mean",
        ),
        slip(
            "mean added",
            "The running mean is added. Batch norm subtracts it.",
            "C7",
            new_bias="beta + scale * (bias + mean)",
        ),
        slip(
            "eps missing",
            "eps is missing under the root. The folded layer must divide by what the batch norm "
            "divided by: sqrt(var + eps).",
            "C7",
            std="np.sqrt(var)",
        ),
        slip(
            "eps outside the root",
            hints.EPS_OUTSIDE_THE_ROOT,
            "C7",
            std="np.sqrt(var) + eps",
        ),
        *own_eps(slip, "C7", "std", "np.sqrt({})"),
        slip(
            "root missing",
            hints.ROOT_MISSING_IN_SCALE,
            "C7",
            std="var + eps",
        ),
        slip(
            "variance taken for a standard deviation",
            "The scale is gamma / var. var is a variance: divide by sqrt(var + eps).",
            "C7",
            std="var",
        ),
        slip(
            "multiplied by the standard deviation",
            "The scale multiplies by the standard deviation. Batch norm divides by it.",
            "C7",
            scale="gamma * std",
        ),
        slip(
            "inputs scaled",
            "The scale lies along axis 1 of the weight, the inputs. Batch norm works on the "
            "outputs of the layer: axis 0.",
            "C7",
            column="scale.reshape(1, -1, *[1] * (weight.ndim - 2))",
        ),
        slip(
            "last axis scaled",
            "scale of shape (out,) meets the last axis of the weight. Give it one axis of length 1 "
            "for every other axis of the weight.",
            "C7",
            column="scale",
        ),
        slip(
            "linear layers only",
            "scale[:, None] fits a weight with two axes. In a convolution it meets the kernel's "
            "height. Count the axes of the weight.",
            "C7",
            column="scale[:, None]",
        ),
        slip(
            "convolutions over one axis only",
            "The scale is reshaped to three axes whatever the weight has, which fits convolutions "
            "over one axis only: scale.reshape(-1, *[1] * (weight.ndim - 1)) fits all.",
            "C7",
            column="scale.reshape(-1, 1, 1)",
        ),
        slip(
            "convolutions only",
            "scale[:, None, None, None] fits a weight with four axes only. Count the axes of the "
            "weight, so that linear layers work too.",
            "C7",
            column="scale[:, None, None, None]",
        ),
        slip(
            "two or four axes only",
            "A weight that has not four axes is taken for one with two. A convolution over one "
            "axis has three, over three axes five. Count the axes of the weight: weight.ndim.",
            "C7",
            column="scale[:, None, None, None] if weight.ndim == 4 else scale[:, None]",
        ),
        slip(
            "four axes unless two",
            "A weight that has not two axes is taken for one with four. A convolution over one "
            "axis has three, over three axes five. Count the axes of the weight: weight.ndim.",
            "C7",
            column="scale[:, None] if weight.ndim == 2 else scale[:, None, None, None]",
        ),
        slip(
            "weight unchanged",
            "The weight comes back as it was. Every output is scaled, so its row of the weight is.",
            "C7",
            new_weight="weight.copy()",
        ),
        slip(
            "weight flattened",
            "The new weight has two axes, whatever the old one had. Reshape it back to the shape "
            "of the weight.",
            "C7",
            new_weight="weight.reshape(len(weight), -1) * scale[:, None]",
        ),
        slip(
            "squeezed",
            hints.squeezed(
                "one output, one input or a pointwise kernel is lost",
                "Return the shapes that came in.",
            ),
            "C7",
            returns="np.squeeze(new_weight), np.squeeze(new_bias)",
        ),
        slip(
            "in place",
            "The weight is changed in place. Return a new array: the model that is trained further "
            "still needs the old one.",
            "C7",
            new_weight=Instead("weight *= column\nnew_weight = weight"),
        ),
        slip(
            "bias in place",
            "The bias is changed in place. Return a new array: the model that is trained further "
            "still needs the old one.",
            "C7",
            new_bias=Instead("bias -= mean\nnew_bias = beta + scale * bias"),
        ),
        *in_float32(
            slip,
            "C7",
            "The scale is",
            rounded={"scale": "(gamma / std).astype(np.float32).astype(gamma.dtype)"},
            inside={
                "std": Instead(
                    "weight, bias, gamma, beta, mean, var = (\n"
                    "    v.astype(np.float32) for v in (weight, bias, gamma, beta, mean, var)\n"
                    ")\n"
                    "std = np.sqrt(var + eps)"
                )
            },
        ),
    ],
)
