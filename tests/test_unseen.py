"""The diagnosis as a classifier, on wrong solutions that no hint was written for."""

import importlib
from collections import Counter
from functools import cache

import pytest
from test_exercises import verdict_on

from bncourse.registry import PROBLEM_SETS, find

# Of the solutions that have a right name, the share that must be told it.
_NAMED = 0.85

_MODULES = [f"unseen.{each.name}" for each in PROBLEM_SETS]


@cache
def judged(module):
    """Return [(Unseen, names that it was told)] of a module."""
    rows = importlib.import_module(module).TABLE.rows
    return [(each, names_told(each)) for each in rows]


def names_told(each):
    verdict = verdict_on(find(each.exercise), each.obj, 0)
    assert verdict.kind != "ok", each
    return [mistake.name for mistake in verdict.mistakes]


@pytest.mark.parametrize("module", _MODULES)
def test_a_right_name_is_a_known_one(module):
    for each in importlib.import_module(module).TABLE.rows:
        assert set(each.names) <= {m.name for m in find(each.exercise).mistakes}, each


@pytest.mark.parametrize("module", _MODULES)
def test_no_solution_is_told_a_wrong_name(module):
    wrong = [(each, told) for each, told in judged(module) if not set(told) <= set(each.names)]
    assert not wrong


@pytest.mark.parametrize("module", _MODULES)
def test_most_solutions_are_told_a_right_name(module):
    nameable = [told for each, told in judged(module) if each.names]
    assert sum(map(bool, nameable)) >= _NAMED * len(nameable)


@pytest.mark.parametrize("each", PROBLEM_SETS, ids=lambda each: each.name)
def test_each_exercise_has_some(each):
    rows = importlib.import_module(f"unseen.{each.name}").TABLE.rows
    counts = Counter(row.exercise for row in rows)
    assert {name for name in each.exercises if counts[name] < 5} == set()


def test_there_are_enough_of_them():
    rows = [row for each in _MODULES for row in importlib.import_module(each).TABLE.rows]
    assert len(rows) >= 150
    assert sum(len(each.names) > 1 for each in rows) >= 30
    assert sum(not each.names for each in rows) >= 30
