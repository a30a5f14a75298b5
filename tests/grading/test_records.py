"""Verdicts and the audit record on disk: as they were, or not at all."""

import subprocess
import sys
from dataclasses import replace

import pytest
from nbformat.v4 import new_notebook

from bncourse.grading.intake.script import Script
from bncourse.grading.outcome import CellResult, Outcome, Report
from bncourse.grading.record import journal
from bncourse.grading.record.store import Store, key_of
from bncourse.grading.work import Setting
from bncourse.limits import Limits


def report(message="no"):
    return Report(
        {"f": Outcome("wrong", message, flags=("tamper",))}, [CellResult([], "E", "m")], 1.0, 5
    )


def record(path, student, message="no"):
    names = {"assignment": "a", "student": student, "notebook": "n"}
    journal.record(path, names, new_notebook(), report(message), 1)


def test_a_verdict_comes_back_from_disk_as_it_was(tmp_path):
    store = Store(tmp_path / "verdicts")
    assert store.get("k") is None
    store.put("k", report())
    assert store.get("k") == report()


@pytest.mark.parametrize(
    "damage",
    [b"", b"\xff", b"{", b"[]", b"null", b'{"outcomes": []}', b'{"outcomes": {"f": {}}}'],
)
def test_a_damaged_verdict_is_none(tmp_path, damage):
    store = Store(tmp_path)
    (tmp_path / "k.json").write_bytes(damage)
    assert store.get("k") is None
    store.put("k", report())
    assert store.get("k") == report()


def test_a_verdict_is_one_of_the_fixed_words(tmp_path):
    with pytest.raises(ValueError, match="Received: 'excellent'"):
        Outcome("excellent")
    store = Store(tmp_path)
    store.put("k", report())
    path = tmp_path / "k.json"
    path.write_text(path.read_text().replace('"wrong"', '"excellent"'))
    assert store.get("k") is None


def test_a_verdict_is_found_only_for_the_same_submission_seed_limits_and_sandbox():
    setting = Setting("ps", Limits(), 1)
    base = (Script(["a"]), ["f"], setting)
    others = [
        (Script(["b"]), ["f"], setting),
        (Script(["a"], {"f": 1}), ["f"], setting),
        (Script(["a"]), ["g"], setting),
        (Script(["a"]), ["f"], replace(setting, problem_set="qs")),
        (Script(["a"]), ["f"], replace(setting, secret=2)),
        (Script(["a"]), ["f"], replace(setting, limits=Limits(memory=1))),
        (Script(["a"]), ["f"], replace(setting, unsafe=True)),
        (Script(["a"]), ["f"], replace(setting, gpu=True)),
    ]
    assert len({key_of(*parts) for parts in [base, *others]}) == 9
    assert key_of(*base) == key_of(*base)


def test_a_line_that_a_crash_cut_short_spoils_no_other(tmp_path):
    path = tmp_path / "audit.jsonl"
    record(path, "ada")
    with path.open("a") as file:
        file.write('{"time": "2026-11')
    record(path, "ben")
    assert [each["student"] for each in journal.read(path)] == ["ada", "ben"]


# Runs where the disk holds 64 KiB; what is left for a record is less than one, but not nothing.
FULL = """
import os, sys
from pathlib import Path

sys.path.insert(0, sys.argv[2])
from grading.test_records import Store, journal, record, report

folder = Path(sys.argv[1])
room, path, store = folder / "room", folder / "audit.jsonl", Store(folder / "verdicts")

def refused(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        return error.errno == 28

def fill():
    with room.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 512): pass
        except OSError:
            pass
        file.truncate(file.tell() - 4096)

record(path, "ada")
store.put("k", report("old"))
fill()
size = path.stat().st_size
assert refused(record, path, "ben", "x" * 20_000)
assert path.stat().st_size == size
assert refused(store.put, "k", report("x" * 20_000))
assert [each.name for each in (folder / "verdicts").iterdir()] == ["k.json"]
room.unlink()
record(path, "cleo")
assert [each["student"] for each in journal.read(path)] == ["ada", "cleo"]
assert store.get("k") == report("old")
store.put("k", report("new"))
assert store.get("k") == report("new")
"""


def test_a_full_disk_costs_no_record_but_its_own(tmp_path, needs_sandbox, root):
    disk = ["bwrap", "--dev-bind", "/", "/", "--size", "65536", "--tmpfs", tmp_path, "--"]
    command = [*disk, sys.executable, "-c", FULL, tmp_path, root / "tests"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
