"""What a right answer needs of the cells around it, and where it stands among them."""

import pytest

from bncourse.grading.cells import Script
from bncourse.grading.corpus import HEAD, PROBLEM_SET, RIGHT, TARGET
from bncourse.grading.grade import grade
from bncourse.limits import Limits
from bncourse.registry import load

IMPORT = "import numpy as np"
ANSWER = f"{HEAD}\n    {RIGHT}"
USES_HELPER = f"{HEAD}\n    return helper(x, mean) / np.sqrt(var + eps)"
HELPER = "def helper(a, b):\n    return a - b"


def graded(worker, *cells, place=None):
    script = Script(list(cells), {} if place is None else {TARGET: place})
    return grade(script, {TARGET: load(PROBLEM_SET)[TARGET]}, worker, Limits(), 7)


def outcome(worker, *cells, place=None):
    return graded(worker, *cells, place=place).outcomes[TARGET]


@pytest.mark.parametrize(
    "cell",
    [
        "%matplotlib inline",
        "%matplotlib notebook",
        "%pylab inline",
        "get_ipython().run_line_magic('matplotlib', 'inline')",
        "%config InlineBackend.figure_format = 'retina'",
        "%load_ext autoreload\n%autoreload 2",
    ],
)
def test_a_magic_of_every_notebook_costs_nothing(worker, cell):
    report = graded(worker, f"{cell}\n{IMPORT}", ANSWER)
    assert str(report.outcomes[TARGET]) == "ok"
    assert not report.cells[0].error


def test_a_module_that_a_cell_writes_can_be_imported(worker):
    written = f"%%writefile helpers.py\n{HELPER}"
    assert outcome(worker, written, IMPORT, "from helpers import helper", USES_HELPER).word == "ok"


@pytest.mark.parametrize(
    "last",
    [
        "def helper(x): return 0",
        "helper = None",
        "%reset -f",
        "for number in range(3):\n    helper = number",
        "with open('notes', 'w') as helper:\n    pass",
        "exec('helper = 1')",
        "helper.__code__ = (lambda x: 0).__code__",
    ],
)
def test_what_stands_below_does_not_reach_up(worker, last):
    cells = (IMPORT, HELPER, USES_HELPER, last)
    assert outcome(worker, *cells, place=3).word == "ok"
    assert outcome(worker, *cells, place=4).word != "ok"


def test_an_old_version_below_does_not_count_and_a_new_one_does(worker):
    old = f"{HEAD}\n    return x"
    assert outcome(worker, IMPORT, ANSWER, old, place=2).word == "ok"
    assert outcome(worker, IMPORT, old, ANSWER, place=2).word == "ok"


def test_cells_show_nothing_of_what_the_tests_told_them(worker):
    spy = f"seen = []\n{HEAD}\n    seen.append(x)\n    return helper(x)"
    report = graded(worker, IMPORT, spy, "helper = 1", "print('SEEN', seen)", "helper = 2", place=2)
    assert "SEEN []" in str(report.cells[3].outputs)
    assert report.outcomes[TARGET].word == "error"


def test_a_name_is_missing_since_a_cell_above_failed(worker):
    found = outcome(worker, f"import no_such_module\n{IMPORT}", ANSWER)
    assert found.word == "error"
    assert "NameError" in found.message
    assert "A cell above it failed in grading. It raised ModuleNotFoundError" in found.message


def test_an_answer_with_a_type_that_fails_is_an_error_not_missing(worker):
    found = outcome(worker, IMPORT, f"{TARGET}: Callable = no_such_function")
    assert found.word == "error"
    assert f"The cell that defines {TARGET} failed" in found.message
