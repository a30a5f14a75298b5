"""Show which effects hold on which images: what ``make effects`` has measured.

A page asks for the table with an empty ``{effects}`` fence, for the numbers with an empty fence
``{effects} numbers``, and for the date and the versions with ``{{ effects-measured }}``.
"""

import json
from pathlib import Path

import numpy as np

from bncourse.contents import CHAPTERS, number_of
from bncourse.lab.effects import EFFECTS

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "effects.json"
NAMES = {"digits": "digits", "fashion": "Fashion-MNIST", "mnist": "MNIST"}
_FENCE = "```{effects}\n```"
_NUMBERS = "```{effects} numbers\n```"
_MEASURED = "{{ effects-measured }}"


def read():
    """Return what was measured."""
    return json.loads(RESULTS.read_text())


def table(whole):
    """Return the table in Markdown: a row for each effect, a column for each data set."""
    datasets = _datasets(whole)
    head = ["effect", "chapter", *(NAMES[name] for name in datasets)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for effect in EFFECTS:
        row = whole["rows"][effect.name]
        cells = [_word(row[name]) if name in row else "" for name in datasets]
        lines.append("| " + " | ".join([effect.name, _place(effect), *cells]) + " |")
    return "\n".join(lines)


def numbers(whole):
    """Return a list in Markdown of what each effect was judged by, and of what its paper says."""
    lines = []
    for effect in EFFECTS:
        lines.append(f"- {effect.name} ({_place(effect)}, {effect.unit}).")
        for name in _datasets(whole):
            found = whole["rows"][effect.name].get(name)
            if found:
                lines.append(f"  - {NAMES[name]}: {_values(found)}.")
        lines.append(f"  - {{cite:t}}`{effect.paper}`: {effect.agrees}.")
    return "\n".join(lines)


def _datasets(whole):
    return [name for name in NAMES if any(name in row for row in whole["rows"].values())]


def _place(effect):
    (chapter,) = (chapter for chapter in CHAPTERS if chapter.page == effect.page)
    return f"[{number_of(chapter)}](#{effect.shown})"


def measured(whole):
    """Return when, and with what, in words."""
    packages = ", ".join(f"{name} {version}" for name, version in whole["versions"].items())
    return f"{whole['date']}, {packages}"


def _word(found):
    return "holds" if found["holds"] else "**does not hold**"


def _values(found):
    return "; ".join(f"{name} {_spread(values)}" for name, values in found["values"].items())


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
        filled = {_FENCE: table(whole), _NUMBERS: numbers(whole), _MEASURED: measured(whole)}
        for mark, text in filled.items():
            source[0] = source[0].replace(mark, text)


def setup(app):
    """Fill in the table before a page is read."""
    app.connect("source-read", _fill_page, priority=300)
    return {"parallel_read_safe": True}
