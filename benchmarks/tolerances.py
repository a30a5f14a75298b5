"""Print, for each result of each exercise, the gap that its tolerance stands in.

    python benchmarks/tolerances.py [problem set ...]

A row is a label in one dtype under one tolerance. "spread" is the largest relative error of the
correct solutions in tests/; "mistake" is the smallest error, in the case that catches it best, of a
mistake that this row catches best. A mistake that returns a wrong shape, raises or breaks a rule is
not judged by its values and has no row. The first ratio should be at least 10, and so should the
second. "GPU" is the spread that `make gpu` measured, with its ratio: in float32 that with TF32
where it is larger.
"""

import importlib
import json
import sys
from pathlib import Path

from bncourse.registry import load, problem_sets
from bncourse.tolerances import spread, weakest_catch

SEEDS = range(5)
ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"
ON_GPU = ROOT / "chapters" / "data" / "gpu.json"


def on_gpu():
    """Return {(exercise, label, dtype, tolerance): largest relative error on the GPU}."""
    found = {}
    measured = json.loads(ON_GPU.read_text())["spread"] if ON_GPU.exists() else {}
    for row in measured.get("rows", ()):
        dtype = "float32" if row["precision"] == "TF32" else row["precision"]
        key = row["exercise"], row["label"], dtype, row["tolerance"]
        found[key] = max(found.get(key, 0.0), row["spread"])
    return found


def rows(exercise, solutions, gpu):
    """Yield a tuple of texts for each label, dtype and tolerance of an exercise."""
    correct = _group(spread(exercise, solutions, SEEDS))
    catches = {each.name: weakest_catch(exercise, each, SEEDS) for each in exercise.mistakes}
    caught = _group([error for error in catches.values() if error])
    names = {error: name for name, error in catches.items()}
    for key, errors in correct.items():
        label, dtype, tolerance = key
        largest = max(error.size for error in errors)
        row = [label, dtype, f"{tolerance:.0e}", f"{largest:.1e}", _ratio(tolerance, largest)]
        there = gpu.get((exercise.name, *key))
        row += ["", ""] if there is None else [f"{there:.1e}", _ratio(tolerance, there)]
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
    layout = "{:<24} {:<8} {:>9} {:>8} {:>6}  {:>8} {:>6}  {:>8} {:>6}  {}"
    head = ("label", "dtype", "tolerance", "spread", "ratio", "GPU", "ratio")
    head += ("mistake", "ratio", "name")
    gpu = on_gpu()
    for problem_set in chosen or problem_sets():
        correct = importlib.import_module(f"solutions_{problem_set}").CORRECT
        for name, exercise in load(problem_set).items():
            print(f"\n{name}")
            print(layout.format(*head))
            for row in rows(exercise, correct[name], gpu):
                print(layout.format(*row, *[""] * (len(head) - len(row))).rstrip())


if __name__ == "__main__":
    main(sys.argv[1:])
