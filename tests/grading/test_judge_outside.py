"""The judge takes any plain array that the protocol lets through, and never fails on one."""

import numpy as np
import pytest

from bncourse.attempt import Attempt
from bncourse.exercise import draw_cases
from bncourse.judge import judge
from bncourse.message import report
from bncourse.registry import load
from bncourse.trial.corpus import PROBLEM_SET, TARGET

EXERCISE = load(PROBLEM_SET)[TARGET]
CASES = draw_cases(EXERCISE, 1)


def strange(dtype, fill):
    return {
        name: Attempt({"x_hat": np.full(case.inputs["x"].shape, fill).astype(dtype), "more": fill})
        for name, case in CASES.items()
    }


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "i1", "u8", "?"])
@pytest.mark.parametrize("fill", [0.0, 1.0, -1.0, 1e30, np.inf, -np.inf, np.nan])
def test_any_number_is_wrong_and_has_a_message(dtype, fill):
    verdict = judge(EXERCISE, CASES, strange(dtype, fill))
    assert verdict.kind == "wrong"
    assert TARGET in report(EXERCISE, verdict)


@pytest.mark.parametrize("shape", [(), (0,), (1,) * 8, (2**20,)])
def test_any_shape_is_wrong_and_has_a_message(shape):
    attempts = {name: Attempt({"x_hat": np.zeros(shape)}) for name in CASES}
    verdict = judge(EXERCISE, CASES, attempts)
    assert verdict.kind == "wrong"
    assert "shape" in report(EXERCISE, verdict)


@pytest.mark.parametrize("outputs", [{}, {"": np.zeros(2)}, {"x_hat\n": np.zeros(2)}])
def test_missing_and_odd_labels_are_wrong(outputs):
    verdict = judge(EXERCISE, CASES, dict.fromkeys(CASES, Attempt(outputs)))
    assert verdict.kind == "wrong"
    assert "missing" in verdict.finding
