"""The relatives of batch norm as layers, many networks side by side, and one grid for all of them.

The input of every layer is (members, N, width), as in ``ensemble``: each member is a network of its
own. A layer has a scale and a shift, and stored statistics where its paper has them.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from bncourse.lab import ensemble
from bncourse.lab.experiments import SEEDS
from bncourse.lab.once import once
from bncourse.lab.threads import one_thread

WIDTH, SHALLOW, DEEP = 50, 3, 20
GROUPS = 10
GHOST = 16
EPS = 1e-5


class Norm(nn.Module):
    """What all layers share: scale, shift, and running statistics, PyTorch's way.

    Args:
        members, width: of the input (members, N, width).
    """

    def __init__(self, members: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(members, 1, width))
        self.bias = nn.Parameter(torch.zeros(members, 1, width))
        self.register_buffer("mean", torch.zeros(members, 1, width))
        self.register_buffer("var", torch.ones(members, 1, width))
        self.heard: list[tuple[Tensor, Tensor]] | None = None

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * self.normalized(x) + self.bias

    def normalized(self, x: Tensor) -> Tensor:
        """Return what the scale multiplies."""
        raise NotImplementedError

    @torch.no_grad()
    def store(self, mean: Tensor, var: Tensor, n: int) -> None:
        """Move the running statistics a tenth of the way, to the unbiased variance."""
        if self.heard is not None:
            self.heard.append((mean, var))
            return
        self.mean.lerp_(mean, 0.1)
        self.var.lerp_(var * n / max(n - 1, 1), 0.1)


def standardized(x: Tensor, mean: Tensor, var: Tensor, eps: float = EPS) -> Tensor:
    """Return x less the mean, divided by the root of the variance."""
    return (x - mean) * torch.rsqrt(var + eps)


def weighed(x: Tensor, mean: Tensor, var: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Return mean and variance of a population in which each example itself has a share, (A9).

    Args:
        x: (members, N, width); each entry is weighed into statistics of its own.
        mean, var: (members, 1, width), those of the population.
        alpha: the share of the example, from 0 to below 1.

    Source: summers2020four.
    """
    if not alpha:
        return mean, var
    square = (1 - alpha) * (var + mean**2) + alpha * x**2
    shifted = (1 - alpha) * mean + alpha * x
    return shifted, square - shifted**2


def moments(x: Tensor, axis: int | tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance over an axis, which stays with length 1."""
    var, mean = torch.var_mean(x, dim=axis, correction=0, keepdim=True)
    return mean, var


class Batch(Norm):
    """Batch norm, of the whole batch or of groups of it, its ghosts.

    Args:
        members, width: of the input.
        ghost: examples in a group; a smaller batch is one group.

    At inference the example itself may have a share ``alpha`` in the statistics, (A9).

    Source: ioffe2015batch; hoffer2017train; summers2020four.
    """

    def __init__(self, members: int, width: int, ghost: int | None = None):
        super().__init__(members, width)
        self.ghost, self.alpha = ghost, 0.0

    def normalized(self, x: Tensor) -> Tensor:
        if not self.training:
            return standardized(x, *weighed(x, self.mean, self.var, self.alpha))
        n = min(self.ghost or x.shape[1], x.shape[1])
        groups = x.unflatten(1, (-1, n))
        mean, var = moments(groups, 2)
        self.store(mean.mean(1), var.mean(1), n)
        return standardized(groups, mean, var).flatten(1, 2)


def ghost(members: int, width: int) -> Batch:
    """Return batch norm with ghost batches of GHOST examples."""
    return Batch(members, width, GHOST)


class Renorm(Norm):
    """Batch renormalization: in training, too, about what inference gives.

    (A2) x_hat r + d with r = clip(sigma_batch / sigma) and d = clip((mean_batch - mean) / sigma),
    both without a gradient. For the first steps it is batch norm.

    Args:
        members, width: of the input.
        warm: steps with r = 1 and d = 0.
        r_max, d_max: r lies between 1 / r_max and r_max, d between -d_max and d_max.

    Source: ioffe2017renorm.
    """

    def __init__(
        self, members: int, width: int, warm: int = 50, r_max: float = 3.0, d_max: float = 5.0
    ):
        super().__init__(members, width)
        self.warm, self.r_max, self.d_max = warm, r_max, d_max

    def normalized(self, x: Tensor) -> Tensor:
        if not self.training:
            return standardized(x, self.mean, self.var)
        mean, var = moments(x, 1)
        x_hat = standardized(x, mean, var)
        if self.warm > 0:
            self.warm -= 1
        else:
            with torch.no_grad():
                r = torch.sqrt((var + EPS) / (self.var + EPS)).clamp(1 / self.r_max, self.r_max)
                d = standardized(mean, self.mean, self.var).clamp(-self.d_max, self.d_max)
            x_hat = x_hat * r + d
        self.store(mean, var, x.shape[1])
        return x_hat


class Layer(Norm):
    """Layer norm: the statistics are those of one example.

    Source: ba2016layer.
    """

    def normalized(self, x: Tensor) -> Tensor:
        return standardized(x, *moments(x, 2))


class Group(Norm):
    """Group norm: those of a group of the features of one example.

    Args:
        members, width: of the input.
        groups: how many; a divisor of the width.

    Source: wu2018group.
    """

    def __init__(self, members: int, width: int, groups: int = GROUPS):
        super().__init__(members, width)
        self.groups = groups

    def normalized(self, x: Tensor) -> Tensor:
        groups = x.unflatten(2, (self.groups, -1))
        return standardized(groups, *moments(groups, 3)).flatten(2, 3)


class RMS(Norm):
    """RMS norm, (A1): divide by the root of the mean square of the example; no mean, no shift.

    Source: zhang2019rmsnorm.
    """

    def __init__(self, members: int, width: int):
        super().__init__(members, width)
        self.bias = None

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * self.normalized(x)

    def normalized(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(2, keepdim=True) + EPS)


class BatchLayer(Norm):
    """Batch Layer Normalization, (A3), as in the code that its authors published.

    The share of layer norm is one over the batch size of training; both shares are less by 1e-4,
    and the sum is divided by the root of the width. At inference the batch statistics are the
    running ones, and those of the example its own.

    Source: ziaee2022batch.
    """

    SMALL, BLN_EPS = 1e-4, 1e-3

    def __init__(self, members: int, width: int):
        super().__init__(members, width)
        self.size = 1

    def normalized(self, x: Tensor) -> Tensor:
        if self.training:
            self.size = x.shape[1]
            mean, var = moments(x, 1)
            self.store(mean, var, self.size)
        else:
            mean, var = self.mean, self.var
        by_batch = standardized(x, mean, var, self.BLN_EPS)
        by_layer = standardized(x, *moments(x, 2), self.BLN_EPS)
        share = 1 / self.size
        both = (share - self.SMALL) * by_layer + (1 - share - self.SMALL) * by_batch
        return both / x.shape[2] ** 0.5


class DyT(Norm):
    """Dynamic tanh, (A6): gamma tanh(alpha x) + beta, with one learned alpha a layer.

    Source: zhu2025transformers.
    """

    def __init__(self, members: int, width: int, alpha: float = 0.5):
        super().__init__(members, width)
        self.alpha = nn.Parameter(torch.full((members, 1, 1), alpha))

    def normalized(self, x: Tensor) -> Tensor:
        return torch.tanh(self.alpha * x)


class Shift(Norm):
    """No normalisation: a bias."""

    def __init__(self, members: int, width: int):
        super().__init__(members, width)
        self.weight = None

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


RELU_GAIN = (2 / (1 - 1 / np.pi)) ** 0.5


class Standardized(nn.Module):
    """A linear map whose columns are standardised, (A4), with a learned gain each.

    Args:
        weights: (members, K, D).

    Source: brock2021high.
    """

    def __init__(self, weights: Tensor):
        super().__init__()
        self.weight = nn.Parameter(weights)
        self.gain = nn.Parameter(torch.ones(len(weights), 1, weights.shape[2]))

    def matrix(self) -> Tensor:
        """Return the weights that multiply."""
        mean, var = moments(self.weight, 1)
        fan_in = self.weight.shape[1]
        return self.gain * (self.weight - mean) * torch.rsqrt((var * fan_in).clamp(min=1e-4))

    def forward(self, u: Tensor) -> Tensor:
        return torch.bmm(u, self.matrix())


class Method(NamedTuple):
    """A row of the grid."""

    norm: Callable[[int, int], Norm] = Shift
    linear: Callable[[Tensor], nn.Module] = lambda weights: ensemble.Linear(weights, None)
    clip: float | None = None  # (A5), the largest gradient of a unit, in lengths of its weights
    gain: float = 1.0  # of each ReLU
    branch: float = 1.0  # factor of what a block adds


METHODS = {
    "no norm": Method(),
    "batch norm": Method(Batch),
    "ghost batches": Method(ghost),
    "batch renorm": Method(Renorm),
    "batch layer norm": Method(BatchLayer),
    "layer norm": Method(Layer),
    "group norm": Method(Group),
    "RMS norm": Method(RMS),
    "weight norm": Method(linear=ensemble.Directed),
    "normalizer-free": Method(linear=Standardized, clip=0.1, gain=RELU_GAIN, branch=0.2),
    "dynamic tanh": Method(DyT),
}


class Net(nn.Module):
    """Digit classifiers with hidden layers of WIDTH ReLU, one for each seed, again for each rate.

    A shallow net is linear, norm, ReLU, three times, and a linear output. A deep one is a linear
    map and DEEP blocks with a shortcut, each of norm, ReLU, linear; then norm, ReLU and output.

    Args:
        method: of METHODS.
        seeds: one member for each, N(0, 2 / inputs) by (W3).
        copies: how many times over.
        deep: which of the two.
    """

    def __init__(self, method: Method, seeds: Sequence[int], copies: int, deep: bool = False):
        super().__init__()
        sizes = [64, *[WIDTH] * (DEEP + 1 if deep else SHALLOW), 10]
        drawn = [_weights(sizes, seed) for seed in seeds]
        *hidden, last = (
            torch.stack(each).repeat(copies, 1, 1) for each in zip(*drawn, strict=True)
        )
        members = len(last)
        self.method, self.deep = method, deep
        self.linears = nn.ModuleList(method.linear(weights) for weights in hidden)
        self.norms = nn.ModuleList(method.norm(members, WIDTH) for _ in hidden)
        self.last = ensemble.Linear(last, torch.zeros(members, 1, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self._deep(x) if self.deep else self._shallow(x))

    def _shallow(self, x: Tensor) -> Tensor:
        for linear, norm in zip(self.linears, self.norms, strict=True):
            x = self.method.gain * torch.relu(norm(linear(x)))
        return x

    def _deep(self, x: Tensor) -> Tensor:
        branch, gain = self.method.branch, self.method.gain
        x, spread = self.linears[0](x), 1.0
        for linear, norm in zip(self.linears[1:], self.norms[:-1], strict=True):
            # Where nothing normalises, what enters a block is divided by its expected spread.
            x = x + branch * linear(gain * torch.relu(norm(x / spread)))
            spread = (spread**2 + branch**2) ** 0.5 if branch < 1 else 1.0
        return gain * torch.relu(self.norms[-1](x / spread))

    @torch.no_grad()
    def scale_hidden(self, factor: float) -> None:
        """Multiply the weights of the hidden layers."""
        for linear in self.linears:
            linear.weight *= factor


def _weights(sizes: Sequence[int], seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(a, b, generator=generator) * (2 / a) ** 0.5 for a, b in pairwise(sizes)]


def clipped(gradient: Tensor, weights: Tensor, clip: float) -> Tensor:
    """Return a gradient whose columns are no longer than ``clip`` times those of the weights, (A5).

    Args:
        gradient, weights: (members, K, D).
        clip: lambda in (A5); a column counts as at least 0.001 long.

    Source: brock2021high.
    """
    largest = clip * weights.norm(dim=1, keepdim=True).clamp(min=1e-3)
    length = gradient.norm(dim=1, keepdim=True)
    return gradient * (largest / length.clamp(min=1e-12)).clamp(max=1)


def steps(net: Net, batches: Iterator, lr: Tensor) -> Iterator[Tensor]:
    """Take a step of plain gradient descent on each batch; yield the losses before it, (members,).

    As ``ensemble.steps``, but the gradients of hidden weights are clipped where the method says so.
    """
    parameters = dict(net.named_parameters())
    for x, y in batches:
        loss = ensemble.losses(net(x), y)
        gradients = torch.autograd.grad(loss.sum(), list(parameters.values()))
        with torch.no_grad():
            for (name, p), g in zip(parameters.items(), gradients, strict=True):
                if net.method.clip and name.startswith("linears") and name.endswith("weight"):
                    g = clipped(g, p, net.method.clip)
                p.view(len(lr), -1).addcmul_(-lr[:, None], g.view(len(lr), -1))
        yield loss.detach()


def of_one_class(sweep: ensemble.Sweep) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches (members, size, K) that hold one class each, all ten in turn, in new orders."""
    generators = [torch.Generator().manual_seed(seed) for seed in sweep.seeds]
    number = torch.arange(len(sweep.seeds))[:, None]
    while True:
        orders = [torch.randperm(10, generator=each) for each in generators]
        for classes in zip(*orders, strict=True):
            rows = torch.stack(
                [
                    _some((labels == label).nonzero()[:, 0], sweep.size, generator)
                    for labels, label, generator in zip(sweep.y, classes, generators, strict=True)
                ]
            )
            yield sweep.each(sweep.x[number, rows]), sweep.each(sweep.y[number, rows])


def _some(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator)[:count]]


# Of (members, N, pixels, channels).
AXES = {"batch norm": (1, 2), "layer norm": (2, 3), "instance norm": 2}


class OnImages(Norm):
    """A norm of images (members, N, pixels, channels), with a scale and a shift for each channel.

    Args:
        members, width: of the input; the width counts channels.
        kind: "batch norm", "layer norm", "instance norm" or "group norm", with groups of four.

    Source: ioffe2015batch; ba2016layer; ulyanov2016instance; wu2018group.
    """

    def __init__(self, members: int, width: int, kind: str):
        super().__init__(members, width)
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        return self.weight[:, None] * self.normalized(x) + self.bias[:, None]

    def normalized(self, x: Tensor) -> Tensor:
        if self.kind == "group norm":
            groups = x.unflatten(3, (-1, 4))
            return standardized(groups, *moments(groups, (2, 4))).flatten(3, 4)
        if self.kind != "batch norm":
            return standardized(x, *moments(x, AXES[self.kind]))
        if not self.training:
            return standardized(x, self.mean[:, None], self.var[:, None])
        mean, var = moments(x, AXES[self.kind])
        self.store(mean[:, 0], var[:, 0], x.shape[1] * x.shape[2])
        return standardized(x, mean, var)


class ConvNet(nn.Module):
    """Digit classifiers of two 3 x 3 convolutions with 8 and 16 channels, and a linear output.

    Args:
        kind: a norm of ``OnImages``, or "no norm".
        seeds, copies: as for ``Net``.
    """

    SIZES = ((9, 8), (72, 16))

    def __init__(self, kind: str, seeds: Sequence[int], copies: int):
        super().__init__()
        sizes = [*self.SIZES, (16 * 16, 10)]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        weights = [
            torch.stack([torch.randn(k, d, generator=g) * (2 / k) ** 0.5 for g in generators])
            for k, d in sizes
        ]
        members = copies * len(seeds)
        *hidden, last = (nn.Parameter(w.repeat(copies, 1, 1)) for w in weights)
        self.weights = nn.ParameterList(hidden)
        self.biases = nn.ParameterList(torch.zeros(members, 1, 1, d) for _, d in self.SIZES)
        self.norms = nn.ModuleList(
            nn.Identity() if kind == "no norm" else OnImages(members, d, kind)
            for _, d in self.SIZES
        )
        self.last = ensemble.Linear(last.detach(), torch.zeros(members, 1, 10))
        self.method = Method()

    def forward(self, x: Tensor) -> Tensor:
        members, n, _ = x.shape
        x, channels, side = x.view(members * n, 1, 8, 8), 1, 8
        for weight, bias, norm in zip(self.weights, self.biases, self.norms, strict=True):
            side -= 2
            patches = F.unfold(x, 3).mT.reshape(members, -1, 9 * channels)
            y = torch.bmm(patches, weight).view(members, n, side * side, -1) + bias
            a = torch.relu(norm(y))
            channels = a.shape[3]
            x = a.mT.reshape(members * n, channels, side, side)
        return self.last(a.flatten(2))


class Task(NamedTuple):
    """A column of the grid in which networks are trained."""

    size: int = 64
    steps: int = 200
    one_class: bool = False
    deep: bool = False
    images: bool = False


TASKS = {
    "batch 64": Task(),
    "batch 4": Task(size=4, steps=600),
    "one class a batch": Task(one_class=True),
    "20 layers": Task(deep=True, steps=100),
    "small CNN": Task(images=True, steps=100),
    "batch 2": Task(size=2, steps=600),
}
IMAGE_METHODS = ("no norm", "batch norm", "layer norm", "instance norm", "group norm")
RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
# What grows from block to block needs smaller ones.
SMALL_RATES = (1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4)


def methods_of(task: str) -> tuple[str, ...]:
    """Return the methods that are tried in a task."""
    if TASKS[task].images:
        return IMAGE_METHODS
    if task == "batch 2":
        return ("batch norm",)
    # A batch of 4 is smaller than a ghost: there, ghost batches are batch norm.
    return tuple(m for m in METHODS if task != "batch 4" or m != "ghost batches")


def rates_of(method: str, task: str) -> tuple[float, ...]:
    """Return the rates that are tried."""
    return SMALL_RATES if TASKS[task].deep and method in ("no norm", "weight norm") else RATES


class Cell(NamedTuple):
    """What came of a method in a task, in arrays (rates, seeds), and the networks themselves."""

    chosen_by: np.ndarray  # accuracy, in percent, on half of the test images
    accuracy: np.ndarray  # on the other half
    rates: tuple[float, ...]
    net: Net
    sweep: ensemble.Sweep

    best = property(ensemble.best_rate)
    at_best = property(ensemble.at_best)


@cache
@one_thread()
def cell(
    method: str,
    task: str = "batch 64",
    seeds: tuple[int, ...] = SEEDS,
    rates: tuple[float, ...] | None = None,
    count: int | None = None,
) -> Cell:
    """Train the networks of a method in a task at all rates; test them in inference mode.

    Args:
        method: a key of METHODS.
        task: a key of TASKS.
        seeds: of the split, the weights and the batches.
        rates: of plain gradient descent, instead of those of ``rates_of``.
        count: of steps, instead of those of the task.
    """
    plan, rates = TASKS[task], rates or rates_of(method, task)
    sweep = ensemble.Sweep(rates, seeds, size=plan.size)
    net: nn.Module = (
        ConvNet(method, seeds, len(rates))
        if plan.images
        else Net(METHODS[method], seeds, len(rates), plan.deep)
    )
    batches = of_one_class(sweep) if plan.one_class else sweep.batches()
    for _ in islice(steps(net, batches, sweep.lr), count or plan.steps):
        pass
    halves = [sweep.shape(100 * half).numpy() for half in sweep.test_accuracy(net, 2)]
    return Cell(*halves, rates, net, sweep)


FILE = Path(__file__).with_name("relatives.json")


class Kept(NamedTuple):
    """A cell of the grid from FILE, without its networks."""

    chosen_by: np.ndarray
    accuracy: np.ndarray
    rates: tuple[float, ...]

    best, at_best = Cell.best, Cell.at_best

    @property
    def best_rate(self) -> float:
        """The rate with the best median on images that are not reported."""
        return self.rates[self.best]


@cache
def grid() -> dict[tuple[str, str], Kept]:
    """Return the cells that FILE keeps, by method and task: all rates and seeds take minutes."""
    rows = json.loads(FILE.read_text())
    return {
        (row["method"], row["task"]): Kept(
            np.array(row["chosen_by"]), np.array(row["accuracy"]), tuple(row["rates"])
        )
        for row in rows
    }


def write_grid() -> None:
    """Compute all cells and write FILE."""
    rows = []
    for task in TASKS:
        for method in methods_of(task):
            found = cell.__wrapped__(method, task)
            print(f"{task}, {method}: {np.median(found.at_best):.1f} %", flush=True)
            halves = {name: getattr(found, name).round(2) for name in ("chosen_by", "accuracy")}
            rows.append(
                {"task": task, "method": method, "rates": found.rates}
                | {name: half.tolist() for name, half in halves.items()}
            )
    FILE.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


@cache
def at_best(method: str, task: str = "batch 64") -> Cell:
    """Train the networks of a method again, at the best rate of the grid only."""
    return cell(method, task, rates=(grid()[method, task].best_rate,))


def _outputs(net: nn.Module, x: Tensor) -> Tensor:
    """Return the outputs in training mode; what is stored stays."""
    net.train()
    buffers = {name: buffer.clone() for name, buffer in net.named_buffers()}
    with torch.no_grad():
        return functional_call(net, buffers, (x,))


def _reported(sweep: ensemble.Sweep) -> tuple[Tensor, Tensor]:
    """Return the test images and labels that are not used to choose a rate, (members, N, ...)."""
    return tuple(
        sweep.each(torch.stack([getattr(split, part)[1::2] for split in sweep.splits]))
        for part in ("x_test", "y_test")
    )


@once
@one_thread()
def stretched(method: str, factor: float = 10.0) -> np.ndarray:
    """Return how much the outputs change when all hidden weights are ``factor`` times as large.

    In training mode, a batch of 64 test images; relative to the length of the outputs, (seeds,).

    Args:
        method: a key of METHODS, trained in batches of 64 at its best rate.
        factor: of the weights.
    """
    net, sweep = at_best(method)[-2:]
    x = _reported(sweep)[0][:, :64]
    before = _outputs(net, x)
    net.scale_hidden(factor)
    after = _outputs(net, x)
    net.scale_hidden(1 / factor)
    return ((after - before).norm(dim=(1, 2)) / before.norm(dim=(1, 2))).numpy()


@once
@one_thread()
def one_by_one(method: str) -> np.ndarray:
    """Return the accuracy, in percent, on single test images in training mode, (seeds,).

    Args:
        method: a key of METHODS, trained in batches of 64 at its best rate.
    """
    net, sweep = at_best(method)[-2:]
    x, y = _reported(sweep)
    outputs = torch.cat([_outputs(net, image) for image in x.split(1, dim=1)], dim=1)
    return 100 * (outputs.argmax(2) == y).float().mean(1).numpy()


@once
@one_thread()
def losses_in_batches(size: int) -> np.ndarray:
    """Return the mean training loss of trained batch-norm nets, in training mode, (seeds,).

    Args:
        size: of the batches, drawn from the training images; the weights stay.
    """
    net, sweep = at_best("batch norm")[-2:]
    x, y = sweep.each(sweep.x), sweep.each(sweep.y)
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(max(20, 2048 // size)):
        rows = torch.randperm(x.shape[1], generator=generator)[:size]
        found.append(ensemble.losses(_outputs(net, x[:, rows]), y[:, rows]))
    return torch.stack(found).mean(0).numpy()


class Inference(NamedTuple):
    """Accuracies of batch-norm nets, in percent, (seeds,) or (shares, seeds)."""

    running: np.ndarray  # with the running statistics
    recalibrated: np.ndarray  # with those of all training images at the last weights, (R9)
    weighed: np.ndarray  # with the running ones, for each share of the example, (A9)


ALPHAS = (0.0, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7)


@once
@one_thread()
def inference(task: str) -> Inference:
    """Return what corrected statistics do for batch-norm nets, on the test images reported.

    Args:
        task: a key of TASKS, in which they were trained at their best rate.
    """
    net, sweep = at_best("batch norm", task)[-2:]
    x, y = _reported(sweep)
    weighed_ = []
    for alpha in ALPHAS:
        for norm in net.norms:
            norm.alpha = alpha
        weighed_.append(100 * ensemble.accuracy(net, x, y).numpy())
    for norm in net.norms:
        norm.alpha = 0.0
    plan, stored = TASKS[task], [(norm.mean.clone(), norm.var.clone()) for norm in net.norms]
    batches = of_one_class(sweep) if plan.one_class else sweep.batches()
    _recalibrate(net, islice(batches, 2000 // plan.size))
    recalibrated = 100 * ensemble.accuracy(net, x, y).numpy()
    for norm, (mean, var) in zip(net.norms, stored, strict=True):
        norm.mean, norm.var = mean, var
    return Inference(weighed_[0], recalibrated, np.array(weighed_))


@torch.no_grad()
def _recalibrate(net: Net, batches: Iterator) -> None:
    """Store the pooled statistics of the batches, all of one size, at the present weights."""
    net.train()
    for norm in net.norms:
        norm.heard = []
    for x, _ in batches:
        net(x)
    for norm in net.norms:
        means, variances = (torch.stack(part) for part in zip(*norm.heard, strict=True))
        norm.mean = means.mean(0)
        norm.var = variances.mean(0) + means.var(0, correction=0)
        norm.heard = None


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_grid()
