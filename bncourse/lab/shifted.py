"""A toy with covariate shift: the inputs move, the rule from input to target stays."""

from typing import NamedTuple

import numpy as np


class Normal(NamedTuple):
    """A normal distribution of the inputs."""

    mean: float
    std: float


TRAIN = Normal(0.0, 1.0)
TEST = Normal(1.2, 0.3)


def rule(x: np.ndarray) -> np.ndarray:
    """Return the expected target of an input, the same in training and at test time."""
    return np.sin(2 * x)


def sample(seed: int, inputs: Normal, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs from the given distribution and their noisy targets, (count,) each."""
    rng = np.random.default_rng(seed)
    x = rng.normal(*inputs, count)
    return x, rule(x) + rng.normal(0, 0.2, count)


def density(x: np.ndarray, inputs: Normal) -> np.ndarray:
    """Return the density of a normal distribution at x."""
    z = (x - inputs.mean) / inputs.std
    return np.exp(-(z**2) / 2) / (inputs.std * np.sqrt(2 * np.pi))


def weight(x: np.ndarray) -> np.ndarray:
    """Return (S2) p_test(x) / p_train(x)."""
    return density(x, TEST) / density(x, TRAIN)


def fit_line(x: np.ndarray, t: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return intercept and slope of the line with the least weighted squared error."""
    root = np.sqrt(weights)
    design = np.stack([np.ones_like(x), x], axis=1)
    return np.linalg.lstsq(design * root[:, None], t * root)[0]


def squared_error(fit: np.ndarray, x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return the squared error of a line on each example, (count,)."""
    return (fit[0] + fit[1] * x - t) ** 2
