"""What stands in the head of a page: its whole style, and whether it is dark."""

import re
import time

import head_of_page
import lean_pages
import pytest
import set_formulas
from conftest import needs_chromium
from test_site import pages

# --- without a browser ------------------------------------------------------------------------


def test_a_style_keeps_what_can_apply(tmp_path):
    folder = tmp_path / "_static" / "deep"
    folder.mkdir(parents=True)
    (folder / "a.css").write_text(
        '@import "../b.css"; @font-face { font-family: F; src: url(f.woff) } :is(.x, h1) { top: 0 }'
        ".gone, .here > p, .added { color: var(--two); animation: turn 1s } #gone { top: 0 }"
        ":root { --one: red; --two: var(--one); --never: blue } :not(.gone) { left: 0 }"
        "@keyframes turn { to { top: 0 } } @keyframes never { to { top: 0 } }"
    )
    (tmp_path / "_static" / "b.css").write_text("/* a note */ @media print { .here { top: 1px } }")
    (tmp_path / "_static" / "c.js").write_text("box.className = 'added';")
    style = head_of_page.style_of(tmp_path, ["_static/deep/a.css"], ['<p class="here much">'])
    assert style == (
        "@media print{.here{top:1px}}"
        "@font-face {font-family: F; src: url(_static/deep/f.woff)}:is(.x, h1){top:0}"
        ".here > p,.added{color:var(--two);animation:turn 1s}"
        ":root{--one:red;--two:var(--one)}:not(.gone){left:0}@keyframes turn{to { top: 0 }}"
    )


def test_a_page_that_was_not_built_anew_gets_the_style_of_today(tmp_path):
    static = tmp_path / "_static"
    static.mkdir()
    (static / "a.css").write_text("p { top: 0 }")
    (static / "documentation_options.js").write_text("const OPTIONS = {};\n")
    page = tmp_path / "sub" / "page.html"
    page.parent.mkdir()
    page.write_text(
        '<head><link rel="stylesheet" href="../_static/a.css?v=1" />\n'
        '<script src="../_static/documentation_options.js?v=2"></script></head>'
    )
    head_of_page.put_in(tmp_path)
    assert "p{top:0}" in page.read_text()
    (static / "a.css").write_text("p { background: url(x.svg) }")
    head_of_page.put_in(tmp_path)
    assert page.read_text().split("\n    ") == [
        "<head>",
        '<style data-sheets="_static/a.css">p{background:url(../_static/x.svg)}</style>\n'
        "<script>const OPTIONS = {};</script></head>",
    ]


def test_the_theme_is_told_in_the_head():
    theirs = '<script data-cfasync="false">a = localStorage.getItem("theme") || "";</script>'
    assert "prefers-color-scheme" in lean_pages.trimmed(theirs)


# --- on the website ---------------------------------------------------------------------------


@pytest.mark.slow
def test_the_text_of_a_page_waits_for_no_other_file(html):
    for path in pages(html):
        head = path.read_text().partition("</head>")[0]
        assert 'rel="stylesheet"' not in head, path
        assert head.count("<style data-sheets=") == (path.name != "404.html"), path
        waiting = [
            each
            for each in head.split("<script")[1:]
            if "src=" in each.partition(">")[0]
            and not any(word in each for word in ("defer", "async", 'type="module"'))
        ]
        assert not waiting, path


@pytest.mark.slow
def test_a_page_brings_the_fonts_of_its_formulas(html):
    asked = 0
    for path in pages(html):
        head, _, rest = path.read_text().partition("</head>")
        early = re.findall(r'data-formulas href="[^"]*/KaTeX_([\w-]+)\.woff"', head)
        inside = re.findall(r'fonts\.load\("\w+ 1em KaTeX_(\w+)"\)', head)
        assert head.count("data:font/woff;base64,") == len(inside)
        used = set_formulas.fonts_of(rest)
        late = [each for each in used if each not in early and each.split("-")[0] not in inside]
        assert not late, path
        asked += len(used)
    assert asked


@pytest.mark.slow
@needs_chromium
def test_no_font_of_a_formula_is_asked_for_late(site, browser):
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{site}/chapters/backward.html", wait_until="networkidle")
    early = page.locator("head link[rel=preload][as=font]").evaluate_all(
        "all => all.map(e => e.href)"
    )
    assert {url for url in asked if "katex" in url} == set(early)
    # Each letter of a formula has its own, and none comes from another font of the machine.
    missing = page.evaluate(MISSING)
    assert missing == []
    page.close()


# What touches the end of a formula, and stands in the line below it.
ORPHANS = """[...document.querySelectorAll("article .katex")].flatMap((formula) => {
  const next = formula.nextSibling;
  const end = next?.nodeType === 3 ? next.data.match(/^[.,;:!?)]+/) : null;
  if (!end || formula.closest(".katex-display") || !formula.checkVisibility()) return [];
  const range = document.createRange();
  range.setStart(next, 0);
  range.setEnd(next, end[0].length);
  const last = [...formula.querySelectorAll(".base")].at(-1).getBoundingClientRect();
  return range.getBoundingClientRect().top > last.bottom - 2 ? [formula.textContent] : [];
})"""


# Whether one sees where the keyboard stands.
SEEN = """() => {
  const here = document.activeElement;
  const drawn = ({ outlineStyle, outlineWidth, boxShadow }) =>
    (outlineStyle !== "none" && parseFloat(outlineWidth) > 0) || boxShadow !== "none";
  return here === document.body || drawn(getComputedStyle(here.closest(".cm-editor") ?? here));
}"""


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("name", ["chapters/inference", "exercises/ps1_forward/forward"])
def test_one_sees_where_the_keyboard_stands(site, browser, name):
    page = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page.set_default_timeout(120_000)
    page.goto(f"{site}/{name}.html", wait_until="networkidle")
    # From the last link of the sidebar on: the buttons of the head, then the page.
    page.locator(".bd-docs-nav a").last.focus()
    stops = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        page.wait_for_function(SEEN)
        stops.add(page.evaluate("document.activeElement.outerHTML.slice(0, 90)"))
        # An editor keeps the Tab that does not follow an Escape.
        page.keyboard.press("Escape")
    assert len(stops) > 15
    page.close()


# Letters of formulas that no font of KaTeX has, by the width of a text in it and in two others.
MISSING = """() => {
  const pen = document.createElement("canvas").getContext("2d");
  const missing = new Set();
  for (const each of document.querySelectorAll("article .katex-html span")) {
    const text = [...each.childNodes].filter((e) => e.nodeType === 3).map((e) => e.data).join("");
    const letters = text.replace(/[\\u200b\\s]/g, "");
    if (!letters) continue;
    const { fontStyle, fontWeight, fontFamily } = getComputedStyle(each);
    const widths = ["serif", "monospace"].map((other) => {
      pen.font = `${fontStyle} ${fontWeight} 100px ${fontFamily.split(",")[0]}, ${other}`;
      return [...letters].map((letter) => pen.measureText(letter).width).join();
    });
    if (widths[0] !== widths[1]) missing.add(`${letters} ${fontFamily}`);
  }
  return [...missing];
}"""


# What each element looks like, in what a rule may set here.
LOOKS = """() => {
  const names = [
    "display", "position", "float", "width", "height", "margin", "padding", "border", "color",
    "backgroundColor", "backgroundImage", "font", "textDecoration", "textAlign", "whiteSpace",
    "overflow", "opacity", "visibility", "transform", "zIndex", "flex", "gap", "listStyle", "fill",
    "stroke", "filter", "boxShadow", "outline", "content", "top", "left", "verticalAlign",
  ];
  const MEASURED = new Set(["width", "height", "margin", "flex"]);
  const found = [];
  document.getAnimations().forEach((each) => each.cancel());
  for (const each of document.body.querySelectorAll("*")) {
    for (const part of [null, "::before", "::after"]) {
      const style = getComputedStyle(each, part);
      if (part && style.content === "none") continue;
      const where = `${each.tagName} ${each.getAttribute("class")} ${part ?? ""}`;
      // It has as many lines, as wide and as high, as it has measured.
      const edited = each.closest(".cm-scroller");
      const own = names.filter((name) => !edited || !MEASURED.has(name));
      const looks = where + own.map((name) => `\\n${name}: ${style[name]}`).join("");
      if (!edited || !found.includes(looks)) found.push(looks);
    }
  }
  return found;
}"""
# In the place of the style in the head, the files that it was made from.
WHOLE = """async () => {
  const style = document.querySelector("style[data-sheets]");
  const root = document.documentElement.dataset.content_root;
  for (const sheet of style.dataset.sheets.split(" ")) {
    const link = document.createElement("link");
    Object.assign(link, { rel: "stylesheet", href: root + sheet });
    style.before(link);
    await new Promise((loaded, failed) => Object.assign(link, { onload: loaded, onerror: failed }));
  }
  style.remove();
  await document.fonts.ready;
}"""
# Menus and dialogs as they stand open, a tooltip, a preview, a search. An editor is as high as it
# has measured so far, and all that stands below it with it.
OPEN = """() => {
  document.querySelectorAll("details").forEach((each) => (each.open = true));
  document.querySelectorAll(".dropdown-menu").forEach((each) => each.classList.add("show"));
  const style = document.createElement("style");
  // For those that are still to come, too.
  style.textContent = ".cm-editor { display: none !important }";
  document.head.append(style);
}"""


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "name",
    [
        "index",
        "search",
        "chapters/claims_tested",
        "chapters/layers",
        "exercises/ps1_forward/forward",
    ],
)
def test_the_style_in_the_head_does_what_all_files_of_style_do(site, browser, name, theme):
    def opened(width, media):
        page = browser.new_page(viewport={"width": width, "height": 900}, reduced_motion="reduce")
        page.set_default_timeout(0)
        page.add_init_script(f"localStorage.mode = localStorage.theme = '{theme}'")
        page.goto(f"{site}/{name}.html", wait_until="networkidle")
        page.evaluate("document.fonts.ready")
        page.evaluate(OPEN)
        page.emulate_media(media=media)
        return page

    # Paper is white, and what a narrow page does differently has no colour.
    narrow = ((390, "screen"), (718, "print")) if theme == "light" else ()
    for width, media in ((1280, "screen"), *narrow):
        # Two pages: a script that answers to a style has not seen the other one here.
        page, whole = opened(width, media), opened(width, media)
        whole.evaluate(WHOLE)
        short, other, end = page.evaluate(LOOKS), whole.evaluate(LOOKS), time.monotonic() + 60
        # What scripts still do to one of two pages is no difference of style, and passes.
        while short != other and time.monotonic() < end:
            page.wait_for_timeout(500)
            short, other = page.evaluate(LOOKS), whole.evaluate(LOOKS)
        assert len(short) == len(other)
        for one, another in zip(short, other, strict=True):
            assert one == another
        page.close()
        whole.close()


@pytest.mark.slow
@needs_chromium
def test_scripts_do_not_meet(site, browser):
    for name in ("search", "index", "chapters/forward", "exercises/ps1_forward/forward"):
        page = browser.new_page()
        problems = []
        page.on("pageerror", lambda error, seen=problems: seen.append(str(error)))
        page.goto(f"{site}/{name}.html", wait_until="networkidle")
        assert not problems, f"{name}: {problems}"
        page.close()


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("name", ["chapters/backward", "chapters/forward", "chapters/inference"])
def test_no_line_begins_with_the_full_stop_of_a_formula(site, browser, name):
    page = browser.new_page()
    page.goto(f"{site}/{name}.html")
    page.evaluate("document.fonts.ready")
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    for width in (1280, 390, 360, 320):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(ORPHANS) == [], width
    page.close()


@pytest.mark.slow
@needs_chromium
def test_each_part_of_each_page_has_a_landmark_and_axe_is_silent(site, html, browser):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for name in (
        "index",
        "search",
        "chapters/bibliography",
        "chapters/system",
        "exercises/ps1_forward/forward",
    ):
        page = browser.new_page()
        page.goto(f"{site}/{name}.html", wait_until="networkidle")
        found = axe.run(page, options={"rules": {"region": {"enabled": True}}}).response
        assert [each["id"] for each in found["violations"]] == [], name
        assert page.locator("h1").count() == 1, name
        page.emulate_media(media="print")
        assert page.locator("h1").is_visible(), name
        page.close()


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_dark_before_its_scripts_come(site, browser, scheme):
    page = browser.new_page(color_scheme=scheme)
    problems = []
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.route("**/_static/scripts/*", lambda route: route.abort())
    page.goto(f"{site}/index.html")
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    page.unroute_all()
    problems.clear()
    page.goto(f"{site}/index.html")
    assert page.evaluate("document.documentElement.dataset.mode") == "auto"
    assert problems == []
    page.close()


@pytest.mark.slow
@needs_chromium
def test_a_page_is_dark_without_scripts_where_the_system_is(site, browser):
    seen = {}
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme, java_script_enabled=False)
        page.goto(f"{site}/chapters/forward.html")
        code = page.locator("article .highlight span.c1").first
        seen[scheme] = [
            each.evaluate(f"each => getComputedStyle(each).{what}")
            for each, what in ((page.locator("body"), "backgroundColor"), (code, "color"))
        ]
        page.close()
    with_script = browser.new_page(color_scheme="dark")
    with_script.goto(f"{site}/chapters/forward.html")
    assert seen["dark"][0] != seen["light"][0]
    assert seen["dark"][1] != seen["light"][1]
    body = "getComputedStyle(document.body).backgroundColor"
    assert with_script.evaluate(body) == seen["dark"][0]
    with_script.close()
