"""Correct solutions of problem set 7, written as differently as correct solutions are."""

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from bncourse.exercises.ps7_batches import ghosts, mixture, renorm, sync

# Exercises whose answer cell is released with code that is to be repaired.
REPAIRS = tuple(f"fix_the_bug_{number}" for number in range(1, 8))

# --- ghost_batchnorm ------------------------------------------------------------------------------


def ghost_by_labels(x, gamma, beta, ghost_size, eps=1e-5):
    # A 0/1 matrix says which example belongs to which ghost; statistics are matrix products.
    label = np.arange(len(x)) // ghost_size
    member = (label == np.arange(label[-1] + 1)[:, None]).astype(x.dtype)
    count = member.sum(1, keepdims=True)
    centred = x - (member @ x / count)[label]
    var = member @ centred**2 / count
    return centred * (gamma / np.sqrt(var + eps))[label] + beta


def ghost_split(x, gamma, beta, ghost_size, eps=1e-5):
    ghosts = np.split(x, range(ghost_size, len(x), ghost_size))
    done = []
    for ghost in ghosts:
        centred = ghost - ghost.sum(axis=0) / len(ghost)
        inv_std = (np.einsum("nd,nd->d", centred, centred) / len(ghost) + eps) ** -0.5
        done.append(np.einsum("nd,d->nd", centred, gamma * inv_std) + beta)
    return np.vstack(done).astype(x.dtype)


def ghost_reshaped(x, gamma, beta, ghost_size, eps=1e-5):
    # All whole ghosts at once, then the rest as a batch of its own.
    whole = len(x) // ghost_size * ghost_size
    y = np.empty_like(x)
    for rows, size in ((slice(0, whole), ghost_size), (slice(whole, None), len(x) - whole)):
        if size and len(x[rows]):
            table = x[rows].reshape(-1, size, x.shape[1])
            mean = table.mean(axis=1, keepdims=True)
            var = np.square(table - mean).mean(axis=1, keepdims=True)
            y[rows] = ((table - mean) / np.sqrt(var + eps)).reshape(-1, x.shape[1])
    return y * gamma + beta


# --- batch_renorm_forward -------------------------------------------------------------------------


def renorm_as_an_affine_map(x, gamma, beta, running_mean, running_std, r_max, d_max, eps=1e-5):
    mean = np.average(x, axis=0)
    std = (np.square(x - mean).mean(0) + eps) ** 0.5
    r = np.minimum(np.maximum(std / running_std, 1.0 / r_max), r_max)
    d = np.maximum(np.minimum((mean - running_mean) / running_std, d_max), -d_max)
    factor = gamma * r / std
    return factor * (x - mean) + (gamma * d + beta), r, d


def renorm_feature_by_feature(x, gamma, beta, running_mean, running_std, r_max, d_max, eps=1e-5):
    y, r, d = np.empty_like(x), np.empty_like(gamma), np.empty_like(gamma)
    for j in range(x.shape[1]):
        column = x[:, j]
        mean = column.mean()
        std = np.sqrt(column.var() + eps)
        r[j] = sorted((1 / r_max, std / running_std[j], r_max))[1]
        d[j] = sorted((-d_max, (mean - running_mean[j]) / running_std[j], d_max))[1]
        y[:, j] = gamma[j] * ((column - mean) / std * r[j] + d[j]) + beta[j]
    return y, r, d


def renorm_from_the_running(x, gamma, beta, running_mean, running_std, r_max, d_max, eps=1e-5):
    # What inference gives, moved and stretched by what the bounds took away.
    mean, std = x.mean(axis=0), np.sqrt(x.var(axis=0) + eps)
    whole_r, whole_d = std / running_std, (mean - running_mean) / running_std
    r = np.where(whole_r > r_max, r_max, np.where(whole_r < 1 / r_max, 1 / r_max, whole_r))
    d = np.where(np.abs(whole_d) > d_max, np.sign(whole_d) * d_max, whole_d)
    inference = (x - running_mean) / running_std
    y = gamma * ((inference - whole_d) * (r / whole_r) + d) + beta
    return y.astype(x.dtype), r.astype(x.dtype), d.astype(x.dtype)


# --- batch_layer_norm -----------------------------------------------------------------------------


def mixture_transposed(x, gamma, beta, batch_size, running_mean=None, running_var=None, eps=1e-3):
    def standardized(values, mean=None, var=None):
        mean = values.mean(axis=0) if mean is None else mean
        var = np.var(values, axis=0) if var is None else var
        return (values - mean) * (var + eps) ** -0.5

    shares = 1 / batch_size - 1e-4, 1 - 1 / batch_size - 1e-4
    parts = standardized(x.T).T, standardized(x, running_mean, running_var)
    return gamma * (shares[0] * parts[0] + shares[1] * parts[1]) / x.shape[1] ** 0.5 + beta


def mixture_with_one_gamma(
    x, gamma, beta, batch_size, running_mean=None, running_var=None, eps=1e-3
):
    n, d = x.shape
    mean = np.full(n, 1 / n) @ x if running_mean is None else running_mean
    var = np.square(x - x.mean(0)).sum(0) / n if running_var is None else running_var
    across = x - x.mean(1)[:, None]
    across = across / np.sqrt(np.einsum("nd,nd->n", across, across) / d + eps)[:, None]
    down = (x - mean) / np.sqrt(var + eps)
    y = down + (across - down) / batch_size - 1e-4 * (across + down)
    return (y * (gamma / np.sqrt(d)) + beta).astype(x.dtype)


def mixture_example_by_example(
    x, gamma, beta, batch_size, running_mean=None, running_var=None, eps=1e-3
):
    means = running_mean if running_mean is not None else x.sum(axis=0) / len(x)
    variances = running_var if running_var is not None else x.var(axis=0)
    rows = []
    for row in x:
        of_row = (row - row.mean()) / (row.var() + eps) ** 0.5
        of_batch = (row - means) / (variances + eps) ** 0.5
        mixed = np.array([1 / batch_size, 1 - 1 / batch_size]) - 0.0001
        rows.append(mixed[0] * of_row + mixed[1] * of_batch)
    return (gamma * np.stack(rows) / np.sqrt(len(gamma)) + beta).astype(x.dtype)


# --- sync_batch_statistics ------------------------------------------------------------------------


def sync_whole_batch(x):
    # Every process sends all it has: right, and the most that can cross the network.
    shards = [None] * dist.get_world_size()
    dist.all_gather_object(shards, x.numpy())
    whole = np.concatenate(shards)
    return torch.from_numpy(whole.mean(axis=0)), torch.from_numpy(whole.var(axis=0))


def sync_shifted_sums(x):
    # One exchange: the sums of the distances from a point near all examples.
    near = x[0].clone()
    dist.broadcast(near, src=0)
    away = x - near
    sums = torch.cat([away.sum(0), (away**2).sum(0), torch.ones(1, dtype=x.dtype) * len(x)])
    dist.all_reduce(sums, op=dist.ReduceOp.SUM)
    first, second = sums[:-1].reshape(2, -1) / sums[-1]
    return near + first, second - first**2


def sync_in_float64(x):
    sums = torch.zeros(x.shape[1] + 1, dtype=torch.float64)
    sums[:-1], sums[-1] = x.double().sum(dim=0), x.shape[0]
    dist.all_reduce(sums, async_op=True).wait()
    mean = sums[:-1] / sums[-1]
    var = torch.einsum("nd,nd->d", x.double() - mean, x.double() - mean) / sums[-1]
    dist.all_reduce(var)
    return mean.to(x.dtype), var.to(x.dtype)


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


class Frozen(Registered):
    """With running statistics that are saved as parameters, and ask for no gradient."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps, momentum)
        for name, start in list(self.named_buffers()):
            delattr(self, name)
            setattr(self, name, nn.Parameter(start, requires_grad=False))


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


@torch.no_grad()
def _remember(running, new, momentum):
    return running.lerp_(new, momentum)


def changed_in_place(x, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5):
    mean, var = x.mean(0), x.var(0, correction=0)
    running_mean = _remember(running_mean, mean, momentum)
    running_var = _remember(running_var, x.var(0), momentum)
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta, running_mean, running_var


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
    "ghost_batchnorm": [
        ghosts.ghost_batchnorm,
        ghost_by_labels,
        ghost_split,
        ghost_reshaped,
    ],
    "batch_renorm_forward": [
        renorm.batch_renorm_forward,
        renorm_as_an_affine_map,
        renorm_feature_by_feature,
        renorm_from_the_running,
    ],
    "batch_layer_norm": [
        mixture.batch_layer_norm,
        mixture_transposed,
        mixture_with_one_gamma,
        mixture_example_by_example,
    ],
    "sync_batch_statistics": [
        sync.sync_batch_statistics,
        sync.sync_by_merging,
        sync_whole_batch,
        sync_shifted_sums,
        sync_in_float64,
    ],
    "fix_the_bug_1": [in_tensors, by_var_mean, by_affine_map],
    "fix_the_bug_2": [last_axis_kept, all_but_the_last, channel_by_channel],
    "fix_the_bug_3": [Registered, TwoPaths, Counting, Frozen],
    "fix_the_bug_4": [by_np_var, shifted_data, welford],
    "fix_the_bug_5": [under_no_grad, detached_at_the_end, changed_in_place, of_the_data],
    "fix_the_bug_6": [by_ddof, by_shape, by_channel],
    "fix_the_bug_7": [in_tensors, by_var_mean, by_affine_map, in_numpy],
}
