"""The exercise BatchNormalization: a batch-norm layer in Keras."""

import inspect
import math

import numpy as np

from bncourse.exercise import Case, Exercise, Mistake
from bncourse.exercises.ps5_keras import layer_mistakes as wrong
from bncourse.exercises.ps5_keras.drive import STATE, drive_layer
from bncourse.inputs import batch, cast, scale_and_shift, upstream
from bncourse.reference.layers import (
    from_features,
    layer_backward,
    layer_inference,
    layer_training_step,
)

STEPS = 2
DEFAULTS = {"axis": -1, "momentum": 0.99, "epsilon": 1e-3, "center": True, "scale": True}


def _signature(axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
    """The constructor; kwargs are those of keras.layers.Layer."""


# --- cases ------------------------------------------------------------------------------------


def _given(rng, shape=(7, 4), dtype="float32", rebuild="", offset=0.0, spread=1.0, **options):
    axis = options.get("axis", -1)
    channels = shape[axis]
    rows = math.prod(shape) // channels

    def x():
        return from_features(batch(rng, rows, channels, offset, spread), shape, axis)

    def dy():
        return from_features(upstream(rng, rows, channels), shape, axis)

    given = {
        "x": np.stack([x() for _ in range(STEPS)]),
        "dy": np.stack([dy() for _ in range(STEPS)]),
        "x_new": x(),
        **scale_and_shift(rng, channels),
        "moving_mean": offset + rng.uniform(1.0, 3.0, channels),
        "moving_variance": spread**2 * rng.uniform(2.0, 4.0, channels),
        "dtype": dtype,
        "rebuild": rebuild,
        **options,
    }
    return cast(given, np.float32)


def _half(rng, dtype, shape=(40, 4), grid=1.0, momentum=0.5, **options):
    """Return inputs on a grid that a half type holds exactly, but not their statistics."""
    given = _given(rng, shape, dtype, momentum=momentum, **options)
    exact = {name: grid * np.rint(given[name] / grid) for name in ("x", "x_new")}
    return cast(given | exact | {"dy": np.rint(8 * given["dy"]) / 8}, np.float32)


def _cases(rng):
    far = _given(rng, (50, 4), offset=1e4, momentum=0.5)
    # dtype stands for all arguments of keras.layers.Layer that a config must hold.
    rebuilt = {"dtype": "mixed_float16", "shape": (4, 5, 3), "grid": 1 / 16, "axis": 1}
    rebuilt |= {"momentum": 0.7, "epsilon": 0.5}
    inputs = {
        "a batch": _given(rng),
        "momentum and epsilon given": _given(rng, momentum=0.6, epsilon=0.3),
        "a variance smaller than epsilon": _given(rng, spread=1e-2),
        "sequences (N, T, C)": _given(rng, (4, 3, 5)),
        "images (N, H, W, C)": _given(rng, (4, 2, 3, 5)),
        "images (N, C, H, W) with axis=1": _given(rng, (4, 5, 2, 3), axis=1),
        "center=False": _given(rng, center=False, momentum=0.8),
        "scale=False": _given(rng, scale=False, momentum=0.8),
    }
    half = {
        "mixed_float16": _half(rng, "mixed_float16", offset=1000.0, spread=2.0),
        "rebuilt from get_config": _half(rng, rebuild="config", center=False, **rebuilt),
        "saved and loaded": _half(rng, rebuild="file", scale=False, **rebuilt),
    }
    bfloat = _half(rng, "mixed_bfloat16", offset=190.0, spread=2.0)
    return {
        **{name: Case(given, "float32") for name, given in inputs.items()},
        # float32 holds x to 1e-3 here, and dgamma adds up that error over the batch.
        "mean near 1e4": Case(far, "float32", rtol=0.4, noisy=True),
        **{name: Case(given, "float16") for name, given in half.items()},
        "mixed_bfloat16": Case(bfloat, "bfloat16"),
    }


# --- reference --------------------------------------------------------------------------------


def _reference(inputs):
    given = DEFAULTS | cast(inputs, np.float64)
    channels = given["gamma"].shape
    kept = {"gamma": given["scale"], "beta": given["center"], **dict.fromkeys(STATE, True)}
    starts = {"gamma": 1.0, "beta": 0.0, "moving_mean": 0.0, "moving_variance": 1.0}
    outputs = {
        f"{name} at the start": np.full(channels, starts[name]) for name in kept if kept[name]
    }
    given |= {name: np.full(channels, starts[name]) for name in kept if not kept[name]}
    state = tuple(given[name] for name in STATE)
    for step, (x, dy) in enumerate(zip(given["x"], given["dy"], strict=True), start=1):
        moment = f"in training step {step}"
        y, *state = _train(given, x, state)
        gradients = _gradients(given, x, dy)
        outputs |= {f"y {moment}": y, f"dx {moment}": gradients["dx"]}
        outputs |= {
            f"d{name} {moment}": gradients[f"d{name}"] for name in ("gamma", "beta") if kept[name]
        }
        outputs |= _state(state, moment)
    y = _infer(given, given["x_new"], state)
    outputs |= {"y at inference": y, "y with training left out": y}
    outputs |= _state(state, "after inference")
    if given["rebuild"]:
        of = "of the rebuilt layer"
        outputs[f"y {of}"] = y
        outputs |= _state(_train(given, given["x_new"], state)[1:], f"{of} after a training step")
    outputs["y with trainable=False"] = _infer(given, given["x"][0], state)
    return outputs | _state(state, "with trainable=False")


def _train(given, x, state):
    return layer_training_step(
        x,
        given["gamma"],
        given["beta"],
        *state,
        new_weight=1 - given["momentum"],
        eps=given["epsilon"],
        axis=given["axis"],
        unbiased=False,
    )


def _infer(given, x, state):
    return layer_inference(
        x, given["gamma"], given["beta"], *state, eps=given["epsilon"], axis=given["axis"]
    )


def _gradients(given, x, dy):
    arrays = layer_backward(dy, x, given["gamma"], eps=given["epsilon"], axis=given["axis"])
    return dict(zip(("dx", "dgamma", "dbeta"), arrays, strict=True))


def _state(state, moment):
    return {f"{name} {moment}": value for name, value in zip(STATE, state, strict=True)}


# --- tolerance --------------------------------------------------------------------------------

# Keras computes in float32, also in a layer with dtype="float64". Under mixed precision the output
# is rounded to the half type, but the statistics are float32.
_MOMENTS = (
    *(f"in training step {step}" for step in range(1, STEPS + 1)),
    "after inference",
    "with trainable=False",
    "of the rebuilt layer after a training step",
)
_STATE_TOLERANCE = {"moving_mean": 1e-5, "moving_variance": 1e-4}
TOLERANCE = {
    "float32": 2e-4,
    "float16": 1e-2,
    "bfloat16": 4e-2,
    **{
        (f"{name} {moment}", dtype): tolerance
        for name, tolerance in _STATE_TOLERANCE.items()
        for moment in _MOMENTS
        for dtype in ("float16", "bfloat16")
    },
}


# --- mistakes ---------------------------------------------------------------------------------

MISTAKES = (
    Mistake(
        "momentum reversed",
        wrong.MomentumReversed,
        "momentum weighs the new statistics, as in PyTorch. In Keras it weighs the old ones: "
        "momentum * old + (1 - momentum) * new.",
        "L4",
    ),
    Mistake(
        "unbiased variance stored",
        wrong.UnbiasedStored,
        "The moving variance takes in the unbiased variance, as PyTorch's does. Keras stores the "
        "biased one, divided by the number of values.",
        "L4",
    ),
    Mistake(
        "PyTorch's rule",
        wrong.TorchRule,
        "This is PyTorch's rule: momentum weighs the new value and the stored variance is "
        "unbiased. Keras's momentum weighs the old value, and its variance is biased.",
        "L4",
    ),
    Mistake(
        "unbiased variance in normalisation",
        wrong.UnbiasedUsed,
        "The batch is normalised with the unbiased variance. Use the biased one, divided by the "
        "number of values, to normalise and to store.",
        "F2",
    ),
    Mistake(
        "epsilon ignored",
        wrong.EpsilonIgnored,
        "The argument epsilon is ignored; 1e-5, PyTorch's default, stands in the code. Use the "
        "argument. Keras's default is 1e-3.",
        "F3",
    ),
    Mistake(
        "epsilon missing",
        wrong.EpsilonMissing,
        "epsilon is missing. Add it to the variance, under the root, in training and at inference.",
        "F3",
    ),
    Mistake(
        "epsilon outside the root",
        wrong.EpsilonOutside,
        "epsilon is added outside the root. It belongs to the variance: sqrt(variance + epsilon).",
        "F3",
    ),
    Mistake(
        "root missing",
        wrong.RootMissing,
        "The result is divided by the variance. Divide by its root.",
        "F3",
    ),
    Mistake(
        "batch statistics at inference",
        wrong.BatchStatisticsAtInference,
        "At inference the statistics of the batch are used. Take the moving ones: the answer for "
        "one example must not depend on its neighbours.",
        "F7",
    ),
    Mistake(
        "moving statistics in training",
        wrong.MovingStatisticsInTraining,
        "In training the batch is normalised with the moving statistics. Take those of the batch; "
        "the moving ones are only updated there.",
        "F3",
    ),
    Mistake(
        "training argument missing",
        wrong.TrainingArgumentMissing,
        "call has no argument training, so the layer trains at inference too. Keras passes the "
        "mode through call(self, inputs, training=None).",
        "F7",
    ),
    Mistake(
        "trains by default",
        wrong.TrainsByDefault,
        "The default is training=True. When nobody names the mode, a Keras layer is at inference: "
        "make the default None or False.",
        "F7",
    ),
    Mistake(
        "never updated",
        wrong.NeverUpdated,
        "The moving statistics stay at their first values. Mix in those of each training batch.",
        "L4",
    ),
    Mistake(
        "updated at inference",
        wrong.UpdatedAtInference,
        "The moving statistics change at inference. Update them in training only.",
        "L4",
    ),
    Mistake(
        "assigned with =",
        wrong.AssignedWithEquals,
        "The moving statistics are set with =, which puts a tensor in the place of the variable. "
        "Call the variable's assign, so that it is saved, loaded and seen by Keras.",
        "L4",
    ),
    Mistake(
        "trainable=False ignored",
        wrong.TrainableIgnored,
        "A layer with trainable=False still trains: it takes the statistics of the batch and "
        "updates the moving ones. In Keras it then runs in inference mode. Look at self.trainable.",
        "L4",
    ),
    Mistake(
        "frozen layer uses the batch",
        wrong.FrozenUsesBatch,
        "With trainable=False the moving statistics rest, but the batch is still normalised with "
        "its own. A frozen batch norm in Keras runs in inference mode, whatever training says.",
        "L4",
    ),
    Mistake(
        "axis ignored",
        wrong.AxisIgnored,
        "The argument axis is ignored; the last axis is always taken for the channels. Reduce all "
        "axes but self.axis.",
        "C1",
    ),
    Mistake(
        "only the first axis reduced",
        wrong.FirstAxisOnly,
        "Only the first axis is reduced, so each place of an image has statistics of its own. "
        "They belong to the channel: reduce all axes but self.axis.",
        "C1",
    ),
    Mistake(
        "plain tensors",
        wrong.PlainTensors,
        "gamma and beta are plain tensors. Nothing trains or saves them. Make them with "
        "self.add_weight.",
        "L4",
    ),
    Mistake(
        "gamma and beta not trainable",
        wrong.AffineNotTrainable,
        "gamma and beta are made with trainable=False, so no optimizer learns them. Only the "
        "moving statistics are not trainable.",
        "F4",
    ),
    Mistake(
        "moving statistics trainable",
        wrong.StateTrainable,
        "The moving statistics are trainable weights, so the optimizer and weight decay change "
        "them. Make them with trainable=False.",
        "L4",
    ),
    Mistake(
        "center and scale ignored",
        wrong.CenterScaleIgnored,
        "center and scale are ignored. With center=False the layer has no beta, with scale=False "
        "no gamma.",
        "F4",
    ),
    Mistake(
        "beta missing",
        wrong.BetaMissing,
        "beta is made and never added. Scale first, then shift.",
        "F4",
    ),
    Mistake(
        "gamma missing",
        wrong.GammaMissing,
        "gamma is made and never used. Multiply x_hat by it.",
        "F4",
    ),
    Mistake(
        "beta scaled too",
        wrong.BetaScaled,
        "beta is added before the scaling, so gamma scales it too. Scale first, then shift.",
        "F4",
    ),
    Mistake(
        "keyword arguments dropped",
        wrong.KwargsDropped,
        "The constructor does not pass **kwargs on, so Keras's own arguments such as dtype and "
        "name are lost. Call super().__init__(**kwargs).",
        "L4",
    ),
    Mistake(
        "get_config incomplete",
        wrong.ConfigIncomplete,
        "get_config leaves out momentum and epsilon, so a loaded layer has their defaults. Return "
        "every argument of the constructor.",
        "L4",
    ),
    Mistake(
        "get_config without super",
        wrong.ConfigWithoutSuper,
        "get_config does not start from super().get_config(), so a loaded layer loses its dtype "
        "and its name. Return {**super().get_config(), ...}.",
        "L4",
    ),
    Mistake(
        "cancellation",
        wrong.Cancellation,
        "The variance is computed as E[x^2] - E[x]^2, which is noise when the mean is large. "
        "Subtract the mean first, or take ops.var. On some backends ops.moments does the same.",
        "F2",
    ),
    Mistake(
        "statistics detached",
        wrong.StatisticsDetached,
        "No gradient flows through the statistics of the batch, so dx lacks two of its three "
        "paths. Detach nothing that normalises the batch.",
        "B5",
    ),
    Mistake(
        "statistics in half precision",
        wrong.HalfStatistics,
        "Under mixed precision the statistics are computed in the half type. Cast the input to "
        "self.variable_dtype first, and the output back to self.compute_dtype.",
        "L5",
    ),
    Mistake(
        "weights cast to half precision",
        wrong.HalfWeights,
        "Under mixed precision Keras casts a float32 weight to the half type whenever call reads "
        "it, so each update rounds the moving statistics. Make the weights with autocast=False.",
        "L5",
    ),
    Mistake(
        "output not cast back",
        wrong.OutputNotCast,
        "Under mixed precision the output stays in float32. Cast it to self.compute_dtype at the "
        "end.",
        "L5",
    ),
)


batch_normalization = Exercise(
    name="BatchNormalization",
    signature=inspect.signature(_signature),
    cases=_cases,
    drive=drive_layer,
    reference=_reference,
    see="L4",
    mistakes=MISTAKES,
    tolerance=TOLERANCE,
    takes_device=True,
)
