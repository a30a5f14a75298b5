"""The loss along the gradient, with steps that are measured against the weights."""

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from bncourse.lab import ensemble, interventions
from bncourse.lab.experiments import SEEDS
from bncourse.lab.once import once
from bncourse.lab.threads import one_thread

SIZES = tuple(float(size) for size in np.geomspace(0.003, 1, 11).round(4))


class Path(NamedTuple):
    """What a step against the gradient brings, for each of some sizes and each member."""

    loss: np.ndarray  # (members,) before the step
    along: np.ndarray  # (sizes, members) after it
    kept: np.ndarray  # (sizes, members): (D4), the share of the promised decrease


def path(net: nn.Module, x: Tensor, y: Tensor, sizes: Sequence[float], relative: bool = True):
    """Return the Path of one batch; the net stays as it is.

    (D3) W_l - size |W_l| G_l / |G_l| in every layer l, for each member by itself.

    Args:
        net: of ``ensemble.stack``, in training mode.
        x, y: (members, N, K) and (members, N).
        sizes: of the steps.
        relative: whether the unit is the length of the weights; else it is 1.
    """
    weights = {n: p for n, p in net.named_parameters() if n.endswith("weight") and p.ndim == 3}
    start = ensemble.losses(_apply(net, {}, x), y)
    gradients = torch.autograd.grad(start.sum(), list(weights.values()))
    directions, slope = {}, 0
    for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
        length = gradient.norm(dim=(1, 2), keepdim=True)
        unit = weight.detach().norm(dim=(1, 2), keepdim=True) if relative else 1
        directions[name] = unit * gradient / length
        slope = slope + (unit * length).flatten()
    along, kept = [], []
    with torch.no_grad():
        for size in sizes:
            moved = {name: weights[name] - size * way for name, way in directions.items()}
            along.append(ensemble.losses(_apply(net, moved, x), y))
            kept.append((start - along[-1]) / (size * slope))
    return Path(start.detach().numpy(), torch.stack(along).numpy(), torch.stack(kept).numpy())


def _apply(net: nn.Module, moved: dict[str, Tensor], x: Tensor) -> Tensor:
    # Copies: batch norm in training mode moves its running statistics.
    buffers = {name: value.clone() for name, value in net.named_buffers()}
    return functional_call(net, {**buffers, **moved}, (x,))


@once
@one_thread()
def at_equal_loss(
    kind: str,
    activation: str,
    lr: float,
    level: float,
    dataset: str = "digits",
    seeds: tuple[int, ...] = SEEDS,
    most: int = 300,
) -> Path:
    """Train the networks of ``interventions`` and return their paths where the loss is ``level``.

    Args:
        kind, activation: of the networks.
        lr: learning rate.
        level: a network is looked at as soon as its loss on 300 training images is below it.
        dataset: a key of ``data.DATASETS``.
        seeds: one network each.
        most: steps of training. A network that does not get there has NaN.
    """
    sweep = ensemble.Sweep((lr,), seeds, dataset)
    net = interventions.nets(kind, activation, sweep, ())
    x, y = sweep.x[:, :300], sweep.y[:, :300]
    seen = Path(*(np.full(shape, np.nan) for shape in _shapes(len(seeds))))
    for _ in islice(ensemble.steps(net, sweep.batches(), sweep.lr), most):
        with torch.no_grad():
            loss = ensemble.losses(_apply(net, {}, x), y).numpy()
        new = (loss < level) & np.isnan(seen.loss)
        if new.any():
            for had, found in zip(seen, path(net, x, y, SIZES), strict=True):
                had[..., new] = found[..., new]
        if not np.isnan(seen.loss).any():
            break
    return seen


def _shapes(members: int) -> list[tuple[int, ...]]:
    return [(members,), (len(SIZES), members), (len(SIZES), members)]
