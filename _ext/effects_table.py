"""Show which effects hold on which images: what ``make effects`` has measured.

A page asks for the table with an empty ``{effects}`` fence, and for the date and the versions with
``{{ effects-measured }}``.
"""

import json
from pathlib import Path

import numpy as np

from bncourse.contents import CHAPTERS, number_of
from bncourse.lab.effects import EFFECTS

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "effects.json"
NAMES = {"digits": "digits", "fashion": "Fashion-MNIST", "mnist": "MNIST"}
_FENCE = "```{effects}\n```"
_MEASURED = "{{ effects-measured }}"


def read():
    """Return what was measured."""
    return json.loads(RESULTS.read_text())


def table(whole):
    """Return the table in Markdown: a row for each effect, a column for each data set."""
    datasets = [name for name in NAMES if any(name in row for row in whole["rows"].values())]
    head = ["effect", "chapter", "unit", *(NAMES[name] for name in datasets), "paper"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for effect in EFFECTS:
        row = whole["rows"][effect.name]
        cells = [_cell(row[name]) if name in row else "" for name in datasets]
        paper = f"{{cite:t}}`{effect.paper}`: {effect.agrees}"
        place = f"[{_number(effect.page)}](#{effect.shown})"
        lines.append("| " + " | ".join([effect.name, place, effect.unit, *cells, paper]) + " |")
    return "\n".join(lines)


def measured(whole):
    """Return when, and with what, in words."""
    packages = ", ".join(f"{name} {version}" for name, version in whole["versions"].items())
    return f"{whole['date']}, {packages}"


def _number(page):
    (chapter,) = (chapter for chapter in CHAPTERS if chapter.page == page)
    return number_of(chapter)


def _cell(found):
    said = "**holds**" if found["holds"] else "**does not hold**"
    parts = [f"{name} {_spread(values)}" for name, values in found["values"].items()]
    return said + ": " + "; ".join(parts)


def _spread(values):
    # Not finite is None in the file: a network that did not get there.
    numbers = np.array([np.inf if value is None else value for value in values])
    shown = [_short(value) for value in (np.median(numbers), numbers.min(), numbers.max())]
    return "{} ({} to {})".format(*shown)


def _short(value):
    return f"{value:.3g}" if np.isfinite(value) else "never"


def _fill_page(app, name, source):
    if _FENCE in source[0]:
        whole = read()
        source[0] = source[0].replace(_FENCE, table(whole)).replace(_MEASURED, measured(whole))


def setup(app):
    """Fill in the table before a page is read."""
    app.connect("source-read", _fill_page, priority=300)
    return {"parallel_read_safe": True}
