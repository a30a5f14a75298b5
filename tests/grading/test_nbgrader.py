"""nbgrader's own commands grade in the sandbox: points, feedback, one bad hand-in among others."""

import json
import re
from pathlib import Path

import pytest
from nbgrader.api import Gradebook

from bncourse.grading.record import journal
from bncourse.grading.record.version import CODE
from bncourse.trial import corpus
from bncourse.trial import course as trial
from bncourse.trial.sample_class import grades, run_nbgrader

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_sandbox")]

NO_SANDBOX = """
from bncourse.grading.outside import sandbox
sandbox.BWRAP = "none"
"""
CONFIG = (
    trial.CONFIG
    + trial.TRUSTED
    + 'c.TrustedExecute.limits = {"item_seconds": 20.0, "total_seconds": 60.0}\n'
)

EVIL_ANSWER = (
    "The mean removes it. <script>EVIL()</script> <img src=x onerror=EVIL()>\n"
    "[click](javascript:EVIL()) <iframe src='data:text/html,EVIL'></iframe>"
)


def hand_ins():
    """Return ``{student: the function that writes the folder}``."""
    cases = {str(bad): bad.make for bad in corpus.corpus()}
    evil = corpus.notebook(
        before=[
            "from IPython.display import HTML, display\n"
            "display(HTML('<script>EVIL()</script>')); print('<script>EVIL()</script>')"
        ]
    )
    for cell in evil.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "redundant_bias":
            cell.source = EVIL_ANSWER
    return {
        "good": cases["51 the same again"],
        "blank": cases["01 untouched release"],
        "wrong": cases["06 known mistakes"],
        "noisy": cases["03 warnings, logging and progress on stderr"],
        "crash": cases["16 os._exit(0) in an answer"],
        "broken": cases["30 broken JSON"],
        "linked": lambda folder: (folder / corpus.NOTEBOOK).symlink_to("/etc/passwd"),
        "links": cases["28 links beside the notebook"],
        "edited": cases["32 test cells edited"],
        "twice": cases["33 answer handed in twice"],
        "stripped": cases["34 metadata stripped"],
        "renamed": cases["31 renamed"],
        "evil": lambda folder: corpus.write(folder, evil),
    }


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    root = tmp_path_factory.mktemp("course")
    trial.make_course(root, hand_ins(), CONFIG)
    run_nbgrader(root, "autograde", corpus.PROBLEM_SET)
    run_nbgrader(root, "generate_feedback", corpus.PROBLEM_SET)
    return root


@pytest.fixture(scope="module")
def points(course):
    return {row["student"]: row for row in grades(course, [corpus.PROBLEM_SET])}


def feedback(course, student):
    """Return the part of a feedback page that shows the notebook."""
    path = course / "feedback" / student / corpus.PROBLEM_SET / corpus.NOTEBOOK
    return path.with_suffix(".html").read_text().split("<body", 1)[1]


def test_everybody_has_a_grade(points):
    assert set(points) == set(hand_ins())


@pytest.mark.parametrize(
    ("student", "expected"),
    {
        "good": 12,
        "blank": 0,
        "wrong": 0,
        "noisy": 12,
        "crash": 10,
        "broken": 0,
        "linked": 0,
        "links": 12,
        "edited": 10,
        "twice": 12,
        "stripped": 12,
        "renamed": 12,
        "evil": 12,
    }.items(),
)
def test_points(points, student, expected):
    assert points[student]["auto"] == expected


def test_a_written_answer_waits_for_a_human(points):
    assert points["evil"]["by_hand"] == 3


def test_the_formgrader_flags_what_a_human_should_see(course):
    with Gradebook(f"sqlite:///{course}/gradebook.db", "trial") as book:
        submissions = book.assignment_submissions(corpus.PROBLEM_SET)
        flagged = {each.student.id for each in submissions if each.notebooks[0].flagged}
    assert flagged == {"crash", "broken", "linked", "links", "twice", "stripped", "renamed"}


def test_feedback_says_what_is_wrong_without_the_answer(course):
    page = feedback(course, "wrong")
    assert "Likely cause" in page
    assert "expected" not in page.lower()


def test_feedback_names_a_crash_and_a_damaged_file(course):
    assert "Its process ended before it returned" in feedback(course, "crash")
    assert "not valid JSON" in feedback(course, "broken")
    assert "link" in feedback(course, "linked")


def test_no_script_of_a_student_reaches_a_page(course):
    page = feedback(course, "evil")
    assert "The mean removes it." in page
    assert not re.search(r"<script[^>]*>\s*EVIL", page)
    assert not re.search(r"<[^>]*\bonerror=EVIL", page)
    assert not re.search(r"<iframe|href=.javascript:EVIL", page)


def test_no_file_of_the_instructor_is_handed_out(course):
    handed_out = [*(course / "autograded").rglob("*"), *(course / "feedback").rglob("*")]
    assert not [path for path in handed_out if path.name in ("data.txt", "zero")]
    secret = (course / ".course_secret").read_text().strip()
    for path in filter(Path.is_file, handed_out):
        text = path.read_text()
        assert "root:x:0" not in text
        assert secret not in text
        assert "BEGIN SOLUTION" not in text


def test_each_verdict_is_on_record(course):
    records = {line["student"]: line for line in journal.read(course / ".grading" / "audit.jsonl")}
    assert set(records) == set(hand_ins())
    outcome = records["crash"]["outcomes"][corpus.TARGET]
    assert outcome["word"] == "crashed"
    assert records["crash"]["tests"] == records["good"]["tests"] == CODE[:16]
    assert records["crash"]["submission"] != records["good"]["submission"]
    assert (course / ".course_secret").read_text().strip() not in json.dumps(records)
    assert any("found by its content" in flag for flag in records["stripped"]["flags"])


def test_a_regrade_changes_nothing(course, points):
    run_nbgrader(course, "autograde", corpus.PROBLEM_SET, "--student", "wrong", "--force")
    assert grades(course, [corpus.PROBLEM_SET]) == sorted(
        points.values(), key=lambda row: (-row["auto"], row["student"])
    )


def test_a_failing_grader_gives_no_zero(course, points):
    config = course / "nbgrader_config.py"
    config.write_text(CONFIG + NO_SANDBOX)
    try:
        with pytest.raises(RuntimeError, match="bubblewrap"):
            run_nbgrader(course, "autograde", corpus.PROBLEM_SET, "--student", "good", "--force")
    finally:
        config.write_text(CONFIG)
    row = next(r for r in grades(course, [corpus.PROBLEM_SET]) if r["student"] == "good")
    assert row["auto"] == points["good"]["auto"]
