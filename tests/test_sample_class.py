"""nbgrader's own commands grade a class made from the exercise specs."""

import csv
import re
import shutil

import nbformat
import pytest
from click.testing import CliRunner

from bncourse.commands import verbs as main
from bncourse.exercise import draw_cases
from bncourse.grading.record.seed import course_seed
from bncourse.registry import find, load
from bncourse.trial import sample_class as sample

pytestmark = pytest.mark.slow

# Their cells train networks for long, so one wrong student is enough here: each mistake of theirs
# is handed in by grading/test_problem_sets.py.
LONG = ("ps6_shift", "ps8_capstone")


@pytest.mark.parametrize("what", ["a course of one's own", "a sample class"])
def test_nothing_goes_that_is_not_made_anew(tmp_path, what):
    """Of a root without notebooks no sample class can be made."""
    (tmp_path / "nbgrader_config.py").touch()
    kept = tmp_path / "term" / "submitted" / "perfect" / "work.txt"
    kept.parent.mkdir(parents=True)
    kept.touch()
    if what == "a sample class":
        (tmp_path / "term" / "submitted" / "blank").mkdir()
    words = ["sample-class", "--root", str(tmp_path), "--course", str(tmp_path / "term")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code != 0
    assert ("must be a new folder" in done.output) == (what != "a sample class")
    assert kept.exists()


@pytest.fixture(scope="module")
def graded(released, tmp_path_factory):
    course = tmp_path_factory.mktemp("course") / "sample"
    classes = sample.make_submissions(released, course)
    for assignment in LONG:
        students = classes[assignment]
        for student in [each for each, wrong in students.items() if wrong][1:]:
            shutil.rmtree(course / "submitted" / student)
            del students[student]
    sample.grade(course, classes, say=lambda line: None)
    return course, classes, sample.grades(course, classes)


def test_each_student_loses_the_points_of_the_mistake_only(graded):
    _, classes, rows = graded
    for row in rows:
        wrong = classes[row["assignment"]][row["student"]]
        scores = row["scores"]
        if row["student"] == sample.BLANK:
            assert set(scores.values()) == {0.0}
            continue
        checked = load(row["assignment"])
        lost = {name for name, score in scores.items() if name in checked and score == 0.0}
        assert lost == ({wrong} if wrong else set())


def test_nobody_is_missing(graded):
    _, classes, rows = graded
    assert {(row["assignment"], row["student"]) for row in rows} == {
        (assignment, student) for assignment, students in classes.items() for student in students
    }


def test_perfect_earns_all_but_the_written_answers(graded):
    _, _, rows = graded
    for row in rows:
        if row["student"] == sample.PERFECT:
            assert row["auto"] == row["of"] > 0


def test_feedback_names_the_mistake_and_hides_our_code(graded):
    course, classes, _ = graded
    for assignment, students in classes.items():
        for student, wrong in students.items():
            if not wrong:
                continue
            (page,) = (course / "feedback" / student / assignment).glob("*.html")
            text = page.read_text()
            assert "Likely cause" in text
            assert not re.search(r"bncourse/(check|attempt|judge|rules)\.py", text)


def test_feedback_folders_hold_pages_only(graded):
    course, _, _ = graded
    files = [path for path in (course / "feedback").rglob("*") if path.is_file()]
    assert files
    assert {path.suffix for path in files} == {".html"}


def test_export_lists_every_submission(graded):
    course, classes, _ = graded
    with open(course / "grades.csv") as file:
        rows = list(csv.DictReader(file))
    assert {row["student_id"] for row in rows} == set().union(*classes.values())


def test_the_seed_of_the_course_stays(graded):
    course, _, _ = graded
    secret = course / ".course_secret"
    assert course_seed(secret) == course_seed(secret) > 0
    assert secret.stat().st_mode & 0o077 == 0


def test_a_damaged_secret_is_not_replaced(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("not a number")
    with pytest.raises(ValueError, match="must hold one whole number"):
        course_seed(secret)
    assert secret.read_text() == "not a number"


def test_zip_collect_finds_student_and_notebook_in_the_name(released, tmp_path):
    shutil.copy(released / "nbgrader_config.py", tmp_path)
    archive = tmp_path / "downloaded" / "ps1_forward" / "archive"
    archive.mkdir(parents=True)
    for name in ("ada_forward.ipynb", "bob_late_4711_99_forward.ipynb", "unrelated.ipynb"):
        shutil.copy(released / "exercises" / "ps1_forward" / "forward.ipynb", archive / name)
    sample.run_nbgrader(tmp_path, "zip_collect", "ps1_forward")
    collected = {str(p.relative_to(tmp_path)) for p in (tmp_path / "submitted").rglob("*.ipynb")}
    assert collected == {
        "submitted/ada/ps1_forward/forward.ipynb",
        "submitted/bob/ps1_forward/forward.ipynb",
    }


def test_answers_for_visible_inputs_only_fail_when_graded(released, tmp_path):
    """A table of the outputs for the self-check's seed earns nothing: grading draws new inputs."""
    course = tmp_path / "course"
    sample.make_submissions(released, course)
    for folder in (course / "submitted").iterdir():
        if folder.name != sample.PERFECT:
            shutil.rmtree(folder)
    (notebook,) = (course / "submitted" / sample.PERFECT / "ps1_forward").glob("*.ipynb")
    exercise = find("normalize")
    table = [
        (case.inputs["x"].tolist(), exercise.reference(case.inputs)["x_hat"].tolist())
        for case in draw_cases(exercise, 0).values()
    ]
    source = (
        f"TABLE = {table!r}\n"
        "def normalize(x, mean, var, eps=1e-5):\n"
        "    for seen, answer in TABLE:\n"
        "        if np.shape(seen) == x.shape and np.allclose(x, seen):\n"
        "            return np.array(answer, x.dtype)\n"
        "    return x\n"
    )
    cheat = sample.answered(nbformat.read(notebook, 4), {"normalize_answer": source})
    nbformat.write(cheat, notebook)
    sample.run_nbgrader(course, "generate_assignment", "ps1_forward")
    sample.run_nbgrader(course, "autograde", "ps1_forward")
    (row,) = sample.grades(course, ["ps1_forward"])
    assert row["scores"]["normalize"] == 0
    assert row["scores"]["batch_statistics"] == 2
