"""Measure the main effects of chapters 8 to 12 on digits and on other images.

    python benchmarks/effects.py [data set ...]

``results/effects.json`` keeps what was measured, for the table of the page on the effects; a data
set that is not named keeps its old values. The data sets are those of ``bncourse.lab.data``: digits
and fashion unless others are named; mnist is fetched by Keras.
"""

import json
import sys
from datetime import date
from pathlib import Path

from bncourse.lab import data, effects

RESULTS = Path(__file__).parent / "results" / "effects.json"


def main(datasets):
    """Measure, say each result as it comes, and write after each."""
    unknown = set(datasets) - set(data.DATASETS)
    if unknown:
        known = ", ".join(data.DATASETS)
        sys.exit(f"A data set must be one of {known}. Received: {', '.join(unknown)}")
    if "fashion" in datasets and not data.fashion_is_installed():
        sys.exit("Fashion-MNIST is missing. On Debian or Ubuntu: apt install dataset-fashion-mnist")
    if "mnist" in datasets:
        # Whether it can be had shows before the first measurement.
        data.mnist()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known = {effect.name for effect in effects.EFFECTS}
    rows = {name: row for name, row in kept.get("rows", {}).items() if name in known}
    total = len(effects.EFFECTS) * len(datasets)
    for number, (effect, dataset, found) in enumerate(effects.run(datasets), start=1):
        rows.setdefault(effect.name, {})[dataset] = found
        said = "holds" if found["holds"] else "does not hold"
        print(f"[{number}/{total}] {dataset}: {effect.name}: {said}", flush=True)
        whole = {"date": str(date.today()), "versions": effects.versions(), "rows": rows}
        RESULTS.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or ["digits", "fashion"])
