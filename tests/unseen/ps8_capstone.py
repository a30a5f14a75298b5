"""Wrong solutions of problem set 8."""

import torch
from torch import nn

from unseen import Table, written

TABLE = Table()


def take_in(name, source, rows):
    for changes, names in rows:
        TABLE.of(name, *names)(written(source, name, changes, torch=torch, nn=nn))


BLOCK = """\
class ResidualBlock(nn.Module):
    def __init__(self, width, norm, zero_init=False):
        super().__init__()
        self.normed = norm is not None
        self.linear1 = nn.Linear(width, width, bias=not self.normed)
        self.linear2 = nn.Linear(width, width, bias=not self.normed)
        for each in (self.linear1, self.linear2):
            each.weight.data = torch.randn(width, width) * (2 / width) ** 0.5
            if each.bias is not None:
                each.bias.data.zero_()
        if self.normed:
            self.norm1, self.norm2 = norm(width), norm(width)
            if zero_init:
                self.norm2.weight.data.zero_()
        elif zero_init:
            self.linear2.weight.data.zero_()

    def forward(self, x):
        z = self.linear1(x)
        if self.normed:
            z = self.norm1(z)
        z = self.linear2(torch.relu(z))
        if self.normed:
            z = self.norm2(z)
        return z + x
"""
take_in(
    "ResidualBlock",
    BLOCK,
    [
        ([("return z + x", "return z")], ["shortcut missing"]),
        ([("return z + x", "return (z + x).clamp(min=0)")], ["ReLU after the addition"]),
        ([("return z + x", "return z - x")], []),
        (
            [("self.norm2.weight.data.zero_()", "self.norm1.weight.data.zero_()")],
            ["first scale zero"],
        ),
        ([("(2 / width) ** 0.5", "2 / width")], []),
        ([("(2 / width) ** 0.5", "width ** -0.5")], ["weights of variance 1 / K"]),
        (
            [("        elif zero_init:\n            self.linear2.weight.data.zero_()\n", "")],
            ["zero without norm missed"],
        ),
        (
            [("self.norm2.weight.data.zero_()", "self.norm2.weight.requires_grad_(False).zero_()")],
            ["last scale frozen"],
        ),
        (
            [("return z + x", "return z"), ("(2 / width) ** 0.5", "width ** -0.5")],
            ["shortcut missing", "weights of variance 1 / K"],
        ),
        (
            [("        self.normed", "        torch.manual_seed(width)\n        self.normed")],
            ["a seed of its own"],
        ),
        (
            [
                (
                    "torch.randn(width, width)",
                    "torch.randn(width, width, generator=torch.Generator().manual_seed(0))",
                )
            ],
            ["a seed of its own"],
        ),
        (
            [
                (
                    "        if self.normed:\n            self.norm1",
                    "        self.linear2.weight.data = self.linear1.weight.data.clone()\n"
                    "        if self.normed:\n            self.norm1",
                )
            ],
            ["both maps start alike"],
        ),
        ([("torch.randn(width, width)", "torch.rand(width, width) * 3**0.5")], []),
        ([("        return z + x", "        self.out = z\n        return z + x")], []),
        (
            [("return z + x", "return z + x if self.training else x + 0")],
            ["branch in training only"],
        ),
    ],
)

TRAIN = """\
def train(model, x, y, steps, lr, batch_size, seed):
    before = model.training
    model.train()
    generator = torch.Generator().manual_seed(seed)
    history = []
    while True:
        order = torch.randperm(len(x), generator=generator).tolist()
        batches = [order[i : i + batch_size] for i in range(0, len(x), batch_size)]
        if len(batches) > 1 and len(batches[-1]) == 1 and batch_size > 1:
            last = batches.pop()
            batches[-1] += last
        for rows in batches:
            if len(history) == steps:
                model.train(before)
                return history
            for p in model.parameters():
                p.grad = None
            loss = nn.CrossEntropyLoss()(model(x[rows]), y[rows])
            loss.backward()
            history.append(loss.item())
            with torch.no_grad():
                for p in model.parameters():
                    p -= lr * p.grad
"""
take_in(
    "train",
    TRAIN,
    [
        ([("                p.grad = None", "                pass")], ["gradients not zeroed"]),
        ([("for rows in batches:", "for rows in batches[:1]:")], ["a new order for each step"]),
        ([("p -= lr", "p += lr")], ["steps uphill"]),
        ([("p -= lr", "p -= lr / len(rows)")], ["lr by batch size"]),
        ([("p -= lr", "p -= 0.5 * lr")], []),
        ([("model.train(before)\n", "pass\n")], ["left in training mode"]),
        (
            [
                (
                    "            last = batches.pop()\n            batches[-1] += last",
                    "            batches.pop()",
                )
            ],
            ["one example dropped"],
        ),
        (
            [("torch.randperm(len(x), generator=generator).tolist()", "list(range(len(x)))")],
            ["not shuffled"],
        ),
        ([(".manual_seed(seed)", "")], ["seed ignored"]),
        ([("history.append(loss.item())", "history.append(loss.item() / len(rows))")], []),
        (
            [("p -= lr", "p += lr"), ("model.train(before)\n", "pass\n")],
            ["steps uphill", "left in training mode"],
        ),
        (
            [
                (
                    "            loss.backward()\n",
                    "            loss.backward()\n"
                    "            nn.utils.clip_grad_norm_(model.parameters(), 5.0)\n",
                )
            ],
            [],
        ),
        (
            [
                (
                    "    history = []",
                    "    [p.register_hook(lambda g: g) for p in model.parameters()]\n"
                    "    history = []",
                )
            ],
            [],
        ),
        ([("    history = []", "    x.requires_grad_()\n    history = []")], []),
        (
            [
                (
                    "torch.randperm(len(x), generator=generator)",
                    "torch.arange(len(x)).roll(int(torch.randint(len(x), (), "
                    "generator=generator)))",
                )
            ],
            [],
        ),
        (
            [
                (
                    "torch.randperm(len(x), generator=generator)",
                    "torch.cat([k * (len(x) // 2) + torch.randperm(len(x) // 2 + k * (len(x) % 2), "
                    "generator=generator) for k in (0, 1)])",
                )
            ],
            [],
        ),
        (
            [
                (
                    "    model.train()\n",
                    "    model.train()\n    [m.eval() for m in model.children()]\n",
                )
            ],
            [],
        ),
        (
            [
                (
                    "for p in model.parameters():\n                    p -=",
                    "for p in [*model.parameters()][-2:]:\n                    p -=",
                )
            ],
            [],
        ),
    ],
)

NET = """\
def deep_net(inputs, width, blocks, classes, block, normed=True):
    class Norm(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.ones(n)), nn.Parameter(torch.zeros(n))
            self.register_buffer("running_mean", torch.zeros(n))
            self.register_buffer("running_var", torch.ones(n))

        def forward(self, x):
            if self.training:
                m = x.mean(0)
                v = (x - m).square().mean(0)
                with torch.no_grad():
                    self.running_mean.lerp_(m, 0.1)
                    self.running_var.lerp_(v * len(x) / (len(x) - 1), 0.1)
            else:
                m, v = self.running_mean, self.running_var
            return (x - m) * (v + 1e-5).rsqrt() * self.weight + self.bias

    layers = [nn.Linear(inputs, width, bias=not normed)]
    if normed:
        layers += [Norm(width)]
    for _ in range(blocks):
        layers += [block(width, Norm if normed else None)]
    return nn.Sequential(*layers, nn.Linear(width, classes))
"""
take_in(
    "deep_net",
    NET,
    [
        ([(" * len(x) / (len(x) - 1)", "")], ["biased running variance"]),
        (
            [
                (
                    ", 0.1)\n                    self.running_var",
                    ", 0.9)\n                    self.running_var",
                )
            ],
            [],
        ),
        ([("(v + 1e-5).rsqrt()", "v.rsqrt()")], ["eps missing"]),
        ([("(v + 1e-5).rsqrt()", "(v + 1e-3).rsqrt()")], []),
        ([("(x - m).square().mean(0)", "(x * (x - m)).mean(0)")], ["cancellation"]),
        ([(" * self.weight + self.bias", "")], ["scale and shift missing"]),
        (
            [("if self.training:", "if True:")],
            ["batch statistics in eval", "statistics stored in eval too"],
        ),
        ([("range(blocks)", "range(blocks + 1)")], []),
        ([("range(blocks)", "range(blocks - 1)")], ["one block too few"]),
        (
            [("block(width, Norm if normed else None)", "block(width, None)")],
            ["norm left out of the blocks"],
        ),
        (
            [(" * len(x) / (len(x) - 1)", ""), ("(v + 1e-5).rsqrt()", "v.rsqrt()")],
            ["biased running variance", "eps missing"],
        ),
        ([("    layers = [", "    torch.manual_seed(1)\n    layers = [")], ["a seed of its own"]),
        (
            [("nn.Linear(width, classes))", "nn.Linear(width, classes)).eval()")],
            ["handed over in eval mode"],
        ),
        ([("    if normed:", "    layers[0].requires_grad_(False)\n    if normed:")], []),
        ([("(x - m).square().mean(0)", "x.square().mean(0) - m**2")], ["cancellation"]),
        (
            [("if self.training:", "if self.training or not self.running_mean.any():")],
            ["batch statistics until one is stored"],
        ),
    ],
)

# What a caller notices: more steps than asked, a rate that falls, names that a checkpoint lacks.
STOP = """            if len(history) == steps:
                model.train(before)
                return history
"""
take_in(
    "train",
    TRAIN,
    [
        (
            [
                (STOP, ""),
                (
                    "        order =",
                    "        if len(history) >= steps:\n            model.train(before)\n"
                    "            return history[:steps]\n        order =",
                ),
            ],
            [],
        ),
        ([("p -= lr * p.grad", "p -= lr * 0.1 ** (len(history) // 31) * p.grad")], []),
        ([("len(batches) > 1", "len(batches) > 2")], []),
        ([("x, y, steps, lr, batch_size", "x, y, steps, batch_size, lr")], []),
        (
            [
                (
                    "    model.train()\n",
                    "    torch.backends.cudnn.benchmark = True\n    model.train()\n",
                )
            ],
            [],
        ),
    ],
)
take_in(
    "ResidualBlock",
    BLOCK,
    [
        (
            [
                (
                    "    def forward",
                    "        self.branch = nn.ModuleList([self.linear1, self.linear2])\n\n"
                    "    def forward",
                )
            ],
            [],
        ),
        (
            [
                (
                    "    def forward",
                    "        self.register_forward_hook(lambda *seen: None)\n\n    def forward",
                )
            ],
            [],
        ),
    ],
)
take_in(
    "deep_net",
    NET,
    [
        (
            [
                (
                    "    for _ in range(blocks):",
                    "    from copy import deepcopy\n"
                    "    one = block(width, Norm if normed else None)\n    for _ in range(blocks):",
                ),
                ("[block(width, Norm if normed else None)]", "[deepcopy(one)]"),
            ],
            [],
        ),
        (
            [
                (
                    "    return nn.Sequential(*layers, nn.Linear(width, classes))",
                    "    net = nn.Sequential(*layers, nn.Linear(width, classes))\n"
                    "    for each in net.modules():\n"
                    "        if isinstance(each, nn.Linear):\n"
                    "            nn.init.xavier_uniform_(each.weight)\n"
                    "    return net",
                )
            ],
            [],
        ),
    ],
)
