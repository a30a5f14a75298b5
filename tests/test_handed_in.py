"""A model that is handed in is the caller's: whatever a right solution leaves on it is refused."""

import importlib
import inspect

import pytest
import torch
from test_exercises import verdict_on
from torch import nn

from bncourse.registry import find, set_of

EXERCISES = (
    "recalibrate",
    "fold_conv_bn",
    "activation_percentiles",
    "normalize_once",
    "gradient_predictiveness",
    "train",
)


def nothing(*args):
    pass


def leaf(model):
    return next(each for each in model.modules() if list(each.parameters(recurse=False)))


def on_a_weight(register):
    """Return what hangs a hook on the first weight that trains, where there is one."""

    def leave(model):
        for weight in model.parameters():
            if weight.requires_grad:
                register(weight)(nothing)
                break

    return leave


def flip_mode(model):
    model.train(not model.training)


def freeze(model):
    for weight in model.parameters():
        weight.requires_grad_(False)


def replace_parameter(model):
    leaf(model).weight = nn.Parameter(leaf(model).weight.detach().clone())


def nudge_weight(model):
    with torch.no_grad():
        leaf(model).weight.mul_(1 + 1e-6)


def replace_forward(model):
    forward = model.forward
    model.forward = lambda *args: forward(*args)


# What is left, and the names of the mistakes that it may be told, by exercise.
EFFECTS = {
    "another mode": (flip_mode, {"recalibrate": {"left in training mode"}}),
    "a frozen weight": (
        freeze,
        {"recalibrate": {"weights frozen"}, "fold_conv_bn": {"convolution frozen"}},
    ),
    "another parameter": (replace_parameter, {}),
    "another weight": (
        nudge_weight,
        {
            "fold_conv_bn": {"convolution changed in place"},
            "gradient_predictiveness": {"model left moved"},
        },
    ),
    "another forward": (replace_forward, {}),
    "a forward hook": (
        lambda model: leaf(model).register_forward_hook(nothing),
        {"activation_percentiles": {"hook left behind"}},
    ),
    "a backward hook": (
        lambda model: model.register_full_backward_hook(nothing),
        {"activation_percentiles": {"hook left behind"}},
    ),
    "a hook on a weight": (
        on_a_weight(lambda weight: weight.register_hook),
        {"activation_percentiles": {"hook left behind"}},
    ),
    "a hook on the gradient of a weight": (
        on_a_weight(lambda weight: weight.register_post_accumulate_grad_hook),
        {"activation_percentiles": {"hook left behind"}},
    ),
    "a hook on saving": (
        lambda model: model.register_state_dict_post_hook(nothing),
        {"activation_percentiles": {"hook left behind"}},
    ),
    "a hook on loading": (
        lambda model: model.register_load_state_dict_post_hook(nothing),
        {"activation_percentiles": {"hook left behind"}},
    ),
    "an attribute": (lambda model: setattr(leaf(model), "kept", 1), {}),
    "a buffer": (lambda model: model.register_buffer("kept", torch.ones(1), persistent=False), {}),
    "a module": (
        lambda model: model.add_module("kept", nn.Identity().train(model.training)),
        {},
    ),
}


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("name", EXERCISES)
def test_what_is_left_on_a_model_is_refused_and_never_under_a_wrong_name(name, effect):
    exercise = find(name)
    right = importlib.import_module(f"solutions_{set_of(name).name}").CORRECT[name][0]
    leave, names = EFFECTS[effect]

    def leaves(*args, **kwargs):
        made = right(*args, **kwargs)
        leave(next(iter(exercise.signature.bind(*args, **kwargs).arguments.values())))
        return made

    leaves.__signature__ = inspect.signature(right)
    verdict = verdict_on(exercise, leaves, 0)
    assert verdict.kind == "wrong"
    assert {mistake.name for mistake in verdict.mistakes} <= names.get(name, set())


@pytest.mark.parametrize("change", [list.pop, list.reverse, lambda batches: batches.append(None)])
@pytest.mark.parametrize("name", ["recalibrate", "activation_percentiles"])
def test_a_list_that_is_handed_in_is_the_callers(name, change):
    right = importlib.import_module(f"solutions_{set_of(name).name}").CORRECT[name][0]

    def changes(*args, **kwargs):
        made = right(*args, **kwargs)
        given = find(name).signature.bind(*args, **kwargs).arguments["batches"]
        if isinstance(given, list):
            change(given)
        return made

    changes.__signature__ = inspect.signature(right)
    verdict = verdict_on(find(name), changes, 0)
    assert "changes the list batches" in verdict.finding
    assert not verdict.mistakes
