"""recalibrate: exact running statistics for a trained model, in place of a moving average."""

import inspect

import numpy as np
import torch
from torch import nn

from bncourse.exercise import Case, Exercise, Unusable, describe
from bncourse.exercises.ps4_pytorch.drive import TOLERANCE, mistakes, one_thread, tensor
from bncourse.inputs import batch, cast, running, scale_and_shift
from bncourse.reference import layers

_BATCHES = ("batch1", "batch2", "batch3")


def _cases(rng):
    def given(model, draw, sizes=(400, 400, 200), momentum=(0.1, 0.1)):
        """Return weights for a model with two batch norms, and batches that differ in mean."""
        inputs = {"model": model, **_weights(rng, model), "momentum": momentum}
        for name, size, offset in zip(_BATCHES, sizes, (0.0, 6.0, -9.0), strict=True):
            inputs[name] = draw(size) + offset
        return inputs

    def rows(size):
        return batch(rng, size, 5)

    def images(size):
        return layers.from_features(batch(rng, 36 * size, 2), (size, 2, 6, 6))

    perceptron = given("perceptron", rows)
    return {
        "a perceptron": Case(perceptron),
        "a convolutional network": Case(given("convolutional", images)),
        "momentum None and 0.9": Case(given("perceptron", rows, momentum=(None, 0.9))),
        "batches of one size": Case(given("perceptron", rows, sizes=(400, 400, 400))),
        "float32": Case(cast(perceptron, np.float32), "float32"),
    }


def _weights(rng, model):
    first = (4, 5) if model == "perceptron" else (4, 2, 3, 3)
    second = (3, 4 if model == "perceptron" else 4 * 16)
    inputs = {"weight1": rng.standard_normal(first), "weight2": rng.standard_normal(second)}
    for layer, channels in (("1", 4), ("2", 3)):
        state = scale_and_shift(rng, channels) | running(rng, channels)
        inputs |= {f"{name}{layer}": value for name, value in state.items()}
    return inputs


class _Witness(nn.Module):
    """Pass its input on, and remember whether gradients were tracked."""

    tracked = False

    def forward(self, x):
        self.tracked = self.tracked or torch.is_grad_enabled()
        return x


def _build(inputs):
    """Return the model of the inputs in eval mode; its second half is nested."""
    momentum = inputs["momentum"]
    if inputs["model"] == "perceptron":
        first = nn.Linear(5, 4, bias=False), nn.BatchNorm1d(4, momentum=momentum[0])
        second = nn.Linear(4, 3, bias=False)
    else:
        first = nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4, momentum=momentum[0])
        second = nn.Linear(4 * 16, 3, bias=False)
    inner = nn.Sequential(nn.Flatten(), second, nn.BatchNorm1d(3, momentum=momentum[1]))
    model = nn.Sequential(*first, nn.ReLU(), inner, _Witness())
    state = {
        "0.weight": inputs["weight1"],
        "3.1.weight": inputs["weight2"],
    }
    for layer, path in (("1", "1"), ("2", "3.2")):
        state |= {
            f"{path}.weight": inputs[f"gamma{layer}"],
            f"{path}.bias": inputs[f"beta{layer}"],
            f"{path}.running_mean": inputs[f"running_mean{layer}"],
            f"{path}.running_var": inputs[f"running_var{layer}"],
            # As after some training.
            f"{path}.num_batches_tracked": np.array(20),
        }
    tensors = {name: torch.from_numpy(np.asarray(array)) for name, array in state.items()}
    model.to(tensors["0.weight"].dtype).load_state_dict(tensors)
    return model.eval()


@one_thread()
def _drive(obj, inputs):
    # A layer that is made draws its first weights from torch's random state.
    with torch.random.fork_rng(devices=[]):
        model = _build(inputs).to(inputs["device"])
    before = {name: value.clone() for name, value in model.named_parameters()}
    returned = obj(model, [tensor(inputs[name], inputs["device"]) for name in _BATCHES])
    if not isinstance(returned, nn.Module):
        raise Unusable(f"It must return the model. Received: {describe(returned)}.")
    norms = [m for m in returned.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if len(norms) != 2:
        raise Unusable(f"The model must keep its 2 batch norms. Found: {len(norms)}.")
    _require_same_model(returned, before, norms, inputs["momentum"])
    return {
        f"{name} of layer {index}": getattr(norm, name)
        for index, norm in enumerate(norms, start=1)
        for name in ("running_mean", "running_var")
    }


def _require_same_model(model, before, norms, momentum):
    """Raise Unusable if anything but the running statistics is not as it was."""
    if any(module.training for module in model.modules()):
        raise Unusable("The model came in eval mode and must leave in eval mode.")
    if any(witness.tracked for witness in model.modules() if isinstance(witness, _Witness)):
        raise Unusable("Gradients are tracked while the batches pass. Nothing is trained here.")
    if tuple(norm.momentum for norm in norms) != tuple(momentum):
        raise Unusable("The momentum of a batch norm is not what it was.")
    if any(not torch.equal(value, before[name]) for name, value in model.named_parameters()):
        raise Unusable("A weight of the model has changed. Only the running statistics may.")


@one_thread()
def _reference(inputs):
    inputs = cast(inputs, np.float64)
    per_batch = [_layer_inputs(inputs, inputs[name]) for name in _BATCHES]
    outputs = {}
    for index, rows in enumerate(zip(*per_batch, strict=True), start=1):
        count, mean, var = layers.pooled_statistics(rows)
        outputs[f"running_mean of layer {index}"] = mean
        outputs[f"running_var of layer {index}"] = var * count / (count - 1)
    return outputs


def _layer_inputs(inputs, x):
    """Return what reaches each batch norm, as rows, when one batch passes in training mode."""
    if inputs["model"] == "perceptron":
        first = x @ inputs["weight1"].T
    else:
        images, weight = torch.from_numpy(x), torch.from_numpy(inputs["weight1"])
        first = nn.functional.conv2d(images, weight).numpy()
    y = layers.layer_training_step(
        first, inputs["gamma1"], inputs["beta1"], 0.0, 0.0, new_weight=1.0, eps=1e-5
    )[0]
    hidden = np.maximum(y, 0).reshape(len(x), -1)
    return layers.to_features(first), hidden @ inputs["weight2"].T


_RECALIBRATE = """\
def recalibrate(model, batches):
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    modes = {module: module.training for module in model.modules()}
    momentums = [norm.momentum for norm in norms]
    count = 0
    means = [0.0 for norm in norms]
    squares = [0.0 for norm in norms]
    model.train()
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        for x in batches:
            model(x)
            n = len(x)
            for i, norm in enumerate(norms):
                old, new = means[i], norm.running_mean.clone()
                mean = (count * old + n * new) / (count + n)
                spread = count * (old - mean) ** 2 + n * (new - mean) ** 2
                squares[i] = squares[i] + n * norm.running_var + spread
                means[i] = mean
            count += n
    for i, norm in enumerate(norms):
        norm.running_mean.copy_(means[i])
        norm.running_var.copy_(squares[i] / count)
        norm.momentum = momentums[i]
    for module, mode in modes.items():
        module.train(mode)
    return model
"""

_SIMPLE = """\
def recalibrate(model, batches):
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momentums = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    with torch.no_grad():
        for x in batches:
            model(x)
    for norm, momentum in zip(norms, momentums):
        norm.momentum = momentum
    return model.eval()
"""

_HOOKED = """\
def recalibrate(model, batches):
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    seen = {norm: [] for norm in norms}
    hooks = [
        norm.register_forward_pre_hook(lambda norm, args: seen[norm].append(args[0]))
        for norm in norms
    ]
    with torch.no_grad():
        for x in batches:
            model(x)
    for norm, hook in zip(norms, hooks):
        hook.remove()
        rows = torch.cat(seen[norm]).movedim(1, -1).flatten(0, -2)
        norm.running_mean.copy_(rows.mean(0))
        norm.running_var.copy_(rows.var(0))
    return model
"""

_HOOKED_MISTAKES = (
    (
        "batches in eval mode",
        [],
        "The batches pass in eval mode, so what a layer sees was made with the old statistics of "
        "the layers before it. Let them pass in training mode.",
        "L6",
    ),
)

_SIMPLE_MISTAKES = (
    (
        "averaged variances",
        [],
        "The batches are averaged as momentum=None does it: each counts the same whatever its "
        "size, and the spread of their means is lost to the variance. Pool the statistics instead.",
        "L6",
    ),
    (
        "moving average",
        [
            ("        norm.momentum = None\n", ""),
            ("        norm.reset_running_stats()\n", "        norm.track_running_stats = True\n"),
        ],
        "The batches go through the moving average of training, so the old statistics and the last "
        "batches count most. Each example is to count the same.",
        "L6",
    ),
    (
        "old statistics kept",
        [("        norm.reset_running_stats()\n", "")],
        "The statistics from training are a part of the average. Start anew.",
        "L6",
    ),
    (
        "momentum left changed",
        [("        norm.momentum = momentum\n", "        norm.eval()\n")],
        "The momentum of the layers is changed for good. Put it back.",
        "L6",
    ),
)

_MISTAKES = (
    (
        "batches weighed the same",
        [("n = len(x)", "n = 1")],
        "Each batch counts the same, whatever its size. Weigh it with its number of examples.",
        "L6",
    ),
    (
        "spread of the means missing",
        [("n * norm.running_var + spread", "n * norm.running_var")],
        "The variances are averaged with the right weights, but the spread of the batch means is "
        "missing.",
        "L6",
    ),
    (
        "last batch only",
        [
            ("(count * old + n * new) / (count + n)", "new"),
            ("squares[i] + n", "n"),
            ("n * norm.running_var + spread", "(count + n) * norm.running_var"),
        ],
        "Only the last batch counts. Pool the statistics of all of them.",
        "L6",
    ),
    (
        "left in training mode",
        [("module.train(mode)", "module.train()")],
        "The model leaves in training mode. Put every module back into the mode it came in.",
        "L6",
    ),
    (
        "gradients tracked",
        [
            ("with torch.no_grad():", "with torch.enable_grad():"),
            ("norm.running_var + spread", "norm.running_var.detach() + spread"),
        ],
        "Gradients are tracked while the batches pass, which costs memory for nothing. Use "
        "torch.no_grad().",
        "L6",
    ),
    (
        "top level only",
        [("model.modules() if isinstance", "model.children() if isinstance")],
        "Only the batch norms at the top level are treated; those inside other modules are missed. "
        "Walk through model.modules().",
        "L6",
    ),
    (
        "BatchNorm1d only",
        [("nn.modules.batchnorm._BatchNorm", "nn.BatchNorm1d")],
        "Only BatchNorm1d is treated. A model may hold BatchNorm2d and BatchNorm3d too.",
        "L6",
    ),
    (
        "running mean only",
        [("        norm.running_var.copy_(squares[i] / count)\n", "")],
        "running_var is not set to the pooled variance.",
        "L6",
    ),
    (
        "nothing returned",
        [("    return model\n", "")],
        "Nothing is returned. Return the model.",
        "L6",
    ),
)

recalibrate = Exercise(
    name="recalibrate",
    signature=inspect.signature(lambda model, batches: None),
    cases=_cases,
    drive=_drive,
    reference=_reference,
    see="L6",
    mistakes=mistakes(_SIMPLE, "recalibrate", _SIMPLE_MISTAKES)
    + mistakes(_HOOKED, "recalibrate", _HOOKED_MISTAKES)
    + mistakes(_RECALIBRATE, "recalibrate", _MISTAKES),
    # Biased or unbiased, by batch or as a whole: with these sizes it makes 0.2 percent, and the
    # exercise takes any of them.
    tolerance=TOLERANCE
    | {
        (f"running_var of layer {layer}", dtype): 3e-2
        for layer in (1, 2)
        for dtype in ("float64", "float32")
    },
    takes_device=True,
    allows_ready_made=True,
)
