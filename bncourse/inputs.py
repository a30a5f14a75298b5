"""Inputs that let no mistake hide, for the cases of the exercises.

N >= 4 and N != D; gamma, beta and running statistics away from 1 and 0, and of either sign where
they may be; columns of different mean and scale; an upstream gradient that is a random projection.
"""

import numpy as np

# Below the default of eps; a variance near 1e-6 beside it tells whether it is used as it comes.
SMALL_EPS = 3e-7


def batch(rng, n=7, d=4, offset=0.0, scale=1.0):
    """Return an (n, d) batch whose columns differ in mean and scale."""
    means = away_from_one(rng, d)
    scales = rng.uniform(0.5, 2.0, d)
    return offset + scale * (means + scales * rng.standard_normal((n, d)))


def far_from_zero(rng, d=4):
    """Return an (8, d) batch with mean near 1e4 whose mean float32 computes exactly.

    Eight multiples of 1/64 add up without rounding, so correct solutions agree in float32, while
    their squares are rounded to multiples of 8 and E[x^2] - E[x]^2 is noise.
    """
    return np.round(64 * batch(rng, n=8, d=d, offset=1e4)) / 64


def upstream(rng, n=7, d=4):
    """Return an (n, d) gradient that arrives: random, with a mean that no path can ignore.

    The gradients of sum(y) and sum(y^2) would let a missing mean or variance path pass.
    """
    return rng.uniform(0.5, 1.5, d) + rng.standard_normal((n, d))


def enlarged(inputs, names=("dy",)):
    """Return inputs some of which are ten thousand times as large: who cuts them must not pass."""
    return inputs | {name: 1e4 * inputs[name] for name in names}


def away_from_one(rng, d=4):
    """Return (d,) numbers of either sign, whose size is between a half and two."""
    return rng.uniform(0.5, 2.0, d) * rng.choice([-1, 1], d)


def scale_and_shift(rng, d=4):
    """Return gamma and beta, both (d,); who takes the size of a gamma only must not pass."""
    return {"gamma": away_from_one(rng, d), "beta": away_from_one(rng, d)}


def running(rng, d=4):
    """Return running statistics, both (d,), that are not those of a batch."""
    means = rng.uniform(1.0, 3.0, d) * rng.choice([-1, 1], d)
    return {"running_mean": means, "running_var": rng.uniform(2.0, 4.0, d)}


def cast(value, dtype):
    """Return ``value`` with every float array in ``dtype``, also inside dicts; order is kept.

    >>> cast({"x": np.ones(2), "n": 3}, np.float32)
    {'x': array([1., 1.], dtype=float32), 'n': 3}
    """
    if isinstance(value, dict):
        return {name: cast(item, dtype) for name, item in value.items()}
    is_float = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return value.astype(dtype) if is_float else value
