"""fix_the_bug_2: axes of one layout of images, reduced in another."""

import inspect

import numpy as np

from bncourse.exercise import FLOAT64_TOLERANCE, Case, Exercise, unpack
from bncourse.exercises import hints
from bncourse.exercises.ps7_batches.inputs import NEAR_A_MILLION
from bncourse.inputs import cast, scale_and_shift
from bncourse.reference import layers
from bncourse.slips import Instead, Right


def _cases(rng):
    def given(n=4, height=3, width=5, channels=2, offset=0.0, scale=1.0, **options):
        shape = (n, height, width, channels)
        means, spreads = (rng.uniform(0.5, 2.0, shape[1:]) for _ in range(2))
        x = offset + scale * (means + spreads * rng.standard_normal(shape))
        return {"x": x} | scale_and_shift(rng, channels) | options

    square = given(channels=4, height=4, width=4)
    return {
        "images": Case(given()),
        "as many channels as rows and columns": Case(square),
        "many channels": Case(given(channels=8)),
        "one channel": Case(given(channels=1)),
        "one image": Case(given(n=1)),
        "images of one pixel": Case(given(n=6, height=1, width=1)),
        "a large eps": Case(given(eps=0.5)),
        "mean near 1e6": Case(given(offset=1e6), **NEAR_A_MILLION),
        "float32": Case(cast(given(), np.float32), "float32"),
        "variances smaller than eps": Case(given(scale=1e-3)),
    }


def _reference(inputs):
    given = {"eps": 1e-5} | cast(inputs, np.float64)
    y = layers.layer_training_step(
        **given, mean=0.0, var=0.0, new_weight=1.0, axis=-1, unbiased=False
    )[0]
    return {"y": y}


def repaired(x, gamma, beta, eps=1e-5):
    """Return batch norm of images x, (N, H, W, C); gamma, beta are (C,)."""
    axes = (0, 1, 2)
    mean = x.mean(axis=axes, keepdims=True)
    var = ((x - mean) ** 2).mean(axis=axes, keepdims=True)
    std = np.sqrt(var + eps)
    y = gamma * (x - mean) / std + beta
    return y


slip = Right(repaired).slip

BUG = Exercise(
    name="fix_the_bug_2",
    signature=inspect.signature(repaired),
    cases=_cases,
    drive=lambda obj, inputs: unpack(obj(**inputs), "y"),
    reference=_reference,
    see="C1",
    insight="Shapes agreed all along: keepdims lets any statistic meet x, the wrong one too.",
    pure=True,
    tolerance={"float64": FLOAT64_TOLERANCE, "float32": 1e-3},
    mistakes=(
        slip(
            "axes of channels first",
            "The axes 0, 2 and 3 are those of (N, C, H, W). Here the channels come last: what is "
            "left is axis 1, the rows of the images. Reduce all axes but the last.",
            "C1",
            axes="(0, 2, 3)",
        ),
        slip(
            "examples only",
            "The axis of the examples alone is reduced: each pixel has statistics of its own. "
            "Those of a channel are shared by all its pixels.",
            "C1",
            axes="(0,)",
        ),
        slip(
            "pixels only",
            "Each image has statistics of its own: that is instance norm. Reduce the axis of the "
            "examples too.",
            "C1",
            axes="(1, 2)",
        ),
        slip(
            "columns left out",
            "The axis of the columns, 2, is not reduced.",
            "C1",
            axes="(0, 1)",
        ),
        slip(
            "channels only",
            "The channels are reduced, and nothing else. Theirs is the one axis that stays.",
            "C1",
            axes="-1",
        ),
        slip(
            "all axes",
            "One mean and one variance serve all channels. Each channel has its own.",
            "C1",
            axes="(0, 1, 2, 3)",
        ),
        slip(
            "channels moved to the front",
            "The result has its channels in the front. Whoever hands in (N, H, W, C) wants it back "
            "like that.",
            "C1",
            returns="np.moveaxis(y, -1, 1)",
        ),
        slip(
            "unbiased variance",
            hints.UNBIASED_VARIANCE,
            "F2",
            var="x.var(axis=axes, keepdims=True, ddof=1)",
        ),
        slip(
            "cancellation",
            hints.CANCELLATION,
            "F15",
            var="(x**2).mean(axis=axes, keepdims=True) - mean**2",
        ),
        slip(
            "eps outside the root",
            hints.EPS_OUTSIDE_THE_ROOT,
            "F3",
            std="np.sqrt(var) + eps",
        ),
        slip(
            "in place",
            hints.X_OVERWRITTEN,
            "F3",
            y=Instead("x -= mean\ny = gamma * x / std + beta"),
        ),
    ),
)
