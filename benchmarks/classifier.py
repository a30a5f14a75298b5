"""Print each exercise as a classifier: what passes, what is rejected, what is named.

    python benchmarks/classifier.py [problem set ...]

The first table has what the course knows: right solutions and known mistakes. The second has wrong
solutions that no hint was written for: how many are told a right name, a wrong one, or none.
Exit status 1 if anything is misjudged.
"""

import importlib
import sys
import warnings
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bncourse.attempt import attempt
from bncourse.exercise import draw_cases
from bncourse.judge import judge
from bncourse.registry import load, problem_sets

TESTS = Path(__file__).parent.parent / "tests"
SEED = 0


def verdict_on(exercise, obj):
    """Return the verdict on a solution."""
    cases = draw_cases(exercise, SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attempts = {name: attempt(exercise, obj, case) for name, case in cases.items()}
        return judge(exercise, cases, attempts)


def unseen(problem_set):
    """Return {exercise: counts} of the wrong solutions of a set that no hint was written for."""
    exercises = load(problem_set)
    counts = {name: Counter() for name in exercises}
    for each in importlib.import_module(f"unseen.{problem_set}").TABLE.rows:
        names = {m.name for m in verdict_on(exercises[each.exercise], each.obj).mistakes}
        counts[each.exercise][_word(names, set(each.names))] += 1
    return counts


def _word(names, right):
    if not names <= right:
        return "named wrongly"
    return "named rightly" if names else "silent" if right else "silent, and no name fits"


def row(exercise, solutions):
    """Return (count, of how many) of what passes, is rejected and is named as itself."""
    right = [verdict_on(exercise, solution).kind == "ok" for solution in solutions]
    verdicts = [verdict_on(exercise, mistake.obj) for mistake in exercise.mistakes]
    rejected = [verdict.kind != "ok" for verdict in verdicts]
    named = [v.mistake is m for v, m in zip(verdicts, exercise.mistakes, strict=True)]
    return [(sum(each), len(each)) for each in (right, rejected, named)]


def headed(title, headings):
    """Return an empty table whose first column holds words and the others numbers."""
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading, justify="right" if table.columns else "left")
    return table


def known_table(sets):
    """Return the table of what the course knows, and whether all of it is judged rightly."""
    headings = ("exercise", "correct pass", "mistakes rejected", "named")
    table, perfect = headed("Exercises as classifiers", headings), True
    for problem_set in sets:
        correct = importlib.import_module(f"solutions_{problem_set}").CORRECT
        for name, exercise in load(problem_set).items():
            counts = row(exercise, correct[name])
            perfect &= all(count == total for count, total in counts)
            table.add_row(name, *(f"{count} of {total}" for count, total in counts))
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
