"""Try the course on the oldest and the newest versions that it promises, in fresh environments.

    python benchmarks/versions.py [number of a row ...]

Each row of ``MATRIX`` is installed anew. In it each right solution must pass its check, and each
known mistake must fail under its own name. ``results/versions.json`` keeps the rows, for the table
of the students' guide. A row whose Python is not on this machine is left as it was, one that
``MATRIX`` does not have any more is dropped.
Exit status 1 if anything is misjudged.
"""

import importlib
import json
import os
import shutil
import sys
import warnings
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "versions.json"
NUMPY_SETS = ("ps1_forward", "ps2_backward", "ps3_convolution")
LAYER_SETS = ("ps4_pytorch", "ps5_keras")
TORCH_SETS = ("ps6_shift", "ps7_batches", "ps8_capstone")


@dataclass(frozen=True)
class Row:
    """One environment to try.

    Args:
        python: its version, such as "3.11".
        requirements: what pip installs beside the course.
        sets: the problem sets that it is to serve.
        backend: what Keras computes with.
    """

    python: str
    requirements: tuple[str, ...]
    sets: tuple[str, ...]
    backend: str = "torch"


# The oldest that bncourse.registry accepts, and the newest that pip finds.
MATRIX = (
    Row("3.10", ("numpy",), NUMPY_SETS),
    Row("3.11", ("numpy==1.26.0",), NUMPY_SETS),
    Row("3.12", ("numpy",), NUMPY_SETS),
    Row("3.13", ("numpy",), NUMPY_SETS),
    Row("3.11", ("numpy==1.26.4", "torch==2.6.0", "keras==3.8.0"), LAYER_SETS),
    Row("3.13", ("numpy", "torch", "keras"), (*NUMPY_SETS, *LAYER_SETS)),
    Row("3.11", ("numpy==1.26.4", "torch==2.6.0"), TORCH_SETS),
    Row("3.13", ("numpy", "torch"), TORCH_SETS),
    Row("3.11", ("keras==3.8.0", "jax"), ("ps5_keras",), "jax"),
    Row("3.13", ("keras", "jax"), ("ps5_keras",), "jax"),
    Row("3.11", ("keras==3.8.0", "tensorflow-cpu"), ("ps5_keras",), "tensorflow"),
    Row("3.13", ("keras", "tensorflow-cpu"), ("ps5_keras",), "tensorflow"),
)

# Where pyenv, the package manager or the machine puts the interpreters.
_FOLDERS = (Path.home() / ".pyenv" / "versions",)


def interpreter(python):
    """Return the path of an interpreter of a version, or None."""
    for folder in _FOLDERS:
        for found in sorted(folder.glob(f"{python}.*/bin/python")):
            return found
    return shutil.which(f"python{python}")


def try_out(row, python):
    """Return what is to be kept of a row: versions and counts, or why it was refused."""
    from environments import Refused, environment

    with environment(python) as fresh:
        # An installer that is too old does not know the wheels of today.
        fresh.install("--upgrade", "pip")
        try:
            fresh.install(".", *row.requirements)
        except Refused as reason:
            return asdict(row) | {"refused": str(reason)}
        names = [
            "numpy",
            *(
                name
                for name in ("torch", "keras", "jax", "tensorflow-cpu")
                if any(each.partition("==")[0] == name for each in row.requirements)
            ),
        ]
        env = os.environ | {"KERAS_BACKEND": row.backend, "PYTHONPATH": str(ROOT / "tests")}
        counts = json.loads(fresh.run(__file__, "--inside", *row.sets, env=env).splitlines()[-1])
        return asdict(row) | {"versions": {each: fresh.version(each) for each in names}} | counts


def judge_sets(sets):
    """Return how many right solutions pass and how many mistakes are named, of how many."""
    from bncourse.registry import load

    passed, named, misjudged = [], [], []
    for name in sets:
        right = importlib.import_module(f"solutions_{name}").CORRECT
        for exercise in load(name).values():
            for solution in right[exercise.name]:
                good = _verdict(exercise, solution).kind == "ok"
                passed.append(good)
                misjudged += [] if good else [f"{exercise.name}: {solution.__name__}"]
            for mistake in exercise.mistakes:
                good = _verdict(exercise, mistake.obj).mistake is mistake
                named.append(good)
                misjudged += [] if good else [f"{exercise.name}: {mistake.name}"]
    return {
        "right": [sum(passed), len(passed)],
        "mistakes": [sum(named), len(named)],
        "misjudged": misjudged,
    }


def _verdict(exercise, obj):
    from bncourse.attempt import attempt
    from bncourse.exercise import draw_cases
    from bncourse.judge import judge

    cases = draw_cases(exercise, 0)
    with warnings.catch_warnings():
        # A wrong solution may divide by zero; the verdict is what counts here.
        warnings.simplefilter("ignore")
        return judge(exercise, cases, {k: attempt(exercise, obj, c) for k, c in cases.items()})


def put(kept, result):
    """Return the rows in the order of ``MATRIX``, with a new result in its place.

    Args:
        kept: the rows of the file.
        result: of one row; it takes the place of an older one.
    """
    rows = [*kept, result]
    places = [_place(row) for row in rows]
    newest = {place: row for place, row in zip(places, rows, strict=True) if place is not None}
    return [newest[place] for place in sorted(newest)]


def _place(kept):
    rows = (json.loads(json.dumps(asdict(row))) for row in MATRIX)
    return next((n for n, row in enumerate(rows) if row.items() <= kept.items()), None)


def main(numbers):
    """Try rows, keep what they give, and return the exit status."""
    kept = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    wrong = 0
    for number, row in enumerate(MATRIX):
        python = interpreter(row.python)
        if (numbers and number not in numbers) or not python:
            continue
        # As the file has it, so that rows compare.
        result = json.loads(json.dumps(try_out(row, python)))
        kept = put(kept, result)
        wrong += len(result.get("misjudged", ()))
        text = json.dumps({"date": date.today().isoformat(), "rows": kept}, indent=1)
        RESULTS.write_text(text + "\n")
        print(number, json.dumps(result), flush=True)
    return int(bool(wrong))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        print(json.dumps(judge_sets(sys.argv[2:])))
        sys.exit()
    sys.exit(main({int(each) for each in sys.argv[1:]}))
