"""What batch norm costs one machine: bytes that move, operations, and time against a copy."""

from collections.abc import Callable, Iterator
from functools import cache
from time import thread_time
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from bncourse.lab.threads import one_thread
from bncourse.reference import forward

# What each pass reads and writes, in units of the bytes of x, and its operations on each number.
# The vectors of C numbers (statistics, scale and shift) do not count.


class Pass(NamedTuple):
    """One pass over a layer: (Y1), and the operations that (Y3) needs."""

    reads: int
    writes: int
    operations: int

    @property
    def copies(self) -> float:
        """Its bytes over those of a copy, which reads and writes each number once."""
        return (self.reads + self.writes) / 2

    def intensity(self, size: int = 4) -> float:
        """Return operations per byte, for numbers of ``size`` bytes."""
        return self.operations / ((self.reads + self.writes) * size)


PASSES = {
    "copy": Pass(1, 1, 0),
    # y = s x + o.
    "inference": Pass(1, 1, 2),
    # Statistics (4: a sum; centre, square, sum), then as at inference with the centre (3).
    "training, forward": Pass(2, 1, 7),
    # Two sums (4: a sum; centre, multiply, sum), then dx (5).
    "training, backward": Pass(4, 1, 9),
}


class Memory:
    """An array that counts what is read and written, a block of rows at a time.

    >>> x = Memory(np.zeros((6, 2)))
    >>> sum(len(rows) for _, rows in x.blocks(4)), x.read
    (6, 12)
    """

    def __init__(self, array: np.ndarray):
        self.array, self.read, self.written = array, 0, 0

    def blocks(self, rows: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield the blocks and their places, each number read once."""
        for start in range(0, len(self.array), rows):
            place = slice(start, start + rows)
            self.read += self.array[place].size
            yield place, self.array[place]

    def write(self, place: slice, values: np.ndarray) -> None:
        self.array[place] = values
        self.written += values.size


def statistics_in_one_read(x: Memory, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and biased variance, each number read once: blocks are merged by (F8).

    With one row a block it is Welford's recursion, (Y2).

    Args:
        x: of an array (N, D).
        rows: of a block, all that has to fit into the cache.

    Source: welford1962note for one row, chan1983algorithms for many.
    """
    width = x.array.shape[1]
    count, mean, var = 0, np.zeros(width), np.zeros(width)
    for _, block in x.blocks(rows):
        described = len(block), *forward.batch_statistics(block)
        count, mean, var = forward.merge_statistics(count, mean, var, *described)
    return mean, var


def streamed_forward(
    x: Memory, y: Memory, gamma: np.ndarray, beta: np.ndarray, rows: int, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray]:
    """Write batch norm of x, (N, D), into y in two reads and one write; return mean and variance.

    (Y1), first line. Arguments as for ``forward.batchnorm_forward``, rows as above.
    """
    mean, var = statistics_in_one_read(x, rows)
    for place, block in x.blocks(rows):
        y.write(place, gamma * forward.normalize(block, mean, var, eps) + beta)
    return mean, var


def streamed_backward(
    dy: Memory,
    x: Memory,
    dx: Memory,
    gamma: np.ndarray,
    statistics: tuple[np.ndarray, np.ndarray],
    rows: int,
    eps: float = 1e-5,
) -> tuple[np.ndarray, np.ndarray]:
    """Write (B7) into dx in four reads and one write; return dgamma and dbeta.

    (Y1), second line. Arguments as above, all matrices (N, D).
    """
    mean, var = statistics
    count, inv_std = len(x.array), 1 / np.sqrt(var + eps)

    def both() -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        for (place, g), (_, block) in zip(dy.blocks(rows), x.blocks(rows), strict=True):
            yield place, g, (block - mean) * inv_std

    dgamma = dbeta = np.zeros_like(gamma)
    for _, g, x_hat in both():
        dgamma, dbeta = dgamma + (g * x_hat).sum(axis=0), dbeta + g.sum(axis=0)
    for place, g, x_hat in both():
        dx.write(place, gamma * inv_std * (g - dbeta / count - x_hat * dgamma / count))
    return dgamma, dbeta


def welford(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and biased variance of (N, D), an example at a time, (Y2).

    Source: welford1962note.
    """
    mean = squares = np.zeros_like(x[0])
    for k, example in enumerate(x, start=1):
        before = example - mean
        mean = mean + before / k
        squares = squares + before * (example - mean)
    return mean, squares / len(x)


def attainable(intensity: np.ndarray, peak: float, bandwidth: float) -> np.ndarray:
    """Return (Y3), the operations a second that a kernel can reach.

    Args:
        intensity: operations per byte.
        peak: operations a second; bandwidth: bytes a second.

    Source: williams2009roofline.
    """
    return np.minimum(peak, np.asarray(intensity) * bandwidth)


class Race(NamedTuple):
    """What came of calls that took turns."""

    seconds: dict[str, np.ndarray]  # (rounds,) of each call

    def over(self, name: str, base: str = "copy") -> np.ndarray:
        """Return the time of a call over that of another in the same round, (rounds,)."""
        return self.seconds[name] / self.seconds[base]

    def least(self, name: str) -> float:
        """Return the least time of a call, what it takes when nothing disturbs it."""
        return float(self.seconds[name].min())


def race(calls: dict[str, Callable[[], object]], rounds: int, repeat: int = 1) -> Race:
    """Time calls in turns, in seconds of processor time of this thread.

    What else runs on the machine slows neighbours in time alike, and the ratio of two calls in
    one round feels it less than their times do. The first round warms up and does not count.

    Args:
        calls: by name, without arguments.
        rounds: number of measurements of each call.
        repeat: how often a call runs in one measurement.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            began = thread_time()
            for _ in range(repeat):
                call()
            seconds[name].append((thread_time() - began) / repeat)
    return Race({name: np.array(found[1:]) for name, found in seconds.items()})


SMALL, LARGE = (256, 1024), (64, 64, 56, 56)


def shown(shape: tuple[int, ...]) -> str:
    """Return a shape in words of a table: its lengths with a cross between them."""
    return " \N{MULTIPLICATION SIGN} ".join(map(str, shape))


@cache
@one_thread()
def passes(
    shape: tuple[int, ...] = LARGE, rounds: int = 7, dtype: torch.dtype = torch.float32
) -> Race:
    """Time the passes of a batch norm against a copy of its input.

    Copy, inference and training write into memory that is there already. The backward pass, the
    written-out forward pass and "copy, new memory" ask for theirs.

    Args:
        shape: of the input, features or channels second.
        rounds: number of measurements.
        dtype: of the input; parameters and statistics are float32.
    """
    generator = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(shape, generator=generator).to(dtype) for _ in range(2))
    y, channels = torch.empty_like(x), shape[1]
    gamma, beta = torch.ones(channels), torch.zeros(channels)
    run_mean, run_var = torch.zeros(channels), torch.ones(channels)
    vectors = {"save_mean": torch.empty(channels), "save_invstd": torch.empty(channels)}
    dims, like = _axes(shape)
    norm, backward = torch.ops.aten.native_batch_norm, torch.ops.aten.native_batch_norm_backward
    _, mean, inv_std = norm(x, gamma, beta, run_mean, run_var, True, 0.1, 1e-5)

    def layer(training: bool) -> Callable[[], object]:
        state = gamma, beta, run_mean, run_var, training, 0.1, 1e-5
        return lambda: norm.out(x, *state, out=y, **vectors)

    saved = gamma, run_mean, run_var, mean, inv_std, True, 1e-5, [True] * 3
    calls = {
        "copy": lambda: y.copy_(x),
        "inference": layer(False),
        "training, forward": layer(True),
        "training, backward": lambda: backward(dy, x, *saved),
        "copy, new memory": x.clone,
        "written out": lambda: written_out(x, gamma.view(like), beta.view(like), dims),
    }
    return race(calls, rounds, repeat=min(8, max(1, 2**20 // x.numel())))


def _axes(shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the axes of the statistics, and the shape of a vector that broadcasts."""
    return (0, *range(2, len(shape))), (1, shape[1], *[1] * (len(shape) - 2))


def written_out(
    x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, dims: tuple[int, ...]
) -> torch.Tensor:
    """Return batch norm of x as the formulas stand there, one operation after the other."""
    centred = x - x.mean(dims, keepdim=True)
    var = (centred * centred).mean(dims, keepdim=True)
    return gamma * (centred / torch.sqrt(var + 1e-5)) + beta


# Reads and writes of ``written_out``: mean; subtract; multiply; mean; divide; scale; shift.
WRITTEN_OUT = Pass(7, 5, 7)


# Images before and after the convolution that batch norm is folded into, and its 3 x 3 filters.
FOLDED = (4, 64, 28, 28)
CONVOLUTION = Pass(1, 1, 2 * 9 * FOLDED[1])


@cache
@one_thread()
def folding(rounds: int = 7) -> Race:
    """Time a convolution alone, followed by batch norm at inference, and with it folded in."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(FOLDED, generator=generator)
    conv = nn.utils.skip_init(nn.Conv2d, 64, 64, 3, padding=1, bias=False)
    with torch.no_grad():
        conv.weight.normal_(0, 0.05, generator=generator)
    two = nn.Sequential(conv, nn.BatchNorm2d(64)).eval()
    one = nn.utils.fuse_conv_bn_eval(*two)
    with torch.no_grad():
        return race({"conv": lambda: conv(x), "two": lambda: two(x), "one": lambda: one(x)}, rounds)


class Machine(NamedTuple):
    """The two numbers of a roofline, of one thread, and what the layers reach under it."""

    peak: float  # operations a second, the most of a product of matrices and the convolution
    bandwidth: float  # bytes a second, the most of a copy and of inference
    reached: dict[str, tuple[float, float]]  # by name: operations per byte, operations a second

    @property
    def ridge(self) -> float:
        """The operations per byte at which memory ceases to be the limit."""
        return self.peak / self.bandwidth


@cache
@one_thread()
def machine(rounds: int = 7, side: int = 1024) -> Machine:
    """Measure a roofline with the least time of each call, for that is what the machine can do."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn((side, side), generator=generator)
    out = torch.empty_like(a)
    product = race({"product": lambda: torch.mm(a, a, out=out)}, rounds).least("product")
    found, numbers = passes(), float(np.prod(LARGE))
    reached = {
        name: (each.intensity(), each.operations * numbers / found.least(name))
        for name, each in PASSES.items()
        if each.operations
    }
    rate = CONVOLUTION.operations * np.prod(FOLDED) / folding().least("conv")
    reached["convolution"] = CONVOLUTION.intensity(), float(rate)
    fastest = min(found.least("copy"), found.least("inference"))
    return Machine(max(2 * side**3 / product, rate), 2 * 4 * numbers / fastest, reached)
