"""The page for addresses that lead nowhere: styled, its links lead home from any depth."""

from http import HTTPStatus
from pathlib import Path

import pytest
from conftest import QuietHandler, needs_chromium, served
from page_not_found import page

from bncourse.contents import CHAPTERS


class Host(QuietHandler):
    """It shows 404.html of the site below any/path, as a host of static pages does."""

    def send_error(self, code, message=None, explain=None):
        body = Path(self.directory, "any/path/404.html").read_bytes()
        self.send_response(HTTPStatus.NOT_FOUND)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    site = folder / "any" / "path"
    (site / "chapters").mkdir(parents=True)
    (site / "404.html").write_text(page("A & B"))
    (site / "objects.inv").write_text("")
    (site / "index.html").write_text("<h1>Home</h1>")
    for chapter in CHAPTERS:
        (site / "chapters" / f"{chapter.page}.html").write_text(f"<h1>{chapter.page}</h1>")
    with served(folder, Host) as address:
        yield f"{address}/any/path"


def test_it_loads_nothing_and_names_every_chapter():
    text = page("A & B")
    assert "A &amp; B" in text
    assert "src=" not in text
    assert "<link" not in text
    assert all(f"chapters/{each.page}.html" in text for each in CHAPTERS)


@needs_chromium
@pytest.mark.parametrize("missing", ["no.html", "chapters/no.html", "very/deep/down/no.html"])
def test_its_links_lead_home_from_any_depth(host, browser, missing):
    shown = browser.new_page()
    assert shown.goto(f"{host}/{missing}").status == HTTPStatus.NOT_FOUND
    links = shown.locator("main a")
    links.first.wait_for()
    addresses = links.evaluate_all("all => all.map((each) => each.href)")
    assert addresses[0] == f"{host}/index.html"
    assert set(addresses[1:]) == {f"{host}/chapters/{each.page}.html" for each in CHAPTERS}
    assert shown.evaluate("document.forms[0].action") == f"{host}/search.html"
    links.first.click()
    assert shown.locator("h1").inner_text() == "Home"
    shown.close()


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(host, browser, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    shown = browser.new_page(color_scheme=scheme)
    shown.goto(f"{host}/no.html")
    shown.locator("main a").first.wait_for()
    assert axe.run(shown).response["violations"] == []
    shown.close()


@needs_chromium
@pytest.mark.parametrize("system", ["light", "dark"])
@pytest.mark.parametrize("chosen", ["light", "dark", "auto", None])
def test_it_is_as_dark_as_the_other_pages(host, browser, system, chosen):
    shown = browser.new_page(color_scheme=system)
    if chosen:
        shown.add_init_script(f"localStorage.mode = '{chosen}'")
    shown.goto(f"{host}/no.html")
    background = shown.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    is_dark = system if chosen in ("auto", None) else chosen
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 22, 26)"}[is_dark]
    shown.close()
