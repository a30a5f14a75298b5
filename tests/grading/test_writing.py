"""A class in the gradebook: row for row and byte for byte what nbgrader's own autograde writes.

Verdicts are made up and kept in the store, so nothing is run here.
"""

import contextlib
import datetime
import errno
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from nbformat.v4 import new_output
from nbgrader import api
from nbgrader.api import Gradebook

from bncourse.course import load_config
from bncourse.errors import Infra
from bncourse.grading import side_by_side as in_processes
from bncourse.grading.batch.tasks import read_tasks
from bncourse.grading.nbgrader import gradebook, rows, writing
from bncourse.grading.nbgrader.config import is_as_configured
from bncourse.grading.outcome import WORDS, CellResult, Outcome, Report
from bncourse.grading.record import journal
from bncourse.grading.side_by_side import side_by_side
from bncourse.grading.work import GradedCourse
from bncourse.trial import corpus
from bncourse.trial.course import CONFIG, TRUSTED, make_course

pytestmark = [
    pytest.mark.slow,
    # On nbgrader's own use of its database.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"),
]

# Points per hour, none for a student who is forgiven.
LATE = """
from nbgrader.plugins import BasePlugin

class PerHour(BasePlugin):
    def late_submission_penalty(self, student, score, seconds):
        return None if student.endswith("0") else seconds / 3600 - 1

c.AssignLatePenalties.plugin_class = PerHour
c.TrustedExecute.unsafe = True
"""
DUE = datetime.datetime(2026, 11, 2, 9)
WRITTEN = "redundant_bias"


@pytest.fixture(scope="module")
def empty_course(tmp_path_factory):
    root = tmp_path_factory.mktemp("empty")
    make_course(root, {}, CONFIG + TRUSTED + LATE)
    (root / "solutions" / corpus.PROBLEM_SET / "data.csv").write_text("1,2")
    with book_of(root) as book:
        book.update_or_create_assignment(corpus.PROBLEM_SET, duedate=DUE)
    GradedCourse(root, corpus.PROBLEM_SET)
    return root


@pytest.fixture
def course(empty_course, tmp_path):
    return copy_of(empty_course, tmp_path / "course")


def copy_of(course, root):
    shutil.copytree(course, root, symlinks=True)
    return root


@contextlib.contextmanager
def book_of(root, url=None):
    with Gradebook(url or f"sqlite:///{root}/gradebook.db", "trial") as book:
        yield book


def hand_in(root, student, text="", name=corpus.NOTEBOOK, answer=""):
    folder = root / "submitted" / student / corpus.PROBLEM_SET
    folder.mkdir(parents=True, exist_ok=True)
    notebook = corpus.notebook(before=[f"# {student} {text}"])
    for cell in notebook.cells:
        if answer and cell.metadata.get("nbgrader", {}).get("grade_id") == WRITTEN:
            cell.source = answer
    corpus.write(folder, notebook, name)
    return folder


def verdict(work, draw):
    outcomes = {name: Outcome(draw.choice(["ok", *WORDS]), "It says.") for name in work.exercises}
    shown = [new_output("stream", name="stdout", text="one\ntwo"), new_output("display_data")]
    cells = [CellResult(shown[: draw.randrange(3)]) for _ in work.script.sources]
    return Report(outcomes, cells, seconds=1.0, memory=5, flags=draw.choice([[], ["look"]]))


def graded(root, seed=0):
    """Return the course and the tasks of a class, with made-up verdicts."""
    course, draw = GradedCourse(root, corpus.PROBLEM_SET), random.Random(seed)
    tasks = read_tasks(course)
    for task in tasks:
        if task.key:
            report = verdict(task, draw)
            course.store.put(task.key, report)
            task.report = replace(report, cells=[])
    return course, tasks


def write(root, seed=0, **options):
    failed = writing.write_grades(*graded(root, seed), say=lambda line: None, **options)
    assert failed == {}


def write_with_nbgrader(root, seed, monkeypatch):
    """Write as nbgrader does; the few rows on who handed in nothing it leaves to others."""
    with monkeypatch.context() as patch:
        patch.setattr(writing, "is_as_configured", lambda config: False)
        write(root, seed)


def table(root, url=None):
    """Return every row about the students, with names in the place of ids."""
    found = []
    with book_of(root, url) as book:
        found += [("student", each.id, each.first_name) for each in book.students]
        for each in book.db.query(api.SubmittedAssignment):
            found.append((each.student.id, each.name, each.timestamp, each.extension))
            for notebook in each.notebooks:
                of = (each.student.id, notebook.name)
                found.append((*of, notebook.flagged, notebook.late_submission_penalty))
                found += [
                    (*of, g.name, g.auto_score, g.manual_score, g.extra_credit, g.score)
                    for g in notebook.grades
                ]
                found += [(*of, g.name, g.needs_manual_grade, g.max_score) for g in notebook.grades]
                found += [
                    (*of, c.name, c.auto_comment, c.manual_comment) for c in notebook.comments
                ]
        counts = [book.db.query(each).count() for each in (api.Grade, api.Grade, api.Comment)]
        counts += [book.db.query(each).count() for each in (api.Student, api.SubmittedNotebook)]
        counts.append(book.db.query(api.SubmittedAssignment).count())
    assert sum(counts) == len(found), "a row belongs to nobody"
    return sorted(found, key=repr)


def files(root):
    """Return ``{path: (mode, bytes)}`` of all that was graded, hidden names too."""
    folder = root / "autograded"
    paths = [path for path in folder.rglob("*") if len(path.relative_to(folder).parts) > 1]
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.is_file() and path.read_bytes())
        for path in paths
    }


def lines(root):
    """Return what the journal says, but for the time of the day."""
    found = journal.read(root / ".grading" / "audit.jsonl")
    return sorted((json.dumps(each | {"time": ""}) for each in found), key=str)


def by_hand(root, student, points=None, words=None, extra=None, url=None):
    with book_of(root, url) as book:
        notebook = book.find_submission_notebook("forward", corpus.PROBLEM_SET, student)
        for grade in notebook.grades:
            if grade.name in (WRITTEN, corpus.TARGET):
                grade.manual_score, grade.extra_credit = points, extra
                grade.needs_manual_grade = False
        for comment in notebook.comments:
            comment.manual_comment = words
        book.db.commit()


def stamp(folder, hours):
    when = DUE + datetime.timedelta(hours=hours)
    (folder / "timestamp.txt").write_text(f"{when:%Y-%m-%d %H:%M:%S} UTC")


def random_round(root, seed, url=None):
    """Change hand-ins, and what humans wrote, as a term does."""
    draw = random.Random(seed)
    with book_of(root, url) as book:
        known = {each.student.id for each in book.assignment_submissions(corpus.PROBLEM_SET)}
    for number in range(8):
        student = f"s{number}"
        folder = hand_in(root, student, draw.choice("ab"), answer=draw.choice(["", "Because."]))
        do = draw.choice(["late", "early", "rename", "break", "extra", "twice", "none", "none"])
        if do in ("late", "early"):
            stamp(folder, draw.choice([1, 2, 30]) if do == "late" else -1)
        elif do == "rename":
            (folder / corpus.NOTEBOOK).rename(folder / "forward (1).ipynb")
        elif do == "break":
            (folder / corpus.NOTEBOOK).write_text("{")
        elif do == "extra":
            (folder / "notes").mkdir(exist_ok=True)
            (folder / "notes" / "own.txt").write_text("mine")
            (folder / "data.csv").write_text("3")
            (folder / "page.html").write_text("<script>")
        elif do == "twice":
            hand_in(root, student, "two", name="forward-2.ipynb")
        if student in known and draw.random() < 0.5:
            points, words = draw.choice([None, 0.5]), draw.choice([None, "Good."])
            by_hand(root, student, points, words, 0.25, url)
    if draw.random() < 0.5:
        rows_of_table = "problem set,student,until\n"
        until = DUE + datetime.timedelta(hours=draw.choice([1, 24]))
        rows_of_table += f"{corpus.PROBLEM_SET},s3,{until:%Y-%m-%d %H:%M:%S} UTC\n"
        (root / "extensions.csv").write_text(rows_of_table)


@pytest.mark.parametrize("seed", range(2))
def test_a_term_is_written_as_nbgrader_writes_it(course, tmp_path, monkeypatch, seed):
    for number in range(3):
        random_round(course, 10 * seed + number)
        theirs = copy_of(course, tmp_path / f"theirs{number}")
        write_with_nbgrader(theirs, seed + number, monkeypatch)
        monkeypatch.setattr(writing, "_autograde", None)
        write(course, seed + number)
        monkeypatch.undo()
        assert table(course) == table(theirs)
        assert files(course) == files(theirs)
        assert lines(course) == lines(theirs)


def test_several_processes_write_the_same(course, tmp_path, monkeypatch):
    random_round(course, 7)
    alone = copy_of(course, tmp_path / "alone")
    write(alone, 7)
    monkeypatch.setattr(in_processes, "_ENOUGH", 1)
    monkeypatch.setattr(writing, "_autograde", None)
    write(course, 7, processes=2)
    assert table(course) == table(alone)
    assert files(course) == files(alone)
    tasks = graded(course, 7)
    assert len(gradebook.written(*tasks, processes=2)) == 8
    assert gradebook.differences(*tasks) == [[]] * 8


def test_who_hands_in_nothing_gets_no_points_and_keeps_those_of_a_human(course):
    folder = hand_in(course, "ada")
    write(course)
    by_hand(course, "ada", points=1.5, words="Seen.")
    (folder / corpus.NOTEBOOK).unlink()
    (course / "submitted" / "ben" / corpus.PROBLEM_SET).mkdir(parents=True)
    write(course)
    with book_of(course) as book:
        for student, points in (("ada", 3.0), ("ben", 0.0)):
            notebook = book.find_submission_notebook("forward", corpus.PROBLEM_SET, student)
            assert notebook.flagged
            assert notebook.score == points
            assert {grade.auto_score for grade in notebook.grades} == {0}
            assert not any(grade.needs_manual_grade for grade in notebook.grades)
    assert any(row[-1] == "Seen." for row in table(course))
    assert gradebook.written(*graded(course)) == {"ada", "ben"}


def test_a_first_row_of_each_cell_is_that_of_nbgrader(course):
    """Task cells too, which no problem set of the course has."""
    with book_of(course) as book:
        book.add_task_cell(
            "essay", "forward", corpus.PROBLEM_SET, max_score=3, cell_type="markdown"
        )
        for student in ("ada", "ben"):
            book.add_student(student)
        book.add_submission(corpus.PROBLEM_SET, "ada", timestamp="2026-11-02 10:00")
        with book.engine.begin() as connection:
            assigned = rows.assigned(connection, corpus.PROBLEM_SET)
            theirs = rows.submissions(connection, assigned, ["ada", "ben"])["ada"]
            ours = rows.new_submission(assigned, "ben")
            ours.timestamp = theirs.timestamp
            rows.insert_all(connection, assigned, [ours])
            assert rows.submissions(connection, assigned, ["ben"])["ben"] == ours
    found = table(course)
    ada, ben = ([row[1:] for row in found if name in row] for name in ("ada", "ben"))
    assert len(ada) > 10
    assert [row for row in ada if row[0] != "ada"] == [row for row in ben if row[0] != "ben"]


def test_a_student_whose_rows_are_not_all_there_stops_nobody(course):
    """As nbgrader has it: a cell that is younger than a submission has no grade in it."""
    for student in ("ada", "ben"):
        hand_in(course, student)
    with book_of(course) as book:
        book.add_student("ada")
        book.add_submission(corpus.PROBLEM_SET, "ada")
        grade = book.find_grade(corpus.TARGET, "forward", corpus.PROBLEM_SET, "ada")
        book.db.delete(grade)
        book.db.commit()
    failed = writing.write_grades(*graded(course), say=lambda line: None)
    assert failed.keys() == {"ada"}
    reason = f"No such grade: {corpus.PROBLEM_SET}/forward/{corpus.TARGET} for ada"
    assert failed["ada"] == f"nbgrader could not write the grades. {reason}"
    assert {path.split("/")[0] for path in files(course)} == {"ben"}
    assert gradebook.written(*graded(course)) == {"ben"}


def test_a_disk_that_is_full_is_told_where_nbgrader_writes(course, monkeypatch):
    """It says so in a traceback of its log only, and refers to it."""
    hand_in(course, "ada")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing, "is_as_configured", lambda config: False)
    monkeypatch.setattr(writing.Autograde, "init_assignment", full)
    failed = writing.write_grades(*graded(course), say=lambda line: None)
    assert failed == {
        "ada": "nbgrader could not write the grades. [Errno 28] No space left on device"
    }


@pytest.mark.parametrize(
    "more",
    [
        "c.Autograde.post_convert_hook = print",
        "c.Autograde.autograde_preprocessors.append('own.Step')",
        "c.OverwriteCells.add_missing_cells = True",
        "c.CourseDirectory.student_id_exclude = 'ada'",
        "c.DuePenalty.enabled = False",
    ],
)
def test_a_course_with_steps_of_its_own_is_left_to_nbgrader(course, more):
    config = course / "nbgrader_config.py"
    assert is_as_configured(GradedCourse(course, corpus.PROBLEM_SET).config)
    assert is_as_configured(load_config(Path(__file__).parents[2]))
    config.write_text(f"{config.read_text()}\n{more}\n")
    assert not is_as_configured(GradedCourse(course, corpus.PROBLEM_SET).config)


def die_at(root, count):
    """Write grades in a process of its own, which is killed at its so-many-th step."""
    process = os.fork()
    if not process:
        steps = iter(range(count))

        def step(frame, event, argument):
            if event == "call" and Path(frame.f_code.co_filename).name in _WATCHED:
                next(steps, None) is None and os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(step)
        write(root)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


_WATCHED = {"writing.py", "rows.py", "drafts.py", "journal.py", "kept.py"}


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_killed_anywhere_nothing_is_lost(course, tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "AT_ONCE", 2)
    for number in range(3):
        stamp(hand_in(course, f"s{number}"), 2)
    write(course)
    by_hand(course, "s1", 0.5, "Good.")
    for number in range(5):
        hand_in(course, f"s{number}", "again")
    # Words alone are new, and come with another time.
    stamp(hand_in(course, "s2", answer="Because."), 3)
    whole = copy_of(course, tmp_path / "whole")
    write(whole)
    died, count = 0, 1
    while True:
        root = copy_of(course, tmp_path / str(count))
        if die_at(root, count) == 0:
            break
        died += 1
        opened, tasks = graded(root)
        done = gradebook.written(opened, tasks)
        left = [task for task in tasks if task.student not in done]
        assert writing.write_grades(opened, left, say=lambda line: None) == {}
        assert table(root) == table(whole), count
        assert files(root) == files(whole), count
        assert {each["student"] for each in journal.read(root / ".grading" / "audit.jsonl")} == {
            f"s{number}" for number in range(5)
        }
        shutil.rmtree(root)
        count += count // 2 + 9
    assert died > 6


def test_things_come_back_in_order_from_several_processes(monkeypatch):
    monkeypatch.setattr(in_processes, "_ENOUGH", 1)
    assert list(side_by_side(abs, range(-100, 0), 2)) == [*range(100, 0, -1)]
    with pytest.raises(ValueError, match="math domain error"):
        list(side_by_side(math.sqrt, [4.0, -1.0], 2))
    with pytest.raises(Infra, match="was killed"):
        list(side_by_side(os._exit, [1], 2))


def test_processes_end_with_the_one_that_started_them():
    code = (
        "import operator, os, signal\n"
        "from bncourse.grading import side_by_side\n"
        "side_by_side._ENOUGH = 1\n"
        "call = operator.methodcaller('__call__')\n"
        "for pid in side_by_side.side_by_side(call, [os.getpid] * 99, 2):\n"
        "    print(pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    # Its output ends when the last process that holds it has ended.
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert done.returncode == -signal.SIGKILL
    assert int(done.stdout)


def test_an_answer_in_words_that_is_new_is_written_too(course):
    hand_in(course, "ada")
    write(course)
    assert gradebook.written(*graded(course)) == {"ada"}
    hand_in(course, "ada", answer="Because.")
    assert gradebook.written(*graded(course)) == set()
    write(course)
    assert gradebook.written(*graded(course)) == {"ada"}
