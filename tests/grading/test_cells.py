"""What runs, and whether a name may have changed since an exercise was answered."""

import pytest

from bncourse.grading import corpus
from bncourse.grading.cells import Script, defines, script_of
from bncourse.grading.hand_in import read_hand_in
from bncourse.grading.limits import Limits

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
    ("later", "expected"),
    [
        ("helper = 2", True),
        ("def helper(): pass", True),
        ("other, helper = 1, 2", True),
        ("helper: int = 2", True),
        ("helper += 1", True),
        ("del helper", True),
        ("from os import path as helper", True),
        ("for helper in range(3): pass", True),
        ("%reset -f", True),
        ("print(helper)", False),
        ("assert helper == 2", False),
        ("other = helper", False),
        ("def other():\n    helper = 2", False),
    ],
)
def test_a_later_cell_that_gives_a_name_another_value(later, expected):
    assert Script(["helper = 1", later]).rebinds_after(1) is expected


@pytest.mark.parametrize("text", ENDLESS)
def test_no_text_takes_the_grader_long(text):
    # A pattern that starts anew at each character would not be done within a day.
    source = text * (LONG // len(text))
    assert not Script([source, "helper = 1"]).rebinds_after(1)
    assert not defines("normalize", source)
