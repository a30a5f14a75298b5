"""The website, built strictly from a clean copy: complete, readable, and without a leak."""

import re
import zlib
from html.parser import HTMLParser
from urllib.parse import unquote

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


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.names = [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.links += filter(None, map(attributes.get, ("href", "src", "srcset")))
        self.names += filter(None, [attributes.get("id")])


def test_no_link_leads_nowhere_and_no_place_is_named_twice(html):
    found = {}
    for path in pages(html):
        found[path] = Links()
        found[path].feed(path.read_text())
    for path, page in found.items():
        twice = {name for name in page.names if page.names.count(name) > 1}
        assert not twice, path
        # Its links count from wherever the site stands.
        inside = [each for each in page.links if not re.match(r"\w+:|//", each)]
        for link in inside if path.name != "404.html" else ():
            file, _, anchor = unquote(link).partition("#")
            target = (path.parent / file.partition("?")[0]).resolve() if file else path
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{path.name}: {link}"
            if anchor and target in found:
                assert anchor in found[target].names, f"{path.name}: {link}"


def test_most_plots_have_a_form_for_a_phone(html):
    tall = wide = 0
    for path in pages(html):
        tall += path.read_text().count('<picture><source media="(max-width')
        wide += len(re.findall(r'class="wide-picture"><img [^>]*/[0-9a-f]{64}\.', path.read_text()))
    assert tall > 3 * wide > 0


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
