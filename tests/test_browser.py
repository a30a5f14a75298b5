"""The pages as a browser shows them, at the width of a desktop and of a phone."""

import re

import pytest
from conftest import needs_chromium
from test_moving import NAMES
from test_site import pages

pytestmark = [pytest.mark.slow, needs_chromium]


def page_names(html):
    names = (str(path.relative_to(html)) for path in pages(html))
    return sorted(set(names) - {"search.html", "genindex.html", "404.html"})


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_pages_render(site, html, browser, width, height):
    for name in page_names(html):
        page = browser.new_page(viewport={"width": width, "height": height})
        problems = []
        page.on("pageerror", lambda error, seen=problems: seen.append(str(error)))
        page.goto(f"{site}/{name}")
        page.wait_for_function("window.MathJax?.startup?.promise || !window.MathJax")
        page.evaluate("window.MathJax?.startup?.promise")
        assert not problems, f"{name}: {problems}"
        assert page.locator("mjx-merror").count() == 0, f"{name} has a formula MathJax rejects"
        if "$$" in (html / name).read_text() or "\\tag{" in (html / name).read_text():
            assert page.locator("mjx-container").count() > 0, f"{name}: formulas are not set"
        overflow = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 1, f"{name} scrolls sideways by {overflow} pixels at width {width}"
        page.close()


# Displayed formulas whose ink begins left of their box, where no scrolling reaches it, or ends
# beyond what scrolls.
OUT_OF_REACH = """
[...document.querySelectorAll('article mjx-container[display="true"]')]
  .filter((box) => box.offsetParent)
  .filter((box) => {
    const [outer, ink] = [box, box.querySelector("mjx-math")].map((e) => e.getBoundingClientRect());
    const room = box.parentElement.getBoundingClientRect();
    return (
      ink.left < outer.left - 1 || outer.left < room.left - 1 ||
      ink.right - outer.left > box.scrollWidth + 1
    );
  })
  .map((box) => box.textContent.slice(0, 60))
"""


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_every_formula_can_be_read_whole(site, html, browser, width):
    for name in page_names(html):
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.goto(f"{site}/{name}")
        page.wait_for_function("window.MathJax?.startup?.promise || !window.MathJax")
        page.evaluate("window.MathJax?.startup?.promise")
        page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        assert page.evaluate(OUT_OF_REACH) == [], f"{name} at width {width}"
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
        page.evaluate("window.MathJax?.startup?.promise")
        assert page.evaluate("document.documentElement.dataset.theme") == theme, name
        # The sidebar and header are the theme's, the list of citations is docutils's.
        context = {"include": [["article"]], "exclude": [[".citation-list"]]}
        found = axe.run(page, context=context)
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
