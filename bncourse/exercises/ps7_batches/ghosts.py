"""The exercise ghost_batchnorm: its cases, a right solution and its known mistakes."""

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

SEE = "F4"


def _cases(rng):
    def given(n, d=4, **options):
        # A drift, so that no two ghosts have alike statistics.
        drift = np.linspace(0.0, 3.0, n)[:, None] * rng.uniform(0.5, 1.5, d)
        return {"x": batch(rng, n=n, d=d, **options) + drift, **scale_and_shift(rng, d)}

    return {
        "three ghosts of four": Case(given(12) | {"ghost_size": 4, "eps": 1e-5}),
        "two ghosts of three, eps left at its default": Case(given(6) | {"ghost_size": 3}),
        "the last ghost is smaller": Case(given(11) | {"ghost_size": 4}),
        "the last ghost holds one example": Case(given(9) | {"ghost_size": 4, "eps": 0.1}),
        "one ghost": Case(given(7) | {"ghost_size": 7}),
        "ghosts larger than the batch": Case(given(7) | {"ghost_size": 32}),
        "ghosts of one example": Case(given(5) | {"ghost_size": 1, "eps": 0.1}),
        "one feature": Case(given(8, d=1) | {"ghost_size": 4}),
        "N, D and ghost_size all equal": Case(given(4) | {"ghost_size": 4}),
        "a variance smaller than eps": Case(
            given(12) | {"x": batch(rng, n=12, scale=1e-3), "ghost_size": 4, "eps": 1e-5}
        ),
        "a large eps": Case(given(12) | {"ghost_size": 4, "eps": 0.5}),
        "float32": Case(cast(given(12), np.float32) | {"ghost_size": 4}, "float32"),
        # Correct solutions agree to some 1e-4 only.
        "float32 with mean near 1e4": Case(
            cast(given(12, offset=1e4, scale=5.0), np.float32) | {"ghost_size": 4},
            "float32",
            rtol=3e-3,
            noisy=True,
        ),
        "a small eps": Case(
            given(12) | {"x": batch(rng, n=12, scale=1e-3), "ghost_size": 4, "eps": SMALL_EPS}
        ),
    }


def ghost_batchnorm(x, gamma, beta, ghost_size, eps=1e-5):
    parts = []
    for start in range(0, len(x), ghost_size):
        ghost = x[start : start + ghost_size]
        mean = ghost.mean(axis=0)
        var = ghost.var(axis=0)
        std = np.sqrt(var + eps)
        part = (ghost - mean) / std
        parts.append(part)
    x_hat = np.concatenate(parts)
    y = gamma * x_hat + beta
    return y


def in_place(x, gamma, beta, ghost_size, eps=1e-5):
    for start in range(0, len(x), ghost_size):
        ghost = x[start : start + ghost_size]
        ghost -= ghost.mean(axis=0)
        ghost /= np.sqrt((ghost**2).mean(axis=0) + eps)
    return gamma * x + beta


def dealt_out(x, gamma, beta, ghost_size, eps=1e-5):
    count = -(-len(x) // ghost_size)
    y = np.empty_like(x)
    for k in range(count):
        ghost = x[k::count]
        x_hat = (ghost - ghost.mean(axis=0)) / np.sqrt(ghost.var(axis=0) + eps)
        y[k::count] = gamma * x_hat + beta
    return y


def split_in_a_number(x, gamma, beta, ghost_size, eps=1e-5):
    parts = [
        (ghost - ghost.mean(axis=0)) / np.sqrt(ghost.var(axis=0) + eps)
        for ghost in np.array_split(x, min(ghost_size, len(x)))
    ]
    return gamma * np.concatenate(parts) + beta


def evened_out(x, gamma, beta, ghost_size, eps=1e-5):
    parts = [
        (ghost - ghost.mean(axis=0)) / np.sqrt(ghost.var(axis=0) + eps)
        for ghost in np.array_split(x, -(-len(x) // ghost_size))
    ]
    return gamma * np.concatenate(parts) + beta


def rest_left_raw(x, gamma, beta, ghost_size, eps=1e-5):
    ghost_size = min(ghost_size, len(x))
    whole = len(x) // ghost_size * ghost_size
    x_hat = x.copy()
    ghosts = x[:whole].reshape(-1, ghost_size, x.shape[1])
    mean = ghosts.mean(axis=1, keepdims=True)
    std = np.sqrt(ghosts.var(axis=1, keepdims=True) + eps)
    x_hat[:whole] = ((ghosts - mean) / std).reshape(whole, -1)
    return gamma * x_hat + beta


def rest_joins_the_last(x, gamma, beta, ghost_size, eps=1e-5):
    whole = max(len(x) // ghost_size, 1)
    edges = [k * ghost_size for k in range(1, whole)]
    parts = [
        (ghost - ghost.mean(axis=0)) / np.sqrt(ghost.var(axis=0) + eps)
        for ghost in np.split(x, edges)
    ]
    return gamma * np.concatenate(parts) + beta


RIGHT = Right(ghost_batchnorm)
slip = RIGHT.slip

EXERCISE = function_exercise(
    batches.ghost_batchnorm,
    returns="y",
    cases=_cases,
    see=SEE,
    insight="It is what data parallel training does by itself: each device is one ghost.",
    tolerance=TOLERANCE,
    mistakes=[
        slip(
            "one ghost of the whole batch",
            "The statistics are those of the whole batch, whatever ghost_size says. Each ghost has "
            "its own.",
            SEE,
            parts="[]\n    whole = x",
            mean="whole.mean(axis=0)",
            var="whole.var(axis=0)",
        ),
        slip(
            "variance of the whole batch",
            "The mean is that of the ghost, and the variance that of the whole batch. Both belong "
            "to the ghost.",
            SEE,
            var="x.var(axis=0)",
        ),
        slip(
            "mean of the whole batch",
            "The variance is that of the ghost, and the mean that of the whole batch. Both belong "
            "to the ghost.",
            SEE,
            mean="x.mean(axis=0)",
        ),
        slip(
            "statistics of the first ghost",
            "All ghosts are normalised by the statistics of the first one. Each has its own.",
            SEE,
            mean="x[:ghost_size].mean(axis=0)",
            var="x[:ghost_size].var(axis=0)",
        ),
        Mistake(
            "dealt out like cards",
            dealt_out,
            "Examples that lie apart share a ghost (0, k, 2k, ...). A ghost is a run of "
            "neighbouring examples.",
            SEE,
        ),
        Mistake(
            "size taken for a number",
            split_in_a_number,
            "ghost_size is taken for the number of ghosts. It is the number of examples in one.",
            SEE,
        ),
        Mistake(
            "ghosts made even",
            evened_out,
            "Where ghost_size does not divide N, np.array_split makes ghosts of about the same "
            "size. Each has ghost_size examples, and the last one what is left.",
            SEE,
        ),
        Mistake(
            "rest left as it is",
            rest_left_raw,
            "Where ghost_size does not divide N, the last examples are not normalised. They are a "
            "smaller ghost.",
            SEE,
        ),
        Mistake(
            "rest joins the last ghost",
            rest_joins_the_last,
            "Where ghost_size does not divide N, the last examples join the ghost before them. "
            "They are a smaller ghost of their own.",
            SEE,
        ),
        slip(
            "statistics of each example",
            hints.WRONG_AXIS,
            SEE,
            mean="ghost.mean(axis=1, keepdims=True)",
            var="ghost.var(axis=1, keepdims=True)",
        ),
        slip(
            "features pooled",
            "One mean and one variance serve all features of a ghost. Each feature has its own: "
            "reduce axis 0 only.",
            SEE,
            mean="ghost.mean()",
            var="ghost.var()",
        ),
        slip(
            "unbiased variance",
            hints.UNBIASED_VARIANCE,
            SEE,
            var="ghost.var(axis=0, ddof=min(1, len(ghost) - 1))",
        ),
        slip(
            "divided by ghost_size",
            "The sums over the last ghost are divided by ghost_size, although it holds fewer "
            "examples. Divide by the number that it holds.",
            SEE,
            mean="ghost.sum(axis=0) / ghost_size",
            var="((ghost - mean) ** 2).sum(axis=0) / ghost_size",
        ),
        slip(
            "cancellation",
            hints.CANCELLATION,
            SEE,
            var="(ghost**2).mean(axis=0) - mean**2",
        ),
        slip(
            "eps missing",
            "eps is missing under the root. A feature that hardly varies within a ghost is then "
            "blown up.",
            SEE,
            std="np.sqrt(var)",
        ),
        slip("eps outside the root", hints.EPS_OUTSIDE_THE_ROOT, SEE, std="np.sqrt(var) + eps"),
        *own_eps(slip, SEE, "std", "np.sqrt({})"),
        slip("root missing", hints.ROOT_MISSING, SEE, std="var + eps"),
        slip(
            "mean not subtracted",
            "The mean of the ghost is not subtracted. Centre first, then divide.",
            SEE,
            part="ghost / std",
        ),
        *scale_and_shift_slips(slip, SEE),
        slip(
            "list of ghosts",
            "The ghosts are stacked and not put back one behind the other: y has the shape of x.",
            SEE,
            x_hat="np.concatenate(parts)[None]",
        ),
        slip(
            "last ghost only",
            "Only the last ghost is returned: each turn of the loop overwrites the one before.",
            SEE,
            x_hat="parts[-1]",
        ),
        Mistake(
            "in place",
            in_place,
            "x is overwritten: a slice of an array is a view of it. Work on a new array.",
            SEE,
        ),
        *in_float32(
            slip,
            SEE,
            "The ghosts are",
            rounded={"ghost": "x[start : start + ghost_size].astype(np.float32).astype(x.dtype)"},
            inside={"ghost": "x[start : start + ghost_size].astype(np.float32)"},
        ),
    ],
)
