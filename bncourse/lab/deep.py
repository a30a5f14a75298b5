"""Very deep networks with batch norm, with and without shortcuts; all seeds train side by side."""

from collections.abc import Callable
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bncourse.lab import data
from bncourse.lab.once import once
from bncourse.lab.threads import one_thread

SEEDS = (0, 1, 2, 3, 4)
KINDS = (
    "plain",
    "residual",
    "scale 0",
    "plain, no norm",
    "residual, no norm",
    "scale 0, no norm",
)
ACTIVATIONS = {
    "ReLU": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "identity": lambda z: z,
}
RATES = (0.01, 0.03, 0.1, 0.3, 1.0)


class Linear(nn.Module):
    """One linear map for each seed: ``x`` (seeds, inputs, N) becomes (seeds, outputs, N).

    Examples stand last, so that the features of all seeds together are the channels of one layer.

    Args:
        inputs, outputs: features.
        generators: one for each seed; the weights are N(0, 2 / inputs), by (W3).
        bias: whether there is one.
    """

    def __init__(self, inputs: int, outputs: int, generators: list, bias: bool):
        super().__init__()
        drawn = [torch.randn(outputs, inputs, generator=each) for each in generators]
        self.weight = nn.Parameter(torch.stack(drawn) * (2 / inputs) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(len(drawn), outputs, 1)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.weight @ x
        return y if self.bias is None else y + self.bias


class Norm(nn.BatchNorm1d):
    """Batch norm of ``x`` (seeds, features, N), each seed and feature by itself."""

    def __init__(self, seeds: int, features: int):
        super().__init__(seeds * features)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.view(1, -1, x.shape[-1])).view(x.shape)


class Deep(nn.Module):
    """A digits classifier of many layers, once for each seed.

    Args:
        kind: of KINDS. "plain" is linear, norm, activation, again and again. A "residual" block
            adds linear, norm, activation, linear, norm to what it receives; its last scale starts
            at 1 or, with "scale 0", at 0; without norm the last linear map starts at 0 then.
        depth: layers of weights, without that of the output; for a residual net the first is not
            in a block.
        seeds: of the weights, one net each.
        width: of each layer.
        activation: a key of ACTIVATIONS.
        inputs, outputs: features of the data, classes.
    """

    def __init__(
        self,
        kind: str,
        depth: int,
        seeds: tuple[int, ...] = SEEDS,
        width: int = 50,
        activation: str = "ReLU",
        inputs: int = 64,
        outputs: int = 10,
    ):
        super().__init__()
        self.plain, self.activation = kind.startswith("plain"), ACTIVATIONS[activation]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        normed = "no norm" not in kind
        sizes = [inputs] + [width] * depth
        self.linears = nn.ModuleList(
            Linear(a, b, generators, not normed) for a, b in pairwise(sizes)
        )
        self.norms = nn.ModuleList(
            Norm(len(seeds), width) if normed else nn.Identity() for _ in self.linears
        )
        self.last = Linear(width, outputs, generators, bias=True)
        if kind.startswith("scale 0"):
            for last in (self.norms if normed else self.linears)[2::2]:
                nn.init.zeros_(last.weight)

    def states(self, x: Tensor) -> list[Tensor]:
        """Return what each layer, or each block, hands on; (seeds, width, N) each."""
        parts = list(zip(self.linears, self.norms, strict=True))
        if self.plain:
            states = [x]
            for linear, norm in parts:
                states.append(self.activation(norm(linear(states[-1]))))
            return states[1:]
        first, norm = parts[0]
        states = [norm(first(x))]
        for (linear1, norm1), (linear2, norm2) in zip(parts[1::2], parts[2::2], strict=False):
            branch = norm2(linear2(self.activation(norm1(linear1(states[-1])))))
            states.append(states[-1] + branch)
        return states

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.states(x)[-1])


def losses(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of each seed: outputs (seeds, classes, N), labels (seeds, N)."""
    return nn.functional.cross_entropy(outputs, labels, reduction="none").mean(1)


def _side_by_side(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the images (seeds, pixels, N) and labels (seeds, N) of one batch for each seed."""
    return torch.stack([x.T for x, _ in parts]), torch.stack([y for _, y in parts])


def growth(activation: str) -> float:
    """Return chi, the factor by which a layer multiplies the squared length of a gradient, (H2).

    The two means over a standard normal are taken by quadrature.

    Args:
        activation: a key of ACTIVATIONS.
    """
    # An even number of points: none lies on the kink of a ReLU.
    z = torch.linspace(-10, 10, 200_000, dtype=torch.float64, requires_grad=True)
    weight = torch.exp(-(z.detach() ** 2) / 2)
    weight /= weight.sum()
    g = ACTIVATIONS[activation](z)
    (slope,) = torch.autograd.grad(g.sum(), z)
    mean, square = (weight * g).sum(), (weight * g**2).sum()
    return ((weight * slope**2).sum() / (square - mean**2)).item()


class Start(NamedTuple):
    """Deep nets before training: one row for each layer or block, one column for each seed."""

    gradient: np.ndarray  # length of the gradient at what the layer hands on
    neighbour: np.ndarray  # share of images whose nearest image there has the same label


@once
@one_thread()
def start(
    kind: str,
    depth: int,
    activation: str = "ReLU",
    width: int = 100,
    examples: int = 500,
    source: Callable[[int], data.Split] = data.digits,
) -> Start:
    """Return how gradients and images get through deep nets before training.

    Args:
        kind, depth, activation, width: of the nets, as in ``Deep``.
        examples: in the one batch.
        source: the data set, a function of the seed of its split.
    """
    x, y = _side_by_side([_first(source(seed), examples) for seed in SEEDS])
    net = Deep(kind, depth, width=width, activation=activation, inputs=x.shape[1])
    states = net.states(x)
    gradients = torch.autograd.grad(losses(net.last(states[-1]), y).sum(), states)
    return Start(
        np.array([gradient.norm(dim=(1, 2)).numpy() for gradient in gradients]),
        np.array([_same_label(state.detach(), y) for state in states]),
    )


def _first(split: data.Split, examples: int) -> tuple[Tensor, Tensor]:
    return split.x[:examples], split.y[:examples]


def _same_label(state: Tensor, labels: Tensor) -> np.ndarray:
    distances = torch.cdist(state.mT, state.mT)
    distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    nearest = labels.gather(1, distances.argmin(2))
    return (nearest == labels).float().mean(1).numpy()


@once
@one_thread()
def twins(depth: int = 25, width: int = 400, apart: float = 1e-6) -> np.ndarray:
    """Return how far apart two almost equal images are after each layer, in plain ReLU nets.

    Args:
        depth, width: of the nets with batch norm.
        apart: length of the difference that is added to one pixel after another, in float64.

    Returns:
        (depth, seeds) distances.
    """
    x, _ = _side_by_side([_first(data.digits(seed), 500) for seed in SEEDS])
    x = x.double()
    x[:, :, 1] = x[:, :, 0] + apart / x.shape[1] ** 0.5
    with torch.no_grad():
        states = Deep("plain", depth, width=width).double().states(x)
    return np.array([(state[:, :, 0] - state[:, :, 1]).norm(dim=1).numpy() for state in states])


class Run(NamedTuple):
    """Training runs, one column for each seed."""

    loss: np.ndarray  # (steps, seeds)
    accuracy: np.ndarray  # (seeds,): on test images, in inference mode
    gradient: np.ndarray  # (steps, layers, seeds): gradient by length of the weights

    @property
    def final(self) -> np.ndarray:
        """The mean loss of the last 20 steps; infinite where training diverged."""
        return np.nan_to_num(self.loss[-20:].mean(0), nan=np.inf)


def train(
    kind: str,
    depth: int,
    lr: float,
    steps: int = 100,
    relative: bool = False,
    source: Callable[[int], data.Split] = data.digits,
) -> Run:
    """Train five nets of a kind by plain gradient descent, on batches of 60.

    Each has a split, weights and batches of its own seed. Arguments as for ``at_rates``.
    """
    (run,) = at_rates(kind, depth, (lr,), steps, relative, source)
    return run


@once
@one_thread()
def at_rates(
    kind: str,
    depth: int,
    rates: tuple[float, ...],
    steps: int = 100,
    relative: bool = False,
    source: Callable[[int], data.Split] = data.digits,
) -> list[Run]:
    """Return the Run of each learning rate; all of them train side by side.

    Args:
        kind, depth: of the nets, as in ``Deep``.
        rates: learning rates.
        steps: number of batches.
        relative: move the weights of each layer by the share ``lr`` of their length, however long
            their gradient is; scales and shifts as usual.
        source: the data set, a function of the seed of its split.
    """
    splits = [source(seed) for seed in SEEDS]
    net = Deep(kind, depth, SEEDS * len(rates), inputs=splits[0].x.shape[1])
    streams = [data.batches(s.x, s.y, 60, seed) for s, seed in zip(splits, SEEDS, strict=True)]
    lr = torch.tensor(rates).repeat_interleave(len(SEEDS))[:, None]
    parameters = list(net.parameters())
    history, shares = [], []
    for batches in islice(zip(*streams, strict=True), steps):
        x, y = (_each(part, rates) for part in _side_by_side(list(batches)))
        loss = losses(net(x), y)
        gradients = torch.autograd.grad(loss.sum(), parameters)
        history.append(loss.detach())
        with torch.no_grad():
            of = dict(zip(map(id, parameters), gradients, strict=True))
            shares.append(torch.stack([_share(each.weight, of) for each in net.linears]))
            if relative:
                for linear in (*net.linears, net.last):
                    gradient = of[id(linear.weight)]
                    gradient *= _length(linear.weight) / _length(gradient)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.view(len(lr), -1).addcmul_(-lr, gradient.reshape(len(lr), -1))
    found = torch.stack(history), _accuracy(net, splits, rates), torch.stack(shares)
    parts = zip(*(each.split(len(SEEDS), dim=-1) for each in found), strict=True)
    return [Run(*(each.numpy() for each in part)) for part in parts]


def _each(of_seeds: Tensor, rates: tuple[float, ...]) -> Tensor:
    """Return what belongs to the seeds, once for each rate."""
    return of_seeds.repeat(len(rates), *[1] * (of_seeds.ndim - 1))


def _length(x: Tensor) -> Tensor:
    return x.norm(dim=(1, 2), keepdim=True)


def _share(weight: Tensor, gradients: dict[int, Tensor]) -> Tensor:
    return (_length(gradients[id(weight)]) / _length(weight)).flatten()


def _accuracy(net: Deep, splits: list[data.Split], rates: tuple[float, ...]) -> Tensor:
    pairs = _side_by_side([(split.x_test, split.y_test) for split in splits])
    x, y = (_each(part, rates) for part in pairs)
    net.eval()
    with torch.no_grad():
        return (net(x).argmax(1) == y).float().mean(1)


# Of RATES, the one with the least median of ``final``: a test tries them all, since a page has no
# time for it. The plain nets of 100 layers learn at none.
BEST_RATE = {
    ("plain", 10): 0.3,
    ("plain", 20): 0.3,
    ("plain", 40): 0.3,
    ("plain", 100): 1.0,
    ("residual", 11): 0.3,
    ("residual", 101): 0.03,
    ("scale 0", 101): 0.3,
    ("scale 0, no norm", 101): 0.01,
}


def best(kind: str, depth: int) -> Run:
    """Return the run of a net of BEST_RATE at its best rate."""
    return train(kind, depth, BEST_RATE[kind, depth])
