"""activation_percentiles: follow what one layer hands on while the layers before it learn."""

import copy
import inspect

import numpy as np
import torch

from bncourse.exercise import Case, Exercise
from bncourse.exercises.ps6_shift.drive import (
    TOLERANCE,
    build,
    leave_gradients,
    network,
    numbers,
    parts_of,
    require_untouched,
    snapshot,
)
from bncourse.exercises.torch_drive import (
    one_thread,
    require_same_list,
    tensor,
    untouched,
)
from bncourse.inputs import batch, cast
from bncourse.reference import shift
from bncourse.slips import Instead, Right


def _cases(rng):
    def given(layer="norm2", unit=1, steps=3, net=None, **more):
        """Return a network, the layer to watch and batches that differ in mean."""
        inputs = network(rng, (6, 4, 5, 3), **(net or {}))
        batches = {
            f"batch{step}": batch(rng, 40, 6, offset=step - 2) for step in range(1, steps + 1)
        }
        return inputs | {"layer": layer, "q": (15, 50, 85), "unit": unit} | batches | more

    return {
        "one unit, three batches": Case(given()),
        "all units": Case(given(unit=None)),
        "unit 0": Case(given(unit=0)),
        "q and unit left out": Case(given(unit="left out", q="left out")),
        "other percentiles": Case(given(q=(90, 2.5, 100, 0))),
        "one percentile, one batch": Case(given(q=(50,), steps=1)),
        "a model in eval mode": Case(given(training=False)),
        "a batch norm that stays in eval mode": Case(given(frozen="norm1", unit=None)),
        "a layer inside another": Case(given(layer="body.linear1", nested=True)),
        "an activation that works in place": Case(
            # A ReLU changes what is below 0, where the least value lies, whatever is drawn.
            given(net={"act": "relu"}, in_place=True, unit=None, q=(0, 15, 50, 85))
        ),
        "the model learns between the batches": Case(given(learns=True)),
        "gradients of the last step are there": Case(given(last_step=True)),
        "float32": Case(cast(given(unit=None), np.float32), "float32"),
        "a list of batches": Case(given(listed=True)),
    }


@one_thread()
def _drive(obj, inputs):
    model = build(inputs)
    if inputs.get("last_step"):
        leave_gradients(model)
        model.linear1.weight.requires_grad_(False)
    before = snapshot(model)
    options = {name: inputs[name] for name in ("q", "unit") if inputs[name] != "left out"}
    names = sorted(name for name in inputs if name.startswith("batch"))
    batches = {name: tensor(inputs[name], inputs["device"]) for name in names}
    steps = _steps(model, inputs, batches, before)
    steps = list(steps) if inputs.get("listed") else steps
    with untouched(**batches):
        rows = obj(model, inputs["layer"], steps, **options)
    if inputs.get("listed"):
        require_same_list(steps, list(batches.values()))
    require_untouched(model, before)
    return {"percentiles": numbers(rows)}


def _steps(model, inputs, batches, before):
    """Yield the batches one at a time; where the model learns, it has moved in between."""
    for x in batches.values():
        if inputs.get("learns"):
            weight = model.linear1.weight.data
            before.state["linear1.weight"] = weight.mul_(1.5).add_(0.1).clone()
        yield x


def _reference(inputs):
    inputs = cast(inputs, np.float64)
    parts = parts_of(inputs)
    place = inputs["parts"].index(inputs["layer"].removeprefix("body."))
    q = (15, 50, 85) if inputs["q"] == "left out" else inputs["q"]
    rows = []
    for name in sorted(name for name in inputs if name.startswith("batch")):
        if inputs.get("learns"):
            kind, arrays = parts[0]
            parts[0] = kind, arrays | {"weight": 1.5 * arrays["weight"] + 0.1}
        values = shift.passed(parts, inputs[name], inputs["training"])[place]
        if inputs["unit"] not in (None, "left out"):
            values = values[:, inputs["unit"]]
        rows.append(shift.activation_percentiles(values, q))
    return {"percentiles": np.array(rows)}


def percentiles_hooked(model, layer, batches, q=(15, 50, 85), unit=None):
    caught = []
    part = model.get_submodule(layer)

    def listen(part, entered, handed_on):
        seen = handed_on.clone()
        caught.append(seen)

    hook = part.register_forward_hook(listen)
    modes = {each: each.training for each in model.modules()}
    steps = batches
    rows = []
    for x in steps:
        kept = {name: value.clone() for name, value in model.named_buffers()}
        with torch.no_grad():
            model(x)
        for name, value in model.named_buffers():
            value.copy_(kept[name])
        values = caught[-1].numpy(force=True)
        chosen = values if unit is None else values[:, unit]
        row = np.percentile(chosen, q)
        rows.append(row)
    hook.remove()
    for each, mode in modes.items():
        each.training = mode
    return np.array(rows)


def percentiles_in_torch(model, layer, batches, q=(15, 50, 85), unit=None):
    rows = []
    for x in batches:
        probe = copy.deepcopy(model)
        caught = {}
        probe.get_submodule(layer).register_forward_hook(
            lambda part, entered, handed_on, caught=caught: caught.update(seen=handed_on.clone())
        )
        tracking = torch.no_grad()
        with tracking:
            probe(x)
            values = caught["seen"]
        chosen = values.flatten() if unit is None else values[:, unit]
        at = torch.tensor(q, dtype=x.dtype, device=x.device) / 100
        row = torch.quantile(chosen, at)
        rows.append(row)
    return torch.stack(rows)


slip = Right(percentiles_hooked).slip
in_torch = Right(percentiles_in_torch).slip

_MISTAKES = (
    slip(
        "all units in place of one",
        "unit is ignored: the percentiles are over all units. Where unit is a number, take that "
        "column of the output.",
        "S3",
        chosen="values",
    ),
    slip(
        "unit 0 taken for none",
        "unit=0 is taken for no unit, because 0 counts as false. Ask whether unit is None.",
        "S3",
        chosen="values[:, unit] if unit else values",
    ),
    slip(
        "one example in place of one unit",
        "It takes the row of one example. A unit is a column: values[:, unit].",
        "S3",
        chosen="values if unit is None else values[unit]",
    ),
    slip(
        "percentiles of each unit",
        "Each unit has percentiles of its own here. With unit=None all units count as one sample: "
        "take no axis.",
        "S3",
        row="np.percentile(chosen, q, axis=0)",
    ),
    slip(
        "q divided by 100",
        "q is divided by 100, and np.percentile takes percent: everything is near the smallest "
        "value. (np.quantile and torch.quantile take fractions.)",
        "S3",
        row="np.percentile(chosen, np.array(q) / 100)",
    ),
    slip(
        "q ignored",
        "The percentiles are always 15, 50 and 85. Use q.",
        "S3",
        row="np.percentile(chosen, (15, 50, 85))",
    ),
    slip(
        "no interpolation",
        "The nearest value of the sample is taken. A percentile between two values lies on the "
        "line between them, as np.percentile has it by default.",
        "S3",
        row='np.percentile(chosen, q, method="nearest")',
    ),
    slip(
        "normal distribution assumed",
        "The percentiles are computed from mean and standard deviation, as if the values were "
        "normal. Take them from the values themselves.",
        "S3",
        row="np.array([chosen.mean() + chosen.std() * torch.special.ndtri("
        "torch.tensor(p / 100, dtype=torch.float64)).item() for p in q])",
    ),
    slip(
        "input of the layer",
        "It looks at what enters the layer. Take what the layer hands on: the last argument of a "
        "forward hook.",
        "S3",
        seen="entered[0].clone()",
    ),
    slip(
        "output of the model",
        "It looks at the output of the whole model, not at that of the layer.",
        "S3",
        values=Instead("with torch.no_grad():\n    values = model(x).numpy(force=True)"),
        value_copy=Instead("pass"),
        rows_append=Instead(
            "rows.append(row)\n"
            "for name, value in model.named_buffers():\n"
            "    value.copy_(kept[name])"
        ),
    ),
    slip(
        "changed in place by the activation",
        "The activation after the layer works in place and changes the tensor that was caught. "
        "Keep a clone() of it.",
        "S3",
        seen="handed_on",
    ),
    slip(
        "running statistics moved",
        "Passes in training mode move the running statistics, and they stay moved. Pass through a "
        "copy.deepcopy(model), or put the buffers back.",
        "S3",
        value_copy=Instead("pass"),
    ),
    slip(
        "measured in eval mode",
        "The model is measured in eval mode. Measure it in the mode in which it comes: in "
        "training, batch norm hands on other numbers.",
        "S3",
        steps=Instead("steps = batches\nmodel.eval()"),
    ),
    slip(
        "measured in training mode",
        "The model is measured in training mode, also where it comes in eval mode. Leave the mode "
        "as it is.",
        "S3",
        steps=Instead("steps = batches\nmodel.train()"),
    ),
    slip(
        "left in eval mode",
        "The model is left in eval mode, so that its training goes on with stored statistics. "
        "Leave the mode alone.",
        "S3",
        steps=Instead("steps = batches\nmodel.eval()"),
        training=Instead("pass"),
    ),
    slip(
        "hook left behind",
        "The hook stays on the model and runs in every later pass. Keep what "
        "registering it returns, and call its remove().",
        "S3",
        hook_remove=Instead("pass"),
    ),
    slip(
        "gradients cleared",
        "The gradients of the model are cleared, also those of a step that is not yet taken. A "
        "measurement needs no gradients.",
        "S3",
        steps=Instead("steps = batches\nmodel.zero_grad()"),
    ),
    slip(
        "batches collected first",
        "All batches are fetched before the first is measured. They may come from a loop that "
        "trains the model in between: measure each when it comes.",
        "S3",
        steps="list(batches)",
    ),
    slip(
        "batches in one sample",
        "All batches count as one sample. Each batch is a step, and has a row of its own.",
        "S3",
        row="np.percentile(np.concatenate([(v if unit is None else v[:, unit]) "
        "for v in (c.numpy(force=True) for c in caught)]), q)",
    ),
    slip(
        "rows and columns swapped",
        "Rows and columns are swapped. The result has a row for each batch and a column for each "
        "percentile.",
        "S3",
        percentiles_hooked__returns="np.array(rows).T",
    ),
    slip(
        "last batch only",
        "Only the last batch is measured. Each batch has a row.",
        "S3",
        percentiles_hooked__returns="np.array(rows[-1:])",
    ),
    slip(
        "top level only",
        "A layer inside another is not found. model.get_submodule(layer) knows names with dots.",
        "S3",
        part="getattr(model, layer)",
    ),
    in_torch(
        "graph kept",
        "The result carries the graph of autograd, and with it all activations of each batch. "
        "Let the batches pass under torch.no_grad().",
        "S3",
        tracking="torch.enable_grad()",
    ),
)


def _signature(model, layer, batches, q=(15, 50, 85), unit=None):
    """The function that the student writes."""


activation_percentiles = Exercise(
    name="activation_percentiles",
    signature=inspect.signature(_signature),
    cases=_cases,
    drive=_drive,
    reference=_reference,
    see="S3",
    insight="A probe that changes nothing can run in the middle of training, at every step.",
    mistakes=_MISTAKES,
    tolerance=TOLERANCE,
    takes_device=True,
    allows_ready_made=True,
)
