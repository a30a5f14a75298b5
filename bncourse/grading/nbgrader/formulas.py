"""Formulas of the page of feedback, set as MathML when it is written: nothing runs or loads there.

It answers the threat of active content: MathML may carry links and styles. A formula is text when
it comes here, after the page was cleaned. What is set has the elements and attributes below and no
others; what the converter refuses, or what is too long, stays LaTeX.
"""

import re

from bs4 import BeautifulSoup
from math_core import LatexToMathML

FORMULA = re.compile(
    r"(\$\$.+?\$\$|\\begin\{(?P<name>\w+\*?)\}.+?\\end\{(?P=name)\}|\$[^$\n]+\$)", re.DOTALL
)
_TAG = re.compile(r"\s*\\tag\{(\w+)\}")
_FRAME = re.compile(r"\\(begin|end)\{\w+\*?\}\n?|\$\$?")
# What a display stands in, where the converter takes it without. It would number the lines of the
# others, as no notebook does.
_EQUATION = re.compile(r"^\\begin\{equation\*?\}(.*)\\end\{equation\*?\}$", re.DOTALL)
_NUMBERED = re.compile(r"\\(begin|end)\{(align|gather|multline)\}")
_NO_NUMBER = re.compile(r"\\label\{[^{}]*\}|\\(nonumber|notag)(?![A-Za-z])")

# The converter is no Python: braces that nest too deep overflow its stack and end the process. That
# takes more than four times as many as fit in here.
_LONGEST_SOURCE = 1_000
_LONGEST_RESULT = 50_000
# An inline formula of more signs does not fit a phone, and scrolls.
_WIDE = 22

_ELEMENTS = {
    *("math", "semantics", "annotation", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac"),
    *("msqrt", "mroot", "msub", "msup", "msubsup", "mover", "munder", "munderover", "mtable"),
    *("mtr", "mtd", "mpadded", "mphantom"),
    # Of a text in a formula.
    *("b", "i", "u", "em", "code", "span"),
}
_ATTRIBUTES = {
    *("display", "displaystyle", "scriptlevel", "encoding", "mathvariant", "stretchy", "symmetric"),
    *("form", "largeop", "movablelimits", "accent", "accentunder", "linethickness", "style"),
    *("lspace", "rspace", "minsize", "maxsize", "width", "height", "depth", "voffset"),
}
# Neither an address nor a rule of CSS fits in.
_STYLE = re.compile(r"[\w\s#:;.%-]*")

_CONVERTER = LatexToMathML(annotation=True, fancy_error=False, max_expansions=0)


def typeset(found):
    """Return a formula as an element of a page: MathML, or its source as code.

    Args:
        found: the match of ``FORMULA``.
    """
    display = not found[0].startswith("$") or found[0].startswith("$$")
    math = _math(found[0], display)
    if math is None:
        return _element("code", "formula" if display else "", _as_text(found[0]))
    if not display and _extent(math) <= _WIDE:
        return math
    box = _element("span", "formula" if display else "formula wide")
    box["tabindex"] = "0"
    box.append(math)
    for label in _TAG.findall(found[0]):
        box.append(_element("span", "tag", f"({label})"))
    return box


def _math(source, display):
    """Return the ``math`` element of a formula, or None where it is to stay as it is."""
    tex = source.strip("$").strip()
    tex = _EQUATION.sub(r"\1", tex)
    tex = _NO_NUMBER.sub("", _NUMBERED.sub(r"\\\1{\2*}", _TAG.sub("", tex))).strip()
    if len(tex) > _LONGEST_SOURCE:
        return None
    try:
        text = _CONVERTER.convert_with_local_state(tex, displaystyle=display)
    except Exception:
        # Whatever a student wrote, the page of the class is made.
        return None
    if len(text) > _LONGEST_RESULT:
        return None
    math = BeautifulSoup(text, "html.parser").math.extract()
    parts = [math, *math.find_all()]
    for part in parts:
        # The page has no rules for those of the converter.
        del part["class"]
    return math if all(map(_is_safe, parts)) else None


def _is_safe(element):
    return (
        element.name in _ELEMENTS
        and _ATTRIBUTES.issuperset(element.attrs)
        and bool(_STYLE.fullmatch(element.get("style", "")))
    )


def _extent(math):
    """Return about how many signs wide a formula is."""
    signs = sum(len(each.get_text()) for each in math.find_all(["mi", "mn", "mo", "mtext"]))
    widths = re.findall(r"([\d.]+)r?em", " ".join(e.get("width", "") for e in math.find_all()))
    return signs + sum(map(float, widths))


def _as_text(source):
    return _FRAME.sub("", _TAG.sub(r"   (\1)", source)).strip()


def _element(name, kind, text=""):
    element = BeautifulSoup("", "html.parser").new_tag(name, attrs={"class": kind} if kind else {})
    if text:
        element.string = text
    return element
