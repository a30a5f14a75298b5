"""What a student wrote or displayed, reduced to what may be shown to anyone.

It answers the threat of active content: a script in an output or in a written answer would run in
the browser of the instructor, with the rights of the formgrader. Of outputs, text and pixel images
stay; HTML, SVG, JavaScript, widgets and metadata go (each rich display has a text form too). Of
written answers, Markdown stays, and of HTML the harmless tags.
"""

import html
import re

import bleach
from jinja2 import pass_context
from nbconvert.filters.highlight import Highlight2HTML
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import v4

from bncourse.grading.pixels import is_picture

_IMAGES = ("image/png", "image/jpeg")
_MOST_OUTPUTS = 2000

# The time to render text may grow with the square of its length. Longer Markdown or code, or more
# in one notebook, is shown as it is.
_LONGEST_TEXT = 8_192
_MOST_TEXT = 16 * _LONGEST_TEXT
# Tags left open are opened again in each paragraph below: a hundred in a hundred are 10,000.
_MOST_TAGS = 200

# The page of feedback takes as long for an empty output as for one of so many characters.
_LEAST_OUTPUT = 4_096

# A picture in the text itself, as the course and Colab put it there.
_PASTED = re.compile(r"\(data:(image/(?:png|jpeg));base64,([A-Za-z0-9+/=]+)\)")

_LINK = re.compile(r"https?://|mailto:|#", re.IGNORECASE)

_TAGS = [
    *bleach.ALLOWED_TAGS,
    *("p", "div", "span", "br", "hr", "pre", "del", "sub", "sup", "img", "details", "summary"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
]


@pass_context
def safe_markdown(context, source):
    """Return Markdown as HTML without scripts; replaces nbconvert's filter ``markdown2html``."""
    source, pasted = _lift_pictures(source)
    if not _affords(context, source) or source.count("<") > _MOST_TAGS:
        return _plain_text(source)
    attachments = context.get("cell", {}).get("attachments", {}) | pasted
    # An anchor would lead nowhere: the id of its heading is taken out below.
    renderer = _Renderer(escape=False, attachments=attachments, exclude_anchor_links=True)
    rendered = MarkdownWithMath(renderer=renderer).render(source)
    # Formulas are text at this point; MathJax typesets them in the browser.
    return bleach.clean(
        rendered, tags=_TAGS, attributes=_is_safe, protocols=["http", "https", "mailto", "data"]
    )


def _lift_pictures(source):
    """Return Markdown with attachments in the place of its pasted pictures, and these.

    Their characters are no text: they would make a text with a picture too long to be rendered.
    """
    pasted = {}

    def lift(found):
        name = f"pasted-{len(pasted)}"
        pasted[name] = {found[1]: found[2]}
        return f"(attachment:{name})"

    return _PASTED.sub(lift, source), pasted


class _Renderer(IPythonRenderer):
    def block_code(self, code, info=None):
        # Colours need a lexer that the text chooses, and some take hours on hostile code.
        return _plain_text(code)


@pass_context
def safe_code(context, source, language=None, metadata=None):
    """Return code as HTML with colours; replaces nbconvert's filter ``highlight_code``."""
    # The lexer takes seconds for a thousand lines of blanks.
    source = "\n".join(line.rstrip() for line in source.splitlines())
    if not _affords(context, source):
        return _plain_text(source)
    return Highlight2HTML(pygments_lexer="ipython3")(source)


def _affords(context, source):
    """Return whether a text of this length may be rendered, and count it."""
    spent = context.get("resources", {}).setdefault("bncourse", {"text": 0})
    spent["text"] += len(source)
    return len(source) <= _LONGEST_TEXT and spent["text"] <= _MOST_TEXT


def _plain_text(source):
    return f"<pre>{html.escape(source)}</pre>"


def _is_safe(tag, name, value):
    if tag == "img" and name == "src":
        # No image from elsewhere either: its server would learn who looks at it, and when.
        return value.startswith(tuple(f"data:{mime};base64," for mime in _IMAGES))
    if tag == "a" and name == "href":
        # No relative address: it may be that of a file beside the notebook.
        return bool(_LINK.match(html.unescape(value)))
    return name in ("title", "alt")


def clean_attachments(attachments, most):
    """Return the pixel images among the attachments of a cell.

    Args:
        attachments: whatever the notebook says; ``{name: {mime type: base64}}`` in a good one.
        most: characters of base64 in one image.
    """
    if not isinstance(attachments, dict):
        return {}
    return {
        name: {mime: content}
        for name, bundle in attachments.items()
        if isinstance(bundle, dict)
        for mime, content in bundle.items()
        if is_picture(content, mime, most)
    }


def clean_outputs(outputs, limits):
    """Return outputs as notebook nodes that hold text and images only.

    Args:
        outputs: whatever the student's process sent.
        limits: the Limits.

    Raises:
        TypeError, ValueError, KeyError: the outputs are not in the notebook format.
    """
    if not isinstance(outputs, list):
        raise TypeError("outputs must be a list")
    # Counted again here, since the process that counted them first is the student's.
    text = 2 * limits.output + 64 * len(outputs[:_MOST_OUTPUTS])
    images, cleaned = limits.image, []
    for output in outputs[:_MOST_OUTPUTS]:
        node = _CLEAN[output["output_type"]](output, limits)
        drawn = _size_of_images(node)
        images -= drawn
        text -= len(str(node)) - drawn
        if text < 0 or images < 0:
            break
        cleaned.append(node)
    return cleaned


def cut_to(outputs, room):
    """Return the first outputs that fit into a number of characters, and the room that is left."""
    kept = []
    for output in outputs:
        room -= max(_LEAST_OUTPUT, len(str(output)))
        if room < 0:
            text = "[the outputs of this notebook are cut here]\n"
            return [*kept, v4.new_output("stream", name="stdout", text=text)], 0
        kept.append(output)
    return kept, room


def _size_of_images(node):
    return sum(len(node.get("data", {}).get(mime, "")) for mime in _IMAGES)


def _stream(output, limits):
    # A stream called stderr would be a failure to nbgrader, where it is a warning to us.
    name = "stderr" if output["name"] == "stderr" else "stdout"
    return v4.new_output("stream", name=name, text=_text(output["text"]))


def _rich(output, limits):
    data = {"text/plain": _text(output["data"].get("text/plain", ""))}
    for mime in _IMAGES:
        if is_picture(output["data"].get(mime), mime, limits.image):
            data[mime] = output["data"][mime]
    # Never an ``execute_result``: nbgrader reads those of grade cells as points.
    return v4.new_output("display_data", data=data)


def _error(output, limits):
    lines = output["traceback"]
    if not isinstance(lines, list):
        raise TypeError("a traceback must be a list")
    return v4.new_output(
        "error",
        ename=_text(output["ename"]),
        evalue=_text(output["evalue"]),
        traceback=[_text(line) for line in lines],
    )


_CLEAN = {
    "stream": _stream,
    "display_data": _rich,
    "execute_result": _rich,
    "error": _error,
}


def _text(value):
    if not isinstance(value, str):
        raise TypeError("text expected")
    # Terminal codes go; what is left is escaped by the template that shows it.
    return "".join(c for c in value if c in "\n\t\r" or c.isprintable())
