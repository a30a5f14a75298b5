"""The bugs of problem set 7: their oracles against PyTorch, and what a check says of a bug."""

import numpy as np
import pytest
import torch
from solutions_ps7_batches import REPAIRS
from test_exercises import verdict_on

from bncourse.exercise import draw_cases
from bncourse.registry import find, load


def cases(number):
    """Return the exercise of a bug, and its cases."""
    exercise = find(f"fix_the_bug_{number}")
    return exercise, draw_cases(exercise, 0)


def tensors(case, *names):
    return [torch.from_numpy(np.ascontiguousarray(case.inputs[name])) for name in names]


@pytest.mark.parametrize("number", [1, 7])
def test_the_oracle_of_a_forward_pass_is_pytorch_s(number):
    exercise, drawn = cases(number)
    for case in drawn.values():
        x, gamma, beta, dy = tensors(case, "x", "gamma", "beta", "dy")
        leaves = [each.requires_grad_() for each in (x, gamma, beta)]
        y = torch.nn.functional.batch_norm(
            x, None, None, gamma, beta, training=True, eps=case.inputs["eps"]
        )
        gradients = torch.autograd.grad(y, leaves, dy)
        rtol = 1e-9 if case.dtype == "float64" else 1e-4
        want = exercise.reference(case.inputs)
        for label, made in zip(want, (y.detach(), *gradients), strict=True):
            np.testing.assert_allclose(made, want[label], rtol, rtol, err_msg=label)


def test_the_oracle_of_images_with_channels_last_is_pytorch_s():
    exercise, drawn = cases(2)
    for case in drawn.values():
        x, gamma, beta = tensors(case, "x", "gamma", "beta")
        y = torch.nn.functional.batch_norm(
            x.movedim(-1, 1), None, None, gamma, beta, True, eps=case.inputs.get("eps", 1e-5)
        )
        want = exercise.reference(case.inputs)["y"]
        rtol = 1e-9 if case.dtype == "float64" else 1e-4
        np.testing.assert_allclose(y.movedim(1, -1), want, rtol, rtol)


def test_the_oracle_of_the_layer_is_pytorch_s():
    exercise, drawn = cases(3)
    case = drawn["another momentum"]
    weight, bias, x1, x2, x_eval = tensors(case, "weight", "bias", "x1", "x2", "x_eval")
    layer = torch.nn.BatchNorm1d(
        len(weight), eps=case.inputs["eps"], momentum=case.inputs["momentum"]
    ).double()
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
        y1, y2, answer = layer(x1), layer(x2), layer.eval()(x_eval)
    want = exercise.reference(case.inputs)
    np.testing.assert_allclose(y1, want["y in training"])
    np.testing.assert_allclose(y2, want["y in training, under no_grad"])
    np.testing.assert_allclose(answer, want["y in eval, with gradients"])
    np.testing.assert_allclose(layer.running_var, want["running_var"])


def test_the_oracle_of_a_step_is_pytorch_s():
    exercise, drawn = cases(6)
    for case in drawn.values():
        layer = torch.nn.BatchNorm2d(
            case.inputs["gamma"].size,
            momentum=case.inputs.get("momentum", 0.1),
            eps=case.inputs.get("eps", 1e-5),
        ).double()
        names = {"weight": "gamma", "bias": "beta"}
        names |= {name: name for name in ("running_mean", "running_var")}
        with torch.no_grad():
            for name, key in names.items():
                getattr(layer, name).copy_(torch.from_numpy(case.inputs[key]))
            y = layer(torch.from_numpy(case.inputs["x"]).double())
        want = exercise.reference(case.inputs)
        # Near a mean of 1e6 a y that is small by cancellation has the rounding of the others.
        np.testing.assert_allclose(y, want["y"], 1e-9, 1e-9)
        np.testing.assert_allclose(layer.running_mean, want["running_mean"])
        np.testing.assert_allclose(layer.running_var, want["running_var"])


def test_the_bug_of_large_numbers_shows_at_any_seed():
    exercise, _ = cases(4)
    for seed in range(20):
        case = draw_cases(exercise, seed)["float32, mean near 1e4"]
        with np.errstate(invalid="ignore"):
            y = exercise.mistakes[0].obj(**case.inputs)
        assert np.isnan(y).any()


def test_what_is_right_beside_a_bug_is_told():
    assert "y, dgamma and dbeta are right in every case." in told("fix_the_bug_1")
    assert "y and running_mean are right in every case." in told("fix_the_bug_6")
    assert "y is right in every case." in told("fix_the_bug_7")


def told(name):
    exercise = find(name)
    return " ".join(verdict_on(exercise, exercise.mistakes[0].obj, 0).progress)


def test_a_layer_that_is_none_is_told():
    def nothing(num_features, eps=1e-5, momentum=0.1):
        return lambda x: x

    verdict = verdict_on(find("fix_the_bug_3"), nothing, 0)
    assert "must be a torch.nn.Module" in verdict.finding


@pytest.mark.parametrize("result", [None, (1, 2), (1.0, 2.0, 3.0)])
def test_a_step_that_returns_too_little_is_told(result):
    def step(x, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5):
        return result

    verdict = verdict_on(find("fix_the_bug_5"), step, 0)
    assert verdict.kind == "wrong"
    assert "must return three tensors" in verdict.finding or "tuple of 3" in verdict.finding


def test_the_repairs_are_the_bugs_of_the_set():
    assert set(REPAIRS) == {name for name in load("ps7_batches") if name.startswith("fix_the_bug")}
