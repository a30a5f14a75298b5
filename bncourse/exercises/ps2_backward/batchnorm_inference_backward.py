"""The exercise batchnorm_inference_backward: its cases and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.inputs import batch, cast, running, scale_and_shift, upstream
from bncourse.reference import backward


def _inference_backward_cases(rng):
    def given(n=7, d=4, **options):
        return {
            "dy": upstream(rng, n, d),
            "x": batch(rng, n, d, **options),
            "gamma": scale_and_shift(rng, d)["gamma"],
            **running(rng, d),
        }

    tiny = given() | {"running_var": rng.uniform(0.5e-6, 2e-6, 4)}
    by_column = {name: np.asfortranarray(value) for name, value in given().items()}
    return {
        "a random batch": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "one example": Case(given(n=1) | {"eps": 1e-5}),
        "a running variance smaller than eps": Case(tiny | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "more features than examples": Case(given(n=4, d=9)),
        "a gamma of zero": Case(given() | {"gamma": np.array([0.0, 0.7, -1.3, 2.0])}),
        "stored column by column": Case(by_column),
        "float32": Case(cast(given(), np.float32), "float32"),
    }


def inference_training_backward(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(x.var(axis=0) + eps)
    x_hat = (x - x.mean(axis=0)) * inv_std
    dx = gamma * inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_keeps_paths(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var + eps)
    x_hat = (x - running_mean) * inv_std
    dx = gamma * inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_keeps_mean_path(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var + eps)
    x_hat = (x - running_mean) * inv_std
    dx = gamma * inv_std * (dy - dy.mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_batch_x_hat(dy, x, gamma, running_mean, running_var, eps=1e-5):
    x_hat = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)
    dx = dy * gamma / np.sqrt(running_var + eps)
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_dgamma_of_x(dy, x, gamma, running_mean, running_var, eps=1e-5):
    dx = dy * gamma / np.sqrt(running_var + eps)
    return dx, (dy * x).sum(axis=0), dy.sum(axis=0)


def inference_dgamma_of_centred(dy, x, gamma, running_mean, running_var, eps=1e-5):
    dx = dy * gamma / np.sqrt(running_var + eps)
    return dx, (dy * (x - running_mean)).sum(axis=0), dy.sum(axis=0)


def inference_gamma_forgotten(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var + eps)
    x_hat = (x - running_mean) * inv_std
    return dy * inv_std, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_scale_forgotten(dy, x, gamma, running_mean, running_var, eps=1e-5):
    x_hat = (x - running_mean) / np.sqrt(running_var + eps)
    return dy * gamma, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_without_root(dy, x, gamma, running_mean, running_var, eps=1e-5):
    x_hat = (x - running_mean) / (running_var + eps)
    dx = dy * gamma / (running_var + eps)
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_without_eps(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var)
    x_hat = (x - running_mean) * inv_std
    return dy * gamma * inv_std, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_eps_outside(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / (np.sqrt(running_var) + eps)
    x_hat = (x - running_mean) * inv_std
    return dy * gamma * inv_std, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_eps_fixed(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var + 1e-5)
    x_hat = (x - running_mean) * inv_std
    return dy * gamma * inv_std, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def inference_swapped(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var + eps)
    x_hat = (x - running_mean) * inv_std
    return dy * gamma * inv_std, dy.sum(axis=0), (dy * x_hat).sum(axis=0)


def inference_averaged(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var + eps)
    x_hat = (x - running_mean) * inv_std
    return dy * gamma * inv_std, (dy * x_hat).mean(axis=0), dy.mean(axis=0)


def inference_not_summed(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var + eps)
    x_hat = (x - running_mean) * inv_std
    return dy * gamma * inv_std, dy * x_hat, dy


def inference_in_place(dy, x, gamma, running_mean, running_var, eps=1e-5):
    inv_std = 1 / np.sqrt(running_var + eps)
    x -= running_mean
    x *= inv_std
    return dy * gamma * inv_std, (dy * x).sum(axis=0), dy.sum(axis=0)


EXERCISE = function_exercise(
    backward.batchnorm_inference_backward,
    returns=("dx", "dgamma", "dbeta"),
    cases=_inference_backward_cases,
    see="B10",
    mistakes=[
        Mistake(
            "training backward",
            inference_training_backward,
            "This is the backward pass of training, with the statistics of the batch. At inference "
            "the running statistics are constants, and each example stands alone.",
            "B10",
        ),
        Mistake(
            "paths through constants",
            inference_keeps_paths,
            "The running statistics are used, but dx still subtracts the paths through mean and "
            "variance. Running statistics do not depend on x: both paths are gone.",
            "B10",
        ),
        Mistake(
            "mean path kept",
            inference_keeps_mean_path,
            "dx still subtracts mean(dy). The running mean does not depend on x.",
            "B10",
        ),
        Mistake(
            "x_hat of the batch",
            inference_batch_x_hat,
            "dgamma is taken with the x_hat of this batch. Forward normalised with the running "
            "statistics, so its x_hat is the one to use.",
            "B10",
        ),
        Mistake(
            "dgamma from x",
            inference_dgamma_of_x,
            "dgamma is taken with x. gamma multiplies the normalised x_hat.",
            "B10",
        ),
        Mistake(
            "dgamma not scaled",
            inference_dgamma_of_centred,
            "dgamma is taken with x - running_mean. Divide by the standard deviation to get x_hat.",
            "B10",
        ),
        Mistake(
            "gamma forgotten",
            inference_gamma_forgotten,
            "gamma is missing in dx: dy passes through the scale first.",
            "B10",
        ),
        Mistake(
            "standard deviation forgotten",
            inference_scale_forgotten,
            "dx is not divided by sqrt(running_var + eps), which forward divides by.",
            "B10",
        ),
        Mistake(
            "root missing",
            inference_without_root,
            "The running variance divides without its root. Divide by the standard deviation.",
            "B10",
        ),
        Mistake(
            "eps missing",
            inference_without_eps,
            "eps is missing under the root. It belongs there at inference too.",
            "B10",
        ),
        Mistake(
            "eps outside the root",
            inference_eps_outside,
            "eps is added outside the root. It belongs to the variance: sqrt(running_var + eps).",
            "B10",
        ),
        Mistake(
            "eps ignored",
            inference_eps_fixed,
            "The argument eps is ignored; 1e-5 is written into the code. Use the argument.",
            "B10",
        ),
        Mistake(
            "dgamma and dbeta swapped",
            inference_swapped,
            "dgamma and dbeta are swapped. gamma multiplies x_hat, so x_hat belongs into dgamma.",
            "B6",
        ),
        Mistake(
            "dgamma and dbeta averaged",
            inference_averaged,
            "dgamma and dbeta are averaged over the batch. All examples share gamma and beta, so "
            "their gradients add up: take the sum.",
            "B6",
        ),
        Mistake(
            "dgamma and dbeta not summed",
            inference_not_summed,
            "dgamma and dbeta still have a row for each example. gamma and beta are shared by the "
            "batch: sum over axis 0.",
            "B6",
        ),
        Mistake(
            "in place",
            inference_in_place,
            "The input is overwritten (x -= running_mean). Write x - running_mean into a new "
            "array.",
            "B10",
        ),
    ],
)
