"""The table of versions is of what was tried, and reaches as far as the course promises."""

import importlib.util
import json
from dataclasses import asdict

import pytest
import version_table

from bncourse.registry import BACKENDS, OLDEST, PROBLEM_SETS


@pytest.fixture(scope="module")
def versions(root):
    """The module of benchmarks/ that measures the rows."""
    path = root / "benchmarks" / "versions.py"
    spec = importlib.util.spec_from_file_location("versions", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


@pytest.mark.parametrize("each", PROBLEM_SETS, ids=lambda each: each.name)
def test_each_set_is_to_be_tried_on_the_oldest_and_the_newest(each, versions):
    rows = [row for row in versions.MATRIX if each.name in row.sets]
    for package in ("numpy", *each.needs):
        given = {name for row in rows for name in row.requirements}
        oldest = f"{package}=={'.'.join(map(str, OLDEST[package]))}"
        assert package in given
        assert any(name.startswith(oldest) for name in given)
    assert len({row.python for row in rows}) > 1


def test_keras_is_to_be_tried_on_each_backend_old_and_new(versions):
    for backend in BACKENDS:
        rows = [row for row in versions.MATRIX if row.backend == backend]
        given = {name for row in rows if "ps5_keras" in row.sets for name in row.requirements}
        assert {"keras", f"keras=={'.'.join(map(str, OLDEST['keras']))}.0"} <= given


def test_a_new_result_takes_the_place_of_the_old_one(versions):
    first, second = (json.loads(json.dumps(asdict(row))) for row in versions.MATRIX[:2])
    gone = first | {"python": "2.7"}
    kept = [gone, second | {"right": [1, 2]}]
    kept = versions.put(kept, second | {"right": [2, 2]})
    assert kept == [second | {"right": [2, 2]}]
    assert versions.put(kept, first) == [first, kept[0]]
