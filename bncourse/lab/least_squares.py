"""Linear least squares, the one problem whose training can be computed in closed form."""

from typing import NamedTuple

import numpy as np


class Spectrum(NamedTuple):
    """What the Hessian says about gradient descent."""

    condition: float
    best_lr: float
    rate: float


def loss(x: np.ndarray, t: np.ndarray, w: np.ndarray) -> float:
    """Return 1/(2N) |xw - t|^2.

    Args:
        x: (N, D) features.
        t: (N,) targets.
        w: (D,) weights.
    """
    return float(((x @ w - t) ** 2).mean() / 2)


def gradient(x: np.ndarray, t: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return the gradient (D,) of ``loss`` with respect to w; arguments as there."""
    return x.T @ (x @ w - t) / len(x)


def hessian(x: np.ndarray) -> np.ndarray:
    """Return the second derivative of ``loss``: (W4) H = x^T x / N, of shape (D, D)."""
    return x.T @ x / len(x)


def spectrum(x: np.ndarray) -> Spectrum:
    """Return condition number, best learning rate and rate of gradient descent.

    (W6) With the smallest and the largest eigenvalue of H: lr = 2 / (smallest + largest), and
    rate = (condition - 1) / (condition + 1).

    Args:
        x: (N, D) features with a Hessian of full rank.

    >>> spectrum(np.array([[1.0, 3], [1, -3], [-1, 3], [-1, -3]])).rate
    0.8
    """
    eigenvalues = np.linalg.eigvalsh(hessian(x))
    smallest, largest = float(eigenvalues[0]), float(eigenvalues[-1])
    condition = largest / smallest
    return Spectrum(condition, 2 / (smallest + largest), (condition - 1) / (condition + 1))


def descend(x: np.ndarray, t: np.ndarray, w: np.ndarray, lr: float, steps: int) -> np.ndarray:
    """Return the weights on the way of gradient descent, (steps + 1, D); arguments as ``loss``."""
    way = [w]
    for _ in range(steps):
        way.append(way[-1] - lr * gradient(x, t, way[-1]))
    return np.array(way)


def standardise(x: np.ndarray) -> np.ndarray:
    """Return x with mean 0 and standard deviation 1 in every column; constant columns become 0."""
    centred = x - x.mean(axis=0)
    std = centred.std(axis=0)
    return centred / np.where(std > 0, std, 1)


def whiten(x: np.ndarray) -> np.ndarray:
    """Return x centred and multiplied by the inverse root of its covariance.

    (W9) z = (x - mean) C^(-1/2), whose covariance is the identity.

    Args:
        x: (N, D) with a covariance of full rank, so N > D.
    """
    centred = x - x.mean(axis=0)
    eigenvalues, eigenvectors = np.linalg.eigh(hessian(centred))
    return centred @ (eigenvectors / np.sqrt(eigenvalues)) @ eigenvectors.T
