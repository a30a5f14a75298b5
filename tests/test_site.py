"""The website, built strictly from a clean copy: complete, readable, and without a leak."""

import re
import zlib
from html.parser import HTMLParser

import pytest
from conftest import CANARY

pytestmark = pytest.mark.slow


def pages(html):
    return [path for path in html.rglob("*.html") if "_static" not in path.parts]


def everything_published(html):
    for path in html.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            if path.name == "objects.inv":
                data += zlib.decompress(data.split(b"\n", 4)[4])
            yield path, data


def test_nothing_private_is_published(built, html):
    secrets = [CANARY, "BEGIN SOLUTION", "BEGIN HIDDEN"]
    for source in (built / "solutions").glob("ps*/*.md"):
        blocks = re.findall(r"### BEGIN SOLUTION\n(.*?)### END", source.read_text(), re.DOTALL)
        # A whole answer; a single line such as a mean may well stand in a chapter.
        secrets += [block.strip() for block in blocks if block.count("\n") > 2]
    assert len(secrets) > 3
    for path, data in everything_published(html):
        for secret in secrets:
            assert secret.encode() not in data, f"{path} holds {secret!r}"
        assert not re.search(rb"class Mistake|CORRECT = \{", data), f"{path} holds our tests"


def test_only_the_pages_of_the_toc_are_built(built, html):
    named = set(re.findall(r"(?:file|root): (\S+)", (built / "_toc.yml").read_text()))
    extra = {"search", "genindex", "404", "py-modindex"}
    found = {str(path.relative_to(html).with_suffix("")) for path in pages(html)}
    assert named <= found
    assert found <= named | extra


class Images(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.found.append(dict(attributes))


def test_every_image_has_an_alternative_text(html):
    count = 0
    for path in pages(html):
        parser = Images()
        parser.feed(path.read_text())
        for image in parser.found:
            count += 1
            assert image.get("alt"), f"{path.name}: {image.get('src')} has no alt text"
            assert not image["alt"].startswith(("../", "_images", "data:")), image["alt"]
    assert count


def test_formulas_need_no_other_server(html):
    for path in pages(html):
        scripts = re.findall(
            r'<(?:script|link)[^>]+(?:src|href)="(https?:[^"]+)"', path.read_text()
        )
        outside = [url for url in scripts if url.endswith((".js", ".css"))]
        assert not outside, f"{path.name} loads {outside}"
        assert not re.search(r"<script[^>]*mathjax", path.read_text(), re.IGNORECASE), path.name


def test_every_tag_of_a_chapter_is_on_its_page(built, html):
    for source in (built / "chapters").glob("*.md"):
        page = html / "chapters" / f"{source.stem}.html"
        for tag in re.findall(r"\\tag\{(\w+)\}", source.read_text()):
            assert f"\\tag{{{tag}}}" in page.read_text()
