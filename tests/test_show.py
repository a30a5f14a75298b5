"""What show() draws of an answer: its own results, and no value that is to be found."""

import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from test_exercises import CORRECT, EXERCISES, STUBS

from bncourse import show
from bncourse.check import CheckFailed
from bncourse.exercise import draw_cases
from bncourse.registry import MissingPackage
from bncourse.seen import Seen

WITHOUT_PICTURE = {
    "numerical_gradient",
    "batchnorm_jacobian",
    "batchnorm_inference_backward",
    "fold_batchnorm",
    "fold_conv_bn",
    "build_classifier",
    "activation_percentiles",
    "internal_covariate_shift",
    "normalize_once",
    "gradient_predictiveness",
    "ResidualBlock",
    "train",
    # Several statistics, or others than those of the batch.
    "ghost_batchnorm",
    "batch_renorm_forward",
    "batch_layer_norm",
    # Its channels come last, and nothing in the inputs says so.
    "fix_the_bug_2",
}


@pytest.fixture(autouse=True)
def nothing_seen(monkeypatch):
    monkeypatch.setattr("bncourse.seen._seen", {})


@pytest.mark.parametrize("name", EXERCISES)
def test_a_right_answer_has_a_picture_or_a_reason(name, capsys):
    made = show(CORRECT[name][0], name)
    out = capsys.readouterr().out
    if name in WITHOUT_PICTURE:
        assert made is None
        assert f"{name} has no picture here" in out
    else:
        assert isinstance(made, Figure)
        made.canvas.draw()
        assert not out


@pytest.mark.parametrize("name", EXERCISES)
def test_an_answer_that_is_missing_gets_a_sentence(name, capsys):
    def stub(*args, **kwargs):
        raise NotImplementedError

    assert show(STUBS.get(name, stub), name) is None
    assert f"There is nothing to draw of {name} yet. It still raises" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["batchnorm_forward", "layernorm_backward", "update_running"])
def test_a_wrong_answer_never_raises(name, capsys):
    for mistake in EXERCISES[name].mistakes:
        made = show(mistake.obj, name)
        assert made is not None or capsys.readouterr().out


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_left_out(bad):
    def normalize(x, mean, var, eps=1e-5):
        return np.where(x > 0, bad, x)

    show(normalize).canvas.draw()
    show(lambda **inputs: np.full_like(inputs["x"], bad), "normalize").canvas.draw()


@pytest.mark.parametrize("name", ["batchnorm_forward", "batch_statistics", "batchnorm_backward"])
def test_no_value_of_the_reference_is_drawn(name):
    exercise = EXERCISES[name]
    case = next(iter(draw_cases(exercise, 0).values()))
    right = exercise.reference(case.inputs)

    def wrong(**inputs):
        made = {label: np.full_like(value, 0.123) for label, value in right.items()}
        if name == "batchnorm_forward":
            cache = {key: made[f"cache['{key}']"] for key in ("x_hat", "inv_std", "gamma")}
            return made["y"], cache
        return tuple(made.values())

    wrong.__signature__ = exercise.signature
    drawn = np.concatenate([v.ravel() for axis in show(wrong, name).axes for v in _drawn(axis)])
    given = np.concatenate([np.ravel(v) for v in _arrays(case.inputs)])
    secret = np.concatenate([np.ravel(v) for v in right.values()])
    secret = secret[~np.isclose(secret[:, None], given).any(1)]
    assert secret.size
    assert not np.isclose(secret[:, None], drawn, rtol=1e-6, atol=0).any()


def _drawn(axis):
    """Yield all heights of an axis: of dots, of bars and of what sticks out of them."""
    yield from (np.asarray(line.get_ydata(), float) for line in axis.lines)
    yield from (segment[:, 1] for each in axis.collections for segment in each.get_segments())
    for patch in axis.patches:
        yield np.array([patch.get_y(), patch.get_y() + patch.get_height()])


def _arrays(inputs):
    for value in inputs.values():
        yield from _arrays(value) if isinstance(value, dict) else [value]


def test_it_draws_the_case_that_failed_last(monkeypatch):
    cases = draw_cases(EXERCISES["normalize"], 3)
    monkeypatch.setattr("bncourse.seen._seen", {"normalize": Seen(False, "a large eps", 3)})
    seen = []

    def normalize(x, mean, var, eps=1e-5):
        seen.append(x)
        return x

    show(normalize)
    assert np.array_equal(seen[0], cases["a large eps"].inputs["x"])
    with pytest.raises(CheckFailed, match='case must be one of "a random batch"'):
        show(normalize, case="large")


def test_a_package_that_is_missing_gets_a_sentence(monkeypatch):
    monkeypatch.delitem(sys.modules, "bncourse.study.picture", raising=False)
    monkeypatch.delitem(sys.modules, "bncourse.figures.style", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPackage, match="show needs matplotlib, which is not installed here"):
        show(CORRECT["normalize"][0], "normalize")


def test_it_says_nothing_where_work_is_graded(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "bncourse.study.picture", None)
    assert show(CORRECT["normalize"][0], "normalize") is None
    assert not capsys.readouterr().out
