"""What a training step keeps in memory, counted tensor by tensor; nothing here takes time."""

import weakref
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from bncourse.lab.threads import one_thread

SLOPE = 0.01  # of the leaky ReLU below zero


class Watch(TorchDispatchMode):
    """Count the bytes of the tensors that come into being while it is on.

    Args:
        known: tensors that are there already and do not count.

    ``now`` are the bytes that live; ``line`` are those after each operation, its first entry 0.
    """

    def __init__(self, known: Iterable[Tensor] = ()):
        super().__init__()
        self.now, self.line = 0, [0]
        self._seen = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            # Views and results in place share a storage that was counted.
            if isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata not in self._seen:
                self._count(tensor.untyped_storage())
        self.line.append(self.now)
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        self._seen.add(storage._cdata)
        self.now += storage.nbytes()
        weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


class InPlace(torch.autograd.Function):
    r"""Batch norm and a leaky ReLU that keep their output only, and write it over their input.

    (Y4) x_hat = (g^-1(a) - beta) / gamma, with the output a = g(y), from which dx follows by (B7).

    ``apply(x, gamma, beta, eps)`` with x (N, C, H, W), overwritten, and gamma without a 0.

    Source: rotabulo2018inplace.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
        var, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
        inv_std = torch.rsqrt(var + eps)
        a = x.sub_(mean).mul_(inv_std * gamma[:, None, None]).add_(beta[:, None, None])
        nn.functional.leaky_relu_(a, SLOPE)
        ctx.mark_dirty(x)
        ctx.save_for_backward(a, inv_std, gamma, beta)
        return a

    @staticmethod
    def backward(ctx: Any, da: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        a, inv_std, gamma, beta = ctx.saved_tensors
        gamma, beta = gamma[:, None, None], beta[:, None, None]
        slope = torch.where(a > 0, 1, SLOPE).to(a.dtype)
        dy, x_hat = da * slope, a / slope
        del slope
        x_hat.sub_(beta).div_(gamma)
        dims, count = (0, 2, 3), a.numel() // a.shape[1]
        dbeta, dgamma = dy.sum(dims), (dy * x_hat).sum(dims)
        dx = dy.sub_((dbeta / count)[:, None, None])
        dx.sub_(x_hat.mul_((dgamma / count)[:, None, None])).mul_(gamma * inv_std)
        return dx, dgamma, dbeta, None


class InPlaceNorm(nn.Module):
    """The layer of InPlace; arguments and parameters as those of ``nn.BatchNorm2d``."""

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return InPlace.apply(x, self.weight, self.bias, self.eps)


def blocks(count: int, channels: int = 8, in_place: bool = False) -> list[nn.Sequential]:
    """Return blocks of convolution, batch norm and leaky ReLU, the same weights in both kinds."""
    made = []
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        conv = nn.utils.skip_init(nn.Conv2d, channels, channels, 3, padding=1, bias=False)
        with torch.no_grad():
            conv.weight.normal_(0, (9 * channels) ** -0.5, generator=generator)
        tail = (
            [InPlaceNorm(channels)]
            if in_place
            else [nn.BatchNorm2d(channels), nn.LeakyReLU(SLOPE, inplace=True)]
        )
        made.append(nn.Sequential(conv, *tail))
    return made


class Line(NamedTuple):
    """The memory of a training step, in units of one activation."""

    forward: np.ndarray  # after each operation of the forward pass
    backward: np.ndarray  # after each of the backward pass
    gradients: tuple[Tensor, ...]

    @property
    def kept(self) -> float:
        """What the forward pass leaves for the backward pass."""
        return float(self.forward[-1])

    @property
    def peak(self) -> float:
        return float(max(self.forward.max(), self.backward.max()))


WAYS = ("as it is", "in place", "recomputed")


@cache
@one_thread()
def step(way: str, count: int = 16, group: int = 1, dtype: torch.dtype = torch.float32) -> Line:
    """Take one training step of a chain of blocks and return its memory.

    Args:
        way: one of WAYS; "recomputed" keeps the input of each group of blocks and runs the group
            again in the backward pass.
        count: number of blocks.
        group: number of blocks that are recomputed together, a divisor of count.
        dtype: of activations and weights of the convolutions; batch norm has float32 parameters.
    """
    net = blocks(count, in_place=way == "in place")
    for block in net:
        # Below float32 only the convolutions: statistics and parameters of batch norm stay.
        (block if dtype.itemsize > 2 else block[0]).to(dtype)
    parts = [nn.Sequential(*net[i : i + group]) for i in range(0, count, group)]
    parameters = [p for part in parts for p in part.parameters()]
    buffers = [b for part in parts for b in part.buffers()]
    generator = torch.Generator().manual_seed(1)
    x, weights = (torch.randn((8, 8, 32, 32), generator=generator).to(dtype) for _ in range(2))
    again = partial(checkpoint, use_reentrant=False)
    with Watch([x, weights, *parameters, *buffers]) as watch:
        h = x
        for part in parts:
            h = again(part, h) if way == "recomputed" else part(h)
        loss = (h * weights).sum()
        del h
        watch.line.append(watch.now)
        middle = len(watch.line)
        gradients = torch.autograd.grad(loss, parameters)
    line = np.array(watch.line) / (x.numel() * x.element_size())
    return Line(line[:middle], line[middle - 1 :], gradients)


def parameter_gradients(way: str, **options: Any) -> np.ndarray:
    """Return all gradients of ``step`` in one array."""
    return torch.cat([g.flatten() for g in step(way, **options).gradients]).numpy()


def halved_momentum(momentum: float) -> float:
    """Return (Y6), the momentum with which two updates by one batch count as one.

    >>> round(halved_momentum(0.19), 9)
    0.1
    """
    return 1 - (1 - momentum) ** 0.5
