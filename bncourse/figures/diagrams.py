"""Boxes and arrows: the parts of the pictures that have no scale."""

from itertools import pairwise

from bncourse.figures.style import COLORS

# A colour means the same in every diagram; the tints stay apart in grey.
FILL = {
    "data": "#E4E4E4",
    "statistics": "#F6D593",
    "normalised": "#A9CFE8",
    "learned": "#E3B7CE",
    "plain": "#FFFFFF",
}


def box(axis, place, text, meaning="plain", size=12):
    """Write a text into a box about a place.

    Args:
        axis: of matplotlib.
        place: (x, y) of the middle.
        text: one line or more.
        meaning: a key of FILL.
        size: of the letters.

    Returns:
        The text, for arrows that begin or end at its box.
    """
    frame = {
        "boxstyle": "round,pad=0.35",
        "facecolor": FILL[meaning],
        "edgecolor": COLORS["black"],
        "linewidth": 1.0,
    }
    return axis.text(*place, text, ha="center", va="center", fontsize=size, bbox=frame, zorder=3)


def arrow(axis, start, end, dashed=False, bend=0.0):
    """Draw an arrow from one box to another.

    Args:
        axis: of matplotlib.
        start, end: what ``box`` returned.
        dashed: whether the line is broken.
        bend: 0 for a straight line; the curvature otherwise.
    """
    axis.annotate(
        "",
        xy=end.get_position(),
        xytext=start.get_position(),
        arrowprops={
            "arrowstyle": "-|>",
            "color": COLORS["black"],
            "linestyle": "--" if dashed else "-",
            "linewidth": 1.4,
            "shrinkA": 4,
            "shrinkB": 4,
            "patchA": start.get_bbox_patch(),
            "patchB": end.get_bbox_patch(),
            "connectionstyle": f"arc3,rad={bend}",
        },
    )


def chain(axis, boxes):
    """Draw an arrow from each box to the next."""
    for start, end in pairwise(boxes):
        arrow(axis, start, end)


def blank(axis, width, height):
    """Show no scale: a diagram lives in a rectangle from (0, 0) to (width, height)."""
    axis.set(xlim=(0, width), ylim=(0, height))
    axis.axis("off")
