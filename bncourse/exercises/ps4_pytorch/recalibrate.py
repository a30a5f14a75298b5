"""recalibrate: exact running statistics for a trained model, in place of a moving average."""

import copy
import inspect

import numpy as np
import torch
from torch import nn

from bncourse.exercise import Case, Exercise, Mistake, Unusable, describe, so_far
from bncourse.exercises.torch_drive import (
    TOLERANCE,
    kinds,
    one_thread,
    require_same_kinds,
    require_same_list,
    require_same_parameters,
    require_settings,
    require_usable,
    settings,
    tensor,
)
from bncourse.inputs import batch, cast, running, scale_and_shift
from bncourse.reference import layers
from bncourse.slips import Instead, Right

# By how much the batches of a model differ in mean.
_OFFSETS = (0.0, 6.0, -9.0, 4.0)


def _cases(rng):
    def given(model, draw, sizes=(1000, 1000, 500), momentum=(0.1, 0.1)):
        """Return weights for a model with two batch norms, and batches that differ in mean."""
        inputs = {"model": model, **_weights(rng, model), "momentum": momentum}
        for number, (size, offset) in enumerate(zip(sizes, _OFFSETS, strict=False), start=1):
            inputs[f"batch{number}"] = draw(size) + offset
        return inputs

    def rows(size):
        return batch(rng, size, 5)

    def images(size):
        return layers.from_features(batch(rng, 36 * size, 2), (size, 2, 6, 6))

    def volumes(size):
        return images(size)[..., None]

    perceptron = given("perceptron", rows)
    uneven = {f"batch{i}": k * rows(1000) for i, k in enumerate((1.0, 5.0, 0.2), start=1)}
    return {
        "a perceptron": Case(perceptron),
        "a convolutional network": Case(given("convolutional", images)),
        "a network of volumes": Case(given("volumetric", volumes)),
        "momentum None and 0.9": Case(given("perceptron", rows, momentum=(None, 0.9))),
        "batches of one size, once more": Case(
            given("perceptron", rows, sizes=(1000, 1000, 1000)) | {"again": True}
        ),
        # What the sums start at shows only beside a small spread.
        "small inputs": Case(
            perceptron | {name: 0.001 * x for name, x in _batches(perceptron).items()}
        ),
        "float32": Case(cast(perceptron, np.float32), "float32"),
        # Where the means are far apart, their spread hides what becomes of the variances.
        "batches of different spread": Case(perceptron | uneven),
        "one batch": Case(given("perceptron", rows, sizes=(1500,))),
        "four batches": Case(given("perceptron", rows, sizes=(1500, 1000, 1500, 2000))),
    }


def _batches(inputs):
    """Return the batches by name, in order."""
    return {name: value for name, value in inputs.items() if name.startswith("batch")}


# The shape of the first weight of each model.
_FIRST = {"perceptron": (4, 5), "convolutional": (4, 2, 3, 3), "volumetric": (4, 2, 3, 3, 1)}


def _weights(rng, model):
    first = _FIRST[model]
    second = (3, 4 if model == "perceptron" else 4 * 16)
    inputs = {"weight1": rng.standard_normal(first), "weight2": rng.standard_normal(second)}
    for layer, channels in (("1", 4), ("2", 3)):
        state = scale_and_shift(rng, channels) | running(rng, channels)
        inputs |= {f"{name}{layer}": value for name, value in state.items()}
    return inputs


class _Witness(nn.Module):
    """Pass its input on, and remember whether gradients were tracked."""

    def __init__(self):
        super().__init__()
        self.tracked = False

    def forward(self, x):
        self.tracked = self.tracked or torch.is_grad_enabled()
        return x


def _build(inputs):
    """Return the model of the inputs in eval mode; its second half is nested, once or twice."""
    momentum = inputs["momentum"]
    second = nn.Linear(inputs["weight2"].shape[1], 3, bias=False)
    if inputs["model"] == "perceptron":
        first = nn.Linear(5, 4, bias=False), nn.BatchNorm1d(4, momentum=momentum[0])
    elif inputs["model"] == "convolutional":
        first = nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4, momentum=momentum[0])
    else:
        first = nn.Conv3d(2, 4, (3, 3, 1), bias=False), nn.BatchNorm3d(4, momentum=momentum[0])
    inner = nn.Sequential(nn.Flatten(), second, nn.BatchNorm1d(3, momentum=momentum[1]))
    place = "3"
    if inputs["model"] == "convolutional":
        inner, place = nn.Sequential(nn.Sequential(inner)), "3.0.0"
    model = nn.Sequential(*first, nn.ReLU(), inner, _Witness())
    state = {
        "0.weight": inputs["weight1"],
        f"{place}.1.weight": inputs["weight2"],
    }
    for layer, path in (("1", "1"), ("2", f"{place}.2")):
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
    # As where the first layer is not to be trained on: who freezes all must not free it.
    model[0].requires_grad_(False)
    return model.eval()


@one_thread()
def _drive(obj, inputs):
    # A layer that is made draws its first weights from torch's random state.
    with torch.random.fork_rng(devices=[]):
        model = _build(inputs).to(inputs["device"])
    before = {name: value.clone() for name, value in model.named_parameters()}
    parameters, options, kind = dict(model.named_parameters()), settings(model), kinds(model)
    statistics = {name: value.clone() for name, value in model.named_buffers()}
    batches = [tensor(inputs[name], inputs["device"]) for name in _batches(inputs)]
    given, objects = [x.clone() for x in batches], list(batches)
    last = list(model.parameters())[-1]
    last.grad = torch.ones_like(last)
    if "again" in inputs:
        obj(model, [x + 1 for x in batches])
    returned = obj(model, batches)
    if not isinstance(returned, nn.Module):
        raise Unusable(f"It must return the model. Received: {describe(returned)}.")
    if any(each is model for each in list(returned.modules())[1:]):
        raise Unusable("It must return the model itself, not another module around it.")
    if returned is not model:
        raise Unusable(_of_another(model, statistics))
    require_same_list(batches, objects)
    if not all(map(torch.equal, batches, given)):
        raise Unusable("It changes a batch in place. Work on new tensors.")
    if last.grad is None or not torch.equal(last.grad, torch.ones_like(last)):
        raise Unusable("It changes the gradient that a weight holds. Nothing is trained here.")
    if any(x.requires_grad for x in batches):
        raise Unusable("It leaves requires_grad of a batch on. Nothing is trained here.")
    norms = [m for m in returned.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if len(norms) != 2:
        raise Unusable(f"The model must keep its 2 batch norms. Found: {len(norms)}.")
    outputs = {
        f"{name} of layer {index}": getattr(norm, name)
        for index, norm in enumerate(norms, start=1)
        for name in ("running_mean", "running_var")
    }
    with so_far(outputs):
        require_same_kinds(returned, kind)
        _require_same_model(returned, before, norms, inputs["momentum"])
        require_settings(returned, options)
        require_same_parameters(returned, parameters)
        require_usable(returned)
    return outputs


def _of_another(model, statistics):
    """Return what to say where another model is returned than the one that is given."""
    if all(torch.equal(value, statistics[name]) for name, value in model.named_buffers()):
        return "It must set the model that it is given, and return that one."
    return "It must return the model that it is given. Received: another one."


def _require_same_model(model, before, norms, momentum):
    """Raise Unusable if anything but the running statistics is not as it was."""
    if any(module.training for module in model.modules()):
        raise Unusable("The model came in eval mode and must leave in eval mode.")
    if any(witness.tracked for witness in model.modules() if isinstance(witness, _Witness)):
        raise Unusable("Gradients are tracked while the batches pass. Nothing is trained here.")
    if tuple(norm.momentum for norm in norms) != tuple(momentum):
        raise Unusable("The momentum of a batch norm is not what it was.")
    for name in sorted(dict(model.named_parameters()).keys() - before.keys()):
        raise Unusable(f"{name} is a parameter now, which an optimizer trains. Leave it a buffer.")
    if any(not torch.equal(value, before[name]) for name, value in model.named_parameters()):
        raise Unusable("A weight of the model has changed. Only the running statistics may.")


@one_thread()
def _reference(inputs):
    inputs = cast(inputs, np.float64)
    per_batch = [_layer_inputs(inputs, x) for x in _batches(inputs).values()]
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
        convolve = nn.functional.conv2d if images.ndim == 4 else nn.functional.conv3d
        first = convolve(images, weight).numpy()
    y = layers.layer_training_step(
        first, inputs["gamma1"], inputs["beta1"], 0.0, 0.0, new_weight=1.0, eps=1e-5
    )[0]
    hidden = np.maximum(y, 0).reshape(len(x), -1)
    return layers.to_features(first), hidden @ inputs["weight2"].T


def recalibrate_pooled(model, batches):
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    modes = {module: module.training for module in model.modules()}
    momentums = [norm.momentum for norm in norms]
    count = 0
    means = [0.0 for norm in norms]
    squares = [0.0 for norm in norms]
    passes = batches
    tracking = torch.no_grad()
    model.train()
    for norm in norms:
        norm.momentum = 1.0
    with tracking:
        for x in passes:
            model(x)
            n = len(x)
            for i, norm in enumerate(norms):
                old, new = means[i], norm.running_mean.clone()
                mean = (count * old + n * new) / (count + n)
                spread = count * (old - mean) ** 2 + n * (new - mean) ** 2
                square = squares[i] + n * norm.running_var.detach() + spread
                means[i] = mean
                squares[i] = square
            count += n
    for i, norm in enumerate(norms):
        var = squares[i] / count
        norm.running_mean.copy_(means[i])
        norm.running_var.copy_(var)
        restored = momentums[i]
        norm.momentum = restored
    for module, mode in modes.items():
        module.train(mode)
    return model


def recalibrate_averaging(model, batches):
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momentums = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        weight = None
        norm.momentum = weight
    model.train()
    with torch.no_grad():
        for x in batches:
            model(x)
    for norm, momentum in zip(norms, momentums, strict=True):
        restored = momentum
        norm.momentum = restored
    return model.eval()


def recalibrate_hooked(model, batches):
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    seen = {norm: [] for norm in norms}
    hooks = [
        norm.register_forward_pre_hook(lambda norm, args: seen[norm].append(args[0]))
        for norm in norms
    ]
    model.train()
    with torch.no_grad():
        for x in batches:
            model(x)
    model.eval()
    for hook in hooks:
        hook.remove()
    for norm in norms:
        rows = torch.cat(seen[norm]).movedim(1, -1).flatten(0, -2)
        norm.running_mean.copy_(rows.mean(0))
        norm.running_var.copy_(rows.var(0))
    return model


slip = Right(recalibrate_pooled).slip
average = Right(recalibrate_averaging).slip
hooked = Right(recalibrate_hooked).slip

_MISTAKES = (
    Mistake(
        "averaged variances",
        recalibrate_averaging,
        "The batches are averaged as momentum=None does it: each counts the same whatever its "
        "size, and the spread of their means is lost to the variance. Pool the statistics instead.",
        "L6",
    ),
    average(
        "moving average",
        "The batches go through the moving average of training, so the old statistics and the last "
        "batches count most. Each example is to count the same.",
        "L6",
        norm_reset_running_stats=Instead(),
        weight="norm.momentum",
    ),
    average(
        "moving average from the start",
        "The statistics start anew, and then the moving average of training makes the last batches "
        "count most. Each example is to count the same.",
        "L6",
        weight="norm.momentum",
    ),
    average(
        "old statistics kept",
        "The statistics from training are a part of the average. Start anew.",
        "L6",
        norm_reset_running_stats=Instead(),
    ),
    average(
        "momentum left changed",
        "The momentum of the layers is changed for good. Put it back.",
        "L6",
        restored="0.5",
    ),
    hooked(
        "batches in eval mode",
        "The batches pass in eval mode, so what a layer sees was made with the old statistics of "
        "the layers before it. Let them pass in training mode.",
        "L6",
        model_train=Instead(),
    ),
    hooked(
        "hooks left behind",
        "The hooks stay on the layers and run in every later pass, with all they keep. Keep what "
        "registering it returns, and call its remove().",
        "L6",
        hook_remove=Instead("pass"),
    ),
    slip(
        "batches weighed the same",
        "Each batch counts the same, whatever its size. Weigh it with its number of examples.",
        "L6",
        n="1",
    ),
    slip(
        "batches joined",
        "All batches pass as one, so a layer sees inputs that were normalised with the statistics "
        "of all. Let each batch pass by itself, as in training, and pool what the layers see.",
        "L6",
        passes="[torch.cat(batches)]",
    ),
    slip(
        "spread of the means missing",
        "The variances are averaged with the right weights, but the spread of the batch means is "
        "missing.",
        "L6",
        square="squares[i] + n * norm.running_var.detach()",
    ),
    slip(
        "last batch only",
        "Only the last batch counts. Pool the statistics of all of them. If you keep each batch's: "
        "running_mean is one tensor that each batch overwrites, so keep a clone().",
        "L6",
        mean="new",
        square="(count + n) * norm.running_var.detach()",
    ),
    slip(
        "left in training mode",
        "The model leaves in training mode. Put every module back into the mode it came in.",
        "L6",
        module_train="module.train()",
    ),
    slip(
        "gradients tracked",
        "Gradients are tracked while the batches pass, which costs memory for nothing. Use "
        "torch.no_grad().",
        "L6",
        tracking="torch.enable_grad()",
    ),
    slip(
        "buffers made in inference mode",
        "A buffer is an inference tensor, made under torch.inference_mode(): the next training "
        "step cannot use it. Use torch.no_grad(), or copy the values into the old buffer.",
        "L6",
        tracking="torch.inference_mode()",
        norm_running_mean_copy=Instead("norm.running_mean = means[i]"),
    ),
    slip(
        "top level only",
        "Only the first batch norm is treated, or only those at the top level: those inside other "
        "modules are missed. Walk through model.modules(), to its end.",
        "L6",
        norms="[m for m in model.children() if isinstance(m, nn.modules.batchnorm._BatchNorm)]",
    ),
    slip(
        "BatchNorm1d only",
        "Only BatchNorm1d is treated. A model may hold BatchNorm2d and BatchNorm3d too.",
        "L6",
        norms="[m for m in model.modules() if isinstance(m, nn.BatchNorm1d)]",
    ),
    slip(
        "BatchNorm2d only",
        "Only BatchNorm2d is treated. A model may hold BatchNorm1d and BatchNorm3d too.",
        "L6",
        norms="[m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]",
    ),
    slip(
        "BatchNorm3d missed",
        "BatchNorm3d is missed. All three classes are nn.modules.batchnorm._BatchNorm.",
        "L6",
        norms="[m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]",
    ),
    slip(
        "running mean only",
        "running_var is not set to the pooled variance.",
        "L6",
        norm_running_var_copy=Instead(),
    ),
    slip(
        "eps set to 0",
        "The eps of the batch norms is changed. Only the running statistics may change.",
        "L6",
        norm_running_var_copy=Instead("norm.running_var.copy_(var)\nnorm.eps = 0.0"),
    ),
    slip(
        "track_running_stats switched off",
        "track_running_stats is left at False, so the layers learn nothing more in training. Leave "
        "it alone.",
        "L6",
        norm_running_var_copy=Instead(
            "norm.running_var.copy_(var)\nnorm.track_running_stats = False"
        ),
    ),
    slip(
        "weights frozen",
        "The weights do not train any more: requires_grad is left at False. torch.no_grad() is "
        "enough, and ends by itself.",
        "L6",
        tracking=Instead("model.requires_grad_(False)\ntracking = torch.no_grad()"),
    ),
    slip(
        "copy returned",
        "A copy of the model is set and returned, and the model that is given stays as it was. "
        "Change the given one, and return it.",
        "L6",
        norms=Instead(
            "model = copy.deepcopy(model)\n"
            "norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]"
        ),
    ),
    slip(
        "nothing returned",
        "Nothing is returned. Return the model.",
        "L6",
        returns=Instead(),
    ),
)


def _signature(model, batches):
    """The function that the student writes."""


recalibrate = Exercise(
    name="recalibrate",
    signature=inspect.signature(_signature),
    cases=_cases,
    drive=_drive,
    reference=_reference,
    see="L6",
    insight="A fixed model needs no momentum; it is there because a model in training moves.",
    mistakes=_MISTAKES,
    # Biased or unbiased, by batch or as a whole: with these sizes it makes 0.1 percent, and the
    # exercise takes any of them.
    tolerance=TOLERANCE
    | {
        (f"running_var of layer {layer}", dtype): 1e-2
        for layer in (1, 2)
        for dtype in ("float64", "float32")
    },
    takes_device=True,
    allows_ready_made=True,
)
