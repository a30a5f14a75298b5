"""The exercise BatchNormalization: a batch-norm layer in Keras."""

import inspect
import math

import numpy as np

from bncourse.exercise import Case, Exercise
from bncourse.exercises.ps5_keras.drive import STATE, drive_layer
from bncourse.exercises.ps5_keras.layer_mistakes import MISTAKES
from bncourse.inputs import SMALL_EPS, batch, cast, scale_and_shift, upstream
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


def _given(
    rng, shape=(7, 4), dtype="float32", rebuild="", offset=0.0, spread=1.0, steps=STEPS, **options
):
    axis = options.get("axis", -1)
    channels = shape[axis]
    rows = math.prod(shape) // channels

    def x(shape=shape):
        rows = math.prod(shape) // channels
        return from_features(batch(rng, rows, channels, offset, spread), shape, axis)

    def dy():
        return from_features(upstream(rng, rows, channels), shape, axis)

    given = {
        "x": np.stack([x() for _ in range(steps)]),
        "dy": np.stack([dy() for _ in range(steps)]),
        # Of another size, as the last batch of an epoch is.
        "x_new": x((shape[0] - 1, *shape[1:])),
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
    rebuilt |= {"momentum": 0.73, "epsilon": 0.5}
    constant = _given(rng)
    # No larger: float32 rounds slope * x, and what is left of it shows in dgamma.
    constant["x"][..., 0] = 0.5
    inputs = {
        "a batch": _given(rng),
        "momentum and epsilon given": _given(rng, momentum=0.6, epsilon=0.3),
        "a variance smaller than epsilon": _given(rng, spread=1e-2),
        "a small epsilon": _given(rng, spread=1e-3, steps=1, epsilon=SMALL_EPS),
        "a constant channel": constant,
        "sequences (N, T, C)": _given(rng, (4, 3, 5), steps=1),
        "images (N, H, W, C)": _given(rng, (4, 2, 3, 5), steps=1),
        "images (N, C, H, W) with axis=1": _given(rng, (4, 5, 2, 3), axis=1),
        "images (N, C, H, W) with axis=-3": _given(rng, (4, 5, 2, 3), axis=-3, steps=1),
        "volumes (N, D, H, W, C)": _given(rng, (3, 2, 2, 2, 4), steps=1),
        "volumes (N, D, C, H, W) with axis=-3": _given(rng, (3, 2, 4, 2, 3), axis=-3, steps=1),
        "one channel": _given(rng, (7, 1), steps=1),
        "one place": _given(rng, (5, 1, 1, 3), steps=1),
        "center=False": _given(rng, center=False, momentum=0.8),
        "scale=False and momentum=0": _given(rng, scale=False, momentum=0.0),
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
    whole = len(given["x"]) > 1
    outputs |= {"y at inference": y} | ({"y with training left out": y} if whole else {})
    outputs |= _state(state, "after inference")
    trained = _train(given, given["x_new"], state)[1:]
    if given["rebuild"]:
        of = "of the rebuilt layer"
        outputs[f"y {of}"] = y
        outputs |= _state(trained, f"{of} after a training step")
    if whole:
        outputs["y with trainable=False"] = _infer(given, given["x"][0], state)
        outputs |= _state(state, "with trainable=False")
    if given["rebuild"] == "config":
        outputs |= _state(trained, "with trainable=True again")
        y = _infer(given, given["x_new"], trained)
        outputs["y with training left out after a step"] = y
    return outputs


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
    "with trainable=True again",
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


batch_normalization = Exercise(
    name="BatchNormalization",
    signature=inspect.signature(_signature),
    cases=_cases,
    drive=drive_layer,
    reference=_reference,
    see="L4",
    normalised="batch",
    insight="Keras stores the biased variance, and its momentum weighs the old value: "
    "0.99 is PyTorch's 0.01.",
    mistakes=MISTAKES,
    parts={"y of the rebuilt layer": "get_config"},
    tolerance=TOLERANCE,
    takes_device=True,
)
