"""Print whether each verdict, and each name of a mistake, is the same for every seed.

    python benchmarks/seeds.py [--seeds 50] [problem set or exercise ...]

A row is a solution: a right one of tests/, which every seed must accept, or a known mistake, which
every seed must reject and name as itself. "as it should" counts the seeds that do; behind it stands
what the others say. ``results/seeds.json`` keeps the counts of each exercise with its number of
seeds. The status is 1 if any verdict depends on the seed.
"""

import argparse
import collections
import importlib
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from bncourse.attempt import attempt_each
from bncourse.exercise import draw_cases
from bncourse.judge import judge
from bncourse.registry import PROBLEM_SETS, find, problem_sets, set_of

TESTS = Path(__file__).parent.parent / "tests"
RESULTS = Path(__file__).parent / "results" / "seeds.json"
LAYOUT = "{:<30} {:<44} {:>12}  {}"


def said(exercise, obj, cases, device=None):
    """Return what a student hears in short: right, the name of the mistake, or wrong."""
    # A known mistake may divide by zero.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        attempts = dict(
            zip(cases, attempt_each(exercise, obj, cases.values(), device), strict=True)
        )
        verdict = judge(exercise, cases, attempts, device)
    if verdict.kind == "ok":
        return "right"
    return verdict.mistake.name if verdict.mistake else f"{verdict.kind} in {verdict.case!r}"


def told_on(exercise, correct, seeds, minutes):
    """Return [(solution, what it should be told, a Counter of what it is told)], and the seeds.

    Args:
        exercise: the Exercise.
        correct: its right solutions.
        seeds: how many, from 0.
        minutes: of processor time, after which no further seed begins.
    """
    end = time.process_time() + 60 * minutes
    solutions = [(f"right: {each.__name__}", "right", each) for each in correct]
    solutions += [(each.name, each.name, each.obj) for each in exercise.mistakes]
    told = [collections.Counter() for _ in solutions]
    # Seed by seed: the judge remembers what the known mistakes return on one set of inputs.
    for seed in range(seeds):
        cases = draw_cases(exercise, seed)
        for counter, (_, _, obj) in zip(told, solutions, strict=True):
            counter[said(exercise, obj, cases)] += 1
        if time.process_time() > end:
            break
    rows = zip(solutions, told, strict=True)
    return [(name, wanted, counter) for (name, wanted, _), counter in rows], seed + 1


def table_of(name, seeds, minutes):
    """Print the rows of an exercise, and return what is kept of them."""
    start = time.process_time()
    correct = importlib.import_module(f"solutions_{set_of(name).name}").CORRECT[name]
    rows, done = told_on(find(name), correct, seeds, minutes)
    other = {}
    for solution, wanted, told in rows:
        right = told.pop(wanted, 0)
        if told:
            other[solution] = dict(told.most_common())
        others = ", ".join(f"{count} {what}" for what, count in told.most_common())
        print(LAYOUT.format(name, solution, f"{right} of {done}", others).rstrip(), flush=True)
    return {
        "seeds": done,
        "right solutions": len(correct),
        "known mistakes": len(rows) - len(correct),
        "as it should at every seed": len(rows) - len(other),
        "told something else": other,
        "seconds": round(time.process_time() - start),
    }


def exercises_of(chosen):
    """Return the names of the exercises of what was chosen: sets, exercises, or all."""
    table = {each.name: each.exercises for each in PROBLEM_SETS}
    return [name for each in chosen or problem_sets() for name in table.get(each, (each,))]


def keep(name, found):
    """Put the row of an exercise into the file, in the order of the course."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    kept[name] = found
    ordered = {each: kept[each] for each in exercises_of(()) if each in kept}
    RESULTS.write_text(json.dumps(ordered, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description="Judge every solution of the course on many seeds")
    parser.add_argument("chosen", nargs="*", metavar="problem set or exercise")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=15, help="of processor time, an exercise")
    asked = parser.parse_args()
    sys.path.insert(0, str(TESTS))
    print(LAYOUT.format("exercise", "solution", "as it should", "else"))
    unstable = False
    for name in exercises_of(asked.chosen):
        found = table_of(name, asked.seeds, asked.minutes)
        keep(name, found)
        unstable |= bool(found["told something else"])
    return unstable


if __name__ == "__main__":
    sys.exit(main())
