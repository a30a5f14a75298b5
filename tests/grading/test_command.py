"""The command line of grading: the whole corpus as one class, its options, and what it refuses."""

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from nbgrader.api import Gradebook

from bncourse.commands import verbs
from bncourse.commands.grade import grade
from bncourse.commands.similar import similar
from bncourse.commands.term import _failure, collect
from bncourse.grading import pipeline
from bncourse.grading.batch import tasks
from bncourse.grading.outcome import CellResult, Outcome, Report
from bncourse.grading.outside import sandbox
from bncourse.grading.rooms import PACKAGE
from bncourse.trial import corpus, selftest
from bncourse.trial.course import CONFIG, TRUSTED, make_course, right
from bncourse.trial.sample_class import grades, run_nbgrader

GRADE = [sys.executable, "-c", "from bncourse.commands.grade import grade; grade()"]

# --- The corpus as a class ----------------------------------------------------------------------

# Others wait for a limit of their own, which a class of one configuration cannot have.
CASES = {
    f"case{number:03}": bad
    for number, bad in enumerate(corpus.corpus())
    if bad.limits.get("item_seconds", 30) > 20
}
HONEST = [f"case{number:03}-honest" for number in range(0, len(CASES), 25)]
FEEDBACK = ("smuggles inputs out in an exception", "reads files of the instructor")


def run(root, *options, **more):
    command = [*GRADE, corpus.PROBLEM_SET, "--root", root, *options]
    return subprocess.run(command, capture_output=True, text=True, **more)


def contents(root):
    """Return ``{path: hash}`` of a course, without what grading may change."""
    may_change = ("submitted", "autograded", ".grading", "gradebook.db")
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.relative_to(root).parts[0] not in may_change and path.is_file()
    }


@pytest.fixture(scope="module")
def corpus_class(tmp_path_factory, needs_sandbox):
    """The course, what it held before, and what the command said."""
    root = tmp_path_factory.mktemp("corpus")
    config = f"{CONFIG}{TRUSTED}c.TrustedExecute.limits = {selftest.LIMITS.as_dict()}\n"
    hand_ins = {student: bad.make for student, bad in CASES.items()}
    make_course(root, hand_ins | {each: right(each) for each in HONEST}, config)
    (root / ".course_secret").write_text("4711\n")
    before = contents(root)
    environment = os.environ | {"BNCOURSE_CANARY": "BNCOURSE_CANARY"}
    return root, before, run(root, "--workers", "2", "--json", env=environment)


@pytest.mark.slow
def test_every_hand_in_of_the_corpus_gets_its_verdict_in_one_class(corpus_class):
    root, before, done = corpus_class
    assert done.returncode == 0, done.stderr[-5000:]
    records = {each["student"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert set(records) == {*CASES, *HONEST}
    odd = []
    for student, bad in CASES.items():
        outcomes = records[student]["outcomes"]
        want = {name: bad.words.get(name, "ok") for name in corpus.ALL}
        if outcomes != want and not (bad.limits and set(outcomes) == set(want)):
            odd.append((str(bad), outcomes))
    assert not odd
    for student in HONEST:
        assert records[student]["outcomes"] == dict.fromkeys(corpus.ALL, "ok")
    assert contents(root) == before


@pytest.mark.slow
def test_every_hand_in_of_the_corpus_has_its_grade(corpus_class):
    root, _, done = corpus_class
    records = {each["student"]: each for each in map(json.loads, done.stdout.splitlines())}
    rows = {row["student"]: row["scores"] for row in grades(root, [corpus.PROBLEM_SET])}
    assert {
        student: {name: scores[name] for name in corpus.ALL} for student, scores in rows.items()
    } == {
        student: {name: 2.0 * (word == "ok") for name, word in record["outcomes"].items()}
        for student, record in records.items()
    }


@pytest.mark.slow
def test_the_corpus_class_has_nothing_left_for_a_second_run(corpus_class):
    root, _, _ = corpus_class
    kept = [root / "gradebook.db", root / ".grading" / "audit.jsonl"]
    before = [path.read_bytes() for path in kept]
    again = run(root, "--workers", "1", "--resume")
    assert again.returncode == 0, again.stderr[-5000:]
    assert ", 0 to grade" in again.stderr
    assert "written" not in again.stderr
    assert [path.read_bytes() for path in kept] == before


@pytest.mark.slow
def test_feedback_on_the_corpus_shows_nothing_hidden(corpus_class):
    root, _, _ = corpus_class
    for student, bad in CASES.items():
        if bad.name in FEEDBACK:
            run_nbgrader(root, "generate_feedback", corpus.PROBLEM_SET, "--student", student)
            (page,) = (root / "feedback" / student).rglob("*.html")
            assert "normalize" in page.read_text()
            for word in bad.hidden.split("|"):
                assert word not in page.read_text()


# --- The command, with a grader that needs no time ----------------------------------------------

STUDENTS = ("ada", "ben", "Team Eclair 1", "nothing")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "course"
    root.mkdir()
    hand_ins = {student: right(student) for student in STUDENTS[:3]}
    make_course(root, hand_ins | {"nothing": lambda folder: None}, CONFIG + TRUSTED)
    return root


@pytest.fixture
def course(made, tmp_path, monkeypatch):
    """A course of four students, in which every answer is right at once."""
    shutil.copytree(made, tmp_path / "course")
    monkeypatch.setattr(sandbox, "why_not", lambda: None)
    monkeypatch.setattr(pipeline, "warm_process", lambda *arguments: None)
    answer_with(monkeypatch, Outcome("ok"))
    return tmp_path / "course"


def answer_with(monkeypatch, outcome, flags=()):
    def grade(script, exercises, *rest):
        if isinstance(outcome, BaseException):
            raise outcome
        results = [CellResult() for _ in script.sources]
        return Report(dict.fromkeys(exercises, outcome), results, flags=list(flags))

    monkeypatch.setattr(pipeline, "grade", grade)


def call(course, *options, command=grade, problem_set=corpus.PROBLEM_SET):
    """Return what a command did; it may end with any status, but with no traceback."""
    words = [problem_set, "--root", str(course), *options]
    if command is grade:
        words += ["--workers", "1"]
    done = CliRunner().invoke(command, words, env={"COLUMNS": "300"})
    assert not done.exception or isinstance(done.exception, SystemExit), done.exc_info
    return done


def points(course):
    return {row["student"]: row["auto"] for row in grades(course, [corpus.PROBLEM_SET])}


@pytest.mark.slow
def test_what_students_wrote_stops_neither_table_nor_class(course, monkeypatch):
    odd = Outcome("crashed", "[/x] \x1b[31m", flags=("[bold]w.pkl",))
    answer_with(monkeypatch, odd, flags=["[/x] of a cell"])
    done = call(course)
    assert done.exit_code == 0
    for text in ("[/x] \N{REPLACEMENT CHARACTER}[31m", "normalize: [bold]w.pkl", "[/x] of a cell"):
        assert text in done.stdout
    assert "\x1b" not in done.output
    assert points(course) == dict.fromkeys(STUDENTS, 0)


def test_programs_are_told_the_flags_that_the_table_shows(course, monkeypatch):
    odd = Outcome("ok", flags=("forbidden call",))
    answer_with(monkeypatch, odd, flags=["an odd cell"])
    options = ["--student", "ada", "--dry-run"]
    flags = json.loads(call(course, *options, "--json").stdout)["flags"]
    assert flags == ["an odd cell", *(f"{name}: forbidden call" for name in corpus.ALL)]
    assert [flag for flag in flags if flag not in call(course, *options).stdout] == []


def test_collecting_from_nothing_is_refused(course):
    done = call(course, command=collect)
    assert done.exit_code == 2
    assert "archive must hold what the platform gave" in done.stderr
    assert not (course / "downloaded").exists()


def test_who_is_not_in_the_list_of_the_class_is_named(course):
    said = "Not in the list of the class so far"
    # Without a list everybody is new, and nobody need hear of it.
    assert said not in call(course, "--dry-run").stderr
    with Gradebook(f"sqlite:///{course}/gradebook.db", "") as book:
        for student in STUDENTS[:2]:
            book.update_or_create_student(student)
    new = sorted({"nothing", *STUDENTS[:3]} - {*STUDENTS[:2]})
    assert f"these ids: {', '.join(new)}." in call(course, "--dry-run").stderr


def test_an_id_that_the_list_does_not_know_stops_and_asks(course):
    with Gradebook(f"sqlite:///{course}/gradebook.db", "") as book:
        for student in STUDENTS[:2]:
            book.update_or_create_student(student, last_name=f"Name of {student}")
    (course / "submitted" / STUDENTS[0]).rename(course / "submitted" / STUDENTS[0].upper())
    asked = ["--student", STUDENTS[0].upper()]
    done = call(course, *asked)
    assert done.exit_code == 2
    assert f"Received: {STUDENTS[0].upper()} (perhaps {STUDENTS[0]})." in done.stderr
    assert "--allow-unknown" in done.stderr
    assert points(course) == {}
    # Who looks first is told, and not stopped.
    assert "these ids" in call(course, *asked, "--dry-run").stderr
    assert call(course, *asked, "--allow-unknown").exit_code == 0
    assert points(course) == {STUDENTS[0].upper(): 12}


def test_the_time_left_leaves_out_the_start_of_the_workers(course, monkeypatch):
    clock = itertools.accumulate([100, 3, 5])
    monkeypatch.setattr(tasks, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    said = call(course, "--dry-run").stderr.splitlines()
    assert said[0] == "4 notebooks, 3 to grade"
    assert said[1].startswith("the workers start")
    assert said[2:] == ["1/3 Team Eclair 1", "2/3 ada, about 3 s left", "3/3 ben, about 0 s left"]


@pytest.mark.slow
def test_the_command_that_repeats_a_problem_can_be_pasted(course, monkeypatch):
    answer_with(monkeypatch, Outcome("crashed", "by a signal"))
    line = "bncourse grade ps1_forward --dry-run --student 'Team Eclair 1'"
    assert line in call(course, "--dry-run").stdout


@pytest.mark.slow
def test_options_choose_what_is_graded_and_written(course, monkeypatch):
    assert call(course, "--dry-run").exit_code == 0
    assert points(course) == {}
    done = call(course, "--student", "ada", "--student", "ada", "--json")
    (record,) = map(json.loads, done.stdout.splitlines())
    assert record["outcomes"] == dict.fromkeys(corpus.ALL, "ok")
    assert record["changes"] == {}
    assert points(course) == {"ada": 12}
    answer_with(monkeypatch, Outcome("wrong"))
    done = call(course, "--student", "ada", "--json", "--dry-run")
    assert json.loads(done.stdout)["changes"] == {name: [2.0, 0.0] for name in corpus.ALL}
    assert ", 0 to grade" in call(course, "--student", "ada", "--resume").stderr
    assert points(course) == {"ada": 0}


def test_what_could_not_be_graded_is_status_1_and_no_zero(course, monkeypatch):
    answer_with(monkeypatch, ValueError("the grader stumbled"))
    done = call(course, "--student", "ada", "--json")
    assert done.exit_code == 1
    record = json.loads(done.stdout)
    assert record["outcomes"] == {}
    assert "stumbled" in record["problem"]
    assert points(course) == {}


def test_a_name_that_nbgrader_cannot_find_stops_nobody(course):
    (course / "submitted" / "ben").rename(course / "submitted" / "Group [C]")
    done = call(course, "--student", "ada", "--student", "Group [C]")
    assert done.exit_code == 1
    assert "rename Group [C]" in done.stdout
    assert points(course) == {"ada": 12}


def test_an_interruption_tells_how_to_go_on(course, monkeypatch):
    answer_with(monkeypatch, KeyboardInterrupt())
    done = call(course)
    assert done.exit_code == 1
    assert "--resume" in done.stderr


def test_a_damaged_verdict_is_made_anew(course):
    call(course, "--student", "ada", "--dry-run")
    (verdict,) = (course / ".grading" / "verdicts").iterdir()
    verdict.write_text("{")
    done = call(course, "--student", "ada", "--dry-run", "--resume")
    assert "1 to grade" in done.stderr
    assert done.exit_code == 0


def test_a_secret_that_is_gone_is_told(course, caplog):
    call(course, "--student", "ada", "--dry-run")
    assert "a new one is drawn" not in caplog.text
    (course / ".course_secret").unlink()
    call(course, "--student", "ada", "--dry-run")
    assert "a new one is drawn" in caplog.text


# --- What the instructor has to put right -------------------------------------------------------


def released(course):
    return course / "exercises" / corpus.PROBLEM_SET / corpus.NOTEBOOK


def without_exercise(course):
    text = released(course).read_text()
    released(course).write_text(text.replace('"grade_id": "normalize"', '"grade_id": "norm"'))


def config(course, line):
    with (course / "nbgrader_config.py").open("a") as file:
        file.write(f"{line}\n")


def limits(text):
    return lambda course: config(course, f"c.TrustedExecute.limits = {text}")


# The line that is added to it.
LINE = (CONFIG + TRUSTED).count("\n") + 1

MISTAKES = {
    "no configuration": (lambda c: (c / "nbgrader_config.py").unlink(), "nbgrader_config.py"),
    "a configuration that is no Python": (
        lambda c: config(c, "c.TrustedExecute.unsafe ="),
        f"nbgrader_config.py, line {LINE}: SyntaxError: invalid syntax",
    ),
    "a configuration that fails": (
        lambda c: config(c, "import no_such_plugin"),
        f"nbgrader_config.py, line {LINE}: ModuleNotFoundError: No module named 'no_such_plugin'",
    ),
    "a limit that is no number": (
        limits({"item_seconds": "3"}),
        "item_seconds must be a number. Received: item_seconds='3'",
    ),
    "a limit that there is not": (limits({"seconds": 3}), "Received: ['seconds']"),
    "limits that are none": (limits(3), "c.TrustedExecute.limits must be a dict. Received: 3"),
    "nobody": (lambda c: shutil.rmtree(c / "submitted"), "Nobody handed in ps1_forward."),
    "no trusted grading": (
        lambda c: (c / "nbgrader_config.py").write_text(CONFIG),
        "configure(c, __file__)",
    ),
    "an empty secret": (lambda c: (c / ".course_secret").write_text(""), "one whole number"),
    "a damaged secret": (lambda c: (c / ".course_secret").write_text("sesame"), "a copy"),
    "no release": (lambda c: released(c).unlink(), "generate_assignment ps1_forward"),
    "half a release": (lambda c: released(c).write_text('{"cells": ['), "ps1_forward --force"),
    "an empty release": (lambda c: released(c).write_text("{}"), "ps1_forward --force"),
    "a test without exercise": (without_exercise, "['norm']"),
}


@pytest.mark.parametrize("command", [grade, similar], ids=["grade", "similar"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_course_that_is_not_as_it_must_be(course, mistake, command):
    make, says = MISTAKES[mistake]
    make(course)
    done = call(course, command=command)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert "sesame" not in done.output


@pytest.mark.parametrize("command", [grade, similar], ids=["grade", "similar"])
def test_an_unknown_problem_set(course, command):
    done = call(course, command=command, problem_set="ps9")
    assert done.exit_code == 2
    assert "'ps1_forward'" in done.stderr
    assert "Received: ps9" in done.stderr


@pytest.mark.parametrize("student", ["adda", "", "*"])
@pytest.mark.parametrize("command", [grade, similar], ids=["grade", "similar"])
def test_an_unknown_student(course, command, student):
    done = call(course, "--student", "ada", "--student", student, command=command)
    assert done.exit_code == 2
    assert f"Received: [{student!r}]" in done.stderr


def test_a_gradebook_without_the_assignment(course):
    (course / "gradebook.db").unlink()
    done = call(course)
    assert done.exit_code == 2
    assert "nbgrader generate_assignment ps1_forward" in done.stderr
    assert "to grade" not in done.stderr
    run_nbgrader(course, "generate_assignment", corpus.PROBLEM_SET, "--force")
    assert call(course, "--student", "ada", "--dry-run").exit_code == 0


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("c.CourseDirectory.db_url = 'nonsense'", "db_url must be the address of a database."),
        ("c.CourseDirectory.db_url = 'foo://x'", "db_url must be the address of a database."),
        ("c.CourseDirectory.course_id = 5", "nbgrader_config.py must be one that it takes."),
        ("c.LateSubmissionPlugin.penalty_method = 'half'", "must be one that it takes."),
        ("c.AssignLatePenalties.plugin_class = 'none.There'", "must be one that it takes."),
    ],
)
def test_a_setting_that_nbgrader_does_not_take_is_a_sentence(course, line, rule):
    config(course, line)
    done = CliRunner().invoke(verbs, ["show-grades", str(course)])
    assert done.exit_code == 2
    assert rule in done.stderr
    assert done.stderr.startswith("Error: ")


def test_a_policy_that_cannot_be_read_stops_before_anything_is_graded(course):
    config(course, "c.LateSubmissionPlugin.penalty_method = 'half'")
    done = call(course)
    assert done.exit_code == 2
    assert "to grade" not in done.stderr


def test_a_driver_that_is_not_installed_is_a_sentence(course, monkeypatch):
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    config(course, "c.CourseDirectory.db_url = 'mysql://x/y'")
    done = CliRunner().invoke(verbs, ["show-grades", str(course)])
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: What a setting or a verb needs must be installed. ")


def test_the_same_of_a_command_of_nbgrader():
    raised = "traitlets.traitlets.TraitError: expected any of ['none', 'zero'], not 'half'."
    said = ["Traceback (most recent call last):", "  File x", raised]
    told = _failure("export", said, quiet=False)
    assert told == (
        "nbgrader export could not finish: TraitError: expected any of ['none', 'zero'], not "
        "'half'. Put it right, and repeat it."
    )


def test_a_gradebook_that_is_none(course):
    (course / "gradebook.db").write_text("no database" * 1000)
    done = call(course)
    assert done.exit_code == 2
    assert "file is not a database" in done.stderr


@pytest.mark.parametrize("options", [["--workers", "0"], ["--root", "/nowhere"], ["--no-such"]])
def test_a_wrong_option(options):
    assert CliRunner().invoke(grade, [corpus.PROBLEM_SET, *options]).exit_code == 2


@pytest.mark.parametrize("words", [["--student", "ada"], ["--json"], ["--workers", "1"], ["ps1"]])
def test_a_self_test_takes_no_other_options(monkeypatch, words):
    monkeypatch.setattr(sandbox, "why_not", lambda: None)
    monkeypatch.setattr("bncourse.commands.grade._self_test", lambda: 0)
    assert CliRunner().invoke(grade, ["--self-test"]).exit_code == 0
    done = CliRunner().invoke(grade, ["--self-test", *words])
    assert done.exit_code == 2
    named = words[0] if words[0].startswith("-") else "problem_set"
    assert f"--self-test takes no other options. Received: {named}\n" in done.stderr


def test_the_environment_of_another_copy_of_the_course(tmp_path, needs_sandbox):
    shutil.copytree(PACKAGE, tmp_path / "bncourse")
    command = [sys.executable, "-m", "bncourse", "grade", "--self-test"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"run make setup in {tmp_path}\n" in done.stderr
    assert f"Received: {sys.prefix}, " in done.stderr
    assert "--unsafe" not in done.stderr
    assert done.stderr.count("\n") == 1


def bounded(course, *walls):
    """Return how grading who handed in nothing ends behind walls of bubblewrap."""
    command = [*GRADE, corpus.PROBLEM_SET, "--root", course, "--student", "nothing", "--unsafe"]
    walled = ["bwrap", "--dev-bind", "/", "/", *walls, "--", *command]
    return subprocess.run(walled, capture_output=True, text=True)


def test_a_folder_that_cannot_be_written(course, needs_sandbox):
    (course / ".course_secret").write_text("1\n")
    done = bounded(course, "--ro-bind", course, course)
    assert done.returncode == 2
    assert "must be writable" in done.stderr
    assert "Traceback" not in done.stderr


FULL = """
import shutil, sys
from pathlib import Path

course, disk = map(Path, sys.argv[1:3])
shutil.copytree(course, disk / "course")
with (disk / "room").open("wb", buffering=0) as room:
    try:
        while room.write(b"x" * 4096): pass
    except OSError:
        pass
sys.argv[1:] = ["ps1_forward", "--root", str(disk / "course"), *sys.argv[3:]]
from bncourse.commands.grade import grade
grade()
"""


def test_a_disk_that_is_full_when_grades_are_written(course, tmp_path, needs_sandbox):
    (course / ".course_secret").write_text("1\n")
    disk = tmp_path / "disk"
    disk.mkdir()
    walls = ["bwrap", "--dev-bind", "/", "/", "--size", str(2**20), "--tmpfs", disk, "--"]
    command = [*walls, sys.executable, "-c", FULL, course, disk, "--student", "nothing", "--unsafe"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "full" in done.stderr or "No space" in done.stderr
    assert "--resume" in done.stderr
    assert "Traceback" not in done.stderr
