"""The exercise batchnorm_inference_backward: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, function_exercise
from bncourse.exercises import hints
from bncourse.exercises.ps1_forward.shared import TOLERANCE, own_eps
from bncourse.inputs import SMALL_EPS, batch, cast, enlarged, running, scale_and_shift, upstream
from bncourse.reference import backward
from bncourse.slips import Instead, Right


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
        "a running variance of zero": Case(given() | {"running_var": np.zeros(4), "eps": 1e-3}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "one feature": Case(given(d=1)),
        "more features than examples": Case(given(n=4, d=9)),
        "as many features as examples": Case(given(n=5, d=5)),
        "a gamma of zero": Case(given() | {"gamma": np.array([0.0, 0.7, -1.3, 2.0])}),
        "stored column by column": Case(by_column),
        "float32": Case(cast(given(), np.float32), "float32"),
        "a small eps": Case(
            given() | {"running_var": rng.uniform(0.5e-6, 2e-6, 4), "eps": SMALL_EPS}
        ),
        "far from the running mean": Case(given(offset=1e4)),
        "large gradients": Case(enlarged(given())),
    }


def batchnorm_inference_backward(dy, x, gamma, running_mean, running_var, eps=1e-5):
    centred = x - running_mean
    inv_std = 1 / np.sqrt(running_var + eps)
    x_hat = centred * inv_std
    dx = dy * gamma * inv_std
    dgamma = (dy * x_hat).sum(axis=0)
    dbeta = dy.sum(axis=0)
    return dx, dgamma, dbeta


RIGHT = Right(batchnorm_inference_backward)
slip = RIGHT.slip

EXERCISE = function_exercise(
    backward.batchnorm_inference_backward,
    returns=("dx", "dgamma", "dbeta"),
    cases=_inference_backward_cases,
    see="B10",
    insight="With fixed statistics nothing is projected away: dx is dy times one number "
    "per feature.",
    tolerance=TOLERANCE,
    mistakes=[
        slip(
            "training backward",
            "This is the backward pass of training, with the statistics of the batch. At inference "
            "the running statistics are constants, and each example stands alone.",
            "B10",
            inv_std="1 / np.sqrt(x.var(axis=0) + eps)",
            x_hat="(x - x.mean(axis=0)) * inv_std",
            dx="gamma * inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))",
        ),
        slip(
            "paths through constants",
            "The running statistics are used, but dx still subtracts the paths through mean and "
            "variance. Running statistics do not depend on x: both paths are gone.",
            "B10",
            dx="gamma * inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))",
        ),
        slip(
            "stages of training",
            "dx is made in the stages of training, with dvar and dmean of the running statistics. "
            "They do not depend on x, so neither stage is there.",
            "B10",
            dx=Instead(
                """
                dx_hat = dy * gamma
                dvar = -0.5 * (dx_hat * centred).sum(axis=0) * inv_std**3
                dmean = -(dx_hat * inv_std).sum(axis=0) - 2 * dvar * centred.mean(axis=0)
                dx = dx_hat * inv_std + dvar * 2 * centred / len(x) + dmean / len(x)
                """
            ),
        ),
        slip(
            "mean path kept",
            "dx still subtracts mean(dy). The running mean does not depend on x.",
            "B10",
            dx="gamma * inv_std * (dy - dy.mean(axis=0))",
        ),
        slip(
            "x_hat of the batch",
            "dgamma is taken with the x_hat of this batch. Forward normalised with the running "
            "statistics, so its x_hat is the one to use.",
            "B10",
            x_hat="(x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)",
        ),
        slip(
            "dgamma from x",
            hints.DGAMMA_FROM_X,
            "B10",
            x_hat="x",
        ),
        slip(
            "dgamma not scaled",
            "dgamma is taken with x - running_mean. Divide by the standard deviation to get x_hat.",
            "B10",
            x_hat="x - running_mean",
        ),
        slip(
            "dgamma not centred",
            "dgamma is taken with x / std. Subtract the running mean first to get x_hat.",
            "B10",
            x_hat="x * inv_std",
        ),
        slip(
            "gamma forgotten",
            "gamma is missing in dx: dy passes through the scale first.",
            "B10",
            dx="dy * inv_std",
        ),
        slip(
            "gamma in dgamma",
            "dgamma and dbeta are multiplied by gamma. They are made from dy as it arrives.",
            "B6",
            dgamma="(dy * gamma * x_hat).sum(axis=0)",
            dbeta="(dy * gamma).sum(axis=0)",
        ),
        slip(
            "standard deviation forgotten",
            "dx is not divided by sqrt(running_var + eps), which forward divides by.",
            "B10",
            dx="dy * gamma",
        ),
        slip(
            "root missing",
            "The running variance divides without its root. Divide by the standard deviation.",
            "B10",
            inv_std="1 / (running_var + eps)",
        ),
        slip(
            "multiplied",
            "The gradient is multiplied by the standard deviation. Divide by it.",
            "B10",
            dx="dy * gamma / inv_std",
        ),
        slip(
            "eps missing",
            "eps is missing under the root. It belongs there at inference too.",
            "B10",
            inv_std="1 / np.sqrt(running_var)",
        ),
        slip(
            "eps outside the root",
            hints.EPS_OUTSIDE_THE_RUNNING_ROOT,
            "B10",
            inv_std="1 / (np.sqrt(running_var) + eps)",
        ),
        *own_eps(slip, "B10", "centred", "x - running_mean"),
        slip(
            "eps subtracted",
            hints.EPS_SUBTRACTED,
            "B10",
            inv_std="1 / np.sqrt(running_var - eps)",
        ),
        slip(
            "dgamma and dbeta swapped",
            hints.DGAMMA_AND_DBETA_SWAPPED,
            "B6",
            returns="dx, dbeta, dgamma",
        ),
        slip(
            "dx returned last",
            hints.DX_RETURNED_LAST,
            "B10",
            returns="dgamma, dbeta, dx",
        ),
        slip(
            "dgamma and dbeta averaged",
            hints.DGAMMA_AND_DBETA_AVERAGED,
            "B6",
            dgamma="(dy * x_hat).mean(axis=0)",
            dbeta="dy.mean(axis=0)",
        ),
        slip(
            "dgamma and dbeta not summed",
            hints.DGAMMA_AND_DBETA_NOT_SUMMED,
            "B6",
            dgamma="dy * x_hat",
            dbeta="dy",
        ),
        slip(
            "dgamma and dbeta summed over the features",
            hints.DGAMMA_AND_DBETA_SUMMED_OVER_THE_FEATURES,
            "B6",
            dgamma="(dy * x_hat).sum(axis=1)",
            dbeta="dy.sum(axis=1)",
        ),
        slip(
            "kept dimensions",
            hints.GRADIENTS_KEPT_DIMENSIONS,
            "B6",
            dgamma="(dy * x_hat).sum(axis=0, keepdims=True)",
            dbeta="dy.sum(axis=0, keepdims=True)",
        ),
        slip(
            "averaged with dimensions kept",
            hints.AVERAGED_WITH_DIMENSIONS_KEPT,
            "B6",
            dgamma="(dy * x_hat).mean(axis=0, keepdims=True)",
            dbeta="dy.mean(axis=0, keepdims=True)",
        ),
        slip(
            "squeezed",
            hints.squeezed(
                "with one feature dgamma and dbeta lose their own",
                "They have shape (D,) for every D.",
            ),
            "B6",
            returns="dx, np.squeeze(dgamma), np.squeeze(dbeta)",
        ),
        slip(
            "float32 inside",
            hints.in_float32("The gradients are computed", "x"),
            "B10",
            inv_std=Instead(
                """
                dtype = x.dtype
                dy, x, gamma = np.float32(dy), np.float32(x), np.float32(gamma)
                inv_std = 1 / np.sqrt(np.float32(running_var) + np.float32(eps))
                """
            ),
            x_hat="(x - np.float32(running_mean)) * inv_std",
            returns="dx.astype(dtype), dgamma.astype(dtype), dbeta.astype(dtype)",
        ),
        slip(
            "in place",
            hints.X_OVERWRITTEN_AT_INFERENCE,
            "B10",
            x_hat=Instead("x -= running_mean\nx_hat = x * inv_std"),
        ),
    ],
)
