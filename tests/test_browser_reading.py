"""What makes pages easy to read: search, previews, downloads, the PDF, what they leave out."""

import json
import re

import nbformat
import pytest
import search_places
from conftest import needs_chromium
from test_site import pages

from bncourse import addresses

GAMMA = "\N{GREEK SMALL LETTER GAMMA}"
LIGHT = "gradient_check"


# --- without a browser ------------------------------------------------------------------------


def test_a_place_has_its_own_words_and_those_above_it():
    math = (
        '<math xmlns="http://www.w3.org/1998/Math/MathML"><semantics><mtable><mtr><mtd><mrow>'
        f"<mi>y</mi><mo>=</mo><mi>{GAMMA}</mi></mrow></mtd><mtd><mtext>(F4)</mtext></mtd></mtr></mtable>"
        '<annotation encoding="application/x-tex">y = \\gamma \\tag{F4}</annotation></semantics>'
        "</math>"
    )
    drawn = '<span class="katex-html"><span>y</span><span>=</span></span>'
    page = f"""<article><section id="top"><h1>Top<a class="headerlink">#</a></h1><p>Above.</p>
    <section id="inner"><h2>Inner</h2><p>Before.</p><pre>x = 1</pre>
    <div class="math" id="f4"><span class="katex">{math}{drawn}</span></div><p>After.</p>
    <dl><dt id="term-a">a</dt><dt id="term-b">b</dt><dd>Both.</dd></dl></section></section>
    </article>    <p>Outside.</p>"""
    found = {(each.kind, each.title): each for each in search_places.places("p", page)}
    assert found["section", "Top"].text == "Above."
    assert found["section", "Inner"].text == f"Before. y = {GAMMA} After. Both."
    assert found["section", "Inner"].code == "x = 1"
    assert found["equation", "(F4)"].text == f"y = {GAMMA}"
    assert found["term", "a, b"].text == "Both."
    assert found["term", "a, b"].under.startswith("Top")


@pytest.fixture
def published(monkeypatch):
    monkeypatch.setattr(addresses, "REPOSITORY", "https://github.com/owner/course")


def test_buttons_lead_to_a_repository_or_are_not_there(published):
    from chapter_notebooks import install_line, launches

    buttons = launches("exercises/ps1_forward/forward")
    assert [each["text"] for each in buttons] == ["Colab", "Binder"]
    assert all("owner/course" in each["url"] for each in buttons)
    assert install_line().startswith('%pip install "bncourse[book] @ https://github.com/owner')


def test_a_picture_whose_caption_names_a_shade_keeps_its_shades_in_the_dark(root):
    style = (root / "_static" / "reading.css").read_text()
    kept = set(re.findall(r"#(fig-[\w-]+)", style))
    named = re.compile(r"name: (fig-\S+)\n\s+caption: >-\n((?: {6}.*\n)+)")
    for source in (root / "chapters").glob("*.md"):
        for name, caption in named.findall(source.read_text()):
            if re.search(r"\b(dark|light|black|white|pale|bright)(er)?\b", caption, re.IGNORECASE):
                assert name in kept, f"{source.name}: {name} turns light into dark"


# --- on the website ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def places(html):
    """What the search looks through, as lists."""
    return json.loads((html / "places.js").read_text().partition("=")[2].rstrip("; \n"))


@pytest.mark.slow
def test_the_search_knows_each_equation_and_speaks_no_tex(built, html, places):
    tags = [
        tag
        for source in (built / "chapters").glob("*.md")
        for tag in re.findall(r"\\tag\{(\w+)\}", source.read_text())
    ]
    assert tags
    found = {title for kind, _, _, title, *_ in places if kind == "equation"}
    assert {f"({tag})" for tag in tags} <= found
    # What is left of it are the names of folders on Windows, and mistakes that are quoted.
    assert not [row for row in places if re.search(r"\\(frac|hat|gamma|sigma|tag)\b", row[4])]
    for _, page, anchor, *_ in places[::20]:
        assert f'id="{anchor}"' in (html / f"{page}.html").read_text()


@pytest.mark.slow
def test_no_dead_button_and_no_third_party(html):
    for path in pages(html):
        text = path.read_text()
        assert not re.search(r"binder-examples|mybinder|colab\.research", text), path
        assert "fontawesome.js" not in text, path


@pytest.mark.slow
def test_a_chapter_downloaded_as_a_notebook_runs(html, tmp_path):
    from nbclient import NotebookClient

    assert f"{LIGHT}.ipynb" in (html / "chapters" / f"{LIGHT}.html").read_text()
    path = html / "_sources" / "chapters" / f"{LIGHT}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert "{{" not in notebook.cells[1].source
    # Elsewhere than in the course.
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()


@pytest.fixture(scope="module")
def page(site, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(120_000)
    yield page
    page.close()


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize(
    ("query", "place", "words"),
    [
        ("gamma", "chapters/notation.html#letter-gamma-beta", "scale and shift"),
        (GAMMA, "chapters/notation.html#letter-gamma-beta", "scale and shift"),
        ("B7", "chapters/backward.html#b7", f"dx_k = {GAMMA}"),
        ("running variance", "chapters/notation.html#letter-mu-text-run-v-text-run", "running_var"),
        ("biased variance", "chapters/glossary.html#term-biased-variance", "divided by N"),
        ("Bessel", "chapters/inference.html#see-the-population-through-a-sample", "N/(N"),
        ("normalise a batch", "chapters/forward.html#normalise-a-batch", ""),
    ],
)
def test_the_search_lands_on_the_place(site, page, query, place, words):
    page.goto(f"{site}/search.html?q={query}")
    first = page.locator(".places li").first
    assert first.locator("a").get_attribute("href").endswith(place)
    assert words in first.inner_text()
    page.goto(f"{site}/{place}")
    assert page.locator(":target").count() == 1


@pytest.mark.slow
@needs_chromium
def test_the_search_answers_while_one_types_and_to_nothing(site, page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.goto(f"{site}/search.html?q=nosuchword")
    page.get_by_text("No places found.").wait_for()
    page.locator(".bd-search-container input[name=q]").fill("eps")
    page.locator(".places li").first.wait_for()
    found = axe.run(page, context={"include": [["#search-results"]]})
    assert not found.response["violations"]


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("a[href='#f3']", "(F3)"),
        ("a[href$='glossary.html#term-batch']", "The"),
        ("a[href$='bibliography.html#id2']", "Ioffe"),
    ],
)
def test_a_link_shows_what_it_leads_to(site, page, link, words):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.goto(f"{site}/chapters/forward.html")
    first = page.locator(f"article {link}").first
    first.hover()
    preview = page.locator(".preview")
    preview.wait_for()
    assert words in preview.inner_text()
    assert first.get_attribute("aria-describedby") == preview.get_attribute("id")
    box = preview.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 1280
    found = axe.run(page, context={"include": [[".preview"]]})
    assert not found.response["violations"]
    page.keyboard.press("Escape")
    assert preview.count() == 0


@pytest.mark.slow
@needs_chromium
def test_the_keyboard_gets_previews_and_a_finger_follows_the_link(site, browser, page):
    page.goto(f"{site}/chapters/forward.html")
    link = page.locator("article a[href='#f3']").first
    link.focus()
    # As a keyboard comes there.
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    page.locator(".preview").wait_for()
    page.keyboard.press("Tab")
    assert page.locator(".preview").count() == 0
    phone = browser.new_context(has_touch=True, viewport={"width": 390, "height": 844})
    touched = phone.new_page()
    touched.goto(f"{site}/chapters/forward.html")
    touched.locator("article a[href='#f3']").first.tap()
    touched.wait_for_url("**/forward.html#f3")
    assert touched.locator(".preview").count() == 0
    phone.close()


@pytest.mark.slow
@needs_chromium
def test_a_page_shows_its_icons_and_waits_with_its_pictures(site, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{site}/chapters/forward.html")
    page.evaluate("document.fonts.ready")
    fonts = [url for url in asked if "icons.woff" in url or "fa-solid" in url]
    assert [url.split("/")[-1] for url in fonts] == ["icons.woff"]
    pictures = page.locator("article img")
    assert pictures.count() > 5
    assert sum("/_images/" in url for url in asked) < pictures.count()
    assert page.locator("article .cell_output img:not([width])").count() == 0
    first = pictures.first
    first.evaluate("image => image.decode()")
    drawn, stretched = first.evaluate(
        "i => [i.naturalWidth / i.naturalHeight, i.clientWidth / i.clientHeight]"
    )
    assert stretched == pytest.approx(drawn, rel=0.02)
    page.close()


@pytest.mark.slow
@needs_chromium
def test_pages_become_one_pdf(html, browser, tmp_path):
    import print_book

    chosen = [
        {"part": "", "page": "index"},
        {"part": "Derive it", "page": "chapters/forward"},
        {"part": "", "page": "chapters/glossary"},
    ]
    target = tmp_path / "book.pdf"
    count = print_book.print_site(html, target, chosen, "A course", "CC BY", browser)
    found = print_book.numbers(target.read_bytes())
    assert 1 < found["chapters-forward"] < found["chapters-glossary"] <= count
    # A link from one page to another, and one within a page.
    assert found["chapters-glossary--term-batch"] >= found["chapters-glossary"]
    assert found["chapters-forward"] <= found["chapters-forward--f3"] < found["chapters-glossary"]
