"""What a taken-over process says in words does not come through."""

import inspect
import time
from types import SimpleNamespace

import numpy as np
import pytest

from bncourse.exercise import Case
from bncourse.grading.outside.session import Lost, Session
from bncourse.limits import Limits

CASES = {"a": Case({"x": np.ones(3)})}
EXERCISE = SimpleNamespace(name="f", signature=inspect.signature(lambda x, eps=1e-5: None))
SECRET = "the hidden inputs are 1 2 3"


def session(answer, label="0/y", **changes):
    """Return a Session whose process gives this answer to every attempt."""

    class Channel:
        def send(self, message, arrays, deadline):
            self.number = message["id"]

        def receive(self, deadline):
            return {"id": self.number, "attempts": [answer], **changes}, {label: np.zeros(2)}

    job = SimpleNamespace(channel=Channel(), peak_tasks=0)
    job.extended = job.wait_for_answer = lambda deadline, waited: deadline
    return Session(job, time.monotonic() + 60, Limits())


def answer(**changes):
    return {"error": None, "message": "", "rules": [], "printed": "", **changes}


def attempt(*arguments, **changes):
    (made,) = session(*arguments, **changes).attempt(EXERCISE, [CASES], None)
    return made["a"]


def test_an_honest_answer_comes_through():
    rules = ["It changes its input x in place. Work on new arrays."]
    made = attempt(answer(rules=rules))
    assert made.outputs.keys() == {"y"}
    assert made.rules == tuple(rules)


@pytest.mark.parametrize("error", ["NotImplementedError", "SystemExit"])
def test_known_exceptions_keep_our_words(error):
    assert SECRET not in attempt(answer(error=error, message=SECRET)).message


def test_unknown_exceptions_lose_their_name():
    assert attempt(answer(error=SECRET)).error == "an exception"


def test_a_default_loses_what_stands_in_its_place():
    rule = "The default of eps must be 1e-05."
    made = attempt(answer(rules=[f"{rule} Received: eps=3."]))
    assert made.rules == (rule,)


def test_unknown_rules_lose_their_text():
    assert SECRET not in attempt(answer(rules=[SECRET])).rules[0]


def test_a_description_is_short():
    assert len(attempt(answer(error="Unusable", message="1" * 9000)).message) <= 300


@pytest.mark.parametrize(
    "forged",
    [
        {},
        None,
        [],
        answer(error=3),
        answer(message=None),
        answer(rules=3),
        answer(rules=[3]),
        answer(printed={}),
    ],
)
def test_a_malformed_answer_is_a_crash_with_a_flag(forged):
    with pytest.raises(Lost) as lost:
        attempt(forged)
    assert lost.value.outcome.word == "crashed"
    assert lost.value.outcome.flags == ("tamper",)


@pytest.mark.parametrize("label", ["7/y", "y", "/y", "one/y"])
def test_an_array_for_no_case_is_a_crash_with_a_flag(label):
    with pytest.raises(Lost) as lost:
        attempt(answer(), label)
    assert lost.value.outcome.flags == ("tamper",)


def test_nothing_of_the_name_is_no_crash():
    assert session(answer(), undefined=True).attempt(EXERCISE, [CASES], None) is None


@pytest.mark.parametrize("changes", [{"id": "other"}, {"attempts": []}, {"attempts": "x"}])
def test_an_answer_to_another_question_is_a_crash_with_a_flag(changes):
    with pytest.raises(Lost) as lost:
        attempt(answer(), **changes)
    assert lost.value.outcome.flags == ("tamper",)
