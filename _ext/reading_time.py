"""Say on each page how long it takes to read: ``{{ minutes }}`` stands for the number.

Counted is what is open on the page: prose, displayed equations, figures and code, without what is
folded away (checks, hidden code, dropdowns).
"""

import math
import re
from dataclasses import dataclass

# A third-year student with a pencil: words a minute; seconds for the rest.
_WORDS = 220
_EQUATION, _FIGURE, _CODE_LINE = 10, 12, 1.5

_PLACEHOLDER = "{{ minutes }}"
_FRONT_MATTER = re.compile(r"\A---\n.*?^---\n", re.M | re.S)
_FENCE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{(?P<kind>[\w:-]+)\}(?P<rest>.*?)^(?P=fence)\s*$", re.M | re.S
)
_OPTIONS = re.compile(r"\A[^\n]*\n(?:---\n.*?^---\n|(?::[^\n]*\n)*)", re.M | re.S)
_DISPLAY = re.compile(r"\$\$.*?\$\$|\\begin\{equation\*?\}.*?\\end\{equation\*?\}", re.S)
_FOLDED = {"dropdown", "solution", "bibliography"}


@dataclass(frozen=True)
class Page:
    """What there is to read on a page, as counts; ``code`` in lines."""

    words: int
    equations: int
    figures: int
    code: int
    checks: int

    @property
    def minutes(self):
        """The minutes that a page takes to read, rounded up."""
        seconds = 60 * self.words / _WORDS
        seconds += _EQUATION * self.equations + _FIGURE * self.figures + _CODE_LINE * self.code
        return math.ceil(seconds / 60)


def measure(text):
    """Return the Page of a MyST text.

    >>> measure("One two three.\\n\\n$$ a = b $$\\n")
    Page(words=3, equations=1, figures=0, code=0, checks=0)
    >>> measure("::::{div}\\nOne.\\n:::{dropdown} Why\\nTwo three.\\n:::\\n::::\\n").words
    1
    """
    prose, figures, code, checks = _open_parts(_FRONT_MATTER.sub("", text))
    equations = len(_DISPLAY.findall(prose))
    words = len(re.findall(r"[^\s|#*`]+", _DISPLAY.sub(" ", prose)))
    return Page(words, equations, figures, code, checks)


def _open_parts(text):
    """Return the prose that is not folded away, and the counts of figures, code and checks."""
    figures = code = checks = 0
    prose = []
    end = 0
    for found in _FENCE.finditer(text):
        prose.append(text[end : found.start()])
        end = found.end()
        options = _OPTIONS.match(found["rest"])
        options, body = options.group(), found["rest"][options.end() :]
        if found["kind"] == "code-cell":
            figures += "alt:" in options
            if body.lstrip().startswith("# checks ("):
                checks += 1
            elif not re.search(r"hide-(?:input|cell)|remove-(?:input|cell)", options):
                code += len([line for line in body.splitlines() if line.strip()])
        elif found["kind"] in ("figure", "image", "moving", "glue:figure"):
            figures += 1
        elif found["kind"] not in _FOLDED:
            inside, *counts = _open_parts(body)
            prose.append(inside)
            figures, code, checks = map(sum, zip((figures, code, checks), counts, strict=True))
    prose.append(text[end:])
    return "\n".join(prose), figures, code, checks


def _say_minutes(app, name, source):
    if _PLACEHOLDER in source[0]:
        source[0] = source[0].replace(_PLACEHOLDER, str(measure(source[0]).minutes))


def setup(app):
    """Fill in the minutes of each page before it is read."""
    app.connect("source-read", _say_minutes, priority=400)
    return {"parallel_read_safe": True}
