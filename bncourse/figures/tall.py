"""The form of a figure for a phone: narrow, its panels below each other, its letters as large.

A column of 360 pixels shows a figure of 6.4 inches with letters of half their size. The form here
is as wide as letters of 9 points need to be 10 pixels high there.
"""

import math
import warnings

from matplotlib.text import Text

WIDTH = 4.4
# Inches: of one panel of several, at least and at most.
_LOW, _HIGH = 1.9, 2.5
# What is tried in turn, as factors of the size: letters as large as they can be come first.
_WIDER, _HIGHER = (1, 1.06), (1, 1.2)
# More panels than these stand two in a row.
_STACKED = 3
# Pixels by which the boxes about two words may meet: a box is larger than its letters.
_TOUCH = 3


def make_tall(made):
    """Lay a figure out for a phone, where it stands: the first form in which nothing new collides.

    Args:
        made: a matplotlib Figure.

    Returns:
        whether all of its words have room there.
    """
    if made.get_size_inches()[0] <= WIDTH:
        return False
    words_before, faults_before = _faults(made)
    panels = _panels(made)
    height = made.get_size_inches()[1]
    if len(panels) > 1:
        height = _stack(made, panels, height)
    forms = [(WIDTH * wider, height * higher) for wider in _WIDER for higher in _HIGHER]
    found = []
    for form in forms:
        made.set_size_inches(form)
        found.append(_faults(made))
        if found[-1] <= (words_before, faults_before):
            return True
    best = min(range(len(forms)), key=found.__getitem__)
    made.set_size_inches(forms[best])
    return found[best][0] <= words_before


def _panels(made):
    """Return the axes by the cell of the one grid of a figure; none if its grid is another."""
    cells = {}
    for axis in made.axes:
        place = axis.get_subplotspec()
        if place is None or place.num1 != place.num2 or place != place.get_topmost_subplotspec():
            return {}
        cells.setdefault(place.num1, []).append(axis)
    grids = {id(axis.get_gridspec()) for axis in made.axes}
    return dict(sorted(cells.items())) if len(grids) == 1 else {}


def _stack(made, panels, height):
    """Put panels below each other, and return the height in inches."""
    rows, columns = made.axes[0].get_gridspec().get_geometry()
    if columns == 1:
        return height
    across = 1 if len(panels) <= _STACKED else 2
    down = math.ceil(len(panels) / across)
    grid = made.add_gridspec(down, across)
    first = next(iter(panels.values()))[0]
    for index, axes in enumerate(panels.values()):
        for axis in axes:
            axis.set_subplotspec(grid[index // across, index % across])
        if index % across == 0:
            _show_scale(axes[0], first)
    return down * min(max(height / rows, _LOW), _HIGH)


def _show_scale(axis, first):
    """Give a panel at the left the scale that it shared with the first."""
    if axis.axison and axis.get_shared_y_axes().joined(axis, first):
        axis.tick_params(labelleft=first.yaxis.get_tick_params().get("labelleft", True))
        axis.set_ylabel(axis.get_ylabel() or first.get_ylabel())


def _words(made):
    """Return the boxes, in pixels, of all that is written in a figure, with their frames."""
    ticks = {}
    for axis in (each for axes in made.axes for each in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            seen = axis.axes.axison and low <= tick.get_loc() <= high
            ticks |= {tick.label1: seen, tick.label2: seen}
    found = [
        each
        for each in made.findobj(Text)
        if each.get_visible() and each.get_text().strip() and ticks.get(each, True)
    ]
    return [(each.get_bbox_patch() or each).get_window_extent() for each in found]


def _faults(made):
    """Return how many words lie upon each other or run over the edge, and how many upon a line."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        made.draw_without_rendering()
    boxes = _words(made)
    room = made.bbox.padded(1)
    collisions = sum(
        one.x0 + _TOUCH < other.x1
        and other.x0 + _TOUCH < one.x1
        and one.y0 + _TOUCH < other.y1
        and other.y0 + _TOUCH < one.y1
        for i, one in enumerate(boxes)
        for other in boxes[:i]
    )
    cut = sum(not (room.contains(*box.min) and room.contains(*box.max)) for box in boxes)
    lines = [
        line.get_transform().transform_path(line.get_path())
        for axis in made.axes
        for line in axis.lines
        if line.get_visible()
    ]
    inside = [box.padded(-_TOUCH) for box in boxes]
    upon = sum(path.intersects_bbox(box, filled=False) for path in lines for box in inside)
    # A layout that has no room for its panels warns, and leaves them where they are.
    return collisions + cut + len(told), upon
