"""fix_the_bug_5: running statistics that remember how they were made."""

import inspect

import numpy as np
import torch

from bncourse.exercise import Case, Exercise, Unusable, describe, so_far
from bncourse.exercises import hints
from bncourse.exercises.ps7_batches.bug_drive import differentiate_kept
from bncourse.exercises.ps7_batches.inputs import NEAR_A_MILLION
from bncourse.exercises.torch_drive import (
    TOLERANCE,
    called,
    differentiate,
    graph_ends,
    kept_as_leaves,
    one_thread,
    tensor,
    untouched,
)
from bncourse.inputs import batch, cast, running, scale_and_shift, upstream
from bncourse.reference import layers
from bncourse.slips import Right

_RUNNING = ("running_mean", "running_var")


def _cases(rng):
    def given(n=7, d=4, eps=1e-5, momentum=0.1, offset=0.0, scale=1.0):
        return {
            **{f"x{step}": batch(rng, n, d, offset, scale) for step in (1, 2)},
            "dy": upstream(rng, n, d),
            **scale_and_shift(rng, d),
            **running(rng, d),
            "momentum": momentum,
            "eps": eps,
        }

    return {
        "two steps": Case(given()),
        "another momentum": Case(given(momentum=0.3)),
        "a large eps": Case(given(eps=0.5)),
        "more features than examples": Case(given(n=4, d=9)),
        "two examples": Case(given(n=2, d=3)),
        "one feature": Case(given(d=1)),
        "mean near 1e6": Case(given(n=50, offset=1e6), **NEAR_A_MILLION),
        "float32": Case(cast(given(), np.float32), "float32"),
        "variances smaller than eps": Case(given(scale=1e-3)),
    }


@one_thread()
def _drive(obj, inputs):
    """Take two steps; what is remembered must hold no graph, and y must."""
    state = _given(inputs)
    gamma, beta = (tensor(inputs[name], "cpu").requires_grad_() for name in ("gamma", "beta"))
    outputs = {}
    for step in (1, 2):
        x = tensor(inputs[f"x{step}"], "cpu").requires_grad_()
        with so_far(outputs):
            # Whether a step changes the running statistics in place is its author's to choose.
            y, state = _step(obj, x, gamma, beta, state, inputs)
            outputs[f"y in step {step}"] = y
            if y.shape != x.shape:
                return outputs
            # A second layer of the same net.
            x_other = (1 - 2 * x.detach()).requires_grad_()
            other = x_other, 3 * gamma.detach(), beta.detach()
            with graph_ends(x_other), kept_as_leaves(x=x_other):
                obj(*other, *_copied(state), inputs["momentum"], 1.7 * inputs["eps"])
            dy = tensor(inputs["dy"], "cpu")
            gradients = differentiate_kept(y, (x, gamma, beta), dy)
            names = (f"{name} in step {step}" for name in ("dx", "dgamma", "dbeta"))
            outputs |= dict(zip(names, gradients, strict=True))
    with so_far(outputs):
        # The first layer of a net gets data, which needs no gradient.
        data = tensor(inputs["x1"], "cpu")
        y, of_data = _step(obj, data, gamma, beta, _given(inputs), inputs)
        names = ("dgamma of data", "dbeta of data")
        outputs |= dict(zip(names, differentiate(y, (gamma, beta), dy), strict=True))
        outputs |= {f"{name} of data": each for name, each in zip(_RUNNING, of_data, strict=True)}
    for name, value in zip(_RUNNING, state, strict=True):
        if value.dtype != y.dtype:
            raise Unusable(f"{name} must keep its dtype, {y.dtype}. Received: {value.dtype}.")
        if value.requires_grad and value.is_leaf:
            raise Unusable(f"{name} requires a gradient. It is remembered, and not trained.")
        if value.is_inference():
            raise Unusable(
                f"{name} was made under torch.inference_mode(): a later pass that needs gradients "
                "cannot use it. detach() makes a plain tensor."
            )
        outputs[f"{name} after two steps"] = value
        # 0 or 1: how long the graph is depends on how it is written.
        outputs[f"graph behind {name}"] = int(value.requires_grad)
    return outputs


def _step(obj, x, gamma, beta, state, inputs):
    """Return y and the running statistics of a step that leaves x, gamma and beta as they were."""
    scales = {"gamma": gamma, "beta": beta}
    after = []

    def step(x):
        y, *after[:] = _three(obj(x, gamma, beta, *state, inputs["momentum"], inputs["eps"]))
        return y

    data = {name: value.detach() for name, value in scales.items()}
    with kept_as_leaves(x=x, **scales), untouched(**data):
        y = called(step, x)
    return y, after


def _given(inputs):
    return [tensor(inputs[name], "cpu") for name in _RUNNING]


def _copied(state):
    return [value.detach().clone() for value in state]


def _three(result):
    if not isinstance(result, tuple | list) or len(result) != 3:
        raise Unusable(
            "The result must be a tuple of 3: (y, running_mean, running_var). "
            f"Received: {describe(result)}."
        )
    for each in result:
        if not isinstance(each, torch.Tensor):
            raise Unusable(f"It must return three tensors. Received: {describe(each)}.")
    return result


def _reference(inputs):
    given = cast(inputs, np.float64)
    gamma, beta, eps = given["gamma"], given["beta"], given["eps"]
    state = [given[name] for name in _RUNNING]
    outputs = {}
    for step in (1, 2):
        x = given[f"x{step}"]
        y, *state = layers.layer_training_step(
            x, gamma, beta, *state, new_weight=given["momentum"], eps=eps
        )
        gradients = layers.layer_backward(given["dy"], x, gamma, eps=eps)
        names = (f"{name} in step {step}" for name in ("y", "dx", "dgamma", "dbeta"))
        outputs |= dict(zip(names, (y, *gradients), strict=True))
    _, dgamma, dbeta = layers.layer_backward(given["dy"], given["x1"], gamma, eps=eps)
    _, *of_data = layers.layer_training_step(
        given["x1"],
        gamma,
        beta,
        *(given[name] for name in _RUNNING),
        new_weight=given["momentum"],
        eps=eps,
    )
    outputs |= {"dgamma of data": dgamma, "dbeta of data": dbeta}
    outputs |= {f"{name} of data": each for name, each in zip(_RUNNING, of_data, strict=True)}
    for name, value in zip(_RUNNING, state, strict=True):
        outputs[f"{name} after two steps"] = value
        outputs[f"graph behind {name}"] = np.asarray(0)
    return outputs


# The page and the notebook show lines of 80 characters, under a longer name.
# fmt: off
def repaired(
    x, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5
):
    """Return y, running_mean and running_var of a training step."""
    mean, var = x.mean(dim=0), x.var(dim=0, unbiased=False)
    y = gamma * (x - mean) / torch.sqrt(var + eps) + beta
    new_mean = mean.detach()
    new_var = var.detach() * len(x) / (len(x) - 1)
    running_mean = (1 - momentum) * running_mean + momentum * new_mean
    running_var = (1 - momentum) * running_var + momentum * new_var
    return y, running_mean, running_var
# fmt: on


slip = Right(repaired).slip

BUG = Exercise(
    name="fix_the_bug_5",
    signature=inspect.signature(repaired),
    cases=_cases,
    drive=_drive,
    reference=_reference,
    see="L1",
    insight="A number that is kept from step to step keeps all that autograd hangs on to it.",
    normalised="batch",
    tolerance=TOLERANCE,
    mistakes=(
        slip(
            "running statistics with a graph",
            "The running statistics carry the graph of every batch so far: memory grows with each "
            "step, and copy.deepcopy fails. What is remembered is a number: detach it.",
            "L1",
            new_mean="mean",
            new_var="var * len(x) / (len(x) - 1)",
        ),
        slip(
            "graph behind the running mean",
            "running_var is detached now, running_mean is not yet.",
            "L1",
            new_mean="mean",
        ),
        slip(
            "graph behind the running variance",
            "running_mean is detached now, running_var is not yet.",
            "L1",
            new_var="var * len(x) / (len(x) - 1)",
        ),
        slip(
            "detached too early",
            "The statistics are detached before they normalise: now dx lacks the paths through "
            "them. Detach what is remembered, and only that.",
            "B7",
            mean_var="x.detach().mean(dim=0), x.detach().var(dim=0, unbiased=False)",
        ),
        slip(
            "y without a graph",
            "y is detached along with the rest, and no gradient reaches x, gamma or beta.",
            "B7",
            returns="y.detach(), running_mean, running_var",
        ),
        slip(
            "biased variance remembered",
            "running_var takes in the biased variance. PyTorch stores the unbiased one, "
            "n / (n - 1) times as large.",
            "L1",
            new_var="var.detach()",
        ),
        slip(
            "momentum reversed",
            hints.MOMENTUM_REVERSED,
            "L1",
            running_mean="momentum * running_mean + (1 - momentum) * new_mean",
            running_var="momentum * running_var + (1 - momentum) * new_var",
        ),
        slip(
            "cancellation",
            hints.CANCELLATION,
            "F15",
            mean_var="x.mean(dim=0), (x**2).mean(dim=0) - x.mean(dim=0) ** 2",
        ),
        slip(
            "unbiased variance",
            hints.UNBIASED_VARIANCE,
            "F2",
            mean_var="x.mean(dim=0), x.var(dim=0)",
            new_var="var.detach()",
        ),
    ),
)
