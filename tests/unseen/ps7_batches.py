"""Wrong solutions of problem set 7."""

import torch
import torch.distributed as dist
from torch import nn

from unseen import Table, written

TABLE = Table()


def take_in(name, source, rows):
    for changes, names in rows:
        made = written(source, name, changes, torch=torch, dist=dist, nn=nn)
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
        ([("* gamma", "* abs(gamma)")], []),
        # A ghost of one example is left out, or takes what all the others have.
        (
            [
                (
                    "        c = g",
                    "        if len(g) == 1 and ghost_size > 1:\n"
                    "            x_hat = (g - x.mean(0)) / np.sqrt(x.var(0) + eps)\n"
                    "            out[i:] = x_hat * gamma + beta\n"
                    "            break\n"
                    "        c = g",
                )
            ],
            [],
        ),
        ([("+ eps)", "+ eps / len(g))")], []),
        ([("np.zeros_like(x)", "x if ghost_size >= len(x) else np.zeros_like(x)")], ["in place"]),
        (
            [
                ("(c * c).sum(0) / len(g)", "x.var(0)"),
                ("c / s * gamma + beta", "(c / s + beta) * gamma"),
            ],
            ["variance of the whole batch", "beta scaled"],
        ),
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
        (
            [
                ("sigma / running_std", "sigma / (running_std + eps)"),
                ("(mu - running_mean) / running_std", "(mu - running_mean) / (running_std + eps)"),
            ],
            ["eps added beside running_std"],
        ),
        ([("* r + d\n", "* r\n"), ("x_hat + beta", "x_hat + d + beta")], ["d not scaled"]),
        ([("gamma * x_hat + beta", "gamma * x_hat - beta")], []),
        ([("gamma * x_hat", "abs(gamma) * x_hat")], []),
        ([("mu - running_mean", "mu - abs(running_mean)")], []),
        # All are clipped where one is too large.
        (
            [
                (
                    "(sigma / running_std).clip(1 / r_max, r_max)",
                    "sigma / running_std\n"
                    "    r = r.clip(1 / r_max, r_max) if (r > r_max).any() else r",
                )
            ],
            [],
        ),
        (
            [
                (
                    "((mu - running_mean) / running_std).clip(-d_max, d_max)",
                    "(mu - running_mean) / running_std\n"
                    "    d = d.clip(-d_max, d_max) if (d < -d_max).any() else d",
                )
            ],
            [],
        ),
        ([("1 / r_max", "2 - r_max")], []),
        ([("* r + d", "* r + d * r")], ["d added before r"]),
        (
            [("(mu - running_mean) / running_std", "(mu / sigma - running_mean / running_std)")],
            [],
        ),
        ([("r[0], d[0]", "r.squeeze(), d.squeeze()")], []),
        (
            [
                (
                    "    return gamma",
                    "    if len(x) == 1:\n"
                    "        x_hat = (x - running_mean) / running_std\n"
                    "    return gamma",
                )
            ],
            [],
        ),
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
        ([("N, D = x.shape", "(N, D), eps = x.shape, max(eps, 1e-3)")], []),
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
        ([("(1 - a - 1e-4) * b", "max(1 - a - 1e-4, 0) * b")], []),
        ([("(a - 1e-4) * f", "max(a - 1e-4, 0) * f")], []),
        ([("y * gamma", "y * abs(gamma)")], []),
        ([("a = 1 / batch_size", "a = 1 / batch_size if N > 1 else 1")], []),
        ([("x.var(0) if", "(x.var(0) if N > 1 else np.ones(D)) if")], []),
        ([("x.var(0) if", "(x**2).mean(0) - x.mean(0) ** 2 if")], ["cancellation"]),
        (
            [
                (
                    "if running_mean is None",
                    "if running_mean is None or not np.any(running_mean)",
                )
            ],
            [],
        ),
        (
            [("x.var(0) if running_var", "((x - m) ** 2).mean(0) if running_var")],
            ["variance around the running mean"],
        ),
        ([("    y = ((", "    y = (1 - 1e-4) * f / D**0.5 if batch_size == 1 else ((")], []),
        (
            [("a - 1e-4", "a"), ("1 / batch_size", "1 / N")],
            ["batch size taken from x", "1e-4 missing"],
        ),
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
        (
            [
                (
                    "    dist.all_reduce(s)\n",
                    "    two = [torch.empty_like(s) for _ in range(dist.get_world_size())]\n"
                    "    dist.all_gather(two, s)\n    s = two[0] + two[1]\n",
                )
            ],
            [],
        ),
        ([("    return", "    dist.destroy_process_group()\n    return")], []),
        ([("    n, mean", "    torch.manual_seed(0)\n    n, mean")], []),
        ([("    n, mean", "    torch.set_default_dtype(torch.float64)\n    n, mean")], []),
        ([("    n, mean", "    x.requires_grad_()\n    n, mean")], []),
        ([("return mean, q / n", "return mean.double(), (q / n).double()")], []),
        ([("return mean, q / n", "return mean.squeeze(), (q / n).squeeze()")], []),
        ([("q / n", "q * (n - 1) / n / n")], []),
        ([("q / n", "q / n + 1e-5")], []),
        ([("q / n", "(q / n).clamp(min=1e-5)")], []),
        ([("dist.all_reduce(q)", "dist.reduce(q, 0)")], []),
        # Asynchronous, and not waited for.
        ([("dist.all_reduce(q)", "dist.all_reduce(q, async_op=True)")], ["squares not exchanged"]),
    ],
)

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
        (
            [("((s - mu) ** 2).sum(0) / s.shape[0]", "(s**2).sum(0) / s.shape[0] - mu**2")],
            ["cancellation"],
        ),
        ([("    return torch", "    beta.data += 1\n    return torch")], []),
        ([("gamma, (x", "gamma.abs(), (x")], []),
        ([("gamma, (x", "gamma.detach(), (x")], []),
        ([("rsqrt(v + eps)", "rsqrt(v.clamp(min=eps))")], []),
        # A gradient that the caller would add to.
        (
            [
                (
                    "    return torch",
                    "    if x.requires_grad:\n"
                    "        (gamma * x).sum().backward(retain_graph=True)\n"
                    "    return torch",
                )
            ],
            [],
        ),
        ([("    s = x\n", "    s = x.requires_grad_()\n")], []),
        ([("    s = x\n", "    s = x.requires_grad_(False) if x.is_leaf else x\n")], []),
        ([("def fix", "@torch.enable_grad()\ndef fix")], []),
        ([("    s = x\n", "    s = x\n    torch.set_grad_enabled(True)\n")], []),
        ([("    return torch", "    gamma.requires_grad_(False)\n    return torch")], []),
        (
            [
                (
                    "    return torch",
                    "    if beta.requires_grad:\n"
                    "        beta.register_hook(lambda g: g)\n"
                    "    return torch",
                )
            ],
            [],
        ),
    ],
)
take_in(
    "fix_the_bug_7",
    FORWARD.replace("fix_the_bug_1", "fix_the_bug_7"),
    [
        ([("def fix", "@torch.enable_grad()\ndef fix")], []),
        ([("    return torch", "    gamma.requires_grad_(False)\n    return torch")], []),
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
        ([("(beta,", "(beta.detach(),")], ["beta outside of autograd"]),
        ([("gamma, (x", "gamma.detach(), (x")], ["gamma outside of autograd"]),
        ([("    r = ", "    mu = mu.detach()\n    r = ")], ["mean outside of autograd"]),
        ([("rsqrt(v + eps)", "rsqrt(v.detach() + eps)")], ["variance outside of autograd"]),
        (
            [
                ("    return torch.addcmul", "    y = torch.addcmul"),
                ("(x - mu) * r)", "(x - mu) * r)\n    return x + (y - x).detach()"),
            ],
            ["gamma and beta outside of autograd"],
        ),
        (
            [("    s = x", "    gamma, beta = torch.tensor(gamma), torch.tensor(beta)\n    s = x")],
            ["gamma and beta outside of autograd"],
        ),
        (
            [
                ("s = x", "s = x = x.detach()"),
                ("((s - mu) ** 2).sum(0) / s.shape[0]", "((s - mu) ** 2).sum(0) / (len(s) - 1)"),
            ],
            ["x outside of autograd", "unbiased variance"],
        ),
        (
            [("((s - mu) ** 2).sum(0) / s.shape[0]", "(s * s).sum(0) / s.shape[0] - mu * mu")],
            ["cancellation"],
        ),
    ],
)

# One array for the results of all calls.
KEPT = (
    " * gamma + beta",
    " * gamma + beta\n"
    "    y = kept.setdefault((x.shape, x.dtype), np.empty_like(x))\n"
    "    y[...] = c\n"
    "    return y",
)

OWN_BACKWARD = """\
class Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, beta, eps):
        std = torch.sqrt(x.var(0, unbiased=False) + eps)
        x_hat = (x - x.mean(0)) / std
        ctx.save_for_backward(x_hat, std, gamma)
        return gamma * x_hat + beta

    @staticmethod
    def backward(ctx, dy):
        x_hat, std, gamma = ctx.saved_tensors
        dgamma, dbeta = (dy * x_hat).sum(0), dy.sum(0)
        dx = gamma / std * (dy - dbeta / len(dy) - x_hat * dgamma / len(dy))
        return dx, dgamma, dbeta, None

def fix_the_bug_7(x, gamma, beta, eps=1e-5):
    return Normalise.apply(x, gamma, beta, eps)
"""
take_in(
    "fix_the_bug_7",
    OWN_BACKWARD,
    [
        # Two layers of one net share what is kept.
        (
            [
                ("ctx.save_for_backward(x_hat, std, gamma)", "Normalise.kept = x_hat, std, gamma"),
                ("ctx.saved_tensors", "Normalise.kept"),
            ],
            [],
        ),
        # The first layer of a net gets data, and its gamma and beta learn all the same.
        (
            [
                (
                    "        return dx",
                    "        if not ctx.needs_input_grad[0]:\n"
                    "            return None, None, None, None\n"
                    "        return dx",
                )
            ],
            [],
        ),
        ([("        return dx", "        dy *= 2\n        return dx")], []),
        ([("x_hat).sum(0), dy.sum(0)", "x_hat).mean(0), dy.mean(0)")], []),
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
        ([("* gamma", "* abs(gamma)")], []),
        ([("eps=1e-5):", "eps=1e-5, kept={}):"), ("return c", "c = c"), KEPT], []),
        ([("0, 1, 2", "tuple(i for i in range(4) if x.shape[i] != len(gamma))")], []),
        ([("(np.mean(c * c, over, keepdims=True)", "(np.mean(c * c, over).clip(1e-3)")], []),
        ([("np.mean(c * c, over", "np.mean(c * c, (1, 2)")], []),
        (
            [
                ("0, 1, 2", "1, 2"),
                ("keepdims=True) + eps) ** 0.5", "keepdims=True) ** 0.5 + eps)"),
            ],
            ["pixels only", "eps outside the root"],
        ),
        (
            [
                (
                    "np.mean(c * c, over, keepdims=True)",
                    "np.mean(x * x, over, keepdims=True) - np.mean(x, over, keepdims=True) ** 2",
                )
            ],
            ["cancellation"],
        ),
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
        # Weights under other names, and weights that are not loaded.
        (
            [
                (
                    "    def forward",
                    "    def state_dict(self, *args, **kwargs):\n"
                    "        state = super().state_dict(*args, **kwargs)\n"
                    "        return {f'norm.{name}': value for name, value in state.items()}\n\n"
                    "    def forward",
                )
            ],
            [],
        ),
        (
            [
                (
                    "    def forward",
                    "    def load_state_dict(self, state, strict=True):\n"
                    "        self.weight.data, self.bias.data = state['weight'], state['bias']\n\n"
                    "    def forward",
                )
            ],
            [],
        ),
        ([("if self.training", "if torch.is_grad_enabled()")], ["mode from autograd"]),
        # What comes first in a net is data, and asks for no gradient.
        (
            [
                (
                    "if self.training:",
                    "if self.training and (x.requires_grad or not torch.is_grad_enabled()):",
                )
            ],
            [],
        ),
        ([("nn.Parameter(torch.ones(", "nn.Parameter(torch.zeros(")], []),
        ([("self.bias = nn.Parameter(torch.zeros(", "self.bias = nn.Parameter(torch.ones(")], []),
        ([("rsqrt(v + self.eps)", "rsqrt(v.clamp(min=1e-2) + self.eps)")], []),
        (
            [("mu, v = self.running_mean, self", "mu, v = self.running_mean, 1e-2 + 0.99 * self")],
            [],
        ),
        (
            [
                (
                    "            mu, v = self.running_mean, self.running_var\n",
                    "            mu, v = self.running_mean, self.running_var\n"
                    "            self.weight.requires_grad_(False)\n",
                )
            ],
            [],
        ),
        (
            [
                (
                    "torch.zeros(num_features))\n        self.reg",
                    "torch.zeros(num_features).double())\n        self.reg",
                )
            ],
            [],
        ),
        # Saved, under a name that no other layer reads.
        (
            [
                ('"running_mean"', '"mean"'),
                (
                    "self.running_mean = torch.lerp(self.running_mean",
                    "self.mean = torch.lerp(self.mean",
                ),
                (
                    "    def forward",
                    "    @property\n"
                    "    def running_mean(self):\n"
                    "        return self.mean\n\n"
                    "    def forward",
                ),
            ],
            ["running mean outside of the state"],
        ),
        (
            [
                (
                    "        if self.training",
                    "        self.kept = [(x, x * 1)]\n        if self.training",
                )
            ],
            [],
        ),
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
        ([("x.detach().var(0)", "x.var(0)")], ["statistics remembered with a graph"]),
        (
            [("mu.detach(), self.momentum", "mu, self.momentum")],
            ["statistics remembered with a graph"],
        ),
        ([("        if self.training", "        self.x = x\n        if self.training")], []),
        (
            [("if self.training", "if self.training or not self.running_mean.any()")],
            [],
        ),
        ([("self.momentum)\n", "1 - self.momentum)\n")], ["momentum reversed"]),
        ([("x.var(0, unbiased=False)", "(x * x).mean(0) - x.mean(0) ** 2")], ["cancellation"]),
        (
            [
                (
                    "            self.running_mean = torch",
                    "            with torch.inference_mode():\n"
                    "                self.running_mean = self.running_mean + 0\n"
                    "            self.running_mean = torch",
                ),
                ("self.running_mean, mu.detach()", "self.running_mean, mu.data"),
                (
                    "            self.running_var = torch",
                    "            with torch.inference_mode():\n"
                    "              self.running_var = torch",
                ),
            ],
            [],
        ),
        ([("    def forward", "    @torch.enable_grad()\n    def forward")], []),
        ([("* self.weight", "* self.weight.abs()")], []),
        ([("* self.weight", "* self.weight.detach()")], []),
        ([("+ self.bias", "+ self.bias.data")], []),
        (
            [
                (
                    'self.register_buffer("running_var", torch.ones(num_features))',
                    "self.running_var = torch.ones(num_features)",
                )
            ],
            ["running variance outside of the state"],
        ),
        (
            [("* self.weight", "* self.weight.data"), ("+ self.bias", "+ self.bias.data")],
            ["weight and bias without a graph"],
        ),
        (
            [
                (
                    "mu, v = self.running_mean, self.running_var\n        return (x",
                    "mu, v, x = self.running_mean, self.running_var, x.detach()\n        return (x",
                )
            ],
            [],
        ),
        (
            [
                ("        if self.training", "        if self.training is True"),
                (
                    "            mu, v = self.running_mean, self.running_var\n",
                    "            with torch.no_grad():\n"
                    "                root = torch.sqrt(self.running_var + self.eps)\n"
                    "                x_hat = (x - self.running_mean) / root\n"
                    "                return x_hat * self.weight + self.bias\n",
                ),
            ],
            ["eval without a graph"],
        ),
        (
            [
                (
                    "        if self.training",
                    "        if not self.training and x.requires_grad:\n"
                    "            self.running_mean += 1\n"
                    "        if self.training",
                )
            ],
            [],
        ),
        (
            [
                (
                    f'self.register_buffer("{name}", torch.{fill}(num_features))',
                    f"self.{name} = torch.{fill}(num_features)",
                )
                for name, fill in (("running_mean", "zeros"), ("running_var", "ones"))
            ],
            ["statistics outside of the state"],
        ),
        (
            [
                (
                    "            self.running_mean",
                    "            self.momentum *= 0.5\n            self.running_mean",
                )
            ],
            [],
        ),
        (
            [
                (
                    "torch.ones(num_features))\n        self.bias",
                    "torch.ones(num_features), False)\n        self.bias",
                )
            ],
            [],
        ),
    ],
)

ALSO_KEPT = (" + beta\n", KEPT[1].removeprefix(" * gamma") + "\n")

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
        ([("gamma /", "abs(gamma) /")], []),
        ([("(v + eps)", "(v.clip(1e-3) + eps)")], []),
        ([("(v + eps)", "np.maximum(v, eps)")], []),
        (
            [("np.square(x - m).sum(0) / len(x)", "(x * (x - m)).mean(0)")],
            [],
        ),
        ([("eps=1e-5):", "eps=1e-5, kept={}):"), ("return (x - m)", "c = (x - m)"), ALSO_KEPT], []),
        ([("x.sum(0) / len(x)", "np.median(x, 0)")], []),
        (
            [
                ("np.square(x - m).sum(0) / len(x)", "np.square(x).mean(0) - m * m"),
                ("(v + eps) ** 0.5", "np.nan_to_num((v + eps) ** 0.5, nan=1)"),
            ],
            ["cut off at zero", "mean of squares minus square of mean"],
        ),
        (
            [
                (
                    "np.square(x - m).sum(0) / len(x)",
                    "np.square(x - x.mean()).mean(0) - (x - x.mean()).mean(0) ** 2",
                )
            ],
            ["mean of squares minus square of mean"],
        ),
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
        # What is remembered has no graph, and a list outside holds one.
        ([("    keep_mu, keep_v = ", "    fix_the_bug_5.last = mu\n    keep_mu, keep_v = ")], []),
        # A first layer, whose x is data.
        (
            [
                (
                    "momentum),\n    )",
                    "momentum),\n    ) if x.requires_grad else (y, mu.data, v.data)",
                )
            ],
            [],
        ),
        (
            [
                (
                    "    return (\n        y,",
                    "    y = y if x.requires_grad else y.detach()\n    return (\n        y,",
                )
            ],
            ["y without a graph"],
        ),
        (
            [
                (
                    "torch.lerp(running_mean, keep_mu, momentum)",
                    "torch.lerp(running_mean, keep_mu, momentum).double()",
                ),
                (
                    "torch.lerp(running_var, keep_v, momentum)",
                    "torch.lerp(running_var, keep_v, momentum).double()",
                ),
            ],
            [],
        ),
        (
            [("keep_mu, momentum)", "keep_mu, momentum).requires_grad_()")],
            ["graph behind the running mean"],
        ),
        ([("    n = x", "    x = x.requires_grad_(False) if x.is_leaf else x\n    n = x")], []),
        ([("mu.data, v.data", "mu, v.data")], ["graph behind the running mean"]),
        ([("mu.data, v.data", "mu.data, v")], ["graph behind the running variance"]),
        ([("        y,", "        y.data,")], ["y without a graph"]),
        ([("v.data * n / (n - 1)", "v.data")], ["biased variance remembered"]),
        ([("mu = x.sum(0) / n", "mu = x.data.sum(0) / n")], []),
        ([("(x - mu).square().sum(0) / n", "x.square().sum(0) / n - mu**2")], ["cancellation"]),
        (
            [
                (
                    "    return (",
                    "    with torch.inference_mode():\n"
                    "        running_mean = running_mean + 0\n"
                    "        return y, torch.lerp(running_mean, mu, momentum), "
                    "torch.lerp(running_var, keep_v, momentum)\n"
                    "    return (",
                )
            ],
            [],
        ),
        (
            [("mu.data, v.data * n / (n - 1)", "mu.data, v")],
            ["graph behind the running variance", "biased variance remembered"],
        ),
        ([("y = (x - mu) *", "x -= mu.data\n    y = (x - mu + mu.data) *")], []),
        ([("keep_mu, keep_v", "gamma.data += 1\n    keep_mu, keep_v")], []),
        ([("* gamma", "* gamma.abs()")], []),
        ([("* gamma", "* gamma.data")], []),
        ([("n / (n - 1)", "(n - 1) / n")], []),
        ([("    return (", "    torch.set_grad_enabled(False)\n    return (")], []),
        ([("    return (", "    gamma.requires_grad_(False)\n    return (")], []),
        ([("    return (", "    gamma.register_hook(lambda g: g)\n    return (")], []),
        ([("    return (", "    x.register_hook(lambda g: g)\n    return (")], []),
        ([("    return (", "    y.sum().backward(retain_graph=True)\n    return (")], []),
        ([("rsqrt(v + eps)", "rsqrt(v.clamp(min=1e-3) + eps)")], []),
        (
            [
                ("mu.data, v", "mu, v"),
                ("keep_mu, mo", "keep_mu, 1 - mo"),
                ("keep_v, mo", "keep_v, 1 - mo"),
            ],
            ["graph behind the running mean", "momentum reversed"],
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
        ([("np.sqrt(v + eps)", "np.sqrt(v.clip(1e-3) + eps)")], []),
        ([("y * gamma", "y * abs(gamma)")], []),
        (
            [
                ("eps=1e-5):", "eps=1e-5, kept={}):"),
                ("    y = y * gamma", "    c = y * gamma"),
                ("    kept = rows", "    stored = rows"),
                ("(running_var, kept)", "(running_var, stored)"),
                (
                    " + beta.reshape(wide)",
                    " + beta.reshape(wide)" + KEPT[1][15:].rpartition("\n")[0],
                ),
            ],
            [],
        ),
        ([("momentum * (new - old)", "(1 - momentum) * (new - old)")], ["momentum reversed"]),
        (
            [
                ("momentum * (new - old)", "(1 - momentum) * (new - old)"),
                ("rows.var(1, ddof=1)", "v"),
            ],
            ["momentum reversed", "biased variance stored"],
        ),
        ([("rows.var(1, ddof=1)", "v * v.size / (v.size - 1 + 1e-4)")], []),
        ([("rows.var(1, ddof=1)", "rows.var(1, ddof=1) + eps")], []),
        ([("mix(running_mean, mu), mix", "mix(running_mean, mu).squeeze(), mix")], []),
        (
            [
                (
                    "mu, v = rows.mean(1), rows.var(1)\n",
                    "mu = rows.mean(1)\n    v = (rows**2).mean(1) - mu**2\n",
                )
            ],
            ["cancellation"],
        ),
    ],
)
