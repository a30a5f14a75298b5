"""Correct solutions of problem set 6, as different as people write them."""

import copy
import itertools

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from bncourse.exercises.ps6_shift.noise_mistakes import NoisyBatchNorm, WrittenOut
from bncourse.exercises.ps6_shift.once import once_in_two_passes, once_part_by_part
from bncourse.exercises.ps6_shift.percentiles import percentiles_hooked, percentiles_in_torch
from bncourse.exercises.ps6_shift.predictiveness import (
    predictiveness_and_back,
    predictiveness_on_a_copy,
)
from bncourse.exercises.ps6_shift.shift import shift_on_copies, shift_with_backward

# --- activation_percentiles ---------------------------------------------------------------------


def percentiles_functional(model, layer, batches, q=(15, 50, 85), unit=None):
    """Lend the model copies of its buffers for each pass."""
    rows = []
    for x in batches:
        caught = []
        hook = model.get_submodule(layer).register_forward_hook(
            lambda part, entered, handed_on, caught=caught: caught.append(handed_on.detach() + 0)
        )
        try:
            functional_call(model, {n: b.clone() for n, b in model.named_buffers()}, (x,))
        finally:
            hook.remove()
        (values,) = (each.cpu().numpy() for each in caught)
        rows.append(list(np.percentile(values if unit is None else values[:, unit], q)))
    return rows


def percentiles_by_hand(model, layer, batches, q=(15, 50, 85), unit=None):
    """Sort, and go between two neighbours by a line."""

    def percentile(values, p):
        ordered = np.sort(values.ravel())
        place = p / 100 * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    rows = []
    for x in batches:
        probe, seen = copy.deepcopy(model), {}
        part = probe.get_submodule(layer)
        run = part.forward

        def forward(z, run=run, seen=seen):
            seen["values"] = run(z)
            return seen["values"].clone()

        part.forward = forward
        probe(x)
        values = seen["values"].detach().double().cpu().numpy()
        columns = values if unit is None else values[:, [unit]]
        rows.append([percentile(columns, p) for p in q])
    return np.array(rows)


# --- internal_covariate_shift -------------------------------------------------------------------


def shift_functional(model, loss_fn, x, y, lr):
    """Hold all parameters in a dict, and change the dict."""
    now = {name: p.detach().clone() for name, p in model.named_parameters()}

    def gradients(parameters):
        leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
        buffers = {name: value.clone() for name, value in model.named_buffers()}
        loss = loss_fn(functional_call(model, {**leaves, **buffers}, (x,)), y)
        return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    before, found, mixed = gradients(now), [], dict(now)
    waiting = []
    for name, value in now.items():
        if value.ndim >= 2:
            for earlier in waiting:
                mixed[earlier] = now[earlier] - lr * before[earlier]
            waiting = []
            found.append(torch.linalg.vector_norm(gradients(mixed)[name] - before[name]))
        waiting.append(name)
    return torch.stack(found)


def shift_by_optimizer(model, loss_fn, x, y, lr):
    """Let SGD take the step of a copy, and load its parts into another."""
    stepped = copy.deepcopy(model)
    optimizer = torch.optim.SGD(stepped.parameters(), lr=lr)
    optimizer.zero_grad()
    loss_fn(stepped(x), y).backward()
    old = [p.grad.clone() for p in stepped.parameters()]
    optimizer.step()
    names = [name for name, _ in model.named_parameters()]
    result = []
    for place, name in enumerate(names):
        if model.get_parameter(name).dim() < 2:
            continue
        mixed = copy.deepcopy(model)
        mixed.zero_grad()
        parts = {each: stepped.get_parameter(each) for each in names[:place]}
        mixed.load_state_dict({**mixed.state_dict(), **parts})
        loss_fn(mixed(x), y).backward()
        new = mixed.get_parameter(name).grad
        result.append(float(((new - old[place]) ** 2).sum() ** 0.5))
    return result


# --- NoisyBatchNorm -----------------------------------------------------------------------------


class ByAffineMap(nn.Module):
    """Keep the noise in buffers that are no part of a checkpoint."""

    def __init__(self, num_features, shift=0.5, scale=0.5, seed=0):
        super().__init__()
        self.bn = nn.BatchNorm1d(num_features)
        self.m_spread, self.s_spread = shift, scale
        self.random = torch.Generator().manual_seed(seed + 1)
        self.register_buffer("s", torch.ones(num_features), persistent=False)
        self.register_buffer("m", torch.zeros(num_features), persistent=False)

    def draw(self):
        self.m.copy_(torch.empty(len(self.m)).normal_(generator=self.random) * self.m_spread)
        noise = torch.empty(len(self.s)).normal_(generator=self.random)
        self.s.copy_(torch.exp(noise * self.s_spread))

    def forward(self, x):
        y = self.bn(x)
        if self.training:
            self.draw()
            return y * self.s.clone() + self.m
        return y


class ByNumPy(nn.Module):
    """Draw with NumPy's generator, a normal and a log-normal number for each unit."""

    def __init__(self, num_features, shift=0.5, scale=0.5, seed=0):
        super().__init__()
        self.norm, self.spread = nn.BatchNorm1d(num_features), (shift, scale)
        self.rng = np.random.default_rng(seed)

    def forward(self, x):
        y = self.norm(x)
        if not self.training:
            return y
        shift, scale = self.spread
        m = self.rng.normal(0, shift, (1, y.shape[1]))
        s = self.rng.lognormal(0, scale, (1, y.shape[1]))
        return y * torch.tensor(s).to(y) + torch.tensor(m).to(y)


# --- normalize_once -----------------------------------------------------------------------------


@torch.no_grad()
def once_new_layers(model, x):
    """Make new linear layers, and let the batch pass through each as soon as it is folded."""
    new = nn.Sequential()
    parts = list(model.named_children())
    norms = {before[0]: part for before, (_, part) in itertools.pairwise(parts)}
    for name, part in parts:
        if isinstance(part, nn.BatchNorm1d):
            continue
        copied = copy.deepcopy(part)
        norm = norms.get(name)
        if isinstance(norm, nn.BatchNorm1d):
            copied = nn.Linear(part.in_features, part.out_features).to(part.weight)
            z = part(x)
            centre = z.mean(0)
            spread = ((z - centre).pow(2).mean(0) + norm.eps).rsqrt()
            if norm.weight is not None:
                spread = spread * norm.weight
            copied.weight.copy_(torch.diag(spread) @ part.weight)
            copied.bias.copy_(((part.bias if part.bias is not None else 0) - centre) * spread)
            if norm.bias is not None:
                copied.bias += norm.bias
        copied.train(part.training)
        new.add_module(name, copied)
        x = copied(x)
    return new.train(model.training)


def once_with_momentum(model, x):
    """Read the statistics out of a copy's buffers with momentum 1, undo the unbiased factor."""
    probe = copy.deepcopy(model).train()
    norms = [part for part in probe if isinstance(part, nn.BatchNorm1d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        probe(x)
    parts = []
    for part in copy.deepcopy(model):
        if not isinstance(part, nn.BatchNorm1d):
            parts.append(part)
            continue
        seen = norms.pop(0)
        var = seen.running_var * (len(x) - 1) / len(x)
        scale = 1 / torch.sqrt(var + seen.eps)
        shift = -seen.running_mean * scale
        if seen.affine:
            scale, shift = scale * seen.weight.detach(), shift * seen.weight + seen.bias
        last = parts[-1]
        bias = scale * last.bias if last.bias is not None else 0
        last.bias = nn.Parameter((shift + bias).detach())
        last.weight = nn.Parameter((last.weight.T * scale).T.detach().contiguous())
    result = nn.Sequential(*parts)
    result.training = model.training
    return result


# --- gradient_predictiveness --------------------------------------------------------------------


def predictiveness_functional(model, loss_fn, x, y, step_sizes):
    """Leave the model out of it: all weights are arguments."""
    weights = {n: p.detach() for n, p in model.named_parameters() if p.ndim > 1}

    def loss_at(moved):
        buffers = {n: b.clone() for n, b in model.named_buffers()}
        return loss_fn(functional_call(model, {**buffers, **moved}, (x,)), y)

    leaves = {n: w.clone().requires_grad_() for n, w in weights.items()}
    start = loss_at(leaves)
    g = dict(zip(leaves, torch.autograd.grad(start, list(leaves.values())), strict=True))
    slope = sum(w.norm() * g[n].norm() for n, w in weights.items())
    shares = []
    for size in map(float, step_sizes):
        moved = {
            n: w - size * w.norm() * nn.functional.normalize(g[n].flatten(), dim=0).view_as(w)
            for n, w in weights.items()
        }
        shares.append((start.detach() - loss_at(moved).detach()) / (size * slope))
    return torch.stack(shares)


def predictiveness_by_backward(model, loss_fn, x, y, step_sizes):
    """A fresh copy for each size."""
    first = copy.deepcopy(model)
    first.zero_grad()
    before = loss_fn(first(x), y)
    before.backward()
    kept = []
    for size in step_sizes:
        other, promise = copy.deepcopy(model), 0.0
        for p, q in zip(first.parameters(), other.parameters(), strict=True):
            if p.dim() == 1 or not p.grad.any():
                continue
            w, g = p.data.pow(2).sum().sqrt(), p.grad.pow(2).sum().sqrt()
            q.data -= size * w / g * p.grad
            promise += float(size * w * g)
        after = loss_fn(other(x), y)
        kept.append((before.item() - after.item()) / promise)
    return np.array(kept)


CORRECT = {
    "activation_percentiles": [
        percentiles_hooked,
        percentiles_in_torch,
        percentiles_functional,
        percentiles_by_hand,
    ],
    "internal_covariate_shift": [
        shift_on_copies,
        shift_with_backward,
        shift_functional,
        shift_by_optimizer,
    ],
    "NoisyBatchNorm": [NoisyBatchNorm, WrittenOut, ByAffineMap, ByNumPy],
    "normalize_once": [
        once_part_by_part,
        once_in_two_passes,
        once_new_layers,
        once_with_momentum,
    ],
    "gradient_predictiveness": [
        predictiveness_on_a_copy,
        predictiveness_and_back,
        predictiveness_functional,
        predictiveness_by_backward,
    ],
}
