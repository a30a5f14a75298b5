"""Each mutant that the self-check accepts has a reason, and each reason a mutant."""

import importlib.util
import json

import pytest

from bncourse.registry import find, names, set_of


def loaded(root, name):
    spec = importlib.util.spec_from_file_location(name, root / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table(root):
    return loaded(root, "mutation_equivalent")


@pytest.fixture(scope="module")
def rows(root):
    return json.loads((root / "benchmarks" / "results" / "mutation.json").read_text())


def survivors(row):
    return {each["line"] for each in row["survivors"]}


def test_each_survivor_has_a_reason_and_each_reason_a_survivor(rows, table):
    accepted = {name: survivors(row) for name, row in rows.items() if row["survivors"]}
    explained = {name: set(table.reasons(name)) for name in {**table.EQUIVALENT, **table.OPEN}}
    assert explained == accepted


def test_no_line_has_two_reasons(table):
    for name in {**table.EQUIVALENT, **table.OPEN}:
        groups = [*table.EQUIVALENT.get(name, {}).values(), *table.OPEN.get(name, {}).values()]
        assert sum(map(len, groups)) == len(table.reasons(name))


def test_every_mutant_has_its_outcome(rows):
    assert set(rows) <= set(names())
    for row in rows.values():
        assert row["mutants"] == row["refused"] + row["stopped"] + row["survived"] > 0
        assert row["survived"] == len(row["survivors"])


def test_the_survivors_are_of_the_model_solutions_as_they_are(rows):
    """A line of a solution that has changed since was not measured."""
    for name in (each for each in rows if set_of(each).needs == ()):
        rights = {mistake.right for mistake in find(name).mistakes if mistake.right}
        lines = " ".join(line.strip() for each in rights for line in each.source.splitlines())
        for line in survivors(rows[name]):
            assert line.partition(" => ")[0] in lines
