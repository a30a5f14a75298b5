"""Every bad hand-in gets exactly its outcome, and the other exercises keep theirs."""

import pickle
import sys
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
from nbformat import v4

from bncourse.grading import sanitise
from bncourse.grading.inside import protocol
from bncourse.grading.intake import hand_in
from bncourse.grading.outcome import CellResult, Outcome, Report
from bncourse.grading.outside import sandbox, session
from bncourse.grading.outside.session import Session
from bncourse.trial import selftest
from bncourse.trial.corpus import ALL, CANARY, TARGET, corpus

CASES = corpus()
NAMED = {bad.name: bad for bad in CASES}


@pytest.mark.parametrize("bad", CASES, ids=str)
def test_outcome(bad, worker):
    assert problems(bad, worker) == []


def problems(bad, worker):
    """Return what is not as the case demands."""
    return selftest.problems(bad, selftest.run(bad, worker))


def test_the_corpus_covers_the_table_of_threats():
    # 49 and 50 are about collecting and batches: see test_collector, test_batch, test_cluster.
    assert {bad.number for bad in CASES} == set(range(1, 52)) - {49, 50}


def test_every_case_has_a_name_of_its_own():
    assert len({str(bad) for bad in CASES}) == len(NAMED) == len(CASES)


def test_the_grader_never_unpickles(worker):
    watching, found = True, []

    def hook(event, arguments):
        if watching and event == "pickle.find_class":
            found.append(arguments)

    sys.addaudithook(hook)
    for bad in CASES:
        if bad.number in (38, 44):
            selftest.run(bad, worker)
    assert found == []
    # The hook does see it when somebody does.
    pickle.loads(pickle.dumps(OrderedDict()))
    assert found
    watching = False


# --- The self-test sees what went wrong ---------------------------------------------------------

ORDINARY = NAMED["the same again"]


def report(outcome=None, **options):
    """Return the Report on a right hand-in, but for some of it."""
    right = dict.fromkeys(ALL, Outcome("ok"))
    return Report(right | ({TARGET: outcome} if outcome else {}), **{"cells": [], **options})


def shown(text, **data):
    return CellResult([v4.new_output("display_data", data={"text/plain": text, **data})])


@pytest.mark.parametrize(
    ("bad", "made", "problem"),
    [
        ({}, report(), None),
        ({}, report(Outcome("wrong")), "normalize: wrong instead of ok"),
        ({"says": "why"}, report(), 'no message says "why"'),
        ({"flag": "odd"}, report(flags=["a cell: odd"]), None),
        ({"flag": "odd"}, report(Outcome("ok", flags=("odd",))), None),
        ({"flag": "odd"}, report(), 'no flag says "odd"'),
        ({"shows": "cut"}, report(cells=[shown("cut")]), None),
        ({"shows": "cut"}, report(), 'no output shows "cut"'),
        ({"hidden": "EVIL"}, report(), None),
        ({"hidden": "A|EVIL"}, report(cells=[shown("EVIL")]), "shows EVIL"),
        ({"hidden": "EVIL"}, report(Outcome("ok", "EVIL")), "shows EVIL"),
        ({"hidden": "EVIL"}, report(Outcome("ok", flags=("EVIL",))), "shows EVIL"),
        ({"hidden": "EVIL"}, report(flags=["a cell: EVIL"]), "shows EVIL"),
    ],
)
def test_a_problem_is_seen(bad, made, problem):
    found = selftest.problems(replace(ORDINARY, **bad), made)
    assert found == ([problem] if problem else [])


LIMITS = {"output": 100, "image": 50}


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (report(cells=[shown("x" * 280, **{"image/png": "x" * 50})] * 9), None),
        (report(cells=[shown("x" * 300)]), "the text of a cell: 312 characters of 300"),
        (report(cells=[shown("", **{"image/png": "x" * 51})]), "the images of a cell: 51"),
        (report(cells=[CellResult([{"traceback": ["x" * 30] * 11}])]), "the text of a cell: 330"),
        (report(Outcome("ok", "x" * 101)), "all messages and flags: 101 characters of 100"),
        (report(flags=["x" * 51] * 2), "all messages and flags: 102 characters of 100"),
    ],
)
def test_what_is_too_large_is_seen(made, problem):
    found = selftest.problems(replace(ORDINARY, limits=LIMITS), made)
    assert [line[: len(problem or "")] for line in found] == ([problem] if problem else [])


def test_many_cells_that_are_too_large_together_are_seen():
    large = shown("", **{"image/png": "x" * 1_900_000})
    (found,) = selftest.problems(ORDINARY, report(cells=[large] * 150))
    assert found.startswith("all cells: ")


# --- Cases that find nothing as long as all is well ---------------------------------------------


def test_the_self_test_has_a_secret_to_find(needs_sandbox, monkeypatch):
    command = sandbox.command
    monkeypatch.setattr(
        sandbox, "command", lambda *a: [word for word in command(*a) if word != "--clearenv"]
    )
    with selftest.start() as worker:
        assert problems(NAMED["reads files of the instructor"], worker) == [f"shows {CANARY}"]


READ, RUN, PARSE = hand_in.read_cells, Session.run_cell, protocol._parse_json


def _loads_weights(path, limits):
    for weights in Path(path).parent.glob("*.pt"):
        pickle.loads(weights.read_bytes())
    return READ(path, limits)


def _runs_here(self, source):
    if "pickle.loads" in source:
        exec(source, {})
    return RUN(self, source)


def _unpickles(payload):
    try:
        return PARSE(payload)
    except protocol.BadFrame:
        return pickle.loads(payload)


@pytest.mark.parametrize(
    ("name", "where", "part", "careless"),
    [
        ("poisoned weights beside the notebook", hand_in, "read_cells", _loads_weights),
        ("loads a poisoned pickle in a cell", Session, "run_cell", _runs_here),
        ("sends the grader a poisoned pickle", protocol, "_parse_json", _unpickles),
    ],
)
def test_a_pickle_that_is_loaded_here_is_seen(name, where, part, careless, worker, monkeypatch):
    monkeypatch.setattr(where, part, careless)
    # What the pickle returns is no message.
    monkeypatch.setattr(session, "BadFrame", (protocol.BadFrame, AttributeError))
    assert "the grader loaded a pickle of the hand-in" in problems(NAMED[name], worker)
    monkeypatch.undo()
    assert problems(NAMED[name], worker) == []


def test_outputs_that_nobody_counts_are_seen(worker, monkeypatch):
    unlimited = replace(selftest.LIMITS, output=2**30)
    monkeypatch.setattr(
        session, "clean_outputs", lambda outputs, limits: sanitise.clean_outputs(outputs, unlimited)
    )
    (found,) = problems(NAMED["outputs past the recorder"], worker)
    assert found.startswith("the text of a cell")
