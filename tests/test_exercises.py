"""Each exercise as a classifier: correct solutions pass, each known mistake fails as itself."""

import ast
import importlib
import warnings
from collections import Counter

import numpy
import pytest
import torch

from bncourse import check
from bncourse.attempt import attempt_each
from bncourse.check import CheckFailed
from bncourse.contents import CHAPTERS
from bncourse.exercise import asked, draw_cases
from bncourse.judge import judge
from bncourse.registry import all_exercises, find, load, problem_sets
from bncourse.solution import start_of

SEEDS = (0, 1, 2)
EXERCISES = all_exercises()
SOLUTIONS = [importlib.import_module(f"solutions_{each}") for each in problem_sets()]
CORRECT = {name: each for module in SOLUTIONS for name, each in module.CORRECT.items()}
# A module names the released answers that are not a function that raises.
STUBS = {name: stub for module in SOLUTIONS for name, stub in getattr(module, "STUBS", {}).items()}
# And the exercises that are released with code to be repaired.
REPAIRS = [name for module in SOLUTIONS for name in getattr(module, "REPAIRS", ())]


def verdict_on(exercise, obj, seed):
    cases, expected = asked(exercise, seed)
    with warnings.catch_warnings():
        # A wrong solution may divide by zero; the verdict is what counts here.
        warnings.simplefilter("ignore")
        attempts = dict(zip(cases, attempt_each(exercise, obj, cases.values()), strict=True))
        return judge(exercise, cases, attempts, expected=expected)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("name", "solution"),
    [
        pytest.param(name, solution, id=f"{name}-{solution.__name__}")
        for name, solutions in CORRECT.items()
        for solution in solutions
    ],
)
def test_a_correct_solution_passes(name, solution, seed, capsys):
    check(solution, name, seed=seed)
    assert capsys.readouterr().out.startswith(f"{name}: correct in all ")


# On one seed, since this is the longest part of all tests; benchmarks/seeds.py tries fifty.
@pytest.mark.parametrize(
    ("exercise", "mistake"),
    [
        pytest.param(exercise, mistake, id=f"{exercise.name}-{mistake.name}")
        for exercise in EXERCISES.values()
        for mistake in exercise.mistakes
    ],
)
def test_a_known_mistake_fails_as_itself(exercise, mistake):
    verdict = verdict_on(exercise, mistake.obj, SEEDS[0])
    assert verdict.kind in ("wrong", "error")
    assert verdict.mistake is mistake
    # A diagnosis tries it without watching for such calls.
    assert "ready-made" not in verdict.finding


@pytest.mark.parametrize("name", EXERCISES)
def test_an_untouched_stub_fails_cleanly(name):
    def stub(*args, **kwargs):
        raise NotImplementedError

    verdict = verdict_on(EXERCISES[name], STUBS.get(name, stub), 0)
    assert verdict.kind == "error"
    assert verdict.mistake is None
    assert "answer is missing" in verdict.finding


@pytest.mark.parametrize("name", REPAIRS)
def test_code_that_is_to_be_repaired_fails_as_the_bug_in_it(name):
    exercise = EXERCISES[name]
    names = {"np": numpy, "torch": torch, "nn": torch.nn}
    exec(start_of(exercise), names)
    verdict = verdict_on(exercise, names[name], 0)
    assert verdict.kind == "wrong"
    assert verdict.mistake is exercise.mistakes[0]


@pytest.mark.parametrize("name", EXERCISES)
def test_the_spec_is_complete(name):
    exercise = EXERCISES[name]
    assert len(CORRECT[name]) >= 3
    assert len(exercise.mistakes) >= 5
    assert len({mistake.name for mistake in exercise.mistakes}) == len(exercise.mistakes)
    assert len({mistake.hint for mistake in exercise.mistakes}) == len(exercise.mistakes)
    sees = {exercise.see, *(mistake.see for mistake in exercise.mistakes)}
    assert {tag[0] for tag in sees} <= {chapter.letter for chapter in CHAPTERS}


@pytest.mark.parametrize("name", EXERCISES)
def test_cases_depend_on_the_seed_only(name):
    def fingerprint(seed):
        return repr([case.inputs for case in draw_cases(EXERCISES[name], seed).values()])

    assert fingerprint(3) == fingerprint(3)
    assert fingerprint(3) != fingerprint(4)


def test_a_hint_stands_in_one_place(root):
    trees = [ast.parse(path.read_text()) for path in (root / "bncourse/exercises").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    written = Counter(node.value for node in nodes if isinstance(node, ast.Constant))
    hints = {mistake.hint for each in EXERCISES.values() for mistake in each.mistakes}
    assert not {hint for hint in hints if written[hint] > 1}


def test_names_are_unique_over_the_course():
    names = [name for problem_set in problem_sets() for name in load(problem_set)]
    assert len(names) == len(set(names))
    assert all(find(name).name == name for name in names)


def test_a_message_holds_no_expected_value():
    """Grading shows the same message; it may say how far off, never what is right."""
    mistake = next(m for m in EXERCISES["normalize"].mistakes if m.name == "eps missing")
    case = draw_cases(EXERCISES["normalize"], 0)["a variance smaller than eps"]
    with pytest.raises(CheckFailed) as failure:
        check(mistake.obj, "normalize", seed=0)
    expected = EXERCISES["normalize"].reference(case.inputs)["x_hat"]
    assert not any(f"{value:.3g}" in str(failure.value) for value in expected.ravel())
