"""Partial credit: parts that are right earn their share, and nothing that is wrong earns any."""

import json

import nbformat
import numpy as np
import pytest

from bncourse import check, notebook, seen
from bncourse.attempt import Attempt, attempt
from bncourse.check import CheckFailed
from bncourse.credit import check_line, require_weights, share, share_in
from bncourse.exercise import draw_cases
from bncourse.judge import judge
from bncourse.message import report
from bncourse.registry import find
from bncourse.release import derive_notebook

NAME = "batchnorm_backward"
WEIGHTS = {"dx": 2, "dgamma": 1, "dbeta": 1}
FORWARD = "batchnorm_forward"
PARTS = {"y": 3, "cache": 1}


@pytest.fixture(autouse=True)
def nothing_seen(monkeypatch):
    monkeypatch.setattr(seen, "_seen", {})


def right(dy, cache):
    x_hat = cache["x_hat"]
    dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    of_mean = (dbeta + x_hat * dgamma) / len(dy)
    return cache["gamma"] * cache["inv_std"] * (dy - of_mean), dgamma, dbeta


def right_forward(x, gamma, beta, eps=1e-5):
    inv_std = 1 / np.sqrt(x.var(axis=0) + eps)
    x_hat = (x - x.mean(axis=0)) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma.copy()}


def batchnorm_backward(dy, cache):
    dx, dgamma, dbeta = right(dy, cache)
    return dx, -dgamma, dbeta


def judged(obj, name=NAME, weights=WEIGHTS):
    exercise = find(name)
    cases = draw_cases(exercise, 0)
    attempts = {label: attempt(exercise, obj, case) for label, case in cases.items()}
    return judge(exercise, cases, attempts, weights=weights)


def test_what_is_right_in_all_cases_earns_its_share():
    verdict = judged(batchnorm_backward)
    assert verdict.kind == "wrong"
    assert verdict.right == ("dx", "dbeta")
    assert share(WEIGHTS, verdict.right) == 0.75
    assert "earn 3 of 4 shares" in report(find(NAME), verdict)


def test_the_answers_of_this_test_are_right_but_for_what_it_changes():
    assert judged(right).kind == judged(right_forward, FORWARD, PARTS).kind == "ok"


def test_without_weights_nothing_is_said_of_shares():
    verdict = judged(batchnorm_backward, weights=None)
    assert verdict.right == ()
    assert "shares" not in report(find(NAME), verdict)


def test_a_dict_of_results_is_one_part():
    def wrong_y(x, gamma, beta, eps=1e-5):
        y, cache = right_forward(x, gamma, beta, eps)
        return -y, cache

    def wrong_key(x, gamma, beta, eps=1e-5):
        y, cache = right_forward(x, gamma, beta, eps)
        return y, cache | {"inv_std": 2 * cache["inv_std"]}

    assert judged(wrong_y, FORWARD, PARTS).right == ("cache",)
    assert judged(wrong_key, FORWARD, PARTS).right == ("y",)
    assert judged(wrong_key, FORWARD, {"cache['x_hat']": 1, "others": 1}).right == (
        "cache['x_hat']",
    )


def test_a_part_that_is_right_in_one_case_only_earns_nothing():
    def changes(dy, cache):
        dx, dgamma, dbeta = right(dy, cache)
        return (dx if len(dx) > 4 else -dx), dgamma, dbeta

    lengths = {len(case.inputs["dy"]) for case in draw_cases(find(NAME), 0).values()}
    assert min(lengths) <= 4 < max(lengths)
    assert judged(changes).right == ("dgamma", "dbeta")


def test_a_broken_rule_costs_all_parts():
    def spoils(dy, cache):
        result = batchnorm_backward(dy, cache)
        dy[...] = 0.0
        return result

    verdict = judged(spoils)
    assert verdict.right == ()
    assert share(WEIGHTS, verdict.right) == 0.0


def test_what_stands_before_an_error_counts():
    exercise = find(FORWARD)
    cases = draw_cases(exercise, 0)
    attempts = {
        name: Attempt({"y": exercise.reference(case.inputs)["y"]}, "NotImplementedError")
        for name, case in cases.items()
    }
    assert judge(exercise, cases, attempts, weights=PARTS).right == ("y",)
    empty = dict.fromkeys(cases, Attempt({}, "NotImplementedError"))
    assert judge(exercise, cases, empty, weights=PARTS).right == ()


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"dx": 1}, "at least two parts"),
        ({"dx": 1, "others": 0}, "positive"),
        ({"dx": 1, "others": np.inf}, "positive"),
        ([("dx", 1)], "at least two parts"),
        ({"dx": 1, "dgamma": 1}, "Without a weight: ['dbeta']"),
        ({"dx": 1, "others": 1, "dz": 1}, "Unknown: ['dz']"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights, words):
    with pytest.raises(ValueError, match="weights of batchnorm_backward") as refused:
        require_weights(find(NAME), weights)
    assert words in str(refused.value)


def test_the_check_and_the_report_of_a_notebook_tell_the_same_share(tmp_path, capsys):
    with pytest.raises(CheckFailed) as failed:
        check(batchnorm_backward, weights=WEIGHTS)
    assert share_in(str(failed.value)) == 0.75
    path = tmp_path / "backward.ipynb"
    path.write_text(json.dumps(saved(str(failed.value))))
    assert "Points by self-check: 3 of 4." in notebook.lines_on(path)
    assert "Points by self-check: 3 of 4." in notebook.lines_on(path, [NAME])
    assert not any("edited" in line for line in notebook.lines_on(path))


def saved(message):
    """Return a notebook whose check has failed with a message."""
    mark = {"grade": True, "grade_id": NAME, "points": 4}
    output = {"output_type": "error", "ename": "CheckFailed", "evalue": message, "traceback": []}
    cell = {
        "cell_type": "code",
        "source": check_line(NAME, WEIGHTS),
        "metadata": {"nbgrader": mark, "weights": WEIGHTS},
        "outputs": [output],
        "execution_count": 1,
    }
    return {"cells": [cell], "nbformat": 4}


SOURCE = """---
kernelspec: {display_name: Python 3, language: python, name: python3}
---

```{code-cell} ipython3
---
nbgrader: {cell_type: code, grade: false, grade_id: %(name)s_answer, solution: true}
starts_wrong: %(wrong)s
---
x = 1
```

```{code-cell} ipython3
---
nbgrader: {cell_type: code, grade: true, grade_id: %(name)s, points: 4, solution: false}
weights: {%(weights)s}
---
check(%(name)s)
```
"""


def derived(folder, name=NAME, weights="dx: 2, others: 2", wrong="false"):
    path = folder / "set.md"
    path.write_text(SOURCE % {"name": name, "weights": weights, "wrong": wrong})
    return derive_notebook(path)


def test_a_derived_notebook_says_its_weights_in_the_check(tmp_path):
    cell = derived(tmp_path).cells[-1]
    assert cell.source == "check(batchnorm_backward, weights={'dx': 2, 'others': 2})"
    assert cell.metadata.weights == {"dx": 2, "others": 2}
    nbformat.validate(derived(tmp_path))


def test_a_notebook_with_weights_that_do_not_fit_is_not_derived(tmp_path):
    with pytest.raises(ValueError, match="Without a weight"):
        derived(tmp_path, weights="dx: 2, dgamma: 2")
    with pytest.raises(ValueError, match="an exercise that repairs no code"):
        derived(tmp_path, wrong="true")
    with pytest.raises(ValueError, match="an exercise that repairs no code"):
        derived(tmp_path, name="nobodys")
