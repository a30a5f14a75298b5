"""Measure the way of a student from nothing to the first verdict.

    python benchmarks/first_check.py [number of a row ...]

Each row of ``WAYS`` is installed in a fresh environment, with the line that the course tells, and
the first check runs in it. ``results/first_check.json`` keeps what that took, for the table under
"Get the exercises"; a row that is not measured stays as it was. The seconds are those that one core
works, so they do not depend on what else the machine does; who waits for a download adds that.
"""

import json
import sys
from pathlib import Path

from environments import environment, worked

RESULTS = Path(__file__).parent / "results" / "first_check.json"

# What it is for, the packages beside the course, and an exercise to check there.
WAYS = (
    ("Sets 1 to 3, in an editor", (), "normalize"),
    ("Sets 1 to 3, in JupyterLab", ("jupyterlab", "matplotlib"), "normalize"),
    ("Sets 4 and 6 to 8, PyTorch for CPUs", ("jupyterlab", "matplotlib", "torch"), "BatchNorm"),
    (
        "Set 5, PyTorch for CPUs",
        ("jupyterlab", "matplotlib", "torch", "keras"),
        "BatchNormalization",
    ),
)
# In the place of "torch": the version of requirements.txt as it is built for CPUs, which pip has to
# find, by --find-links or an index of PyTorch's.
CPU = "torch==2.13.0+cpu"


def measure(packages, name):
    """Return what an installation and the first check in it took."""
    with environment(sys.executable) as fresh:
        installed = fresh.install(".", *(CPU if each == "torch" else each for each in packages))
        start = worked()
        code = (
            "from bncourse import check\n"
            "from bncourse.check import CheckFailed\n"
            f"try: check(len, {name!r})\n"
            "except CheckFailed as verdict: print(verdict)"
        )
        assert f"{name} is not right yet" in fresh.run("-c", code)
        check = worked() - start
    return {
        "download": installed.download,
        "disk": installed.disk,
        "seconds": round(installed.seconds),
        "check": round(check, 1),
    }


def main(numbers):
    """Measure rows, and keep them in the order of ``WAYS``."""
    for number, (purpose, packages, name) in enumerate(WAYS):
        if numbers and number not in numbers:
            continue
        row = {"for": purpose, "packages": packages} | measure(packages, name)
        print(row, flush=True)
        kept = {each["for"]: each for each in json.loads(RESULTS.read_text())} | {purpose: row}
        rows = [kept[way[0]] for way in WAYS if way[0] in kept]
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main({int(each) for each in sys.argv[1:]})
