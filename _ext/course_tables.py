"""Tables of the course for its teachers: what to read and what to do, with minutes and points.

A page asks for one with an empty ``{chapters-table}`` or ``{exercises-table}`` fence, for the
hours of all exercises with ``{{ hours }}``, and for the number of a chapter with
``{{ chapter:NAME }}``. All of it is read from the chapters and the exercises.
"""

import re
from pathlib import Path

from claim_cards import expanded
from reading_time import measure

from bncourse.contents import CHAPTERS, number_of
from bncourse.registry import PROBLEM_SETS

ROOT = Path(__file__).parents[1]
_EXERCISE = re.compile(
    r"^## (?P<number>\d+)\. (?P<title>.*)\n\n(?P<stars>★+) · (?P<minutes>\d+) minutes "
    r"· (?P<points>\d+) points? · equations? (?P<tags>.*)$",
    re.M,
)
_TAG = re.compile(r"\((\w+)\)")
_HOURS = "{{ hours }}"
_NUMBER = re.compile(r"\{\{ chapter:(\w+) \}\}")


def chapters():
    """Return the table of chapters in Markdown, links relative to ``chapters/``."""
    rows = [
        f"| {number_of(each)} | [{each.title}]({each.page}.md) | {each.question} "
        f"| {_minutes(each.page)} |"
        for each in CHAPTERS
    ]
    return "\n".join(["| | chapter | question | minutes |", "|---|---|---|---|", *rows])


def _minutes(page):
    return measure(expanded((ROOT / "chapters" / f"{page}.md").read_text())).minutes


def exercises_of(each):
    """Return the exercises of a ProblemSet as dicts of what stands below their headings."""
    text = (ROOT / "solutions" / each.name / f"{each.notebook}.md").read_text()
    return [found.groupdict() for found in _EXERCISE.finditer(text)]


def _numbers():
    return {each.page: number_of(each) for each in CHAPTERS}


def minutes_of(each):
    """Return the minutes of a ProblemSet, the sum over its exercises."""
    return sum(int(one["minutes"]) for one in exercises_of(each))


def hours():
    """Return the hours of all sets that are not optional, a whole number."""
    return round(sum(map(minutes_of, PROBLEM_SETS)) / 60)


def exercises():
    """Return the table of exercises in Markdown, with a row for each set above its own."""
    lines = ["| | exercise | trains | stars | minutes | points |", "|---|---|---|---|---|---|"]
    for each in PROBLEM_SETS:
        found = exercises_of(each)
        points = sum(int(one["points"]) for one in found)
        heading = each.title[0].upper() + each.title[1:]
        link = f"[{heading}](../exercises/{each.name}/{each.notebook}.ipynb)"
        lines.append(f"| **{each.number}** | **{link}** | | | {minutes_of(each)} | {points} |")
        lines += [_row(each, one) for one in found]
    return "\n".join(lines)


def _row(each, one):
    tags = _TAG.sub(r"[(\1)](#\1)", one["tags"])
    cells = [f"{each.number}.{one['number']}", one["title"], tags]
    return f"| {' | '.join([*cells, one['stars'], one['minutes'], one['points']])} |"


def _fill_page(app, name, source):
    for word, table in (("chapters-table", chapters), ("exercises-table", exercises)):
        fence = f"```{{{word}}}\n```"
        if fence in source[0]:
            source[0] = source[0].replace(fence, table())
    if _HOURS in source[0]:
        source[0] = source[0].replace(_HOURS, str(hours()))
    source[0] = _NUMBER.sub(lambda found: str(_numbers()[found[1]]), source[0])


def setup(app):
    """Fill in the tables before a page is read."""
    app.connect("source-read", _fill_page, priority=300)
    return {"parallel_read_safe": True}
