"""What a page of feedback says about each exercise: the words of the template in ``page/``."""

import re
from dataclasses import dataclass

from bs4 import BeautifulSoup
from pygments.formatters import HtmlFormatter

from bncourse import addresses
from bncourse.contents import chapter_of
from bncourse.grading.nbgrader.formulas import FORMULA, typeset

_WORDS = {
    "wrong": "not right yet",
    "error": "raised an error",
    "timeout": "took too long",
    "limit": "needed more than it may",
    "crashed": "crashed",
    "malformed": "could not be read",
    "missing": "missing",
}
_LABEL = re.compile(
    r"((?:So far|Partial credit|Likely cause|It may be|And it may be|And|Re-read)"
    r"(?:, for [^:]*)?): (.*)"
)
_PLACE = re.compile(r"(\((\w+)\) in chapter .*) \([^()]*\)\.$")
_HEADING = re.compile(r"^#{1,3} +(.+?)\s*$", re.MULTILINE)
# As ``bncourse.message`` wraps them.
_WIDTH = 88


@dataclass(frozen=True)
class Line:
    """A line of what a check says: a label or none, a text, and where the text links to or not."""

    label: str
    text: str
    address: str = ""


@dataclass(frozen=True)
class Result:
    """What came of one exercise.

    Args:
        name: its name, the grade_id of its cell.
        title: the heading above it.
        label: its name in the course; for a written answer, the heading.
        words: the result in words.
        state: right, wrong, waiting or graded.
        points: as "1.5 of 2".
        lines: the Lines that the check says.
    """

    name: str
    title: str
    label: str
    words: str
    state: str
    points: str
    lines: tuple = ()


@dataclass(frozen=True)
class Told:
    """What a page says in all: its title, the points, the Results by name, the comments."""

    title: str
    total: str
    waiting: str
    penalty: str
    right: str
    results: dict
    comments: dict


def results_of(notebook, told):
    """Return the Told of a graded notebook.

    Args:
        notebook: with the points and comments that nbgrader's GetGrades puts into it.
        told: what nbgrader says about it: notebook, score, max_score, late_penalty; and under
            ``waiting`` the names of what nobody has graded yet.
    """
    waiting = told.get("waiting", ())
    titles = _titles(notebook)
    marked = [cell for cell in notebook.cells if cell.metadata.get("nbgrader")]
    graded = [cell for cell in marked if _mark(cell, "grade") or _mark(cell, "task")]
    results = {}
    for cell in graded:
        name = cell.metadata.nbgrader.grade_id
        results[name] = _result(cell, titles[name], name in waiting)
    late = told.get("late_penalty") or 0
    open_points = sum(_mark(cell, "points") or 0 for cell in graded if _name(cell) in waiting)
    return Told(
        title=_first_heading(notebook) or told["notebook"],
        total=f"{_of(told['score'], told['max_score'])} points",
        waiting=_number(open_points) if open_points else "",
        penalty=_number(late) if late else "",
        right=_count(cell for cell in graded if not _by_hand(cell)),
        results=results,
        comments={_name(cell): titles[_name(cell)] for cell in marked if _by_teacher(cell)},
    )


def _by_teacher(cell):
    # nbgrader's own words on an answer that is as it was released; its points say the same.
    return _mark(cell, "comment") not in (None, "", "No response.")


def _result(cell, title, waits):
    name, mark = _name(cell), cell.metadata.nbgrader
    points = _of(mark.get("score"), mark.get("points"))
    if waits:
        words = "waiting for your teacher"
        return Result(name, title, title, words, "waiting", f"of {_number(mark.get('points'))}")
    if _by_hand(cell):
        return Result(name, title, title, "graded", "graded", points)
    error = _error(cell)
    state = "wrong" if error else "right"
    words = _WORDS.get(error.ename, _WORDS["wrong"]) if error else "right"
    if error and mark.get("score"):
        words = "partly right"
    return Result(name, f"{title} ({name})", name, words, state, points, tuple(_lines(cell)))


def _count(automatic):
    errors = [_error(cell) for cell in automatic]
    if not errors:
        return ""
    right = sum(error is None for error in errors)
    return f"{right} of {len(errors)} checks {'is' if right == 1 else 'are'} right."


def _lines(cell):
    """Yield the Lines of what a check says about an answer."""
    error = _error(cell)
    # The first line of an error is the word that is told above it.
    texts = error.traceback[1:] if error else _printed(cell).splitlines()
    for text in unwrapped(texts):
        found = _LABEL.fullmatch(text)
        label, rest = found.groups() if found else ("", text)
        yield _place(rest) if label == "Re-read" else Line(label, rest)


def unwrapped(lines):
    """Return lines with those joined that were one before ``textwrap`` broke it.

    >>> unwrapped(["one", "a" * 80 + " and", "continued there", "two"])[1][-19:]
    'and continued there'
    """
    joined, last = [], ""
    for line in map(str.rstrip, lines):
        words = line.split(maxsplit=1)
        if joined and words and len(last) + 1 + len(words[0]) > _WIDTH >= len(last):
            joined[-1] += f" {line.lstrip()}"
        elif words:
            joined.append(line.strip())
        last = line
    return joined


def _place(text):
    """Return the Line on what to read again, a link where the course has a website."""
    found = _PLACE.match(text)
    try:
        page = f"chapters/{chapter_of(found[2]).page}#{found[2]}"
    except (KeyError, TypeError):
        return Line("Re-read", text)
    address = addresses.page(page)
    return Line("Re-read", found[1] if address else text, address)


def readable(html):
    """Return safe HTML with its formulas set: no program does so where the page is read.

    >>> "<msub><mi>x</mi><mn>1</mn></msub>" in readable("<p>of $x_1$</p>")
    True
    >>> readable(r"<p>of $\\no$</p>")
    '<p>of <code>\\\\no</code></p>'
    """
    soup = BeautifulSoup(html, "html.parser")
    for text in soup.find_all(string=FORMULA):
        if not text.find_parent(["code", "pre", "a"]):
            text.replace_with(*_parts(text))
    # A drawing of characters scrolls on a phone, by keyboard too.
    for each in soup.find_all("pre"):
        each["tabindex"] = "0"
    return str(soup)


def _parts(text):
    """Yield the parts of a text: formulas as elements, the rest as it is."""
    end = 0
    for found in FORMULA.finditer(text):
        yield text[end : found.start()]
        yield typeset(found)
        end = found.end()
    yield text[end:]


def colours(style):
    """Return the rules of a style of Pygments, its background left to the page."""
    rules = HtmlFormatter(style=style, nobackground=True).get_style_defs(".highlight")
    return "\n".join(line for line in rules.splitlines() if line.startswith(".highlight"))


def _titles(notebook):
    """Return ``{grade_id: the heading above it}``; a student's own headings do not count."""
    titles, title = {}, ""
    for cell in notebook.cells:
        name = _name(cell)
        if name:
            titles[name] = title or name
        elif cell.cell_type == "markdown":
            title = _heading(cell) or title
    return titles


def _first_heading(notebook):
    texts = [cell for cell in notebook.cells if cell.cell_type == "markdown" and not _name(cell)]
    return next(filter(None, map(_heading, texts)), "")


def _heading(cell):
    found = _HEADING.search(cell.source)
    return re.sub(r"[`$*]", "", found[1]) if found else ""


def _mark(cell, key):
    return cell.metadata.get("nbgrader", {}).get(key)


def _name(cell):
    return _mark(cell, "grade_id")


def _by_hand(cell):
    return bool(_mark(cell, "solution") or _mark(cell, "task"))


def _error(cell):
    return next((each for each in cell.get("outputs", ()) if each.output_type == "error"), None)


def _printed(cell):
    return "".join(each.text for each in cell.outputs if each.output_type == "stream")


def _of(score, most):
    return f"{_number(score)} of {_number(most)}"


def _number(value):
    return f"{round(value or 0, 2):g}"
