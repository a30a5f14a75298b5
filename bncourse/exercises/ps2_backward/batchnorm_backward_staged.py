"""The exercise batchnorm_backward_staged: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, function_exercise
from bncourse.exercises import hints
from bncourse.exercises.ps1_forward.shared import TOLERANCE, own_eps
from bncourse.inputs import SMALL_EPS, batch, cast, enlarged, scale_and_shift, upstream
from bncourse.reference import backward
from bncourse.slips import Instead, Right


def _staged_cases(rng):
    def given(n=7, d=4, **options):
        return {
            "dy": upstream(rng, n, d),
            "x": batch(rng, n, d, **options),
            "gamma": scale_and_shift(rng, d)["gamma"],
        }

    by_column = {name: np.asfortranarray(value) for name, value in given().items()}
    constant = given() | {"x": np.column_stack([np.full(7, 3.0), batch(rng, d=3)])}
    return {
        "a random batch": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "a variance smaller than eps": Case(given(scale=1e-3) | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "one feature": Case(given(d=1)),
        "more features than examples": Case(given(n=4, d=9)),
        "as many features as examples": Case(given(n=5, d=5)),
        # With a small eps every dx is nearly zero here, and rounding would be all there is.
        "two examples": Case(given(n=2) | {"eps": 0.5}),
        "one example": Case(given(n=1) | {"eps": 0.5}),
        "a gamma of zero": Case(given() | {"gamma": np.array([0.0, 0.7, -1.3, 2.0])}),
        "a constant feature": Case(constant | {"eps": 1e-2}),
        # The mean is rounded to 1e-10 there, against a spread of 0.1; sums of both signs and the
        # third power in dvar make more of it.
        "mean near 1e6": Case(given(n=50, offset=1e6, scale=0.1), rtol=1e-5, noisy=True),
        "stored column by column": Case(by_column),
        "float32": Case(cast(given(), np.float32), "float32"),
        "a small eps": Case(given(scale=1e-3) | {"eps": SMALL_EPS}),
        "large gradients": Case(enlarged(given())),
    }


def batchnorm_backward_staged(dy, x, gamma, eps=1e-5):
    N = len(x)
    mean = x.mean(axis=0)
    centred = x - mean
    var = (centred**2).mean(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = centred * inv_std
    dgamma = (dy * x_hat).sum(axis=0)
    dbeta = dy.sum(axis=0)
    dx_hat = dy * gamma
    dvar = -0.5 * (dx_hat * centred).sum(axis=0) * inv_std**3
    dmean = -(dx_hat * inv_std).sum(axis=0)
    through_var = dvar * 2 * centred / N
    through_mean = dmean / N
    dx = dx_hat * inv_std + through_var + through_mean
    statistics = {"dvar": dvar, "dmean": dmean}
    gradients = {"dx_hat": dx_hat, **statistics, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}
    return gradients


RIGHT = Right(batchnorm_backward_staged)
slip = RIGHT.slip

EXERCISE = function_exercise(
    backward.batchnorm_backward_staged,
    returns={"gradients": ("dx_hat", "dvar", "dmean", "dx", "dgamma", "dbeta")},
    cases=_staged_cases,
    see="B5",
    normalised="batch",
    insight="Each stage needs its own inputs and the gradient that arrives, and nothing else.",
    tolerance=TOLERANCE,
    chained=True,
    mistakes=[
        slip(
            "variance path missing",
            "dx leaves out the path through the variance. x reaches x_hat on three ways: directly, "
            "through var and through mean.",
            "B5",
            dx="dx_hat * inv_std + through_mean",
        ),
        slip(
            "mean path missing",
            "dx leaves out the path through the mean. Add dmean / N for each example.",
            "B5",
            dx="dx_hat * inv_std + through_var",
        ),
        slip(
            "statistics held constant",
            "dx holds the direct path only, as if mean and var did not depend on x. In training "
            "they do: add both paths.",
            "B5",
            dx="dx_hat * inv_std",
        ),
        slip(
            "direct path not scaled",
            "The direct path of dx lacks the factor inv_std, which x - mean is multiplied by on "
            "the way to x_hat.",
            "B5",
            dx="dx_hat + through_var + through_mean",
        ),
        slip(
            "gamma forgotten",
            "gamma is missing: y = gamma x_hat + beta, so dx_hat = dy gamma.",
            "B2",
            dx_hat="dy",
        ),
        slip(
            "half forgotten",
            "dvar is twice too large. The derivative of (var + eps)^(-1/2) carries a factor -1/2.",
            "B3",
            dvar="-(dx_hat * centred).sum(axis=0) * inv_std**3",
        ),
        slip(
            "sign of dvar",
            "dvar has the wrong sign. The derivative of (var + eps)^(-1/2) carries a factor -1/2.",
            "B3",
            dvar="0.5 * (dx_hat * centred).sum(axis=0) * inv_std**3",
        ),
        slip(
            "wrong power",
            "dvar has the wrong power of (var + eps). The derivative of the power -1/2 has the "
            "power -3/2, which is inv_std cubed.",
            "B3",
            dvar="-0.5 * (dx_hat * centred).sum(axis=0) * inv_std",
        ),
        slip(
            "dvar from x_hat",
            "dvar is taken with x_hat. (B3) multiplies by x - mean, which is not scaled yet.",
            "B3",
            dvar="-0.5 * (dx_hat * x_hat).sum(axis=0) * inv_std**3",
        ),
        slip(
            "eps missing in dvar",
            "dvar is made with var without eps, and inv_std with it. (B3) has var + eps.",
            "B3",
            dvar="-0.5 * (dx_hat * centred).sum(axis=0) * var**-1.5",
        ),
        slip(
            "eps missing in one factor of dvar",
            "In dvar one factor is var where var + eps belongs: the derivative of 1 / std is "
            "-1 / std^2, and std^2 is var + eps.",
            "B3",
            dvar="-0.5 * (dx_hat * centred).sum(axis=0) * inv_std / var",
        ),
        slip(
            "means in place of sums",
            "dvar and dmean are averaged over the batch and not divided by N again, so dx is right "
            "and they are not. A gradient of what all examples share is a sum over them.",
            "B3",
            dvar="-0.5 * (dx_hat * centred).mean(axis=0) * inv_std**3",
            dmean="-(dx_hat * inv_std).mean(axis=0)",
            through_var="dvar * 2 * centred",
            through_mean="dmean",
        ),
        slip(
            "sign of dmean",
            "dmean has the wrong sign: the mean is subtracted in x_hat.",
            "B4",
            dmean="(dx_hat * inv_std).sum(axis=0)",
        ),
        slip(
            "dmean not scaled",
            "dmean lacks the factor inv_std: x - mean is multiplied by it on the way to x_hat.",
            "B4",
            dmean="-dx_hat.sum(axis=0)",
        ),
        slip(
            "two forgotten",
            "The path through the variance is half as large as it should be: the derivative of "
            "the square (x - mean)^2 brings a factor 2.",
            "B5",
            through_var="dvar * centred / N",
        ),
        slip(
            "x_hat in the place of x - mean",
            hints.X_HAT_FOR_X_MINUS_MEAN,
            "B5",
            through_var="dvar * 2 * x_hat / N",
        ),
        slip(
            "dmean not summed",
            "In dx the gradient of the mean is taken of each example by itself. Every example "
            "moves the mean, so each receives the same share of the sum: dmean / N.",
            "B5",
            through_mean="-dx_hat * inv_std / N",
        ),
        slip(
            "dmean not divided by N",
            "dmean enters dx undivided. The mean is an average over N examples, so each receives "
            "dmean / N.",
            "B5",
            through_mean="dmean",
        ),
        slip(
            "dvar not divided by N",
            "dvar enters dx undivided. The variance is an average over N examples, so each "
            "receives 2 dvar (x - mean) / N.",
            "B5",
            through_var="dvar * 2 * centred",
        ),
        slip(
            "not divided by N",
            "dvar and dmean enter dx undivided. mean and var are averages over N examples, so "
            "each example receives a share of 1/N.",
            "B5",
            through_var="dvar * 2 * centred",
            through_mean="dmean",
        ),
        slip(
            "N of the wrong axis",
            hints.N_OF_THE_WRONG_AXIS,
            "B5",
            N="x.shape[1]",
        ),
        slip(
            "divided by N - 1",
            "dvar enters dx divided by N - 1. The batch was normalised with the biased variance: "
            "divide by N.",
            "B5",
            through_var="dvar * 2 / (N - 1) * centred",
        ),
        slip(
            "unbiased variance",
            hints.UNBIASED_VARIANCE,
            "B3",
            var="x.var(axis=0, ddof=1)",
        ),
        slip(
            "eps missing",
            "eps is missing under the root. Backward must use the same inv_std as forward.",
            "B3",
            inv_std="1 / np.sqrt(var)",
        ),
        slip(
            "eps outside the root",
            hints.EPS_OUTSIDE_THE_ROOT,
            "B3",
            inv_std="1 / (np.sqrt(var) + eps)",
        ),
        *own_eps(slip, "B3", "centred", "x - mean"),
        slip(
            "eps subtracted",
            hints.EPS_SUBTRACTED,
            "B3",
            inv_std="1 / np.sqrt(var - eps)",
        ),
        slip(
            "cancellation",
            hints.CANCELLATION,
            "B3",
            var="(x**2).mean(axis=0) - mean**2",
        ),
        slip(
            "wrong axis",
            hints.WRONG_AXIS,
            "B3",
            mean="x.mean(axis=1, keepdims=True)",
            var="x.var(axis=1, keepdims=True)",
        ),
        slip(
            "dgamma and dbeta swapped",
            hints.DGAMMA_AND_DBETA_SWAPPED,
            "B6",
            dgamma="dy.sum(axis=0)",
            dbeta="(dy * x_hat).sum(axis=0)",
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
            "dgamma from x",
            hints.DGAMMA_FROM_X,
            "B6",
            dgamma="(dy * x).sum(axis=0)",
        ),
        slip(
            "gamma in dgamma",
            "dgamma and dbeta are multiplied by gamma: they are made from dx_hat. Make them from "
            "dy as it arrives.",
            "B6",
            dgamma="(dy * gamma * x_hat).sum(axis=0)",
            dbeta="(dy * gamma).sum(axis=0)",
        ),
        slip(
            "kept dimensions",
            "The sums over the batch kept its axis, shape (1, D). A gradient has the shape of what "
            "it belongs to, here (D,): drop keepdims.",
            "B6",
            dgamma="(dy * x_hat).sum(axis=0, keepdims=True)",
            dbeta="dy.sum(axis=0, keepdims=True)",
            dvar="-0.5 * (dx_hat * centred).sum(axis=0, keepdims=True) * inv_std**3",
            dmean="-(dx_hat * inv_std).sum(axis=0, keepdims=True)",
        ),
        slip(
            "squeezed",
            hints.squeezed(
                "with one example or one feature the gradients lose their shape",
                "Sum over axis 0 without keepdims and leave squeeze out.",
            ),
            "B6",
            returns="{name: np.squeeze(value) for name, value in gradients.items()}",
        ),
        slip(
            "float32 inside",
            hints.in_float32("The gradients are computed", "x"),
            "B5",
            N=Instead(
                """
                dtype = x.dtype
                dy, x, gamma = np.float32(dy), np.float32(x), np.float32(gamma)
                N = len(x)
                """
            ),
            inv_std="1 / np.sqrt(var + np.float32(eps))",
            returns="{name: value.astype(dtype) for name, value in gradients.items()}",
        ),
        slip(
            "in place",
            "The gradient that arrives is overwritten (dy *= gamma). The caller may still need "
            "it. Write dy * gamma into a new array.",
            "B2",
            dx_hat=Instead("dy *= gamma\ndx_hat = dy"),
        ),
    ],
)
