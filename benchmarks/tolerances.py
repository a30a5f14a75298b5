"""Print, for each result of each exercise, the gap that its tolerance stands in.

    python benchmarks/tolerances.py [problem set ...]

A row is a label in one dtype under one tolerance. "spread" is the largest relative error of the
correct solutions in tests/; "mistake" is the smallest error, in the case that catches it best, of a
mistake that this row catches best. A mistake that returns a wrong shape, raises or breaks a rule is
not judged by its values and has no row. The first ratio should be at least 10, and so should the
second.
"""

import importlib
import sys
from pathlib import Path

from bncourse.registry import load, problem_sets
from bncourse.tolerances import spread, weakest_catch

SEEDS = range(5)
TESTS = Path(__file__).parent.parent / "tests"


def rows(exercise, solutions):
    """Yield a tuple of texts for each label, dtype and tolerance of an exercise."""
    correct = _group(spread(exercise, solutions, SEEDS))
    catches = {each.name: weakest_catch(exercise, each, SEEDS) for each in exercise.mistakes}
    caught = _group([error for error in catches.values() if error])
    names = {error: name for name, error in catches.items()}
    for key, errors in correct.items():
        label, dtype, tolerance = key
        largest = max(error.size for error in errors)
        row = [label, dtype, f"{tolerance:.0e}", f"{largest:.1e}", _ratio(tolerance, largest)]
        if key in caught:
            least = min(caught[key], key=lambda error: error.size)
            row += [f"{least.size:.1e}", f"{least.ratio:.0e}", names[least]]
        yield row


def _group(errors):
    groups = {}
    for error in errors:
        groups.setdefault((error.label, error.dtype, error.tolerance), []).append(error)
    return groups


def _ratio(tolerance, size):
    return f"{tolerance / size:.0e}" if size else "exact"


def main(chosen):
    sys.path.insert(0, str(TESTS))
    layout = "{:<24} {:<8} {:>9} {:>8} {:>6}  {:>8} {:>6}  {}"
    for problem_set in chosen or problem_sets():
        correct = importlib.import_module(f"solutions_{problem_set}").CORRECT
        for name, exercise in load(problem_set).items():
            print(f"\n{name}")
            head = ("label", "dtype", "tolerance", "spread", "ratio", "mistake", "ratio", "name")
            print(layout.format(*head))
            for row in rows(exercise, correct[name]):
                print(layout.format(*row, *[""] * (8 - len(row))).rstrip())


if __name__ == "__main__":
    main(sys.argv[1:])
