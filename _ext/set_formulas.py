"""Set the formulas when the site is built, so that a page shows them without running anything.

KaTeX does it, in one process of Node for the whole site; see web/formulas.js. Style and fonts are
served from the site, of each font the letters that the site shows: half of it at most. A formula
that KaTeX refuses is a warning, which stops the build.
"""

import base64
import json
import logging as plain_logging
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

from docutils import nodes
from fontTools import subset
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

from bncourse.commands.bundle import install, node_command

CSS = "katex.min.css"
STYLE = f"katex/{CSS}"
# What comes with the site, as a folder of static files.
SERVED = "_build/formulas"

_LOG = logging.getLogger(__name__)
# The environments in which MyST and Sphinx expect what KaTeX calls a display.
_AROUND = re.compile(r"\s*\\begin\{equation\*\}(.*)\\end\{equation\*\}\s*", re.DOTALL)
# Each font, and the classes of what KaTeX sets in it.
_FONTS = {
    "Main-Regular": "katex",
    "Math-Italic": "mathnormal",
    "Main-Bold": "mathbf|textbf",
    "Main-Italic": "mathit|textit",
    "Math-BoldItalic": "boldsymbol",
    "AMS-Regular": "amsrm|mathbb",
    "Caligraphic-Regular": "mathcal",
    "SansSerif-Regular": "mathsf|textsf",
    "Typewriter-Regular": "mathtt|texttt",
    "Size1-Regular": "delimsizing size1|delim-size1|small-op",
    "Size2-Regular": "delimsizing size2|large-op",
    "Size3-Regular": "delimsizing size3",
    "Size4-Regular": "delimsizing size4|delim-size4",
}
# What touches a formula and is short enough to go with it: a word that it begins, a bracket.
_BEFORE = re.compile(r"(?<!\S)\S{1,12}$")
_AFTER = re.compile(r"\S{1,12}(?!\S)|[.,;:!?)\]]+")
_PART = '<span class="base">'
_OF_MOST_LETTERS = ("Main-Regular", "Math-Italic")
# In bytes.
_SMALL = 5000
_PRELOAD = '<link rel="preload" data-formulas href="{}" as="font" type="font/woff" crossorigin>'
# Read before the text is laid out, and not because of it.
_LOADED = '<script data-formulas>document.fonts.load("{} 1em KaTeX_{}")</script>'
_OWN_FONTS = re.compile(
    r"<link rel=\"preload\" data-formulas[^>]*>|<(style|script) data-formulas>[^<]*</\1>"
)
_FACE = re.compile(r"@font-face\{[^}]*?url\(fonts/KaTeX_([\w-]+)\.woff2\)[^}]*\}")
_PIECE = re.compile(r"(<[^>]*>)|([^<]+)")
_SOURCES = re.compile(r"src:url\([^}]*")


class Setter:
    """KaTeX in a process that lasts.

    Args:
        modules: the folder with node_modules and formulas.js.
    """

    def __init__(self, modules):
        self._process = subprocess.Popen(
            node_command("node", "formulas.js"),
            cwd=modules,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._known = {}

    def __call__(self, tex, display):
        """Return the answer to a formula: ``{"html": ...}`` or ``{"error": ...}``."""
        asked = json.dumps({"tex": tex, "display": display})
        if asked not in self._known:
            self._process.stdin.write(f"{asked}\n")
            self._process.stdin.flush()
            self._known[asked] = json.loads(self._process.stdout.readline())
        return self._known[asked]

    def close(self):
        """End the process."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _start(app):
    if app.builder.format != "html":
        return
    app.formulas = Setter(install(Path(app.confdir)))


def fonts_of(html):
    """Return the names of the fonts in which the formulas of a page are set.

    >>> fonts_of('<span class="katex"><span class="mord mathnormal">x</span></span>')
    ['Main-Regular', 'Math-Italic']
    """
    return [
        font
        for font, classes in _FONTS.items()
        if re.search(rf'class="(?:[^"]* )?(?:{classes})[ "]', html)
    ]


def drawn(html):
    """Return the letters of the formulas of a page, as the fonts of KaTeX have to show them.

    >>> "".join(sorted(drawn('<span class="katex-html"><b><span>x</span>&lt;</b></span> and y')))
    '<x'
    """
    letters = set()
    for part in html.split('<span class="katex-html"')[1:]:
        depth = 1
        for tag, text in _PIECE.findall(part.partition(">")[2]):
            depth += tag.startswith("<span") - (tag == "</span>")
            letters |= set(unescape(text))
            if not depth:
                break
    return letters


def cut_fonts(fonts, letters, target):
    """Write the fonts of KaTeX with no more letters than are needed.

    Args:
        fonts: the folder of the package, which holds them whole.
        letters: all that any of them has to show.
        target: the folder to make.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    # It finds the dates in these files early.
    plain_logging.getLogger("fontTools").setLevel(plain_logging.ERROR)
    options = subset.Options(flavor="woff", ignore_missing_unicodes=True, notdef_outline=True)
    for path in sorted(fonts.glob("*.ttf")):
        font = subset.load_font(path, options)
        cut = subset.Subsetter(options)
        cut.populate(text="".join(sorted(letters)))
        cut.subset(font)
        subset.save_font(font, target / f"{path.stem}.woff", options)


def put_fonts(root, katex):
    """Give each page of a site the fonts of its formulas, small ones and the main ones in it.

    They come with the text: a line of it breaks elsewhere once a formula has its own letters.

    Args:
        root: the folder of the site.
        katex: the folder of the package.
    """
    folder = Path(root, "_static", "katex", "fonts")
    # The page for a missing address has a style of its own, and no formula.
    paths = [
        path for path in Path(root).rglob("*.html") if not {"_static", "404.html"} & {*path.parts}
    ]
    pages = {path: _OWN_FONTS.sub("", path.read_text("utf-8")) for path in paths}
    cut_fonts(katex / "fonts", set().union(*map(drawn, pages.values())), folder)
    faces = {found[1]: found[0] for found in _FACE.finditer((katex / CSS).read_text("utf-8"))}
    for path, text in pages.items():
        head, end, rest = text.partition("</head>")
        up = "../" * (len(path.relative_to(root).parts) - 1)
        own = _own_fonts(folder, faces, fonts_of(rest), up)
        path.write_text(f"{head}{own}{end}{rest}", "utf-8")


def _own_fonts(folder, faces, used, up):
    """Return what the head of a page says of each font; a preview of another page may need any."""
    written, early = [], []
    for font, face in faces.items():
        file = folder / f"KaTeX_{font}.woff"
        address = f"{up}_static/katex/fonts/{file.name}"
        if font in used and (font in _OF_MOST_LETTERS or file.stat().st_size < _SMALL):
            style = "italic" if "font-style:italic" in face else "normal"
            early.append(_LOADED.format(style, font.split("-")[0]))
            address = f"data:font/woff;base64,{base64.b64encode(file.read_bytes()).decode()}"
        elif font in used:
            early.append(_PRELOAD.format(address))
        written.append(_SOURCES.sub(f'src:url({address}) format("woff")', face))
    return f"<style data-formulas>{''.join(written)}</style>{''.join(early)}"


def _end(app, exception):
    if not hasattr(app, "formulas"):
        return
    app.formulas.close()
    if not exception:
        put_fonts(app.outdir, _dist(app))


def _dist(app):
    return install(Path(app.confdir)) / "node_modules" / "katex" / "dist"


def _serve_static(app, config):
    # Before Sphinx asks whether the folder is there.
    target = Path(app.confdir, SERVED, "katex")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    # The faces of its fonts stand in each page.
    style = _FACE.sub("", (_dist(app) / CSS).read_text(encoding="utf-8"))
    (target / CSS).write_text(style, encoding="utf-8")
    config.html_static_path.append(SERVED)


def _add_style(app, pagename, templatename, context, doctree):
    if doctree is not None and any(
        next(doctree.findall(kind), None) is not None for kind in (nodes.math, nodes.math_block)
    ):
        app.add_css_file(STYLE)


class Joined(SphinxPostTransform):
    """Keep a formula in the line of what touches it: no full stop begins a line."""

    default_priority = 900
    formats = ("html",)

    def run(self):
        """Move what touches a formula from the text to the formula."""
        for node in list(self.document.findall(nodes.math)):
            before, after = _beside(node, -1), _beside(node, 1)
            head = _BEFORE.search(before) if before else None
            tail = _AFTER.match(after) if after else None
            if head:
                node["head"] = head[0]
                before.parent.replace(before, nodes.Text(before[: head.start()]))
            if tail:
                node["tail"] = tail[0]
                after.parent.replace(after, nodes.Text(after[tail.end() :]))


def _beside(node, step):
    """Return the text beside a node, or None."""
    at = node.parent.index(node) + step
    found = node.parent[at] if 0 <= at < len(node.parent) else None
    return found if isinstance(found, nodes.Text) else None


def _inline(translator, node):
    html = _set(translator, node, display=False)
    around = [translator.encode(node.get(side, "")) for side in ("head", "tail")]
    if any(around):
        # Where a formula alone may break, it still may.
        first, *others = html.split(_PART)
        html = _PART.join([first, *others[:1]]) + "".join(f"<wbr>{_PART}{o}" for o in others[1:])
        html = f'<span class="joined">{around[0]}{html}{around[1]}</span>'
    translator.body.append(html)
    raise nodes.SkipNode


def _block(translator, node):
    ids = "".join(f' id="{name}"' for name in node.get("ids", ())[:1])
    translator.body.append(f'<div class="math"{ids}>')
    translator.body.append(_set(translator, node, display=True))
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def _set(translator, node, display):
    tex = node.astext()
    around = _AROUND.fullmatch(tex)
    answer = translator.builder.app.formulas(around[1] if around else tex, display)
    if "error" in answer:
        _LOG.warning("KaTeX refuses the formula %r: %s", tex, answer["error"], location=node)
    return answer.get("html", "")


def setup(app):
    """Take the place of MathJax, which would set each formula again in each reader's browser."""
    app.add_post_transform(Joined)
    app.add_html_math_renderer("katex", (_inline, None), (_block, None))
    app.connect("config-inited", _serve_static)
    app.connect("builder-inited", _start)
    app.connect("html-page-context", _add_style)
    app.connect("build-finished", _end)
    return {"parallel_read_safe": True, "parallel_write_safe": False, "version": "1"}
