"""Every tagged equation stands in its place, has a target and a check that can fail."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from bncourse.contents import CHAPTERS
from bncourse.registry import all_exercises

ROOT = Path(__file__).parents[1]

TAG = re.compile(r"\\tag\{([^}]*)\}")
# The start of an equation, alone on its line.
OPENING = re.compile(r"^\$\$|^\\begin\{\w+\*?\}")
TARGET = re.compile(r"^\(([A-Z]\d+)\)=$")
CODE_CELL = re.compile(r"^```\{code-cell\}.*?\n(.*?)^```", re.M | re.S)
# The options of a code cell: YAML between dashes, or lines such as ":tags: [hide-input]".
OPTIONS = re.compile(r"\A---\n.*?^---\n|\A(?::[^\n]*\n)+", re.M | re.S)
CHECKS = re.compile(r"^# checks (\([A-Z]\d+\)(?:, \([A-Z]\d+\))*)$", re.M)
REFERENCE = re.compile(r"\]\(#([A-Z]\d+)\)")


@dataclass(frozen=True)
class Page:
    """What one chapter says about equations.

    Args:
        equations: ``(tag, target before it or None, its source)`` in the order of the page.
        checked: the tags that a code cell with an assertion checks.
        references: the tags that the text links to.
    """

    equations: list
    checked: set
    references: set


def read(text):
    """Return the Page of a chapter's text."""
    return Page(list(_equations(text)), set(_checked(text)), set(REFERENCE.findall(text)))


def _equations(text):
    lines = text.splitlines()
    for number, line in enumerate(lines):
        for tag in TAG.findall(line):
            start = number
            # Up to the line that opens the equation: the outermost one, directly below a target.
            while start > 0 and lines[start].strip() and not TARGET.match(lines[start - 1]):
                start -= 1
            opens = bool(OPENING.match(lines[start]))
            target = TARGET.match(lines[start - 1]) if opens and start else None
            yield tag, target and target[1], "\n".join(lines[start : number + 1])


def _checked(text):
    for cell in CODE_CELL.findall(text):
        for tags in CHECKS.findall(cell):
            if _asserts(OPTIONS.sub("", cell)):
                yield from re.findall(r"[A-Z]\d+", tags)


def _asserts(code):
    """Return whether code holds an assertion: one of a constant is none."""
    return any(
        (isinstance(node, ast.Assert) and not isinstance(node.test, ast.Constant))
        or (isinstance(node, ast.Attribute) and node.attr.startswith(("assert_", "raises")))
        for node in ast.walk(ast.parse(code))
    )


def marked(code):
    """Return the tags that the tests of a module check, by ``@pytest.mark.equation("F1")``."""
    return {
        decorator.args[0].value
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name.lower().startswith("test")
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.equation"
    }


def problems(pages, marks, sees=()):
    """Return what is wrong, as sentences.

    Args:
        pages: ``{page name: Page}``.
        marks: the tags that pytest tests check.
        sees: the tags that exercises send their readers to.
    """
    letters = {chapter.page: chapter.letter for chapter in CHAPTERS}
    tags = [tag for page in pages.values() for tag, _, _ in page.equations]
    checked = set(marks).union(*(page.checked for page in pages.values()))
    found = [f"({tag}) stands {tags.count(tag)} times." for tag in set(tags) if tags.count(tag) > 1]
    found += [f"({tag}) has no check." for tag in sorted(set(tags) - checked)]
    found += [f"A check names ({tag}), which does not exist." for tag in _missing(checked, pages)]
    found += [f"An exercise names ({tag}), which does not exist." for tag in _missing(sees, pages)]
    for name, page in pages.items():
        found += _page_problems(name, page, letters.get(name))
        found += [
            f"{name}: a link names ({tag}), which does not exist."
            for tag in _missing(page.references, pages)
        ]
    return found


def _missing(tags, pages):
    """Return the tags without an equation, as far as their chapters are written."""
    known = {tag for page in pages.values() for tag, _, _ in page.equations}
    unwritten = {chapter.letter for chapter in CHAPTERS if chapter.page not in pages}
    return sorted(tag for tag in set(tags) - known if tag[0] not in unwritten)


def _page_problems(name, page, letter):
    expected = [f"{letter}{number}" for number in range(1, len(page.equations) + 1)]
    tags = [tag for tag, _, _ in page.equations]
    if letter is None and tags:
        return [f"{name}: it has no letter, so it must not tag: {', '.join(tags)}."]
    if tags != expected:
        return [f"{name}: the tags must be {letter}1, {letter}2, ... in order. Received: {tags}."]
    found = [
        f"{name}: put the target line ({tag})= directly above the equation ({tag})."
        for tag, target, _ in page.equations
        if target != tag
    ]
    # The tag belongs to all of the lines.
    found += [
        f"{name}: ({tag}) has several lines; use equation* in the place of $$."
        for tag, _, source in page.equations
        if source.startswith("$$") and r"\\" in source
    ]
    return found


def test_every_equation_of_the_book_is_in_order():
    pages = {path.stem: read(path.read_text()) for path in (ROOT / "chapters").glob("*.md")}
    marks = set().union(*(marked(path.read_text()) for path in ROOT.glob("tests/**/test_*.py")))
    exercises = all_exercises().values()
    sees = {exercise.see for exercise in exercises}
    sees |= {mistake.see for exercise in exercises for mistake in exercise.mistakes}
    assert "F1" in read((ROOT / "chapters" / "forward.md").read_text()).checked
    assert problems(pages, marks, sees) == []


GOOD = r"""
(F1)=
$$ \mu = 1 \tag{F1} $$

(F2)=
\begin{equation*}
\begin{aligned}
a &= b \\
c &= d
\end{aligned} \tag{F2}
\end{equation*}

By [(F1)](#F1).

```{code-cell} ipython3
:tags: [hide-input]

# checks (F1), (F2)
assert 1 == 1
```
"""


def found(text, marks=(), sees=(), name="forward"):
    return problems({name: read(text)}, marks, sees)


def test_good_text_has_no_problem():
    assert found(GOOD, marks={"F1"}, sees={"F2"}) == []
    assert found(GOOD.replace("assert 1 == 1", "np.testing.assert_allclose(1, 1)")) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("assert 1 == 1", "1 == 1", "(F1) has no check."),
        ("assert 1 == 1", "# assert 1 == 1", "(F1) has no check."),
        ("assert 1 == 1", "assert True", "(F1) has no check."),
        ("# checks (F1), (F2)", "# checks (F1)", "(F2) has no check."),
        ("# checks (F1)", "# checks (F9), (F1)", "(F9), which does not exist"),
        ("(F1)=\n", "", "put the target line (F1)="),
        ("(F1)=\n", "(F1)=\n\n", "put the target line (F1)="),
        ("(F2)=\n", "(F3)=\n", "put the target line (F2)="),
        (r"\tag{F2}", r"\tag{F1}", "(F1) stands 2 times."),
        (r"\tag{F2}", r"\tag{F3}", "in order"),
        (r"\tag{F2}", r"\tag{B2}", "in order"),
        ("](#F1)", "](#F7)", "a link names (F7)"),
        (r"\mu = 1", r"\mu \\ = 1", "use equation*"),
    ],
)
def test_a_broken_text_is_found(old, new, problem):
    assert old in GOOD
    assert problem in "\n".join(found(GOOD.replace(old, new)))


def test_a_page_without_a_letter_must_not_tag():
    assert "no letter" in "\n".join(found(GOOD, name="glossary"))


def test_an_exercise_must_send_its_readers_to_an_equation():
    assert "An exercise names (F8)" in "\n".join(found(GOOD, sees={"F8"}))
    assert found(GOOD, sees={"B8"}) == [], "the chapter of B is not written in this text"


def test_a_marked_test_is_a_check():
    unchecked = GOOD.replace("# checks", "#")
    assert found(unchecked, marks={"F1", "F2"}) == []
    code = '@pytest.mark.equation("F1")\n@pytest.mark.slow\ndef test_mean():\n    pass\n'
    assert marked(code) == {"F1"}
    assert marked(code.replace("test_mean", "mean")) == set()
