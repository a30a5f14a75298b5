"""The tables of chapters and problem sets, and every list that follows from them."""

import re

import numpy as np
import pytest
import yaml
from reading_time import measure

from bncourse import check
from bncourse.check import CheckFailed
from bncourse.contents import CHAPTERS, number_of
from bncourse.reference.forward import normalize
from bncourse.registry import ALL_SETS

MOST_MINUTES = 20


def text(root, chapter):
    return (root / "chapters" / f"{chapter.page}.md").read_text()


def toc(root):
    parts = yaml.safe_load((root / "_toc.yml").read_text())["parts"]
    return [(part, [each["file"] for each in part["chapters"]]) for part in parts]


def test_the_contents_of_the_book_follow_the_table(root):
    numbered = [page for part, pages in toc(root) if part.get("numbered") for page in pages]
    assert numbered == [f"chapters/{chapter.page}" for chapter in CHAPTERS]


def test_the_exercises_of_the_book_follow_the_table(root):
    (pages,) = (pages for part, pages in toc(root) if part["caption"] == "Exercises")
    assert pages == [f"exercises/{each.name}/{each.notebook}" for each in ALL_SETS]


def test_every_page_is_in_the_book(root):
    named = {page for _, pages in toc(root) for page in pages}
    written = {f"chapters/{path.stem}" for path in (root / "chapters").glob("*.md")}
    assert written <= named


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.page)
def test_a_chapter_has_one_name_and_one_question(root, chapter):
    page = text(root, chapter)
    assert re.findall(r"^# (.*)$", without_code(page), re.M) == [chapter.title]
    assert f"**{chapter.question}**" in page
    assert "{{ minutes }}" in page


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.page)
def test_a_chapter_can_be_finished(root, chapter):
    assert measure(text(root, chapter)).minutes <= MOST_MINUTES


def test_the_landing_page_has_a_row_for_each_chapter(root):
    index = (root / "index.md").read_text()
    rows = [
        f"| {number_of(chapter)} | [{chapter.title}](chapters/{chapter.page}.md) "
        f"| {chapter.question} |"
        for chapter in CHAPTERS
    ]
    assert [line[: line.index("|", line.index("?")) + 1] for line in table(index)] == rows


def test_the_first_button_leads_where_next_leads(root):
    index = (root / "index.md").read_text()
    assert re.findall(r"{button-ref} (\S+)", index)[0] == f"chapters/{CHAPTERS[0].page}"


def test_the_landing_page_shows_what_a_student_reads(root):
    index = (root / "index.md").read_text()
    answer, shown = re.findall(r"^```(?:python|text)\n(.*?)^```", index, re.M | re.S)
    with pytest.raises(CheckFailed) as failed:
        exec(answer, {"check": check})
    assert shown.rstrip() in str(failed.value)


def test_the_four_numbers_of_the_landing_page_are_what_the_layer_makes_of_them(root):
    picture = (root / "_static" / "four_numbers.svg").read_text()
    values = re.findall(r'class="value" x="\d+" y="\d+">([^<]*)<', picture)[1:]
    x, centred, x_hat, y = np.array(
        [v.replace("\N{MINUS SIGN}", "-") for v in values], float
    ).reshape(4, 4)
    assert centred == pytest.approx(x - x.mean())
    assert x_hat == pytest.approx(normalize(x, x.mean(), x.var(), eps=1e-12))
    gamma, beta = np.polyfit(x_hat, y, 1)
    assert y == pytest.approx(gamma * x_hat + beta)


def test_the_landing_page_names_each_problem_set(root):
    index = (root / "index.md").read_text()
    linked = re.findall(r"\]\((exercises/[^)]*)\)", "\n".join(table(index)))
    expected = [f"exercises/{each.name}/{each.notebook}.ipynb" for each in ALL_SETS]
    assert sorted(set(linked)) == sorted(expected)


def test_every_letter_of_a_tag_has_one_chapter():
    letters = [chapter.letter for chapter in CHAPTERS]
    assert len(set(letters)) == len(letters)


def test_the_notation_names_the_chapter_of_each_letter(root):
    notation = (root / "chapters" / "notation.md").read_text()
    rows = re.findall(r"^\| ([A-Z]) \| \[(.*)\]\((\w+)\.md\) \|$", notation, re.M)
    assert rows == [(each.letter, each.title, each.page) for each in CHAPTERS]


def table(page):
    return [line for line in page.splitlines() if re.match(r"\| \d+ \|", line)]


def without_code(page):
    return re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S)
