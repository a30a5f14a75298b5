"""internal_covariate_shift: how far a layer's gradient moves when the layers before it step."""

import copy
import inspect

import numpy as np
import torch

from bncourse.exercise import Case, Exercise
from bncourse.exercises.ps6_shift.drive import (
    TOLERANCE,
    classes,
    network,
    probe_on_batch,
    reference_on_batch,
)
from bncourse.exercises.torch_drive import one_thread
from bncourse.inputs import batch, cast
from bncourse.reference import shift
from bncourse.slips import Instead, Right


def _cases(rng):
    def given(sizes=(5, 6, 4, 3), lr=0.5, n=9, **more):
        """Return a network, a loss, one batch and a learning rate."""
        net = {key: more.pop(key) for key in ("act", "norm", "bias", "last_norm") if key in more}
        return (
            network(rng, sizes, **net)
            | {"loss": "squared error", "x": batch(rng, n, sizes[0])}
            | {"y": rng.standard_normal((n, sizes[-1])), "lr": lr}
            | more
        )

    images = given((5, 6, 6, 4), norm=False, act="sigmoid", loss="cross entropy")
    return {
        "three layers": Case(given(norm=False)),
        "with batch norm": Case(given()),
        "a small learning rate": Case(given(norm=False, lr=0.01)),
        "classes": Case(images | {"y": classes(rng, 9, 4)}),
        "five layers": Case(given((5, 6, 4, 6, 5, 3), norm=False, lr=0.2)),
        "one layer": Case(given((5, 3), norm=False)),
        "layers without bias": Case(given(bias=False)),
        "a model in eval mode": Case(given(training=False)),
        "a batch norm that stays in eval mode": Case(given(frozen="norm1")),
        "layers inside another": Case(given(norm=False, nested=True)),
        "gradients of the last step are there": Case(given(norm=False, last_step=True)),
        "float32": Case(cast(given(norm=False), np.float32), "float32"),
        "layers of one's own": Case(given(plain=2)),
        "weights of three axes": Case(given(plain=3)),
    }


@one_thread()
def _drive(obj, inputs):
    return {"shift": probe_on_batch(obj, inputs, "lr")}


def _reference(inputs):
    return {"shift": reference_on_batch(shift.internal_covariate_shift, inputs, "lr")}


def shift_on_copies(model, loss_fn, x, y, lr):
    layers = []
    for name, parameter in model.named_parameters():
        if parameter.dim() >= 2:
            layers.append([])
        layers[-1].append(name)

    def gradients(net):
        names = [name for name, _ in net.named_parameters()]
        loss = loss_fn(net(x), y)
        return dict(zip(names, torch.autograd.grad(loss, list(net.parameters())), strict=True))

    start = copy.deepcopy(model)
    before = gradients(start)
    shift = []
    for number, names in enumerate(layers):
        mixed = copy.deepcopy(model)
        earlier = layers[:number]
        moved = [name for layer in earlier for name in layer]
        with torch.no_grad():
            for name in moved:
                step = lr * before[name]
                mixed.get_parameter(name).sub_(step)
        after = gradients(mixed)
        compared = names[:1]
        change = torch.cat([(after[name] - before[name]).flatten() for name in compared])
        length = change.norm()
        shift.append(length.item())
    return np.array(shift)


def shift_with_backward(model, loss_fn, x, y, lr):
    def gradients(net):
        cleared = net.zero_grad()
        loss_fn(net(x), y).backward()
        return cleared, [parameter.grad.clone() for parameter in net.parameters()]

    probe = copy.deepcopy(model)
    old = [parameter.detach().clone() for parameter in probe.parameters()]
    _, before = gradients(probe)
    places = [i for i, parameter in enumerate(probe.parameters()) if parameter.dim() >= 2]
    shift = []
    for place in places:
        with torch.no_grad():
            for i, parameter in enumerate(probe.parameters()):
                value = old[i] - lr * before[i] if i < place else old[i]
                parameter.copy_(value)
        _, after = gradients(probe)
        shift.append((after[place] - before[place]).norm().item())
    return shift


slip = Right(shift_on_copies).slip
backward = Right(shift_with_backward).slip

_MISTAKES = (
    slip(
        "the layer itself steps too",
        "The layer whose gradient is compared has stepped too. Only the layers before it do: the "
        "first layer has none, and its shift is 0.",
        "S5",
        earlier="layers[: number + 1]",
    ),
    slip(
        "the weight itself steps too",
        "The weight whose gradient is compared has stepped too. Only what comes before it does: "
        "nothing comes before the first weight, and its shift is 0.",
        "S5",
        moved="[name for layer in earlier for name in layer] + names[:1]",
    ),
    slip(
        "all layers step",
        "All layers have stepped when the second gradient is taken. Only the layers before the "
        "one that is compared do.",
        "S5",
        earlier="layers",
    ),
    slip(
        "the later layers step",
        "The layers after the one that is compared step. The shift is what the layers before it "
        "do to it.",
        "S5",
        earlier="layers[number + 1 :]",
    ),
    slip(
        "only the layer before steps",
        "Only the one layer before steps. All earlier ones do.",
        "S5",
        earlier="layers[max(number - 1, 0) : number]",
    ),
    slip(
        "vectors stay",
        "Biases, gamma and beta stay where they are. They step with the layer to which they "
        "belong, the one whose weight comes before them.",
        "S5",
        moved="[layer[0] for layer in earlier]",
    ),
    slip(
        "vectors compared too",
        "The gradients of biases, gamma and beta are a part of the length. They step with their "
        "layer, and what is compared is the gradient of its weight.",
        "S5",
        compared="names",
    ),
    slip(
        "step uphill",
        "The earlier layers step along the gradient, uphill. Gradient descent subtracts it.",
        "S5",
        step="-lr * before[name]",
    ),
    slip(
        "learning rate forgotten",
        "The step has no learning rate.",
        "S5",
        step="before[name]",
    ),
    slip(
        "step of a fixed length",
        "The gradient is divided by its length before the step. A step of gradient descent is lr "
        "times the gradient as it is.",
        "S5",
        step="lr * before[name] / before[name].norm()",
    ),
    slip(
        "square in place of length",
        "It is the square of the length. Take the root.",
        "S5",
        length="change.square().sum()",
    ),
    slip(
        "mean square in place of length",
        "The squares are averaged over the entries. The length is the root of their sum.",
        "S5",
        length="change.square().mean().sqrt()",
    ),
    slip(
        "sum of absolute values",
        "It is the sum of absolute values. The length is the root of the sum of squares.",
        "S5",
        length="change.abs().sum()",
    ),
    slip(
        "difference of lengths",
        "It subtracts the lengths of the two gradients. A gradient that only turns keeps its "
        "length, and has moved: take the length of the difference.",
        "S5",
        length="(after[names[0]].norm() - before[names[0]].norm()).abs()",
    ),
    slip(
        "relative to the gradient",
        "The change is divided by the length of the gradient. (S5) is the length itself.",
        "S5",
        length="change.norm() / before[names[0]].norm()",
    ),
    slip(
        "cosine in place of length",
        "It is the cosine of the angle between the two gradients, (S6). Here the length of their "
        "difference is asked.",
        "S6",
        length="torch.cosine_similarity(after[names[0]].flatten(), before[names[0]].flatten(), 0)",
    ),
    slip(
        "spectral norm",
        "torch.linalg.norm(G, 2) is the largest singular value of a matrix. The length is taken "
        "over all entries: G.norm().",
        "S5",
        length="torch.linalg.norm(after[names[0]] - before[names[0]], 2)",
    ),
    slip(
        "model left stepped",
        "The model itself takes the steps, and keeps them. Step on a copy.deepcopy(model).",
        "S5",
        mixed="model",
    ),
    slip(
        "running statistics moved",
        "A pass of the model itself moves its running statistics. Let a copy.deepcopy(model) take "
        "every pass, also the first.",
        "S5",
        start="model",
    ),
    slip(
        "measured in eval mode",
        "The gradients are taken in eval mode. Take them in the mode in which the model comes: in "
        "training they pass through the statistics of the batch.",
        "S5",
        start="copy.deepcopy(model).eval()",
        mixed="copy.deepcopy(model).eval()",
    ),
    slip(
        "measured in training mode",
        "The gradients are taken in training mode, also where the model comes in eval mode. Take "
        "them in the mode in which it comes.",
        "S5",
        start="copy.deepcopy(model).train()",
        mixed="copy.deepcopy(model).train()",
    ),
    backward(
        "gradients add up",
        "backward() adds to the gradients that are there already, those of the pass before among "
        "them. Clear them before each pass, or use torch.autograd.grad.",
        "S5",
        cleared="None",
    ),
    backward(
        "gradients left behind",
        "The gradients of the probe are left in .grad of the model, and the next optimizer step "
        "would use them. Work on a copy.deepcopy(model), or use torch.autograd.grad.",
        "S5",
        probe="model",
        shift=Instead("shift = []\nkept = {n: b.clone() for n, b in model.named_buffers()}"),
        shift_with_backward__returns=Instead(
            "with torch.no_grad():\n"
            "    for value, parameter in zip(old, model.parameters(), strict=True):\n"
            "        parameter.copy_(value)\n"
            "    for name, buffer in model.named_buffers():\n"
            "        buffer.copy_(kept[name])\n"
            "return shift"
        ),
    ),
    backward(
        "steps one after the other",
        "A layer steps with the gradient that it has after the layers before it have stepped. In "
        "one step of gradient descent all gradients come from the same start.",
        "S5",
        value=Instead("value = parameter - lr * latest[i] if last <= i < place else parameter"),
        shift=Instead("shift, last, latest = [], 0, before"),
        shift_append=Instead(
            "shift.append((after[place] - before[place]).norm().item())\n"
            "last, latest = place, after"
        ),
    ),
)


def _signature(model, loss_fn, x, y, lr):
    """The function that the student writes."""


internal_covariate_shift = Exercise(
    name="internal_covariate_shift",
    signature=inspect.signature(_signature),
    cases=_cases,
    drive=_drive,
    reference=_reference,
    see="S5",
    insight="To first order this is lr times a block of the Hessian: no distribution occurs in it.",
    mistakes=_MISTAKES,
    tolerance=TOLERANCE,
    takes_device=True,
    allows_ready_made=True,
)
