"""What the bugs share: inputs, and a forward pass of torch that is differentiated."""

import numpy as np
import torch

from bncourse.exercise import Case, Unusable, so_far
from bncourse.exercises import hints
from bncourse.exercises.ps7_batches.inputs import NEAR_A_MILLION
from bncourse.exercises.torch_drive import (
    FIRST,
    apart,
    called,
    differentiate,
    graph_ends,
    kept_as_leaves,
    one_thread,
    tensor,
    untouched,
)
from bncourse.inputs import batch, cast, scale_and_shift, upstream
from bncourse.reference import layers


def forward_cases(rng):
    """Return cases of a function of x, gamma, beta and eps, with the gradient dy that arrives."""

    def given(n=7, d=4, eps=1e-5, **options):
        return {
            "x": batch(rng, n, d, **options),
            **scale_and_shift(rng, d),
            "eps": eps,
            "dy": upstream(rng, n, d),
        }

    return {
        "a random batch": Case(given()),
        "more features than examples": Case(given(n=4, d=9)),
        "as many features as examples": Case(given(n=5, d=5)),
        "a large eps": Case(given(eps=0.5)),
        "a variance smaller than eps": Case(given(scale=1e-3)),
        "one feature": Case(given(d=1)),
        "mean near 1e6": Case(given(n=50, offset=1e6), **NEAR_A_MILLION),
        "stored column by column": Case(given() | {"x": np.asfortranarray(batch(rng))}),
        "float32": Case(cast(given(), np.float32), "float32"),
    }


@one_thread()
def drive_forward(obj, inputs):
    """Return y of a function of x, gamma, beta and eps, and what flows back through it."""
    leaves = [tensor(inputs[name], "cpu").requires_grad_() for name in ("x", "gamma", "beta")]
    scales = {name: leaf.data for name, leaf in zip(("gamma", "beta"), leaves[1:], strict=True)}
    # called() hands on a clone, through which gradients reach x.
    with kept_as_leaves(x=leaves[0], gamma=leaves[1], beta=leaves[2]), untouched(**scales):
        y = called(lambda x: obj(x, *leaves[1:], eps=inputs["eps"]), leaves[0])
    outputs = {"y": y}
    if y.shape != leaves[0].shape:
        return outputs
    x, gamma, beta = (leaf.detach() for leaf in leaves)
    # A second layer of the same net.
    x_other = (1 - 2 * x).requires_grad_()
    with graph_ends(x_other), kept_as_leaves(x=x_other):
        obj(x_other, 3 * gamma, beta, eps=1.7 * inputs["eps"])
    dy = tensor(inputs["dy"], "cpu")
    with so_far(outputs):
        gradients = differentiate_kept(y, leaves, dy)
        outputs |= dict(zip(FIRST, gradients, strict=True))
        if not any(gradient.any() for gradient in gradients):
            raise Unusable("The graph of y leads to none of x, gamma and beta.")
        # gamma shows whether gradients are asked of it, and beta whether they are tracked.
        with torch.no_grad(), untouched(gamma=gamma):
            called(lambda x: obj(x, gamma, leaves[2], eps=inputs["eps"]), x)
        _require_same_apart(lambda *given: obj(*given, eps=inputs["eps"]), leaves, dy, gradients)
    return outputs


def _require_same_apart(function, leaves, dy, gradients):
    others = apart(function, leaves, dy, gradients)
    for name, gradient, other in zip(FIRST, gradients, others.values(), strict=True):
        # Not a number differs from nothing.
        if (other - gradient).abs().max() > 1e-3 * gradient.abs().max():
            raise Unusable(
                f"{name} is another where only some of x, gamma and beta need a gradient. The "
                "first layer of a net gets data, which needs none, and its gamma and beta learn."
            )


def differentiate_kept(y, leaves, dy):
    """Return the gradients of <y, dy>; whoever sent dy must find it as it was."""
    # A leaf of the graph cannot be changed in place, and says so in words of its own.
    arrives = dy.clone()
    gradients = differentiate(y, leaves, arrives)
    if not torch.equal(arrives, dy):
        raise Unusable(hints.DY_OVERWRITTEN)
    return gradients


def reference_forward(inputs):
    """Return what ``drive_forward`` should."""
    given = cast(inputs, np.float64)
    x, gamma, eps = (given[name] for name in ("x", "gamma", "eps"))
    y = layers.layer_training_step(
        x, gamma, given["beta"], 0.0, 0.0, new_weight=1.0, eps=eps, unbiased=False
    )[0]
    gradients = layers.layer_backward(given["dy"], x, gamma, eps=eps)
    return {"y": y, **dict(zip(FIRST, gradients, strict=True))}
