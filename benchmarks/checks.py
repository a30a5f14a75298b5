"""Print how long a self-check takes in a warm kernel, in seconds of processor time.

    python benchmarks/checks.py [problem set ...]

"right" is the slowest right solution of tests/. "wrong" is the slowest of a few known mistakes and
of a wrong solution that no hint was written for, where this kernel has seen wrong answers to the
exercise before; "first wrong" is where it has not, and each known mistake is tried for the first
time. The status is 1 if "right" or "wrong" takes half a second.

On two cores of a server with little else to do, "right" and "wrong" are below half a second:

    exercise              right  wrong  first wrong
    sets 1 to 3, at most   0.03   0.12         0.24
    BatchNorm              0.29   0.46         1.67
    fold_conv_bn           0.12   0.14         0.26
    recalibrate            0.19   0.27         0.46
    BatchNormFunction      0.17   0.11         0.29
    BatchNormalization     0.37   0.41         2.77
    build_classifier       0.31   0.13         0.79
    sets 6 and 7, at most  0.42   0.40         0.55
    ResidualBlock          0.09   0.10         0.21
    train                  0.46   0.39         0.73
    deep_net               0.35   0.36         0.68
"""

import contextlib
import importlib
import io
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bncourse import check, diagnosis
from bncourse.check import CheckFailed
from bncourse.registry import load, problem_sets

TESTS = Path(__file__).parent.parent / "tests"
SECONDS = 0.5
# Known mistakes of an exercise, evenly over its list: the later ones take longer to find.
SOME = 3


def seconds(obj, name):
    """Return the seconds of processor time of a self-check."""
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(CheckFailed):
        check(obj, name)
    return time.process_time() - start


def first_and_again(obj, name):
    """Return the seconds where no known mistake has been tried before, and where all have."""
    diagnosis.forget()
    return seconds(obj, name), seconds(obj, name)


def wrong(exercise, unseen):
    """Return a few wrong solutions of an exercise."""
    nameless = [each.obj for each in unseen if each.exercise == exercise.name and not each.names]
    known = [each.obj for each in exercise.mistakes]
    return known[:: max(1, len(known) // SOME)] + nameless[:1]


def main(chosen):
    sys.path.insert(0, str(TESTS))
    headings = ("exercise", "right", "wrong", "first wrong")
    table, quick = Table(*headings, title="Seconds of processor time"), True
    for problem_set in chosen or problem_sets():
        correct = importlib.import_module(f"solutions_{problem_set}").CORRECT
        unseen = importlib.import_module(f"unseen.{problem_set}").TABLE.rows
        for name, exercise in load(problem_set).items():
            # The first check of a process pays for imports.
            seconds(correct[name][0], name)
            right = max(seconds(obj, name) for obj in correct[name])
            pairs = [first_and_again(obj, name) for obj in wrong(exercise, unseen)]
            first, again = (max(each) for each in zip(*pairs, strict=True))
            quick &= max(right, again) < SECONDS
            table.add_row(name, *(f"{each:.2f}" for each in (right, again, first)))
    Console().print(table)
    return 0 if quick else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
