"""deep_net: a deep residual net on the student's own batch norm."""

import copy
import inspect

import numpy as np
import torch
from torch import nn

from bncourse.exercise import Case, Exercise, Unusable, describe, so_far
from bncourse.exercises.ps8_capstone.drive import (
    TOLERANCE,
    listed,
    load,
    require_drawn,
    require_module,
    require_names,
    require_no_hook,
    seeded,
)
from bncourse.exercises.torch_drive import (
    called,
    differentiate,
    graph_ends,
    one_thread,
    require_no_graph,
    require_written,
    tensor,
)
from bncourse.inputs import away_from_one, batch, cast, running, upstream
from bncourse.reference import forward, layers, residual
from bncourse.slips import Instead, Right

_NORM = ("weight", "bias")
_STORED = ("running_mean", "running_var")
_INPUTS, _CLASSES = 6, 3

# Forty blocks without norm overflow in float32 within a few steps. With it, time is the limit:
# these twelve end near 0.03, and no start of many above 0.2; most are below 0.25 after five steps.
_BLOCKS = {False: 40, True: 12}
_STEPS, _LR, _LEARNT = 10, 0.1, 0.5


def _cases(rng):
    def given(n=7, n_eval=4, width=5, blocks=2, normed=True, **options):
        """Return a batch for training, one for eval, a gradient, and all numbers of a net."""
        return {
            "scenario": "steps",
            "width": width,
            "blocks": blocks,
            "normed": normed,
            "x": batch(rng, n, _INPUTS),
            "x_eval": batch(rng, n_eval, _INPUTS),
            "dy": upstream(rng, n, _CLASSES),
            "state": _state(rng, width, blocks, normed),
            "seed": int(rng.integers(2**31)),
            **options,
        }

    return {
        "what it is made of": Case(cast(given(blocks=3, scenario="parts"), np.float32), "float32"),
        "what it is made of, without norm": Case(
            cast(given(blocks=3, normed=False, scenario="parts"), np.float32), "float32"
        ),
        "a step in training, then eval": Case(given()),
        "without norm": Case(given(normed=False)),
        "no block, then one example in eval": Case(given(blocks=0, n_eval=1)),
        "four blocks, wider than the batch": Case(given(n=6, width=9, blocks=4)),
        "variances smaller than eps": Case(_small(given())),
        "your layer alone, mean near 1e4": Case(
            # Seven numbers, whose mean is rounded: sums with x, not x - mean, show that.
            cast(given() | {"scenario": "norm", "x": batch(rng, d=5, offset=1e4)}, np.float32),
            "float32",
            rtol=5e-2,
            noisy=True,
        ),
        "float32": Case(cast(given(n=12), np.float32), "float32"),
        "forty blocks without norm, three starts": Case(_points(rng, normed=False), costly=True),
        "twelve blocks on your layer, three starts": Case(_points(rng, normed=True), costly=True),
    }


def _small(inputs):
    """Return inputs whose first variances are of the size of eps, those that are stored too."""
    first = {"0.weight": 1e-3, "1.running_mean": 1e-3, "1.running_var": 1e-6}
    state = inputs["state"] | {name: k * inputs["state"][name] for name, k in first.items()}
    return inputs | {"state": state}


def _state(rng, width, blocks, normed):
    """Return all numbers of a net under the names of its state_dict."""
    state = {"0.weight": rng.normal(0, 1, (width, _INPUTS))}

    def norm():
        return {name: away_from_one(rng, width) for name in _NORM} | running(rng, width)

    if normed:
        state |= {f"1.{name}": value for name, value in norm().items()}
    else:
        state["0.bias"] = rng.uniform(0.5, 2.0, width)
    start = 2 if normed else 1
    for index in range(start, start + blocks):
        state[f"{index}.linear.weight"] = rng.normal(0, 1, (width, width))
        if normed:
            state |= {f"{index}.norm.{name}": value for name, value in norm().items()}
        else:
            state[f"{index}.linear.bias"] = rng.uniform(0.5, 2.0, width)
    last = start + blocks
    state[f"{last}.weight"] = rng.normal(0, 1, (_CLASSES, width))
    state[f"{last}.bias"] = rng.uniform(0.5, 2.0, _CLASSES)
    return state


def _points(rng, normed):
    """Return points of three classes, and the deep net that is trained on them."""
    labels = np.arange(60) % _CLASSES
    means = 2 * np.eye(_CLASSES, _INPUTS)[labels]
    x = (means + rng.normal(0, 0.5, means.shape)).astype(np.float32)
    return {
        "scenario": "deep",
        "x": x,
        "y": labels,
        "width": 12,
        "blocks": _BLOCKS[normed],
        "normed": normed,
        "seed": int(rng.integers(2**31)),
    }


class _Block(nn.Module):
    """A block of one layer, in the place of the student's: x + norm(linear(relu(x)))."""

    def __init__(self, width, norm):
        super().__init__()
        self.linear = nn.Linear(width, width, bias=norm is None)
        nn.init.kaiming_normal_(self.linear.weight, nonlinearity="relu")
        self.drawn = self.linear.weight.detach().clone()
        self.norm = None if norm is None else norm(width)

    def forward(self, x):
        z = self.linear(torch.relu(x))
        return x + (z if self.norm is None else self.norm(z))


@one_thread()
def _drive(obj, inputs):
    return _SCENARIOS[inputs["scenario"]](obj, inputs)


def _made(obj, inputs, normed, seed):
    with seeded(seed):
        net = obj(_INPUTS, inputs["width"], inputs["blocks"], _CLASSES, _Block, normed)
    require_module(net, "The net")
    if not isinstance(net, nn.Sequential):
        raise Unusable(f"The net must be an nn.Sequential. Received: {describe(net)}.")
    if type(net).forward is nn.Sequential.forward:
        # The table says where a part stands, not what it is called. An Identity is no part: it may
        # stand where the norm is absent.
        parts = [part for part in net if not isinstance(part, nn.Identity)]
        net._modules = {str(place): part for place, part in enumerate(parts)}
    return net


def _drive_parts(obj, inputs):
    """Look at the parts of a net."""
    net = _made(obj, inputs, inputs["normed"], inputs["seed"])
    blocks = [part for part in net if isinstance(part, _Block)]
    outputs = {"number of blocks": len(blocks)}
    with so_far(outputs):
        _require_new(net)
        require_drawn(net, lambda seed: _made(obj, inputs, inputs["normed"], seed), inputs["seed"])
        _require_apart("block", blocks)
        _require_start(net, blocks)
        if inputs["normed"]:
            _require_apart("norm", [part.norm for part in blocks if part.norm] + [net[1]])
        require_names(dict(net.named_parameters()), _parameters(inputs["state"]))
        missing = [name for name in inputs["state"] if name not in net.state_dict()]
        if missing:
            raise Unusable(
                f"Your layer must keep {missing[0].rpartition('.')[2]} in a buffer. "
                f"Missing in state_dict(): {missing[0]}."
            )
        if inputs["normed"]:
            start = net[1].state_dict()
            outputs |= {f"{name} of a new norm": start[name] for name in (*_NORM, *_STORED)}
            outputs["y of a new norm in eval"] = called(net[1].eval(), _narrow(inputs))
            # Another one: what a step stores would show in the new norm.
            frozen = blocks[0].norm.requires_grad_(False)
            outputs["y of a frozen norm in training"] = called(frozen, _narrow(inputs))
    return outputs


def _require_new(net):
    """Raise Unusable unless a net can be trained as it comes."""
    if not all(module.training for module in net.modules()):
        raise Unusable("A new net must be in training mode, as torch makes it: it is trained next.")
    if not all(each.requires_grad for each in net.parameters()):
        raise Unusable("All parameters must require gradients: an optimizer trains them.")
    require_no_hook(net)


def _require_start(net, blocks):
    """Raise Unusable unless all weights are as torch and the blocks have drawn them."""
    if any(not torch.equal(each.linear.weight, each.drawn) for each in blocks):
        raise Unusable("The weights of the blocks are drawn again. Leave them as block makes them.")
    if len(blocks) > 1 and torch.equal(blocks[0].drawn, blocks[1].drawn):
        raise Unusable("The blocks start with the same weights. Call block once for each.")
    for part in blocks:
        _require_same_start(part.norm, net[1])
    for name, part in net.named_children():
        for kind, value in part.named_parameters(recurse=False):
            if isinstance(part, nn.Linear) and not _as_torch_draws(value, part.in_features):
                raise Unusable(
                    f"{name}.{kind} does not start as torch draws it. Leave the linear maps as "
                    "nn.Linear makes them."
                )


def _require_same_start(norm, first):
    """Raise Unusable unless a norm in a block starts as the one behind the first linear map."""
    if norm is not None and isinstance(norm, type(first)):
        other = first.state_dict()
        for name, value in norm.state_dict().items():
            if name in other and not torch.equal(value, other[name]):
                raise Unusable(
                    f"{name} of a norm in the blocks does not start as that of the first norm. "
                    "Leave the norms as your layer makes them."
                )


def _as_torch_draws(value, entering):
    """Return whether numbers may be uniform between -1 and 1 over the root of what enters."""
    return bool(value.abs().max() <= entering**-0.5) and float(value.abs().max()) > 0


def _narrow(inputs):
    """Return a batch as wide as the net."""
    return torch.from_numpy(inputs["x"][:, : inputs["width"]].copy())


def _drive_norm(obj, inputs):
    """Pass a batch through the first norm of a net, and nothing else."""
    net = _made(obj, inputs, True, inputs["seed"])
    # What it does in training does not depend on whether a gradient will be asked.
    with torch.no_grad():
        return {"y of a new norm in training": called(net[1], tensor(inputs["x"], "cpu"))}


def _require_apart(kind, parts):
    if len({*map(id, parts)}) < len(parts):
        raise Unusable(f"One {kind} stands in several places. Make one for each place.")


def _parameters(state):
    return [name for name in state if name.rpartition(".")[2] not in _STORED]


def _drive_steps(obj, inputs):
    """Pass one batch forward and backward in training, and another in eval mode."""
    net = _made(obj, inputs, inputs["normed"], inputs["seed"])
    x = tensor(inputs["x"], inputs["device"]).requires_grad_()
    net.to(device=inputs["device"], dtype=x.dtype)
    _require_state(net, inputs["state"])
    load(net, inputs["state"])
    x_eval = tensor(inputs["x_eval"], inputs["device"])
    outputs = {"y in eval, before": called(net.eval(), x_eval)}
    with so_far(outputs):
        y = outputs["y in training"] = called(net.train(), x)
        if y.shape != (len(x), _CLASSES):
            return outputs
        require_written(y)
        leaves = {"x": x, **{name: net.get_parameter(name) for name in _looked_at(inputs)}}
        gradients = differentiate(y, list(leaves.values()), tensor(inputs["dy"], inputs["device"]))
        outputs |= {f"d{leaf}": g for leaf, g in zip(leaves, gradients, strict=True)}
        _require_copy(net)
        outputs["y in eval, after"] = called(net.eval(), x_eval)
        if inputs["normed"]:
            outputs |= {name: net.get_buffer(f"1.{name}").clone() for name in _STORED}
        x_last = x.detach().clone().requires_grad_()
        with graph_ends(x_last):
            for training in (False, True):
                called(net.train(training), x_last)
    return outputs


def _require_copy(net):
    try:
        copy.deepcopy(net)
    except RuntimeError:
        raise Unusable(
            "After a step your layer holds the graph of autograd, in a buffer or another "
            "attribute: copy.deepcopy(net) fails, and the batch stays in memory."
        ) from None
    require_no_graph(net)


def _require_state(net, state):
    found = dict(net.named_parameters()) | dict(net.named_buffers())
    missing = [name for name in state if name not in found]
    if missing:
        raise Unusable(
            "The parts of the net must be, in this order: linear, your norm if normed, the blocks, "
            f"linear. Missing: {listed(missing)}."
        )


def _looked_at(inputs):
    """Return the parameters whose gradients are compared: the first ones and the last ones."""
    names = _parameters(inputs["state"])
    return names[:3] + names[-2:]


def _drive_deep(obj, inputs):
    """Train a deep net from three starts: lost without the layer, and learning with it."""
    seeds = [inputs["seed"] + start for start in range(3)]
    ends = [_end(_made(obj, inputs, inputs["normed"], seed), inputs) for seed in seeds]
    if inputs["normed"]:
        return {"runs that learn, of 3": sum(end < _LEARNT for end in ends)}
    return {"runs that overflow, of 3": sum(not np.isfinite(end) for end in ends)}


def _end(net, inputs):
    """Return the mean of the last two losses of plain gradient descent; it ends once low."""
    x, y = (tensor(inputs[name], inputs["device"]) for name in ("x", "y"))
    net.to(inputs["device"]).train()
    losses = []
    for _ in range(_STEPS):
        net.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        if not loss.isfinite():
            return loss.item()
        loss.backward()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter -= _LR * parameter.grad
        losses.append(loss.item())
        if len(losses) > 1 and max(losses[-2:]) < _LEARNT / 2:
            break
    return float(np.mean(losses[-2:]))


_SCENARIOS = {
    "parts": _drive_parts,
    "norm": _drive_norm,
    "steps": _drive_steps,
    "deep": _drive_deep,
}


def _reference(inputs):
    if inputs["scenario"] == "parts":
        return {"number of blocks": np.array(inputs["blocks"])} | _start(inputs)
    if inputs["scenario"] == "deep":
        return {f"runs that {'learn' if inputs['normed'] else 'overflow'}, of 3": np.array(3)}
    given = cast(inputs, np.float64)
    if inputs["scenario"] == "norm":
        plain = np.ones(given["width"]), np.zeros(given["width"])
        return {"y of a new norm in training": forward.batchnorm_forward(given["x"], *plain)[0]}
    state = given["state"]
    places = [name.removesuffix(".running_mean") for name in state if name.endswith("mean")]
    stored = {each: [state[f"{each}.{name}"] for name in _STORED] for each in places}
    before, _ = residual.composed(*_maps(given, _eval_norm, stored))(given["x_eval"])
    y, backward = residual.composed(*_maps(given, _training_norm, stored))(given["x"])
    dx, gradients = backward(given["dy"])
    by_name = dict(zip(_parameters(state), gradients, strict=True))
    outputs = {"y in eval, before": before, "y in training": y, "dx": dx}
    outputs |= {f"d{name}": by_name[name] for name in _looked_at(given)}
    outputs["y in eval, after"], _ = residual.composed(*_maps(given, _eval_norm, stored))(
        given["x_eval"]
    )
    return outputs | (dict(zip(_STORED, stored["1"], strict=True)) if places else {})


def _start(inputs):
    zeros, ones = np.zeros(inputs["width"]), np.ones(inputs["width"])
    if not inputs["normed"]:
        return {}
    values = {"weight": ones, "bias": zeros, "running_mean": zeros, "running_var": ones}
    x = cast(inputs["x"], np.float64)[:, : inputs["width"]]
    y = layers.layer_inference(x, ones, zeros, zeros, ones, eps=1e-5)
    return {f"{name} of a new norm": v for name, v in values.items()} | {
        "y of a new norm in eval": y,
        "y of a frozen norm in training": forward.batchnorm_forward(x, ones, zeros)[0],
    }


def _maps(given, norm, stored):
    """Return the parts of a net as maps.

    Args:
        given: the inputs.
        norm: (state, prefix, stored) -> the map of a norm.
        stored: ``{prefix: running statistics}``; a norm in training puts new ones in.
    """
    state, normed, blocks = given["state"], given["normed"], given["blocks"]

    def linear(prefix):
        return residual.linear_map(state[f"{prefix}.weight"], state.get(f"{prefix}.bias"))

    def normed_by(prefix):
        return norm(state, prefix, stored) if normed else residual.identity

    start = 2 if normed else 1
    middle = [
        residual.residual(
            residual.composed(residual.rectified, linear(f"{i}.linear"), normed_by(f"{i}.norm"))
        )
        for i in range(start, start + blocks)
    ]
    return [linear("0"), normed_by("1"), *middle, linear(start + blocks)]


def _numbers_of(state, prefix):
    return [state[f"{prefix}.{name}"] for name in (*_NORM, *_STORED)]


def _training_norm(state, prefix, stored):
    numbers = _numbers_of(state, prefix)

    def forward(x):
        _, *stored[prefix] = layers.layer_training_step(x, *numbers, new_weight=0.1, eps=1e-5)
        return residual.norm_of_batch(*numbers[:2])(x)

    return forward


def _eval_norm(state, prefix, stored):
    gamma, beta = _numbers_of(state, prefix)[:2]
    return lambda x: (layers.layer_inference(x, gamma, beta, *stored[prefix], eps=1e-5), None)


def net_with_own_layer(inputs, width, blocks, classes, block, normed=True):
    class BatchNorm(nn.Module):
        def __init__(self, num_features, eps=1e-5, momentum=0.1):
            super().__init__()
            self.epsilon = eps
            self.rate = momentum
            self.weight = nn.Parameter(torch.ones(num_features))
            self.bias = nn.Parameter(torch.zeros(num_features))
            self.register_buffer("running_mean", torch.zeros(num_features))
            self.register_buffer("running_var", torch.ones(num_features))

        def forward(self, x):
            from_batch = self.training
            mean = x.mean(0) if from_batch else self.running_mean
            var = ((x - mean) ** 2).mean(0) if from_batch else self.running_var
            tracked = self.training
            if tracked:
                unbiased = var.detach() * len(x) / (len(x) - 1)
                self.update(mean.detach(), unbiased)
            std = torch.sqrt(var + self.epsilon)
            x_hat = (x - mean) / std
            return self.weight * x_hat + self.bias

        def update(self, mean, var):
            new = self.rate
            self.running_mean = (1 - new) * self.running_mean + new * mean
            self.running_var = (1 - new) * self.running_var + new * var

    norm = BatchNorm if normed else None
    first = nn.Linear(inputs, width, bias=norm is None)
    start = [norm(width)] if normed else []
    middle = [block(width, norm) for _ in range(blocks)]
    last = nn.Linear(width, classes)
    return nn.Sequential(first, *start, *middle, last)


slip = Right(net_with_own_layer).slip

_MISTAKES = (
    slip(
        "unbiased variance in x_hat",
        "Your BatchNorm divides by the unbiased standard deviation. Normalise with the biased "
        "variance; the unbiased one is for running_var only.",
        "F2",
        var="x.var(0) if from_batch else self.running_var",
        unbiased="var.detach()",
    ),
    slip(
        "biased running variance",
        "Your BatchNorm stores the biased variance. PyTorch stores the unbiased one, n / (n - 1) "
        "times as large.",
        "L1",
        unbiased="var.detach()",
    ),
    slip(
        "momentum reversed",
        "Your BatchNorm weighs the old statistics with the momentum. In PyTorch it weighs the new "
        "ones.",
        "L1",
        new="1 - self.rate",
    ),
    slip(
        "statistics never stored",
        "Your BatchNorm does not update its running statistics in training.",
        "L1",
        tracked="False",
    ),
    slip(
        "batch statistics in eval",
        "Your BatchNorm normalises with the batch in eval mode too. There it takes the running "
        "statistics.",
        "F7",
        from_batch="True",
    ),
    slip(
        "eps outside the root",
        "Your BatchNorm adds eps to the standard deviation. It belongs to the variance, under the "
        "root.",
        "F3",
        std="torch.sqrt(var) + self.epsilon",
    ),
    slip(
        "eps missing",
        "Your BatchNorm has no eps: a feature that does not vary is divided by zero.",
        "F3",
        std="torch.sqrt(var)",
    ),
    slip(
        "divided by the variance",
        "Your BatchNorm divides by the variance. Divide by its root.",
        "F3",
        std="var + self.epsilon",
    ),
    slip(
        "cancellation",
        "Your BatchNorm takes the variance as E[x^2] - E[x]^2 or E[x (x - mean)], which is noise "
        "when the mean is large. Average the squares of x - mean.",
        "F15",
        var="(x**2).mean(0) - mean**2 if from_batch else self.running_var",
    ),
    slip(
        "batch statistics until one is stored",
        "Your BatchNorm normalises a first batch in eval mode with its own statistics. In eval "
        "mode it takes the stored ones, also where they are still 0 and 1.",
        "F7",
        from_batch="self.training or bool((self.running_var == 1).all())",
    ),
    slip(
        "variance raised to eps in eval",
        "Your BatchNorm raises a running variance below eps to it, as by clamp(min=eps). Add eps, "
        "and raise nothing.",
        "F7",
        std="torch.sqrt((var if from_batch else var.clamp(min=self.epsilon)) + self.epsilon)",
    ),
    slip(
        "frozen layer in eval mode",
        "Your BatchNorm behaves as in eval mode where its weight requires no gradient. That is "
        "Keras's rule, for trainable=False. In PyTorch self.training alone says the mode.",
        "L1",
        from_batch="self.training and self.weight.requires_grad",
        tracked="from_batch",
    ),
    slip(
        "statistics detached",
        "Your BatchNorm normalises with detached statistics, so two of the three paths of the "
        "gradient are cut. Detach what is stored only.",
        "B7",
        std="torch.sqrt(var + self.epsilon).detach()",
        x_hat="(x - mean.detach()) / std",
    ),
    slip(
        "scale and shift missing",
        "Your BatchNorm returns x_hat. Scale it with weight and shift it with bias.",
        "F4",
        forward__returns="x_hat",
    ),
    slip(
        "statistics attached",
        "Your BatchNorm stores statistics that carry the graph. Detach what is stored: .detach().",
        "L1",
        unbiased="var * len(x) / (len(x) - 1)",
        update=Instead("self.update(mean, unbiased)"),
    ),
    slip(
        "statistics stored in eval too",
        "Your BatchNorm updates its running statistics in eval mode too. There nothing changes.",
        "F7",
        tracked="True",
        unbiased="x.detach().var(0)",
        update=Instead("self.update(x.detach().mean(0), unbiased)"),
    ),
    slip(
        "norm left out of the blocks",
        "The blocks are made without norm. Hand each of them the norm that normed asks for.",
        "H6",
        middle="[block(width, None) for _ in range(blocks)]",
    ),
    slip(
        "no norm behind the first map",
        "The first linear map has no norm behind it, so the signal enters the blocks with the size "
        "of the data.",
        "C9",
        start="[]",
    ),
    slip(
        "normed ignored",
        "The norm is there whatever normed says. With normed=False there is none.",
        "H6",
        norm="BatchNorm",
        start="[norm(width)]",
    ),
    slip(
        "one norm in all places",
        "One norm is made and stands in all places. Each place has statistics of its own: hand the "
        "class to the blocks, which call it.",
        "H6",
        norm=Instead("one = BatchNorm(width)\nnorm = (lambda width: one) if normed else None"),
    ),
    slip(
        "one block in all places",
        "One block stands in all places, so they share their weights. Call block once for each.",
        "H6",
        middle="[block(width, norm)] * blocks",
    ),
    slip(
        "one block too few",
        "The net has one block too few.",
        "H6",
        middle="[block(width, norm) for _ in range(blocks - 1)]",
    ),
    slip(
        "redundant bias",
        "The first linear map has a bias though your norm follows, which subtracts it: "
        "bias=not normed.",
        "F5",
        first="nn.Linear(inputs, width)",
    ),
    slip(
        "bias missing without norm",
        "With normed=False the first linear map needs its bias: nothing else shifts there.",
        "F5",
        first="nn.Linear(inputs, width, bias=False)",
    ),
    slip(
        "output without bias",
        "The last linear map has no bias. No norm follows it, so it needs one.",
        "F5",
        last="nn.Linear(width, classes, bias=False)",
    ),
    slip(
        "output normalised",
        "A norm follows the last linear map and fixes the size of the logits. The output stays as "
        "it is.",
        "H6",
        net_with_own_layer__returns=(
            "nn.Sequential(first, *start, *middle, last, BatchNorm(classes))"
        ),
    ),
    slip(
        "softmax at the end",
        "The net ends in a softmax. cross_entropy takes logits.",
        "H8",
        net_with_own_layer__returns="nn.Sequential(first, *start, *middle, last, nn.Softmax(1))",
    ),
    slip(
        "ReLU before the blocks",
        "A ReLU stands between the first norm and the blocks. The blocks begin right after the "
        "norm.",
        "H6",
        start="[norm(width), nn.ReLU()] if normed else [nn.ReLU()]",
    ),
    slip(
        "a seed of its own",
        "The net sets a seed, so that it starts the same whatever the caller asks for. Draw from "
        "torch's random state as it is.",
        "H6",
        norm=Instead("torch.manual_seed(0)\nnorm = BatchNorm if normed else None"),
    ),
    slip(
        "handed over in eval mode",
        "The net is handed over in eval mode. It is trained next: leave the mode alone.",
        "F7",
        net_with_own_layer__returns="nn.Sequential(first, *start, *middle, last).eval()",
    ),
    slip(
        "a list returned",
        "A list of layers is returned. Put them into nn.Sequential.",
        "H6",
        net_with_own_layer__returns="[first, *start, *middle, last]",
    ),
)


# Those of the layer alone: without norm the rest holds also where the layer is not written.
_PARTS = {
    "number of blocks": "the list of parts",
    **dict.fromkeys((f"{name} of a new norm" for name in (*_NORM, *_STORED)), "a new BatchNorm"),
    "y of a new norm in eval": "BatchNorm in eval mode",
    "y of a new norm in training": "BatchNorm in training mode",
    "y of a frozen norm in training": "BatchNorm in training mode",
}


def _signature(inputs, width, blocks, classes, block, normed=True):
    """The function that the student writes."""


deep_net = Exercise(
    name="deep_net",
    signature=inspect.signature(_signature),
    cases=_cases,
    drive=_drive,
    reference=_reference,
    see="H6",
    insight="Without the layer each block multiplies the variance of the signal, with it each "
    "adds 1.",
    mistakes=_MISTAKES,
    parts=_PARTS,
    tolerance=TOLERANCE,
    takes_device=True,
)
