"""One page of HTML about a class: no script, no server, readable in grey."""

from html import escape

from bncourse.glance.facts import GRADED, LEFT, MISSING, UNGRADED, WAITING
from bncourse.grading.outcome import WORDS, plain

_BINS = 10
_WIDTH, _HEIGHT, _BAR = 560, 160, 22
_MOST_MISTAKES = 30

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; } th, td { padding: .2em .5em; text-align: left; }
th { border-bottom: 2px solid; } td { border-bottom: 1px solid #8888; } svg { max-width: 100%; }
svg { height: auto; }
td:last-child { min-width: 12em; overflow-wrap: anywhere; } .wide { overflow-x: auto; }
""".strip()


def page_of(facts, names):
    """Return the page.

    Args:
        facts: the Facts.
        names: ``{student: how the page calls them}``; see ``anonymous``.
    """
    parts = [
        f"<h1>{escape(facts.problem_set)}: the class</h1>",
        _summary(facts),
        *_old(facts),
        "<h2>Distribution of points</h2>",
        _histogram(facts),
        "<h2>Outcome of each exercise</h2>",
        _table(["exercise", *WORDS, "longest, s"], _outcome_rows(facts)),
        "<h2>Known mistakes</h2>",
        _table(["students", "exercise", "what they were told"], facts.mistakes[:_MOST_MISTAKES]),
        "<h2>Regrade requests</h2>",
        _table(["student", "asks", "flag"], request_rows(facts, names)),
        "<h2>Students</h2>",
        _table(["student", "state", "points", "handed in (UTC)", "look at"], _rows(facts, names)),
    ]
    body = "\n".join(parts)
    screen = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f'<meta charset="utf-8">{screen}<title>{escape(facts.problem_set)}</title>'
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def states(facts):
    """Return ``[(what, number of students)]``, the classes that each student is in one of."""
    always = [(state, facts.count(state)) for state in (GRADED, WAITING, UNGRADED, MISSING)]
    return [*always, *([(LEFT, facts.count(LEFT))] if facts.count(LEFT) else [])]


def _summary(facts):
    rows = [*states(facts), ("late", sum(each.late for each in facts.standings))]
    unknown = [each.student for each in facts.standings if not each.known]
    return _table(["", "students"], [*rows, ("not in the list of the class", len(unknown))])


def _old(facts):
    rows = facts.old()
    table = _table(["students", "what", "by"], rows)
    return ["<h2>To bring up to date</h2>", table] if rows else []


def _outcome_rows(facts):
    return [
        [name, *(counts[word] or "" for word in WORDS), f"{facts.seconds[name]:.2f}"]
        for name, counts in facts.outcomes.items()
    ]


def request_rows(facts, names):
    """Yield a row for each regrade request: the student, the sentence, the flag of nbgrader.

    Args:
        facts: the Facts.
        names: as for ``page_of``; where a student is not named, neither are their own words.
    """
    for each in facts.standings:
        for text in each.requests:
            shown = text if names[each.student] == each.student else "(their own words)"
            yield names[each.student], shown, "up" if each.flagged else "not up"


def _rows(facts, names):
    for each in facts.standings:
        name = names[each.student] + ("" if each.known else " (not in the list)")
        points = "" if each.points is None else f"{each.points:g}"
        time = f"{each.time:%Y-%m-%d %H:%M}{' late' if each.late else ''}" if each.time else ""
        # What a grader says of a file may name its student.
        known = [*each.old, *each.look]
        look = "; ".join(known) if names[each.student] == each.student else len(known)
        yield [name, each.state, points, time, look or ""]


def histogram(points, most, bins=_BINS):
    """Return how many of the points fall into each of some equal parts of the range.

    >>> histogram([0, 4.9, 5, 10], 10, bins=2)
    [2, 2]
    """
    counts = [0] * bins
    for value in points:
        counts[min(int(value / most * bins), bins - 1) if most else 0] += 1
    return counts


def _histogram(facts):
    points = [each.points for each in facts.standings if each.points is not None]
    counts = histogram(points, facts.most)
    tallest, width = max([*counts, 1]), _WIDTH / _BINS
    bars = []
    for index, count in enumerate(counts):
        height = count / tallest * (_HEIGHT - 2 * _BAR)
        left, top = index * width, _HEIGHT - _BAR - height
        low, high = (facts.most * each / _BINS for each in (index, index + 1))
        bars.append(
            f'<rect x="{left + 2:.1f}" y="{top:.1f}" width="{width - 4:.1f}" '
            f'height="{height:.1f}" fill="#4a6785"/>'
            f'<text x="{left + width / 2:.1f}" y="{top - 4:.1f}">{count or ""}</text>'
            f'<text x="{left + width / 2:.1f}" y="{_HEIGHT - 6}">{low:g}\N{EN DASH}{high:g}</text>'
        )
    label = f"{len(points)} students with points, of {facts.most:g}: {counts} from few to many"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" '
        f'aria-label="{escape(label)}" font-size="11" text-anchor="middle" '
        f'fill="currentColor">{"".join(bars)}</svg>'
    )


def _table(headings, rows):
    head = "".join(f"<th>{escape(each)}</th>" for each in headings)
    lines = [
        "<tr>" + "".join(f"<td>{escape(plain(str(each)))}</td>" for each in row) + "</tr>"
        for row in rows
    ]
    body = "".join(lines) or f'<tr><td colspan="{len(headings)}">none</td></tr>'
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'
