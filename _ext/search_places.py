"""Write what the search looks through: sections, equations, terms, letters, figures and works.

Sphinx's own index knows pages and headings. Here each place that can be linked to is an entry with
its text, read from the pages as they are published, formulas as lines of plain letters. The
search itself is ``web/reading/search_places.js``; see there what it does with Greek letters.
"""

import functools
import json
import re
from collections import Counter
from dataclasses import astuple, dataclass
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

from docutils import nodes

from bncourse.contents import CHAPTERS

PLACES = "places.js"
# Not in _static, of which every page loads every script.
SERVED = "web/reading"
# The page whose rows each say what a letter stands for.
LETTERS = "chapters/notation"

_MATH = re.compile(r"<math.*?</math>", re.S)
_TAG = re.compile(r"\\tag\{(\w+)\}")
_TEX = re.compile(r"<annotation[^>]*>(.*?)</annotation>", re.S)
_SPAN = re.compile(r"<(/?)span\b")
_BELOW = " \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} "
_VOID = {"br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
# What is no text of the page: drawings, and what is there for the mouse.
_UNREAD = {"button", "script", "style", "svg"}
_UNREAD_CLASSES = {"headerlink", "collapsed", "expanded", "moving"}
_ACCENTS = {"^": "\u0302", "ˉ": "\u0304", "‾": "\u0304", "~": "\u0303", "˙": "\u0307"}
_LEAVES = ("mi", "mn", "mo", "mspace", "mtext")
_SCRIPTS = {"msub": "_", "msup": "^", "msubsup": "_^", "munder": "_", "munderover": "_^"}
_RELATIONS = re.compile("\\s*([=≈≤≥<>+\N{MINUS SIGN}→∈])\\s*")
# A number, or a letter with its accent, indices and powers: it needs no brackets around it.
_SIMPLE = re.compile(r"\d+|\w[\u0300-\u036f]?([_^]\w+)*")


@dataclass
class Place:
    """A place of the site: what kind of thing stands where, and under which headings."""

    kind: str
    page: str
    anchor: str
    title: str = ""
    text: str = ""
    under: str = ""
    code: str = ""


@functools.cache
def line(math):
    """Return a formula in MathML as a line of plain letters.

    >>> line("<math><msub><mover><mi>x</mi><mo>^</mo></mover><mi>i</mi></msub><mo>=</mo>"
    ...      "<mfrac><mi>a</mi><msup><mi>b</mi><mn>2</mn></msup></mfrac></math>")
    'x\u0302_i = a/b^2'
    """
    words = _line(ElementTree.fromstring(math))
    words = _RELATIONS.sub(r" \1 ", words)
    words = re.sub(r"\s+([),.])", r"\1", re.sub(r"\(\s+", "(", words))
    return " ".join(words.split())


def _line(node):
    kind = node.tag.rpartition("}")[2]
    if kind in _LEAVES:
        # Without the invisible signs of a product and of a function.
        return re.sub("[\u2061-\u2064]", "", node.text or " ")
    parts = [_line(child) for child in node if not child.tag.endswith("annotation")]
    if kind == "mfrac":
        return " {}/{} ".format(*map(_in_brackets, parts))
    if kind == "msqrt":
        return f"√({''.join(parts)})"
    if kind == "mover" and parts[1] in _ACCENTS:
        return parts[0] + _ACCENTS[parts[1]]
    if kind in _SCRIPTS:
        return _with_scripts(kind, *parts)
    return (" " if kind in ("mtable", "mtr") else "").join(parts)


def _in_brackets(part):
    part = part.strip()
    return part if _SIMPLE.fullmatch(part) else f"({part})"


def _with_scripts(kind, base, *scripts):
    # KaTeX adds the invisible sign of a function to an index such as "max".
    for mark, script in zip(_SCRIPTS[kind], filter(None, scripts), strict=True):
        base += mark + (script if re.fullmatch(r"\w+|\W", script) else f"({script})")
    return base + (" " if base[0] in "∑∏" else "")


def places(page, html):
    """Return the Places of a page of the website, in their order.

    Args:
        page: its name, such as "chapters/forward".
        html: its text.
    """
    reader = _Reader(page)
    article = html.partition("<article")[2].partition("</article>")[0]
    reader.feed("<article" + _MATH.sub(_as_text, _without_drawn_formulas(article)))
    for place in reader.found:
        for name in ("title", "text", "code"):
            setattr(place, name, " ".join(getattr(place, name).split()))
        if place.kind == "work":
            # "[3] Authors. Title. ...": the number is for the bibliography alone.
            place.text = place.text.partition("] ")[2]
            place.title = place.text.partition(". ")[0]
    return [place for place in reader.found if place.title]


def _without_drawn_formulas(html):
    """Return the text of a page without what KaTeX writes for the eye."""
    kept, end = [], 0
    while (start := html.find('<span class="katex-html"', end)) >= 0:
        kept.append(html[end:start])
        depth = 0
        for found in _SPAN.finditer(html, start):
            depth += -1 if found[1] else 1
            if not depth:
                break
        end = found.end() + 1
    return "".join([*kept, html[end:]])


def _as_text(found):
    """Return a formula as text, with its tag for who collects equations."""
    tag = _TAG.search(unescape(_TEX.search(found[0])[1]))
    tag = tag[1] if tag else ""
    # KaTeX sets it as the last cell of a row.
    words = line(found[0]).removesuffix(f"({tag})")
    return f'<span data-tag="{tag}">{escape(words)}</span>'


class _Reader(HTMLParser):
    """Collects places; each word belongs to its section, and to what else is open around it."""

    def __init__(self, page):
        super().__init__()
        self.page = page
        self.found = []
        self._open = []  # (tag, the place that it holds or None, whether to leave it out)
        self._title = None  # (the tag that ends it, the place whose title is read)
        self._figure = ""

    def handle_starttag(self, tag, attributes):
        if tag in _VOID:
            return
        named = {name: value or "" for name, value in attributes}
        classes = named.get("class", "").split()
        if named.get("data-tag") and self.found[-1].kind == "equation":
            self.found[-1].title = f"({named['data-tag']})"
        place = self._begin(tag, classes, named.get("id"))
        left_out = tag in _UNREAD or not _UNREAD_CLASSES.isdisjoint(classes)
        self._open.append((tag, place, left_out))

    def _begin(self, tag, classes, name):
        """Return the place that an element holds, if it holds one."""
        if re.fullmatch("h[1-6]", tag):
            self._title = (tag, self._around("section"))
        elif tag == "figure":
            self._figure = name
        elif tag == "figcaption" and self._figure:
            return self._add("figure", self._figure)
        elif "caption-number" in classes and self._around("figure"):
            self._title = (tag, self._around("figure"))
        elif tag == "dd" and self.found[-1].kind == "term":
            return self.found[-1]
        elif tag == "dt" and self.found[-1].kind == "term" and not self.found[-1].text:
            # A second word for what follows: one place has both.
            self.found[-1].title += ", "
            self._title = (tag, self.found[-1])
        elif name and (kind := self._kind(tag, classes)):
            place = self._add(kind, name)
            if kind in ("term", "letter"):
                self._title = ({"dt": "dt", "tr": "td"}[tag], place)
            return None if kind == "term" else place
        return None

    @staticmethod
    def _kind(tag, classes):
        if tag == "div":
            return "equation" if "math" in classes else "work" if "citation" in classes else None
        return {"section": "section", "dt": "term", "tr": "letter"}.get(tag)

    def _around(self, kind):
        return next((p for _, p, _ in reversed(self._open) if p and p.kind == kind), None)

    def _add(self, kind, name):
        heads = [place.title for _, place, _ in self._open if place and place.kind == "section"]
        under = _BELOW.join(" ".join(each.split()) for each in heads)
        self.found.append(Place(kind, self.page, name, under=under))
        return self.found[-1]

    def handle_endtag(self, tag):
        if tag in (each for each, *_ in self._open):
            while self._open.pop()[0] != tag:
                pass
        if self._title and self._title[0] == tag:
            self._title = None

    def handle_data(self, data):
        if any(left_out for *_, left_out in self._open):
            return
        if self._title:
            self._title[1].title += data
            return
        inside = [p for _, p, _ in self._open if p and p.kind != "section"]
        is_code = any(tag == "pre" for tag, *_ in self._open)
        for place in filter(None, [self._around("section"), *inside]):
            if is_code:
                place.code += data
            else:
                place.text += data


def _serve(app, config):
    config.html_static_path.append(SERVED)


def _name_letters(app, doctree):
    """Let each row of the table of letters be linked to."""
    if app.env.docname == LETTERS:
        seen = Counter()
        for row in doctree.findall(nodes.row):
            if isinstance(row.parent, nodes.tbody):
                name = nodes.make_id(f"letter-{row[0].astext()}")
                seen[name] += 1
                row["ids"].append(f"{name}-{seen[name]}" if seen[name] > 1 else name)


def write(folder, pages):
    """Write the index of a built website: a script, since a page opened from a disk fetches none.

    Args:
        folder: the website.
        pages: the names of its pages, in the order in which they are read.
    """
    found = []
    for page in pages:
        found += places(page, Path(folder, f"{page}.html").read_text(encoding="utf-8"))
    rows = json.dumps([astuple(place) for place in found], ensure_ascii=False)
    Path(folder, PLACES).write_text(f"const PLACES = {rows};\n", encoding="utf-8")


def _write(app, exception):
    if not exception and app.builder.format == "html":
        order = [f"chapters/{each.page}" for each in CHAPTERS]
        rest = sorted(app.env.found_docs.difference(order))
        write(app.outdir, [*filter(app.env.found_docs.__contains__, order), *rest])


def _add_script(app, pagename, templatename, context, doctree):
    if pagename == "search":
        for script in (f"../{PLACES}", "search_places.js"):
            app.add_js_file(script, loading_method="defer")


def setup(app):
    """Write the index once the pages are there, and search it on the page of the search."""
    app.connect("config-inited", _serve)
    app.connect("doctree-read", _name_letters)
    app.connect("html-page-context", _add_script)
    app.connect("build-finished", _write)
    return {"parallel_read_safe": True, "version": "1"}
