"""What the head of a page says of it, built with Sphinx alone, with an address and without."""

import re

import pytest
from matplotlib.image import imread
from sphinx.application import Sphinx

from bncourse import addresses
from bncourse.contents import CHAPTERS

SITE = "https://example.org/course"


@pytest.fixture
def build(tmp_path, monkeypatch):
    def build(site):
        monkeypatch.setattr(addresses, "SITE", site)
        source = tmp_path / "source"
        (source / "chapters").mkdir(parents=True)
        (source / "index.rst").write_text(
            "Home\n====\n\nTwo & words\nhere.\n\n.. toctree::\n\n   chapters/forward\n"
        )
        (source / "chapters" / "forward.rst").write_text("Title\n=====\n\nText.\n")
        folders = (tmp_path / "out", tmp_path / "doctrees", "html")
        app = Sphinx(
            source,
            None,
            *folders,
            confoverrides={"extensions": ["page_cards"], "html_theme": "basic"},
            status=None,
        )
        app.build()
        return tmp_path / "out"

    return build


def content(page, key):
    found = re.search(rf'<meta (?:name|property)="{key}" content="([^"]*)">', page.read_text())
    return found and found[1]


def test_a_chapter_is_described_by_its_question(build):
    out = build("")
    (question,) = (each.question for each in CHAPTERS if each.page == "forward")
    assert content(out / "chapters" / "forward.html", "description") == question
    assert content(out / "index.html", "description") == "Two &amp; words here."


def test_without_an_address_there_is_no_card_and_no_map(build):
    out = build("")
    assert "og:" not in (out / "index.html").read_text()
    assert 'rel="canonical"' not in (out / "index.html").read_text()
    assert not (out / "sitemap.xml").exists()


def test_with_an_address_each_page_has_a_card_and_is_on_the_map(build):
    out = build(SITE)
    page = out / "chapters" / "forward.html"
    assert content(page, "og:title") == "Title"
    assert content(page, "og:url") == f"{SITE}/chapters/forward.html"
    picture = content(page, "og:image")
    assert picture.startswith(f"{SITE}/")
    assert imread(out / picture.removeprefix(f"{SITE}/")).shape[:2] == (630, 1200)
    assert f'<link rel="canonical" href="{SITE}/chapters/forward.html"' in page.read_text()
    found = re.findall("<loc>(.*?)</loc>", (out / "sitemap.xml").read_text())
    assert found == [f"{SITE}/chapters/forward.html", f"{SITE}/index.html"]
