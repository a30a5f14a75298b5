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
        ([("+ ctx.eps", "+ 2 * ctx.eps")], []),
        (
            [
                (
                    "        ctx.eps = eps\n",
                    "        gamma.requires_grad = False\n        ctx.eps = eps\n",
                )
            ],
            [],
        ),
        (
            [
                (
                    "        ctx.eps = eps\n",
                    "        ctx.eps = eps\n"
                    "        if gamma.requires_grad:\n"
                    "            gamma.register_hook(lambda g: g)\n",
                )
            ],
            [],
        ),
        ([("gamma * s / n", "gamma * s")], []),
        (
            [("x, gamma = ctx.saved_tensors", "x, gamma = [t.data for t in ctx.saved_tensors]")],
            ["saved tensors detached"],
        ),
        (
            [
                (
                    "return dx, dg, db, None",
                    "if not any(ctx.needs_input_grad[:1]):\n"
                    "            dg = db = None\n"
                    "        return dx, dg, db, None",
                )
            ],
            ["needs_input_grad of x for all"],
        ),
        (
            [
                (
                    "return dx, dg, db, None",
                    "need = ctx.needs_input_grad\n"
                    "        return dx, dg if need[0] else None, db if need[2] else None, None",
                )
            ],
            [],
        ),
        (
            [
                (
                    "return torch.addcmul(beta, gamma, centred / std)",
                    "y = torch.addcmul(beta, gamma, centred / std)\n"
                    "        ctx.save_for_backward(x, gamma, beta, y)\n"
                    "        return y",
                ),
                ("x, gamma = ctx.saved_tensors", "x, gamma, beta, y = ctx.saved_tensors"),
                ("x_hat = centred * s", "x_hat = (y - beta) / gamma"),
            ],
            ["x_hat from y"],
        ),
        ([("        db, dg =", "        dy *= 1.5\n        db, dg =")], ["dy overwritten"]),
        ([("centred / std)", "centred / std).double()")], []),
        (
            [
                (
                    "ctx.eps = eps",
                    "ctx.eps = eps\n        gamma.requires_grad_(x.requires_grad_() is x)",
                )
            ],
            [],
        ),
        ([("ctx.eps = eps", "ctx.eps = eps\n        assert len(x) > 1")], []),
        (
            [
                (
                    "return torch.addcmul(beta, gamma, centred / std)",
                    "y = torch.addcmul(beta, gamma, centred / std)\n"
                    "        beta += 1\n"
                    "        return y",
                )
            ],
            [],
        ),
        ([("save_for_backward(x, gamma)", "save_for_backward(x, gamma, eps)")], []),
        ([("return dx, dg, db", "return dg, db, dx")], []),
        (
            [
                ("ctx.save_for_backward(x, gamma)", "KEPT['x'] = x, gamma"),
                ("ctx.saved_tensors", "KEPT['x']"),
                ("class Batch", "KEPT = {}\n\n\nclass Batch"),
            ],
            ["tensors kept on the class"],
        ),
        (
            [
                (
                    "        dx = gamma * s / n * (n * dy - db - x_hat * dg)",
                    "        with torch.enable_grad():\n"
                    "            z = x.detach().requires_grad_()\n"
                    "            c = z - z.mean(0)\n"
                    "            out = gamma * c / (c.square().mean(0) + ctx.eps).sqrt()\n"
                    "            dx, = torch.autograd.grad(out, z, dy)",
                )
            ],
            ["dx under no_grad"],
        ),
        (
            [("ctx.eps = eps", "ctx.eps = eps\n        torch.backends.cudnn.benchmark = True")],
            [],
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
        ([("self.eps)", "max(self.eps, 1e-5))")], ["small eps raised"]),
        # What eval mode keeps is out of date once a checkpoint is loaded.
        (
            [
                (
                    "        given = x\n",
                    "        given = x\n        if self.training:\n"
                    "            self.__dict__.pop('kept', None)\n",
                ),
                (
                    "mean, var = self.running_mean, self.running_var",
                    "mean, var = self.__dict__."
                    "setdefault('kept', (self.running_mean.clone(), self.running_var.clone()))",
                ),
            ],
            [],
        ),
        # A large mean, rounded to bfloat16, is off by as much as x spreads.
        (
            [
                (
                    "        y = (x - mean.view(wide))",
                    "        y = (given - mean.to(given).view(wide))",
                )
            ],
            [],
        ),
        (
            [
                (
                    "        y = (x - mean.view(wide))",
                    "        if not self.training:\n            mean = mean.to(given)\n"
                    "        y = (x - mean.view(wide))",
                )
            ],
            [],
        ),
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
        # Memory that is shared: by two layers, and by two tensors of one.
        (
            [
                (
                    '"running_mean", torch.zeros(num_features)',
                    '"running_mean", ZEROS.setdefault(num_features, torch.zeros(num_features))',
                ),
                ("class BatchNorm", "ZEROS = {}\n\n\nclass BatchNorm"),
            ],
            [],
        ),
        ([('"running_mean", torch.zeros(num_features)', '"running_mean", zeros')], []),
        # Other dtypes than the layer has.
        (
            [
                (
                    "ones, zeros = torch.ones(num_features), torch.zeros(num_features)",
                    "ones = torch.from_numpy(np.ones(num_features))\n"
                    "        zeros = torch.from_numpy(np.zeros(num_features))",
                )
            ],
            [],
        ),
        (
            [
                (
                    '"running_var", torch.ones(num_features)',
                    '"running_var", torch.ones(num_features).double()',
                )
            ],
            [],
        ),
        (
            [
                ("x.to(torch.promote_types(x.dtype, torch.float32))", "x.double()"),
                (
                    "return y.to(given.dtype)",
                    "return y if given.dtype == torch.float32 else y.to(given.dtype)",
                ),
            ],
            [],
        ),
        (
            [
                ("x.to(torch.promote_types(x.dtype, torch.float32))", "x.double()"),
                (
                    "self.running_mean.lerp_(mean.to(self.running_mean.dtype), new)",
                    "self.running_mean = (1 - new) * self.running_mean + new * mean",
                ),
            ],
            [],
        ),
        # The switches of torch.
        (
            [
                ("with torch.no_grad():", "with torch.inference_mode():"),
                (
                    "self.running_mean.lerp_(mean.to(self.running_mean.dtype), new)",
                    "self.running_mean = (1 - new) * self.running_mean + new * mean",
                ),
                (
                    "self.running_var.lerp_(var.to(self.running_var.dtype), new)",
                    "self.running_var = (1 - new) * self.running_var + new * var",
                ),
            ],
            [],
        ),
        (
            [("        given = x\n", "        given = x\n        torch.set_grad_enabled(True)\n")],
            [],
        ),
        ([("    def forward", "    @torch.enable_grad()\n    def forward")], []),
        ([("        given = x\n", "        given = x.requires_grad_()\n")], []),
        # The mode.
        (
            [
                (
                    "        return y.to(given.dtype)",
                    "        self.train()\n        return y.to(given.dtype)",
                )
            ],
            [],
        ),
        (
            [
                (
                    "    def forward",
                    "    def train(self, mode=True):\n        super().train(mode)\n\n"
                    "    def forward",
                )
            ],
            [],
        ),
        (
            [
                (
                    "    def forward",
                    "    def eval(self):\n        self.mode = False\n        return self\n\n"
                    "    def train(self, mode=True):\n        self.mode = True\n"
                    "        return self\n\n    def forward",
                ),
                ("self.training", "self.mode"),
                ("super().__init__()", "super().__init__()\n        self.mode = True"),
            ],
            [],
        ),
        # What a layer keeps from one call to the next.
        (
            [
                (
                    "        wide = [1, -1]",
                    "        if not self.training and not hasattr(self, 'kept'):\n"
                    "            self.kept = self.running_mean.clone()\n"
                    "        wide = [1, -1]",
                ),
                ("mean, var = self.running_mean,", "mean, var = self.kept,"),
                ("if self.training or", "if self.training or 'kept' not in self.__dict__ or"),
            ],
            [],
        ),
        (
            [
                (
                    "        given = x\n",
                    "        given = x\n        self.register_forward_hook(lambda *a: None)\n",
                )
            ],
            [],
        ),
        (
            [
                (
                    "        given = x\n",
                    "        given = x\n"
                    "        if x.requires_grad:\n            x.register_hook(lambda g: None)\n",
                )
            ],
            [],
        ),
        (
            [
                (
                    "self.running_mean.lerp_(",
                    "self.__dict__['running_mean'] = torch.lerp(self.running_mean, ",
                )
            ],
            [],
        ),
        # An option that another one makes useless, and one that is taken for another.
        (
            [
                (
                    "        wide = [1, -1]",
                    "        if self.momentum is None:\n"
                    "            self.num_batches_tracked.item()\n"
                    "        wide = [1, -1]",
                )
            ],
            [],
        ),
        (
            [
                (
                    "self.eps, self.momentum = eps, momentum",
                    "self.eps, self.momentum = eps, momentum or 0.1",
                )
            ],
            ["momentum None and 0 as 0.1"],
        ),
        ([("if d != 1]", "if d != 0]")], ["statistics per example"]),
        (
            [
                (
                    "(x - mean.view(wide)).square().mean(dims)",
                    "torch.einsum('nc...,nc...->c', *[x - mean.view(wide)] * 2) / m",
                )
            ],
            ["variance rounded by autocast"],
        ),
        # As d2l and others write it.
        (
            [
                (
                    "torch.ones(num_features), torch.zeros(num_features)",
                    "torch.ones(1, num_features, 1, 1), torch.zeros(1, num_features, 1, 1)",
                )
            ],
            [],
        ),
        # One value per channel, in the layers that keep less.
        ([('raise ValueError("one value', 'raise RuntimeError("one value')], []),
        (
            [("self.training and m == 1", "self.training and self.track_running_stats and m == 1")],
            [],
        ),
        (
            [("self.training and m == 1", "self.training and self.weight is not None and m == 1")],
            [],
        ),
        # x.view where the axes of x do not join.
        (
            [("        given = x\n", "        given = x\n        x.view(len(x), x.size(1), -1)\n")],
            [],
        ),
        (
            [
                (
                    "        given = x\n",
                    "        given = x\n"
                    "        if self.weight is not None:\n"
                    "            self.weight = nn.Parameter(self.weight.detach())\n",
                )
            ],
            [],
        ),
        (
            [
                (
                    '"num_batches_tracked", torch.tensor(0)',
                    '"num_batches_tracked", torch.zeros(1).long()',
                )
            ],
            [],
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
        ([("copy.deepcopy(conv)", "copy.copy(conv)")], ["convolution changed in place"]),
        ([("    return folded", "    bn.reset_running_stats()\n    return folded")], []),
        ([("    return folded", "    folded.bn = bn\n    return folded")], []),
        (
            [("return folded", "return nn.Sequential(folded, nn.Identity())")],
            ["pair returned"],
        ),
    ],
)

NEW_CONVOLUTION = """\
def fold_conv_bn(conv, bn):
    s = torch.rsqrt(bn.running_var + bn.eps)
    if bn.affine:
        s = s * bn.weight
    shift = bn.bias if bn.affine else torch.zeros_like(s)
    old = torch.zeros_like(s) if conv.bias is None else conv.bias
    folded = type(conv)(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups,
        padding_mode=conv.padding_mode,
    )
    folded.weight = nn.Parameter(torch.einsum("o,o...->o...", s, conv.weight))
    folded.bias = nn.Parameter(shift + s * old - s * bn.running_mean)
    return folded
"""
START = "    s = torch.rsqrt"
take_in(
    "fold_conv_bn",
    NEW_CONVOLUTION,
    [
        ([("stride=conv.stride", "stride=conv.stride[0]")], []),
        ([("padding=conv.padding,", "padding=conv.padding[0],")], []),
        ([("dilation=conv.dilation", "dilation=conv.dilation[0]")], []),
        ([("        conv.kernel_size", "        conv.kernel_size[0]")], []),
        ([("conv.in_channels", "conv.weight.shape[1]")], []),
        ([(START, "    conv.double(), bn.double()\n" + START)], []),
        ([(START, "    conv.weight = nn.Parameter(conv.weight.detach())\n" + START)], []),
        ([(START, "    torch.manual_seed(0)\n" + START)], []),
        (
            [
                (
                    "folded.bias = nn.Parameter(shift + s * old - s * bn.running_mean)",
                    "bias = (shift + s * old - s * bn.running_mean).detach()\n"
                    "    del folded.bias\n"
                    '    folded.register_buffer("bias", bias)',
                )
            ],
            [],
        ),
    ],
)

WHILE = "        while batches:\n            model(batches.pop())"
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
        # The average of standard deviations, squared: where the means lie apart, they hide it.
        (
            [
                (
                    "n, s, q = sums.get(layer, (0, 0.0, 0.0))",
                    "n, s, q, d = sums.get(layer, (0, 0.0, 0.0, 0.0))",
                ),
                ("q + (z * z).sum(1)", "q + z.sum(1) ** 2 / z.shape[1], d + z.shape[1] * z.std(1)"),
                ("n, s, q = sums[layer]", "n, s, q, d = sums[layer]"),
                ("q / n - (s / n) ** 2", "q / n - (s / n) ** 2 + (d / n) ** 2"),
            ],
            [],
        ),
        # An option of another layer.
        (
            [
                (
                    "    return model\n",
                    "    for m in model.modules():\n        if isinstance(m, nn.ReLU):\n"
                    "            m.inplace = True\n    return model\n",
                )
            ],
            [],
        ),
        ([("q / n - (s / n) ** 2", "(q / n - (s / n) ** 2).sqrt()")], []),
        ([("    return model\n", "    return model.state_dict()\n")], []),
        ([("layer.running_mean.copy_(s / n)", "layer.running_mean = s.float() / n")], []),
        (
            [
                (
                    "layer.running_mean.copy_(s / n)",
                    "layer.running_mean = nn.Parameter(s / n, False)",
                )
            ],
            [],
        ),
        (
            [
                (
                    "layer.running_mean.copy_(s / n)",
                    'layer.register_buffer("running_mean", s / n, persistent=False)',
                )
            ],
            [],
        ),
        (
            [("        n, s, q =", "        layer.num_batches_tracked = None\n        n, s, q =")],
            [],
        ),
        (
            [("        for x in batches:\n            model(x)", WHILE)],
            [],
        ),
        (
            [
                ("    model.train()\n", "    model.requires_grad_(False).train()\n"),
                ("    return model\n", "    return model.requires_grad_(True)\n"),
            ],
            [],
        ),
        ([("model(x)\n", "model(x.requires_grad_())\n")], []),
        ([("    return model\n", "    return nn.Sequential(model)\n")], []),
        ([("    return model\n", "    model.zero_grad()\n    return model\n")], []),
        (
            [("(model, batches):", "(model, batches, sums={}):"), ("    sums = {}\n", "")],
            [],
        ),
    ],
)
