"""On a page, the pictures of the notebooks are the figures that they were drawn from."""

import base64
import re
import shutil
from types import SimpleNamespace

import drawn_pictures
import pytest
from conftest import needs_chromium
from docutils import nodes
from docutils.utils import new_document
from test_site import pages

from bncourse.figures.problem_sets import PICTURES


def of(name, root):
    """Return a picture as the address that a notebook holds."""
    content = (root / "pictures" / f"{name}.png").read_bytes()
    return "data:image/png;base64," + base64.b64encode(content).decode()


def test_a_picture_is_known_by_its_pixels(root):
    uri = of("ps2_secant", root)
    assert drawn_pictures.name_of(uri, root / "pictures") == "ps2_secant"
    assert drawn_pictures.name_of(uri[:-8], root / "pictures") is None
    assert drawn_pictures.name_of("pictures/ps2_secant.png", root / "pictures") is None


@pytest.mark.parametrize(("name", "forms"), [("ps2_secant", 2), ("ps5_classifier", 1)])
def test_it_is_drawn_as_lines_and_for_a_phone_where_its_words_have_room(tmp_path, name, forms):
    drawn = drawn_pictures.draw(name, tmp_path)
    assert len(drawn) == forms
    assert all("<svg" in path.read_text() for path in drawn.values())


def test_a_page_names_the_lines_in_the_place_of_the_pixels(root, tmp_path):
    shutil.copytree(root / "pictures", tmp_path / "pictures")
    app = SimpleNamespace(srcdir=tmp_path, doctreedir=tmp_path / "_build" / ".doctrees")
    page = new_document("page")
    page.settings.env = SimpleNamespace(app=app)
    page.settings.language_code = "en"
    page += nodes.image(uri=of("ps2_secant", root)), nodes.image(uri="photograph.png")
    drawn_pictures.Drawn(page).apply()
    drawn, photograph = page.children
    assert drawn["uri"] == "/_build/pictures/ps2_secant.svg"
    assert drawn["tall"] == "/_build/pictures/ps2_secant-tall.svg"
    assert drawn["classes"] == ["drawn"]
    assert photograph.attributes == nodes.image(uri="photograph.png").attributes
    assert (tmp_path / "_build" / "pictures" / "ps2_secant.svg").exists()


@pytest.mark.slow
def test_no_page_shows_pixels_where_there_are_lines(html):
    text = "".join(path.read_text() for path in pages(html))
    assert "data:image/png" not in text
    shown = re.findall(r'_images/(\w+)\.svg"[^>]* class="drawn', text)
    shown += re.findall(r'class="drawn[^>]*_images/(\w+)\.svg"', text)
    assert sorted(shown) == sorted(PICTURES)


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_they_are_at_home_in_the_dark(site, browser, scheme):
    page = browser.new_page(color_scheme=scheme)
    page.goto(f"{site}/exercises/ps1_forward/forward.html")
    look = page.locator("img.drawn").first.evaluate("(image) => getComputedStyle(image).filter")
    assert ("invert" in look) == (scheme == "dark")
    page.close()
