"""The pages as a browser shows them, at the width of a desktop and of a phone."""

import importlib.util
import re

import pytest
from conftest import needs_chromium
from test_moving import NAMES
from test_site import pages

from bncourse.contents import CHAPTERS

pytestmark = [pytest.mark.slow, needs_chromium]


def page_names(html):
    names = (str(path.relative_to(html)) for path in pages(html))
    return sorted(set(names) - {"search.html", "genindex.html", "404.html"})


# What is written beyond the sides of the page, or cut off, where no scrolling reaches it.
BEYOND = """() => {
  const wide = document.documentElement.clientWidth;
  const flow = (each) => getComputedStyle(each).overflowX;
  const reached = (each) =>
    each !== document.body && (/auto|scroll/.test(flow(each)) || reached(each.parentElement));
  const written = (each) => [...each.childNodes].some((e) => e.nodeType === 3 && e.data.trim());
  return [...document.querySelectorAll("article *, header *, footer *")].filter((each) => {
    if (each.closest(".katex, .cm-editor, svg, .visually-hidden")) return false;
    if (!each.checkVisibility() || !written(each)) return false;
    const { left, right, width, height } = each.getBoundingClientRect();
    if (width < 2 || height < 2) return false;
    const cut = /hidden|clip/.test(flow(each)) && each.scrollWidth > each.clientWidth + 2;
    return cut || ((left < -1 || right > wide + 1) && !reached(each.parentElement));
  }).map((each) => `${each.tagName} ${each.textContent.trim().slice(0, 60)}`);
}"""


# Plots in which a letter of 10 points is lower than 10 pixels. A picture tells its width in half
# points.
SMALL = """() => [...document.querySelectorAll("article img")]
  .filter((each) => /[0-9a-f]{64}/.test(each.src) && each.checkVisibility())
  .filter((each) => {
    const shown = each.parentElement.querySelector(":scope > source") ?? each;
    return each.clientWidth < shown.getAttribute("width") / 2;
  })
  .map((each) => each.alt.slice(0, 60))"""


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_pages_render(site, html, browser, width, height):
    for name in page_names(html):
        page = browser.new_page(viewport={"width": width, "height": height})
        problems = []
        page.on("pageerror", lambda error, seen=problems: seen.append(str(error)))
        page.on("console", lambda m, seen=problems: m.type == "error" and seen.append(m.text))
        page.goto(f"{site}/{name}")
        page.evaluate("document.fonts.ready")
        assert not problems, f"{name}: {problems}"
        assert page.evaluate(BEYOND) == [], f"{name} at width {width}"
        assert page.evaluate(SMALL) == [], f"{name} at width {width}"
        overflow = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 1, f"{name} scrolls sideways by {overflow} pixels at width {width}"
        page.close()


# Displayed formulas whose ink begins left of their box, where no scrolling reaches it, ends beyond
# what scrolls, or lies upon its tag.
OUT_OF_REACH = """
[...document.querySelectorAll("article .katex-display")]
  .filter((box) => box.offsetParent)
  .filter((box) => {
    const outer = box.getBoundingClientRect();
    const parts = [...box.querySelectorAll(".katex-html > .base, .katex-html > .tag")];
    const ink = parts.map((part) => part.getBoundingClientRect());
    const room = box.parentElement.getBoundingClientRect();
    return (
      ink[0].left < outer.left - 1 || outer.left < room.left - 1 ||
      outer.right > room.right + 1 ||
      ink.at(-1).right - outer.left > box.scrollWidth + 1 ||
      ink.some((part, i) => i && part.left < ink[i - 1].right - 1) ||
      box.scrollHeight > box.clientHeight + 1
    );
  })
  .map((box) => box.textContent.slice(0, 60))
"""


# A browser that zooms gives the page fewer, larger pixels.
@pytest.mark.parametrize(("zoom", "widths"), [(1, (360, 390, 768, 1280)), (2, (640,))])
def test_every_formula_can_be_read_whole(site, html, browser, zoom, widths):
    for name in page_names(html):
        page = browser.new_page(device_scale_factor=zoom)
        page.goto(f"{site}/{name}")
        page.evaluate("document.fonts.ready")
        page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        for width in widths:
            page.set_viewport_size({"width": width, "height": 800 // zoom})
            assert page.evaluate(OUT_OF_REACH) == [], f"{name} at width {width}, zoom {zoom}"
        page.close()


def test_formulas_need_no_script_and_are_told(site, html, browser):
    page = browser.new_page(java_script_enabled=False)
    page.goto(f"{site}/chapters/forward.html")
    formulas = page.locator("article .katex-html")
    assert formulas.count() > 50
    assert page.locator("article .katex-mathml math").count() == formulas.count()
    assert page.locator("article .katex-html:not([aria-hidden=true])").count() == 0
    page.close()


# Formulas at which the keyboard stops though nothing of them is out of sight, or the other way.
WRONG_STOPS = """
[...document.querySelectorAll("article .katex-display")]
  .filter((each) => each.offsetParent)
  .filter((each) => (each.scrollWidth > each.clientWidth + 1) !== (each.tabIndex === 0))
  .map((each) => each.textContent.slice(0, 60))
"""


@pytest.mark.parametrize("width", [390, 1280])
def test_the_keyboard_stops_at_formulas_that_scroll(site, browser, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(f"{site}/chapters/backward.html")
    page.evaluate("document.fonts.ready")
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    page.wait_for_function(f"{WRONG_STOPS.strip()}.length === 0")
    page.close()


@pytest.fixture(scope="module")
def screens(root):
    """The function of ``make pages`` that counts screens."""
    spec = importlib.util.spec_from_file_location("screens", root / "benchmarks" / "pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.screens


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.page)
def test_a_chapter_is_short_and_shows_pictures(site, browser, screens, chapter):
    page = browser.new_page()
    # To the nearest: the letters of another machine are a little higher or wider.
    length, without_picture = map(round, screens(page, f"{site}/chapters/{chapter.page}.html"))
    assert 5 < length <= 12
    assert without_picture <= 3
    page.close()


# Where the columns of the first table begin, by how many of its rows have come.
COLUMNS = """() => {
  const table = document.querySelector("article table");
  const rows = [...table.tBodies[0].rows];
  return rows.map((_, last) => {
    rows.forEach((row, number) => (row.style.display = number > last ? "none" : ""));
    return [...table.tHead.rows[0].cells].map((each) => Math.round(each.getBoundingClientRect().x));
  });
}"""


def test_columns_stay_while_rows_come_in(site, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{site}/chapters/notation.html")
    page.evaluate("document.fonts.ready")
    columns = page.evaluate(COLUMNS)
    assert len(columns) > 10
    assert all(each == columns[-1] for each in columns)
    page.close()


# What a page is searched for, many things at a time: each element is asked for each of them.
SEARCHES = """
window.searches = [];
const search = Document.prototype.querySelectorAll;
Document.prototype.querySelectorAll = function (words) {
  if (words.split(",").length > 20) searches.push(words);
  return search.call(this, words);
};
"""


def test_no_script_asks_each_element_for_many_classes_in_turn(site, browser):
    page = browser.new_page()
    page.add_init_script(SEARCHES)
    page.goto(f"{site}/chapters/backward.html", wait_until="networkidle")
    assert page.evaluate("window.searches") == []
    page.close()


def test_the_list_of_contents_makes_room_for_what_stands_in_the_margin(site, html, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    margin = '<aside class="margin" style="height: 9rem">Beside the text.</aside>'
    text = (html / "chapters" / "forward.html").read_text().replace("</h1>", f"</h1>{margin}", 1)
    page.route("**/forward.html", lambda route: route.fulfill(body=text, content_type="text/html"))
    page.goto(f"{site}/chapters/forward.html")
    page.locator(".bd-sidebar-secondary.hide").wait_for(state="attached")
    page.evaluate("window.scrollTo(0, 5000)")
    page.locator(".bd-sidebar-secondary:not(.hide)").wait_for(state="attached")
    page.close()


def test_a_link_to_an_equation_opens_its_fold(site, browser):
    page = browser.new_page()
    page.goto(f"{site}/chapters/backward.html#b15")
    page.wait_for_function(
        "[...document.querySelectorAll('details')]"
        ".some((each) => each.open && each.contains(document.getElementById('b15')))"
    )
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_accessibility_violation(site, html, browser, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for name in page_names(html):
        page = browser.new_page()
        # Before the theme reads it, as a reader's choice would be.
        page.add_init_script(f"localStorage.mode = localStorage.theme = '{theme}'")
        page.goto(f"{site}/{name}")
        assert page.evaluate("document.documentElement.dataset.theme") == theme, name
        # The sidebar and header are the theme's, the list of citations is docutils's.
        context = {"include": [["article"]], "exclude": [[".citation-list"]]}
        # What passes is not asked for: to describe it takes a quarter of the time.
        found = axe.run(page, context=context, options={"resultTypes": ["violations"]})
        serious = [
            (violation["id"], [node["html"][:120] for node in violation["nodes"][:3]])
            for violation in found.response["violations"]
            if violation["impact"] in ("serious", "critical")
        ]
        assert not serious, f"{name}: {serious}"
        page.close()


def test_the_moving_figures_answer_in_their_chapters(site, html, browser):
    seen = []
    for name in page_names(html):
        named = re.findall(r'data-moving="([a-z_]+)"', (html / name).read_text())
        page = browser.new_page()
        requested = []
        page.on("request", lambda request, found=requested: found.append(request.url))
        page.goto(f"{site}/{name}")
        for figure in named:
            page.locator(f"[data-moving={figure}][data-live]").wait_for()
        assert bool(named) == any("/_static/figures/" in url for url in requested), name
        seen += named
        page.close()
    assert sorted(seen) == sorted(NAMES)


# Code that runs out of its column, in print any block.
CUT = """(kinds) => [...document.querySelectorAll(kinds)]
  .filter((each) => each.offsetParent && each.scrollWidth > each.clientWidth + 1)
  .map((each) => each.textContent.slice(0, 60))
"""


@pytest.mark.parametrize(
    ("width", "media", "kinds"),
    [
        (390, "screen", ".highlight-ipython3 pre, [class*=highlight-python] pre"),
        (1280, "screen", ".highlight-ipython3 pre, [class*=highlight-python] pre"),
        # A4 without its margins.
        (718, "print", "article pre"),
    ],
)
def test_code_fits_its_column(site, html, browser, width, media, kinds):
    for name in page_names(html):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.emulate_media(media=media)
        page.goto(f"{site}/{name}")
        page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        assert page.evaluate(CUT, kinds) == [], f"{name} at width {width}, {media}"
        page.close()


def test_who_reads_in_the_dark_prints_in_the_light(site, browser):
    page = browser.new_page()
    page.add_init_script("localStorage.mode = localStorage.theme = 'dark'")
    page.goto(f"{site}/chapters/forward.html")
    theme = "document.documentElement.dataset.theme"
    page.evaluate(f"addEventListener('beforeprint', () => (window.printed = {theme}))")
    page.pdf()
    assert page.evaluate("window.printed") == "light"
    assert page.evaluate(theme) == "dark"
    page.close()
