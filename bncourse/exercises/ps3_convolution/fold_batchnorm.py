"""The exercise fold_batchnorm: its cases and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.exercises.ps3_convolution.inputs import away_from_one, scale_and_shift
from bncourse.inputs import cast
from bncourse.reference import convolution


def _fold_cases(rng):
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
    by_columns = given(5, 3)
    return {
        "a linear layer": Case(given(4, 3) | {"eps": 1e-5}),
        "a square linear layer": Case(given(4, 4)),
        "a convolution, eps left at its default": Case(given(4, 3, 2, 5)),
        "a convolution with as many inputs as outputs": Case(given(3, 3, 5, 2)),
        "a convolution as high and wide as it has outputs": Case(given(3, 2, 3, 3)),
        "a pointwise convolution": Case(given(5, 3, 1, 1)),
        "a layer without bias": Case(given(4, 3) | {"bias": np.zeros(4)}),
        "a variance smaller than eps": Case(tiny | {"eps": 1e-5}),
        "a variance of zero": Case(given(4, 3, 2, 2) | {"var": np.zeros(4), "eps": 1e-3}),
        "a large eps": Case(given(4, 3) | {"eps": 0.5}),
        "stored column by column": Case(
            by_columns | {"weight": np.asfortranarray(by_columns["weight"])}
        ),
        "float32": Case(cast(given(4, 3, 2, 5), np.float32), "float32"),
    }


def fold_without_bias(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, beta - mean * scale


def fold_without_mean(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, beta + bias * scale


def fold_without_beta(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, (bias - mean) * scale


def fold_without_gamma(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = 1 / np.sqrt(var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, beta + (bias - mean) * scale


def fold_bias_not_scaled(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, bias + beta - mean * scale


def fold_mean_not_scaled(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, beta + bias * scale - mean


def fold_nothing_scaled_in_bias(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, bias - mean + beta


def fold_mean_added(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, beta + (bias + mean) * scale


def fold_without_eps(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, beta + (bias - mean) * scale


def fold_eps_outside(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / (np.sqrt(var) + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, beta + (bias - mean) * scale


def fold_without_root(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / (var + eps)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * column, beta + (bias - mean) * scale


def fold_input_axis(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    row = scale.reshape(1, -1, *[1] * (weight.ndim - 2))
    return weight * row, beta + (bias - mean) * scale


def fold_last_axis(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    return weight * scale, beta + (bias - mean) * scale


def fold_linear_only(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    return weight * scale[:, None], beta + (bias - mean) * scale


def fold_conv_only(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    return weight * scale[:, None, None, None], beta + (bias - mean) * scale


def fold_weight_unchanged(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    return weight.copy(), beta + (bias - mean) * scale


def fold_in_place(weight, bias, gamma, beta, mean, var, eps=1e-5):
    scale = gamma / np.sqrt(var + eps)
    weight *= scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight, beta + (bias - mean) * scale


EXERCISE = function_exercise(
    convolution.fold_batchnorm,
    returns=("weight", "bias"),
    cases=_fold_cases,
    see="C7",
    mistakes=[
        Mistake(
            "bias forgotten",
            fold_without_bias,
            "The old bias of the layer is lost. Batch norm saw it as part of its input: it is "
            "centred and scaled with the rest.",
            "C7",
        ),
        Mistake(
            "mean not subtracted",
            fold_without_mean,
            "The running mean is not subtracted. The new bias is beta + scale * (bias - mean).",
            "C7",
        ),
        Mistake(
            "beta missing",
            fold_without_beta,
            "beta is missing in the new bias.",
            "C7",
        ),
        Mistake(
            "gamma missing",
            fold_without_gamma,
            "gamma is missing in the scale: gamma / sqrt(var + eps).",
            "C7",
        ),
        Mistake(
            "bias not scaled",
            fold_bias_not_scaled,
            "The old bias is added as it was. Batch norm scales it like the rest of its input.",
            "C7",
        ),
        Mistake(
            "mean not scaled",
            fold_mean_not_scaled,
            "The mean is subtracted after the scaling. It is subtracted before: it lies inside the "
            "parentheses with the bias.",
            "C7",
        ),
        Mistake(
            "bias and mean not scaled",
            fold_nothing_scaled_in_bias,
            "The difference bias - mean is not scaled. Only beta stays as it is.",
            "C7",
        ),
        Mistake(
            "mean added",
            fold_mean_added,
            "The running mean is added. Batch norm subtracts it.",
            "C7",
        ),
        Mistake(
            "eps missing",
            fold_without_eps,
            "eps is missing under the root. The folded layer must divide by what the batch norm "
            "divided by: sqrt(var + eps).",
            "C7",
        ),
        Mistake(
            "eps outside the root",
            fold_eps_outside,
            "eps is added outside the root. It belongs to the variance: sqrt(var + eps).",
            "C7",
        ),
        Mistake(
            "root missing",
            fold_without_root,
            "The scale divides by the variance. Divide by its root.",
            "C7",
        ),
        Mistake(
            "inputs scaled",
            fold_input_axis,
            "The scale lies along axis 1 of the weight, the inputs. Batch norm works on the "
            "outputs of the layer: axis 0.",
            "C7",
        ),
        Mistake(
            "last axis scaled",
            fold_last_axis,
            "scale of shape (out,) meets the last axis of the weight. Give it one axis of length 1 "
            "for every other axis of the weight.",
            "C7",
        ),
        Mistake(
            "linear layers only",
            fold_linear_only,
            "scale[:, None] fits a weight with two axes. In a convolution it meets the kernel's "
            "height. Count the axes of the weight.",
            "C7",
        ),
        Mistake(
            "convolutions only",
            fold_conv_only,
            "scale[:, None, None, None] fits a weight with four axes only. Count the axes of the "
            "weight, so that linear layers work too.",
            "C7",
        ),
        Mistake(
            "weight unchanged",
            fold_weight_unchanged,
            "The weight comes back as it was. Every output is scaled, so its row of the weight is.",
            "C7",
        ),
        Mistake(
            "in place",
            fold_in_place,
            "The weight is changed in place. Return a new array: the model that is trained further "
            "still needs the old one.",
            "C7",
        ),
    ],
)
