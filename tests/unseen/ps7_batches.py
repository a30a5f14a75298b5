"""Wrong solutions of problem set 7."""

import torch
import torch.distributed as dist

from unseen import Table, written

TABLE = Table()


def take_in(name, source, rows):
    for changes, names in rows:
        made = written(source, name, changes, torch=torch, dist=dist)
        TABLE.of(name, *names)(made)


GHOST = """\
def ghost_batchnorm(x, gamma, beta, ghost_size, eps=1e-5):
    out = np.zeros_like(x)
    i = 0
    while i < len(x):
        g = x[i:i + ghost_size]
        c = g - g.sum(0) / len(g)
        s = ((c * c).sum(0) / len(g) + eps) ** 0.5
        out[i:i + ghost_size] = c / s * gamma + beta
        i += ghost_size
    return out
"""
take_in(
    "ghost_batchnorm",
    GHOST,
    [
        ([("g.sum(0) / len(g)", "x.sum(0) / len(x)")], []),
        ([("c = g - g.sum(0) / len(g)", "c = g - x.mean(0)")], []),
        ([("(c * c).sum(0) / len(g)", "x.var(0)")], ["variance of the whole batch"]),
        (
            [("(c * c).sum(0) / len(g)", "(c * c).sum(0) / max(len(g) - 1, 1)")],
            ["unbiased variance"],
        ),
        (
            [("(c * c).sum(0) / len(g)", "(c * c).sum(0) / max(len(g) - 1, 1)"), (" + beta", "")],
            ["unbiased variance", "beta missing"],
        ),
        ([("len(g)", "ghost_size")], ["divided by ghost_size"]),
        ([("len(g) + eps) ** 0.5", "len(g)) ** 0.5 + eps")], ["eps outside the root"]),
        ([(" ** 0.5", "")], ["root missing"]),
        ([("* gamma + beta", "* beta + gamma")], ["gamma and beta swapped"]),
        ([("* gamma + beta", "")], ["scale and shift missing"]),
        ([("while i < len(x)", "while i + ghost_size <= len(x)")], []),
        ([("c / s * gamma + beta", "c / s * gamma - beta")], []),
        ([("g = x[i:i + ghost_size]", "g = x[max(0, i - 1):i + ghost_size][-ghost_size:]")], []),
    ],
)

RENORM = """\
def batch_renorm_forward(x, gamma, beta, running_mean, running_std, r_max, d_max, eps=1e-5):
    mu = x.mean(0, keepdims=True)
    sigma = (np.square(x - mu).mean(0, keepdims=True) + eps) ** 0.5
    r = (sigma / running_std).clip(1 / r_max, r_max)
    d = ((mu - running_mean) / running_std).clip(-d_max, d_max)
    x_hat = (x - mu) / sigma * r + d
    return gamma * x_hat + beta, r[0], d[0]
"""
take_in(
    "batch_renorm_forward",
    RENORM,
    [
        ([("sigma / running_std", "running_std / sigma")], ["r upside down"]),
        ([("mu - running_mean", "running_mean - mu")], ["d of the other sign"]),
        (
            [("mu - running_mean", "running_mean - mu"), ("gamma * x_hat + beta", "gamma * x_hat")],
            ["d of the other sign", "beta missing"],
        ),
        (
            [("((mu - running_mean) / running_std)", "((mu - running_mean) / sigma)")],
            ["d over the batch's deviation"],
        ),
        ([(".clip(1 / r_max, r_max)", "")], ["r not clipped"]),
        ([(".clip(-d_max, d_max)", "")], ["d not clipped"]),
        (
            [(".clip(1 / r_max, r_max)", ""), (".clip(-d_max, d_max)", "")],
            ["r not clipped", "d not clipped"],
        ),
        ([(".clip(1 / r_max, r_max)", ".clip(0, r_max)")], ["r clipped above only"]),
        ([(".clip(-d_max, d_max)", ".clip(0, d_max)")], ["d clipped at 0"]),
        ([("* r + d", "* r - d")], ["d subtracted"]),
        ([("(x - mu) / sigma * r + d", "((x - mu) / sigma + d) * r")], ["d added before r"]),
        ([("(x - mu) / sigma * r + d", "(x - mu) / sigma")], ["batch norm"]),
        (
            [("(x - mu) / sigma * r + d", "(x - running_mean) / running_std")],
            ["running statistics as they are"],
        ),
        ([("r[0], d[0]", "d[0], r[0]")], ["order of the results"]),
        ([("r[0], d[0]", "r, d")], ["kept dimensions"]),
        (
            [("mean(0, keepdims=True) + eps", "sum(0, keepdims=True) / max(len(x) - 1, 1) + eps")],
            ["unbiased variance"],
        ),
        ([("+ eps) ** 0.5", ") ** 0.5 + eps")], ["eps outside the root"]),
        ([("sigma / running_std", "(sigma / running_std) ** 1.1")], []),
        ([("gamma * x_hat + beta", "gamma * x_hat - beta")], []),
    ],
)

MIXTURE = """\
def batch_layer_norm(x, gamma, beta, batch_size, running_mean=None, running_var=None, eps=1e-3):
    N, D = x.shape
    m = x.mean(0) if running_mean is None else running_mean
    v = x.var(0) if running_var is None else running_var
    b = (x - m) * (v + eps) ** -0.5
    rows = x - x.mean(1)[:, None]
    f = rows * ((rows**2).mean(1)[:, None] + eps) ** -0.5
    a = 1 / batch_size
    y = ((a - 1e-4) * f + (1 - a - 1e-4) * b) / D**0.5
    return y * gamma + beta
"""
take_in(
    "batch_layer_norm",
    MIXTURE,
    [
        (
            [("(a - 1e-4) * f + (1 - a - 1e-4) * b", "(a - 1e-4) * b + (1 - a - 1e-4) * f")],
            ["weights swapped"],
        ),
        ([("a = 1 / batch_size", "a = 1 / N")], ["batch size taken from x"]),
        ([("a - 1e-4", "a")], ["1e-4 missing"]),
        ([(" / D**0.5", "")], ["root of D missing"]),
        ([(" / D**0.5", ""), (" + beta", "")], ["root of D missing", "beta missing"]),
        ([(" / D**0.5", " / D")], ["divided by D"]),
        ([("1 - a - 1e-4", "1 - a + 1e-4")], ["1e-4 added to one"]),
        ([("eps=1e-3", "eps=1e-5")], ["another default for eps"]),
        ([(" if running_var is None else running_var", "")], []),
        (
            [
                (" if running_var is None else running_var", ""),
                (" if running_mean is None else running_mean", ""),
            ],
            ["population ignored"],
        ),
        (
            [
                ("(v + eps) ** -0.5", "(v + eps) ** -1"),
                ("[:, None] + eps) ** -0.5", "[:, None] + eps) ** -1"),
            ],
            ["root missing"],
        ),
        ([("y * gamma + beta", "y * beta + gamma")], ["gamma and beta swapped"]),
        ([("rows = x -", "rows = b -"), ("x.mean(1)", "b.mean(1)")], ["one after the other"]),
        ([("a = 1 / batch_size", "a = 1 / batch_size**2")], []),
    ],
)

SYNC = """\
def sync_batch_statistics(x):
    s = torch.zeros(x.shape[1] + 1, dtype=x.dtype)
    s[0] = len(x)
    s[1:] = x.sum(dim=0)
    dist.all_reduce(s)
    n, mean = s[0], s[1:] / s[0]
    q = torch.square(x - mean).sum(dim=0)
    dist.all_reduce(q)
    return mean, q / n
"""
take_in(
    "sync_batch_statistics",
    SYNC,
    [
        (
            [("    dist.all_reduce(s)\n", ""), ("    dist.all_reduce(q)\n", "")],
            ["nothing exchanged"],
        ),
        ([("    dist.all_reduce(q)\n", "")], ["squares not exchanged"]),
        ([("x - mean)", "x - x.mean(0))")], ["between missing"]),
        ([("q / n", "q / (n - 1)")], ["unbiased variance"]),
        ([("q / n", "q")], ["sum of squares"]),
        ([("q / n", "(q / n) ** 0.5")], ["standard deviation"]),
        ([("return mean, q / n", "return mean, q / (n - 1) + 0 * mean")], ["unbiased variance"]),
        ([("return mean,", "return s[1:],")], ["sum in place of the mean"]),
        (
            [("return mean,", "return s[1:],"), ("q / n", "q / (n - 1)")],
            ["sum in place of the mean", "unbiased variance"],
        ),
        ([("return mean,", "return 2 * mean,")], []),
        ([("dist.all_reduce(s)", "dist.all_reduce(s, op=dist.ReduceOp.MAX)")], []),
        ([("dist.all_reduce(q)", "dist.broadcast(q, src=0)")], ["squares not exchanged"]),
    ],
)
