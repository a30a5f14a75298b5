"""The table of versions is of what was tried, and reaches as far as the course promises."""

import json

import version_table

from bncourse.registry import OLDEST


def rows():
    return json.loads(version_table.RESULTS.read_text())["rows"]


def test_nothing_was_misjudged():
    tried = [row for row in rows() if "refused" not in row]
    assert tried
    for row in tried:
        assert row["misjudged"] == []
        assert row["right"][0] == row["right"][1] > 0
        assert row["mistakes"][0] == row["mistakes"][1] > 0


def test_the_oldest_versions_that_are_accepted_were_tried():
    tried = [row["versions"] for row in rows() if "versions" in row]
    for package, oldest in OLDEST.items():
        found = [tuple(map(int, each[package].split(".")[:2])) for each in tried if package in each]
        assert min(found) == oldest


def test_a_python_that_is_too_old_is_refused():
    (refused,) = (row["refused"] for row in rows() if row["python"] == "3.10")
    assert "requires a different Python" in refused


def test_the_guide_shows_the_table(root):
    assert version_table._FENCE in (root / "chapters" / "guide_students.md").read_text()
    shown = version_table.table()
    assert shown.count("\n") == len(rows()) + 1
    assert "| 3.10 | numpy | 1, 2, 3 | refused by pip |" in shown
