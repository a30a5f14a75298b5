"""The course that the page for instructors grades: a problem set, and a class that hands it in."""

import csv
import io
import os
import shutil
import subprocess
import textwrap
import zipfile
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup
from nbgrader.api import Gradebook

from bncourse.grading.outside import sandbox
from bncourse.release import derive_notebook
from bncourse.trial import corpus
from bncourse.trial.sample_class import answered

SET, NOTEBOOK, WRITTEN = corpus.PROBLEM_SET, corpus.NOTEBOOK, "redundant_bias"
COURSE_ID = "batch-norm"

# Appended to the repository's own nbgrader_config.py.
CONFIG = """
import csv
from pathlib import Path

with Path(__file__).with_name("students.csv").open() as file:
    roster = {row["lms_user_id"]: row["id"] for row in csv.DictReader(file)}
c.HandInCollector.students = roster
c.TrustedExecute.limits = {"item_seconds": 4}
"""
# Known, so that the page reads the same after each build. A course's own is drawn at random.
SECRET = "20261102\n"

ROSTER = [
    ("ada", "Ada", "Lovelace", 4711),
    ("ben", "Ben", "Weber", 4712),
    ("cleo", "Cleo", "Okafor", 4713),
    ("dan", "Dan", "Silva", 4714),
    ("eva", "Eva", "Nowak", 4715),
    ("finn", "Finn", "Berg", 4716),
    ("gina", "Gina", "Rossi", 4717),
    ("hugo", "Hugo", "Martin", 4718),
    ("ines", "Ines", "Costa", 4719),
    ("jan", "Jan", "Vermeer", 4720),
]

# Divides by N - 1, in words of its own: two students hand it in.
MISTAKE = """
def batch_statistics(x):
    # first the average of every column, then how far the rows are from it
    rows = len(x)
    average = sum(x) / rows
    distance = x - average
    return average, (distance * distance).sum(axis=0) / (rows - 1)
""".strip()

ANSWER = "The mean grows by $b$ too, so $z - \\mu$ stays as it was, and $\\beta$ takes over."
PARTLY_RIGHT = "The bias moves the mean by $b$, and centring takes it away again."


def make_course(root, folder):
    """Make a course like the repository, with the first problem set and nobody's work.

    Args:
        root: the repository.
        folder: the empty folder of the course.
    """
    root, folder = Path(root), Path(folder)
    config = (root / "nbgrader_config.py").read_text() + CONFIG
    if sandbox.why_not():
        # The class then holds the course's own, harmless code only.
        config += "c.TrustedExecute.unsafe = True\n"
    (folder / "nbgrader_config.py").write_text(config)
    (folder / ".course_secret").write_text(SECRET)
    with (folder / "students.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "first_name", "last_name", "lms_user_id"])
        writer.writerows(ROSTER)
    source = folder / "solutions" / SET
    source.mkdir(parents=True)
    name = Path(NOTEBOOK).with_suffix(".md")
    nbformat.write(derive_notebook(root / "solutions" / SET / name), source / NOTEBOOK)


def hand_ins(release):
    """Return ``{student: text of the file}``, with the hostile ones only where a sandbox is.

    Args:
        release: the released notebook.
    """
    copied = right(release, MISTAKE, PARTLY_RIGHT)
    copied.cells.append(corpus.answer_cell("normalize", corpus.SOLUTIONS["normalize"]))
    found = {
        "ada": right(release),
        "ben": right(release, MISTAKE, PARTLY_RIGHT),
        "cleo": release,
        "gina": copied,
        "hugo": right(release),
    }
    if not sandbox.why_not():
        crash = corpus.body("import ctypes", "ctypes.string_at(0)")
        found["eva"] = answered(right(release), {"normalize_answer": crash})
        found["finn"] = answered(right(release), {"normalize_answer": corpus.body("while True: 0")})
    return {student: nbformat.writes(nb) for student, nb in found.items()} | {"dan": '{"cells": ['}


def right(release, statistics=corpus.SOLUTIONS["batch_statistics"], written=ANSWER):
    """Return a release with all answers right, but perhaps the first."""
    answers = {f"{name}_answer": source for name, source in corpus.SOLUTIONS.items()}
    answers |= {"batch_statistics_answer": statistics, WRITTEN: written}
    return answered(release, answers)


def download(course):
    """Put into a course what Canvas gives for its class, and two files that came by e-mail.

    Args:
        course: the folder, with the released notebook.

    Returns:
        The names in the archive of Canvas.
    """
    course = Path(course)
    release = read_release(course)
    files = hand_ins(release)
    entries = []
    for index, (student, first, last, number) in enumerate(ROSTER):
        if student in files:
            late = "LATE_" if student == "hugo" else ""
            name = f"{last}{first}".lower()
            entries.append((f"{name}_{late}{number}_{101 + index}_{NOTEBOOK}", files[student]))
    entries.append(("lovelaceada_LATE_4711_140_forward-1.ipynb", files["ben"]))
    entries.append(("my homework.ipynb", files["ada"]))
    archive = course / "downloaded" / SET / "archive"
    archive.mkdir(parents=True)
    (archive / "submissions.zip").write_bytes(zipped(entries))
    no_notebook = course / "submitted" / "ines" / SET
    no_notebook.mkdir(parents=True)
    (no_notebook / "homework.docx").write_text("Please find my homework in this file.\n")
    (course / "mail").mkdir()
    nbformat.write(right(release, written=PARTLY_RIGHT), course / "mail" / NOTEBOOK)
    return [name for name, _ in entries]


def read_release(course):
    """Return the released notebook of a course."""
    return nbformat.read(Path(course, "exercises", SET, NOTEBOOK), as_version=4)


def zipped(entries):
    """Return the bytes of a zip archive with ``(name, content)``."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries:
            file.writestr(name, content)
    return target.getvalue()


def message(course, student, exercise):
    """Return what the feedback page of a student says about an exercise.

    Args:
        course: the folder.
        student: who failed in it.
        exercise: its name.
    """
    page = Path(course, "feedback", student, SET, NOTEBOOK).with_suffix(".html")
    soup = BeautifulSoup(page.read_text(), "html.parser")
    lines = soup.find(id=f"grade-{exercise}").select(".said p")
    return "\n".join(textwrap.fill(line.get_text(), width=88) for line in lines)


def copy_released(course, folder, config=""):
    """Make another course with the same released problem set, to collect in another way.

    Args:
        course: the folder of the first.
        folder: the new folder.
        config: lines for the end of its ``nbgrader_config.py``.
    """
    parts = ("solutions", "exercises", "nbgrader_config.py", "students.csv", "gradebook.db")
    for part in parts:
        source, target = Path(course, part), Path(folder, part)
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    with Path(folder, "nbgrader_config.py").open("a") as file:
        file.write(config)


def clone_classroom(course):
    """Put into a course what ``gh classroom clone`` gives: one repository with two commits.

    Args:
        course: the folder, with the released notebook.
    """
    repository = Path(course, "downloaded", SET, "archive", "ps1-submissions", "ps1-ada")
    repository.mkdir(parents=True)
    _git(repository, "init", "--quiet")
    release = read_release(course)
    for date, message, notebook in (
        ("2026-11-01T20:00:00+0100", "Answer everything", right(release)),
        ("2026-11-03T02:00:00+0100", "Change my mind after the deadline", release),
    ):
        nbformat.write(notebook, repository / NOTEBOOK)
        _git(repository, "add", NOTEBOOK)
        _git(repository, "commit", "--quiet", "--message", message, date=date)


def _git(folder, *arguments, date=""):
    # Nobody's own settings and hooks take part.
    env = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for role in ("AUTHOR", "COMMITTER"):
        who = {"NAME": "Ada", "EMAIL": "ada@example.org", "DATE": date}
        env |= {f"GIT_{role}_{key}": value for key, value in who.items()}
    subprocess.run(["git", *arguments], cwd=folder, env=env, check=True)


def show_points(course):
    """Print what the gradebook of a course holds, one line per hand-in.

    Args:
        course: the folder.
    """
    with Gradebook(database(course), COURSE_ID) as book:
        print(f"{'student':8} {'tests':>6} {'by hand':>8} {'total':>6}  waits for a human")
        for submission in sorted(book.assignment_submissions(SET), key=lambda s: s.student.id):
            (notebook,) = submission.notebooks
            tests = sum(grade.auto_score or 0 for grade in notebook.grades)
            by_hand = book.find_grade(WRITTEN, notebook.name, SET, submission.student.id)
            given = "" if by_hand.manual_score is None else f"{by_hand.manual_score:g}"
            waits = "yes" if submission.needs_manual_grade else ""
            total = f"{tests:6g} {given:>8} {submission.score:6g}  {waits}"
            print(f"{submission.student.id:8} {total}".rstrip())


def database(course):
    """Return the address of the gradebook of a course."""
    return f"sqlite:///{Path(course).resolve()}/gradebook.db"
