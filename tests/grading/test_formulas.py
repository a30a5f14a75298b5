"""Formulas of the page of feedback: set without a script, and left as they are where that fails."""

import html
import threading

import nbformat
import pytest
from bs4 import BeautifulSoup

from bncourse.grading.nbgrader import formulas
from bncourse.grading.nbgrader.results import readable
from bncourse.registry import ALL_SETS

# What may stand on a page beside what readable got.
NEW = {*formulas._ELEMENTS, "p", "code", "span"}


def shown(source):
    """Return what a page shows of a text, as a soup."""
    return BeautifulSoup(readable(f"<p>{html.escape(source)}</p>"), "html.parser")


@pytest.mark.parametrize("each", ALL_SETS, ids=lambda each: each.name)
def test_every_formula_of_the_course_is_set(each, root):
    path = root / "exercises" / each.name / f"{each.notebook}.ipynb"
    texts = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
    found = [found[0] for text in texts for found in formulas.FORMULA.finditer(text)]
    assert found
    left = [source for source in found if not shown(source).math]
    assert not left


def test_a_formula_keeps_its_source_and_its_tag():
    soup = shown(r"By $$ \mu_j = \frac{1}{N} \tag{F1} $$ it is.")
    assert soup.annotation.get_text() == r"\mu_j = \frac{1}{N}"
    assert soup.math["display"] == "block"
    assert soup.find("msub").get_text() == "μj"
    assert soup.select_one(".tag").get_text() == "(F1)"
    assert soup.p.get_text().startswith("By ")
    assert soup.p.get_text().endswith(" it is.")


def test_lines_of_an_environment_stand_below_each_other_without_numbers():
    soup = shown("\\begin{align}\na &= b \\label{top} \\\\\nc &= d \\nonumber\n\\end{align}")
    assert len(soup.find_all("mtr")) == 2
    assert not soup.find(id=True)
    assert not soup.find("mtext")


@pytest.mark.parametrize(
    "source",
    [
        r"$\frac{1}{$",
        r"$\unknown{x}$",
        "$x & y$",
        r"$\begin{nothing} x \end{nothing}$",
        r"$\def\a{\a\a}\a$",
        r"$\newcommand{\b}{x}\b$",
        r"$\href{javascript:EVIL()}{x}$",
        r"$\class{verdict}{x}$",
        r"$\includegraphics{https://evil.example/x.png}$",
        r"$\textcolor{red;background:url(https://evil.example)}{x}$",
        "$\ud800$",
        "$\x00$",
        "$$" + "x+" * 2_000 + "$$",
        "$" + "{" * 999 + "$",
    ],
)
def test_a_formula_that_cannot_be_set_stays_latex(source):
    soup = shown(source)
    assert not soup.math
    assert soup.code.get_text()
    assert soup.code.get_text() in source


@pytest.mark.parametrize(
    "source",
    [
        r"$\text{<script>EVIL()</script>}$",
        r"$\text{&lt;script&gt;EVIL()&lt;/script&gt;}$",
        r"$\operatorname{</math><script>EVIL()</script>}$",
        "$</annotation></math><img src=x onerror=EVIL()>$",
        r"$\mathrm{<b id=top>}$",
        r"$\color{red} x$",
        r"$\texttt{</code><script>}$",
        r"$x % </annotation-xml><svg>$",
        r"$\label{grade-normalize} x$",
        r"\begin{gather}\label{grade-normalize} x \tag*{<b>} \end{gather}",
        r"$$\begin{aligned} x \tag{top} \end{aligned}$$",
    ],
)
def test_what_a_student_writes_in_a_formula_is_text(source):
    soup = shown(source)
    assert {each.name for each in soup.find_all()} <= NEW
    names = {name for each in soup.find_all() for name in each.attrs}
    assert names <= formulas._ATTRIBUTES | {"class", "tabindex"}
    assert not soup.find(id=True)
    assert not [each for each in soup.find_all(style=True) if "(" in each["style"]]


@pytest.mark.parametrize(
    "source",
    [
        "{" * 498 + "x" + "}" * 498,
        r"\hat" * 245 + "{x}",
        r"\sqrt{" * 140 + "x" + "}" * 140,
        r"\left(" * 80 + r"\right)" * 80,
        "x^{" * 240 + "x" + "}" * 240,
        "x" + "'" * 900,
    ],
    ids=lambda source: source[:6],
)
def test_depth_ends_no_process(source):
    """A stack that overflows would end the process: a quarter of what Linux gives is enough."""
    usual = threading.stack_size(2 * 1024 * 1024)
    try:
        made = []
        thread = threading.Thread(target=lambda: made.append(formulas._math(f"$${source}$$", True)))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(usual)
    assert len(made) == 1


def test_a_long_formula_in_a_line_scrolls_and_a_short_one_does_not():
    assert not shown("$x_1 + x_2$").span
    long = shown("$" + " + ".join(f"x_{{{n}}}" for n in range(20)) + "$")
    assert long.span["tabindex"] == "0"
    assert shown(r"$\hspace{900em} x$").span
