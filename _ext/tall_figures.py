"""Give each figure a form that a phone can show: its own, narrow and tall, or one that scrolls.

A figure of bncourse hands its tall form on beside its picture (``bncourse/figures/style.py``). What
has none, a photograph of a screen or a diagram without room for its words, keeps its width on a
phone and scrolls in a box of its own.
"""

import base64
import functools
import hashlib
import re
import shutil
from pathlib import Path

from docutils import nodes
from lean_pages import size_of
from myst_nb.core.render import NbElementRenderer

from bncourse.figures.style import TALL

# Pixels: the widest page that gets the tall form, and the width from which a picture is too wide
# for such a page.
PHONE, WIDE = 600, 700
_ENDINGS = {"image/svg+xml": ".svg", "image/png": ".png"}
_PICTURE = re.compile(r'<img width="(\d+)"[^>]*\bsrc="([^"]*?)([^"/]+)"[^>]*>')


def _file(bundle):
    """Return (name, bytes) of a picture, named by what it holds."""
    ((kind, text),) = bundle.items()
    content = base64.b64decode(text) if kind == "image/png" else text.encode()
    return hashlib.sha256(content).hexdigest() + _ENDINGS[kind], content


def keeping_tall(render_image):
    """Return a method of MyST-NB's renderer that also writes the tall form, and names it.

    Args:
        render_image: that method as it is; there is no other place that sees an output whole.
    """

    @functools.wraps(render_image)
    def render(renderer, data):
        images = render_image(renderer, data)
        if TALL in data.output_metadata:
            name, content = _file(data.output_metadata[TALL])
            uri = renderer.write_file([name], content, overwrite=False, exists_ok=True)
            for image in images:
                image["tall"] = uri
        return images

    return render


def for_phones(html, tall_of):
    """Return the text of a page whose wide pictures can be read on a phone.

    Args:
        html: what stands between head and foot of the page, its pictures with their sizes.
        tall_of: returns (name, width, height) of the tall form of a file, or nothing.

    >>> for_phones('<img width="900" height="400" src="i/a.png">', {"a.png": ("b.png", 6, 8)}.get)
    ... # doctest: +NORMALIZE_WHITESPACE
    '<picture><source media="(max-width: 600px)" srcset="i/b.png" width="6"
    height="8"><img width="900" height="400" src="i/a.png"></picture>'
    >>> for_phones('<img width="900" height="400" src="i/a.png">', {}.get)
    '<div class="wide-picture"><img width="900" height="400" src="i/a.png"></div>'
    """
    return _PICTURE.sub(functools.partial(_for_phone, tall_of), html)


def _for_phone(tall_of, found):
    tall = tall_of(found[3])
    if tall:
        name, width, height = tall
        source = f'srcset="{found[2]}{name}" width="{width}" height="{height}"'
        return f'<picture><source media="(max-width: {PHONE}px)" {source}>{found[0]}</picture>'
    return f'<div class="wide-picture">{found[0]}</div>' if int(found[1]) > WIDE else found[0]


def _put_in(app, pagename, templatename, context, doctree):
    if doctree is None:
        return
    tall = {
        Path(each["uri"]).name: Path(app.srcdir, each["tall"].lstrip("/"))
        for each in doctree.findall(nodes.image)
        if "tall" in each
    }
    images = Path(app.outdir, app.builder.imagedir)

    def tall_of(name):
        if name not in tall:
            return None
        images.mkdir(exist_ok=True)
        shutil.copy(tall[name], images)
        return tall[name].name, *size_of(tall[name])

    context["body"] = for_phones(context["body"], tall_of)


def setup(app):
    """Come after lean_pages, which says how large each picture is."""
    if not hasattr(NbElementRenderer.render_image, "__wrapped__"):
        NbElementRenderer.render_image = keeping_tall(NbElementRenderer.render_image)
    app.connect("html-page-context", _put_in, priority=600)
    return {"parallel_read_safe": True, "version": "1"}
