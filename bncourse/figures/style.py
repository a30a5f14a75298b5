"""What all figures share: colours, line styles, and sizes that stay readable on a phone.

No line differs from another by hue alone: each colour comes with its own lightness, dash and
marker, so a figure reads the same in grey. A notebook and a page show a figure as lines without a
background, sharp at any size; one of many points as pixels on white, which are fewer bytes then.
"""

import base64
import gzip
import io
from functools import partial, wraps
from types import MappingProxyType

import matplotlib.pyplot as plt

from bncourse.figures.tall import make_tall

# The name under which a figure hands on its form for a phone; see _ext/tall_figures.py.
TALL = "bncourse.tall"

# Bytes, packed: a longer SVG is compared with its PNG.
_SHORT = 40_000

# Okabe and Ito's palette, which people with the common colour blindnesses can tell apart.
COLORS = MappingProxyType(
    {
        "black": "#000000",
        "orange": "#E69F00",
        "sky": "#56B4E9",
        "green": "#009E73",
        "blue": "#0072B2",
        "red": "#D55E00",
        "pink": "#CC79A7",
        "grey": "#767676",
    }
)

# The lines of one plot, in order; dark and light alternate.
LINES = (
    {"color": COLORS["blue"], "linestyle": "-", "marker": "o"},
    {"color": COLORS["orange"], "linestyle": "--", "marker": "s"},
    {"color": COLORS["black"], "linestyle": ":", "marker": "^"},
    {"color": COLORS["sky"], "linestyle": "-.", "marker": "D"},
    {"color": COLORS["red"], "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "v"},
)

RC = MappingProxyType(
    {
        "figure.figsize": (6.4, 3.2),
        "figure.dpi": 144,
        "figure.constrained_layout.use": True,
        "figure.facecolor": "white",
        "axes.facecolor": "white",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.titlesize": 11,
        "axes.labelsize": 11,
        "font.size": 11,
        "grid.color": "#DDDDDD",
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "lines.markersize": 5,
    }
)


def figure(draw=None, *, tall=True):
    """Return ``draw`` as a function whose Figure has the course's style.

    The figure is closed in pyplot: a notebook then shows the returned value once, not twice, and
    a long run keeps no figure alive. Where it is shown, it hands on its form for a phone too, for
    which it is drawn again.

    Args:
        draw: returns a matplotlib Figure.
        tall: whether there may be such a form; not where shapes rather than words need the width.
    """
    if draw is None:
        return partial(figure, tall=tall)

    def drawn(*args, **kwargs):
        with plt.rc_context(dict(RC)):
            made = draw(*args, **kwargs)
        plt.close(made)
        return made

    @wraps(draw)
    def styled(*args, **kwargs):
        made = drawn(*args, **kwargs)
        # What shows the figure asks the figure itself first.
        made._repr_svg_ = partial(as_svg, made)
        # Beside the picture, where no reader of notebooks looks for another one.
        if tall:
            made._repr_mimebundle_ = lambda **_: ({}, as_tall(drawn(*args, **kwargs)))
        return made

    return styled


def as_tall(made):
    """Return the form of a figure for a phone as metadata of an output; empty if it has none.

    Args:
        made: a matplotlib Figure, which changes.
    """
    if not make_tall(made):
        return {}
    lines = as_svg(made)
    if lines:
        return {TALL: {"image/svg+xml": lines}}
    return {TALL: {"image/png": base64.b64encode(_pixels(made)).decode()}}


def as_svg(made):
    """Return a figure as the text of an SVG; None if that is long, and its PNG fewer bytes.

    Letters are outlines: a picture cannot use the fonts of its page.

    Args:
        made: a matplotlib Figure.
    """
    lines = io.StringIO()
    with plt.rc_context({"svg.fonttype": "path", "svg.hashsalt": "bncourse"}):
        made.savefig(lines, format="svg", transparent=True, metadata={"Date": None})
    bytes_sent = len(gzip.compress(lines.getvalue().encode()))
    # Pixels take as long to draw as lines: they are drawn only where they may be worth it.
    return lines.getvalue() if bytes_sent < _SHORT or bytes_sent < len(_pixels(made)) else None


def _pixels(made):
    pixels = io.BytesIO()
    made.savefig(pixels, format="png")
    return pixels.getvalue()
