"""Print each exercise as a classifier: what passes, what is rejected, what is named, how fast.

    python benchmarks/classifier.py [problem set ...]

The first table has what the course knows: right solutions and known mistakes. The second has wrong
solutions that no hint was written for: how many are told a right name, a wrong one, or none.
Seconds are those of a self-check in a warm process: the slowest correct solution, and the slowest
mistake with its diagnosis. Exit status 1 if anything is misjudged.
"""

import contextlib
import importlib
import io
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bncourse import check
from bncourse.attempt import attempt
from bncourse.check import CheckFailed
from bncourse.exercise import draw_cases
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


def told(exercise, obj):
    """Return the known mistakes that a solution is told."""
    cases = draw_cases(exercise, SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attempts = {name: attempt(exercise, obj, case) for name, case in cases.items()}
        return judge(exercise, cases, attempts).mistakes


def unseen(problem_set):
    """Return {exercise: counts} of the wrong solutions of a set that no hint was written for."""
    counts = {name: Counter() for name in load(problem_set)}
    for each in importlib.import_module(f"unseen.{problem_set}").TABLE.rows:
        names = {mistake.name for mistake in told(load(problem_set)[each.exercise], each.obj)}
        counts[each.exercise][_word(names, set(each.names))] += 1
    return counts


def _word(names, right):
    if not names <= right:
        return "named wrongly"
    return "named rightly" if names else "silent" if right else "silent, and no name fits"


def row(exercise, solutions):
    """Return the counts and times of one exercise."""
    # The first check of a process pays for imports and caches.
    timed_check(solutions[0], exercise.name)
    right = [timed_check(solution, exercise.name) for solution in solutions]
    wrong = [timed_check(mistake.obj, exercise.name) for mistake in exercise.mistakes]
    return {
        "correct": (sum(passed for passed, _ in right), len(right)),
        "killed": (sum(not passed for passed, _ in wrong), len(wrong)),
        "named": (sum(told(exercise, m.obj)[:1] == (m,) for m in exercise.mistakes), len(wrong)),
        "seconds": (max(seconds for _, seconds in right), max(seconds for _, seconds in wrong)),
    }


def headed(title, headings):
    """Return an empty table whose first column holds words and the others numbers."""
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading, justify="right" if table.columns else "left")
    return table


def known_table(sets):
    """Return the table of what the course knows, and whether all of it is judged rightly."""
    headings = ("exercise", "correct pass", "mistakes rejected", "named", "s, right", "s, wrong")
    table, perfect = headed("Exercises as classifiers", headings), True
    for problem_set in sets:
        correct = importlib.import_module(f"solutions_{problem_set}").CORRECT
        for name, exercise in load(problem_set).items():
            found = row(exercise, correct[name])
            counts = [found["correct"], found["killed"], found["named"]]
            perfect &= all(count == total for count, total in counts)
            cells = [f"{count} of {total}" for count, total in counts]
            table.add_row(name, *cells, *(f"{seconds:.2f}" for seconds in found["seconds"]))
    return table, perfect


def unseen_table(sets):
    """Return the table of solutions without a hint of their own, and whether no name is wrong."""
    words = ("named rightly", "named wrongly", "silent", "silent, and no name fits")
    table, total = headed("Wrong solutions without a hint", ("exercise", *words)), Counter()
    for problem_set in sets:
        for name, counts in unseen(problem_set).items():
            total += counts
            table.add_row(name, *(str(counts[word]) for word in words))
    table.add_section()
    table.add_row("all", *(str(total[word]) for word in words))
    return table, not total["named wrongly"]


def main(chosen):
    sys.path.insert(0, str(TESTS))
    perfect = True
    for make in (known_table, unseen_table):
        table, good = make(chosen or problem_sets())
        perfect &= good
        Console(width=100).print(table)
    return 0 if perfect else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
