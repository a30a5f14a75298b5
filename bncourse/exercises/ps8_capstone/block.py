"""ResidualBlock: a block that adds what its branch makes to what it is given."""

import inspect

import numpy as np
import torch
from torch import nn

from bncourse.exercise import Case, Exercise, Unusable, so_far
from bncourse.exercises.ps8_capstone.drive import (
    TOLERANCE,
    Centring,
    load,
    require_drawn,
    require_module,
    require_names,
    require_saved,
    seeded,
)
from bncourse.exercises.torch_drive import (
    called,
    differentiate,
    graph_ends,
    one_thread,
    require_no_graph,
    tensor,
)
from bncourse.inputs import away_from_one, batch, cast, enlarged, upstream
from bncourse.reference import residual
from bncourse.slips import Instead, Right

_WEIGHTS = ("linear1.weight", "linear2.weight")
_SCALES = ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias")
_BIASES = ("linear1.bias", "linear2.bias")

# So many numbers tell N(0, 2 / K) from other starts, whatever is drawn.
_WIDE = 100


def _cases(rng):
    def given(n=7, width=4, normed=True, zero_init=False, **options):
        """Return a batch, a gradient, and all parameters of a block."""
        names = _SCALES if normed else _BIASES
        weights = {name: rng.normal(0, 1, (width, width)) for name in _WEIGHTS}
        return {
            "scenario": "pass",
            "width": width,
            "normed": normed,
            "zero_init": zero_init,
            "seed": int(rng.integers(2**31)),
            "x": batch(rng, n, width),
            "dy": upstream(rng, n, width),
            "parameters": weights | {name: away_from_one(rng, width) for name in names},
            **options,
        }

    def new(**options):
        inputs = given(width=_WIDE, scenario="new", parameters={}, **options)
        return Case(cast(inputs, np.float32), "float32", rtol=0.08)

    return {
        "a new block": new(),
        "a new block, zero_init=True": new(zero_init=True),
        "a new block without norm": new(normed=False),
        "a new block without norm, zero_init=True": new(normed=False, zero_init=True),
        "forward and backward": Case(given()),
        "forward and backward without norm": Case(given(normed=False)),
        # The last scale is where the block puts it, so that the first step of training shows.
        "the first step with zero_init=True": Case(_unscaled(given(zero_init=True))),
        "one example without norm": Case(given(n=1, normed=False)),
        "wider than the batch": Case(given(n=5, width=9)),
        # Whoever cuts values or gradients changes these.
        "large values and gradients": Case(enlarged(given(), ("x", "dy"))),
        "float32": Case(cast(given(), np.float32), "float32"),
    }


def _unscaled(inputs):
    """Return inputs that leave the last norm as the block makes it."""
    kept = {n: v for n, v in inputs["parameters"].items() if not n.startswith("norm2")}
    return inputs | {"parameters": kept}


@one_thread()
def _drive(obj, inputs):
    block = _made(obj, inputs, inputs["seed"])
    if inputs["scenario"] == "new":
        require_drawn(block, lambda seed: _made(obj, inputs, seed), inputs["seed"])
        return _start(block, inputs)
    _others(obj, inputs)
    return _pass(block, inputs)


def _made(obj, inputs, seed):
    """Return the student's block, made from a random state."""
    made = []

    def norm(width):
        made.append(Centring(width))
        return made[-1]

    with seeded(seed):
        block = obj(
            inputs["width"], norm if inputs["normed"] else None, zero_init=inputs["zero_init"]
        )
    require_module(block, "ResidualBlock")
    asked = _WEIGHTS + (_SCALES if inputs["normed"] else _BIASES)
    require_names(dict(block.named_parameters()), asked)
    require_saved(block, asked)
    if not all(each.requires_grad for each in block.parameters()):
        raise Unusable("All parameters must require gradients: an optimizer trains them.")
    if not all(module.training for module in block.modules()):
        raise Unusable("A new block must be in training mode, with all its parts.")
    if inputs["normed"] and {id(each) for each in made} - {id(m) for m in block.modules()}:
        raise Unusable("The block must hold what norm(width) makes, and call norm no more often.")
    if inputs["normed"] and {id(block.norm1), id(block.norm2)} - {*map(id, made)}:
        raise Unusable("norm1 and norm2 must be what norm(width) makes: call it twice.")
    return block


def _start(block, inputs):
    """Return what a block begins with, and what it makes of x."""
    outputs = {}
    for name, value in block.named_parameters():
        if name in _WEIGHTS:
            outputs |= _drawn(name, value * (inputs["width"] / 2) ** 0.5)
        else:
            outputs[name] = value
    with so_far(outputs):
        if torch.equal(block.linear1.weight, block.linear2.weight):
            raise Unusable("Both linear maps start with the same weights. Draw each of them.")
        if inputs["zero_init"]:
            x = tensor(inputs["x"], "cpu")
            outputs["y of a new block, less x"] = called(block, x) - x
    return outputs


def _drawn(name, weight):
    """Return facts on how a weight is distributed, in units of the spread of (W3)."""
    return {
        f"size of {name}, by that of (W3)": weight.square().mean().sqrt(),
        f"mean of {name}, by the size of (W3)": weight.mean(),
    }


def _pass(block, inputs):
    """Return output and gradients, and the output in eval mode."""
    x = tensor(inputs["x"], inputs["device"]).requires_grad_()
    block.to(device=inputs["device"], dtype=x.dtype)
    load(block, inputs["parameters"])
    y = _answer(block, x)
    if y.shape != x.shape:
        return {"y": y}
    leaves = {"x": x, **dict(block.named_parameters())}
    outputs = {"y": y}
    with so_far(outputs):
        dy = tensor(inputs["dy"], inputs["device"])
        gradients = differentiate(y, list(leaves.values()), dy)
        outputs |= {f"d{leaf}": g for leaf, g in zip(leaves, gradients, strict=True)}
        require_no_graph(block)
        # The norm that is handed in has no mode, and the block has none of its own.
        y = outputs["y in eval"] = _answer(block.eval(), x)
        (outputs["dx in eval"],) = differentiate(y, [x], dy)
        x_last = x.detach().clone().requires_grad_()
        with graph_ends(x_last):
            for training in (False, True):
                called(block.train(training), x_last)
    return outputs


def _others(obj, inputs):
    """Make blocks with other options: the first must not know of them."""
    with seeded(inputs["seed"]):
        for norm in (None, Centring):
            obj(inputs["width"] + 1, norm, zero_init=not inputs["zero_init"])


def _answer(block, x):
    """Return what a block makes of x; it must leave the mode of its parts alone."""
    modes = [module.training for module in block.modules()]
    y = called(block, x)
    if [module.training for module in block.modules()] != modes:
        raise Unusable("forward changes the mode of the block or of a part of it.")
    norms = [module for module in block.modules() if isinstance(module, Centring)]
    if any(norm.ran_in_training is not block.training for norm in norms):
        raise Unusable(
            "While forward runs, a norm is in another mode than the block. The caller sets the "
            "mode, for both."
        )
    return y


def _reference(inputs):
    given = cast(inputs, np.float64)
    return _start_of(given) if given["scenario"] == "new" else _passed(given)


def _start_of(given):
    ones, zeros = np.ones(given["width"]), np.zeros(given["width"])
    normed, zero = given["normed"], given["zero_init"]
    outputs = {}
    for name in _WEIGHTS:
        drawn = normed or not zero or name == "linear1.weight"
        outputs |= {
            f"size of {name}, by that of (W3)": np.array(1.0 if drawn else 0.0),
            f"mean of {name}, by the size of (W3)": np.array(0.0),
        }
    if normed:
        outputs |= dict(zip(_SCALES, (ones, zeros, zeros if zero else ones, zeros), strict=True))
    else:
        outputs |= dict.fromkeys(_BIASES, zeros)
    return outputs | ({"y of a new block, less x": np.zeros(given["x"].shape)} if zero else {})


def _passed(given):
    zeros = np.zeros(given["width"])
    p = {"norm2.weight": zeros, "norm2.bias": zeros} | given["parameters"]
    if given["normed"]:
        parts = [
            residual.linear_map(p["linear1.weight"]),
            residual.centring(p["norm1.weight"], p["norm1.bias"]),
            residual.rectified,
            residual.linear_map(p["linear2.weight"]),
            residual.centring(p["norm2.weight"], p["norm2.bias"]),
        ]
        names = ("linear1.weight", *_SCALES[:2], "linear2.weight", *_SCALES[2:])
    else:
        parts = [
            residual.linear_map(p["linear1.weight"], p["linear1.bias"]),
            residual.rectified,
            residual.linear_map(p["linear2.weight"], p["linear2.bias"]),
        ]
        names = ("linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias")
    y, backward = residual.residual(residual.composed(*parts))(given["x"])
    dx, gradients = backward(given["dy"])
    by_name = {f"d{n}": g for n, g in zip(names, gradients, strict=True)}
    return {"y": y, "dx": dx, **by_name, "y in eval": y, "dx in eval": dx}


class ResidualBlock(nn.Module):
    def __init__(self, width, norm, zero_init=False):
        super().__init__()
        biased = norm is None
        self.linear1 = nn.Linear(width, width, bias=biased)
        self.linear2 = nn.Linear(width, width, bias=biased)
        for linear in (self.linear1, self.linear2):
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            if biased:
                nn.init.zeros_(linear.bias)
        self.norm1 = nn.Identity() if biased else norm(width)
        self.norm2 = nn.Identity() if biased else norm(width)
        last = self.linear2 if biased else self.norm2
        starts_at_zero = zero_init
        if starts_at_zero:
            nn.init.constant_(last.weight, 0.0)

    def forward(self, x):
        z = self.norm1(self.linear1(x))
        h = torch.relu(z)
        branch = self.norm2(self.linear2(h))
        return x + branch


slip = Right(ResidualBlock).slip

_MISTAKES = (
    slip(
        "shortcut missing",
        "x is not added: what comes out is the branch alone. A hundred such layers forget what "
        "they saw; the shortcut is what keeps it.",
        "H7",
        returns="branch",
    ),
    slip(
        "ReLU after the addition",
        "A ReLU follows the addition, so the shortcut is no longer free: it cuts off what is "
        "negative in x, in every block. Nothing follows the addition here.",
        "H7",
        returns="torch.relu(x + branch)",
    ),
    slip(
        "ReLU at the end of the branch",
        "A ReLU ends the branch, so a block can only add, never take away. Only one ReLU stands "
        "in a branch, between the two linear maps.",
        "H7",
        branch="torch.relu(self.norm2(self.linear2(h)))",
    ),
    slip(
        "norm after the addition",
        "The second norm comes after the addition and normalises the shortcut too. It belongs to "
        "the branch: add x last.",
        "H7",
        branch="self.linear2(h)",
        returns="self.norm2(x + branch)",
    ),
    slip(
        "ReLU missing",
        "There is no ReLU between the two linear maps, so that they are one linear map.",
        "H7",
        h="z",
    ),
    slip(
        "first norm after the ReLU",
        "The first norm comes after the ReLU. Here it stands between the linear map and the ReLU.",
        "H7",
        z="self.linear1(x)",
        h="self.norm1(torch.relu(z))",
    ),
    slip(
        "norms before the linear maps",
        "Norm and ReLU stand before each linear map, as in a later form of the block. Asked is: "
        "linear, norm, ReLU, linear, norm.",
        "H7",
        z="torch.relu(self.norm1(x))",
        h="torch.relu(self.norm2(self.linear1(z)))",
        branch="self.linear2(h)",
    ),
    slip(
        "shortcut added twice",
        "The shortcut goes around the first linear map alone as well. Add x once, at the end.",
        "H7",
        z="x + self.norm1(self.linear1(x))",
    ),
    slip(
        "second linear map unused",
        "The first linear map is used in both places.",
        "H7",
        branch="self.norm2(self.linear1(h))",
    ),
    slip(
        "one norm for both places",
        "norm(width) is called once and the layer stands in both places. Each place has numbers "
        "of its own to normalise: make two.",
        "H7",
        norm2="self.norm1",
    ),
    slip(
        "second norm copied",
        "The second norm is a copy of the first. Make both with norm(width): call it twice.",
        "H7",
        norm2=Instead(
            "import copy\nself.norm2 = nn.Identity() if biased else copy.deepcopy(self.norm1)"
        ),
    ),
    slip(
        "norms of another kind",
        "The norms are not made by norm(width). Use what is handed in: it may be a layer of your "
        "own.",
        "H7",
        norm1="nn.Identity() if biased else nn.BatchNorm1d(width)",
        norm2="nn.Identity() if biased else nn.BatchNorm1d(width)",
    ),
    slip(
        "zero_init ignored",
        "zero_init=True changes nothing. Then the scale of the last norm must start at 0, so that "
        "the new block hands x on.",
        "H7",
        starts_at_zero="False",
    ),
    slip(
        "always zero",
        "The last scale starts at 0 though zero_init is False.",
        "H7",
        starts_at_zero="True",
    ),
    slip(
        "first scale zero",
        "The scale of the first norm starts at 0 in the place of the last one. Then the ReLU "
        "receives zeros.",
        "H7",
        last="self.linear2 if biased else self.norm1",
    ),
    slip(
        "both scales zero",
        "Both scales start at 0. Then the last norm receives zeros, and its scale gets no "
        "gradient.",
        "H7",
        starts_at_zero=Instead(
            "starts_at_zero = zero_init\n"
            "if starts_at_zero and not biased:\n"
            "    nn.init.zeros_(self.norm1.weight)"
        ),
    ),
    slip(
        "scale and map zero",
        "The last scale and the last linear map both start at 0. Each stands in the gradient of "
        "the other, so neither ever gets one. One zero is enough.",
        "H7",
        starts_at_zero=Instead(
            "starts_at_zero = zero_init\n"
            "if starts_at_zero:\n"
            "    nn.init.zeros_(self.linear2.weight)"
        ),
    ),
    slip(
        "last scale frozen",
        "The last scale is 0 and requires no gradient, so the block can never learn to do "
        "something. It starts at 0 and is trained.",
        "H7",
        starts_at_zero=Instead(
            "starts_at_zero = zero_init\n"
            "if starts_at_zero and not biased:\n"
            "    self.norm2.weight.requires_grad_(False)"
        ),
    ),
    slip(
        "what is zero frozen",
        "What starts at 0, the last scale or the last map, requires no gradient, so the block can "
        "never learn to do something. It is trained like all others.",
        "H7",
        starts_at_zero=Instead(
            "starts_at_zero = zero_init\nif starts_at_zero:\n    last.weight.requires_grad_(False)"
        ),
    ),
    slip(
        "zero without norm missed",
        "Without norm and with zero_init=True the weight of the last linear map must start at 0.",
        "H7",
        starts_at_zero="zero_init and not biased",
    ),
    slip(
        "redundant biases",
        "The linear maps have biases though a norm follows, which subtracts them. With a norm: "
        "bias=False.",
        "F5",
        linear1="nn.Linear(width, width)",
        linear2="nn.Linear(width, width)",
    ),
    slip(
        "no biases at all",
        "Without norm nothing shifts the values: then both linear maps need their bias.",
        "F5",
        linear1="nn.Linear(width, width, bias=False)",
        linear2="nn.Linear(width, width, bias=False)",
        nn_init_zeros=Instead(),
    ),
    slip(
        "biases of torch's start",
        "Without norm the biases must start at 0: nn.Linear draws them at random.",
        "W3",
        nn_init_zeros=Instead(),
    ),
    slip(
        "weights of torch's start",
        "The weights have the size that torch gives them, about 0.4 of what is asked. Draw them "
        'from N(0, 2 / K): nn.init.kaiming_normal_(weight, nonlinearity="relu").',
        "W3",
        nn_init_kaiming_normal=Instead(),
    ),
    slip(
        "weights of variance 1 / K",
        "The weights have the variance 1 / K. A ReLU lets half of the squares through, so it takes "
        "2 / K to keep their size.",
        "W3",
        nn_init_kaiming_normal=Instead(
            'nn.init.kaiming_normal_(linear.weight, nonlinearity="linear")'
        ),
    ),
    slip(
        "a seed of its own",
        "The block sets a seed, or has a generator with a fixed one, so that all blocks of a net "
        "start alike. Draw from torch's random state as it is: the caller seeds it.",
        "W3",
        super_init=Instead("super().__init__()\ntorch.manual_seed(0)"),
    ),
    slip(
        "both maps start alike",
        "The second linear map is a copy of the first. Draw the weights of each.",
        "W3",
        starts_at_zero=Instead(
            "starts_at_zero = zero_init\nself.linear2.load_state_dict(self.linear1.state_dict())"
        ),
    ),
    slip(
        "branch in training only",
        "In eval mode the block hands x on, without its branch. The branch belongs to both modes.",
        "H7",
        returns="x + branch if self.training else x.clone()",
    ),
    slip(
        "always in training mode",
        "forward puts the block into training mode for a while, so in eval mode too its norms take "
        "the statistics of the batch. Leave the mode to the caller.",
        "F7",
        z=Instead("mode = self.training\nself.train()\nz = self.norm1(self.linear1(x))"),
        branch=Instead("branch = self.norm2(self.linear2(h))\nself.train(mode)"),
    ),
    slip(
        "shortcut detached",
        "The gradient of the shortcut is cut off: x is detached before it is added.",
        "H6",
        returns="x.detach() + branch",
    ),
)


_START = (
    *_SCALES,
    *_BIASES,
    *(label for name in _WEIGHTS for label in _drawn(name, torch.ones(1))),
)
_FORWARD = ("y of a new block, less x", "y", "dx", "y in eval", "dx in eval")
_GRADIENTS = tuple(f"d{name}" for name in (*_WEIGHTS, *_SCALES, *_BIASES))


def _signature(width, norm, zero_init=False):
    """The constructor that the student writes."""


residual_block = Exercise(
    name="ResidualBlock",
    signature=inspect.signature(_signature),
    cases=_cases,
    drive=_drive,
    reference=_reference,
    see="H7",
    insight="A block that starts as the identity lets a net of any depth start as a shallow one.",
    mistakes=_MISTAKES,
    parts=dict.fromkeys(_START, "__init__") | dict.fromkeys((*_FORWARD, *_GRADIENTS), "forward"),
    tolerance=TOLERANCE,
    takes_device=True,
    # Which norm stands in the block is not its business.
    allows_ready_made=True,
)
