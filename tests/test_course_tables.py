"""The teacher's tables hold every chapter and every exercise."""

import re

import course_tables
import pytest

from bncourse.contents import CHAPTERS
from bncourse.registry import ALL_SETS, PROBLEM_SETS


def test_each_chapter_has_a_row():
    table = course_tables.chapters()
    assert table.count("\n") == len(CHAPTERS) + 1
    assert all(f"[{each.title}]({each.page}.md)" in table for each in CHAPTERS)


@pytest.mark.parametrize("each", PROBLEM_SETS, ids=lambda each: each.name)
def test_each_exercise_has_a_row_and_the_points_add_up(root, each):
    found = course_tables.exercises_of(each)
    text = (root / "solutions" / each.name / f"{each.notebook}.md").read_text()
    assert len(found) == len(re.findall(r"^## \d+\. ", text, re.M)) >= len(each.exercises)
    total = int(re.search(r"\| Points \| (\d+)", text)[1])
    assert sum(int(one["points"]) for one in found) == total
    assert all(one["title"] in course_tables.exercises() for one in found)


@pytest.mark.parametrize("each", ALL_SETS, ids=lambda each: each.name)
def test_a_notebook_tells_the_time_that_its_exercises_take(root, each):
    text = (root / "solutions" / each.name / f"{each.notebook}.md").read_text()
    told = re.search(r"\| Time \| about (?:([\d.]+) hours)? ?(?:(\d+) minutes)?", text)
    hours, minutes = (float(part or 0) for part in told.groups())
    assert 60 * hours + minutes == pytest.approx(course_tables.minutes_of(each), abs=10)


def test_a_chapter_is_named_by_a_number_that_moves_with_it(root):
    """The lines of code show what a check says, and tests compare them with it."""
    pages = [root / "index.md", *(root / "chapters").glob("*.md")]
    for path in pages:
        words = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S)
        # The button leads to whatever comes first.
        numbered = set(re.findall(r"[Cc]hapters? \d+", words)) - {"chapter 1"}
        assert not numbered, path
    filled = ["chapters {{ chapter:why_normalise }} to {{ chapter:famous_bugs }}"]
    course_tables._fill_page(None, "index", filled)
    assert filled == [f"chapters 1 to {len(CHAPTERS)}"]
    with pytest.raises(KeyError):
        course_tables._fill_page(None, "index", ["{{ chapter:unwritten }}"])


@pytest.mark.parametrize("page", ["index.md", "chapters/guide_teachers.md"])
def test_the_hours_of_all_sets_are_counted(root, page):
    filled = [(root / page).read_text()]
    assert course_tables._HOURS in filled[0]
    course_tables._fill_page(None, page, filled)
    assert f"{course_tables.hours()} hours" in filled[0]


@pytest.mark.parametrize("each", ALL_SETS, ids=lambda each: each.name)
def test_a_chapter_sends_its_readers_to_each_set(root, each):
    pages = [(root / "chapters" / f"{chapter.page}.md").read_text() for chapter in CHAPTERS]
    trained = [page.partition("\n## Exercises\n")[2].partition("\n## ")[0] for page in pages]
    assert any(f"exercises/{each.name}/{each.notebook}.ipynb" in part for part in trained)


def test_each_row_has_as_many_cells_as_its_head():
    for table in (course_tables.chapters(), course_tables.exercises()):
        assert len({len(line.split("|")) for line in table.splitlines()}) == 1


def test_the_guide_asks_for_both(root):
    page = (root / "chapters" / "guide_teachers.md").read_text()
    filled = [page]
    course_tables._fill_page(None, "chapters/guide_teachers", filled)
    assert course_tables.chapters() in filled[0]
    assert course_tables.exercises() in filled[0]


def test_every_equation_that_the_guide_names_exists(root):
    texts = "".join(path.read_text() for path in (root / "chapters").glob("*.md"))
    page = (root / "chapters" / "guide_teachers.md").read_text() + course_tables.exercises()
    tags = set(re.findall(r"\]\(#(\w+)\)", page))
    assert len(tags) > 20
    assert all(f"\n({tag})=\n" in texts for tag in tags), tags
