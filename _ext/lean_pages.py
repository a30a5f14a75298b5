"""Leave out of each page what the theme loads and the page does not use, and let the text go first.

A page is trimmed as it comes from its template, since the theme offers no option for any of this:
icons as a script of 1.5 MB beside the same icons as a font; the index of Sphinx's search on each
page, and next to our own; a kernel of a third party that no button starts; scripts that are to come
before the letters of the formulas; a second heading and list of contents, for paper. And the theme
learns whether a page is dark from a script that comes last: here the head says it, before anything
shows.
"""

import functools
import re
import struct
from pathlib import Path

from sphinx.errors import ExtensionError
from sphinx.jinja2glue import BuiltinTemplateLoader

_SCRIPT = r"\s*<script\b[^>]*\b(?:{})\b[^>]*></script>"
_UNUSED = re.compile(
    _SCRIPT.format(r"fontawesome\.js|searchtools\.js|searchindex\.js")
    + r'|\s*<script type="text/x-thebe-config">.*?</script>\s*<script>kernelName = .*?</script>'
    + r'|\s*<link rel="preload" as="script"[^>]*>'
    + r'|\s*<div id="jb-print-docs-body" class="onlyprint">.*?(?=<div id="searchbox">)',
    re.S,
)
# Who walks a page by its landmarks finds the way home, too.
_LOGO = re.compile(r'(?<!<nav aria-label="Home">)<a class="navbar-brand logo".*?</a>', re.S)
_THEME = re.compile(
    r'<script data-cfasync="false">.*?localStorage\.getItem\("theme"\).*?</script>', re.S
)
# As the theme's own script does it later, which then changes nothing.
_EARLY_THEME = """<script>{
    let mode = "auto";
    try {
      mode = localStorage.getItem("mode") || mode;
    } catch {
      // A browser may keep nothing.
    }
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const theme = mode === "auto" ? system : mode;
    Object.assign(document.documentElement.dataset, { mode, theme });
  }</script>"""
# An entry of the list of works, by a role that is no longer one, and that a list may not hold.
_ENTRY = ('role="doc-biblioentry"', 'role="listitem"')
# A corner of a table that names nothing is no heading.
_CORNER = re.compile(r"<th\b([^>]*)>\s*(?:<p>\s*</p>\s*)?</th>")
_STEMMER = re.compile(_SCRIPT.format(r"language_data\.js"))
# Those that run as they come; scripts in the page itself read what documentation_options.js sets.
_BLOCKING = re.compile(
    r"<script(?![^>]*(?:\bdefer\b|\basync\b|\bmodule\b|documentation_options))(?=[^>]*\bsrc=)"
)
_MEASURING = re.compile(
    r'"complete"===document\.readyState\?(\w)\(\):window\.addEventListener\("load",\1\)'
)
_LEFT = "void 'measured elsewhere'"

_PICTURE = re.compile(r'<img [^>]*\bsrc="[^"]*?([^"/]+)"[^>]*>')


def trimmed(html):
    """Return the text of a page without what it does not use, its scripts after its text.

    >>> trimmed('<script src="a/searchtools.js"></script><script src="b.js"></script>')
    '<script defer src="b.js"></script>'
    >>> trimmed('<th class="head"><p></p></th><th><p>N</p></th>')
    '<td class="head"></td><th><p>N</p></th>'
    """
    html = _UNUSED.sub("", html)
    if "search_places.js" not in html:
        html = _STEMMER.sub("", html)
    html = _CORNER.sub(r"<td\1></td>", html.replace(*_ENTRY))
    html = _LOGO.sub(r'<nav aria-label="Home">\g<0></nav>', html)
    return _BLOCKING.sub("<script defer", _THEME.sub(_EARLY_THEME, html))


class Trimming(BuiltinTemplateLoader):
    """Sphinx's own templates, their output trimmed."""

    def render(self, template, context):
        """Return a page, or a part of one."""
        return trimmed(super().render(template, context))


def sized(html, size_of):
    """Return the text of a page with the size of each picture, so that nothing moves when it comes.

    All but the first wait until the reader comes near them.

    Args:
        html: what stands between head and foot of the page.
        size_of: returns (width, height) for the name of a file, or nothing.

    >>> sized('<img alt="A" src="_images/a.png" />', {"a.png": (6, 4)}.get)
    '<img width="6" height="4" alt="A" src="_images/a.png" />'
    """
    seen = []

    def add(found):
        size = size_of(found[1])
        if not size or " width=" in found[0]:
            return found[0]
        seen.append(found[1])
        lazy = ' loading="lazy"' if len(seen) > 1 else ""
        return '<img width="{}" height="{}"{}{}'.format(*size, lazy, found[0][4:])

    return _PICTURE.sub(add, html)


@functools.cache
def size_of(path):
    """Return (width, height) of a PNG in pixels, or of an SVG in half points, as in a PNG here.

    Args:
        path: of a picture; of another kind, nothing is returned.
    """
    with open(path, "rb") as file:
        head = file.read(1000)
    if head.startswith(b"\x89PNG"):
        return struct.unpack(">II", head[16:24])
    points = re.search(rb'<svg\b[^>]* width="([\d.]+)pt" height="([\d.]+)pt"', head)
    return tuple(round(2 * float(each)) for each in points.groups()) if points else None


def _size_pictures(app, pagename, templatename, context, doctree):
    if doctree is None:
        return
    sources = {name: uri for uri, name in app.builder.images.items()}

    def size(name):
        return size_of(Path(app.srcdir, sources[name])) if name in sources else None

    context["body"] = sized(context["body"], size)


def _do_not_measure(app, exception):
    """Take from the theme's script what lays the page out once for each block of code.

    _static/reach_scrolling.js does it at no cost.
    """
    if exception or app.builder.format != "html":
        return
    path = Path(app.outdir, "_static", "scripts", "pydata-sphinx-theme.js")
    script = path.read_text("utf-8")
    # A build keeps what an earlier one has written.
    if _LEFT not in script:
        script, count = _MEASURING.subn(_LEFT, script)
        if not count:
            raise ExtensionError(
                "The theme's script reaches its blocks of code in another way now."
            )
        path.write_text(script, "utf-8")


def setup(app):
    """Render through Trimming."""
    app.connect("build-finished", _do_not_measure)
    app.config.template_bridge = f"{__name__}.{Trimming.__name__}"
    app.connect("html-page-context", _size_pictures)
    return {"parallel_read_safe": True}
