"""BatchNormFunction: a forward and a backward pass that autograd can differentiate again."""

import inspect

import numpy as np
import torch

from bncourse.exercise import Case, Exercise, Mistake, Unusable, describe, so_far
from bncourse.exercises import hints
from bncourse.exercises.torch_drive import (
    APART,
    FIRST,
    SECOND,
    TOLERANCE,
    apart,
    called,
    differentiate,
    differentiate_again,
    graph_ends,
    kept_as_leaves,
    one_thread,
    require_written,
    tensor,
)
from bncourse.inputs import SMALL_EPS, batch, cast, enlarged, scale_and_shift, upstream
from bncourse.reference import layers
from bncourse.slips import Instead, Right


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
    silent = given()
    silent["gamma"][0] = 0.0
    return {
        "a random batch": Case(given()),
        "more features than examples": Case(given(n=4, d=9)),
        "a large eps": Case(given(eps=0.5)),
        "a variance smaller than eps": Case(given(scale=1e-3)),
        "a constant feature": Case(constant),
        "one feature": Case(given(d=1)),
        "one example": Case(given(n=1)),
        "large gradients": Case(enlarged(given())),
        "a gamma of zero": Case(silent),
        "some inputs need no gradient": Case(given() | {"apart": True}),
        "stored column by column": Case(given() | {"x": np.asfortranarray(batch(rng))}),
        "mean near 1e6": Case(given(n=50, offset=1e6, scale=0.1), rtol=1e-5, noisy=True),
        "float32": Case(cast(given(), np.float32), "float32"),
        "a small eps": Case(given(scale=1e-3, eps=SMALL_EPS)),
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
    before = gamma.detach().clone(), beta.detach().clone()
    with kept_as_leaves(x=x, gamma=gamma, beta=beta):
        y = _applied(obj, x, gamma, beta, inputs["eps"])
    for name, value, old in zip(("gamma", "beta"), (gamma, beta), before, strict=True):
        if not torch.equal(value, old):
            raise Unusable(f"forward changes {name} in place. Work on new tensors.")
    if y.shape != x.shape:
        return {"y": y}
    # A second layer of the same net: what it saves must not replace what the first one saved.
    x_other = (1 - 2 * x.detach()).requires_grad_()
    with graph_ends(x_other):
        obj.apply(x_other, 3 * gamma.detach(), beta.detach(), 1.7 * inputs["eps"])
    outputs = {"y": y}
    with so_far(outputs):
        # A leaf of the graph cannot be changed in place, and says so in words of its own.
        arrives = dy.clone()
        with kept_as_leaves(x=x, gamma=gamma, beta=beta):
            first = differentiate(y, (x, gamma, beta), arrives)
        if not torch.equal(arrives, dy):
            raise Unusable(hints.DY_OVERWRITTEN)
        _require_shapes(y.grad_fn, dy, (x, gamma, beta), first)
        outputs |= dict(zip(FIRST, first, strict=True))
        vectors = [given[name] for name in ("v_x", "v_gamma", "v_beta")]
        outputs |= differentiate_again(first, vectors, (dy, x, gamma))
        if "apart" in inputs:
            require_written(first[0])
            outputs |= apart(
                lambda *given: obj.apply(*given, inputs["eps"]), (x, gamma, beta), dy, first
            )
    return outputs


def _applied(obj, *arguments):
    try:
        return called(obj.apply, *arguments)
    except TypeError as error:
        if "save_for_backward can only save" not in str(error):
            raise
        raise Unusable(
            "ctx.save_for_backward takes tensors only. A number is kept on ctx itself: "
            "ctx.eps = eps."
        ) from None


def _require_shapes(node, dy, inputs, first):
    """Raise Unusable unless backward itself returns each gradient in the shape of its input.

    autograd sums a gradient that is too large, which is half of the exercise.

    Args:
        node: of the graph, which calls backward.
        dy: the gradient that arrives.
        inputs: x, gamma and beta.
        first: the gradients that backward has returned before; it must return them again.
    """
    if not isinstance(node, torch.autograd.function.BackwardCFunction):
        raise Unusable(
            "autograd must find your backward behind the output. Leave apply as torch defines it."
        )
    again = node.apply(dy.clone())
    for name, gradient, like, before in zip(FIRST, again, inputs, first, strict=False):
        if gradient is None:
            continue
        if gradient.shape != like.shape:
            raise Unusable(
                f"backward must return {name} of shape {tuple(like.shape)}. "
                f"Received: shape {tuple(gradient.shape)}."
            )
        if not torch.allclose(gradient, before, equal_nan=True):
            raise Unusable(
                f"A second backward through one graph returns another {name} than the first. "
                "Change nothing in backward that it starts from."
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
        **(dict(zip(APART, first, strict=True)) if "apart" in inputs else {}),
    }


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
        y = gamma * x_hat + beta
        return y

    @staticmethod
    def backward(ctx, dy):
        x, gamma = ctx.saved_tensors
        x_hat, inv_std = BatchNormFunction.normalise(x, ctx.eps)
        dgamma = (dy * x_hat).sum(dim=0)
        dbeta = dy.sum(dim=0)
        through_mean = dy.mean(dim=0)
        through_var = x_hat * (dy * x_hat).mean(dim=0)
        centred = dy - through_mean - through_var
        dx = gamma * inv_std * centred
        return dx, dgamma, dbeta, None


class DifferentiableOnce(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, beta, eps):
        inv_std = 1 / torch.sqrt(x.var(dim=0, unbiased=False) + eps)
        x_hat = (x - x.mean(dim=0)) * inv_std
        ctx.save_for_backward(x_hat, inv_std, gamma)
        return gamma * x_hat + beta

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        x_hat, inv_std, gamma = ctx.saved_tensors
        dgamma, dbeta = (dy * x_hat).sum(dim=0), dy.sum(dim=0)
        dx = gamma * inv_std * (dy - (dbeta + x_hat * dgamma) / len(dy))
        return dx, dgamma, dbeta, None


slip = Right(BatchNormFunction).slip

_MISTAKES = (
    slip(
        "unbiased variance",
        hints.UNBIASED_VARIANCE,
        "F2",
        var="((x - mean) ** 2).sum(dim=0) / (len(x) - 1)",
    ),
    slip(
        "eps missing",
        "eps is missing under the root: a constant feature then divides by zero.",
        "F3",
        normalise__inv_std="1 / torch.sqrt(var)",
    ),
    slip(
        "eps outside the root",
        hints.EPS_OUTSIDE_THE_ROOT,
        "F3",
        normalise__inv_std="1 / (torch.sqrt(var) + eps)",
    ),
    slip(
        "eps ignored",
        "eps has a fixed value in the code. Use the argument, in forward and in backward.",
        "F3",
        normalise__inv_std="1 / torch.sqrt(var + 1e-5)",
    ),
    slip(
        "small eps raised",
        hints.SMALL_EPS_RAISED,
        "F3",
        normalise__inv_std="1 / torch.sqrt(var + max(eps, 1e-5))",
    ),
    slip(
        "eps forgotten in backward",
        "forward uses eps and backward does not. Keep it on ctx and use it in both.",
        "B7",
        backward__x_hat_inv_std="BatchNormFunction.normalise(x, 0)",
    ),
    slip(
        "eps of its own in backward",
        "backward uses 1e-5 whatever eps is. Keep the argument on ctx and use it in both.",
        "B7",
        backward__x_hat_inv_std="BatchNormFunction.normalise(x, 1e-5)",
    ),
    slip(
        "x_hat in the place of x - mean",
        hints.X_HAT_FOR_X_MINUS_MEAN,
        "B5",
        through_var="x_hat * inv_std * (dy * x_hat).mean(dim=0)",
    ),
    slip(
        "x - mean in the mean",
        hints.CENTRED_IN_THE_MEAN,
        "B7",
        through_var="x_hat * (dy * x_hat / inv_std).mean(dim=0)",
    ),
    slip(
        "wrong axis",
        hints.WRONG_AXIS,
        "F1",
        mean="x.mean(dim=1, keepdim=True)",
        var="((x - mean) ** 2).mean(dim=1, keepdim=True)",
    ),
    slip(
        "cancellation",
        hints.CANCELLATION,
        "F2",
        var="(x**2).mean(dim=0) - mean**2",
    ),
    slip(
        "beta missing",
        hints.BETA_MISSING,
        "F4",
        y="gamma * x_hat + 0 * beta",
    ),
    slip(
        "gamma missing",
        hints.GAMMA_MISSING,
        "F4",
        y="x_hat + beta",
    ),
    slip(
        "variance path missing",
        "dx lacks the path through the variance: x moves var, and var moves every x_hat.",
        "B7",
        centred="dy - through_mean",
    ),
    slip(
        "mean path missing",
        "dx lacks the path through the mean: x moves the mean, and the mean moves every x_hat.",
        "B7",
        centred="dy - through_var",
    ),
    slip(
        "statistics as constants",
        "dx treats mean and variance as constants. Both depend on x, and both paths count.",
        "B7",
        centred="dy",
    ),
    slip(
        "gamma forgotten in dx",
        "gamma is missing in dx. On the way back it multiplies dy, as it multiplied x_hat.",
        "B7",
        dx="inv_std * centred",
    ),
    slip(
        "inv_std forgotten in dx",
        "The factor 1 / sqrt(var + eps) is missing in dx.",
        "B7",
        dx="gamma * centred",
    ),
    slip(
        "sums instead of means",
        "dx subtracts the sums over the batch. Divide each by N: they are means.",
        "B7",
        centred="dy - dbeta - x_hat * dgamma",
    ),
    slip(
        "N - 1 in dx",
        hints.N_MINUS_1_IN_DX,
        "B7",
        centred="dy - (dbeta + x_hat * dgamma) / (len(x) - 1)",
    ),
    slip(
        "dgamma and dbeta swapped",
        "dgamma and dbeta are swapped. Return the gradients in the order of forward's arguments.",
        "B6",
        backward__returns="dx, dbeta, dgamma, None",
    ),
    slip(
        "dgamma and dbeta averaged",
        hints.DGAMMA_AND_DBETA_AVERAGED,
        "B6",
        dgamma="(dy * x_hat).mean(dim=0)",
        dbeta="dy.mean(dim=0)",
    ),
    slip(
        "dgamma and dbeta not summed",
        "dgamma and dbeta have a row for each example. gamma and beta are shared by the batch: sum "
        "over dim 0. autograd would do it for you here, and nowhere else.",
        "B6",
        dgamma="dy * x_hat",
        dbeta="dy",
    ),
    slip(
        "dgamma and dbeta as rows",
        "dgamma and dbeta have the shape (1, D). gamma and beta are (D,): sum without keepdim.",
        "B6",
        dgamma="(dy * x_hat).sum(dim=0, keepdim=True)",
        dbeta="dy.sum(dim=0, keepdim=True)",
    ),
    slip(
        "dgamma with x",
        "dgamma multiplies dy with x. gamma was multiplied with x_hat, so take x_hat.",
        "B6",
        dgamma="(dy * x).sum(dim=0)",
    ),
    slip(
        "gradient for eps missing",
        "backward returns three gradients and forward has four arguments. eps needs none, so "
        "return None in its place.",
        "L3",
        backward__returns="dx, dgamma, dbeta",
    ),
    slip(
        "x_hat saved",
        "backward uses x_hat and inv_std as forward saved them. They are results of forward, and "
        "in backward no graph leads from them to x, so the second derivative is wrong. Save x and "
        "compute them again in backward.",
        "L3",
        ctx_save_for_backward="ctx.save_for_backward(x_hat, inv_std, gamma)",
        x_gamma=Instead("x_hat, inv_std, gamma = ctx.saved_tensors"),
        backward__x_hat_inv_std=Instead(),
    ),
    slip(
        "x_hat from y",
        "backward gets x_hat back from y, as (y - beta) / gamma. Where gamma is 0, nothing of "
        "x_hat is left in y: compute it from x.",
        "B7",
        y=Instead("y = gamma * x_hat + beta\nctx.save_for_backward(x, gamma, beta, y)"),
        ctx_save_for_backward=Instead(),
        x_gamma=Instead("x, gamma, beta, y = ctx.saved_tensors"),
        backward__x_hat_inv_std=Instead(
            "inv_std = BatchNormFunction.normalise(x, ctx.eps)[1]\nx_hat = (y - beta) / gamma"
        ),
    ),
    slip(
        "needs_input_grad of x for all",
        "backward leaves dgamma and dbeta out where x needs no gradient. The input of the first "
        "layer needs none, and its gamma and beta still learn: ask needs_input_grad for each.",
        "B6",
        backward__returns=Instead(
            "if not ctx.needs_input_grad[0]:\n"
            "    return None, None, None, None\n"
            "return dx, dgamma, dbeta, None"
        ),
    ),
    slip(
        "needs_input_grad of gamma for beta",
        "backward leaves dgamma and dbeta out where gamma needs no gradient. One of the two may be "
        "frozen while the other learns: ask needs_input_grad for each.",
        "B6",
        backward__returns=Instead(
            "if not ctx.needs_input_grad[1]:\n"
            "    return dx, None, None, None\n"
            "return dx, dgamma, dbeta, None"
        ),
    ),
    slip(
        "dy overwritten",
        "backward changes dy in place, and dy belongs to whoever sent it: another branch of the "
        "graph may still need it. Write into a new tensor.",
        "B7",
        dx=Instead("dx = gamma * inv_std * centred\ndy *= 0.5"),
    ),
    slip(
        "saved tensors detached",
        "backward cuts x and gamma out of the graph (detach or .data). Its own derivative then "
        "lacks them.",
        "L3",
        x_gamma="(t.detach() for t in ctx.saved_tensors)",
    ),
    slip(
        "NumPy inside backward",
        "backward leaves the graph (NumPy, detach, or gradients that are switched off), so it "
        "cannot be differentiated again. Use torch operations only, with gradients on.",
        "L3",
        backward__returns=Instead(
            "grads = (g.detach().cpu().numpy() for g in (dx, dgamma, dbeta))\n"
            "return *(torch.from_numpy(g).to(x) for g in grads), None"
        ),
    ),
    slip(
        "dx under no_grad",
        "dx is a constant to autograd, so it cannot be differentiated again: it is made under "
        "torch.no_grad(), from detached tensors, or by autograd.grad without create_graph=True.",
        "L3",
        dx=Instead("with torch.no_grad():\n    dx = gamma * inv_std * centred"),
    ),
    Mistake(
        "differentiable once",
        DifferentiableOnce,
        "once_differentiable forbids the second derivative that is asked for. Leave it out.",
        "L3",
    ),
    slip(
        "tensors kept on the class",
        "forward leaves its tensors in one place for all calls, on the class or in a global: the "
        "next call overwrites them, and two layers in one net share them. Keep them on ctx.",
        "L3",
        ctx_save_for_backward=Instead("BatchNormFunction.saved = x, gamma"),
        x_gamma="BatchNormFunction.saved",
    ),
    slip(
        "eps kept on the class",
        "forward leaves eps on the class, where the next call overwrites it. Keep it on ctx: "
        "ctx.eps = eps.",
        "L3",
        eps=Instead("BatchNormFunction.eps = eps"),
        backward__x_hat_inv_std="BatchNormFunction.normalise(x, BatchNormFunction.eps)",
    ),
    slip(
        "in place",
        "forward changes x itself, as by x -= mean, and the caller's tensor with it. Write into "
        "new tensors.",
        "F3",
        forward__x_hat_inv_std=Instead(
            "x -= x.mean(dim=0)\nx_hat, inv_std = BatchNormFunction.normalise(x, eps)"
        ),
    ),
    slip(
        "computed in float32",
        "The computation is in float32, with 7 digits of the 16 that x has. Keep the dtype of x.",
        "F3",
        normalise__inv_std="1 / torch.sqrt(var.float() + eps)",
    ),
)


def _signature(x, gamma, beta, eps):
    """The arguments of apply."""


batchnorm_function = Exercise(
    name="BatchNormFunction",
    signature=inspect.signature(_signature),
    cases=_function_cases,
    drive=_drive_function,
    reference=_reference_function,
    see="B7",
    normalised="batch",
    insight="backward starts from x, so autograd can differentiate what it returns once more.",
    mistakes=_MISTAKES,
    parts={"y": "forward"} | dict.fromkeys((*FIRST, *SECOND, *APART), "backward"),
    tolerance=TOLERANCE,
    takes_device=True,
)
