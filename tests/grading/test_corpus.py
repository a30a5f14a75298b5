"""Every bad hand-in gets exactly its outcome, and the other exercises keep theirs."""

import pickle
import sys
from collections import OrderedDict

import pytest

from bncourse.grading import selftest
from bncourse.grading.corpus import corpus

CASES = corpus()


@pytest.mark.parametrize("bad", CASES, ids=str)
def test_outcome(bad, worker):
    report = selftest.run(bad, worker)
    assert not selftest.problems(bad, report)


def test_the_corpus_covers_the_table_of_threats():
    # 49 and 50 are about collecting and batches: see test_collector, test_batch, test_cluster.
    assert {bad.number for bad in CASES} == set(range(1, 52)) - {49, 50}


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
