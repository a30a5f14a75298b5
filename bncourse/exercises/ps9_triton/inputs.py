"""Inputs of the kernels: images and rows, with blocks that fit and blocks that do not."""

import numpy as np

from bncourse.exercise import Case

EPS = 1e-5


def cases(rng, given):
    """Return ``{case name: Case}``.

    Args:
        rng: of the seed.
        given: ``(rng, x, eps) -> {name: array or number}``, the arrays of an exercise for x in
            float64, of shape (N, C, HW).
    """

    def case(n, c, hw, block, eps=EPS, dtype="float32", **options):
        arrays = given(rng, _batch(rng, n, c, hw), eps)
        return Case(_cast(arrays, dtype) | _sizes(n, c, hw, block), dtype, **options)

    return {
        "images, the last block half empty": case(3, 2, 4, 8),
        "one block, which is full": case(4, 2, 2, 8),
        "rows, one value of each example": case(6, 3, 1, 4),
        "one channel, one example": case(1, 1, 7, 4),
        "a block larger than a channel": case(3, 2, 2, 16, eps=0.5),
        "float16": case(5, 1, 3, 8, dtype="float16"),
    }


def _batch(rng, n, c, hw):
    means = rng.uniform(1.0, 3.0, (c, 1)) * rng.choice([-1, 1], (c, 1))
    return means + rng.uniform(0.5, 2.0, (c, 1)) * rng.standard_normal((n, c, hw))


def _cast(arrays, dtype):
    # What is of the size of x has its type; numbers of a channel are in float32.
    return {
        name: value.astype(dtype if value.ndim == 3 else "float32")
        if isinstance(value, np.ndarray)
        else value
        for name, value in arrays.items()
    }


def _sizes(n, c, hw, block):
    return {"n": n * hw, "C": c, "HW": hw, "BLOCK": block}


def of_channels(rng, count, low=0.5, high=2.0):
    """Return a number for each channel, away from 0 and 1 on average."""
    return rng.uniform(low, high, count)


def unwritten(*shape):
    """Return an array for a result: what a kernel does not write stays NaN."""
    return np.full(shape, np.nan)
