"""The data of the experiments: nothing is downloaded unasked.

The digits are bundled with scikit-learn. Fashion-MNIST is read from where the Debian package
dataset-fashion-mnist puts it, if it is installed. MNIST alone is fetched, by Keras, and only where
somebody asks for it.
"""

import gzip
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Split(NamedTuple):
    """A data set in two parts."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor


def digits(seed: int = 0, test_share: float = 0.2) -> Split:
    """Return the handwritten digits: 1,797 images of 8 x 8 pixels in ten classes.

    Args:
        seed: of the shuffle before the split.
        test_share: part of the examples kept for testing.

    Returns:
        x (N, 64) in float32, pixels between 0 and 1; y (N,) in int64.

    >>> [tuple(part.shape) for part in digits()]
    [(1438, 64), (1438,), (359, 64), (359,)]

    Source: alpaydin1998optical.
    """
    rows = _bundled("digits.csv.gz", ",")
    x, y = torch.tensor(rows[:, :-1] / 16, dtype=torch.float32), torch.tensor(rows[:, -1]).long()
    return _split(x, y, seed, test_share)


@cache
def _bundled(name: str, delimiter: str | None = None) -> np.ndarray:
    """Return the numbers of a table of scikit-learn.

    Its import takes longer than many an experiment, and only its files are needed.
    """
    found = find_spec("sklearn")
    if found is None:
        raise ModuleNotFoundError("The data come with scikit-learn: pip install scikit-learn")
    return np.loadtxt(Path(found.origin).parent / "datasets" / "data" / name, delimiter=delimiter)


FASHION = Path("/usr/share/datasets/fashion-mnist")


def fashion_is_installed() -> bool:
    """Return whether the images of Fashion-MNIST are on this machine."""
    return FASHION.is_dir()


def fashion(seed: int = 0, train: int = 5000, test: int = 2000) -> Split:
    """Return some of the images of Fashion-MNIST: 28 x 28 pixels, ten kinds of clothes.

    Args:
        seed: of the choice.
        train, test: how many images of its 60,000 and 10,000.

    Returns:
        x (train, 784) in float32, pixels between 0 and 1; y (train,) in int64.

    Raises:
        FileNotFoundError: if the package is not installed.

    Source: xiao2017fashion.
    """
    files = [
        (
            _idx(FASHION / f"{name}-images-idx3-ubyte.gz"),
            _idx(FASHION / f"{name}-labels-idx1-ubyte.gz"),
        )
        for name in ("train", "t10k")
    ]
    return _chosen(files, seed, (train, test))


def mnist(seed: int = 0, train: int = 5000, test: int = 2000) -> Split:
    """Return some of the images of MNIST: handwritten digits of 28 x 28 pixels.

    Args:
        seed: of the choice.
        train, test: how many images of its 60,000 and 10,000.

    Returns:
        As ``fashion``.

    Raises:
        ConnectionError: if Keras has not fetched it before and there is no network.

    Source: lecun1998gradient.
    """
    return _chosen(_mnist_files(), seed, (train, test))


@cache
def _mnist_files() -> tuple:
    import keras

    try:
        return keras.datasets.mnist.load_data()
    # Keras raises a bare Exception where it cannot reach the file.
    except Exception as error:
        raise ConnectionError(
            "MNIST must be fetched once by keras.datasets.mnist, which needs a network. "
            f"Received: {error}"
        ) from error


def _chosen(files: Sequence, seed: int, counts: tuple[int, int]) -> Split:
    """Return so many images and labels, chosen at random, of a training and a test part."""
    rng = np.random.default_rng(seed)
    parts = []
    for (images, labels), count in zip(files, counts, strict=True):
        rows = rng.permutation(len(labels))[:count]
        pixels = images[rows].reshape(count, -1)
        parts += [
            torch.tensor(pixels / 255, dtype=torch.float32),
            torch.tensor(labels[rows]).long(),
        ]
    return Split(*parts)


@cache
def _idx(path: Path) -> np.ndarray:
    """Return the bytes of an idx file: byte 3 counts dimensions, then come their sizes."""
    with gzip.open(path) as file:
        content = file.read()
    dimensions = content[3]
    shape = np.frombuffer(content, ">u4", dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


DATASETS: dict[str, Callable[[int], Split]] = {
    "digits": digits,
    "fashion": fashion,
    "mnist": mnist,
}


def diabetes(seed: int = 0, test_share: float = 0.2) -> Split:
    """Return a regression task: ten measurements of 442 patients, and how the disease went on.

    Args:
        seed: of the shuffle before the split.
        test_share: part of the examples kept for testing.

    Returns:
        x (N, 10) in float32, standardised with the statistics of the training part; y (N, 1) in
        float32 in its own units, about 150 on average.

    Source: efron2004least.
    """
    files = _bundled("diabetes_data_raw.csv.gz"), _bundled("diabetes_target.csv.gz")[:, None]
    x, y = (torch.tensor(part, dtype=torch.float32) for part in files)
    split = _split(x, y, seed, test_share)
    mean, std = split.x.mean(0), split.x.std(0, correction=0)
    return split._replace(x=(split.x - mean) / std, x_test=(split.x_test - mean) / std)


def _split(x: Tensor, y: Tensor, seed: int, test_share: float) -> Split:
    order = torch.tensor(np.random.default_rng(seed).permutation(len(x)))
    count = round(len(x) * test_share)
    test, train = order[:count], order[count:]
    return Split(x[train], y[train], x[test], y[test])


def batches(x: Tensor, y: Tensor, size: int, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches without end; every epoch in a new order, its incomplete last batch left out.

    Args:
        x, y: examples in the first dimension.
        size: examples in a batch, at most as many as there are.
        seed: of the order.

    Raises:
        ValueError: if a batch needs more examples than there are.
    """
    if not 1 <= size <= len(x):
        raise ValueError(f"size must lie between 1 and {len(x)}. Received: size={size}")
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(x), generator=generator)
        for start in range(0, len(x) - size + 1, size):
            rows = order[start : start + size]
            yield x[rows], y[rows]
