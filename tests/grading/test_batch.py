"""A whole class: resume after a kill, one writer, no grade without a verdict."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from nbgrader.api import Gradebook

from bncourse.errors import CourseError, Infra
from bncourse.grading import pipeline
from bncourse.grading.batch import fan_out
from bncourse.grading.batch.tasks import grade_tasks, read_tasks
from bncourse.grading.intake.script import Script
from bncourse.grading.nbgrader import gradebook, writing
from bncourse.grading.outcome import CellResult, Outcome, Report
from bncourse.grading.record import journal
from bncourse.grading.record.store import Store
from bncourse.grading.record.version import CODE
from bncourse.grading.work import GradedCourse, Setting
from bncourse.limits import Limits
from bncourse.trial import corpus
from bncourse.trial.course import make_course
from bncourse.trial.sample_class import grades

from .test_nbgrader import CONFIG

pytestmark = pytest.mark.slow

GRADE = [sys.executable, "-c", "from bncourse.commands.grade import grade; grade()"]

# Kills itself as it says the line that starts with the first argument.
MORTAL = """
import os, signal, sys
from bncourse.commands import grade as command

line_of_death = sys.argv.pop(1)

def progress(line):
    if line.startswith(line_of_death):
        os.kill(os.getpid(), signal.SIGKILL)

command._progress = progress
command.grade()
"""


@pytest.fixture(scope="module")
def empty_course(tmp_path_factory):
    root = tmp_path_factory.mktemp("class")
    make_course(root, {}, CONFIG)
    return root


def hand_in(root, student, notebook=None):
    folder = root / "submitted" / student / corpus.PROBLEM_SET
    folder.mkdir(parents=True, exist_ok=True)
    if notebook:
        corpus.write(folder, notebook)


@pytest.fixture
def course(empty_course, needs_sandbox):
    for number in range(6):
        notebook = corpus.notebook(before=[f"# student {number}"])
        hand_in(empty_course, f"student{number}", notebook)
    hand_in(empty_course, "wrong", corpus.notebook({corpus.TARGET: corpus.WRONG}))
    hand_in(empty_course, "nothing")
    return empty_course


def grade_until(course, line, *options):
    """Run ``bncourse grade`` and have it killed when it says a line."""
    command = [sys.executable, "-c", MORTAL, line, corpus.PROBLEM_SET, "--root", course]
    done = subprocess.run([*command, "--workers", "1", *options], stdout=subprocess.DEVNULL)
    assert done.returncode == -signal.SIGKILL


def here(count):
    return fan_out.fan_out(count, workers=1)


def report():
    return Report(
        {"f": Outcome("wrong", "no", flags=("tamper",))}, [CellResult([], "E", "m")], 1.0, 5
    )


def test_a_class_is_graded_and_killed_in_the_middle_and_resumed(course):
    command = [*GRADE, corpus.PROBLEM_SET, "--root", course, "--workers", "1"]
    grade_until(course, "3/")
    assert len(list((course / ".grading" / "verdicts").glob("*.json"))) == 3
    done = subprocess.run([*command, "--resume", "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    records = {r["student"]: r for r in map(json.loads, done.stdout.splitlines())}
    assert records["student5"]["outcomes"] == dict.fromkeys(corpus.ALL, "ok")
    assert records["nothing"]["outcomes"] == dict.fromkeys(corpus.ALL, "missing")
    assert journal.read(course / ".grading" / "audit.jsonl")[0]["student"] == "nothing"
    points = {row["student"]: row["auto"] for row in grades(course, [corpus.PROBLEM_SET])}
    assert points == {f"student{n}": 12 for n in range(6)} | {"wrong": 10, "nothing": 0}


def test_a_dry_run_writes_no_grade_and_shows_what_would_change(course):
    opened = GradedCourse(course, corpus.PROBLEM_SET)
    tasks = grade_tasks(opened, read_tasks(opened, ["wrong"]), here, resume=True)
    writing.write_grades(opened, tasks)
    before = grades(course, [corpus.PROBLEM_SET])
    hand_in(course, "wrong", corpus.notebook())
    tasks = grade_tasks(opened, read_tasks(opened, ["wrong"]), here)
    assert gradebook.differences(opened, tasks) == [[(corpus.TARGET, 0.0, 2.0)]]
    assert grades(course, [corpus.PROBLEM_SET]) == before


def test_infra_is_no_verdict_and_stops_nobody(course):
    opened = GradedCourse(course, corpus.PROBLEM_SET)
    tasks = read_tasks(opened, ["student0", "student1"])

    def failing(count):
        def run(function, waiting):
            for number, arguments in waiting.items():
                yield number, Infra("no") if number == 0 else function(*arguments)

        return contextlib.nullcontext(run)

    grade_tasks(opened, tasks, failing)
    assert tasks[0].report is None
    assert "Infra" in tasks[0].problem
    assert tasks[1].report.outcomes[corpus.TARGET].word == "ok"
    assert gradebook.differences(opened, tasks) == [[], []]


def manual_grade(root, student, points=None):
    """Give the written answer points by hand, or return those it has."""
    with Gradebook(f"sqlite:///{root}/gradebook.db", "trial") as book:
        grade = book.find_grade("redundant_bias", "forward", corpus.PROBLEM_SET, student)
        if points is not None:
            grade.manual_score, grade.needs_manual_grade = points, False
            book.db.commit()
        return grade.manual_score


def scores(root):
    return {row["student"]: row["scores"] for row in grades(root, [corpus.PROBLEM_SET])}


def test_a_batch_killed_while_it_writes_is_finished_by_the_next(course):
    opened = GradedCourse(course, corpus.PROBLEM_SET)
    tasks = grade_tasks(opened, read_tasks(opened), here)
    writing.write_grades(opened, tasks)
    manual_grade(course, "student5", 2.0)
    everything = scores(course)

    for path in (course / "autograded").iterdir():
        shutil.rmtree(path)
    grade_until(course, "written 3/", "--resume")
    opened = GradedCourse(course, corpus.PROBLEM_SET)
    tasks = grade_tasks(opened, read_tasks(opened), here, resume=True)
    done = gradebook.written(opened, tasks)
    # There was nothing to write for who handed in nothing.
    assert done == {"student0", "student1", "student2", "nothing"}
    command = [*GRADE, corpus.PROBLEM_SET, "--root", course, "--workers", "1", "--resume"]
    second = subprocess.run(command, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    for student in done:
        assert f" {student}," not in second.stderr
    assert "0 to grade" in second.stderr
    assert scores(course) == everything
    assert manual_grade(course, "student5") == 2.0


def test_a_locked_gradebook_loses_nothing(course):
    command = [*GRADE, corpus.PROBLEM_SET, "--root", course, "--workers", "1", "--resume"]
    assert subprocess.run(command, capture_output=True).returncode == 0
    before = grades(course, [corpus.PROBLEM_SET])
    hand_in(course, "wrong", corpus.notebook())
    with contextlib.closing(sqlite3.connect(course / "gradebook.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        locked = subprocess.run(command, capture_output=True, text=True)
    assert locked.returncode == 1
    assert "database is locked" in locked.stderr
    assert "--resume" in locked.stderr
    assert "Traceback" not in locked.stderr
    assert grades(course, [corpus.PROBLEM_SET]) == before
    later = subprocess.run(command, capture_output=True, text=True)
    assert later.returncode == 0
    assert "0 to grade" in later.stderr
    points = {row["student"]: row["auto"] for row in grades(course, [corpus.PROBLEM_SET])}
    assert points["wrong"] == 12


def test_a_gradebook_that_gets_locked_while_it_is_written_stops_the_writing(course, monkeypatch):
    opened = GradedCourse(course, corpus.PROBLEM_SET)
    tasks = grade_tasks(opened, read_tasks(opened), here, resume=True)
    writing.write_grades(opened, tasks)
    before = scores(course)
    monkeypatch.setattr(writing.rows, "AT_ONCE", 3)
    said = []
    with contextlib.closing(sqlite3.connect(course / "gradebook.db", timeout=0)) as other:

        def say(line):
            said.append(line)
            if line.startswith("written 3/"):
                other.execute("BEGIN EXCLUSIVE")

        failed = writing.write_grades(opened, tasks, say)
    assert len(said) == 3
    assert failed == dict.fromkeys(sorted({task.student for task in tasks})[3:], failed["wrong"])
    assert "database is locked" in failed["wrong"]
    assert writing.write_grades(opened, tasks) == {}
    assert scores(course) == before


def test_one_batch_at_a_time_writes(course):
    opened = GradedCourse(course, corpus.PROBLEM_SET)
    tasks = grade_tasks(opened, read_tasks(opened, ["student0"]), here, resume=True)
    said, order = [], []
    with (course / ".grading" / "writer.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def write():
            writing.write_grades(opened, tasks, say=said.append)
            order.append("second")

        second = threading.Thread(target=write)
        second.start()
        while not said:
            time.sleep(0.01)
        order.append("first")
    second.join()
    assert said[0] == "waiting for another command to finish writing"
    assert order == ["first", "second"]


def test_nbgrader_waits_for_its_turn_too(course):
    (course / ".grading").mkdir(mode=0o700, exist_ok=True)
    lock = (course / ".grading" / "writer.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    command = [sys.executable, "-m", "nbgrader", "autograde", corpus.PROBLEM_SET, "--force"]
    options = {"cwd": course, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "--student=student0"], **options) as second:
        said = next(line for line in second.stderr if "waiting for another command" in line)
        graded = course / "autograded" / "student0" / corpus.PROBLEM_SET
        before = graded.exists() and graded.stat().st_mtime_ns
        time.sleep(0.5)
        assert (graded.exists() and graded.stat().st_mtime_ns) == before
        lock.close()
        rest = second.stderr.read()
    assert second.returncode == 0, said + rest
    assert graded.exists()


def test_a_verdict_that_cannot_be_stored_is_none(course, monkeypatch):
    opened = GradedCourse(course, corpus.PROBLEM_SET)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    (task,) = grade_tasks(opened, read_tasks(opened, ["student0"]), here)
    assert task.report is None
    assert "No space left" in task.problem


TASK = ([], Script([]), Setting(corpus.PROBLEM_SET, Limits(), 1))


def test_infra_is_tried_again(monkeypatch):
    tries = []

    def grade(*arguments):
        tries.append(1)
        if len(tries) < 3:
            raise Infra("the machine hiccups")
        return report()

    monkeypatch.setattr(pipeline, "grade", grade)
    monkeypatch.setattr(pipeline, "warm_process", lambda *a: None)
    monkeypatch.setattr(pipeline.time, "sleep", lambda s: None)
    assert pipeline.verdict_on(*TASK, CODE, None) == report()
    monkeypatch.setattr(pipeline, "grade", lambda *a: (_ for _ in ()).throw(Infra("gone")))
    with pytest.raises(Infra):
        pipeline.verdict_on(*TASK, CODE, None)


def test_a_worker_with_other_code_gives_no_verdict(monkeypatch):
    monkeypatch.setattr(pipeline, "grade", lambda *a: report())
    monkeypatch.setattr(pipeline, "warm_process", lambda *a: None)
    with pytest.raises(Infra, match="runs other code than this machine: install the same commit"):
        pipeline.verdict_on(*TASK, "0" * 64, None)


def test_a_batch_keeps_no_outputs(course, tmp_path):
    opened = GradedCourse(course, corpus.PROBLEM_SET)
    opened.store = Store(tmp_path)

    def showing(count):
        def run(function, waiting):
            for number in waiting:
                yield number, Report({}, [CellResult(["plot" * 10**6])])

        return contextlib.nullcontext(run)

    for resume in (False, True):
        tasks = read_tasks(opened, ["student0", "student1"])
        grade_tasks(opened, tasks, showing, resume)
        assert [task.report.cells for task in tasks] == [[], []]
        assert opened.store.get(tasks[0].key).cells


def test_a_student_is_named_as_the_folder_and_once(course):
    opened = GradedCourse(course, corpus.PROBLEM_SET)
    tasks = read_tasks(opened, ["student1", "student0", "student1"])
    assert [task.student for task in tasks] == ["student1", "student0"]
    for wrong in ("studnet0", "", "*", "."):
        with pytest.raises(CourseError, match=re.escape(f"Received: [{wrong!r}]")):
            read_tasks(opened, ["student0", wrong])


def test_a_name_that_nbgrader_takes_for_a_pattern_is_refused_with_a_reason(course):
    hand_in(course, "Group [C]", corpus.notebook())
    try:
        opened = GradedCourse(course, corpus.PROBLEM_SET)
        tasks = read_tasks(opened, ["Group [C]", "nothing"])
        grade_tasks(opened, tasks, here)
        assert tasks[0].report is None
        assert "rename Group [C]" in tasks[0].problem
        assert writing.write_grades(opened, tasks, say=lambda line: None) == {}
    finally:
        shutil.rmtree(course / "submitted" / "Group [C]")


def test_a_deadline_counts_as_the_points_do(course):
    """A penalty that a deadline or a time stamp changes is shown, and written with --resume."""
    student, config = "student0", course / "nbgrader_config.py"
    config.write_text(CONFIG + LATE)
    stamp = course / "submitted" / student / corpus.PROBLEM_SET / "timestamp.txt"

    def read():
        opened = GradedCourse(course, corpus.PROBLEM_SET)
        tasks = read_tasks(opened, [student])
        return opened, grade_tasks(opened, tasks, here, resume=True)

    def compared():
        opened, tasks = read()
        (changes,) = gradebook.differences(opened, tasks)
        return changes, gradebook.written(opened, tasks)

    def write():
        assert writing.write_grades(*read()) == {}

    def penalty():
        with Gradebook(f"sqlite:///{course}/gradebook.db", "trial") as book:
            return book.find_submission(corpus.PROBLEM_SET, student).late_submission_penalty

    try:
        stamp.write_text("2026-11-02 10:00:00 UTC")
        write()
        assert compared() == ([], {student})
        with Gradebook(f"sqlite:///{course}/gradebook.db", "trial") as book:
            book.update_or_create_assignment(corpus.PROBLEM_SET, duedate="2026-11-02 09:00:00")
        assert compared() == ([(gradebook.LATE, 0.0, 1.5)], set())
        command = [*GRADE, corpus.PROBLEM_SET, "--root", course, "--student", student, "--resume"]
        assert "late penalty" in subprocess.run(command, capture_output=True, text=True).stdout
        assert penalty() == 1.5
        assert compared() == ([], {student})
        stamp.write_text("2026-11-02 09:30:00 UTC")
        assert compared() == ([(gradebook.LATE, 1.5, 0.75)], set())
        # More than there is to take away.
        stamp.write_text("2026-11-20 09:30:00 UTC")
        (row,), _ = compared()
        write()
        assert row == (gradebook.LATE, 1.5, penalty())
        assert penalty() == 12 + (manual_grade(course, student) or 0)
        # On time, but at another time than the gradebook has.
        stamp.write_text("2026-11-02 08:00:00 UTC")
        write()
        assert penalty() == 0
        stamp.write_text("2026-11-02 08:30:00 UTC")
        assert compared() == ([], set())
        stamp.write_text("yesterday")
        assert compared() == ([], {student})
    finally:
        stamp.unlink(missing_ok=True)
        config.write_text(CONFIG)
        with Gradebook(f"sqlite:///{course}/gradebook.db", "trial") as book:
            book.update_or_create_assignment(corpus.PROBLEM_SET, duedate=None)


# Points per hour.
LATE = """
from nbgrader.plugins import BasePlugin

class PerHour(BasePlugin):
    def late_submission_penalty(self, student, score, seconds):
        return 1.5 * seconds / 3600

c.AssignLatePenalties.plugin_class = PerHour
"""


def test_the_command_refuses_without_a_sandbox(empty_course, needs_sandbox):
    blind = {**os.environ, "PATH": "/nowhere"}
    command = [*GRADE, corpus.PROBLEM_SET, "--root", empty_course]
    done = subprocess.run(command, env=blind, capture_output=True, text=True)
    assert done.returncode == 1
    assert "bubblewrap" in done.stderr
    assert "--unsafe" in done.stderr
