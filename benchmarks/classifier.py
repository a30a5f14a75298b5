"""Print each exercise as a classifier: what passes, what is rejected, what is named, how fast.

    python benchmarks/classifier.py [problem set ...]

Seconds are those of a self-check in a warm process: the slowest correct solution, and the slowest
mistake with its diagnosis. Exit status 1 if anything is misjudged.
"""

import contextlib
import importlib
import io
import sys
import time
import warnings
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bncourse import check
from bncourse.attempt import attempt
from bncourse.check import CheckFailed, draw_cases
from bncourse.judge import judge
from bncourse.registry import load, problem_sets

TESTS = Path(__file__).parent.parent / "tests"
SEED = 0


def timed_check(obj, name):
    """Return whether a self-check passes and how many seconds it takes."""
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            check(obj, name, seed=SEED)
            passed = True
        except CheckFailed:
            passed = False
    return passed, time.perf_counter() - start


def is_named(exercise, mistake):
    """Return whether a mistake is diagnosed as itself."""
    cases = draw_cases(exercise, SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attempts = {name: attempt(exercise, mistake.obj, case) for name, case in cases.items()}
        return judge(exercise, cases, attempts).mistake is mistake


def row(exercise, solutions):
    """Return the counts and times of one exercise."""
    # The first check of a process pays for imports and caches.
    timed_check(solutions[0], exercise.name)
    right = [timed_check(solution, exercise.name) for solution in solutions]
    wrong = [timed_check(mistake.obj, exercise.name) for mistake in exercise.mistakes]
    return {
        "correct": (sum(passed for passed, _ in right), len(right)),
        "killed": (sum(not passed for passed, _ in wrong), len(wrong)),
        "named": (sum(is_named(exercise, each) for each in exercise.mistakes), len(wrong)),
        "seconds": (max(seconds for _, seconds in right), max(seconds for _, seconds in wrong)),
    }


def main(chosen):
    sys.path.insert(0, str(TESTS))
    table = Table(title="Exercises as classifiers")
    for heading in (
        "exercise",
        "correct pass",
        "mistakes rejected",
        "named",
        "s, right",
        "s, wrong",
    ):
        table.add_column(heading, justify="left" if heading == "exercise" else "right")
    perfect = True
    for problem_set in chosen or problem_sets():
        correct = importlib.import_module(f"solutions_{problem_set}").CORRECT
        for name, exercise in load(problem_set).items():
            found = row(exercise, correct[name])
            counts = [found["correct"], found["killed"], found["named"]]
            perfect &= all(count == total for count, total in counts)
            cells = [f"{count} of {total}" for count, total in counts]
            table.add_row(name, *cells, *(f"{seconds:.2f}" for seconds in found["seconds"]))
    Console(width=100).print(table)
    return 0 if perfect else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
