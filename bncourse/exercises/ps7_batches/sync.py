"""The exercise sync_batch_statistics: its cases, right solutions and its known mistakes."""

import inspect

import numpy as np
import torch
import torch.distributed as dist

from bncourse.exercise import Case, Exercise
from bncourse.exercises.ps7_batches.inputs import NEAR_A_MILLION, TOLERANCE
from bncourse.exercises.ps7_batches.processes import call_in_processes
from bncourse.inputs import batch, cast
from bncourse.reference import batches
from bncourse.slips import Instead, Right

SEE = "F8"


def _cases(rng):
    def split(n, *firsts, d=4, **options):
        x = batch(rng, n=n, d=d, **options)
        # Each process sees data of another mean and scale.
        for first in firsts:
            x[first:] = 1.5 * x[first:] + rng.uniform(1.0, 2.0, d)
        return {f"shard {k}": shard.copy() for k, shard in enumerate(np.split(x, firsts))}

    def in_eighths(shards):
        # Three processes add in an order of their own. Sums of these numbers, and of the squares of
        # their deviations, are exact in float32, too, so the order does not show in a result.
        eighths = {name: np.round(8 * shard) for name, shard in shards.items()}
        whole = np.concatenate(list(eighths.values()))
        eighths["shard 0"][0] -= whole.sum(axis=0) % len(whole)
        return {name: shard / 8 for name, shard in eighths.items()}

    far = split(12, 4)
    far["shard 0"] += 1e6
    far["shard 1"] += 1e6
    return {
        "two shards of four": Case(split(8, 4)),
        "three examples and seven": Case(split(10, 3)),
        "one example and five": Case(split(6, 1)),
        "one feature that hardly varies": Case(
            {name: 1e-3 * shard for name, shard in split(9, 5, d=1).items()}
        ),
        "three processes": Case(in_eighths(split(12, 3, 8))),
        "mean near 1e6": Case(far, **NEAR_A_MILLION),
        "float32": Case(cast(split(10, 3), np.float32), "float32"),
        "float32 with mean near 1e4": Case(
            cast(split(10, 3, offset=1e4, scale=5.0), np.float32),
            "float32",
            rtol=3e-3,
            noisy=True,
        ),
    }


def _drive(obj, inputs):
    results = call_in_processes(obj, list(inputs.values()), ("mean", "var"))
    return {
        f"{label} in process {rank}": value
        for rank, result in enumerate(results)
        for label, value in result.items()
    }


def _reference(inputs):
    inputs = cast(inputs, np.float64)
    mean, var = batches.sync_batch_statistics(list(inputs.values()))
    named = {"mean": mean, "var": var}
    ranks = range(len(inputs))
    return {f"{label} in process {rank}": named[label] for rank in ranks for label in named}


def sync_batch_statistics(x):
    total = x.sum(0)
    count = torch.tensor(float(len(x)), dtype=x.dtype)
    dist.all_reduce(total)
    dist.all_reduce(count)
    mean = total / count
    squares = ((x - mean) ** 2).sum(0)
    dist.all_reduce(squares)
    var = squares / count
    return mean, var


def sync_by_merging(x):
    n = torch.tensor([float(len(x))], dtype=x.dtype)
    own_mean = x.mean(0)
    own_var = x.var(0, correction=0)
    sent = torch.cat([n, own_mean, own_var])
    everyone = [torch.empty_like(sent) for _ in range(dist.get_world_size())]
    dist.all_gather(everyone, sent)
    table = torch.stack(everyone)
    d = x.shape[1]
    counts, means, variances = table[:, :1], table[:, 1 : 1 + d], table[:, 1 + d :]
    weights = counts / counts.sum()
    mean = (weights * means).sum(0)
    within = (weights * variances).sum(0)
    between = (weights * (means - mean) ** 2).sum(0)
    var = within + between
    return mean, var


slip = Right(sync_batch_statistics).slip
merge = Right(sync_by_merging).slip

_MISTAKES = (
    slip(
        "nothing exchanged",
        "Each process returns the statistics of its own examples. Let the sums go through "
        "dist.all_reduce.",
        SEE,
        returns="x.mean(0), x.var(0, correction=0)",
    ),
    merge(
        "means averaged evenly",
        "The means and variances of the processes are averaged with equal weights. A process "
        "with more examples counts for more.",
        SEE,
        weights="torch.full_like(counts, 1 / len(counts))",
    ),
    merge(
        "between missing",
        "The variance is that around the mean of each process: the distance between the means is "
        "left out. Take squared distances from the mean of the whole batch, which must be there "
        "before you square.",
        SEE,
        var="within",
    ),
    merge(
        "means averaged, between missing",
        "Means and variances of the processes are averaged as they are. The processes hold "
        "different numbers of examples, and their means differ: add up sums, not averages.",
        SEE,
        weights="torch.full_like(counts, 1 / len(counts))",
        var="within",
    ),
    merge(
        "distance of the means not squared",
        "The distances between the means are not squared. A variance has squared units.",
        SEE,
        between="(weights * (means - mean).abs()).sum(0)",
    ),
    merge(
        "deviations merged",
        "Standard deviations are averaged. Only variances add up.",
        SEE,
        within="(weights * variances.sqrt()).sum(0) ** 2",
    ),
    slip(
        "count not exchanged",
        "The sums of all processes are divided by the number of examples of one. Exchange the "
        "count too.",
        SEE,
        mean="total / len(x)",
        var="squares / len(x)",
    ),
    slip(
        "count taken for even",
        "The count is len(x) times the number of processes. They may hold different numbers of "
        "examples: exchange the count.",
        SEE,
        mean="total / (len(x) * dist.get_world_size())",
        var="squares / (len(x) * dist.get_world_size())",
    ),
    slip(
        "squares not exchanged",
        "The squared deviations of one process are divided by the number of examples of all. "
        "Exchange them too; after async_op=True, wait() before you use them.",
        SEE,
        var="((x - mean) ** 2).sum(0) / count",
    ),
    slip(
        "variance of one process around the common mean",
        "The mean is that of the whole batch, and the variance is averaged over the examples of "
        "one process. Exchange the squares and divide by the number of all examples.",
        SEE,
        var="((x - mean) ** 2).mean(0)",
    ),
    slip(
        "mean of one process",
        "The mean that is returned is that of one process. Return the one of the whole batch.",
        SEE,
        returns="x.mean(0), var",
    ),
    slip(
        "unbiased variance",
        "The variance is the unbiased one, divided by the count minus 1. Batch norm normalises "
        "with the biased one.",
        SEE,
        var="squares / (count - 1)",
    ),
    slip(
        "unbiased by the processes",
        "One is taken off the count for each process. Use the biased variance, divided by the "
        "number of all examples.",
        SEE,
        var="squares / (count - dist.get_world_size())",
    ),
    slip(
        "cancellation",
        "The variance is computed as E[x^2] - E[x]^2, which is noise when the mean is large. "
        "Exchange the sums first, subtract the mean, then exchange the squares.",
        SEE,
        squares="(x**2).sum(0)",
        var="squares / count - mean**2",
    ),
    slip(
        "sum of squares",
        "The squared deviations are summed and not averaged. Divide by the number of all examples.",
        SEE,
        var="squares",
    ),
    slip(
        "sum in place of the mean",
        "The sum of all examples is returned in the place of their mean.",
        SEE,
        returns="total, var",
    ),
    slip(
        "standard deviation",
        "The standard deviation is returned. Return the variance.",
        SEE,
        returns="mean, var.sqrt()",
    ),
    slip(
        "statistics of each example",
        "The statistics are taken over the features of each example. They belong to each "
        "feature, over the examples of all processes: axis 0.",
        SEE,
        returns="x.mean(1), x.var(1, correction=0)",
    ),
    slip(
        "features pooled",
        "One mean and one variance serve all features. Each feature has its own.",
        SEE,
        returns="mean.mean().expand(x.shape[1]).clone(), var.mean().expand(x.shape[1]).clone()",
    ),
    slip(
        "result in the first process only",
        "dist.reduce hands the result to one process alone. dist.all_reduce hands it to all.",
        SEE,
        returns="(mean, var) if dist.get_rank() == 0 else (x.mean(0), x.var(0, correction=0))",
    ),
    slip(
        "kept dimensions",
        "The results kept the axis of the examples, shape (1, D). Return shape (D,).",
        SEE,
        returns="mean[None], var[None]",
    ),
    slip(
        "float32 inside",
        "float64 goes in, and float32 is what you compute with: it keeps seven digits. Compute "
        "in the dtype of x.",
        SEE,
        total=Instead("kind = x.dtype\nx = x.float()\ntotal = x.sum(0)"),
        returns="mean.to(kind), var.to(kind)",
    ),
    slip(
        "x centred in place",
        "x is overwritten, as by x -= mean. The caller still needs it: work on a new tensor.",
        SEE,
        squares=Instead("x -= mean\nsquares = (x**2).sum(0)"),
    ),
)


def _signature(x):
    """The function that the student writes."""


EXERCISE = Exercise(
    name="sync_batch_statistics",
    signature=inspect.signature(_signature),
    cases=_cases,
    drive=_drive,
    reference=_reference,
    see=SEE,
    insight="Three sums cross the network, whatever the number of examples: D + 1 + D numbers.",
    mistakes=_MISTAKES,
    tolerance=TOLERANCE,
    # A group has no ready-made batch norm on the CPU, and what a process calls stays in it.
    allows_ready_made=True,
)
