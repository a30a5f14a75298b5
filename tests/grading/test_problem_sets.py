"""Trusted grading says what the self-check says, for every exercise of every problem set.

The corpus of bad hand-ins is on the first problem set only. Here each set has one warm worker, and
hand-ins that are all right, all wrong, or both. A solution or a known mistake is handed in as the
text that a student would write, below the imports of the notebook that is released.
"""

import importlib
import inspect
import re
import warnings
from dataclasses import dataclass, replace
from itertools import zip_longest
from types import SimpleNamespace

import pytest

from bncourse.attempt import attempt
from bncourse.exercise import asked
from bncourse.grading.intake.script import Script
from bncourse.grading.outside.submission import grade
from bncourse.grading.outside.warm import WarmProcess
from bncourse.judge import judge
from bncourse.limits import MIB, Limits
from bncourse.message import report
from bncourse.registry import load, problem_sets
from bncourse.release import derive_notebook
from bncourse.rules import rule_of
from bncourse.trial.sample_class import source_of

from .conftest import descendants

pytestmark = pytest.mark.slow

# As long as the secret of a course.
SECRET = 2**127 + 41

# What is right needs far less space than a submission may use. Time is not the question here.
LIMITS = replace(
    Limits(), memory=256 * MIB, disk=4 * MIB, processes=16, item_seconds=300.0, total_seconds=600.0
)

RIGHT = ("ok", "")


@dataclass
class ProblemSet:
    """A problem set and the worker that takes its hand-ins.

    Args:
        name: such as "ps1_forward".
        exercises: ``{name: Exercise}``.
        worker: the WarmProcess.
        cells: the sources of the code cells of the solution notebook by id, grade cells left out.
    """

    name: str
    exercises: dict
    worker: WarmProcess
    cells: dict

    def verdicts(self, names, sources):
        """Return ``{exercise: (word, message)}`` for a hand-in."""
        asked = {name: self.exercises[name] for name in names}
        graded = grade(Script(list(sources)), asked, self.worker, LIMITS, SECRET)
        assert not [cell.message for cell in graded.cells if cell.error]
        assert not graded.flags
        assert not [flag for outcome in graded.outcomes.values() for flag in outcome.flags]
        return {name: (outcome.word, outcome.message) for name, outcome in graded.outcomes.items()}

    def verdicts_on(self, answers):
        """Return the verdicts on a hand-in made of Answers, ``{exercise: Answer}``."""
        imports = next(each for each in self.cells.values() if "from bncourse import check" in each)
        # What a student brings along from another set; only the capstone asks for it.
        brought = [self.cells["own_layer"]] if "own_layer" in self.cells else []
        sources = [imports, *brought, *(answer.source for answer in answers.values())]
        return self.verdicts(answers, sources)


@dataclass(frozen=True)
class Answer:
    """The text of an answer, and the word and the message that the self-check has for it."""

    source: str
    verdict: tuple


@pytest.fixture(scope="module", params=problem_sets())
def problem_set(request, root, needs_sandbox):
    (text,) = (root / "solutions" / request.param).glob("*.md")
    cells = {
        cell.id: cell.source
        for cell in derive_notebook(text).cells
        if cell.cell_type == "code" and not cell.metadata.get("nbgrader", {}).get("grade")
    }
    with WarmProcess(request.param) as worker:
        yield ProblemSet(request.param, load(request.param), worker, cells)
        worker.bury()
        assert worker.alive, "a submission ended the worker"
        assert descendants(worker._process.pid) <= 2, "a submission left processes behind"


def self_check(exercise, obj):
    """Return the word and the message of the self-check, with the inputs of grading."""
    cases, expected = asked(exercise, SECRET)
    with warnings.catch_warnings():
        # A wrong solution may divide by zero; the verdict is what counts here.
        warnings.simplefilter("ignore")
        attempts = {label: _told(attempt(exercise, obj, case)) for label, case in cases.items()}
        verdict = judge(exercise, cases, attempts, expected=expected)
    return RIGHT if verdict.kind == "ok" else (verdict.kind, report(exercise, verdict, hidden=True))


def _told(made):
    """Return an Attempt as grading tells it: of a broken rule, only what the rule asks for."""
    return replace(made, rules=tuple(map(rule_of, made.rules)))


def handed_in(exercise, thing):
    """Return the Answer of a known mistake, or of anything else with an ``obj``."""
    return Answer(source_of(thing, exercise.name), self_check(exercise, thing.obj))


def by_turns(exercises, things):
    """Yield ``{exercise: thing}`` for the first things of all exercises, then the second ones.

    Args:
        exercises: names of the exercises.
        things: ``{exercise: sequence}``.
    """
    for row in zip_longest(*(things[name] for name in exercises)):
        yield {name: thing for name, thing in zip(exercises, row, strict=True) if thing}


def written(solutions):
    """Return what a module of correct solutions defines, without the specs that it refers to."""
    text = inspect.getsource(solutions).partition("\nCORRECT = {")[0]
    return re.sub(r"^from bncourse\.exercises[^\n(]*(?:\([^)]*\))?\n", "", text, flags=re.M)


def unwrapped(text):
    """Return a text without its spaces and line ends; a line may end in a hyphen, too."""
    return "".join(text.split())


def test_the_answers_of_the_course_are_right(problem_set):
    verdicts = problem_set.verdicts(problem_set.exercises, problem_set.cells.values())
    assert verdicts == dict.fromkeys(problem_set.exercises, RIGHT)


def test_every_correct_solution_is_right(problem_set):
    solutions = importlib.import_module(f"solutions_{problem_set.name}")
    for chosen in by_turns(problem_set.exercises, solutions.CORRECT):
        answers = {
            name: handed_in(problem_set.exercises[name], SimpleNamespace(obj=solution))
            for name, solution in chosen.items()
        }
        # A solution may lean on others of its module, as a student's on the cells above.
        sources = [written(solutions), *(answer.source for answer in answers.values())]
        assert {answer.verdict for answer in answers.values()} == {RIGHT}
        assert problem_set.verdicts(answers, sources) == dict.fromkeys(answers, RIGHT)


def test_every_known_mistake_is_wrong_in_the_words_of_the_self_check(problem_set):
    mistakes = {name: each.mistakes for name, each in problem_set.exercises.items()}
    for chosen in by_turns(problem_set.exercises, mistakes):
        answers = {
            name: handed_in(problem_set.exercises[name], mistake)
            for name, mistake in chosen.items()
        }
        verdicts = problem_set.verdicts_on(answers)
        assert verdicts == {name: answer.verdict for name, answer in answers.items()}
        for name, (word, message) in verdicts.items():
            assert word in ("wrong", "error")
            assert unwrapped(chosen[name].hint) in unwrapped(message)


def test_a_verdict_does_not_depend_on_the_other_answers(problem_set):
    """Case 5 of the table of threats among them: forward right, backward wrong."""
    wrong = {
        name: handed_in(exercise, exercise.mistakes[0])
        for name, exercise in problem_set.exercises.items()
    }
    right = {name: Answer(problem_set.cells[f"{name}_answer"], RIGHT) for name in wrong}
    for name in wrong:
        for answers in (right | {name: wrong[name]}, wrong | {name: right[name]}):
            expected = {each: answer.verdict for each, answer in answers.items()}
            assert problem_set.verdicts_on(answers) == expected
