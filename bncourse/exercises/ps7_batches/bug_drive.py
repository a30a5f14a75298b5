"""What the bugs share: inputs, and a forward pass of torch that is differentiated."""

import numpy as np
import torch

from bncourse.exercise import Case, Unusable, so_far
from bncourse.exercises.ps7_batches.inputs import NEAR_A_MILLION
from bncourse.exercises.torch_drive import (
    FIRST,
    called,
    differentiate,
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
    with untouched(**scales):
        y = called(lambda x: obj(x, *leaves[1:], eps=inputs["eps"]), leaves[0])
    outputs = {"y": y}
    if y.shape != leaves[0].shape:
        return outputs
    with so_far(outputs):
        gradients = differentiate(y, leaves, tensor(inputs["dy"], "cpu"))
        outputs |= dict(zip(FIRST, gradients, strict=True))
        # gamma shows whether gradients are asked of it, and beta whether they are tracked.
        x, gamma = leaves[0].detach(), leaves[1].detach()
        with torch.no_grad(), untouched(gamma=gamma):
            called(lambda x: obj(x, gamma, leaves[2], eps=inputs["eps"]), x)
        if any(leaf.grad is not None for leaf in leaves):
            raise Unusable(
                "It calls backward() itself, and leaves a gradient in .grad. That is for the "
                "training loop: hand on y with its graph."
            )
    return outputs


def reference_forward(inputs):
    """Return what ``drive_forward`` should."""
    given = cast(inputs, np.float64)
    x, gamma, eps = (given[name] for name in ("x", "gamma", "eps"))
    y = layers.layer_training_step(
        x, gamma, given["beta"], 0.0, 0.0, new_weight=1.0, eps=eps, unbiased=False
    )[0]
    gradients = layers.layer_backward(given["dy"], x, gamma, eps=eps)
    return {"y": y, **dict(zip(FIRST, gradients, strict=True))}
