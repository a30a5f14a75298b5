"""NoisyBatchNorm: batch norm, and after it a shift and a scale that change with every step.

What is drawn is not unique, so the drive reads the noise out of the outputs: it is graded by its
distribution, by what it depends on, and by what it must leave alone.
"""

import inspect

import numpy as np
import torch
from torch import nn

from bncourse.exercise import Case, Exercise, Unusable, describe, so_far
from bncourse.exercises.ps6_shift.noise_mistakes import NOISE_MISTAKES
from bncourse.exercises.torch_drive import (
    called,
    differentiate,
    graph_ends,
    one_thread,
    require_no_graph,
    tensor,
)
from bncourse.inputs import batch, cast, running, scale_and_shift, upstream
from bncourse.reference import layers

# A correlation over as many units is off by 0.009 in two of three draws, a mean, spread or share of
# three steps by 0.004. The tolerances are eight times that.
_UNITS = 12_000
_BY_CHANCE = 0.03
_CORRELATED_BY_CHANCE = 0.08
# Beyond three spreads lie about a hundred of the draws, off by ten in two of three runs.
_FAR_BY_CHANCE = 0.9

# Steps whose noise is looked at, and what lies between the seeds of some layers: whatever few
# numbers a seed is reduced to, two of them meet there.
_STEPS = 24
_BETWEEN_SEEDS = (1, 60, 1024, 10_000)
# What stands for a seed of 0 where 0 counts as false.
_OFTEN_IN_PLACE_OF_0 = (1, 42)

_DEFAULTS = {"shift": 0.5, "scale": 0.5, "seed": 0}


def _cases(rng):
    def given(scenario, n, width, **options):
        """Return a layer's state, its noise and a batch for each step and for inference."""
        names = ("x1",) if scenario == "many" else ("x1", "x2", "x_eval")
        return (
            {"scenario": scenario, "num_features": width, "options": options}
            | {name: batch(rng, n, width) for name in names}
            | {"dy": upstream(rng, n, width)}
            | scale_and_shift(rng, width)
            | running(rng, width)
        )

    def seed():
        return int(rng.integers(1, 10_000))

    noisy = {"shift": 0.5, "scale": 0.3}
    return {
        "no noise": Case(given("steps", 7, 4, shift=0.0, scale=0.0, seed=seed())),
        "eval mode, with noise in training": Case(given("eval", 7, 4, **noisy, seed=seed())),
        "one noise for the whole batch": Case(given("affine", 7, 5, **noisy, seed=seed())),
        "two steps": Case(given("two steps", 5, 6, **noisy, seed=seed())),
        "two layers, one seed": Case(given("seeds", 5, 6, **noisy, seed=seed())),
        "many units": Case(given("many", 4, _UNITS, **noisy, seed=seed())),
        "many units, other spreads": Case(
            given("many", 4, _UNITS, shift=0.2, scale=0.7, seed=seed())
        ),
        "spreads and seed left out": Case(given("many", 4, _UNITS)),
        "only a shift": Case(given("affine", 7, 5, shift=0.5, scale=0.0, seed=seed())),
        "only a scale": Case(given("affine", 7, 5, shift=0.0, scale=0.5, seed=seed())),
        "one unit": Case(given("affine", 7, 1, **noisy, seed=seed())),
        "float32": Case(
            cast(given("steps", 7, 4, shift=0.0, scale=0.0, seed=seed()), np.float32), "float32"
        ),
    }


# --- the drive ------------------------------------------------------------------------------------


@one_thread()
def _drive(obj, inputs):
    return _SCENARIOS[inputs["scenario"]](obj, inputs)


def _made(obj, inputs, **options):
    """Return the student's layer with the state of the inputs, in training mode."""
    layer = obj(inputs["num_features"], **(inputs["options"] | options))
    if not isinstance(layer, nn.Module):
        raise Unusable(f"NoisyBatchNorm must be a torch.nn.Module. Received: {describe(layer)}.")
    norms = [m for m in layer.modules() if isinstance(m, nn.BatchNorm1d)]
    if len(norms) != 1:
        raise Unusable(f"It must hold one nn.BatchNorm1d. Found: {len(norms)}.")
    (norm,) = norms
    if norm.weight is None or norm.running_mean is None:
        raise Unusable(
            "Its nn.BatchNorm1d must have its default options: gamma and beta, and running "
            "statistics."
        )
    own = {id(each) for each in norm.parameters()}
    if any(id(each) not in own for each in layer.parameters()):
        raise Unusable(
            "It must hold no parameters beside gamma and beta of its batch norm: noise is not "
            "learned."
        )
    dtype = torch.from_numpy(inputs["gamma"]).dtype
    layer.to(device=inputs["device"], dtype=dtype)
    state = {"weight": "gamma", "bias": "beta"} | {n: n for n in ("running_mean", "running_var")}
    with torch.no_grad():
        for name, key in state.items():
            getattr(norm, name).copy_(torch.from_numpy(inputs[key]))
    return layer.train(), norm


def _x(inputs, name):
    return tensor(inputs[f"x{name}"], inputs["device"])


def _normal(norm, x):
    """Return what batch norm by itself hands on in training."""
    return nn.functional.batch_norm(
        x, None, None, norm.weight, norm.bias, training=True, eps=norm.eps
    )


def _noise(layer, norm, x):
    """Return s and m of one training step, (D,) each, which must be the same for all examples."""
    with torch.no_grad():
        noisy = called(layer, x)
    if noisy.shape != x.shape:
        raise Unusable(f"y must have the shape of x, {tuple(x.shape)}. Received: {noisy.shape}.")
    s, m, off = _line(noisy, norm, x)
    if not off <= 1e-6 * (1 + noisy.abs().max()):
        raise Unusable(
            "In one step, each unit must have one s and one m for all examples of the batch. Here "
            "y' is no s y + m."
        )
    return s, m


def _line(noisy, norm, x):
    """Return s and m of the lines s y + m nearest to an output, and how far it is off them."""
    with torch.no_grad():
        y = _normal(norm, x)
        centred = y - y.mean(dim=0)
        s = (noisy * centred).sum(dim=0) / (centred**2).sum(dim=0)
        m = noisy.mean(dim=0) - s * y.mean(dim=0)
        return s, m, (noisy - s * y - m).abs().max()


def _steps(obj, inputs):
    """Return what a step without noise hands on, which is batch norm, and its gradients."""
    layer, norm = _made(obj, inputs)
    x = _x(inputs, "1").requires_grad_()
    y = called(layer, x)
    outputs = {"y without noise": y}
    with so_far(outputs):
        dy = tensor(inputs["dy"], inputs["device"])
        gradients = differentiate(y, (x, norm.weight, norm.bias), dy)
        outputs |= dict(zip(("dx", "dgamma", "dbeta"), gradients, strict=True))
        outputs |= _state(norm)
    return outputs


def _state(norm):
    return {
        f"{name} after a step": getattr(norm, name).clone()
        for name in ("running_mean", "running_var")
    }


def _eval(obj, inputs):
    """Take a noisy step, then answer twice in eval mode, and once after a second step."""
    layer, norm = _made(obj, inputs)
    first = _noise(layer, norm, _x(inputs, "1"))
    _require_units(*first, _DEFAULTS | inputs["options"])
    outputs = _state(norm)
    with so_far(outputs):
        x = _x(inputs, "_eval")
        outputs["y in eval"] = called(layer.eval(), x)
        with torch.no_grad():
            untracked = called(layer, x)
        tracked = x.clone().requires_grad_()
        again = called(layer, tracked)
        if not torch.equal(untracked, outputs["y in eval"]) or not torch.equal(again, untracked):
            raise Unusable("In eval mode, the same input must give the same output.")
        outputs["running_mean after eval"] = norm.running_mean.clone()
        dy = tensor(inputs["dy"], inputs["device"])
        (outputs["dx in eval"],) = differentiate(again, (tracked,), dy)
        for drawn in zip(first, *_after_eval(layer, norm, x, _x(inputs, "2")), strict=True):
            if _alike(torch.stack(drawn)):
                raise Unusable(
                    "Back in training mode the noise begins anew, with what was drawn before. It "
                    "goes on where it was."
                )
        new, _ = _made(obj, inputs)
        outputs["y in eval of a new layer"] = called(new.eval(), x)
    return outputs


def _after_eval(layer, norm, x_eval, x):
    """Return the noise of two steps, each after an answer in eval mode."""
    drawn = []
    for _ in range(2):
        called(layer.eval(), x_eval)
        drawn.append(_noise(layer.train(), norm, x))
    return drawn


def _affine(obj, inputs):
    """Read the noise of one step, and let a gradient pass."""
    layer, norm = _made(obj, inputs)
    options = _DEFAULTS | inputs["options"]
    s, m = _noise(layer, norm, _x(inputs, "1"))
    _require_units(s, m, options)
    outputs = {}
    if not options["scale"]:
        outputs["s without scale"] = s
    if not options["shift"]:
        outputs["m without shift"] = m
    with so_far(outputs):
        x = _x(inputs, "2").requires_grad_()
        y = called(layer, x)
        require_no_graph(layer)
        dy = tensor(inputs["dy"], inputs["device"])
        s, _, _ = _line(y, norm, x)
        leaves = (x, norm.weight, norm.bias)
        got = differentiate(y, leaves, dy)
        want = differentiate(s * _normal(norm, x), leaves, dy)
        # s is known here only: what is handed on is how far off the gradient is, in its size.
        for name, mine, right in zip(("dx", "dgamma", "dbeta"), got, want, strict=True):
            outputs[f"{name} of s y + m"] = (mine - right) / right.abs().max()
        x_last = _x(inputs, "1").requires_grad_()
        with graph_ends(x_last):
            called(layer, x_last)
    return outputs


def _require_units(s, m, options):
    """Raise Unusable if all units share a noise, or there is none."""
    if len(s) == 1:
        return
    for name, value, key, nothing in (("m", m, "shift", 0.0), ("s", s, "scale", 1.0)):
        if not options[key]:
            continue
        if (value - nothing).abs().max() < 1e-6:
            raise Unusable(
                f"{name} is {nothing:g} in training: no noise with {key}={options[key]}."
            )
        if value.max() - value.min() < 1e-6:
            raise Unusable(f"All units have the same {name} in a step. Each has its own.")


def _two_steps(obj, inputs):
    """Take steps with one batch: the noise must be another one in each, and stay as large."""
    layer, norm = _made(obj, inputs)
    x = _x(inputs, "1")
    drawn = [_noise(layer, norm, x) for _ in range(_STEPS)]
    for name, values in zip("sm", map(torch.stack, zip(*drawn, strict=True)), strict=True):
        if _alike(values):
            raise Unusable(f"Two steps have the same {name}. It is drawn anew in every step.")
        # The spread of so many numbers is off by a twelfth in two of three runs.
        spread = values.log().abs() if name == "s" else values
        if spread[: _STEPS // 2].std() > 2 * spread[_STEPS // 2 :].std():
            raise Unusable("The noise fades from step to step. shift and scale hold for all steps.")
    return {"shape of s": np.array(drawn[0][0].shape)}


def _alike(rows):
    """Return whether two of some rows hold the same numbers."""
    distances = (rows[:, None] - rows).abs().amax(dim=2)
    return bool((distances.fill_diagonal_(1) < 1e-6).any())


def _seeds(obj, inputs):
    """Make layers of one seed and of others, and let them take their steps in turn."""
    seed = inputs["options"]["seed"]
    others = {0, *_OFTEN_IN_PLACE_OF_0, *(seed + more for more in _BETWEEN_SEEDS)} - {seed}
    made = [_made(obj, inputs, seed=number) for number in (seed, seed, *others)]
    x = _x(inputs, "1")
    first, same, *others = (_noise(*each, x) for each in made)
    if not all(torch.allclose(a, b, atol=1e-6) for a, b in zip(first, same, strict=True)):
        raise Unusable("Two layers of one seed must draw the same noise. Here they do not.")
    noises = [torch.stack(values) for values in zip(first, *others, strict=True)]
    if any(torch.allclose(each, each[0], atol=1e-6) for each in noises):
        raise Unusable("Layers of two seeds must draw another noise. Here it is the same.")
    if any(map(_alike, noises)):
        raise Unusable(
            "Layers of some seeds draw the same noise. Each seed has a noise of its own: give it "
            "to the generator as it is."
        )
    return {"shape of s": np.array(first[0].shape)}


def _many(obj, inputs):
    """Return facts on the distribution of s and m, over many units and three steps."""
    layer, norm = _made(obj, inputs)
    options = _DEFAULTS | inputs["options"]
    drawn = []
    for _ in range(3):
        s, m = _noise(layer, norm, _x(inputs, "1"))
        _require_units(s, m, options)
        if not (s > 0).all():
            raise Unusable("s must be positive: it is log s that has a normal distribution.")
        drawn.append((s.log(), m))
    log_s, m = (torch.stack(values).double() for values in zip(*drawn, strict=True))
    for name, values, key in (("m", m, "shift"), ("log s", log_s, "scale")):
        _require_own(name, values / options[key])
    return {
        "mean of m": m.mean(),
        "standard deviation of m": m.std(),
        "mean of log s": log_s.mean(),
        "standard deviation of log s": log_s.std(),
        "share of m within one spread": (m.abs() < options["shift"]).double().mean(),
        "share of log s within one spread": (log_s.abs() < options["scale"]).double().mean(),
        "correlation of m and log s": _correlation(m, log_s),
        "correlation of m in two steps": _correlation(m[0], m[1]),
        "correlation of log s in two steps": _correlation(log_s[0], log_s[1]),
        "m beyond three spreads, by how many are due": _far(m / options["shift"]),
        "log s beyond three spreads, by how many are due": _far(log_s / options["scale"]),
    }


def _require_own(name, values):
    """Raise Unusable if the noise of a unit follows from that of others.

    Args:
        name: what it is.
        values: by step and unit, in spreads.
    """
    near = values.abs().sort(dim=1).values.diff(dim=1) < 1e-8
    # By chance some of twelve thousand are as near, most of them equal in float32.
    if near.double().mean() > 0.02:
        raise Unusable(
            f"Many units have the same {name}, but for its sign. Draw one for each, from all "
            "numbers."
        )
    if (values.mean(dim=1).abs() < 1e-5).all():
        raise Unusable(
            f"The {name} of all units add up to 0 in each step, so they depend on each other."
        )
    if _correlation(values[:, 1:], values[:, :-1]).abs() > _CORRELATED_BY_CHANCE:
        raise Unusable(f"The {name} of a unit depends on that of the next. Draw one for each.")


def _far(values):
    """Return how many values lie beyond three spreads, by how many normal ones do."""
    # What is cut off at three stands at three, but for rounding.
    return (values.abs() > 3 + 1e-6).double().mean() / _BEYOND


def _correlation(one, other):
    one, other = one - one.mean(), other - other.mean()
    return (one * other).mean() / (one.square().mean() * other.square().mean()).sqrt()


_SCENARIOS = {
    "steps": _steps,
    "eval": _eval,
    "affine": _affine,
    "two steps": _two_steps,
    "seeds": _seeds,
    "many": _many,
}


# --- the oracle -----------------------------------------------------------------------------------


def _reference(inputs):
    return _REFERENCES[inputs["scenario"]](cast(inputs, np.float64))


def _trained(inputs):
    """Return y, and the running statistics after one step."""
    return layers.layer_training_step(
        inputs["x1"],
        inputs["gamma"],
        inputs["beta"],
        inputs["running_mean"],
        inputs["running_var"],
        new_weight=0.1,
        eps=1e-5,
    )


def _reference_steps(inputs):
    y, mean, var = _trained(inputs)
    gradients = layers.layer_backward(inputs["dy"], inputs["x1"], inputs["gamma"], eps=1e-5)
    return {
        "y without noise": y,
        **dict(zip(("dx", "dgamma", "dbeta"), gradients, strict=True)),
        "running_mean after a step": mean,
        "running_var after a step": var,
    }


def _reference_eval(inputs):
    _, mean, var = _trained(inputs)
    y = layers.layer_inference(
        inputs["x_eval"], inputs["gamma"], inputs["beta"], mean, var, eps=1e-5
    )
    return {
        "running_mean after a step": mean,
        "running_var after a step": var,
        "y in eval": y,
        "running_mean after eval": mean,
        "dx in eval": inputs["dy"] * inputs["gamma"] / np.sqrt(var + 1e-5),
        "y in eval of a new layer": layers.layer_inference(
            inputs["x_eval"],
            inputs["gamma"],
            inputs["beta"],
            inputs["running_mean"],
            inputs["running_var"],
            eps=1e-5,
        ),
    }


def _reference_affine(inputs):
    options = _DEFAULTS | inputs["options"]
    n, width = inputs["x1"].shape
    outputs = {}
    if not options["scale"]:
        outputs["s without scale"] = np.ones(width)
    if not options["shift"]:
        outputs["m without shift"] = np.zeros(width)
    shapes = {"dx": (n, width), "dgamma": (width,), "dbeta": (width,)}
    return outputs | {f"{name} of s y + m": np.zeros(shape) for name, shape in shapes.items()}


def _reference_shape(inputs):
    return {"shape of s": np.array([inputs["num_features"]])}


# What a normal distribution has within one standard deviation, and beyond three.
_WITHIN, _BEYOND = 0.6826894921370859, 0.0026997960632602


def _reference_many(inputs):
    options = _DEFAULTS | inputs["options"]
    values = {
        "mean of m": 0.0,
        "standard deviation of m": options["shift"],
        "mean of log s": 0.0,
        "standard deviation of log s": options["scale"],
        "share of m within one spread": _WITHIN,
        "share of log s within one spread": _WITHIN,
        "correlation of m and log s": 0.0,
        "correlation of m in two steps": 0.0,
        "correlation of log s in two steps": 0.0,
        "m beyond three spreads, by how many are due": 1.0,
        "log s beyond three spreads, by how many are due": 1.0,
    }
    return {name: np.array(value) for name, value in values.items()}


_REFERENCES = {
    "steps": _reference_steps,
    "eval": _reference_eval,
    "affine": _reference_affine,
    "two steps": _reference_shape,
    "seeds": _reference_shape,
    "many": _reference_many,
}

_DRAWN = tuple(_reference_many({"options": {}}))
_CHANCE = {"correlation": _CORRELATED_BY_CHANCE, "beyond": _FAR_BY_CHANCE, "": _BY_CHANCE}


def _signature(num_features, shift=0.5, scale=0.5, seed=0):
    """The constructor that the student writes."""


noisy_batchnorm = Exercise(
    name="NoisyBatchNorm",
    signature=inspect.signature(_signature),
    cases=_cases,
    drive=_drive,
    reference=_reference,
    see="D1",
    insight="All examples move together: a shift, the thing that batch norm was said to cure.",
    mistakes=NOISE_MISTAKES,
    # A spread of 1e-6 in the noise that the drive reads out of the outputs.
    tolerance={"float64": 1e-5, "float32": 1e-3}
    | {
        (label, "float64"): next(size for word, size in _CHANCE.items() if word in label)
        for label in _DRAWN
    },
    chained=True,
    takes_device=True,
    allows_ready_made=True,
)
