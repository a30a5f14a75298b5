"""Collecting: whose file it is, which one counts, and what a hostile archive cannot do."""

import contextlib
import csv
import errno
import io
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbgrader.api import Gradebook
from nbgrader.apps.zipcollectapp import ZipCollectApp
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from bncourse.course import scripts_on_path
from bncourse.grading.intake.read import Malformed, read_cells
from bncourse.grading.nbgrader.extensions import give
from bncourse.grading.record import journal
from bncourse.limits import MIB, Limits
from bncourse.platforms import exchange
from bncourse.platforms.collector import HandInCollector
from bncourse.platforms.exchange import SafeCollect
from bncourse.platforms.names import Unreadable, parse, safe_notebook, safe_student
from bncourse.platforms.transfer import UNDER_WAY
from bncourse.platforms.unpack import Refused, members
from bncourse.trial import corpus
from bncourse.trial import course as trial
from bncourse.trial.sample_class import grades, run_nbgrader

DEADLINE = "2026-01-10 12:00"
PLUGINS = """
c.ZipCollectApp.extractor_plugin = "bncourse.platforms.unpack.SafeExtractor"
c.ZipCollectApp.collector_plugin = "bncourse.platforms.collector.HandInCollector"
"""


@pytest.fixture
def course(tmp_path):
    """A course folder with one released notebook and nothing downloaded."""
    (tmp_path / "exercises" / "ps1").mkdir(parents=True)
    (tmp_path / "exercises" / "ps1" / "forward.ipynb").write_text("{}")
    archive(tmp_path).mkdir(parents=True)
    return tmp_path


def archive(course, assignment="ps1"):
    return course / "downloaded" / assignment / "archive"


def app_of(course, level=logging.INFO, TrustedExecute=None, **options):
    """Return nbgrader's application that collects; see ``collect``."""
    config = Config(
        TrustedExecute=TrustedExecute or {},
        CourseDirectory={"root": str(course), "release_directory": "exercises"},
        ZipCollectApp={
            "extractor_plugin": "bncourse.platforms.unpack.SafeExtractor",
            "collector_plugin": "bncourse.platforms.collector.HandInCollector",
            "force": True,
        },
        SafeExtractor=options,
        HandInCollector={"deadline": DEADLINE, **options},
    )
    app = ZipCollectApp(config=config, log=logging.getLogger("collect"), log_level=level)
    app.coursedir = CourseDirectory(parent=app)
    app.coursedir.assignment_id = "ps1"
    app.init_plugins()
    return app


def collect(course, level=logging.INFO, fails=False, **options):
    """Run nbgrader's collecting; return ``{student: {file name: text}}``.

    Args:
        course: the folder.
        level: of the log.
        fails: whether it must end with a status that is not 0.
        options: of the two plugins, such as ``deadline``.
    """
    app = app_of(course, level, **options)
    fate = pytest.raises(SystemExit, match=r"^1$") if fails else contextlib.nullcontext()
    with scripts_on_path(), fate:
        app.extract_archive_files()
        app.process_extracted_files()
    return {
        folder.parent.name: {path.name: path.read_text() for path in sorted(folder.iterdir())}
        for folder in sorted(course.glob("submitted/*/ps1"))
    }


def zipped(*entries):
    """Return the bytes of a zip with ``(name or ZipInfo, content)``."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries:
            file.writestr(name, content)
    return target.getvalue()


def put(course, *entries, name="class.zip"):
    (archive(course) / name).write_bytes(zipped(*entries))


def test_text_that_was_typed_into_moodle_is_its_student_s(course):
    """Many type a line beside the file; it must not ask for a human as if nothing had come."""
    put(
        course,
        ("Ada Lovelace_1_assignsubmission_file/forward.ipynb", "x"),
        ("Ada Lovelace_1_assignsubmission_onlinetext/onlinetext.html", "x"),
        ("Ben Weber_2_assignsubmission_onlinetext_/onlinetext.html", "x"),
    )
    collect(course)
    assert {row[:2] for row in left(course).values()} == {
        (False, "Ada-Lovelace"),
        (True, "Ben-Weber"),
    }


def test_whose_a_file_is_that_leads_elsewhere_is_told_too(course):
    moodle = "Ada Lovelace_1_assignsubmission_file_"
    put(
        course,
        (f"{moodle}/../../x.ipynb", "x"),
        ("/ben_forward.ipynb", "x"),
        ("cleo_forward.ipynb", "x"),
    )
    collect(course, students={"Ada Lovelace": "ada"})
    assert {row[1] for row in left(course).values()} == {"ada", "ben"}


def test_what_needs_a_password_says_so(course):
    locked = bytearray(zipped(("forward.ipynb", "x")))
    # The flags stand at these places of the two heads of a file.
    locked[6] |= 1
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    put(course, ("ada_1_2_hw.zip", bytes(locked)), ("ben_1_3_forward.ipynb", "x"))
    assert set(collect(course)) == {"ada", "ben"}
    assert [row[2] for row in left(course).values()] == ["It opens with a password only."]


@pytest.mark.parametrize(
    ("path", "student"),
    [
        ("ada_forward.ipynb", "ada"),
        ("ada_forward (1).ipynb", "ada"),
        ("s_12_forward.ipynb", "s_12"),
        ("class.zip/ada_forward.ipynb", "ada"),
        ("cs_101_2026_1_ps1_submissions.zip/ada_forward.ipynb", "ada"),
        ("group_1_2_monday/ada_forward.ipynb", "ada"),
        ("class.zip/lovelaceada_4711_99_forward.ipynb", "lovelaceada"),
        ("class.zip/lovelaceada_LATE_4711_99_forward-1.ipynb", "lovelaceada"),
        ("class.zip/ada_late_4711_99_5_6_forward.ipynb", "ada"),
        ("class.zip/müllerjosé_4711_99_forward.ipynb", "müllerjosé"),
        ("class.zip/ada_4711_99_homework.zip/work/forward.ipynb", "ada"),
        ("class.zip/Ada Lovelace_12_assignsubmission_file_/forward.ipynb", "Ada Lovelace"),
        ("class.zip/Ada Lovelace_12_assignsubmission_file_/a/b/forward.ipynb", "Ada Lovelace"),
        ("class.zip/Ada Lovelace_12_assignsubmission_file_forward.ipynb", "Ada Lovelace"),
        ("Ada Lovelace_12_assignsubmission_file_/hw.zip/forward.ipynb", "Ada Lovelace"),
        ("ps1-submissions/ps1-ada-l/forward.ipynb", "ada-l"),
        ("ps1-submissions/ps1-ada/exercises/ps1/forward.ipynb", "ada"),
    ],
)
def test_a_path_tells_student_and_notebook(path, student):
    found = parse(Path(path), ["forward"])
    assert (found["student_id"], found["file_id"]) == (student, "forward")


@pytest.mark.parametrize(
    "path",
    [
        "class.zip/ada_4711_99_homework.zip/bob_4712_100_forward.ipynb",
        "class.zip/ada_4711_99_homework.zip/bob_forward.ipynb",
        "class.zip/ada_12_assignsubmission_file_/bob_13_assignsubmission_file_/forward.ipynb",
        "class.zip/ada_12_assignsubmission_file_/x-submissions/x-bob/forward.ipynb",
        "class.zip/ada_4711_99_bob_13_assignsubmission_file_forward.ipynb",
        "ps1-submissions/ps1-ada/bob_4712_100_forward.ipynb",
    ],
)
def test_nobody_hands_in_for_somebody_else(path):
    assert parse(Path(path), ["forward"])["student_id"] == "ada"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("forward.ipynb", "STUDENT_NOTEBOOK"),
        ("class.zip/homework.zip/bob_forward.ipynb", "unknown student"),
        ("ada_4711_99_homework.zip/bob_forward.ipynb", "one student's"),
        ("ps1-submissions/other-ada/forward.ipynb", "begin with 'ps1-'"),
    ],
)
def test_a_path_without_a_student_is_refused(path, reason):
    with pytest.raises(Unreadable, match=reason):
        parse(Path(path), ["forward"])


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../eve", "a/b", "a\\b", ".hidden", "-rf", "a\0b", "a\nb*", "$(id)", "x" * 101],
)
def test_an_id_that_is_no_folder_name_is_refused(name):
    with pytest.raises(Unreadable, match="student id must begin"):
        safe_student(name)


@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=4))
def test_no_name_leads_out_of_the_folder_of_its_student(parts):
    parts = [part.replace("/", "_") for part in parts]
    try:
        found = parse(Path(*parts[:-1], f"{parts[-1]}.ipynb"), ["forward"])
        student, notebook = safe_student(found["student_id"]), safe_notebook(found["file_id"])
    except Unreadable:
        return
    inside = os.path.normpath(f"/submitted/{student}/ps1/{notebook}.ipynb")
    assert inside.startswith(f"/submitted/{student}/ps1/")
    assert not student.startswith(".")


def left(course):
    """Return ``{file: (needs a human, student, reason)}`` of what became no hand-in."""
    path = course / "downloaded" / "ps1" / "left.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {r["file"]: (r["needs a human"] == "yes", r["student"], r["reason"]) for r in rows}


@pytest.mark.parametrize(
    "name",
    [
        "forward.ipynb.txt",
        "forward.ipynb.json",
        "forward.IPYNB",
        "forward.ipynb (1).txt",
        "forward.ipynb(1).json",
        "forward.ipynb-1.txt",
        "forward.ipynb (2)",
    ],
)
def test_a_notebook_that_a_browser_renamed_is_a_hand_in(course, name):
    put(course, (f"ada_4711_7_{name}", "ada"))
    (archive(course) / f"bob_{name}").write_text("bob")
    assert collect(course) == {"ada": {"forward.ipynb": "ada"}, "bob": {"forward.ipynb": "bob"}}


def test_every_file_of_an_archive_is_a_hand_in_or_a_line_of_the_table(course, caplog):
    put(
        course,
        ("ada_4711_7_forward.ipynb", "ada"),
        ("ada_4711_8_utils.py", "a helper"),
        ("bob_4712_9_forward.html", "<p>"),
        ("cleo_4713_10_homework.7z", "packed"),
        ("dan_4714_11_hw.ZIP", zipped(("forward.ipynb", "dan"), ("notes.docx", "notes"))),
        ("my homework.ipynb", "whose?"),
        ("=1+1.xlsx", "a formula"),
        ("__MACOSX/ada_forward.ipynb", "of a system"),
        ("Thumbs.db", "of a system"),
        ("../evil.ipynb", "elsewhere"),
    )
    assert list(collect(course)) == ["ada", "dan"]
    found = {name: row[:2] for name, row in left(course).items()}
    assert found == {
        "class.zip/ada_4711_8_utils.py": (False, "ada"),
        "class.zip/bob_4712_9_forward.html": (True, "bob"),
        "class.zip/cleo_4713_10_homework.7z": (True, "cleo"),
        "class.zip/dan_4714_11_hw.ZIP/notes.docx": (False, "dan"),
        "class.zip/my homework.ipynb": (True, ""),
        "class.zip/=1+1.xlsx": (True, ""),
        "class.zip/../evil.ipynb": (True, ""),
    }
    assert "5 of 7 files that are no hand-in need a human" in caplog.text
    assert "bob_4712_9_forward.html (of bob): It is neither a notebook nor" in caplog.text


@pytest.mark.parametrize(("level", "most"), [(logging.INFO, 10), (logging.DEBUG, None)])
def test_a_class_is_a_few_lines_and_debug_shows_each_file(course, caplog, level, most):
    # As the logger of a command: it lets all through, its level chooses.
    caplog.set_level(logging.DEBUG, "collect")
    names = [f"s{number:02}_forward.ipynb" for number in range(38)]
    put(course, *((name, name) for name in names), ("class_photo.docx", "odd"), ("x.ipynb", "?"))
    assert len(collect(course, level=level)) == 38
    told = [each.getMessage() for each in caplog.records if each.levelno >= level]
    assert any("38 files collected" in line for line in told)
    assert any("2 of 2 files that are no hand-in need a human" in line for line in told)
    assert len(told) <= most if most else any("Copying from" in line for line in told)


def test_the_table_speaks_of_this_collection_only(course, caplog):
    put(course, ("bob.docx", "x"))
    assert collect(course, fails=True) == {}
    # Without any notebook too.
    assert "1 of 1 files that are no hand-in need a human" in caplog.text
    assert list(left(course)) == ["class.zip/bob.docx"]
    put(course, ("bob_forward.ipynb", "x"))
    assert list(collect(course)) == ["bob"]
    assert not (course / "downloaded" / "ps1" / "left.csv").exists()


def test_files_that_do_not_count_are_in_the_table_too(course):
    put(
        course,
        ("ada_4711_7_forward.ipynb", "first"),
        ("ada_4711_12_forward-1.ipynb", "second"),
        ("eve_1_7_forward.ipynb", "one"),
        ("eve_2_8_forward.ipynb", "two"),
        ("finn_3_9_forward.ipynb.txt", "kept"),
        ("finn_3_9_forward.IPYNB", "of the same name"),
    )
    assert list(collect(course)) == ["ada", "finn"]
    assert {name: row[0] for name, row in left(course).items()} == {
        "class.zip/ada_4711_7_forward.ipynb": False,
        "class.zip/eve_1_7_forward.ipynb": True,
        "class.zip/eve_2_8_forward.ipynb": True,
        "class.zip/finn_3_9_forward.IPYNB": False,
    }


@pytest.fixture(scope="module")
def gradebook(tmp_path_factory):
    """A gradebook that knows three students; made once, since nbgrader takes long to make one."""
    path = tmp_path_factory.mktemp("gradebook") / "gradebook.db"
    with scripts_on_path(), Gradebook(f"sqlite:///{path}", "") as book:
        book.add_student("ada", first_name="Ada", last_name="Lovelace")
        book.add_student("ben", first_name="Ben", last_name="Weber")
        book.add_student("jan", first_name="Jan", last_name="Vermeer")
    return path


@pytest.fixture
def roster(course, gradebook):
    shutil.copy(gradebook, course)
    return course


def test_an_unknown_id_stops_before_anything_is_collected(roster, caplog):
    put(
        roster,
        ("Ada_forward.ipynb", "x"),
        ("weberben_1_2_forward.ipynb", "x"),
        ("mallory_forward.ipynb", "x"),
        ("jan_forward.ipynb", "x"),
    )
    with pytest.raises(SystemExit):
        collect(roster)
    assert not (roster / "submitted").exists()
    # So that the next collection needs no --force.
    assert not (roster / "downloaded" / "ps1" / "extracted").exists()
    asked = "Received: Ada (perhaps ada), mallory, weberben (perhaps ben). Name"
    assert asked in caplog.text
    assert set(collect(roster, allow_unknown=True)) == {"Ada", "jan", "mallory", "weberben"}
    assert "New students, not on the roster: Ada (perhaps ada)" in caplog.text
    # Who was let in is in the gradebook, which grading asks as the next collection does.
    assert "mallory" in collect(roster)


def test_a_student_without_a_notebook_that_counts_is_in_the_table(roster, caplog):
    checkpoint = "work/.ipynb_checkpoints/forward-checkpoint.ipynb"
    put(
        roster,
        ("ada_4711_7_hw.zip", zipped((checkpoint, "x"), ("__MACOSX/._forward.ipynb", "x"))),
        ("ben_4712_8_hw.zip", zipped()),
        ("jan_4713_9_.ipynb", "x"),
        ("ada_4711_6_hw.rar", "x"),
    )
    collect(roster, fails=True)
    assert {name.removeprefix("class.zip/"): row for name, row in left(roster).items()} == {
        f"ada_4711_7_hw.zip/{checkpoint}": (True, "ada", "It is hidden, or in a hidden folder."),
        "ben_4712_8_hw.zip": (True, "ben", "It is an archive without a notebook."),
        "jan_4713_9_.ipynb": (
            True,
            "jan",
            "The name of a notebook must stay in its folder. Received: '.ipynb'",
        ),
        "ada_4711_6_hw.rar": (
            True,
            "ada",
            "It is an archive of a kind that is not unpacked here: .rar.",
        ),
    }
    # Something came from each of them.
    assert "Nothing came from" not in caplog.text


def test_a_name_that_no_disk_takes_costs_nothing_else_of_its_archive(course):
    long = f"{'x' * 300}.ipynb"
    put(course, ("ada_4711_7_hw.zip", zipped((long, "x"), ("forward.ipynb", "ada"))))
    assert collect(course) == {"ada": {"forward.ipynb": "ada"}}
    assert left(course) == {
        f"class.zip/ada_4711_7_hw.zip/{long}": (
            False,
            "ada",
            "It cannot be read: File name too long",
        )
    }


def test_what_was_refused_says_why_when_it_is_graded(course):
    put(course, ("ada_4711_7_hw.zip", "no archive"))
    assert collect(course).keys() == {"ada"}
    with pytest.raises(Malformed, match=r"^Refused when it was collected\. It is no archive, or"):
        read_cells(course / "submitted" / "ada" / "ps1" / "hw.ipynb", Limits())


def test_those_of_the_roster_who_handed_in_nothing_are_named(roster, caplog):
    put(roster, ("ada_forward.ipynb", "x"))
    by_hand = roster / "submitted" / "jan" / "ps1"
    by_hand.mkdir(parents=True)
    collect(roster)
    assert "Nothing came from 1: ben" in caplog.text


def test_the_newest_on_time_counts_and_the_log_names_the_others(course, caplog):
    put(
        course,
        ("ada_4711_7_forward.ipynb", "first"),
        ("ada_4711_12_forward-1.ipynb", "second"),
        ("ada_LATE_4711_30_forward-2.ipynb", "third"),
        ("bob_4712_8_forward.ipynb", "bob"),
    )
    assert collect(course) == {"ada": {"forward.ipynb": "second"}, "bob": {"forward.ipynb": "bob"}}
    assert "ada_4711_7_forward.ipynb does not count, it is not the newest" in caplog.text
    assert "ada_LATE_4711_30_forward-2.ipynb does not count, it is late" in caplog.text


def test_of_late_ones_the_newest_counts_and_is_late(course):
    put(course, ("ada_LATE_1_9_forward.ipynb", "old"), ("ada_LATE_1_10_forward-1.ipynb", "new"))
    found = collect(course)["ada"]
    assert found == {"forward.ipynb": "new", "timestamp.txt": "2026-01-10 12:00:01"}


def test_who_has_an_extension_is_late_after_it(course, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for student in ("ada", "bob"):
        give("extensions.csv", "ps1", student, "2026-01-12 12:00")
    put(
        course,
        # The platform's mark is of the deadline of the class.
        ("ada_1_9_forward.ipynb", "old"),
        ("ada_LATE_1_10_forward-1.ipynb", "new"),
        ("eve_3_9_forward.ipynb", "old"),
        ("eve_LATE_3_10_forward-1.ipynb", "new"),
    )
    found = collect(course)
    assert found["ada"]["forward.ipynb"] == "new"
    assert found["eve"]["forward.ipynb"] == "old"


def test_the_due_date_of_the_gradebook_is_the_deadline(course):
    with scripts_on_path(), Gradebook(f"sqlite:///{course}/gradebook.db", "") as book:
        book.add_assignment("ps1", duedate="2026-01-05 08:00")
    put(course, ("ada_LATE_1_9_forward.ipynb", "late"))
    assert collect(course, deadline="")["ada"]["timestamp.txt"] == "2026-01-05 08:00:01"


def test_times_in_names_are_compared_with_the_deadline(course, caplog):
    put(
        course,
        ("ada_2026-01-10-11-00-00_forward.ipynb", "on time"),
        ("ada_2026-01-09-11-00-00_forward.ipynb", "early"),
        ("ada_2026-01-11-11-00-00_forward.ipynb", "late"),
        ("bob_2026-99-99_forward.ipynb", "no such day"),
    )
    regexp = r".*/(?P<student_id>\w+?)_(?P<timestamp>[0-9-]+)_(?P<file_id>\w+)\.ipynb"
    found = collect(course, named_regexp=regexp)
    assert found == {"ada": {"forward.ipynb": "on time", "timestamp.txt": "2026-01-10 11:00:00"}}
    assert "must hold a time. Received: '2026-99-99'" in caplog.text


def test_an_id_from_a_regexp_is_checked_too(course, caplog):
    put(course, ("..%_forward.ipynb", "x"), ("a..%_forward.ipynb", "x"), ("bob%_forward.ipynb", ""))
    found = collect(course, named_regexp=r".*/a?(?P<student_id>[^/]+)%_(?P<file_id>.+)\.ipynb")
    assert list(found) == ["bob"]
    assert "A student id must begin with a letter or digit" in caplog.text


def test_file_times_count_where_a_course_says_so(course):
    on_time = zipfile.ZipInfo("monday/ada_forward.ipynb", (2026, 1, 8, 12, 0, 0))
    late = zipfile.ZipInfo("tuesday/ada_forward.ipynb", (2026, 1, 12, 12, 0, 0))
    put(course, (late, "late"), (on_time, "on time"))
    assert collect(course)["ada"] == {"forward.ipynb": "late"}
    found = collect(course, use_file_times=True)["ada"]
    assert found["forward.ipynb"] == "on time"
    assert found["timestamp.txt"].startswith("2026-01-08")


def test_two_people_of_one_name_are_refused_until_they_are_told_apart(course, caplog):
    put(
        course,
        ("ada_1_7_forward.ipynb", "one"),
        ("ada_2_8_forward.ipynb", "two"),
        ("e_f.ipynb", ""),
    )
    assert list(collect(course)) == ["e"]
    assert "several people, with the numbers ['1', '2']" in caplog.text
    named = collect(course, students={"1": "ada-l", "2": "ada-b"})
    assert named["ada-l"] == {"forward.ipynb": "one"}
    assert named["ada-b"] == {"forward.ipynb": "two"}


def test_a_course_may_know_its_students_by_number(course):
    put(course, ("ada_4711_7_forward.ipynb", "x"))
    assert list(collect(course, identify_by="number")) == ["4711"]


def test_github_classroom_repositories(course):
    for login in ("ada", "bob"):
        folder = archive(course) / "ps1-submissions" / f"prefix-{login}"
        (folder / "copies").mkdir(parents=True)
        (folder / ".git").mkdir()
        (folder / "forward.ipynb").write_text(login)
        (folder / "README.md").write_text("about")
        (folder / ".git" / "forward.ipynb").write_text("hidden")
        (folder / "copies" / "forward.ipynb").write_text("copy")
        os.utime(folder / "copies" / "forward.ipynb", (1, 1))
    found = collect(course, repository_prefix="prefix")
    assert found == {"ada": {"forward.ipynb": "ada"}, "bob": {"forward.ipynb": "bob"}}


def test_in_a_repository_the_notebook_at_the_top_counts(course):
    """The time of a clone's file tells nothing: git writes `old/` after `forward.ipynb`."""
    repository = archive(course) / "ps1-submissions" / "ps1-ada"
    for name, second in (("forward.ipynb", 1), ("forward (1).ipynb", 2), ("old/forward.ipynb", 3)):
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (second, second))
    assert collect(course) == {"ada": {"forward.ipynb": "forward.ipynb"}}


def test_a_repository_whose_commits_are_all_late_is_late(course):
    for login in ("ada", "bob_late"):
        folder = archive(course) / "ps1-submissions" / f"ps1-{login}"
        folder.mkdir(parents=True)
        (folder / "forward.ipynb").write_text(login)
    found = collect(course)
    assert found["ada"] == {"forward.ipynb": "ada"}
    assert found["bob"]["timestamp.txt"] == "2026-01-10 12:00:01"


def link(name):
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def test_no_link_is_followed(course, caplog):
    secret = course / "secret"
    secret.write_text("SECRET")
    (course / "folder").mkdir()
    (course / "folder" / "eve_forward.ipynb").write_text("SECRET")
    (archive(course) / "sym_forward.ipynb").symlink_to(secret)
    (archive(course) / "hard_forward.ipynb").hardlink_to(secret)
    (archive(course) / "folder").symlink_to(course / "folder")
    put(course, (link("zip_forward.ipynb"), str(secret)), ("bob_forward.ipynb", "bob"))
    with tarfile.open(archive(course) / "class.tar.gz", "w:gz") as tar:
        for name, kind in (("tarsym", tarfile.SYMTYPE), ("tarhard", tarfile.LNKTYPE)):
            member = tarfile.TarInfo(f"{name}_forward.ipynb")
            member.type, member.linkname = kind, str(secret)
            tar.addfile(member)
        pipe = tarfile.TarInfo("pipe_forward.ipynb")
        pipe.type = tarfile.FIFOTYPE
        tar.addfile(pipe)
    found = collect(course)
    assert set(found) == {"bob", "sym", "hard", "zip", "tarsym", "tarhard", "pipe"}
    assert found["bob"] == {"forward.ipynb": "bob"}
    for student in set(found) - {"bob"}:
        assert found[student]["forward.ipynb"].startswith("Refused when it was collected.")
    assert caplog.text.count("It is a link or a device") >= 7


def test_a_name_that_leads_out_of_its_archive_is_refused_and_the_rest_goes_on(course, caplog):
    put(
        course,
        ("../../../eve_forward.ipynb", "evil"),
        ("/eve_forward.ipynb", "evil"),
        ("..\\eve_forward.ipynb", "evil"),
        ("eve\n_forward.ipynb", "evil"),
        ("bob_forward.ipynb", "bob"),
    )
    assert collect(course) == {"bob": {"forward.ipynb": "bob"}}
    assert caplog.text.count("its name leads elsewhere") == 4
    assert not [path for path in course.rglob("*eve*") if path.is_file()]


@pytest.mark.parametrize(
    "broken", [b"", b"no archive", zipped(("forward.ipynb", "x" * 999))[:-30], b"\x1f\x8b\x08 cut"]
)
def test_a_damaged_archive_costs_its_student_only(course, caplog, broken):
    put(course, ("ada_4711_7_hw.zip", broken), ("bob_forward.ipynb", "bob"))
    (archive(course) / "other.zip").write_bytes(broken)
    found = collect(course, fails=True)
    assert found["bob"] == {"forward.ipynb": "bob"}
    assert found["ada"]["hw.ipynb"].startswith("Refused when it was collected.")
    assert re.search(r"Refused \S+other.zip: It (is no archive|cannot be read)", caplog.text)
    assert "Refused other.ipynb" not in caplog.text.replace(
        f"{course}/downloaded/ps1/extracted/", ""
    )
    # Who is in it nobody knows, so the command does not end well; of ada's, her verdict tells.
    assert caplog.messages[-1].endswith("collect with --force: other.zip")
    # The table says so too, and not that the note in its place has no student's name.
    assert re.match("It (is no archive|cannot be read)", left(course)["other.zip"][2])


@pytest.mark.parametrize(
    ("name", "content"),
    [("class.zip", zipped(("ada_forward.ipynb", "x" * 999))[:-30]), ("notes.txt", b"notes")],
)
def test_a_collection_of_nothing_fails_and_leaves_things_as_they_were(
    course, caplog, name, content
):
    put(course, ("ada_forward.ipynb", "ada"))
    before = collect(course)
    counted = (course / "downloaded" / "ps1" / "counted.csv").read_text()
    (archive(course) / "class.zip").unlink()
    (archive(course) / name).write_bytes(content)
    assert collect(course, fails=True) == before
    assert (course / "downloaded" / "ps1" / "counted.csv").read_text() == counted
    table = course / "downloaded" / "ps1" / "left.csv"
    last = f"Nothing was collected, since no file is a hand-in. {table} tells why of each."
    assert caplog.messages[-1] == last
    assert list(left(course)) == [name]
    # What was unpacked of it is in nobody's way.
    assert not (course / "downloaded" / "ps1" / "extracted").exists()


def test_a_damaged_file_in_an_archive_costs_its_student_only(course):
    whole = zipped(("ada_forward.ipynb", "a" * 999), ("bob_forward.ipynb", "bob"))
    at = whole.index(b"ada_forward.ipynb") + len("ada_forward.ipynb")
    (archive(course) / "class.zip").write_bytes(whole[:at] + b"\xff" * 3 + whole[at + 3 :])
    found = collect(course)
    assert found["bob"] == {"forward.ipynb": "bob"}
    assert found["ada"]["forward.ipynb"].startswith("Refused when it was collected.")


def test_a_huge_notebook_is_cut_and_still_too_large(course):
    put(course, ("ada_forward.ipynb", b"0" * 3_000_000), ("bob_forward.ipynb", "bob"))
    assert set(collect(course, notebook_bytes=1_000_000)) == {"ada", "bob"}
    path = course / "submitted" / "ada" / "ps1" / "forward.ipynb"
    assert path.stat().st_size == 1_000_001
    with pytest.raises(Malformed, match="too large"):
        read_cells(path, Limits(notebook=1_000_000))


def deep(levels):
    inner = zipped(("forward.ipynb", "deep"))
    for _ in range(levels):
        inner = zipped(("n.zip", inner))
    return inner


@pytest.mark.parametrize(
    ("bomb", "reason"),
    [
        (zipped(*[(f"{n}.ipynb", b"0" * 90_000) for n in range(50)]), "more bytes than"),
        (zipped(*[(f"{n}.ipynb", "") for n in range(150)]), "more files than"),
        (zipped(("n.zip", zipped(("x.ipynb", "")) + b"\0" * 2_000_000)), "larger than"),
        (deep(9), "inside too many others"),
    ],
    ids=["bytes", "files", "archive", "nested"],
)
def test_an_archive_that_unpacks_to_too_much_is_refused_alone(course, caplog, bomb, reason):
    put(course, ("ada_4711_7_hw.zip", bomb), ("bob_forward.ipynb", "bob"))
    found = collect(course, student_bytes=1_000_000, student_files=100)
    assert found["bob"] == {"forward.ipynb": "bob"}
    assert all(text.startswith("Refused when") for text in found["ada"].values())
    assert reason in caplog.text
    assert sum(path.stat().st_size for path in (course / "downloaded").rglob("*.ipynb")) < 2_000


def test_a_tar_gz_that_unpacks_to_too_much_is_refused(course, caplog):
    with tarfile.open(archive(course) / "class.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("ada_forward.ipynb")
        member.size = 2_000_000
        tar.addfile(member, io.BytesIO(b"0" * member.size))
    put(course, ("bob_forward.ipynb", "bob"))
    found = collect(course, class_bytes=1_000_000, fails=True)
    assert found == {"bob": {"forward.ipynb": "bob"}}
    assert "more bytes than" in caplog.text


def test_archives_in_archives_count_for_the_class(course, caplog):
    inner = zipped(("forward.ipynb", b"0" * 600_000))
    put(course, ("ada_1_1_hw.zip", inner), ("bob_2_2_hw.zip", inner))
    assert collect(course, class_bytes=1_000_000, fails=True) == {}
    assert "class.zip: It unpacks to more bytes than an archive may." in caplog.text


@pytest.mark.slow
def test_the_exchange_follows_no_link(tmp_path):
    inbound = tmp_path / "exchange" / "test" / "inbound"
    hand_in = inbound / "eve+ps1+2026-01-09 08:00:00.000000 UTC+abc"
    hand_in.mkdir(parents=True)
    secret = tmp_path / "secret"
    secret.write_text("SECRET")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "secret").write_text("SECRET")
    for name, target in (("forward.ipynb", "secret"), ("notes.txt", "secret"), ("more", "folder")):
        (hand_in / name).symlink_to(tmp_path / target)
    (hand_in / "mine.txt").write_text("mine")
    (tmp_path / "nbgrader_config.py").write_text(
        "c = get_config()\n"
        'c.CourseDirectory.course_id = "test"\n'
        f'c.Exchange.root = "{tmp_path / "exchange"}"\n'
        'c.ExchangeFactory.collect = "bncourse.platforms.exchange.SafeCollect"\n'
        "c.ExchangeCollect.check_owner = False\n"
    )
    (hand_in / "timestamp.txt").write_text("2020-01-01 00:00:00 UTC")
    run_nbgrader(tmp_path, "collect", "ps1")
    folder = tmp_path / "submitted" / "eve" / "ps1"
    found = {path.name: path.read_text() for path in folder.rglob("*")}
    assert found == {
        "mine.txt": "mine",
        "forward.ipynb": found["forward.ipynb"],
        # Of the inbound folder, not what the student wrote.
        "timestamp.txt": "2026-01-09 08:00:00.000000 UTC",
    }
    assert found["forward.ipynb"].startswith("Refused when it was collected.")


def collect_from(tmp_path, **options):
    """Return the plugin that collects from an inbound folder, and that folder."""
    inbound = tmp_path / "exchange" / "test" / "inbound"
    inbound.mkdir(parents=True, exist_ok=True)
    own = {"root": str(tmp_path / "exchange")}
    course = {"root": str(tmp_path), "course_id": "test", "assignment_id": "ps1"}
    config = Config(CourseDirectory=course, Exchange=own, SafeCollect=options)
    log = logging.getLogger("exchange")
    return SafeCollect(coursedir=CourseDirectory(config=config), config=config, log=log), inbound


# nbgrader closes no time that it has read.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("lacks", ["submission_secret.txt", "timestamp.txt", "a text in it"])
def test_feedback_of_who_came_in_another_way_stops_nobody(tmp_path, caplog, lacks):
    course = CourseDirectory(root=str(tmp_path), assignment_id="ps1")
    for student in ("ada", "ben", "cleo"):
        folder = tmp_path / "feedback" / student / "ps1"
        folder.mkdir(parents=True)
        (folder / "forward.html").write_text(student)
        for name in ("submission_secret.txt", "timestamp.txt"):
            if (student, name) != ("ben", lacks):
                (folder / name).write_text(student)
    if lacks == "a text in it":
        (tmp_path / "feedback" / "ben" / "ps1" / "timestamp.txt").write_bytes(b"\xff")
    app = exchange.SafeReleaseFeedback(coursedir=course, log=logging.getLogger("feedback"))
    app.src_path = course.format_path("feedback", "*", "ps1")
    app.dest_path = str(tmp_path / "out")
    (tmp_path / "out").mkdir()
    app.copy_files()
    assert sorted(page.read_text() for page in (tmp_path / "out").iterdir()) == ["ada", "cleo"]
    assert "No feedback for ben through the exchange" in caplog.text


def test_a_folder_of_another_owner_or_without_a_time_stands_for_nobody(tmp_path, monkeypatch):
    plugin, inbound = collect_from(tmp_path)
    names = (
        "eve+ps1+2026-01-09 08:00:00 UTC+a",
        "eve+ps1+2026-01-09 09:00:00 UTC+b",
        "eve+ps1+no time+c",
    )
    for name in names:
        (inbound / name).mkdir()
    mallory = str(inbound / names[1])
    owner = lambda path: "mallory" if str(path) == mallory else "eve"  # noqa: E731
    monkeypatch.setattr(exchange, "_owner", owner)
    with scripts_on_path():
        plugin.init_src()
    assert [each["filename"] for each in plugin.src_records] == [names[0]]
    monkeypatch.setattr(exchange, "_owner", lambda path: "eve")
    with scripts_on_path():
        plugin.init_src()
    assert [each["filename"] for each in plugin.src_records] == [names[1]]


def test_a_file_that_becomes_a_link_while_it_is_copied_hands_out_nothing(tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text("SECRET")
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for name in ("a.txt", "b.txt"):
        (source / name).write_text("mine")
    walk = os.fwalk

    def changes(*arguments, **options):
        for each in walk(*arguments, **options):
            # Listed by now, and not opened yet.
            (source / "b.txt").unlink()
            (source / "b.txt").symlink_to(secret)
            yield each

    monkeypatch.setattr(os, "fwalk", changes)
    refused = exchange.copy_plain(source, target)
    assert {path.name: path.read_text() for path in target.iterdir()} == {"a.txt": "mine"}
    assert refused == {source / "b.txt": "is a link or cannot be read"}


def test_a_hand_in_that_is_too_large_stops_nobody_else(tmp_path, monkeypatch):
    plugin, inbound = collect_from(tmp_path)
    monkeypatch.setattr(exchange, "_MOST_FILES", 3)
    for name, count in (("eve", 9), ("ada", 2)):
        folder = inbound / f"{name}+ps1+2026-01-09 08:00:00 UTC+a"
        folder.mkdir()
        for number in range(count):
            (folder / f"{number}.txt").write_text("x")
        plugin.do_copy(str(folder), str(tmp_path / name))
    assert [path.name for path in (tmp_path / "eve").iterdir()] == ["refused.ipynb"]
    assert {path.name for path in (tmp_path / "ada").iterdir()} == {
        "0.txt",
        "1.txt",
        "timestamp.txt",
    }


CONFIG = trial.CONFIG + trial.TRUSTED + 'c.LateSubmissionPlugin.penalty_method = "zero"\n' + PLUGINS
WRONG = {corpus.TARGET: f"{corpus.HEAD}\n    return x"}


def handed_in(changed=None):
    """Return the text of a hand-in."""
    return nbformat.writes(corpus.notebook(changed))


@pytest.fixture(scope="module")
def graded_twice(needs_sandbox, tmp_path_factory):
    """A course that collected and graded, got new hand-ins, and did it again."""
    root = tmp_path_factory.mktemp("course")
    trial.make_course(root, {}, CONFIG)
    run_nbgrader(root, "db", "assignment", "add", corpus.PROBLEM_SET, f"--duedate={DEADLINE}")
    folder = archive(root, corpus.PROBLEM_SET)
    folder.mkdir(parents=True)
    lines = []
    for entries in (
        [
            ("ada_1_10_forward.ipynb", handed_in(WRONG)),
            ("bob_LATE_2_11_forward.ipynb", handed_in()),
        ],
        [
            ("ada_1_10_forward.ipynb", handed_in(WRONG)),
            ("ada_1_20_forward-1.ipynb", handed_in()),
            ("ada_LATE_1_30_forward-2.ipynb", handed_in(WRONG)),
            ("bob_LATE_2_11_forward.ipynb", handed_in()),
        ],
    ):
        (folder / "class.zip").write_bytes(zipped(*entries))
        run_nbgrader(root, "zip_collect", corpus.PROBLEM_SET, "--force")
        run_nbgrader(root, "autograde", corpus.PROBLEM_SET, "--force")
        lines.append(journal.read(root / ".grading" / "audit.jsonl"))
    return root, lines


@pytest.mark.slow
def test_each_is_graded_once_each_time(graded_twice):
    _, (first, both) = graded_twice
    assert [line["student"] for line in first] == ["ada", "bob"]
    assert [line["student"] for line in both] == ["ada", "bob", "ada", "bob"]


@pytest.mark.slow
def test_the_newest_on_time_has_the_grade_and_the_old_verdict_stays(graded_twice):
    root, (_, lines) = graded_twice
    row = {each["student"]: each for each in grades(root, [corpus.PROBLEM_SET])}["ada"]
    assert row["scores"][corpus.TARGET] > 0
    old, new = (line for line in lines if line["student"] == "ada")
    assert old["outcomes"][corpus.TARGET]["word"] == "wrong"
    assert new["outcomes"][corpus.TARGET]["word"] == "ok"
    assert old["submission"] != new["submission"]


@pytest.mark.slow
def test_a_late_hand_in_gets_the_late_penalty_of_nbgrader(graded_twice):
    root, _ = graded_twice
    with scripts_on_path(), Gradebook(f"sqlite:///{root}/gradebook.db", "trial") as book:
        late = book.find_submission(corpus.PROBLEM_SET, "bob")
        assert late.score > 0
        assert late.late_submission_penalty == late.score
        assert book.find_submission(corpus.PROBLEM_SET, "ada").late_submission_penalty == 0


def test_the_list_of_a_zip_is_counted_before_it_is_read(monkeypatch):
    listed = zipped(*[(f"{n}.txt", "") for n in range(5)])
    assert len(list(members(io.BytesIO(listed), MIB, 5))) == 5
    monkeypatch.setattr(zipfile, "ZipFile", lambda file: pytest.fail("it was read"))
    with pytest.raises(Refused, match="more files than"):
        list(members(io.BytesIO(listed), MIB, 4))


# --- All of it, or nothing ----------------------------------------------------------------------

KILLED = """
import os, sys
from nbgrader.apps.zipcollectapp import ZipCollectApp
from bncourse.platforms import transfer

left, replace = [int(sys.argv.pop(1))], transfer.replace_folder

def replace_folder(*arguments):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), 9)
    replace(*arguments)

transfer.replace_folder = replace_folder
ZipCollectApp.launch_instance()
"""


def command(course, *options):
    """Run nbgrader's command as the verb does; the first option is when to kill it, 0 for never."""
    config = "c = get_config()\nc.CourseDirectory.release_directory = 'exercises'\n" + PLUGINS
    (course / "nbgrader_config.py").write_text(config)
    words = [sys.executable, "-c", KILLED, *map(str, options), "ps1"]
    with scripts_on_path():
        return subprocess.run(words, cwd=course, capture_output=True, text=True)


def hand_ins(course):
    return {path.parts[-3]: path.read_text() for path in course.glob("submitted/*/ps1/*.ipynb")}


@pytest.mark.slow
def test_a_collection_that_was_killed_is_finished_by_the_same_command(course):
    put(course, ("ada_forward.ipynb", "of ada"), ("ben_forward.ipynb", "of ben"))
    assert command(course, 2).returncode == -9
    assert hand_ins(course) == {"ada": "of ada"}
    assert (course / "downloaded" / "ps1" / UNDER_WAY).exists()
    done = command(course, 0)
    assert done.returncode == 0, done.stderr
    assert hand_ins(course) == {"ada": "of ada", "ben": "of ben"}
    assert not (course / "downloaded" / "ps1" / UNDER_WAY).exists()
    assert not [*course.glob("submitted/*/.*")]
    # What came by another way is not replaced unasked, and then nobody's is.
    put(course, ("ada_forward.ipynb", "later of ada"), ("cleo_forward.ipynb", "of cleo"))
    shutil.rmtree(course / "downloaded" / "ps1" / "extracted")
    done = command(course, 0)
    assert done.returncode == 1
    assert "replaces: ada" in done.stderr
    assert hand_ins(course) == {"ada": "of ada", "ben": "of ben"}
    assert command(course, 0, "--force").returncode == 0
    assert hand_ins(course) == {"ada": "later of ada", "ben": "of ben", "cleo": "of cleo"}


def test_a_collection_has_not_ended_before_the_gradebook_knows_who_was_let_in(roster, monkeypatch):
    """Else the same command would ask for --force, and grading once more for the stranger."""
    put(roster, ("zoe_forward.ipynb", "x"), ("ada_forward.ipynb", "x"))

    def killed(collector):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(HandInCollector, "admit", killed)
        with pytest.raises(KeyboardInterrupt):
            collect(roster, allow_unknown=True)
    assert (roster / "downloaded" / "ps1" / UNDER_WAY).exists()
    assert set(collect(roster, allow_unknown=True)) == {"ada", "zoe"}
    assert not (roster / "downloaded" / "ps1" / UNDER_WAY).exists()


def test_of_two_collections_at_once_one_waits(course, caplog):
    """Else each takes away what the other has unpacked, and half of a class comes."""
    records = course / ".grading"
    put(course, ("ada_forward.ipynb", "x"))
    app = app_of(course, TrustedExecute={"records": str(records)})
    app.extract_archive_files()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(collect, course, TrustedExecute={"records": str(records)})
        while "waiting for another command" not in caplog.text:
            assert not other.done()
            time.sleep(0.01)
        assert (course / "downloaded" / "ps1" / UNDER_WAY).exists()
        app.process_extracted_files()
        assert other.result() == {"ada": {"forward.ipynb": "x"}}


@pytest.mark.parametrize("where", ["unpack.copy", "transfer.shutil.copy"])
def test_a_full_disk_is_no_fault_of_a_hand_in(course, monkeypatch, where):
    put(course, ("ada_forward.ipynb", "first"))
    assert collect(course) == {"ada": {"forward.ipynb": "first"}}
    tables = {path.name: path.read_text() for path in course.glob("downloaded/ps1/*.csv")}
    put(course, ("ada_forward.ipynb", "second"), ("ben_forward.ipynb", "of ben"))

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(f"bncourse.platforms.{where}", full)
        with pytest.raises(OSError, match="No space"):
            collect(course)
    assert hand_ins(course) == {"ada": "first"}
    assert tables == {path.name: path.read_text() for path in course.glob("downloaded/ps1/*.csv")}
    assert collect(course) == {
        "ada": {"forward.ipynb": "second"},
        "ben": {"forward.ipynb": "of ben"},
    }
