"""Show on which versions the course was tried: the rows that ``make versions`` has measured.

A page asks for the table with an empty ``{versions}`` fence.
"""

import json
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "versions.json"
_FENCE = "```{versions}\n```"


def table():
    """Return the table in Markdown."""
    rows = json.loads(RESULTS.read_text())["rows"]
    return "\n".join(
        ["| Python | with | sets | right answers | mistakes |", "|---|---|---|---|---|"]
        + [
            f"| {row['python']} | {_packages(row)} | {_sets(row)} | {_of(row, 'right', 'passed')} "
            f"| {_of(row, 'mistakes', 'named')} |"
            for row in rows
        ]
    )


def _packages(row):
    names = row.get("versions") or dict.fromkeys(row["requirements"], "")
    return ", ".join(f"{name} {version}".strip() for name, version in names.items())


def _sets(row):
    return ", ".join(name[2] for name in row["sets"])


def _of(row, kind, word):
    return "{} of {} {}".format(*row[kind], word) if kind in row else "refused by pip"


def _fill_page(app, name, source):
    source[0] = source[0].replace(_FENCE, table())


def setup(app):
    """Fill in the table before a page is read."""
    app.connect("source-read", _fill_page, priority=300)
    return {"parallel_read_safe": True}
