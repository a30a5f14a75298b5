"""Wrong solutions of problem set 7."""

import torch
from torch import nn

from unseen import Table, written

TABLE = Table()


def take_in(name, source, rows):
    for changes, names in rows:
        TABLE.of(name, *names)(written(source, name, changes, torch=torch, nn=nn))


FORWARD = """\
def fix_the_bug_1(x, gamma, beta, eps=1e-5):
    s = x
    mu = s.sum(0) / s.shape[0]
    v = ((s - mu) ** 2).sum(0) / s.shape[0]
    r = torch.rsqrt(v + eps)
    return torch.addcmul(beta, gamma, (x - mu) * r)
"""
take_in(
    "fix_the_bug_1",
    FORWARD,
    [
        ([("s = x", "s = x.data")], ["statistics without a graph"]),
        (
            [("    r = ", "    mu, v = mu.detach(), v.detach()\n    r = ")],
            ["statistics without a graph"],
        ),
        ([("rsqrt(v + eps)", "rsqrt(v + eps).detach()")], ["variance without a graph"]),
        ([("    r = ", "    mu = mu.detach()\n    r = ")], ["mean without a graph"]),
        ([("** 2).sum(0) / s.shape[0]", "** 2).sum(0) / (s.shape[0] - 1)")], ["unbiased variance"]),
        (
            [
                ("s = x", "s = x.detach()"),
                ("sum(0) / s.shape[0]\n    r", "sum(0) / (s.shape[0] - 1)\n    r"),
            ],
            ["statistics without a graph", "unbiased variance"],
        ),
        ([("(x - mu) * r", "(x + mu) * r")], []),
    ],
)
take_in(
    "fix_the_bug_7",
    FORWARD.replace("fix_the_bug_1", "fix_the_bug_7"),
    [
        (
            [
                (
                    "torch.addcmul(beta, gamma, (x - mu) * r)",
                    "torch.from_numpy((gamma * (x - mu) * r + beta).data.numpy()).requires_grad_()",
                )
            ],
            ["fresh tensor"],
        ),
        ([("s = x", "s = x = x.detach()")], ["x outside of autograd"]),
        ([("s = x", "s = x.data")], ["statistics outside of autograd"]),
        (
            [("gamma, (x", "gamma.data, (x"), ("(beta,", "(beta.data,")],
            ["gamma and beta outside of autograd"],
        ),
        ([("rsqrt(v + eps)", "rsqrt(v) + eps")], []),
    ],
)

IMAGES = """\
def fix_the_bug_2(x, gamma, beta, eps=1e-5):
    over = 0, 1, 2
    c = x - np.mean(x, over, keepdims=True)
    return c / (np.mean(c * c, over, keepdims=True) + eps) ** 0.5 * gamma + beta
"""
take_in(
    "fix_the_bug_2",
    IMAGES,
    [
        ([("0, 1, 2", "0, 2, 3")], ["axes of channels first"]),
        ([("0, 1, 2", "1, 2")], ["pixels only"]),
        ([("0, 1, 2", "None")], ["all axes"]),
        ([("0, 1, 2", "3")], ["channels only"]),
        ([("0, 1, 2", "0, 2")], []),
        ([("0, 1, 2", "1, 2, 3")], []),
    ],
)

LAYER = """\
class fix_the_bug_3(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x):
        if self.training:
            mu, v = x.mean(0), x.var(0, unbiased=False)
            self.running_mean = torch.lerp(self.running_mean, mu.detach(), self.momentum)
            self.running_var = torch.lerp(self.running_var, x.detach().var(0), self.momentum)
        else:
            mu, v = self.running_mean, self.running_var
        return (x - mu) * torch.rsqrt(v + self.eps) * self.weight + self.bias
"""
take_in(
    "fix_the_bug_3",
    LAYER,
    [
        ([("if self.training", "if torch.is_grad_enabled()")], ["mode from autograd"]),
        (
            [("if self.training", "if x.requires_grad or torch.is_grad_enabled()")],
            ["mode from autograd"],
        ),
        (
            [
                (
                    f'"{name}", torch.{fill}(num_features))',
                    f'"{name}", torch.{fill}(num_features), persistent=False)',
                )
                for name, fill in (("running_mean", "zeros"), ("running_var", "ones"))
            ],
            ["statistics outside of the state"],
        ),
        ([("if self.training", "if self.training and torch.is_grad_enabled()")], ["both switches"]),
        ([("x.detach().var(0)", "v.detach()")], ["biased variance remembered"]),
        ([("rsqrt(v + self.eps)", "rsqrt(v.detach() + self.eps)")], []),
        ([("if self.training", "if not self.training")], []),
    ],
)

BATCH = """\
def fix_the_bug_4(x, gamma, beta, eps=1e-5):
    m = x.sum(0) / len(x)
    v = np.square(x - m).sum(0) / len(x)
    return (x - m) * (gamma / (v + eps) ** 0.5) + beta
"""
take_in(
    "fix_the_bug_4",
    BATCH,
    [
        (
            [("np.square(x - m).sum(0) / len(x)", "np.square(x).sum(0) / len(x) - m * m")],
            ["mean of squares minus square of mean"],
        ),
        (
            [
                (
                    "np.square(x - m).sum(0) / len(x)",
                    "(np.square(x).sum(0) / len(x) - m * m).clip(0)",
                )
            ],
            ["cut off at zero"],
        ),
        (
            [("np.square(x - m).sum(0) / len(x)", "np.square(x - m).sum(0) / (len(x) - 1)")],
            ["unbiased variance"],
        ),
        ([("np.square(x - m).sum(0) / len(x)", "np.square(x - m).sum(0)")], ["squares summed"]),
        ([("(v + eps)", "v")], ["eps missing"]),
        ([("(v + eps)", "(v - eps)")], []),
    ],
)

STEP = """\
def fix_the_bug_5(x, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5):
    n = x.shape[0]
    mu = x.sum(0) / n
    v = (x - mu).square().sum(0) / n
    y = (x - mu) * torch.rsqrt(v + eps) * gamma + beta
    keep_mu, keep_v = mu.data, v.data * n / (n - 1)
    return (
        y,
        torch.lerp(running_mean, keep_mu, momentum),
        torch.lerp(running_var, keep_v, momentum),
    )
"""
take_in(
    "fix_the_bug_5",
    STEP,
    [
        ([("mu.data, v.data", "mu, v")], ["running statistics with a graph"]),
        ([("mu.data, v.data", "mu, v.data")], ["graph behind the running mean"]),
        ([("mu.data, v.data", "mu.data, v")], ["graph behind the running variance"]),
        ([("        y,", "        y.data,")], ["y without a graph"]),
        ([("v.data * n / (n - 1)", "v.data")], ["biased variance remembered"]),
        ([("mu = x.sum(0) / n", "mu = x.data.sum(0) / n")], []),
        (
            [("mu.data, v.data * n / (n - 1)", "mu.data, v")],
            ["graph behind the running variance", "biased variance remembered"],
        ),
    ],
)

STORED = """\
def fix_the_bug_6(x, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5):
    rows = x.transpose(1, 0, 2, 3).reshape(x.shape[1], -1)
    mu, v = rows.mean(1), rows.var(1)
    wide = (-1, 1, 1)
    y = (x - mu.reshape(wide)) / np.sqrt(v + eps).reshape(wide)
    y = y * gamma.reshape(wide) + beta.reshape(wide)
    kept = rows.var(1, ddof=1)
    mix = lambda old, new: old + momentum * (new - old)
    return y, mix(running_mean, mu), mix(running_var, kept)
"""
take_in(
    "fix_the_bug_6",
    STORED,
    [
        ([("rows.var(1, ddof=1)", "v")], ["biased variance stored"]),
        ([("rows.var(1, ddof=1)", "v * len(x) / max(len(x) - 1, 1)")], ["n counts the images"]),
        (
            [("mu, v = rows.mean(1), rows.var(1)", "mu, v = rows.mean(1), rows.var(1, ddof=1)")],
            ["unbiased everywhere"],
        ),
        ([("rows.var(1, ddof=1)", "v * x.size / (x.size - 1)")], ["n counts the channels too"]),
        ([("rows.var(1, ddof=1)", "v - v / rows.shape[1]")], ["correction upside down"]),
        ([("rows.var(1, ddof=1)", "np.sqrt(v)")], []),
    ],
)
