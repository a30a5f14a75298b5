"""Every figure of the book is a Figure that a reader can read: labelled, closed, repeatable."""

import importlib
import inspect
import io
import pkgutil
from itertools import pairwise

import matplotlib as mpl
import pytest

from bncourse import figures
from bncourse.figures import style

mpl.use("Agg")


def all_figures():
    """Yield ``(name, function)`` for every figure of the package, found by its decorator."""
    for module in pkgutil.iter_modules(figures.__path__):
        loaded = importlib.import_module(f"bncourse.figures.{module.name}")
        for name, function in inspect.getmembers(loaded, inspect.isfunction):
            if hasattr(function, "__wrapped__") and function.__module__ == loaded.__name__:
                yield pytest.param(function, id=f"{module.name}.{name}")


def image(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=50)
    return buffer.getvalue()


@pytest.mark.parametrize("draw", list(all_figures()))
def test_a_figure_is_labelled_closed_and_repeatable(draw):
    made = draw()
    assert isinstance(made, mpl.figure.Figure)
    assert mpl.pyplot.get_fignums() == []
    assert made.axes
    for axis in made.axes:
        assert_labelled(axis)
    assert image(made) == image(draw()), "one seed, one picture"
    assert draw.__doc__


def assert_labelled(axis):
    """Fail unless each scale has a label, and a diagram, which has no scale, has words."""
    if not axis.axison or (len(axis.get_xticks()) == 0 and len(axis.get_yticks()) == 0):
        assert axis.texts, "a diagram needs words"
        return
    place = axis.get_subplotspec()
    assert axis.get_xlabel() or (place and not place.is_last_row())
    assert axis.get_ylabel() or (place and not place.is_first_col())


def lightness(color):
    """Return the grey value, 0 to 1, that a colour prints as."""
    return sum(w * c for w, c in zip((0.299, 0.587, 0.114), mpl.colors.to_rgb(color), strict=True))


def test_neighbouring_lines_differ_in_grey():
    greys = [lightness(line["color"]) for line in style.LINES]
    gaps = [abs(a - b) for a, b in pairwise(greys)]
    assert min(gaps) > 0.15
    for key in ("linestyle", "marker"):
        assert len({str(line[key]) for line in style.LINES}) == len(style.LINES)
