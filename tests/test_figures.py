"""Every figure of the book is a Figure that a reader can read: labelled, closed, repeatable."""

import importlib
import inspect
import io
import pkgutil
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest

from bncourse import figures
from bncourse.figures import problem_sets, style, tall

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


def test_a_figure_is_lines_without_a_background_unless_pixels_are_fewer_bytes():
    few = style.figure(lambda: drawn_points(10))()
    lines = few._repr_svg_()
    assert lines == style.figure(lambda: drawn_points(10))()._repr_svg_()
    # Of what fills a shape, nothing is white.
    assert "#ffffff" not in lines
    assert "<text" not in lines
    assert style.figure(lambda: drawn_points(10_000))()._repr_svg_() is None


def two_panels(words):
    made, axes = mpl.pyplot.subplots(1, 2, sharey=True, figsize=(6.4, 3.0))
    for axis in axes:
        axis.set(xlabel="x", xticks=[0, 1])
        axis.text(0.5, 0.5, words, ha="center")
    axes[0].set_ylabel("y")
    return made


def test_a_figure_has_a_form_for_a_phone_with_its_panels_below_each_other():
    bundle, metadata = style.figure(two_panels)("few words")._repr_mimebundle_()
    assert not bundle
    assert "image/svg+xml" in metadata[style.TALL]
    made = style.figure(two_panels)("few words")
    assert tall.make_tall(made)
    one, other = (axis.get_position() for axis in made.axes)
    assert one.y0 > other.y1
    assert made.get_size_inches()[0] == tall.WIDTH
    assert all(axis.get_ylabel() == "y" for axis in made.axes)
    assert all(label.get_visible() for label in made.axes[1].get_yticklabels())


def test_a_figure_whose_words_have_no_room_on_a_phone_keeps_its_form():
    def crowded():
        made = mpl.pyplot.figure(figsize=(6.4, 3.0))
        for x, word in enumerate(("normalised", "standardised", "whitened", "rescaled")):
            made.text(0.13 + 0.25 * x, 0.5, word, ha="center", fontsize=20)
        return made

    assert style.figure(crowded)()._repr_mimebundle_() == ({}, {})
    assert not hasattr(style.figure(tall=False)(two_panels)("few words"), "_repr_mimebundle_")


def drawn_points(count):
    made, axis = mpl.pyplot.subplots()
    axis.plot(np.random.default_rng(0).normal(size=count), ".")
    return made


def assert_labelled(axis):
    """Fail unless each scale has a label, and a diagram, which has no scale, has words."""
    if not axis.axison or (len(axis.get_xticks()) == 0 and len(axis.get_yticks()) == 0):
        assert axis.texts, "a diagram needs words"
        return
    place = axis.get_subplotspec()
    assert axis.get_xlabel() or (place and not place.is_last_row())
    assert axis.get_ylabel() or (place and not place.is_first_col())


# Parts of a pixel's full scale, and pixels: letters of another FreeType differ by less, a part of
# a picture that is missing or new differs by more.
FAINT, BLOCK = 0.08, 16


def blocks(content):
    """Return the mean colours of the squares of BLOCK pixels that a PNG is made of."""
    pixels = mpl.image.imread(io.BytesIO(content))[..., :3]
    high, wide = (length // BLOCK for length in pixels.shape[:2])
    pixels = pixels[: high * BLOCK, : wide * BLOCK]
    return pixels.reshape(high, BLOCK, wide, BLOCK, 3).mean(axis=(1, 3))


@pytest.mark.parametrize("name", problem_sets.PICTURES)
def test_the_pictures_of_the_notebooks_are_as_they_are_drawn(name, root):
    """``make pictures`` draws them anew."""
    kept = blocks((root / "pictures" / f"{name}.png").read_bytes())
    drawn = blocks(problem_sets.png(problem_sets.PICTURES[name]()))
    assert kept.shape == drawn.shape
    assert abs(kept - drawn).max() < FAINT


def test_a_picture_that_lost_a_word_is_noticed():
    made = problem_sets.functions()
    before = blocks(problem_sets.png(made))
    made.axes[0].texts[-1].remove()
    assert abs(blocks(problem_sets.png(made)) - before).max() > 2 * FAINT


def test_the_pictures_are_those_of_the_table(root):
    assert {path.stem for path in (root / "pictures").iterdir()} == {*problem_sets.PICTURES}


def lightness(color):
    """Return the grey value, 0 to 1, that a colour prints as."""
    return sum(w * c for w, c in zip((0.299, 0.587, 0.114), mpl.colors.to_rgb(color), strict=True))


def test_neighbouring_lines_differ_in_grey():
    greys = [lightness(line["color"]) for line in style.LINES]
    gaps = [abs(a - b) for a, b in pairwise(greys)]
    assert min(gaps) > 0.15
    for key in ("linestyle", "marker"):
        assert len({str(line[key]) for line in style.LINES}) == len(style.LINES)
