"""On a page, the pictures of the notebooks are the figures that they were drawn from."""

import base64
import re

import drawn_pictures
import pytest
from conftest import needs_chromium
from test_site import pages

from bncourse.figures.problem_sets import PICTURES


def test_a_picture_is_known_by_its_pixels(root):
    content = (root / "pictures" / "ps2_secant.png").read_bytes()
    uri = "data:image/png;base64," + base64.b64encode(content).decode()
    assert drawn_pictures.name_of(uri, root / "pictures") == "ps2_secant"
    assert drawn_pictures.name_of(uri[:-8], root / "pictures") is None
    assert drawn_pictures.name_of("pictures/ps2_secant.png", root / "pictures") is None


@pytest.mark.parametrize(("name", "forms"), [("ps2_secant", 2), ("ps5_classifier", 1)])
def test_it_is_drawn_as_lines_and_for_a_phone_where_its_words_have_room(tmp_path, name, forms):
    drawn = drawn_pictures.draw(name, tmp_path)
    assert len(drawn) == forms
    assert all("<svg" in path.read_text() for path in drawn.values())


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
