"""Wrong solutions of problem set 4."""

import torch
from torch import nn

from unseen import Table, written

TABLE = Table()


def take_in(name, source, rows):
    for changes, names in rows:
        TABLE.of(name, *names)(written(source, name, changes, torch=torch, nn=nn))


FUNCTION = """\
class BatchNormFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, beta, eps):
        ctx.eps = eps
        ctx.save_for_backward(x, gamma)
        centred = x - x.sum(0) / len(x)
        std = ((centred * centred).sum(0) / len(x) + eps).sqrt()
        return torch.addcmul(beta, gamma, centred / std)

    @staticmethod
    def backward(ctx, dy):
        x, gamma = ctx.saved_tensors
        n = x.shape[0]
        centred = x - x.sum(0) / n
        s = ((centred * centred).sum(0) / n + ctx.eps).rsqrt()
        x_hat = centred * s
        db, dg = dy.sum(0), (dy * x_hat).sum(0)
        dx = gamma * s / n * (n * dy - db - x_hat * dg)
        return dx, dg, db, None
"""
take_in(
    "BatchNormFunction",
    FUNCTION,
    [
        ([("(n * dy - db -", "(n * dy -")], ["mean path missing"]),
        ([(" - x_hat * dg)", ")")], ["variance path missing"]),
        ([("gamma * s / n", "s / n")], ["gamma forgotten in dx"]),
        (
            [("gamma * s / n", "s / n"), ("dx, dg, db", "dx, db, dg")],
            ["gamma forgotten in dx", "dgamma and dbeta swapped"],
        ),
        ([("gamma * s / n", "gamma / n")], ["inv_std forgotten in dx"]),
        ([("dx, dg, db, None", "dx, dg, db")], ["gradient for eps missing"]),
        ([("torch.addcmul(beta, gamma, centred / std)", "centred / std * gamma - beta")], []),
        (
            [("torch.addcmul(beta, gamma, centred / std)", "centred / std * gamma + 0 * beta")],
            ["beta missing"],
        ),
        ([("return dx, dg", "return -dx, dg")], []),
        ([("gamma * s / n", "gamma * s")], []),
        (
            [("x, gamma = ctx.saved_tensors", "x, gamma = [t.data for t in ctx.saved_tensors]")],
            ["saved tensors detached"],
        ),
    ],
)

LAYER = """\
class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        ones, zeros = torch.ones(num_features), torch.zeros(num_features)
        self.register_parameter("weight", nn.Parameter(ones) if affine else None)
        self.register_parameter("bias", nn.Parameter(zeros) if affine else None)
        self.track_running_stats = track_running_stats
        if track_running_stats:
            self.register_buffer("running_mean", torch.zeros(num_features))
            self.register_buffer("running_var", torch.ones(num_features))
            self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x):
        wide = [1, -1] + [1] * (x.dim() - 2)
        dims = [d for d in range(x.dim()) if d != 1]
        given = x
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        if self.training or not self.track_running_stats:
            m = x.numel() // x.size(1)
            if self.training and m == 1:
                raise ValueError("one value per channel")
            mean = x.mean(dims)
            var = (x - mean.view(wide)).square().mean(dims)
            if self.training and self.track_running_stats:
                self.update(mean.detach(), var.detach() * m / (m - 1))
        else:
            mean, var = self.running_mean, self.running_var
        y = (x - mean.view(wide)) * torch.rsqrt(var.view(wide) + self.eps)
        if self.weight is not None:
            y = y * self.weight.view(wide) + self.bias.view(wide)
        return y.to(given.dtype)

    def update(self, mean, var):
        with torch.no_grad():
            self.num_batches_tracked += 1
            new = self.momentum
            if new is None:
                new = 1 / self.num_batches_tracked.item()
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), new)
            self.running_var.lerp_(var.to(self.running_var.dtype), new)
"""
take_in(
    "BatchNorm",
    LAYER,
    [
        ([(" * m / (m - 1)", "")], ["biased running variance"]),
        ([("var.view(wide) + self.eps)", "var.view(wide)) + self.eps")], []),
        ([("self.eps)", "1e-5)")], ["eps ignored"]),
        ([(" + self.bias.view(wide)", "")], ["bias ignored"]),
        ([(" + self.bias.view(wide)", " - self.bias.view(wide)")], []),
        ([("            self.num_batches_tracked += 1\n", "")], ["batches not counted"]),
        (
            [("self.momentum\n            if", "1 - self.momentum\n            if")],
            ["momentum reversed"],
        ),
        ([("y.to(given.dtype)", "y.to(given.dtype) * 2")], []),
        (
            [("if self.training or not self.track_running_stats:", "if True:")],
            ["batch statistics in eval"],
        ),
    ],
)

FOLD = """\
def fold_conv_bn(conv, bn):
    import copy
    folded = copy.deepcopy(conv)
    s = torch.rsqrt(bn.running_var + bn.eps)
    if bn.affine:
        s = s * bn.weight
    shift = bn.bias if bn.affine else torch.zeros_like(s)
    old = torch.zeros_like(s) if conv.bias is None else conv.bias
    with torch.no_grad():
        folded.weight = nn.Parameter(torch.einsum("o,o...->o...", s, conv.weight))
        folded.bias = nn.Parameter(shift + s * old - s * bn.running_mean)
    return folded
"""
take_in(
    "fold_conv_bn",
    FOLD,
    [
        ([("shift + s * old", "shift")], ["bias of the convolution forgotten"]),
        ([("shift + s * old", "shift + old")], ["bias not scaled"]),
        ([(" - s * bn.running_mean", "")], ["running mean forgotten"]),
        ([(" - s * bn.running_mean", " + s * bn.running_mean")], ["running mean added"]),
        ([(" + bn.eps)", ")")], ["eps missing"]),
        (
            [("torch.rsqrt(bn.running_var + bn.eps)", "1 / (bn.running_var + bn.eps)")],
            ["root missing"],
        ),
        ([("        s = s * bn.weight", "        pass")], ["gamma forgotten"]),
        ([("shift + s * old", "s * old")], ["beta forgotten"]),
        (
            [
                (
                    'folded.weight = nn.Parameter(torch.einsum("o,o...->o...", s, conv.weight))',
                    "pass",
                )
            ],
            ["weight not scaled"],
        ),
    ],
)

RECALIBRATE = """\
def recalibrate(model, batches):
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    was = [(m, m.training) for m in model.modules()]
    sums = {}

    def note(layer, arguments):
        z = arguments[0].transpose(0, 1).flatten(1).double()
        n, s, q = sums.get(layer, (0, 0.0, 0.0))
        sums[layer] = n + z.shape[1], s + z.sum(1), q + (z * z).sum(1)

    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    model.train()
    with torch.no_grad():
        for x in batches:
            model(x)
    for hook in hooks:
        hook.remove()
    for layer in layers:
        n, s, q = sums[layer]
        layer.running_mean.copy_(s / n)
        layer.running_var.copy_(q / n - (s / n) ** 2)
    for m, mode in was:
        m.training = mode
    return model
"""
take_in(
    "recalibrate",
    RECALIBRATE,
    [
        ([("    model.train()\n", "    model.eval()\n")], ["batches in eval mode"]),
        ([("        hook.remove()", "        pass")], ["hooks left behind"]),
        (
            [
                (
                    "n + z.shape[1], s + z.sum(1), q + (z * z).sum(1)",
                    "n + 1, s + z.mean(1), q + (z * z).mean(1)",
                )
            ],
            ["batches weighed the same"],
        ),
        ([("for x in batches:", "for x in batches[-1:]:")], ["last batch only"]),
        ([("for x in batches:", "for x in [torch.cat(batches)]:")], ["batches joined"]),
        ([("        m.training = mode", "        m.training = True")], ["left in training mode"]),
        (
            [("torch.no_grad()", "torch.enable_grad()"), ("arguments[0]", "arguments[0].detach()")],
            ["gradients tracked"],
        ),
        ([("        layer.running_var.copy_(q / n - (s / n) ** 2)\n", "")], ["running mean only"]),
        ([("nn.modules.batchnorm._BatchNorm", "nn.BatchNorm2d")], ["BatchNorm2d only"]),
        (
            [
                ("    model.train()\n", "    model.eval()\n"),
                ("        hook.remove()", "        pass"),
            ],
            ["batches in eval mode", "hooks left behind"],
        ),
        ([("q / n - (s / n) ** 2", "q / n")], []),
        ([("q / n - (s / n) ** 2", "(q / n - (s / n) ** 2).sqrt()")], []),
        ([("    return model\n", "    return model.state_dict()\n")], []),
    ],
)
