"""Inputs that the cases of several exercises of this set share."""

import numpy as np

# Inputs that let no mistake hide: N, C, H, W all different, except in the one case where all are
# equal, so that a scale on the wrong axis broadcasts without an error; channels and images of
# different mean and scale; gamma and beta away from 1 and 0; a random upstream gradient.


def images(rng, shape=(4, 3, 5, 6), offset=0.0, scale=1.0):
    """Return images whose channels differ in mean and scale, and whose images differ in mean."""
    n, c = shape[:2]
    means = rng.uniform(0.5, 2.0, (c, 1, 1)) * rng.choice([-1, 1], (c, 1, 1))
    scales = rng.uniform(0.5, 2.0, (c, 1, 1))
    pixels = means + scales * rng.standard_normal(shape) + rng.standard_normal((n, 1, 1, 1))
    return offset + scale * pixels


def rows(rng, n=7, d=4, offset=0.0, scale=1.0):
    """Return an (n, d) batch whose rows and columns differ in mean and scale."""
    values = rng.standard_normal((n, d)) * rng.uniform(0.5, 2.0, (n, 1))
    return offset + scale * (values + rng.uniform(1.0, 3.0, d) + rng.uniform(-2.0, 2.0, (n, 1)))


def channels_last_memory(x):
    """Return x with the same values, stored as NHWC and viewed as NCHW."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
