"""Leave out of each page what the theme loads and the page does not use, and let the text go first.

A page is trimmed as it comes from its template, since the theme offers no option for any of this:
icons as a script of 1.5 MB beside the same icons as a font; the index of Sphinx's search on each
page, and next to our own; a kernel of a third party that no button starts.
"""

import re

from sphinx.jinja2glue import BuiltinTemplateLoader

_SCRIPT = r"\s*<script\b[^>]*\b(?:{})\b[^>]*></script>"
_UNUSED = re.compile(
    _SCRIPT.format(r"fontawesome\.js|searchtools\.js|searchindex\.js")
    + r'|\s*<script type="text/x-thebe-config">.*?</script>\s*<script>kernelName = .*?</script>',
    re.S,
)
_STEMMER = re.compile(_SCRIPT.format(r"language_data\.js"))
# Those that run as they come; scripts in the page itself read what documentation_options.js sets.
_BLOCKING = re.compile(
    r"<script(?![^>]*(?:\bdefer\b|\basync\b|\bmodule\b|documentation_options))(?=[^>]*\bsrc=)"
)


def trimmed(html):
    """Return the text of a page without what it does not use, its scripts after its text.

    >>> trimmed('<script src="a/searchtools.js"></script><script src="b.js"></script>')
    '<script defer src="b.js"></script>'
    """
    html = _UNUSED.sub("", html)
    if "search_places.js" not in html:
        html = _STEMMER.sub("", html)
    return _BLOCKING.sub("<script defer", html)


class Trimming(BuiltinTemplateLoader):
    """Sphinx's own templates, their output trimmed."""

    def render(self, template, context):
        """Return a page, or a part of one."""
        return trimmed(super().render(template, context))


def setup(app):
    """Render through Trimming."""
    app.config.template_bridge = f"{__name__}.{Trimming.__name__}"
    return {"parallel_read_safe": True}
