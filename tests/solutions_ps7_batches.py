"""Correct solutions of problem set 7, as different as people write them."""

import numpy as np
import torch
from torch import nn

# Exercises whose answer cell is released with code that is to be repaired.
REPAIRS = tuple(f"fix_the_bug_{number}" for number in range(1, 8))

# --- fix_the_bug_1, fix_the_bug_7 -----------------------------------------------------------------


def in_tensors(x, gamma, beta, eps=1e-5):
    centred = x - x.mean(0, keepdim=True)
    return torch.addcmul(beta, gamma * centred, torch.rsqrt(centred.square().mean(0) + eps))


def by_var_mean(x, gamma, beta, eps=1e-5):
    var, mean = torch.var_mean(x, 0, correction=0)
    return (x - mean) * (gamma / (var + eps).sqrt()) + beta


def by_affine_map(x, gamma, beta, eps=1e-5):
    mean = x.sum(0) / x.shape[0]
    scale = gamma * (torch.linalg.vector_norm(x - mean, dim=0) ** 2 / len(x) + eps) ** -0.5
    return scale * x + (beta - scale * mean)


class _InNumPy(torch.autograd.Function):
    """Leave torch, and tell autograd the way back."""

    @staticmethod
    def forward(ctx, x, gamma, beta, eps):
        values, scale, shift = (t.detach().numpy() for t in (x, gamma, beta))
        ctx.std = np.sqrt(values.var(axis=0) + np.asarray(eps, values.dtype))
        ctx.x_hat = (values - values.mean(axis=0)) / ctx.std
        ctx.scale = scale
        return torch.from_numpy(scale * ctx.x_hat + shift)

    @staticmethod
    def backward(ctx, dy):
        dy = dy.numpy()
        centred = dy - dy.mean(axis=0) - ctx.x_hat * (dy * ctx.x_hat).mean(axis=0)
        grads = ctx.scale / ctx.std * centred, (dy * ctx.x_hat).sum(axis=0), dy.sum(axis=0)
        return *(torch.from_numpy(g) for g in grads), None


def in_numpy(x, gamma, beta, eps=1e-5):
    return _InNumPy.apply(x, gamma, beta, eps)


# --- fix_the_bug_2 --------------------------------------------------------------------------------


def last_axis_kept(x, gamma, beta, eps=1e-5):
    rows = x.reshape(-1, x.shape[-1])
    x_hat = (rows - rows.mean(axis=0)) / np.sqrt(rows.var(axis=0) + eps)
    return (gamma * x_hat + beta).reshape(x.shape)


def all_but_the_last(x, gamma, beta, eps=1e-5):
    axes = tuple(range(x.ndim - 1))
    return gamma * (x - x.mean(axes)) / np.sqrt(x.var(axes) + eps) + beta


def channel_by_channel(x, gamma, beta, eps=1e-5):
    y = np.empty_like(x)
    for c in range(x.shape[-1]):
        plane = x[..., c] - np.average(x[..., c])
        y[..., c] = gamma[c] * plane / (np.mean(plane * plane) + eps) ** 0.5 + beta[c]
    return y


# --- fix_the_bug_3 --------------------------------------------------------------------------------


class Registered(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(0), x.var(0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(x.var(0), self.momentum)
        return self.weight * (x - mean) * torch.rsqrt(var + self.eps) + self.bias


class TwoPaths(Registered):
    def forward(self, x):
        return (
            self.learn(x)
            if self.training
            else self.apply_affine(x, self.running_mean, self.running_var)
        )

    def learn(self, x):
        mean = x.sum(0) / len(x)
        var = ((x - mean) ** 2).sum(0) / len(x)
        m, n = self.momentum, len(x)
        self.running_mean = self.running_mean * (1 - m) + mean.data * m
        self.running_var = self.running_var * (1 - m) + var.data * (m * n / (n - 1))
        return self.apply_affine(x, mean, var)

    def apply_affine(self, x, mean, var):
        scale = self.weight / (var + self.eps) ** 0.5
        return x * scale + (self.bias - mean * scale)


class Counting(Registered):
    """With a buffer more, as PyTorch's own layer."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps, momentum)
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x):
        if self.training:
            self.num_batches_tracked += 1
        return super().forward(x)


# --- fix_the_bug_4 --------------------------------------------------------------------------------


def by_np_var(x, gamma, beta, eps=1e-5):
    return gamma * (x - np.mean(x, 0)) / np.sqrt(np.var(x, 0) + eps) + beta


def shifted_data(x, gamma, beta, eps=1e-5):
    """The difference of squares is harmless near zero: shift the data there first."""
    near = x - x[0]
    mean = near.mean(axis=0)
    near = near - mean
    return gamma * near / np.sqrt((near**2).mean(axis=0) - near.mean(axis=0) ** 2 + eps) + beta


def welford(x, gamma, beta, eps=1e-5):
    mean, squares = x[0].copy(), np.zeros_like(x[0])
    for count, row in enumerate(x[1:], start=2):
        step = row - mean
        mean = mean + step / count
        squares = squares + step * (row - mean)
    return gamma * ((x - mean) / np.sqrt(squares / len(x) + eps)) + beta


# --- fix_the_bug_5 --------------------------------------------------------------------------------


def under_no_grad(x, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5):
    var, mean = torch.var_mean(x, 0, correction=0)
    y = gamma * (x - mean) * torch.rsqrt(var + eps) + beta
    with torch.no_grad():
        running_mean = torch.lerp(running_mean, mean, momentum)
        running_var = torch.lerp(running_var, x.var(0), momentum)
    return y, running_mean, running_var


def detached_at_the_end(x, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5):
    mean, var = x.mean(0), x.var(0, unbiased=False)
    running_mean = (1 - momentum) * running_mean + momentum * mean
    running_var = (1 - momentum) * running_var + momentum * var * len(x) / (len(x) - 1)
    y = gamma * (x - mean) / (var + eps).sqrt() + beta
    return y, running_mean.detach(), running_var.detach()


def of_the_data(x, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5):
    values = x.data
    centred = x - x.mean(0)
    y = centred / (centred.square().mean(0) + eps) ** 0.5 * gamma + beta
    running_mean = running_mean + momentum * (values.mean(0) - running_mean)
    running_var = running_var + momentum * (values.var(0) - running_var)
    return y, running_mean, running_var


# --- fix_the_bug_6 --------------------------------------------------------------------------------


def by_ddof(x, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5):
    rows = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])
    y = gamma * (rows - rows.mean(0)) / np.sqrt(rows.var(0) + eps) + beta
    y = np.moveaxis(y.reshape(x.shape[0], *x.shape[2:], x.shape[1]), -1, 1)
    running_mean = (1 - momentum) * running_mean + momentum * rows.mean(0)
    running_var = (1 - momentum) * running_var + momentum * rows.var(0, ddof=1)
    return y, running_mean, running_var


def by_shape(x, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5):
    count, channels, height, width = x.shape
    n = count * height * width
    wide = (1, channels, 1, 1)
    mean = x.sum(axis=(0, 2, 3)) / n
    centred = x - mean.reshape(wide)
    squares = (centred**2).sum(axis=(0, 2, 3))
    y = centred / np.sqrt(squares / n + eps).reshape(wide) * gamma.reshape(wide)
    y = y + beta.reshape(wide)
    running_mean = running_mean + momentum * (mean - running_mean)
    running_var = running_var + momentum * (squares / (n - 1) - running_var)
    return y, running_mean, running_var


def by_channel(x, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5):
    y, means, variances = np.empty_like(x), [], []
    for c in range(x.shape[1]):
        plane = x[:, c]
        means.append((1 - momentum) * running_mean[c] + momentum * plane.mean())
        variances.append((1 - momentum) * running_var[c] + momentum * plane.var(ddof=1))
        y[:, c] = gamma[c] * (plane - plane.mean()) / (plane.var() + eps) ** 0.5 + beta[c]
    return y, np.array(means), np.array(variances)


CORRECT = {
    "fix_the_bug_1": [in_tensors, by_var_mean, by_affine_map],
    "fix_the_bug_2": [last_axis_kept, all_but_the_last, channel_by_channel],
    "fix_the_bug_3": [Registered, TwoPaths, Counting],
    "fix_the_bug_4": [by_np_var, shifted_data, welford],
    "fix_the_bug_5": [under_no_grad, detached_at_the_end, of_the_data],
    "fix_the_bug_6": [by_ddof, by_shape, by_channel],
    "fix_the_bug_7": [in_tensors, by_var_mean, by_affine_map, in_numpy],
}
