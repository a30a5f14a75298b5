"""Measure the main effects of the experiments on digits and on other images.

    python benchmarks/effects.py [--missing] [data set ...]

``results/effects.json`` keeps what was measured, for the table of the page on the effects. The data
sets are those of ``bncourse.lab.data``: digits and fashion unless others are named; mnist is
fetched by Keras. With ``--missing``, what the file holds already is not measured again: a run that
was ended goes on.
"""

import json
import sys
from datetime import date
from pathlib import Path

from bncourse.lab import data, effects

RESULTS = Path(__file__).parent / "results" / "effects.json"


def main(datasets, only_missing):
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
    kept = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else {}
    rows = {effect.name: kept.get(effect.name, {}) for effect in effects.EFFECTS}
    pairs = [
        (effect, dataset)
        for effect in effects.EFFECTS
        for dataset in datasets
        if not (only_missing and dataset in rows[effect.name])
    ]
    for number, (effect, dataset, found) in enumerate(effects.run(pairs), start=1):
        rows[effect.name][dataset] = found
        said = "holds" if found["holds"] else "does not hold"
        print(f"[{number}/{len(pairs)}] {dataset}: {effect.name}: {said}", flush=True)
        whole = {"date": str(date.today()), "versions": effects.versions(), "rows": rows}
        RESULTS.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    named = [argument for argument in sys.argv[1:] if argument != "--missing"]
    main(named or ["digits", "fashion"], "--missing" in sys.argv)
