"""Batch norm over several workers: two real processes, and a model of a thousand."""

import os
import socket
import tempfile
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist

from bncourse.reference import forward

WORKERS = 2
# Numbers in a message: up to the channels of the widest layer of a ResNet-50, and far beyond.
MESSAGES = (129, 1025, 4097, 65_537, 1_048_577)
BATCH, FEATURES = (24, 40), 5  # examples of each worker: not the same number


def merge_all(
    counts: np.ndarray, means: np.ndarray, variances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (Y7), mean and biased variance of the union of the workers' batches.

    Args:
        counts: (P,) numbers of examples.
        means, variances: (P, C), of each worker; the variances are biased.

    Source: chan1983algorithms.
    """
    shares = (counts / counts.sum())[:, None]
    mean = (shares * means).sum(axis=0)
    return mean, (shares * (variances + (means - mean) ** 2)).sum(axis=0)


class Found(NamedTuple):
    """What two processes found."""

    means: np.ndarray  # (workers, features), after they talked
    variances: np.ndarray
    whole: tuple[np.ndarray, np.ndarray]  # mean and biased variance of the whole batch
    seconds: np.ndarray  # (messages, rounds) of an all-reduce

    def longer(self, message: int) -> float:
        """Return how many times as long a message takes as the shortest, the least of each."""
        return float(self.seconds[message].min() / self.seconds[0].min())


def batch_of(rank: int) -> np.ndarray:
    """Return the part (N, FEATURES) of the batch that a worker has: no two are alike."""
    rng = np.random.default_rng(rank)
    return 100 + 5 * rank + (1 + rank) * rng.standard_normal((BATCH[rank], FEATURES))


@cache
def two_processes(rounds: int = 25) -> Found:
    """Start two processes that share their statistics and time how long it takes to talk.

    They talk over the loopback interface by gloo, which is part of torch; each has one thread.

    Args:
        rounds: measurements of each length of a message.
    """
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_worker, (folder, rounds), nprocs=WORKERS)
        made = [dict(np.load(Path(folder, f"{rank}.npz"))) for rank in range(WORKERS)]
    whole = forward.batch_statistics(np.concatenate([batch_of(rank) for rank in range(WORKERS)]))
    means, variances = (np.stack([each[name] for each in made]) for name in ("mean", "var"))
    return Found(means, variances, whole, made[0]["seconds"])


def _worker(rank: int, folder: str, rounds: int) -> None:
    """Be one of the processes: talk, measure, and write what was found into the folder."""
    torch.set_num_threads(1)
    _talk_over_loopback()
    # A file, not a port: no other program can take it away in between.
    meeting = Path(folder, "meeting").as_uri()
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=WORKERS)
    try:
        mean, var = shared_statistics(torch.from_numpy(batch_of(rank)))
        seconds = [[_time_all_reduce(length) for _ in range(rounds)] for length in MESSAGES]
        np.savez(Path(folder, f"{rank}.npz"), mean=mean, var=var, seconds=seconds)
        dist.barrier()
    finally:
        dist.destroy_process_group()


def _talk_over_loopback() -> None:
    # The name of the machine may lead nowhere, in a sandbox or without a network.
    loopback = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    if loopback:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback[0])


def shared_statistics(x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and biased variance over all workers, (Y7)."""
    count = torch.tensor([len(x)]).to(x)
    mine = torch.cat([count, x.mean(0), x.var(0, correction=0)])
    all_of_them = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(all_of_them, mine)
    rows = torch.stack(all_of_them).numpy()
    means, variances = np.split(rows[:, 1:], 2, axis=1)
    return merge_all(rows[:, 0], means, variances)


def _time_all_reduce(length: int) -> float:
    message = torch.ones(length)
    dist.barrier()
    began = perf_counter()
    dist.all_reduce(message)
    return perf_counter() - began


def ring_all_reduce(parts: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Add up by passing parts around a ring, as real workers do, one round after the other.

    Args:
        parts: (P, n), what each worker has; n is a multiple of P.

    Returns:
        (P, n), what each has at the end; the number of rounds; the numbers a worker sends in one.

    Source: thakur2005optimization, a reduce-scatter and an all-gather.
    """
    count = len(parts)
    chunks = parts.reshape(count, count, -1).copy()
    ranks = np.arange(count)
    for turn in range(count - 1):
        # Worker r hands chunk r - turn to r + 1, which adds it to its own.
        which = (ranks - turn) % count
        chunks[(ranks + 1) % count, which] += chunks[ranks, which]
    for turn in range(count - 1):
        # Worker r has the whole sum of chunk r + 1 - turn and hands it on.
        which = (ranks + 1 - turn) % count
        chunks[(ranks + 1) % count, which] = chunks[ranks, which]
    return chunks.reshape(parts.shape), 2 * (count - 1), parts.shape[1] // count


def doubling_all_reduce(parts: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Add up by exchanging everything with a partner, then with the partner of a pair, and so on.

    Arguments and results as for ``ring_all_reduce``, with P a power of two.

    Source: thakur2005optimization, recursive doubling.
    """
    sums, rounds, distance = parts.copy(), 0, 1
    while distance < len(parts):
        sums = sums + sums[np.arange(len(parts)) ^ distance]
        rounds, distance = rounds + 1, 2 * distance
    return sums, rounds, parts.shape[1]


def ring(workers: np.ndarray, size: float, latency: float, per_byte: float) -> np.ndarray:
    """Return the seconds of an all-reduce around a ring, (Y8), first line.

    Args:
        workers: P, at least 2.
        size: of the message, in bytes.
        latency: seconds of a message of no length, alpha; per_byte: of each byte, beta.

    Source: thakur2005optimization.
    """
    return 2 * (workers - 1) * (latency + size / workers * per_byte)


def doubling(workers: np.ndarray, size: float, latency: float, per_byte: float) -> np.ndarray:
    """Return the seconds of an all-reduce by recursive doubling, (Y8), second line.

    Arguments and source as for ``ring``; P is a power of two.
    """
    return np.log2(workers) * (latency + size * per_byte)


# The stages of a ResNet-50: blocks and width, he2016deep.
_STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))


def resnet50_channels() -> list[int]:
    """Return the channels of each batch norm of a ResNet-50.

    >>> len(resnet50_channels()), sum(resnet50_channels())
    (53, 26560)

    Source: he2016deep.
    """
    channels = [64]
    for blocks, width in _STAGES:
        # The first block of a stage has a batch norm on its shortcut, too.
        channels += [4 * width] + blocks * [width, width, 4 * width]
    return channels


def resnet50_parameters() -> int:
    """Return the number of parameters of a ResNet-50 with 1,000 classes.

    >>> resnet50_parameters()
    25557032

    Source: he2016deep.
    """
    # The first convolution, the last layer with its bias, gamma and beta.
    total, inputs = 7 * 7 * 3 * 64 + 2048 * 1000 + 1000 + 2 * sum(resnet50_channels()), 64
    for blocks, width in _STAGES:
        total += inputs * 4 * width
        for _ in range(blocks):
            total += inputs * width + 9 * width * width + width * 4 * width
            inputs = 4 * width
    return total


def step_seconds(
    workers: int, latency: float, per_byte: float, way=doubling, size: int = 4
) -> float:
    """Return what synchronised statistics add to one training step of a ResNet-50.

    Each batch norm sends 2 C + 1 numbers forward and 2 C backward, and all wait for them.
    """
    messages = [size * n for c in resnet50_channels() for n in (2 * c + 1, 2 * c)]
    return float(sum(way(workers, each, latency, per_byte) for each in messages))


def gathered_bytes(workers: int, size: int = 4) -> int:
    """Return (Y9), the bytes that a worker receives where all statistics are sent to all."""
    return size * (workers - 1) * sum(2 * c + 1 for c in resnet50_channels())
