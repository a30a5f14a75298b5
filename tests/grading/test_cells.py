"""What runs, and whether a name may have changed since an exercise was answered."""

import pytest

from bncourse.grading import corpus
from bncourse.grading.cells import Script, defines, script_of
from bncourse.grading.hand_in import read_hand_in
from bncourse.limits import Limits

# Each once took a grader's pattern time that grows with the square of its length.
LONG = 200_000
ENDLESS = ["\n", " ", "a,", "a", "a ", "x:", "from ", "async ", "def "]


def test_an_exercise_stands_after_its_answer_and_before_the_next(tmp_path):
    corpus.write(tmp_path, corpus.notebook())
    release = {corpus.NOTEBOOK: corpus.release()}
    found = read_hand_in(tmp_path, corpus.NOTEBOOK, release, Limits())
    script = script_of(found.notebook)
    # One cell of imports, then the answers in order.
    assert script.places == {name: number + 2 for number, name in enumerate(corpus.ALL)}
    for name, place in script.places.items():
        assert defines(name, script.sources[place - 1])


@pytest.mark.parametrize(
    "later",
    [
        "helper = 2",
        "def helper(): pass",
        "(other, helper) = 1, 2",
        "for other in range(3):\n    helper = other",
        "if True:\n    import math as helper",
        "with open('file') as helper: pass",
        "from math import *",
        "other = 1; helper = 2",
        "print(helper := 2)",
        "helper.append(3)",
        "exec('helper = 2')",
        "def other():\n    global helper\n    helper = 2\nother()",
        "@print\ndef other(): pass",
        "  # indented as a whole\n  helper = 2",
        "%reset -f",
    ],
)
def test_a_later_cell_that_may_change_what_an_answer_uses(later):
    assert Script(["helper = 1", later]).may_change_after(1)


@pytest.mark.parametrize(
    "later",
    [
        "",
        "# helper = 2",
        "def other(\n    x,\n):\n    # A comment.\n    helper = 2\n\n    return helper",
        "\n\nasync def other(): pass\n\ndef another():\n\tpass",
    ],
)
def test_a_later_cell_that_changes_nothing(later):
    assert not Script(["helper = 1", later]).may_change_after(1)


@pytest.mark.parametrize("text", ENDLESS)
def test_no_text_takes_the_grader_long(text):
    # A pattern that starts anew at each character would not be done within a day.
    source = text * (LONG // len(text))
    Script([source, source]).may_change_after(1)
    assert not defines("normalize", source)
