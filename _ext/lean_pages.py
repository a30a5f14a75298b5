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
# What scripts of the theme do in an expensive way: the file, what stands in it, what shall. The
# one lays the page out once for each block of code, which _static/reach_scrolling.js does at no
# cost. The other asks each element for 28 classes in turn; for one, a browser has a list.
_EXPENSIVE = (
    (
        "pydata-sphinx-theme.js",
        re.compile(
            r'"complete"===document\.readyState\?(\w)\(\):window\.addEventListener\("load",\1\)'
        ),
        "void 'measured elsewhere'",
    ),
    (
        "sphinx-book-theme.js",
        re.compile(r'document\.querySelectorAll\((?P<kept>\w)\.join\(", "\)\)'),
        ".flatMap(e=>[...document.querySelectorAll(e)])",
    ),
)

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


def _lighten(app, exception):
    """Have the theme's scripts do in a cheaper way what takes long on a large page."""
    if exception or app.builder.format != "html":
        return
    for name, found, instead in _EXPENSIVE:
        path = Path(app.outdir, "_static", "scripts", name)
        path.write_text(lightened(path.read_text("utf-8"), found, instead), "utf-8")


def lightened(script, found, instead):
    r"""Return a script with one thing in it replaced.

    Args:
        script: its text.
        found: a compiled pattern; its group ``kept``, if it has one, goes before the replacement.
        instead: the replacement.

    Raises:
        ExtensionError: if the script holds neither.

    >>> once = lightened("all(n.join())", re.compile(r"all\((?P<kept>n)\.join\(\)\)"), ".each()")
    >>> once
    'n.each()'
    >>> lightened(once, re.compile("never"), ".each()")
    'n.each()'
    """
    changed, count = found.subn(lambda each: each.groupdict().get("kept", "") + instead, script)
    # A build keeps what an earlier one has written.
    if not count and instead not in script:
        raise ExtensionError(f"The theme's script works in another way now: {found.pattern}")
    return changed


def setup(app):
    """Render through Trimming."""
    app.connect("build-finished", _lighten)
    app.config.template_bridge = f"{__name__}.{Trimming.__name__}"
    app.connect("html-page-context", _size_pictures)
    return {"parallel_read_safe": True}
