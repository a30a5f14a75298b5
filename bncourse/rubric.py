"""What earns a point in a written answer: one list in the text of the task, for all who need it."""

import re

_ITEM = re.compile(r"^- (\d+(?:\.\d+)?) points? for (.+?)[,.;]?$", re.MULTILINE)
_EACH = re.compile(r"each of the (two|three|four|five) ")
_COUNT = {"two": 2, "three": 3, "four": 4, "five": 5}


def rubric_of(text, most):
    """Return ``[{"points", "text"}]``, the list of a task, or nothing if it has none.

    Args:
        text: of the cell above the answer; a line of its list begins with *1 point for*.
        most: the points that the answer can earn.

    Raises:
        ValueError: the points of the list are not those of the answer.

    >>> rubric_of("- 1 point for the mean,\\n- 1 point for each of the two lines.", 3)[1:]
    [{'points': 1, 'text': 'each of the two lines (1)'}, {'points': 1, 'text': \
'each of the two lines (2)'}]
    """
    items = [item for points, what in _ITEM.findall(text) for item in _items(float(points), what)]
    total = sum(item["points"] for item in items)
    if items and total != most:
        raise ValueError(
            f"A list of what earns points must add up to those of its answer, {most:g}. "
            f"Received: {total:g}"
        )
    return items


def _items(points, what):
    each = _EACH.match(what)
    if not each:
        return [_item(points, what)]
    head, _, rest = what.partition(":")
    tail = rest and f":{rest}"
    return [_item(points, f"{head} ({n}){tail}") for n in range(1, _COUNT[each[1]] + 1)]


def _item(points, text):
    return {"points": int(points) if points.is_integer() else points, "text": text}
