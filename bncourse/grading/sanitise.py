"""What a student wrote or displayed, reduced to what may be shown to anyone.

It answers the threat of active content: a script in an output or in a written answer would run in
the browser of the instructor, with the rights of the formgrader. Of outputs, text and pixel images
stay; HTML, SVG, JavaScript, widgets and metadata go (each rich display has a text form too). Of
written answers, Markdown stays, and of HTML the harmless tags.
"""

import html
import re
from dataclasses import dataclass

import bleach
from jinja2 import pass_context
from nbconvert.filters.highlight import Highlight2HTML
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import v4

from bncourse.grading.pixels import is_picture, pixels_in
from bncourse.limits import MIB

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

# A picture may be named a thousand times and stand on the page as often, and some kilobytes of one
# fill megabytes of the browser's memory. So many characters and pixels are shown of a notebook.
_MOST_PICTURES = 20 * MIB
_MOST_PIXELS = 2**28
# What a page may hold is bounded in characters; so many pixels are worth one.
_PIXELS_OF_A_CHARACTER = 16

# A picture in the text itself, as the course and Colab put it there.
_PASTED = re.compile(r"\(data:(image/(?:png|jpeg));base64,([A-Za-z0-9+/=]+)\)")
_PICTURE = re.compile(r"data:(image/(?:png|jpeg));base64,([A-Za-z0-9+/=]+)$")

# They turn the order of letters round: what a reader sees would not be what runs.
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")

_LINK = re.compile(r"https?://|mailto:|#", re.IGNORECASE)

_TAGS = [
    *bleach.ALLOWED_TAGS,
    *("p", "div", "span", "br", "hr", "pre", "del", "sub", "sup", "img", "details", "summary"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
]


@pass_context
def safe_markdown(context, source):
    """Return Markdown as HTML without scripts; replaces nbconvert's filter ``markdown2html``."""
    source, pasted = _lift_pictures(_TURNS.sub("", source))
    if not _affords(context, source) or source.count("<") > _MOST_TAGS:
        return _plain_text(source)
    attachments = context.get("cell", {}).get("attachments", {}) | pasted
    spent = _spent(context)
    rendered = MarkdownWithMath(renderer=_Renderer(attachments, spent)).render(source)

    def is_safe(tag, name, value):
        if tag == "img" and name == "src":
            return spent.affords_pixels(value)
        return _is_safe(tag, name, value)

    # Formulas are text at this point; MathJax typesets them in the browser.
    return bleach.clean(
        rendered, tags=_TAGS, attributes=is_safe, protocols=["http", "https", "mailto", "data"]
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


@dataclass
class _Spent:
    """What of a page the texts of one notebook have taken so far."""

    text: int = 0
    pictures: int = 0
    pixels: int = 0

    def affords_text(self, source):
        self.text += len(source)
        return len(source) <= _LONGEST_TEXT and self.text <= _MOST_TEXT

    def affords_picture(self, content):
        self.pictures += len(content)
        return self.pictures <= _MOST_PICTURES

    def affords_pixels(self, address):
        """Return whether the address of a picture may be shown: only one that holds it.

        One from elsewhere would tell its server who looks at it, and when.
        """
        found = _PICTURE.match(address)
        if not found or not is_picture(found[2], found[1], _MOST_PICTURES):
            return False
        self.pixels += pixels_in(found[2], found[1])
        return self.pixels <= _MOST_PIXELS


def _spent(context):
    return context.get("resources", {}).setdefault("bncourse", _Spent())


class _Renderer(IPythonRenderer):
    def __init__(self, attachments, spent):
        # An anchor would lead nowhere: the id of its heading is taken out below.
        super().__init__(escape=False, attachments=attachments, exclude_anchor_links=True)
        self._spent = spent

    def _embed_image_or_attachment(self, src):
        # Before the picture is put in, since the text may name it a thousand times.
        kind, _, name = src.partition(":")
        if kind != "attachment":
            return src
        for mime, content in self.attachments.get(name, {}).items():
            content = "".join(content.split())
            if self._spent.affords_picture(content):
                return f"data:{mime};base64,{content}"
        return ""

    def block_code(self, code, info=None):
        # Colours need a lexer that the text chooses, and some take hours on hostile code.
        return _plain_text(code)


@pass_context
def safe_code(context, source, language=None, metadata=None):
    """Return code as HTML with colours; replaces nbconvert's filter ``highlight_code``."""
    # The lexer takes seconds for a thousand lines of blanks.
    source = "\n".join(line.rstrip() for line in _TURNS.sub("\ufffd", source).splitlines())
    if not _affords(context, source):
        return _plain_text(source)
    return Highlight2HTML(pygments_lexer="ipython3")(source)


def _affords(context, source):
    """Return whether a text of this length may be rendered, and count it."""
    return _spent(context).affords_text(source)


def _plain_text(source):
    return f"<pre>{html.escape(source)}</pre>"


def _is_safe(tag, name, value):
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
        room -= max(_LEAST_OUTPUT, len(str(output)), _pixels(output) // _PIXELS_OF_A_CHARACTER)
        if room < 0:
            text = "[the outputs of this notebook are cut here]\n"
            return [*kept, v4.new_output("stream", name="stdout", text=text)], 0
        kept.append(output)
    return kept, room


def _size_of_images(node):
    return sum(len(node.get("data", {}).get(mime, "")) for mime in _IMAGES)


def _pixels(node):
    data = node.get("data", {})
    return sum(pixels_in(data[mime], mime) for mime in _IMAGES if mime in data)


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
