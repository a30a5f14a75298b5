"""A share of the points for right parts: in the verdict, the gradebook, the class, the feedback."""

from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.utils import determine_grade

from bncourse.errors import CourseError
from bncourse.glance.facts import facts_of
from bncourse.grading.feedback import grade_cell_outputs
from bncourse.grading.nbgrader import gradebook, writing
from bncourse.grading.nbgrader.results import results_of
from bncourse.grading.outcome import Outcome
from bncourse.grading.pipeline import grade_all
from bncourse.grading.work import GradedCourse, read
from bncourse.trial import corpus
from bncourse.trial import course as trial

# nbgrader's own use of its database.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")

SET, NAME, STUDENT = corpus.PROBLEM_SET, "batchnorm_forward", "ada"
WEIGHTS = {"y": 3, "cache": 1}
MOST = 2.0
NOTEBOOK = Path(corpus.NOTEBOOK).stem

RIGHT = """
def batchnorm_forward(x, gamma, beta, eps=1e-5):
    inv_std = 1 / np.sqrt(x.var(axis=0) + eps)
    x_hat = (x - x.mean(axis=0)) * inv_std
    cache = {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma.copy()}
    return gamma * x_hat + beta, cache
"""
# Right in y, in the cache, and in no part of either in more than the first inputs.
HALVES = {
    "the output": (RIGHT.replace('"inv_std": inv_std', '"inv_std": 2 * inv_std'), 0.75),
    "the cache": (RIGHT.replace("return gamma *", "return 2 + gamma *"), 0.25),
    "nothing": (RIGHT.replace("np.sqrt(x.var(axis=0) + eps)", "2.0"), 0.0),
    "chance": (
        RIGHT.replace('"inv_std": inv_std', '"inv_std": 2 * inv_std').replace(
            "    return", "    beta = beta + (x.sum() > 0)\n    return"
        ),
        0.0,
    ),
}


def handing_in(source):
    notebook = corpus.notebook({NAME: source})
    return lambda folder: corpus.write(folder, notebook)


@pytest.fixture(scope="module")
def course(tmp_path_factory, needs_sandbox):
    """A course whose release says what the parts of one exercise weigh."""
    root = tmp_path_factory.mktemp("credit") / "course"
    root.mkdir()
    trial.make_course(root, {STUDENT: handing_in(HALVES["the output"][0])})
    path = root / "exercises" / SET / corpus.NOTEBOOK
    notebook = nbformat.read(path, as_version=4)
    check_cell(notebook).metadata["weights"] = WEIGHTS
    nbformat.write(notebook, path)
    return root


def check_cell(notebook):
    named = [cell for cell in notebook.cells if cell.metadata.get("nbgrader")]
    return next(cell for cell in named if cell.metadata.nbgrader.grade_id == NAME)


def graded(course, folder, worker):
    """Return the course, and the Work on a hand-in with its verdict in the store."""
    made = GradedCourse(course, SET)
    work = read(folder, STUDENT, corpus.NOTEBOOK, made.release(), made.setting)
    list(grade_all([work], made.setting, made.store, process=worker))
    assert work.problem == ""
    return made, work


@pytest.mark.parametrize("half", HALVES)
def test_parts_that_are_right_in_all_draws_earn_their_share(course, tmp_path, worker, half):
    source, due = HALVES[half]
    handing_in(source)(tmp_path)
    _, work = graded(course, tmp_path, worker)
    outcome = work.report.outcomes[NAME]
    assert (outcome.word, outcome.share) == ("wrong", due)
    assert ("shares of the points" in outcome.message) == (due > 0)
    assert {o.share for n, o in work.report.outcomes.items() if n != NAME} == {0.0}


def test_weights_of_a_hand_in_count_for_nothing(course, tmp_path, worker):
    notebook = corpus.notebook({NAME: HALVES["the cache"][0]})
    check_cell(notebook).metadata["weights"] = {"cache": 1e9, "y": 1}
    check_cell(notebook).source = "check(batchnorm_forward, weights={'cache': 1e9, 'y': 1})"
    corpus.write(tmp_path, notebook)
    _, work = graded(course, tmp_path, worker)
    assert work.report.outcomes[NAME].share == 0.25


def test_gradebook_class_and_feedback_tell_the_same_points(course, worker):
    made, work = graded(course, course / "submitted" / STUDENT / SET, worker)
    assert facts_of(made).standings[0].points == 11.5
    assert writing.write_grades(made, [work], say=print) == {}
    assert gradebook.differences(made, [work]) == [[]]
    assert gradebook.written(made, [work]) == {STUDENT}
    with Gradebook(f"sqlite:///{course}/gradebook.db", "trial") as book:
        notebook = book.find_submission_notebook(NOTEBOOK, SET, STUDENT)
        grades = {each.name: each.auto_score for each in notebook.grades}
    assert grades[NAME] == 1.5
    assert facts_of(made).standings[0].points == 11.5
    path = course / "autograded" / STUDENT / SET / corpus.NOTEBOOK
    shown = nbformat.read(path, as_version=4)
    cell = check_cell(shown)
    assert determine_grade(cell) == (1.5, MOST)
    cell.metadata.nbgrader.score = 1.5
    told = results_of(shown, {"notebook": NOTEBOOK, "score": 11.5, "max_score": 15})
    result = told.results[NAME]
    assert (result.words, result.points) == ("partly right", "1.5 of 2")
    assert [line.text for line in result.lines if line.label == "Partial credit"] == [
        "y is right, which earns 3 of 4 shares of the points."
    ]


@pytest.mark.parametrize("share", [0.0, 1 / 3, 0.75])
def test_nbgrader_reads_the_points_of_an_outcome(share):
    cell = check_cell(corpus.release())
    outcome = Outcome("wrong", "It is wrong.", share=share)
    cell.outputs = grade_cell_outputs(NAME, outcome, MOST)
    assert determine_grade(cell) == (outcome.points(MOST), MOST)


def test_a_release_with_weights_that_do_not_fit_is_refused(course, tmp_path):
    path = course / "exercises" / SET / corpus.NOTEBOOK
    kept = path.read_text()
    path.write_text(kept.replace('"cache": 1', '"cash": 1'))
    try:
        with pytest.raises(CourseError, match=r"weights of batchnorm_forward .* Unknown: \['cash'"):
            GradedCourse(course, SET).release()
    finally:
        path.write_text(kept)
