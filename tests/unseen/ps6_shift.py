"""Wrong solutions of problem set 6."""

import copy

import torch
from torch import nn

from unseen import Table, written

TABLE = Table()


def take_in(name, source, rows):
    for changes, names in rows:
        made = written(source, name, changes, torch=torch, nn=nn, copy=copy)
        TABLE.of(name, *names)(made)


PERCENTILES = """\
def activation_percentiles(model, layer, batches, q=(15, 50, 85), unit=None):
    table = []
    for x in batches:
        state = {k: v.clone() for k, v in model.state_dict().items()}
        box = []
        handle = model.get_submodule(layer).register_forward_hook(
            lambda m, i, o: box.append(o.detach().clone())
        )
        with torch.no_grad():
            model(x)
        handle.remove()
        model.load_state_dict(state)
        a = box[0].cpu().numpy()
        if unit is not None:
            a = a[:, unit]
        table.append([np.percentile(a, p) for p in q])
    return np.array(table)
"""
take_in(
    "activation_percentiles",
    PERCENTILES,
    [
        ([("        model.load_state_dict(state)\n", "")], ["running statistics moved"]),
        ([("o.detach().clone()", "o")], ["changed in place by the activation"]),
        ([("if unit is not None", "if unit")], ["unit 0 taken for none"]),
        ([("o.detach()", "i[0].detach()")], ["input of the layer"]),
        (
            [("if unit is not None", "if unit"), ("o.detach().clone()", "o")],
            ["unit 0 taken for none", "changed in place by the activation"],
        ),
        ([("a, p)", "np.abs(a), p)")], []),
        ([("        handle.remove()\n", "")], ["hook left behind"]),
        ([("for x in batches", "for x in [*batches]")], ["batches collected first"]),
        ([("a[:, unit]", "a[unit, :]")], ["one example in place of one unit"]),
        ([("    table = []\n", "    table, model.seen = [], True\n")], []),
        ([("            model(x)\n", "            model(x)\n            x.mul_(0)\n")], []),
        ([("load_state_dict(state)", "load_state_dict(state, assign=True)")], []),
        ([("model(x)", "model.train(model.training)(x)")], []),
    ],
)

SHIFT = """\
def internal_covariate_shift(model, loss_fn, x, y, lr):
    def grads(m):
        out = loss_fn(m(x), y)
        return torch.autograd.grad(out, tuple(m.parameters()))

    g0 = grads(copy.deepcopy(model))
    out, mixed = [], copy.deepcopy(model)
    pending = []
    for i, p in enumerate(mixed.parameters()):
        if p.ndim > 1:
            with torch.no_grad():
                for j, earlier in pending:
                    earlier -= lr * g0[j]
            pending = []
            g1 = grads(copy.deepcopy(mixed))
            out.append(torch.sqrt(((g1[i] - g0[i]) ** 2).sum()).item())
        pending.append((i, p))
    return out
"""
RENEW = """\
def renew(model):
    for module in model.modules():
        for name, value in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(value.detach().clone()))

def internal"""
take_in(
    "internal_covariate_shift",
    SHIFT,
    [
        ([("earlier -= lr", "earlier += lr")], ["step uphill"]),
        ([("earlier -= lr * g0[j]", "earlier -= g0[j]")], ["learning rate forgotten"]),
        (
            [("torch.sqrt(((g1[i] - g0[i]) ** 2).sum())", "((g1[i] - g0[i]) ** 2).sum()")],
            ["square in place of length"],
        ),
        ([("** 2).sum())", "** 2).mean())")], ["mean square in place of length"]),
        ([("grads(copy.deepcopy(model))", "grads(model)")], ["running statistics moved"]),
        ([(", copy.deepcopy(model)\n", ", model\n")], ["model left stepped"]),
        (
            [
                (
                    "        pending.append((i, p))",
                    "        pending += [(i, p)] if p.ndim > 1 else []",
                )
            ],
            ["vectors stay"],
        ),
        ([("earlier -= lr * g0[j]", "earlier *= 1 - lr")], []),
        (
            [
                (
                    "for j, earlier in pending:",
                    "for j, earlier in [*pending, (i, p)]:",
                ),
                (
                    "            out.append",
                    "            p.data += lr * g0[i]\n            out.append",
                ),
            ],
            ["the weight itself steps too"],
        ),
        (
            [
                (
                    "    g0 = grads",
                    "    for p in model.parameters():\n"
                    "        p.register_post_accumulate_grad_hook(lambda p: None)\n"
                    "    g0 = grads",
                )
            ],
            [],
        ),
        (
            [
                ("grads(copy.deepcopy(model))", "grads(copy.deepcopy(model).eval())"),
                ("grads(copy.deepcopy(mixed))", "grads(copy.deepcopy(mixed).eval())"),
            ],
            ["measured in eval mode"],
        ),
        ([("g1[i] - g0[i]) **", "g1[i] + g0[i]) **")], []),
        ([("    g0 = grads", "    x.requires_grad_()\n    g0 = grads")], []),
        ([("    g0 = grads", "    renew(model)\n    g0 = grads"), ("def internal", RENEW)], []),
    ],
)

NOISE = """\
class NoisyBatchNorm(nn.Module):
    def __init__(self, num_features, shift=0.5, scale=0.5, seed=0):
        super().__init__()
        self.bn = nn.BatchNorm1d(num_features)
        self.a, self.b = scale, shift
        self.g = torch.Generator()
        self.g.manual_seed(seed)

    def forward(self, x):
        y = self.bn(x)
        if self.training:
            n = (1, x.shape[-1])
            m = torch.empty(n).normal_(0, 1, generator=self.g) * self.b
            k = torch.empty(n).normal_(0, 1, generator=self.g) * self.a
            y = y * k.exp().to(y) + m.to(y)
        return y
"""
take_in(
    "NoisyBatchNorm",
    NOISE,
    [
        ([("if self.training", "if True")], ["noise in eval mode"]),
        ([("n = (1, x.shape[-1])", "n = x.shape")], ["noise between examples"]),
        ([("n = (1, x.shape[-1])", "n = (1, 1)")], ["one draw for all units"]),
        (
            [("self.a, self.b = scale, shift", "self.a, self.b = shift, scale")],
            ["shift and scale swapped"],
        ),
        (
            [(" * self.b", " * self.b ** 2"), (" * self.a", " * self.a ** 2")],
            ["variance for standard deviation"],
        ),
        ([("k.exp()", "(1 + k)")], ["s normal in place of log s"]),
        ([("y * k.exp().to(y) + m", "y + m")], ["only a shift"]),
        ([(", generator=self.g", "")], ["global random state"]),
        (
            [("self.g = torch", "NoisyBatchNorm.g = torch")],
            ["seed of the day"],
        ),
        ([("BatchNorm1d(num_features)", "BatchNorm1d(num_features, affine=False)")], []),
        ([("manual_seed(seed)", "manual_seed(42)")], ["seed ignored"]),
        ([("manual_seed(seed)", "manual_seed(seed or 1)")], []),
        (
            [
                (
                    "        return y\n",
                    "        else:\n            self.g.manual_seed(7)\n        return y\n",
                )
            ],
            [],
        ),
        ([("y = self.bn(x)", "y = self.bn(x if self.training else x.detach())")], ["gradient cut"]),
        ([("        return y\n", "            self.a *= 0.8\n        return y\n")], []),
        (
            [
                (
                    "torch.empty(n).normal_(0, 1, generator=self.g) * self.b",
                    "torch.from_numpy(np.random.randn(*n)) * self.b",
                )
            ],
            ["global random state"],
        ),
        (
            [("            n = (1", "            self.g.manual_seed(0)\n            n = (1")],
            ["drawn once", "seed ignored"],
        ),
        ([("        return y\n", "        return y.detach()\n")], ["gradient cut"]),
        ([("k.exp()", "(-2 * k).exp()")], []),
        ([("        return y\n", "        self.last = y\n        return y\n")], []),
        (
            [("if self.training", "if self.training and torch.is_grad_enabled()")],
            ["noise with gradients only"],
        ),
        ([("normal_(0, 1, generator=self.g)", "normal_(0, 1, generator=self.g).clamp(-2, 2)")], []),
        ([("k.exp()", "2**k")], []),
        # Without noise y is 1 everywhere, so dx is 0 as where the exponential is missing.
        ([("y * k.exp().to(y) + m", "(y * k.to(y)).exp() + m")], []),
        (
            [
                (
                    "        y = self.bn(x)\n",
                    "        y = self.bn(x)\n        self.bn.weight.data.abs_()\n",
                )
            ],
            [],
        ),
    ],
)

ONCE = """\
def normalize_once(model, x):
    new = copy.deepcopy(model)
    keep = []
    with torch.no_grad():
        for part in new:
            if type(part) is nn.BatchNorm1d:
                lin = keep[-1]
                mu, v = x.mean(0), ((x - x.mean(0)) ** 2).mean(0)
                k = torch.rsqrt(v + part.eps)
                c = -mu * k
                if part.affine:
                    k, c = part.weight * k, part.weight * c + part.bias
                lin.weight.copy_(torch.einsum("o,oi->oi", k, lin.weight))
                c = c + (k * lin.bias if lin.bias is not None else 0)
                lin.bias = nn.Parameter(c)
                x = lin(entered)
            else:
                keep.append(part)
                entered, x = x, part(x)
    result = nn.Sequential(*keep)
    return result.train(model.training)
"""
take_in(
    "normalize_once",
    ONCE,
    [
        (
            [(".mean(0)\n                k =", ".sum(0) / (len(x) - 1)\n                k =")],
            ["unbiased variance"],
        ),
        ([("v + part.eps", "v")], ["eps missing"]),
        ([("part.eps", "1e-5")], ["eps of its own"]),
        ([("torch.rsqrt(v + part.eps)", "1 / (v + part.eps)")], ["root missing"]),
        ([(" + part.bias\n", "\n")], ["beta forgotten"]),
        ([("c + (k * lin.bias", "c + (lin.bias")], ["bias not scaled"]),
        (
            [("                c = c + (k * lin.bias if lin.bias is not None else 0)\n", "")],
            ["old bias lost"],
        ),
        ([("new = copy.deepcopy(model)", "new = model")], ["given model changed"]),
        ([("result.train(model.training)", "result.train()")], ["always in training mode"]),
        ([("result.train(model.training)", "result")], ["always in training mode"]),
        ([("v + part.eps", "v"), (" + part.bias\n", "\n")], ["eps missing", "beta forgotten"]),
        ([("k * lin.bias if", "2 * k * lin.bias if")], []),
        ([("torch.no_grad()", "torch.inference_mode()")], []),
        (
            [
                (
                    "    result = nn",
                    "    keep[0].register_forward_hook(lambda part, x, y: None)\n    result = nn",
                )
            ],
            [],
        ),
        ([("k, c = part.weight * k", "k, c = part.weight.abs() * k")], []),
        ([("    new = copy", "    x *= 2\n    x /= 3\n    new = copy")], []),
        ([("((x - x.mean(0)) ** 2).mean(0)", "(x**2).mean(0) - x.mean(0) ** 2")], ["cancellation"]),
        (
            [("                x = lin(entered)\n", "")],
            ["statistics of layers that are not normalised"],
        ),
    ],
)

KEPT = """\
def gradient_predictiveness(model, loss_fn, x, y, step_sizes):
    net = copy.deepcopy(model)
    ws = [p for p in net.parameters() if p.dim() > 1]
    loss = loss_fn(net(x), y)
    gs = torch.autograd.grad(loss, ws)
    shares = np.zeros(len(step_sizes))
    for i, eps in enumerate(step_sizes):
        other = copy.deepcopy(model)
        promise = 0.0
        with torch.no_grad():
            vs = [p for p in other.parameters() if p.dim() > 1]
            for v, w, g in zip(vs, ws, gs, strict=True):
                nw, ng = w.norm(), g.norm()
                if ng == 0:
                    continue
                v -= eps * nw * g / ng
                promise += eps * nw * ng
            shares[i] = (loss - loss_fn(other(x), y)) / promise
    return shares
"""
take_in(
    "gradient_predictiveness",
    KEPT,
    [
        ([("v -= eps", "v += eps")], ["step uphill"]),
        ([("nw, ng = w.norm()", "nw, ng = 1.0")], ["absolute step"]),
        ([("promise += eps * nw * ng", "promise += nw * ng")], ["promise without the size"]),
        ([("promise += eps * nw * ng", "promise += eps * ng")], ["promise without the weights"]),
        ([("promise += eps * nw * ng", "promise = eps * nw * ng")], ["promise of the last layer"]),
        (
            [("(loss - loss_fn(other(x), y))", "(loss_fn(other(x), y) - loss)")],
            ["increase in place of decrease"],
        ),
        ([(" if p.dim() > 1]", "]")], ["vectors move too"]),
        ([("g / ng", "g")], ["gradient not brought to length 1"]),
        ([("other = copy.deepcopy(model)", "other = model")], ["model left moved"]),
        ([("                if ng == 0:\n                    continue\n", "")], ["0 divided by 0"]),
        ([("/ promise", "/ promise ** 2")], []),
        ([("(loss - loss_fn(other(x), y))", "abs(loss - loss_fn(other(x), y))")], []),
        (
            [
                (
                    "(loss - loss_fn(other(x), y)) / promise",
                    "max((loss - loss_fn(other(x), y)) / promise, 0)",
                )
            ],
            [],
        ),
        ([("enumerate(step_sizes)", "enumerate(sorted(step_sizes))")], []),
        (
            [
                (
                    "(loss - loss_fn(other(x), y)) / promise",
                    "max((loss - loss_fn(other(x), y)) / promise, -1)",
                )
            ],
            [],
        ),
        ([("w.norm(), g.norm()", "torch.linalg.norm(w, 2), g.norm()")], []),
    ],
)
