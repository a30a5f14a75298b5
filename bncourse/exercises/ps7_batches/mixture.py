"""The exercise batch_layer_norm: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.exercises import hints
from bncourse.exercises.ps7_batches.inputs import (
    NEAR_A_MILLION,
    TOLERANCE,
    in_float32,
    scale_and_shift_slips,
)
from bncourse.inputs import batch, cast, running, scale_and_shift
from bncourse.reference import batches
from bncourse.slips import Instead, Right

SEE = "A3"


def _cases(rng):
    def given(n=8, d=5, **options):
        # Examples differ in mean and scale too, so that the two parts do.
        x = batch(rng, n=n, d=d, **options) * rng.uniform(0.5, 2.0, (n, 1))
        return {"x": x, **scale_and_shift(rng, d), "batch_size": n}

    far = given()
    far["x"] += 1e6
    return {
        "a batch of eight": Case(given() | {"eps": 1e-3}),
        "a batch of two, eps left at its default": Case(given(n=2)),
        "a batch of one": Case(given(n=1) | {"eps": 1e-3}),
        "another batch size than that of training": Case(given() | {"batch_size": 25}),
        "batch statistics of the population": Case(given() | running(rng, 5)),
        "one example, population, batch size of training": Case(
            given(n=1) | running(rng, 5) | {"batch_size": 4}
        ),
        # At both ends a weight is below zero, as the formula has it.
        "a layer trained one by one": Case(given() | running(rng, 5) | {"batch_size": 1}),
        "a batch size of 20,000": Case(given() | {"batch_size": 20_000}),
        "mean of the population only": Case(
            given() | {"running_mean": running(rng, 5)["running_mean"]}
        ),
        # Its variance is 0, so eps alone is under the root.
        "one example, mean of the population": Case(
            given(n=1) | {"running_mean": running(rng, 5)["running_mean"], "batch_size": 4}
        ),
        "variance of the population only": Case(
            given() | {"running_var": running(rng, 5)["running_var"]}
        ),
        "one feature": Case(given(d=1)),
        "N equal to D": Case(given(n=5)),
        "variances smaller than eps": Case(given(scale=1e-2) | {"eps": 1e-3}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "float32": Case(cast(given(), np.float32), "float32"),
        "mean near 1e6": Case(far, **NEAR_A_MILLION),
        "statistics of a new layer": Case(
            given() | {"running_mean": np.zeros(5), "running_var": np.ones(5)}
        ),
        "a small eps": Case(given(scale=1e-2) | {"eps": 1e-5}),
    }


def batch_layer_norm(x, gamma, beta, batch_size, running_mean=None, running_var=None, eps=1e-3):
    small = 1e-4
    mean_b = x.mean(axis=0) if running_mean is None else running_mean
    var_b = x.var(axis=0) if running_var is None else running_var
    mean_f = x.mean(axis=1, keepdims=True)
    var_f = x.var(axis=1, keepdims=True)
    std_b = np.sqrt(var_b + eps)
    std_f = np.sqrt(var_f + eps)
    by_batch = (x - mean_b) / std_b
    by_example = (x - mean_f) / std_f
    w = 1 / batch_size
    of_example = w - small
    of_batch = 1 - w - small
    mixed = of_example * by_example + of_batch * by_batch
    x_hat = mixed / np.sqrt(x.shape[1])
    y = gamma * x_hat + beta
    return y


def in_place(x, gamma, beta, batch_size, running_mean=None, running_var=None, eps=1e-3):
    mean = x.mean(axis=0) if running_mean is None else running_mean
    var = x.var(axis=0) if running_var is None else running_var
    by_batch = (x - mean) / np.sqrt(var + eps)
    x -= x.mean(axis=1, keepdims=True)
    by_example = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + eps)
    w = 1 / batch_size
    mixed = (w - 1e-4) * by_example + (1 - w - 1e-4) * by_batch
    return gamma * mixed / np.sqrt(x.shape[1]) + beta


def one_after_the_other(x, gamma, beta, batch_size, running_mean=None, running_var=None, eps=1e-3):
    mean = x.mean(axis=0) if running_mean is None else running_mean
    var = x.var(axis=0) if running_var is None else running_var
    by_batch = (x - mean) / np.sqrt(var + eps)
    centred = by_batch - by_batch.mean(axis=1, keepdims=True)
    by_example = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + eps)
    w = 1 / batch_size
    mixed = (w - 1e-4) * by_example + (1 - w - 1e-4) * by_batch
    return gamma * mixed / np.sqrt(x.shape[1]) + beta


RIGHT = Right(batch_layer_norm)
slip = RIGHT.slip

EXERCISE = function_exercise(
    batches.batch_layer_norm,
    returns="y",
    cases=_cases,
    see=SEE,
    insight="At a batch of 25 it is batch norm for 96 percent, at a batch of 1 layer norm alone.",
    tolerance=TOLERANCE,
    mistakes=[
        slip(
            "weights swapped",
            "The weights have changed places: 1 / batch_size belongs to the statistics of the "
            "example, so that a batch of one is layer norm.",
            SEE,
            of_example="1 - w - small",
            of_batch="w - small",
        ),
        slip(
            "halves",
            "Both parts weigh a half, whatever the batch size. The example weighs 1 / batch_size.",
            SEE,
            w="0.5",
        ),
        slip(
            "batch size taken from x",
            "The weight is one over the number of examples in x. It is 1 / batch_size: at "
            "inference x may hold one example, and the layer stays that of training.",
            SEE,
            w="1 / len(x)",
        ),
        slip(
            "weight from the features",
            "The weight is one over the number of features. It is 1 / batch_size.",
            SEE,
            w="1 / x.shape[1]",
        ),
        slip(
            "1e-4 missing",
            "The weights are 1 / batch_size and 1 - 1 / batch_size. The formula takes 1e-4 off "
            "both.",
            SEE,
            small="0.0",
        ),
        slip(
            "1e-4 added to one",
            "The two weights add up to 1: 1e-4 is taken off one and given to the other. It is "
            "taken off both.",
            SEE,
            of_batch="1 - (w - small)",
        ),
        slip(
            "1e-4 off the example only",
            "1e-4 is taken off the weight of the example only. It is taken off both.",
            SEE,
            of_batch="1 - w",
        ),
        slip(
            "1e-4 off the batch only",
            "1e-4 is taken off the weight of the batch only. It is taken off both.",
            SEE,
            of_example="w",
        ),
        slip(
            "root of D missing",
            "The mixture is not divided by the root of D.",
            SEE,
            x_hat="mixed",
        ),
        slip(
            "divided by D",
            "The mixture is divided by D. Divide by its root.",
            SEE,
            x_hat="mixed / x.shape[1]",
        ),
        slip(
            "divided by the root of N",
            "The mixture is divided by the root of the number of examples. D is the number of "
            "features, x.shape[1].",
            SEE,
            x_hat="mixed / np.sqrt(len(x))",
        ),
        slip(
            "divided by the root of batch_size",
            "The mixture is divided by the root of batch_size. D is the number of features, "
            "x.shape[1].",
            SEE,
            x_hat="mixed / np.sqrt(batch_size)",
        ),
        slip(
            "y divided by the root of D",
            "beta is divided by the root of D too. Divide the mixture, then scale and shift.",
            SEE,
            x_hat="mixed",
            y="(gamma * x_hat + beta) / np.sqrt(x.shape[1])",
        ),
        slip(
            "batch norm alone",
            "The part with the statistics of the example is missing.",
            SEE,
            mixed="of_batch * by_batch",
        ),
        slip(
            "layer norm alone",
            "The part with the statistics of the batch is missing.",
            SEE,
            mixed="of_example * by_example",
        ),
        slip(
            "statistics mixed",
            "Means and variances are mixed, then used once. Normalise twice, and mix what comes "
            "out.",
            SEE,
            mixed="(x - (of_example * mean_f + of_batch * mean_b))"
            " / np.sqrt(of_example * var_f + of_batch * var_b + eps)",
        ),
        Mistake(
            "one after the other",
            one_after_the_other,
            "Layer norm is applied to what batch norm hands on. Both start from x.",
            SEE,
        ),
        slip(
            "population ignored",
            "running_mean and running_var are ignored. Where one is given, it stands for the "
            "statistic of the batch.",
            SEE,
            mean_b="x.mean(axis=0)",
            var_b="x.var(axis=0)",
        ),
        slip(
            "both or none",
            "running_mean or running_var alone is ignored. Each stands for its statistic on its "
            "own.",
            SEE,
            mean_b="running_mean if running_mean is not None and running_var is not None"
            " else x.mean(axis=0)",
            var_b="running_var if running_mean is not None and running_var is not None"
            " else x.var(axis=0)",
        ),
        slip(
            "variance around the running mean",
            "The variance of the batch is taken around running_mean. A variance is taken around "
            "the batch's own mean.",
            SEE,
            var_b="((x - mean_b) ** 2).mean(axis=0) if running_var is None else running_var",
        ),
        slip(
            "running_var taken for a deviation",
            "running_var is used as a standard deviation. Take the root of running_var + eps.",
            SEE,
            std_b="np.sqrt(var_b + eps) if running_var is None else running_var",
        ),
        slip(
            "eps missing beside running_var",
            "eps is not added to running_var. Add it to every variance.",
            SEE,
            std_b="np.sqrt(var_b + eps) if running_var is None else np.sqrt(var_b)",
        ),
        slip(
            "unbiased variance",
            "A variance is the unbiased one. Use the biased one for both parts, divided by the "
            "full count.",
            SEE,
            var_b="x.var(axis=0, ddof=min(1, len(x) - 1)) if running_var is None else running_var",
            var_f="x.var(axis=1, keepdims=True, ddof=min(1, x.shape[1] - 1))",
        ),
        slip(
            "unbiased variance of the batch",
            hints.UNBIASED_VARIANCE,
            SEE,
            var_b="x.var(axis=0, ddof=min(1, len(x) - 1)) if running_var is None else running_var",
        ),
        slip(
            "eps missing",
            "eps is missing under the roots. With one example or one feature a variance is zero.",
            SEE,
            std_b="np.sqrt(var_b)",
            std_f="np.sqrt(var_f)",
        ),
        slip(
            "eps outside the root",
            hints.EPS_OUTSIDE_THE_ROOT,
            SEE,
            std_b="np.sqrt(var_b) + eps",
            std_f="np.sqrt(var_f) + eps",
        ),
        slip(
            "eps ignored, 1e-5",
            hints.own_value("eps", "1e-5"),
            SEE,
            std_b="np.sqrt(var_b + 1e-5)",
            std_f="np.sqrt(var_f + 1e-5)",
        ),
        slip(
            "eps ignored, 1e-3",
            hints.own_value("eps", "1e-3"),
            SEE,
            std_b="np.sqrt(var_b + 1e-3)",
            std_f="np.sqrt(var_f + 1e-3)",
        ),
        slip(
            "another default for eps",
            "eps has the default 1e-5 of PyTorch's batch norm, and not the 1e-3 of the task: who "
            "leaves eps out gets another result.",
            SEE,
            eps="1e-5",
        ),
        slip(
            "root missing",
            hints.ROOT_MISSING,
            SEE,
            std_b="var_b + eps",
            std_f="var_f + eps",
        ),
        slip(
            "cancellation",
            hints.CANCELLATION,
            SEE,
            var_b="(x**2).mean(axis=0) - x.mean(axis=0) ** 2 if running_var is None "
            "else running_var",
            var_f="(x**2).mean(axis=1, keepdims=True) - mean_f**2",
        ),
        *scale_and_shift_slips(slip, SEE),
        Mistake("in place", in_place, hints.X_OVERWRITTEN, SEE),
        *in_float32(
            slip,
            SEE,
            "The batch is",
            rounded={"small": Instead("small = 1e-4\nx = x.astype(np.float32).astype(x.dtype)")},
            inside={"small": Instead("small = 1e-4\nx = x.astype(np.float32)")},
        ),
    ],
)
