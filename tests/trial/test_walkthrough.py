"""The page for instructors: its class gets what it says, and its terminal hides no failure."""

import nbformat
import pytest

from bncourse.grading.batch.tasks import read_tasks
from bncourse.grading.outside import sandbox
from bncourse.grading.outside.submission import grade
from bncourse.grading.outside.warm import WarmProcess
from bncourse.grading.work import GradedCourse
from bncourse.registry import load
from bncourse.trial import walkthrough
from bncourse.trial.sample_class import run_nbgrader
from bncourse.trial.terminal import Terminal

# What differs from "ok"; the page and its table of problems speak of these.
WORDS = {
    "ada": {},
    "ben": {"batch_statistics": "wrong"},
    "eva": {"normalize": "crashed"},
    "finn": {"normalize": "timeout"},
    "gina": {"batch_statistics": "wrong"},
    "hugo": {},
}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "course").mkdir()
    return Terminal(tmp_path / "course", tmp_path / "home")


@pytest.fixture(scope="module")
def course(root, tmp_path_factory):
    course = tmp_path_factory.mktemp("course")
    walkthrough.make_course(root, course)
    run_nbgrader(course, "generate_assignment", walkthrough.SET)
    walkthrough.download(course)
    run_nbgrader(course, "zip_collect", walkthrough.SET)
    return course


def test_a_terminal_prints_the_command_and_what_matters_of_its_output(run, capsys):
    run(f"echo '[SomeApp | INFO] Writing {run.folder}/a'; echo noise; pwd", only=r"a$|^\.")
    shown = capsys.readouterr().out
    assert shown.split("\n")[1:] == ["Writing a", "...", ".", ""]


def test_a_terminal_asks_for_no_colours(run, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    run = Terminal(run.folder, run.folder)
    run("""python -c "from rich import print; print('[bold]x[/bold]')" """)
    assert capsys.readouterr().out.endswith("\nx\n")


def test_a_page_cannot_show_a_command_that_failed(run):
    with pytest.raises(RuntimeError, match="status 3"):
        run("exit 3")
    run("exit 3", status=3)


def test_a_page_cannot_show_a_kill_that_came_too_late(run, capsys):
    with pytest.raises(RuntimeError, match="status 0"):
        run("echo 1", kill_at="^2")
    run("bash -c 'echo 1; echo 2; sleep 1000; echo 3'", kill_at="^2")
    assert capsys.readouterr().out.endswith("\n1\n2\nKilled\n")


def test_without_a_sandbox_the_class_does_no_harm(course, monkeypatch):
    release = walkthrough.read_release(course)
    monkeypatch.setattr(sandbox, "why_not", lambda: "none here")
    assert set(walkthrough.hand_ins(release)) == {"ada", "ben", "cleo", "dan", "gina", "hugo"}


@pytest.mark.slow
def test_every_student_of_the_page_gets_what_it_says(course, needs_sandbox):
    graded = GradedCourse(course, walkthrough.SET)
    tasks = {task.student: task for task in read_tasks(graded)}
    assert set(tasks) == {*WORDS, "cleo", "dan", "ines"}
    # What Ada handed in after the deadline is Ben's.
    assert tasks["ada"].script != tasks["ben"].script
    assert {o.word for o in tasks["dan"].report.outcomes.values()} == {"malformed"}
    assert {o.word for o in tasks["ines"].report.outcomes.values()} == {"missing"}
    assert any("duplicate" in flag for flag in tasks["gina"].flags)
    exercises = load(walkthrough.SET)
    with WarmProcess(walkthrough.SET) as worker:
        for student, words in WORDS.items():
            script = tasks[student].script
            found = grade(script, exercises, worker, graded.limits, graded.setting.secret)
            due = dict.fromkeys(exercises, "ok") | words
            assert {name: o.word for name, o in found.outcomes.items()} == due


def test_git_goes_back_to_the_commit_before_the_deadline(course, tmp_path, capsys):
    other = tmp_path / "classroom"
    walkthrough.copy_released(course, other)
    walkthrough.clone_classroom(other)
    (repository,) = other.glob("downloaded/*/archive/*/*")
    late = nbformat.read(repository / walkthrough.NOTEBOOK, as_version=4)
    run = Terminal(repository, tmp_path)
    run("git checkout --quiet $(git rev-list -1 --before='2026-11-02 23:59 +0100' HEAD)")
    assert nbformat.read(repository / walkthrough.NOTEBOOK, as_version=4) != late
