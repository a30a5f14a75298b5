"""Correct solutions of problem set 8, written as differently as correct solutions are."""

import itertools
from collections import OrderedDict

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from bncourse.exercises.ps8_capstone.block import ResidualBlock
from bncourse.exercises.ps8_capstone.net import net_with_own_layer
from bncourse.exercises.ps8_capstone.training import train_by_hand, train_with_optimizer

# --- ResidualBlock ----------------------------------------------------------------------------


class Branching(nn.Module):
    """Decide in forward, and register nothing where there is no norm."""

    def __init__(self, width, norm, zero_init=False):
        super().__init__()
        self.normed = norm is not None
        self.linear1 = nn.Linear(width, width, bias=not self.normed)
        self.linear2 = nn.Linear(width, width, bias=not self.normed)
        with torch.no_grad():
            for each in (self.linear1, self.linear2):
                each.weight.normal_(0, (2 / width) ** 0.5)
                if each.bias is not None:
                    each.bias.fill_(0)
            if self.normed:
                self.norm1, self.norm2 = norm(width), norm(width)
                if zero_init:
                    self.norm2.weight.mul_(0)
            elif zero_init:
                self.linear2.weight.mul_(0)

    def forward(self, x):
        z = self.linear1(x)
        z = self.norm1(z) if self.normed else z
        z = self.linear2(z.clamp(min=0))
        return (self.norm2(z) if self.normed else z).add(x)


class Looping(nn.Module):
    """Add the modules in a loop, draw from a uniform distribution of the same variance."""

    def __init__(self, width, norm, zero_init=False):
        super().__init__()
        for place in (1, 2):
            linear = nn.Linear(width, width, bias=norm is None)
            nn.init.kaiming_uniform_(linear.weight, nonlinearity="relu")
            if norm is None:
                nn.init.constant_(linear.bias, 0)
            self.add_module(f"linear{place}", linear)
            self.add_module(f"norm{place}", norm(width) if norm else None)
        if zero_init:
            last = self.norm2 if norm else self.linear2
            last.weight = nn.Parameter(torch.zeros_like(last.weight))

    def forward(self, x):
        branch = x
        for linear, norm in ((self.linear1, self.norm1), (self.linear2, self.norm2)):
            if linear is self.linear2:
                branch = branch * (branch > 0)
            branch = linear(branch)
            branch = branch if norm is None else norm(branch)
        return x + branch


class Sequence(nn.Module):
    """Keep the branch as a function of its parts."""

    def __init__(self, width, norm, zero_init=False):
        super().__init__()
        make = norm or (lambda width: nn.Sequential())
        options = {"bias": norm is None}
        self.linear1, self.norm1 = nn.Linear(width, width, **options), make(width)
        self.linear2, self.norm2 = nn.Linear(width, width, **options), make(width)
        weights = [self.linear1.weight, self.linear2.weight]
        for weight in weights:
            weight.data = torch.randn(width, width) / np.sqrt(width / 2)
        for bias in filter(lambda each: each is not None, (self.linear1.bias, self.linear2.bias)):
            bias.data.zero_()
        if zero_init:
            scale = self.norm2.weight if norm else weights[1]
            scale.data.zero_()

    def forward(self, x):
        out = x
        for part in (self.linear1, self.norm1, nn.functional.relu, self.linear2, self.norm2):
            out = part(out)
        return out + x


# --- train ------------------------------------------------------------------------------------


def _endless(count, batch_size, generator):
    while True:
        order = torch.randperm(count, generator=generator)
        cuts = list(range(0, count, batch_size))
        if len(cuts) > 1 and batch_size > 1 and count - cuts[-1] == 1:
            cuts.pop()
        for start, end in itertools.pairwise([*cuts, count]):
            yield order[start:end]


def train_streaming(model, x, y, steps, lr, batch_size, seed):
    """Take batches from an endless stream, gradients from autograd.grad."""
    was = model.training
    model.train()
    stream = _endless(len(x), batch_size, torch.Generator().manual_seed(seed))
    losses = torch.zeros(steps, dtype=torch.float64)
    parameters = [*model.parameters()]
    for step, rows in enumerate(itertools.islice(stream, steps)):
        loss = cross_entropy(model(x[rows]), y[rows])
        with torch.no_grad():
            for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                p -= lr * g
        losses[step] = loss.detach()
    model.train(was)
    return losses


def train_in_numpy_order(model, x, y, steps, lr, batch_size, seed):
    """Draw the order with NumPy, write the loss out, count the steps of each epoch."""
    rng = np.random.default_rng(seed)
    was = model.training
    model.train()
    losses = []
    while steps > len(losses):
        rows = rng.permutation(len(x))
        batches = [rows[i : i + batch_size] for i in range(0, len(x), batch_size)]
        if len(batches) > 1 and len(batches[-1]) == 1:
            lonely = batches.pop()
            batches[-1] = np.concatenate([batches[-1], lonely])
        for chosen in batches:
            if len(losses) == steps:
                break
            chosen = torch.from_numpy(chosen).to(x.device)
            logs = model(x[chosen]).log_softmax(dim=1)
            loss = -logs.gather(1, y[chosen, None]).mean()
            for p in model.parameters():
                p.grad = None
            loss.backward()
            for p in model.parameters():
                p.data -= lr * p.grad
            losses.append(loss.item())
    model.train(was)
    return np.array(losses)


# --- deep_net ---------------------------------------------------------------------------------


class BatchNorm(nn.Module):
    """A layer as problem set 4 asks for it, for (N, C)."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x):
        if not self.training:
            scale = self.weight * torch.rsqrt(self.running_var + self.eps)
            return x * scale + (self.bias - self.running_mean * scale)
        var, mean = torch.var_mean(x, dim=0, correction=0)
        with torch.no_grad():
            self.num_batches_tracked += 1
            unbiased = var * (len(x) / (len(x) - 1))
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (unbiased - self.running_var)
        return torch.addcmul(self.bias, (x - mean) / (var + self.eps).sqrt(), self.weight)


def net_by_list(inputs, width, blocks, classes, block, normed=True):
    """Append to a list."""
    layers = [nn.Linear(inputs, width, bias=not normed)]
    if normed:
        layers.append(BatchNorm(width))
    for _ in range(blocks):
        layers.append(block(width, BatchNorm if normed else None))
    layers.append(nn.Linear(width, classes))
    return nn.Sequential(*layers)


def net_by_append(inputs, width, blocks, classes, block, normed=True):
    """Append to the net itself, and hand a function to the blocks."""
    net = nn.Sequential(nn.Linear(inputs, width, bias=not normed))
    norm = (lambda features: BatchNorm(features, momentum=0.1)) if normed else None
    if norm:
        net.append(norm(width))
    while blocks:
        net.append(block(width, norm))
        blocks -= 1
    return net.append(nn.Linear(width, classes))


def net_with_names(inputs, width, blocks, classes, block, normed=True):
    """Give each part a name of its own."""
    norm = BatchNorm if normed else None
    parts = {"stem": nn.Linear(inputs, width, bias=not normed)}
    if normed:
        parts["norm"] = norm(width)
    parts |= {f"block{number}": block(width, norm) for number in range(blocks)}
    return nn.Sequential(OrderedDict(parts, head=nn.Linear(width, classes)))


def net_with_identity(inputs, width, blocks, classes, block, normed=True):
    """Let an Identity stand where the norm is absent."""
    norm = BatchNorm if normed else None
    between = norm(width) if normed else nn.Identity()
    inside = [block(width, norm) for _ in range(blocks)]
    first, last = nn.Linear(inputs, width, bias=not normed), nn.Linear(width, classes)
    return nn.Sequential(first, between, *inside, last)


CORRECT = {
    "ResidualBlock": [ResidualBlock, Branching, Looping, Sequence],
    "train": [train_by_hand, train_with_optimizer, train_streaming, train_in_numpy_order],
    "deep_net": [net_with_own_layer, net_by_list, net_by_append, net_with_names, net_with_identity],
}
