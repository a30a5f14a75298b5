"""Print the website as one PDF, by Chromium: ``make pdf``.

All pages become one document, in the order of ``_toc.yml``, so that a link from one page to another
is a link within the PDF. What a reader can open on the website is open here, but for the code
behind a check or a figure.
"""

import functools
import http.server
import os
import re
import shutil
import sys
import threading
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "_build" / "batch-normalization.pdf"
_FOOTER = """<div style="width: 100%; text-align: center; font: 8pt sans-serif; color: #555">
<span class="pageNumber"></span></div>"""
PAPER = {
    "format": "A4",
    "scale": 0.8,
    "margin": dict.fromkeys(("top", "bottom", "left", "right"), "20mm"),
    "display_header_footer": True,
    "header_template": "<span></span>",
    "footer_template": _FOOTER,
}

# An object of a PDF that is a page; they stand in their order.
_PAGE = re.compile(rb"\n(\d+) 0 obj\n<</Type /Page\n")

# Makes one document of the pages, given as [{part, page}], and says how it begins.
JOIN = """async ({ pages, title, licence }) => {
  const parts = [];
  const contents = document.createElement("ol");
  const name = (page, id) => `${page.replaceAll("/", "-")}${id ? `--${id}` : ""}`;
  for (const { part, page } of pages) {
    const address = new URL(`${page}.html`, location.href);
    const text = await (await fetch(address)).text();
    const read = new DOMParser().parseFromString(text, "text/html");
    const article = read.querySelector("article");
    article.querySelectorAll("img").forEach((each) => each.removeAttribute("loading"));
    article.querySelectorAll("script, .headerlink, .prev-next-footer").forEach((e) => e.remove());
    article.querySelectorAll("details:not(.hide)").forEach((each) => (each.open = true));
    for (const each of article.querySelectorAll("[src]"))
      each.setAttribute("src", new URL(each.getAttribute("src"), address).href);
    for (const link of article.querySelectorAll("a[href]")) {
      const to = new URL(link.getAttribute("href"), address);
      if (to.origin !== location.origin) continue;
      const other = to.pathname.slice(1).replace(/\\.html$/, "");
      if (pages.some(({ page }) => page === other))
        link.setAttribute("href", `#${name(other, to.hash.slice(1))}`);
      else link.replaceWith(...link.childNodes);
    }
    // The same name on two pages would be one name here.
    for (const each of article.querySelectorAll("[id]")) each.id = name(page, each.id);
    for (const each of article.querySelectorAll("svg *"))
      for (const { name: key, value } of each.attributes)
        if (value.startsWith("url(#"))
          each.setAttribute(key, value.replace("#", `#${name(page, "x").slice(0, -1)}`));
    article.id = name(page, "");
    const heading = article.querySelector("h1");
    const entry = document.createElement("li");
    const link = document.createElement("a");
    link.href = `#${article.id}`;
    link.textContent = heading.textContent;
    const number = document.createElement("span");
    number.dataset.page = "";
    entry.append(link, number);
    if (part) {
      const caption = document.createElement("li");
      caption.className = "book-part";
      caption.textContent = part;
      contents.append(caption);
    }
    contents.append(entry);
    parts.push(article);
  }
  const head = document.createElement("article");
  for (const [tag, words] of [["h1", title], ["p", licence], ["h2", "Contents"]]) {
    head.append(Object.assign(document.createElement(tag), { textContent: words }));
  }
  head.querySelector("h1").className = "book-title";
  contents.className = "book-contents";
  head.append(contents);
  // All pages have the same style.
  document.head.replaceChildren(document.querySelector("style[data-sheets]"));
  document.title = title;
  document.body.className = "book";
  document.body.replaceChildren(head, ...parts);
  document.documentElement.dataset.theme = document.documentElement.dataset.mode = "light";
  await document.fonts.ready;
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
}"""

NUMBER = """(pages) => {
  for (const entry of document.querySelectorAll("[data-page]"))
    entry.textContent = pages[entry.previousElementSibling.hash.slice(1)] ?? "";
}"""

STYLE = """
.book { display: block; background: white; }
.book > article { display: block; break-before: page; padding: 0; max-width: none; }
.book > article:first-child { break-before: auto; }
.book .book-title { margin-top: 25vh; font-size: 2.4rem; }
.book .book-title ~ h2 { break-before: page; }
.book-contents { list-style: none; padding: 0; }
.book-contents li { display: flex; justify-content: space-between; padding: 0.15rem 0; }
.book-contents .book-part { margin-top: 0.8rem; font-weight: 600; }
.book .sd-tab-set { display: block; }
.book .sd-tab-set > input { display: none; }
.book .sd-tab-set > label { display: block; width: auto; font-weight: 600; }
.book .sd-tab-set > .sd-tab-content { display: block !important; }
.book :is(div[class*="ipython"], div[class*="highlight-python"]) pre {
  font-size: 0.85rem !important;
}
.book .claims-filter, .book details.hide.above-input { display: none; }
"""


def order(toc):
    """Return the pages of a table of contents as [{"part", "page"}], a part at its first page.

    >>> order({"root": "index", "parts": [{"caption": "A", "chapters": [{"file": "a"}]}]})
    [{'part': '', 'page': 'index'}, {'part': 'A', 'page': 'a'}]
    """
    pages = [{"part": "", "page": toc["root"]}]
    for part in toc["parts"]:
        for number, chapter in enumerate(part["chapters"]):
            pages.append({"part": "" if number else part["caption"], "page": chapter["file"]})
    return pages


def page_count(pdf):
    """Return how many pages a PDF of Chromium has."""
    return len(_PAGE.findall(pdf))


def numbers(pdf):
    """Return ``{name: the page that it stands on}`` of what a PDF of Chromium links to."""
    page_of = {name: number for number, name in enumerate(_PAGE.findall(pdf), 1)}
    (where,) = re.findall(rb"/Dests (\d+) 0 R", pdf)
    (named,) = re.findall(rb"\n%s 0 obj\n<<(.*?)>>\nendobj" % where, pdf, re.S)
    found = re.findall(rb"/(\S+) \[(\d+) 0 R /XYZ", named)
    return {name.decode(): page_of[page] for name, page in found}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def print_site(html, target, pages, title, licence, browser):
    """Write pages of a built website into one PDF.

    Args:
        html: the folder of the website.
        target: the file.
        pages: as from ``order``.
        title: stands on the first page.
        licence: a line below it.
        browser: of Playwright.

    Returns:
        the number of pages.
    """
    handler = functools.partial(_Quiet, directory=html)
    with http.server.ThreadingHTTPServer(("localhost", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        # A busy machine takes minutes for a thousand formulas.
        page.set_default_timeout(0)
        page.goto(f"http://localhost:{server.server_port}/index.html")
        page.evaluate(JOIN, {"pages": pages, "title": title, "licence": licence})
        page.add_style_tag(content=STYLE)
        # Printed once to learn the numbers of the pages, and once with them in the contents.
        page.evaluate(NUMBER, numbers(page.pdf(**PAPER)))
        pdf = page.pdf(path=target, outline=True, tagged=True, **PAPER)
        page.close()
        server.shutdown()
    return page_count(pdf)


def main():
    """Print the whole website, which has to be there."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not chromium:
        sys.exit("Chromium is missing. On Debian or Ubuntu: apt install chromium")
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    pages = order(yaml.safe_load((ROOT / "_toc.yml").read_text()))
    licence = re.sub("<[^>]*>", "", config["html"]["extra_footer"]).strip()
    html = ROOT / "_build" / "html"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        count = print_site(html, TARGET, pages, config["title"], licence, browser)
        browser.close()
    print(f"{TARGET.relative_to(ROOT)}: {count} pages, {TARGET.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
