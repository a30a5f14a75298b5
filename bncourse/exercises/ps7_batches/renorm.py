"""The exercise batch_renorm_forward: its cases, a right solution and its known mistakes."""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.exercises import hints
from bncourse.exercises.ps7_batches.inputs import (
    TOLERANCE,
    in_float32,
    own_eps,
    scale_and_shift_slips,
)
from bncourse.inputs import SMALL_EPS, batch, cast, scale_and_shift
from bncourse.reference import batches
from bncourse.slips import Instead, Right

SEE = "A2"


def _cases(rng):
    def given(n=7, d=6, far=1.0, **options):
        x = batch(rng, n=n, d=d, **options)
        # As a running mean over batches like this one, off by up to its standard deviation.
        spread = x.std(axis=0) if n > 1 else np.ones(d)
        off = rng.uniform(0.3, 1.0, d) * rng.choice([-1, 1], d)
        running = {
            "running_mean": x.mean(axis=0) + far * off * spread,
            "running_std": spread * rng.uniform(1.3, 1.9, d) ** (far * rng.choice([-1, 1], d)),
        }
        return {"x": x, **scale_and_shift(rng, d), **running}

    def off_by(stretch, off):
        inputs = given()
        mean, std = inputs["x"].mean(axis=0), inputs["x"].std(axis=0)
        stretch, off = (np.array(each) * rng.uniform(0.95, 1.05, 6) for each in (stretch, off))
        return inputs | {"running_std": std * stretch, "running_mean": mean + off * std}

    def clipped():
        # One feature for each: r above, r below, d above, d below, both, none.
        return off_by([0.2, 5.0, 1.2, 0.9, 0.2, 1.1], [0.1, -0.3, -5.0, 4.0, 2.0, 0.4])

    # Clipped on one side only: who clips all features where one is too large must not pass.
    above = off_by([0.2, 0.3, 1.2, 0.9, 0.8, 1.1], [0.1, -0.3, -5.0, -4.0, -0.2, 0.4])
    below = off_by([5.0, 4.0, 1.2, 0.9, 0.8, 1.1], [0.1, -0.3, 6.0, 5.0, 0.2, 0.4])

    return {
        "nothing to clip": Case(given() | {"r_max": 3.0, "d_max": 5.0, "eps": 1e-5}),
        "some of it clipped, eps left at its default": Case(
            clipped() | {"r_max": 2.0, "d_max": 1.5}
        ),
        "other bounds": Case(clipped() | {"r_max": 1.5, "d_max": 2.5, "eps": 1e-5}),
        "too large only": Case(above | {"r_max": 2.0, "d_max": 1.5}),
        "too small only": Case(below | {"r_max": 2.0, "d_max": 1.5}),
        "no correction allowed": Case(given() | {"r_max": 1.0, "d_max": 0.0}),
        "no shift allowed": Case(given() | {"r_max": 3.0, "d_max": 0.0}),
        "no stretch allowed": Case(given() | {"r_max": 1.0, "d_max": 5.0}),
        "one example": Case(given(n=1) | {"r_max": 20.0, "d_max": 0.2, "eps": 0.1}),
        "one feature": Case(given(d=1) | {"r_max": 3.0, "d_max": 5.0}),
        "N equal to D": Case(given(n=6) | {"r_max": 3.0, "d_max": 5.0}),
        "a variance smaller than eps": Case(
            given(scale=1e-3) | {"r_max": 5.0, "d_max": 5.0, "eps": 1e-5}
        ),
        "a large eps": Case(given() | {"r_max": 3.0, "d_max": 5.0, "eps": 0.5}),
        "float32": Case(cast(given(), np.float32) | {"r_max": 3.0, "d_max": 5.0}, "float32"),
        # Correct solutions agree to some 1e-4 only.
        "float32 with mean near 1e4": Case(
            cast(given(offset=1e4, scale=5.0), np.float32) | {"r_max": 3.0, "d_max": 5.0},
            "float32",
            rtol=4e-3,
            noisy=True,
        ),
        "a small eps": Case(given(scale=1e-3) | {"r_max": 5.0, "d_max": 5.0, "eps": SMALL_EPS}),
    }


def batch_renorm_forward(x, gamma, beta, running_mean, running_std, r_max, d_max, eps=1e-5):
    mean = x.mean(axis=0)
    var = x.var(axis=0)
    std = np.sqrt(var + eps)
    stretch = std / running_std
    shift = (mean - running_mean) / running_std
    r = np.clip(stretch, 1 / r_max, r_max)
    d = np.clip(shift, -d_max, d_max)
    x_hat = (x - mean) / std
    corrected = x_hat * r + d
    y = gamma * corrected + beta
    return y, r, d


def in_place(x, gamma, beta, running_mean, running_std, r_max, d_max, eps=1e-5):
    mean, std = x.mean(axis=0), np.sqrt(x.var(axis=0) + eps)
    r = np.clip(std / running_std, 1 / r_max, r_max)
    d = np.clip((mean - running_mean) / running_std, -d_max, d_max)
    x -= mean
    x /= std
    return gamma * (x * r + d) + beta, r, d


def moved(x, gamma, beta, running_mean, running_std, r_max, d_max, eps=1e-5):
    mean, std = x.mean(axis=0), np.sqrt(x.var(axis=0) + eps)
    r = np.clip(std / running_std, 1 / r_max, r_max)
    d = np.clip((mean - running_mean) / running_std, -d_max, d_max)
    running_mean += 0.1 * (mean - running_mean)
    running_std += 0.1 * (std - running_std)
    return gamma * ((x - mean) / std * r + d) + beta, r, d


RIGHT = Right(batch_renorm_forward)
slip = RIGHT.slip

EXERCISE = function_exercise(
    batches.batch_renorm_forward,
    returns=("y", "r", "d"),
    cases=_cases,
    see=SEE,
    insight="Where nothing is clipped, y in training is what inference gives.",
    tolerance=TOLERANCE,
    mistakes=[
        slip(
            "r upside down",
            "r is the running standard deviation divided by that of the batch. It is the other "
            "way round: std / running_std.",
            SEE,
            stretch="running_std / std",
        ),
        slip(
            "r from variances",
            "r is a quotient of variances. It is one of standard deviations.",
            SEE,
            stretch="(var + eps) / running_std**2",
        ),
        slip(
            "root of running_std",
            "The root of running_std is taken. It is a standard deviation already.",
            SEE,
            stretch="std / np.sqrt(running_std)",
            shift="(mean - running_mean) / np.sqrt(running_std)",
        ),
        slip(
            "eps added to running_std",
            "eps enters running_std once more. It is in there already: divide by running_std.",
            SEE,
            stretch="std / np.sqrt(running_std**2 + eps)",
            shift="(mean - running_mean) / np.sqrt(running_std**2 + eps)",
        ),
        slip(
            "d of the other sign",
            "d has the wrong sign. It is (mean - running_mean) / running_std.",
            SEE,
            shift="(running_mean - mean) / running_std",
        ),
        slip(
            "d over the batch's deviation",
            "d is divided by the standard deviation of the batch. It is divided by running_std.",
            SEE,
            shift="(mean - running_mean) / std",
        ),
        slip(
            "d not divided",
            "d is mean - running_mean as it is. Divide it by running_std.",
            SEE,
            shift="mean - running_mean",
        ),
        slip(
            "r not clipped",
            "r is not clipped. It lies between 1 / r_max and r_max.",
            SEE,
            r="stretch",
        ),
        slip(
            "r clipped above only",
            "r is clipped above and not below, or below at 0 or -r_max. It lies between 1 / r_max "
            "and r_max: it is a factor, not a shift.",
            SEE,
            r="np.minimum(stretch, r_max)",
        ),
        slip(
            "r clipped at 1",
            "The lower bound of r is 1, so a batch that varies too little is not corrected. The "
            "bound is 1 / r_max.",
            SEE,
            r="np.clip(stretch, 1, r_max)",
        ),
        slip(
            "d not clipped",
            "d is not clipped. It lies between -d_max and d_max.",
            SEE,
            d="shift",
        ),
        slip(
            "d clipped above only",
            "d is clipped above and not below. It lies between -d_max and d_max.",
            SEE,
            d="np.minimum(shift, d_max)",
        ),
        slip(
            "d clipped at 0",
            "The lower bound of d is 0. It is -d_max: a mean may be too small, too.",
            SEE,
            d="np.clip(shift, 0, d_max)",
        ),
        slip(
            "bounds swapped",
            "r_max and d_max have changed places.",
            SEE,
            r="np.clip(stretch, 1 / max(d_max, 1), max(d_max, 1))",
            d="np.clip(shift, -r_max, r_max)",
        ),
        slip(
            "d added before r",
            "d is added before r multiplies, so r scales it too. It is x_hat r + d.",
            SEE,
            corrected="(x_hat + d) * r",
        ),
        slip(
            "d subtracted",
            "d is subtracted. It is added: x_hat r + d.",
            SEE,
            corrected="x_hat * r - d",
        ),
        slip(
            "divided by r",
            "The normalised batch is divided by r. It is multiplied: x_hat r + d.",
            SEE,
            corrected="x_hat / r + d",
        ),
        slip("d not added", "d is not added to y.", SEE, corrected="x_hat * r"),
        slip(
            "r not applied", "r does not multiply the normalised batch.", SEE, corrected="x_hat + d"
        ),
        slip(
            "batch norm",
            "y is plain batch norm: r and d are returned and not used. It is made of x_hat r + d.",
            SEE,
            corrected="x_hat",
        ),
        slip(
            "running statistics as they are",
            "y comes from the running statistics, whatever the bounds say. Where r or d is "
            "clipped, the two differ.",
            SEE,
            corrected="(x - running_mean) / running_std",
        ),
        slip(
            "d not scaled",
            "d is added after gamma has multiplied. It belongs to the normalised values: "
            "gamma (x_hat r + d) + beta.",
            SEE,
            y="gamma * x_hat * r + d + beta",
        ),
        slip(
            "eps added beside running_std",
            "eps is added to running_std. It is in it already: divide by running_std as it is.",
            SEE,
            stretch="std / (running_std + eps)",
            shift="(mean - running_mean) / (running_std + eps)",
        ),
        slip(
            "corrected after the scaling",
            "r and d are applied to gamma x_hat + beta. They belong to x_hat, before gamma and "
            "beta.",
            SEE,
            y="(gamma * x_hat + beta) * r + d",
        ),
        slip(
            "order of the results",
            "r and d are returned in the wrong order. Return (y, r, d).",
            SEE,
            returns="y, d, r",
        ),
        slip(
            "statistics of each example",
            hints.WRONG_AXIS,
            SEE,
            mean="x.mean(axis=1, keepdims=True)",
            var="x.var(axis=1, keepdims=True)",
        ),
        slip("features pooled", hints.POOLED_FEATURES, SEE, mean="x.mean()", var="x.var()"),
        slip(
            "unbiased variance",
            hints.UNBIASED_VARIANCE,
            SEE,
            var="x.var(axis=0, ddof=min(1, len(x) - 1))",
        ),
        slip("cancellation", hints.CANCELLATION, SEE, var="(x**2).mean(axis=0) - mean**2"),
        slip(
            "eps missing",
            "eps is missing under the root. A feature that hardly varies is then blown up, and a "
            "batch of one example divides by zero.",
            SEE,
            std="np.sqrt(var)",
        ),
        slip("eps outside the root", hints.EPS_OUTSIDE_THE_ROOT, SEE, std="np.sqrt(var) + eps"),
        *own_eps(slip, SEE, "std", "np.sqrt({})"),
        slip(
            "eps left out of r",
            "r is made of a standard deviation without eps, and x_hat of one with it. Both take "
            "sqrt(var + eps).",
            SEE,
            stretch="np.sqrt(var) / running_std",
        ),
        *scale_and_shift_slips(slip, SEE, "corrected"),
        slip(
            "one r for all",
            "One r and one d serve all features. Each feature has its own.",
            SEE,
            r="np.full_like(std, np.clip(stretch, 1 / r_max, r_max).mean())",
            d="np.full_like(std, np.clip(shift, -d_max, d_max).mean())",
        ),
        slip(
            "kept dimensions",
            "r and d kept the batch axis, shape (1, D). Their shape is (D,).",
            SEE,
            returns="y, r[None], d[None]",
        ),
        Mistake("in place", in_place, hints.X_OVERWRITTEN, SEE),
        Mistake(
            "running statistics moved",
            moved,
            "The running statistics are updated in place. This function only reads them: the "
            "caller moves them, after the step.",
            SEE,
        ),
        *in_float32(
            slip,
            SEE,
            "The batch is",
            rounded={
                "mean": Instead("x = x.astype(np.float32).astype(x.dtype)\nmean = x.mean(axis=0)")
            },
            inside={"mean": Instead("x = x.astype(np.float32)\nmean = x.mean(axis=0)")},
        ),
    ],
)
