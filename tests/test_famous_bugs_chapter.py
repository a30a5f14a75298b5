"""The chapter on famous bugs: one source of code, checks that catch, what training hides."""

import re

import numpy as np
import pytest

from bncourse.figures import famous_bugs as figures
from bncourse.lab import bugs
from bncourse.solution import source_of, start_of


@pytest.mark.parametrize("number", bugs.NUMBERS)
def test_the_page_shows_the_code_of_the_exercise(number):
    exercise = bugs.BUGS[number - 1]
    lines = bugs.difference(number).splitlines()
    old = [line[1:] for line in lines if line[0] != "+"]
    new = [line[1:] for line in lines if line[0] != "-"]
    assert old == start_of(exercise).splitlines()
    assert new == source_of(exercise).strip().splitlines()
    assert max(map(len, old + new)) <= 80


@pytest.mark.parametrize("number", bugs.NUMBERS)
def test_each_bug_is_caught_by_some_check_and_no_repair_is(number):
    code = bugs.code(number)
    found = [bugs.passes(check, number, code.bug) for check in bugs.CHECKS]
    assert False in found
    assert all(bugs.passes(check, number, code.repaired) is not False for check in bugs.CHECKS)


@pytest.mark.parametrize("number", bugs.NUMBERS)
def test_an_error_is_that_of_the_bug_and_not_of_rounding(number):
    wrong, right = (bugs.error(number, obj, seed=3) for obj in bugs.code(number))
    assert right < (1e-6 if number == 4 else 1e-13)
    assert (wrong > 1e-2) == (number != 5), "bug 5 spoils no value"


def test_the_running_variance_is_too_small_by_one_over_n():
    case = bugs.draw_cases(bugs.BUGS[5], 0)[bugs.SHOWN[6][0]]
    n = case.inputs["x"][:, 0].size
    assert bugs.error(6, bugs.code(6).bug, 0) == pytest.approx(1 / n)


def test_a_graph_grows_with_each_step_and_that_of_the_repair_does_not():
    counts = [bugs.nodes_after(bugs.code(5).bug, steps) for steps in (1, 2, 3)]
    assert counts[2] - counts[1] == counts[1] - counts[0] > 0
    assert bugs.nodes_after(bugs.code(5).repaired, 3) == 0


@pytest.mark.equation("X2")
@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_the_error_of_a_gradient_is_the_expected_one(offset):
    found = np.mean([bugs.gradient_error(64, offset, seed) for seed in range(3)])
    assert found == pytest.approx(bugs.expected_gradient_error(64, offset), rel=0.05)


def test_training_repeats_and_moves_what_it_should():
    right, one, seven = (bugs.train.__wrapped__(kind, 1.0, (0,))[0] for kind in bugs.KINDS)
    assert bugs.train.__wrapped__("bug 1", 1.0, (0,)) == [one]
    assert right.bias < 1e-5 < 1e-2 < one.bias
    assert seven.bias == 0
    assert all(each.loss < 0.3 for each in (right, one, seven))


def test_the_figure_names_each_bug_by_its_number():
    assert [int(name[0]) for name in figures.NAMES] == list(bugs.NUMBERS)


def test_the_page_has_a_section_and_a_row_for_each_bug(root):
    page = (root / "chapters/famous_bugs.md").read_text()
    numbers = list(map(str, bugs.NUMBERS))
    assert re.findall(r"^## (\d)\. ", page, re.M) == numbers
    assert re.findall(r"^show\((\d)\)$", page, re.M) == numbers
    assert re.findall(r"^\| (\d) \|", page, re.M) == numbers
