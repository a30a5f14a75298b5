"""Print whether each verdict, and each name of a mistake, is the same for every seed.

    python benchmarks/seeds.py [--seeds 50] [problem set ...]

A row is a solution: a right one of tests/, which every seed must accept, or a known mistake, which
every seed must reject and name as itself. "as it should" counts the seeds that do; behind it stands
what the others say. The status is 1 if any verdict depends on the seed.
"""

import argparse
import collections
import importlib
import sys
import warnings
from pathlib import Path

import numpy as np

from bncourse.attempt import attempt
from bncourse.exercise import draw_cases
from bncourse.judge import judge
from bncourse.registry import load, problem_sets

TESTS = Path(__file__).parent.parent / "tests"
LAYOUT = "{:<30} {:<44} {:>12}  {}"


def said(exercise, obj, cases, device=None):
    """Return what a student hears in short: right, the name of the mistake, or wrong."""
    # A known mistake may divide by zero.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        attempts = {name: attempt(exercise, obj, case, device) for name, case in cases.items()}
        verdict = judge(exercise, cases, attempts, device)
    if verdict.kind == "ok":
        return "right"
    return verdict.mistake.name if verdict.mistake else f"{verdict.kind} in {verdict.case!r}"


def rows(exercise, correct, seeds):
    """Yield (name of a solution, what it should be told, a Counter of what it is told)."""
    solutions = [(f"right: {each.__name__}", "right", each) for each in correct]
    solutions += [(each.name, each.name, each.obj) for each in exercise.mistakes]
    told = [collections.Counter() for _ in solutions]
    # Seed by seed: the judge remembers what the known mistakes return on one set of inputs.
    for seed in range(seeds):
        cases = draw_cases(exercise, seed)
        for counter, (_, _, obj) in zip(told, solutions, strict=True):
            counter[said(exercise, obj, cases)] += 1
    for (name, wanted, _), counter in zip(solutions, told, strict=True):
        yield name, wanted, counter


def main():
    parser = argparse.ArgumentParser(description="Judge every solution of the course on many seeds")
    parser.add_argument("sets", nargs="*", metavar="problem_set")
    parser.add_argument("--seeds", type=int, default=50)
    chosen = parser.parse_args()
    sys.path.insert(0, str(TESTS))
    print(LAYOUT.format("exercise", "solution", "as it should", "else"))
    solutions = unstable = 0
    for problem_set in chosen.sets or problem_sets():
        correct = importlib.import_module(f"solutions_{problem_set}").CORRECT
        for name, exercise in load(problem_set).items():
            for solution, wanted, told in rows(exercise, correct[name], chosen.seeds):
                right = told.pop(wanted, 0)
                others = ", ".join(f"{count} {what}" for what, count in told.most_common())
                share = f"{right} of {chosen.seeds}"
                print(LAYOUT.format(name, solution, share, others).rstrip(), flush=True)
                solutions += 1
                unstable += right < chosen.seeds
    print(f"{unstable} of {solutions} solutions are told something else at some seed")
    return unstable > 0


if __name__ == "__main__":
    sys.exit(main())
