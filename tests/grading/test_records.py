"""Verdicts and the audit record on disk: as they were, or not at all."""

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from nbformat.v4 import new_notebook

from bncourse.commands.course import release as release_verb
from bncourse.commands.glance import write_private
from bncourse.grading.intake.aside import set_aside
from bncourse.grading.intake.script import Script
from bncourse.grading.nbgrader.gradebook import prepare
from bncourse.grading.nbgrader.one_writer import only_writer
from bncourse.grading.outcome import CellResult, Outcome, Report
from bncourse.grading.record import journal
from bncourse.grading.record.seed import course_seed
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


@pytest.fixture(params=[0o022, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


def keep(course, student):
    """Keep the secret, a verdict, a line of the journal and what was odd; return the secret."""
    secret = course_seed(course / ".course_secret")
    Store(course / ".grading" / "verdicts").put("k", report(student))
    assert Store(course / ".grading" / "verdicts").get("k") == report(student)
    record(course / ".grading" / "audit.jsonl", student)
    write_private(course / ".grading" / "class.html", student)
    with only_writer(course / ".grading", pytest.fail):
        pass
    hand_in = course / f"hand_in_{student}"
    hand_in.mkdir()
    (hand_in / "page.html").write_text("odd")
    set_aside(hand_in, (), course / ".grading" / "refused" / "ps1")
    return secret


def test_only_its_owner_may_read_what_is_kept(tmp_path, umask):
    keep(tmp_path, "ada")
    for path in (tmp_path / ".course_secret", tmp_path / ".grading"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_course_that_a_group_shares_is_open_to_that_group_only(tmp_path, umask):
    tmp_path.chmod(0o2770)
    keep(tmp_path, "ada")
    kept = [tmp_path / ".course_secret", tmp_path / ".grading", *(tmp_path / ".grading").rglob("*")]
    names = {path.name for path in kept}
    assert {
        ".course_secret",
        ".grading",
        "verdicts",
        "k.json",
        "audit.jsonl",
        "class.html",
        "refused",
    } <= names
    assert "writer.lock" in names
    for path in kept:
        if path.name == "1":
            continue  # What was taken out of a hand-in has the rights that it had.
        mode = path.stat().st_mode
        assert mode & 0o060 == 0o060, path
        assert not path.is_dir() or mode & 0o2010 == 0o2010, path
    for path in (tmp_path / ".course_secret", tmp_path / ".grading"):
        assert path.stat().st_mode & 0o007 == 0, path


@pytest.mark.parametrize(("folder", "mode"), [(0o2770, 0o660), (0o770, 0o600), (0o2750, 0o600)])
def test_the_gradebook_is_open_to_the_group_that_shares_a_course(tmp_path, umask, folder, mode):
    tmp_path.chmod(folder)
    path = tmp_path / "gradebook.db"
    prepare(f"sqlite:///{path}")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    path.write_text("of the class")
    path.chmod(0o640)
    # Once it is there, its rights are somebody's decision.
    prepare(f"sqlite:///{path}")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("of the class", 0o640)


def test_who_releases_first_opens_the_gradebook_to_the_group(tmp_path, umask, monkeypatch):
    tmp_path.chmod(0o2770)
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\n")
    monkeypatch.setattr("bncourse.release.release", lambda root, say: None)
    done = CliRunner().invoke(release_verb, ["--root", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert stat.S_IMODE((tmp_path / "gradebook.db").stat().st_mode) == 0o660


def test_a_gradebook_elsewhere_is_left_to_its_server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare("postgresql://grader@localhost/batch_norm")
    prepare("sqlite://")
    assert not [*tmp_path.iterdir()]


def test_what_was_kept_before_a_course_was_shared_stays_closed(tmp_path):
    keep(tmp_path, "ada")
    # Its group may be another one, with students in it.
    tmp_path.chmod(0o2770)
    keep(tmp_path, "ben")
    for name in (".course_secret", ".grading", ".grading/verdicts", ".grading/audit.jsonl"):
        assert (tmp_path / name).stat().st_mode & 0o070 == 0, name


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_second_teacher_of_the_group_keeps_verdicts_beside_the_first(umask):
    group, first, second, student = 54321, 54322, 54323, 54324
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder, "course")
        course.mkdir()
        Path(folder).chmod(0o711)
        os.chown(course, first, group)
        course.chmod(0o2770)
        assert as_user(first, group, keep, course, "ada")
        assert as_user(second, group, keep, course, "ben")
        assert as_user(first, group, keep, course, "cleo")
        seen = [each["student"] for each in journal.read(course / ".grading" / "audit.jsonl")]
        assert seen == ["ada", "ben", "cleo"]
        book = course / "gradebook.db"
        assert as_user(first, group, prepare, f"sqlite:///{book}")
        assert as_user(second, group, write_points, book)
        assert not as_user(student, student, book.read_bytes)
        course.chmod(0o2775)
        assert as_user(student, student, os.listdir, course)
        assert not as_user(student, student, os.listdir, course / ".grading")
        assert not as_user(student, student, (course / ".course_secret").read_bytes)


def write_points(book):
    with sqlite3.connect(book) as connection:
        connection.execute("CREATE TABLE points (student, points)")


def as_user(user, group, function, *arguments):
    """Return whether a function does its work for a user who is in one group only."""
    child = os.fork()
    if not child:
        status = 1
        try:
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)
            function(*arguments)
            status = 0
        except PermissionError as error:
            print(error)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_full_disk_costs_no_record_but_its_own(tmp_path, needs_sandbox, root):
    disk = ["bwrap", "--dev-bind", "/", "/", "--size", "65536", "--tmpfs", tmp_path, "--"]
    command = [*disk, sys.executable, "-c", FULL, tmp_path, root / "tests"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
