"""BatchNormFunction: a forward and a backward pass that autograd can differentiate again."""

import inspect

import numpy as np
import torch

from bncourse.exercise import Case, Exercise, Unusable, describe
from bncourse.exercises.ps4_pytorch.drive import (
    FIRST,
    SECOND,
    called,
    differentiate,
    differentiate_again,
    mistakes,
    one_thread,
    tensor,
)
from bncourse.inputs import batch, cast, scale_and_shift, upstream
from bncourse.reference import layers


def _function_cases(rng):
    def given(n=7, d=4, eps=1e-5, **options):
        return {
            "x": batch(rng, n, d, **options),
            **scale_and_shift(rng, d),
            "eps": eps,
            "dy": upstream(rng, n, d),
            "v_x": rng.standard_normal((n, d)),
            "v_gamma": rng.standard_normal(d),
            "v_beta": rng.standard_normal(d),
        }

    constant = given(n=5)
    constant["x"][:, 0] = 3.0
    return {
        "a random batch": Case(given()),
        "more features than examples": Case(given(n=4, d=9)),
        "a large eps": Case(given(eps=0.5)),
        "a variance smaller than eps": Case(given(scale=1e-3)),
        "a constant feature": Case(constant),
        "stored column by column": Case(given() | {"x": np.asfortranarray(batch(rng))}),
        "mean near 1e6": Case(given(n=50, offset=1e6, scale=0.1), noisy=True),
        "float32": Case(cast(given(), np.float32), "float32"),
    }


@one_thread()
def _drive_function(obj, inputs):
    if not (isinstance(obj, type) and issubclass(obj, torch.autograd.Function)):
        raise Unusable(
            "BatchNormFunction must be a subclass of torch.autograd.Function. "
            f"Received: {describe(obj)}."
        )
    arrays = {name: value for name, value in inputs.items() if isinstance(value, np.ndarray)}
    given = {name: tensor(array, inputs["device"]) for name, array in arrays.items()}
    leaves = {name: given[name].requires_grad_() for name in ("x", "gamma", "beta", "dy")}
    x, gamma, beta, dy = leaves.values()
    y = called(obj.apply, x, gamma, beta, inputs["eps"])
    if y.shape != x.shape:
        return {"y": y}
    first = differentiate(y, (x, gamma, beta), dy)
    _require_shapes(y.grad_fn, dy, (x, gamma, beta))
    vectors = [given[name] for name in ("v_x", "v_gamma", "v_beta")]
    second = differentiate_again(first, vectors, (dy, x, gamma))
    return {"y": y} | dict(zip(FIRST, first, strict=True)) | second


def _require_shapes(node, dy, inputs):
    """Raise Unusable unless backward itself returns each gradient in the shape of its input.

    autograd sums a gradient that is too large, which is half of the exercise.
    """
    if not isinstance(node, torch.autograd.function.BackwardCFunction):
        raise Unusable(
            "autograd must find your backward behind the output. Leave apply as torch defines it."
        )
    for name, gradient, like in zip(FIRST, node.apply(dy.clone()), inputs, strict=False):
        if gradient is not None and gradient.shape != like.shape:
            raise Unusable(
                f"backward must return {name} of shape {tuple(like.shape)}. "
                f"Received: shape {tuple(gradient.shape)}."
            )


def _reference_function(inputs):
    given = cast(inputs, np.float64)
    x, gamma, dy, eps = (given[name] for name in ("x", "gamma", "dy", "eps"))
    y = layers.layer_training_step(
        x, gamma, given["beta"], 0.0, 0.0, new_weight=1.0, eps=eps, unbiased=False
    )[0]
    first = layers.layer_backward(dy, x, gamma, eps=eps)
    vectors = (given[name] for name in ("v_x", "v_gamma", "v_beta"))
    second = layers.layer_double_backward(*vectors, dy, x, gamma, eps=eps)
    return {
        "y": y,
        **dict(zip(FIRST, first, strict=True)),
        **dict(zip(SECOND, second, strict=True)),
    }


_FUNCTION = """\
class BatchNormFunction(torch.autograd.Function):
    @staticmethod
    def normalise(x, eps):
        mean = x.mean(dim=0)
        var = ((x - mean) ** 2).mean(dim=0)
        inv_std = 1 / torch.sqrt(var + eps)
        return (x - mean) * inv_std, inv_std

    @staticmethod
    def forward(ctx, x, gamma, beta, eps):
        x_hat, inv_std = BatchNormFunction.normalise(x, eps)
        ctx.save_for_backward(x, gamma)
        ctx.eps = eps
        return gamma * x_hat + beta

    @staticmethod
    def backward(ctx, dy):
        x, gamma = ctx.saved_tensors
        x_hat, inv_std = BatchNormFunction.normalise(x, ctx.eps)
        dgamma = (dy * x_hat).sum(dim=0)
        dbeta = dy.sum(dim=0)
        centred = dy - dy.mean(dim=0) - x_hat * (dy * x_hat).mean(dim=0)
        dx = gamma * inv_std * centred
        return dx, dgamma, dbeta, None
"""

_SAVED_X_HAT = (
    (
        "ctx.save_for_backward(x, gamma)\n        ctx.eps = eps",
        "ctx.save_for_backward(x_hat, inv_std, gamma)",
    ),
    ("x, gamma = ctx.saved_tensors", "x_hat, inv_std, gamma = ctx.saved_tensors"),
    ("        x_hat, inv_std = BatchNormFunction.normalise(x, ctx.eps)\n", ""),
)

_FUNCTION_MISTAKES = (
    (
        "unbiased variance",
        [(".mean(dim=0)\n        inv_std", ".sum(dim=0) / (len(x) - 1)\n        inv_std")],
        "The variance that normalises is the unbiased one, divided by N - 1. Divide by N.",
        "F2",
    ),
    (
        "eps missing",
        [("var + eps", "var")],
        "eps is missing under the root: a constant feature then divides by zero.",
        "F3",
    ),
    (
        "eps outside the root",
        [("1 / torch.sqrt(var + eps)", "1 / (torch.sqrt(var) + eps)")],
        "eps is added outside the root. It belongs to the variance: sqrt(var + eps).",
        "F3",
    ),
    (
        "eps ignored",
        [("var + eps", "var + 1e-5")],
        "eps has a fixed value in the code. Use the argument, in forward and in backward.",
        "F3",
    ),
    (
        "eps forgotten in backward",
        [("normalise(x, ctx.eps)", "normalise(x, 0)")],
        "forward uses eps and backward does not. Keep it on ctx and use it in both.",
        "B7",
    ),
    (
        "wrong axis",
        [
            (
                "mean = x.mean(dim=0)\n        var = ((x - mean) ** 2).mean(dim=0)",
                "mean = x.mean(dim=1, keepdim=True)\n"
                "        var = ((x - mean) ** 2).mean(dim=1, keepdim=True)",
            )
        ],
        "The statistics are taken over the features of each example. Reduce over the batch: dim 0.",
        "F1",
    ),
    (
        "cancellation",
        [("((x - mean) ** 2).mean(dim=0)", "(x**2).mean(dim=0) - mean**2")],
        "The variance is computed as E[x^2] - E[x]^2, which is noise when the mean is large. "
        "Subtract the mean before you square.",
        "F2",
    ),
    (
        "beta missing",
        [("gamma * x_hat + beta", "gamma * x_hat + 0 * beta")],
        "beta is not added. Scale first, then shift.",
        "F4",
    ),
    (
        "gamma missing",
        [("gamma * x_hat + beta", "x_hat + beta")],
        "gamma is not applied in forward. Scale first, then shift.",
        "F4",
    ),
    (
        "variance path missing",
        [(" - x_hat * (dy * x_hat).mean(dim=0)", "")],
        "dx lacks the path through the variance: x moves var, and var moves every x_hat.",
        "B7",
    ),
    (
        "mean path missing",
        [(" - dy.mean(dim=0)", "")],
        "dx lacks the path through the mean: x moves the mean, and the mean moves every x_hat.",
        "B7",
    ),
    (
        "statistics as constants",
        [("dy - dy.mean(dim=0) - x_hat * (dy * x_hat).mean(dim=0)", "dy")],
        "dx treats mean and variance as constants. Both depend on x, and both paths count.",
        "B7",
    ),
    (
        "gamma forgotten in dx",
        [("dx = gamma * inv_std * centred", "dx = inv_std * centred")],
        "gamma is missing in dx. On the way back it multiplies dy, as it multiplied x_hat.",
        "B7",
    ),
    (
        "inv_std forgotten in dx",
        [("dx = gamma * inv_std * centred", "dx = gamma * centred")],
        "The factor 1 / sqrt(var + eps) is missing in dx.",
        "B7",
    ),
    (
        "sums instead of means",
        [
            (
                "dy.mean(dim=0) - x_hat * (dy * x_hat).mean(dim=0)",
                "dbeta - x_hat * dgamma",
            )
        ],
        "dx subtracts the sums over the batch. Divide each by N: they are means.",
        "B7",
    ),
    (
        "dgamma and dbeta swapped",
        [("return dx, dgamma, dbeta, None", "return dx, dbeta, dgamma, None")],
        "dgamma and dbeta are swapped. Return the gradients in the order of forward's arguments.",
        "B6",
    ),
    (
        "dgamma and dbeta averaged",
        [("(dy * x_hat).sum(dim=0)", "(dy * x_hat).mean(dim=0)"), ("dy.sum(", "dy.mean(")],
        "dgamma and dbeta are averaged over the batch. Each example adds its part: sum.",
        "B6",
    ),
    (
        "dgamma and dbeta not summed",
        [("(dy * x_hat).sum(dim=0)", "dy * x_hat"), ("dy.sum(dim=0)", "dy")],
        "dgamma and dbeta have a row for each example. gamma and beta are shared by the batch: sum "
        "over dim 0. autograd would do it for you here, and nowhere else.",
        "B6",
    ),
    (
        "dgamma with x",
        [("dgamma = (dy * x_hat)", "dgamma = (dy * x)")],
        "dgamma multiplies dy with x. gamma was multiplied with x_hat, so take x_hat.",
        "B6",
    ),
    (
        "gradient for eps missing",
        [("return dx, dgamma, dbeta, None", "return dx, dgamma, dbeta")],
        "backward returns three gradients and forward has four arguments. eps needs none, so "
        "return None in its place.",
        "L3",
    ),
    (
        "x_hat saved",
        _SAVED_X_HAT,
        "backward uses x_hat and inv_std as forward saved them. They are results of forward, and "
        "in backward no graph leads from them to x, so the second derivative is wrong. Save x and "
        "compute them again in backward.",
        "L3",
    ),
    (
        "saved tensors detached",
        [("x, gamma = ctx.saved_tensors", "x, gamma = (t.detach() for t in ctx.saved_tensors)")],
        "backward cuts x and gamma out of the graph (detach or .data). Its own derivative then "
        "lacks them.",
        "L3",
    ),
    (
        "NumPy inside backward",
        [
            (
                "return dx, dgamma, dbeta, None",
                "grads = (g.detach().cpu().numpy() for g in (dx, dgamma, dbeta))\n"
                "        return *(torch.from_numpy(g).to(x) for g in grads), None",
            )
        ],
        "backward leaves torch (NumPy, detach), so it cannot be differentiated again. Use torch "
        "operations only.",
        "L3",
    ),
    (
        "differentiable once",
        [
            (
                "    @staticmethod\n    def backward",
                "    @staticmethod\n"
                "    @torch.autograd.function.once_differentiable\n"
                "    def backward",
            )
        ],
        "once_differentiable forbids the second derivative that is asked for. Leave it out.",
        "L3",
    ),
    (
        "in place",
        [
            (
                "        x_hat, inv_std = BatchNormFunction.normalise(x, eps)\n        ctx",
                "        x -= x.mean(dim=0)\n"
                "        x_hat, inv_std = BatchNormFunction.normalise(x, eps)\n        ctx",
            )
        ],
        "forward subtracts the mean from x itself, so the caller's tensor is changed. Write "
        "x - mean into a new tensor.",
        "F3",
    ),
)

batchnorm_function = Exercise(
    name="BatchNormFunction",
    signature=inspect.signature(lambda x, gamma, beta, eps: None),
    cases=_function_cases,
    drive=_drive_function,
    reference=_reference_function,
    see="B7",
    mistakes=mistakes(_FUNCTION, "BatchNormFunction", _FUNCTION_MISTAKES),
    takes_device=True,
)
