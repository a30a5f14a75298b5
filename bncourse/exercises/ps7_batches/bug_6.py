"""fix_the_bug_6: the biased variance is stored where PyTorch's is promised."""

import inspect

import numpy as np

from bncourse.exercise import FLOAT64_TOLERANCE, Case, Exercise, unpack
from bncourse.exercises import hints
from bncourse.exercises.ps7_batches.inputs import NEAR_A_MILLION
from bncourse.inputs import cast, running, scale_and_shift
from bncourse.reference import layers
from bncourse.slips import Instead, Right

_RETURNS = ("y", "running_mean", "running_var")


def _cases(rng):
    def given(n=4, channels=3, height=2, width=5, offset=0.0, scale=1.0, **options):
        shape = (n, channels, height, width)
        means, spreads = (rng.uniform(0.5, 2.0, (channels, 1, 1)) for _ in range(2))
        x = offset + scale * (means + spreads * rng.standard_normal(shape))
        more = scale_and_shift(rng, channels) | running(rng, channels)
        return {"x": x} | more | {"momentum": 0.1} | options

    return {
        "images": Case(given()),
        "momentum left at its default": Case(
            {name: value for name, value in given().items() if name != "momentum"}
        ),
        "another momentum": Case(given(momentum=0.3)),
        "momentum 1": Case(given(momentum=1.0)),
        "one image": Case(given(n=1)),
        "images of one pixel": Case(given(n=5, height=1, width=1)),
        "one channel": Case(given(channels=1)),
        "a large eps": Case(given(eps=0.5)),
        "mean near 1e6": Case(given(offset=1e6), **NEAR_A_MILLION),
        "float32": Case(cast(given(), np.float32), "float32"),
        "variances smaller than eps": Case(given(scale=1e-3)),
    }


def _reference(inputs):
    given = {"eps": 1e-5, "momentum": 0.1} | cast(inputs, np.float64)
    arrays = (given[name] for name in ("x", "gamma", "beta", "running_mean", "running_var"))
    step = layers.layer_training_step(*arrays, new_weight=given["momentum"], eps=given["eps"])
    return dict(zip(_RETURNS, step, strict=True))


# The page and the notebook show lines of 80 characters, under a longer name.
# fmt: off
def repaired(
    x, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5
):
    """Return what torch.nn.BatchNorm2d has after a step on images x."""
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = x.var(axis=(0, 2, 3), keepdims=True)
    scale, shift = gamma.reshape(mean.shape), beta.reshape(mean.shape)
    y = scale * (x - mean) / np.sqrt(var + eps) + shift
    new_mean, new_var = mean.ravel(), x.var(axis=(0, 2, 3), ddof=1)
    running_mean = (1 - momentum) * running_mean + momentum * new_mean
    running_var = (1 - momentum) * running_var + momentum * new_var
    return y, running_mean, running_var
# fmt: on


slip = Right(repaired).slip

BUG = Exercise(
    name="fix_the_bug_6",
    signature=inspect.signature(repaired),
    cases=_cases,
    drive=lambda obj, inputs: unpack(obj(**inputs), _RETURNS),
    reference=_reference,
    see="L1",
    insight="The difference is 1/n: large for a few vectors, hidden in a large batch of images.",
    normalised="batch",
    pure=True,
    tolerance={"float64": FLOAT64_TOLERANCE, "float32": 1e-5},
    mistakes=(
        slip(
            "biased variance stored",
            "running_var takes in the biased variance, which is right for y. PyTorch stores the "
            "unbiased one: n / (n - 1) times as large, n values to a channel.",
            "L1",
            new_mean_new_var="mean.ravel(), var.ravel()",
        ),
        slip(
            "cancellation",
            hints.CANCELLATION,
            "F15",
            var="(x**2).mean(axis=(0, 2, 3), keepdims=True) - mean**2",
        ),
        slip(
            "n counts the images",
            "n is the number of images. A channel has N H W values, and n counts them all.",
            "L1",
            new_mean_new_var="mean.ravel(), var.ravel() * len(x) / (len(x) - 1)",
        ),
        slip(
            "n counts the pixels",
            "n is the number of pixels of one image. Those of all images count.",
            "L1",
            new_mean_new_var="mean.ravel(), var.ravel() * x[0, 0].size / (x[0, 0].size - 1)",
        ),
        slip(
            "n counts the channels too",
            "n is the size of x, all channels together. Each channel is corrected by the number "
            "of its own values.",
            "L1",
            new_mean_new_var="mean.ravel(), var.ravel() * x.size / (x.size - 1)",
        ),
        slip(
            "correction upside down",
            "The factor is upside down: the unbiased variance is the larger one, n / (n - 1).",
            "L1",
            new_mean_new_var="mean.ravel(), var.ravel() ** 2 / x.var(axis=(0, 2, 3), ddof=1)",
        ),
        slip(
            "unbiased everywhere",
            "Now y is normalised with the unbiased variance too. Only what is stored is unbiased; "
            "y keeps the biased one.",
            "L1",
            var="x.var(axis=(0, 2, 3), keepdims=True, ddof=1)",
            new_mean_new_var="mean.ravel(), var.ravel()",
        ),
        slip(
            "corrected after the mixing",
            "The factor multiplies the running variance as a whole. Its old part was corrected "
            "when it came in: correct the new part only.",
            "L1",
            new_mean_new_var="mean.ravel(), var.ravel()",
            running_var="((1 - momentum) * running_var + momentum * new_var) "
            "/ (1 - x.shape[1] / x.size)",
        ),
        slip(
            "mean corrected too",
            "The mean is multiplied by n / (n - 1) as well. It is unbiased as it is.",
            "L1",
            new_mean_new_var="(mean.ravel(), var.ravel()) "
            "/ np.array(1 - x.shape[1] / x.size, x.dtype)",
        ),
        slip(
            "momentum reversed",
            hints.MOMENTUM_REVERSED,
            "L1",
            running_mean="momentum * running_mean + (1 - momentum) * new_mean",
            running_var="momentum * running_var + (1 - momentum) * new_var",
        ),
        slip(
            "in place",
            hints.X_OVERWRITTEN,
            "F3",
            y=Instead("x -= mean\ny = scale * x / np.sqrt(var + eps) + shift"),
        ),
    ),
)
