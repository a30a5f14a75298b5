"""Seven famous bugs and their repairs, put to the checks that published code comes with, and more.

The code of both stands in ``bncourse.exercises.ps7_batches``; here it is only run.
"""

import copy
import difflib
import warnings
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bncourse.attempt import attempt
from bncourse.exercise import draw_cases
from bncourse.exercises.ps7_batches.bugs import BUGS
from bncourse.lab import ensemble
from bncourse.lab.once import once
from bncourse.lab.threads import one_thread
from bncourse.solution import source_of, start_of

SEEDS = (0, 1, 2, 3, 4)
NUMBERS = tuple(range(1, 8))
RATES = (0.3, 1.0, 3.0, 10.0)
STEPS = 150


class Code(NamedTuple):
    """What an exercise starts from, and what it is to become."""

    bug: Callable
    repaired: Callable


def code(number: int) -> Code:
    """Return the two versions of a bug, by its number from 1."""
    mistake = BUGS[number - 1].mistakes[0]
    return Code(mistake.obj, mistake.right.obj)


def difference(number: int) -> str:
    """Return what the repair of a bug changes, as lines that begin with a space, - or +."""
    exercise = BUGS[number - 1]
    old, new = (text.strip().splitlines() for text in (start_of(exercise), source_of(exercise)))
    lines = difflib.unified_diff(old, new, lineterm="", n=99)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


# --- how large the error is -----------------------------------------------------------------------

# What of it is wrong, and a batch in which it shows.
SHOWN = {
    1: ("a random batch", "dx"),
    2: ("images", "y"),
    3: ("two steps, then an answer", "y in eval, with gradients"),
    4: ("float32, mean near 1e4", "y"),
    5: ("two steps", "running_var after two steps"),
    6: ("momentum 1", "running_var"),
    7: ("a random batch", "dx"),
}


def error(number: int, obj: Callable, seed: int) -> float:
    """Return the relative error of the result that SHOWN names, in the 2-norm.

    Entries that are no numbers are left out; ``lost`` counts them.
    """
    got, want = _result(number, obj, seed)
    fine = np.isfinite(got)
    return float(np.linalg.norm((got - want)[fine]) / np.linalg.norm(want[fine]))


def lost(number: int, obj: Callable, seed: int) -> float:
    """Return the share of the same result that is no number."""
    return float(np.mean(~np.isfinite(_result(number, obj, seed)[0])))


def _result(number, obj, seed):
    exercise, (name, label) = BUGS[number - 1], SHOWN[number]
    case = draw_cases(exercise, seed)[name]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        made = attempt(exercise, obj, case, ours=True)
    return made.outputs[label].astype(np.float64), exercise.reference(case.inputs)[label]


def expected_gradient_error(n, offset):
    """Return what (X2) says of ``gradient_error`` on average, for numbers or arrays."""
    return np.sqrt((offset**2 + 2 / n) / (1 - 2 / n))


def nodes_behind(tensor: Tensor) -> int:
    """Return how many steps of autograd a tensor keeps alive."""
    seen, waiting = set(), [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    return len(seen)


@one_thread()
def nodes_after(obj: Callable, steps: int, width: int = 2) -> int:
    """Return the nodes behind running_var after some steps of bug 5 or of its repair."""
    rng = torch.Generator().manual_seed(0)
    gamma, beta = torch.ones(width, requires_grad=True), torch.zeros(width, requires_grad=True)
    state = torch.zeros(width), torch.ones(width)
    for _ in range(steps):
        x = torch.randn(8, width, generator=rng).requires_grad_()
        _, *state = obj(x, gamma, beta, *state)
    return nodes_behind(state[1])


def gradient_error(n: int, offset: float, seed: int) -> float:
    """Return the relative error of dx in bug 1, where dy is standard normal plus an offset.

    Args:
        n: examples in the batch.
        offset: the mean of dy.
        seed: of the batch and of dy.
    """
    rng = torch.Generator().manual_seed(seed)
    x, dy = (torch.randn(n, 50, generator=rng, dtype=torch.float64) for _ in range(2))
    wrong, right = (_gradient(partial(_forward, 1, obj), x, dy + offset) for obj in code(1))
    return float((wrong - right).norm() / right.norm())


# --- checks ---------------------------------------------------------------------------------------

# By bug: whether it takes images, whether autograd runs through it, whether it remembers.
_IMAGES, _TENSORS, _REMEMBER = (2, 6), (1, 3, 5, 7), (3, 5, 6)


def _forward(number, obj, x):
    """Return y for x, (N, C) or (N, C, H, W), with gamma 1 and beta 0."""
    gamma, beta = (torch.full((x.shape[1],), value, dtype=x.dtype) for value in (1.0, 0.0))
    if number in (1, 7):
        return obj(x, gamma, beta)
    if number == 3:
        return obj(x.shape[1]).to(x.dtype)(x)
    if number == 5:
        return obj(x, gamma, beta, beta, gamma)[0]
    values, gamma, beta = (t.numpy() for t in (x, gamma, beta))
    if number == 2:
        y = np.moveaxis(obj(np.moveaxis(values, 1, -1), gamma, beta), -1, 1)
    else:
        y = obj(values, gamma, beta) if number == 4 else obj(values, gamma, beta, beta, gamma)[0]
    return torch.from_numpy(np.ascontiguousarray(y))


def _gradient(layer, x, dy):
    x = x.clone().requires_grad_()
    (dx,) = torch.autograd.grad(layer(x), x, dy, allow_unused=True)
    return torch.zeros_like(x) if dx is None else dx


def _buffers(number, obj, x):
    """Return running_mean and running_var after one step from 0 and 1."""
    zeros, ones = torch.zeros(x.shape[1], dtype=x.dtype), torch.ones(x.shape[1], dtype=x.dtype)
    if number == 3:
        layer = obj(x.shape[1]).to(x.dtype)
        layer(x)
        return layer.running_mean, layer.running_var
    if number == 5:
        return obj(x, ones.clone().requires_grad_(), zeros, zeros, ones)[1:]
    step = obj(*(t.numpy() for t in (x, ones, zeros, zeros, ones)))
    return tuple(map(torch.from_numpy, step[1:]))


def _batch(number, n=100, size=(3, 4), dtype=torch.float64):
    rng = torch.Generator().manual_seed(number)
    shape = (n, 2, *size) if number in _IMAGES else (n, 2)
    return torch.randn(shape, generator=rng, dtype=torch.float64).to(dtype)


def _theirs(x):
    return nn.functional.batch_norm(x, None, None, training=True)


def _close(one, other, tolerance=1e-3):
    return bool(torch.allclose(one.double(), other.double(), rtol=tolerance, atol=tolerance))


def _is_normal(number, obj):
    x = _batch(number)
    y = _forward(number, obj, x)
    axes = [axis for axis in range(x.dim()) if axis != 1]
    mean, std = y.mean(axes), y.std(axes, unbiased=False)
    return y.shape == x.shape and _close(mean, 0 * mean) and _close(std, 1 + 0 * std)


def _has_the_output(number, obj):
    return _close(_forward(number, obj, _batch(number)), _theirs(_batch(number)))


def _has_the_running_mean(number, obj):
    x = _batch(number)
    axes = [axis for axis in range(x.dim()) if axis != 1]
    return _close(_buffers(number, obj, x)[0].detach(), 0.1 * x.mean(axes))


def _has_the_running_var(number, obj):
    x = _batch(number, n=4, size=(1, 1))
    theirs = nn.BatchNorm2d(2) if number in _IMAGES else nn.BatchNorm1d(2)
    theirs.double()(x)
    return _close(_buffers(number, obj, x)[1].detach(), theirs.running_var)


def _has_the_gradient(number, obj):
    x = _batch(number)
    dy = 1 + torch.randn(x.shape, generator=torch.Generator().manual_seed(9), dtype=x.dtype)
    layer = partial(_forward, number, obj)
    return _close(_gradient(layer, x, dy), _gradient(_theirs, x, dy))


def _stands_an_offset(number, obj):
    x = (1e4 + _batch(number)).float()
    return _close(_forward(number, obj, x), _theirs(x.double()), 0.05)


def _survives_a_copy(number, obj):
    if number == 5:
        state = _buffers(number, obj, _batch(number).requires_grad_())
        return not any(each.requires_grad for each in state) and bool(copy.deepcopy(state))
    x = _batch(number)
    layer, other = obj(2).double(), obj(2).double()
    layer(x)
    other.load_state_dict(layer.state_dict())
    with torch.no_grad():
        return _close(layer.eval()(x), other.eval()(x))


def _answers_the_same(number, obj):
    layer, x = obj(2).double(), _batch(number)
    layer(x)
    with torch.no_grad():
        alone = layer.eval()(x[:1])
    return _close(alone, layer(x)[:1].detach())


class Check(NamedTuple):
    """A check: what it asks, of which bugs it can be asked, and whether code passes it."""

    asks: str
    of: tuple
    passes: Callable


CHECKS = (
    Check("shape; mean 0 and std 1 of the output", NUMBERS, _is_normal),
    Check("PyTorch's output, random batch", NUMBERS, _has_the_output),
    Check("running mean after a step", _REMEMBER, _has_the_running_mean),
    Check("PyTorch's gradient of a random projection", _TENSORS, _has_the_gradient),
    Check("output at mean 10,000 in float32", NUMBERS, _stands_an_offset),
    Check("PyTorch's running variance, four numbers", _REMEMBER, _has_the_running_var),
    Check("a copy after a step, by state or deepcopy", (3, 5), _survives_a_copy),
    Check("eval mode with gradients: one image as in a batch", (3,), _answers_the_same),
)


@one_thread()
def passes(check: Check, number: int, obj: Callable) -> bool | None:
    """Return whether code passes a check, or None where it cannot be asked."""
    if number not in check.of:
        return None
    with warnings.catch_warnings(), np.errstate(all="ignore"), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        return check.passes(number, obj)


# --- training -------------------------------------------------------------------------------------


class Nets(nn.Module):
    """Classifiers of digits side by side: two hidden layers of 50, with a bias before batch norm.

    Args:
        norm: a function of x, gamma and beta: of bug 1, of bug 7 or of a repair. For it the units
            of all nets are units of one layer.
        seeds: of the weights, one net each.
    """

    def __init__(self, norm: Callable, seeds: tuple[int, ...]):
        super().__init__()
        self.norm = norm
        self.first, self.second, self.last = ensemble.stack([_linears(seed) for seed in seeds])
        units = len(seeds) * 50
        self.gammas = nn.ParameterList([torch.ones(units), torch.ones(units)])
        self.betas = nn.ParameterList([torch.zeros(units), torch.zeros(units)])

    def forward(self, x: Tensor) -> Tensor:
        for layer, gamma, beta in zip(
            (self.first, self.second), self.gammas, self.betas, strict=True
        ):
            z = layer(x)
            y = self.norm(z.transpose(0, 1).flatten(1), gamma, beta)
            x = torch.relu(y.view(z.shape[1], z.shape[0], -1).transpose(0, 1))
        return self.last(x)


def _linears(seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(64, 50), nn.Linear(50, 50), nn.Linear(50, 10))


KINDS = ("repaired", "bug 1", "bug 7")


def best_rate(kind: str) -> float:
    """Return the rate at which the median loss is least at the end: no test image has a say."""
    return min(RATES, key=lambda lr: np.median([each.loss for each in train(kind, lr)]))


class Trained(NamedTuple):
    """What training left."""

    loss: float  # mean of the last ten batches over that of the first
    accuracy: float  # on test images, in percent; the test images are one batch
    bias: float  # by how much the first bias has moved, root mean square


@once
@one_thread()
def train(kind: str, lr: float, seeds: tuple[int, ...] = SEEDS) -> list[Trained]:
    """Train Nets by plain gradient descent, batches of 60.

    Args:
        kind: "repaired", "bug 1" or "bug 7".
        lr: learning rate.
        seeds: of split, weights and batches.
    """
    norm = code(7).bug if kind == "bug 7" else getattr(code(1), {"bug 1": "bug"}.get(kind, kind))
    sweep, nets = ensemble.Sweep((lr,), seeds), Nets(norm, seeds)
    start, losses = nets.first.bias.detach().clone(), []
    for x, y in islice(sweep.batches(), STEPS):
        loss = ensemble.losses(nets(x), y)
        losses.append(loss.detach())
        nets.zero_grad()
        loss.sum().backward()
        with torch.no_grad():
            for parameter in nets.parameters():
                if parameter.grad is not None:
                    parameter -= lr * parameter.grad
    x, y = (torch.stack([split[part] for split in sweep.splits]) for part in (2, 3))
    with torch.no_grad():
        right = (nets(x).argmax(2) == y).double().mean(1)
    found = (
        torch.stack(losses[-10:]).mean(0) / losses[0],
        100 * right,
        (nets.first.bias.detach() - start).square().mean((1, 2)).sqrt(),
    )
    return [Trained(*each) for each in zip(*(part.tolist() for part in found), strict=True)]
