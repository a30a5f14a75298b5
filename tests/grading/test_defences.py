"""Each defence of the grader, taken away: what it is there for then gets through.

A test that passes may pass for nothing: the trick that it plays may never have worked. So each
line of the tables removes one defence, and a probe that found nothing before must then find what
the defence holds back. Where two layers answer one threat, both are removed at once.
"""

import pytest

from bncourse.trial.corpus import corpus

from .defences import Pliable, check_breached, check_clean
from .defences_inside import OUTER, WALLS
from .defences_outside import OUTSIDE


@pytest.fixture(scope="module")
def pliable(needs_sandbox):
    with Pliable(bare=False) as worker:
        yield worker


@pytest.mark.parametrize("defence", OUTSIDE, ids=str)
def test_outside(defence, worker, monkeypatch):
    check_clean(defence.probe, worker)
    defence.remove(monkeypatch)
    check_breached(defence, worker)


@pytest.mark.parametrize("defence", WALLS, ids=str)
def test_inside(defence, pliable, monkeypatch):
    check_clean(defence.probe, pliable)
    monkeypatch.setattr(pliable, "without", defence.remove)
    defence.also(monkeypatch)
    check_breached(defence, pliable)


@pytest.mark.parametrize("defence", OUTER, ids=str)
def test_outer(defence, needs_sandbox):
    with defence.given():
        with defence.start() as worker:
            check_clean(defence.probe, worker)
        with defence.start(defence.words, defence.early) as worker:
            worker.without = defence.without
            check_breached(defence, worker)


def test_every_threat_of_the_corpus_is_answered():
    answered = {number for each in (*OUTSIDE, *WALLS, *OUTER) for number in each.threats}
    assert answered == {bad.number for bad in corpus()}
