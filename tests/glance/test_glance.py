"""A class at a glance: everybody is counted once, also while grading runs, and nothing runs."""

import datetime
import logging
import shutil

import pytest
from click.testing import CliRunner
from nbformat import v4
from nbgrader.api import Gradebook

from bncourse.commands.course import show_grades
from bncourse.commands.glance import glance, numbered
from bncourse.glance.facts import (
    CHANGED,
    EARLIER,
    GRADED,
    MISSING,
    PENALTY,
    UNGRADED,
    facts_of,
)
from bncourse.grading.batch.tasks import read_tasks
from bncourse.grading.nbgrader.writing import write_grades
from bncourse.grading.outcome import CellResult, Outcome, Report
from bncourse.grading.work import GradedCourse, read
from bncourse.platforms.left import Left, report
from bncourse.trial import corpus
from bncourse.trial import course as trial

SET = corpus.PROBLEM_SET
# nbgrader's own use of its database.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")

REQUEST = "Is my <b>variance</b> not the biased one? I, ada, divide by N."
HINT = "The variance is the <b>unbiased</b> one,\ndivided by N - 1."


def asking(sentence):
    """Return the writer of a hand-in that ends with a regrade request."""
    notebook = corpus.notebook()
    notebook.cells.append(v4.new_markdown_cell(f"**Regrade request:**\n\n{sentence}"))
    return lambda folder: corpus.write(folder, notebook)


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Two students of the list handed in, and one of no list; the verdict on ada is there."""
    root = tmp_path_factory.mktemp("glance") / "course"
    root.mkdir()
    students = ("ada", "ben", "<i>zoe")
    trial.make_course(root, {each: trial.right(each) for each in students})
    trial.hand_in(root, "ada", asking(REQUEST))
    with Gradebook(f"sqlite:///{root}/gradebook.db", "trial") as book:
        for student in ("ada", "ben", "cleo"):
            book.add_student(student, first_name=student)
    made = GradedCourse(root, SET)
    folder = root / "submitted" / "ada" / SET
    work = read(folder, "ada", corpus.NOTEBOOK, made.release(), made.setting)
    wrong = f"normalize is not right yet.\nLikely cause: {HINT}\nRe-read: (F2)"
    outcomes = dict.fromkeys(corpus.ALL, Outcome("ok", seconds=0.5))
    outcomes["normalize"] = Outcome("wrong", wrong, seconds=2.0)
    outcomes["batch_statistics"] = Outcome("crashed", "by a signal")
    made.store.put(work.key, Report(outcomes, [], flags=["[odd] cell"]))
    return root


def test_everybody_is_counted_once_and_verdicts_count_before_they_are_written(course):
    facts = facts_of(GradedCourse(course, SET))
    found = {each.student: (each.state, each.known, each.points) for each in facts.standings}
    assert found == {
        "ada": (GRADED, True, 8.0),
        "ben": (UNGRADED, True, None),
        "cleo": (MISSING, True, None),
        "<i>zoe": (UNGRADED, False, None),
    }
    assert facts.outcomes["normalize"] == {"wrong": 1}
    assert facts.mistakes == [(1, "normalize", " ".join(HINT.split()))]
    assert facts.seconds["normalize"] == 2.0


def call(course, *options):
    done = CliRunner().invoke(glance, [SET, "--root", str(course), *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_page_shows_what_students_wrote_as_text(course):
    said = call(course)
    page = course / ".grading" / f"class-{SET}.html"
    assert f"The page: {page}" in said
    assert "1 graded, 0 needs a human, 2 not graded yet, 1 nothing came" in said
    assert "Nothing came from: cleo" in said
    text = page.read_text()
    assert "&lt;i&gt;zoe" in text
    assert "<i>zoe" not in text
    assert "the &lt;b&gt;unbiased&lt;/b&gt; one" in text
    assert "[odd] cell" in text
    assert "Is my &lt;b&gt;variance&lt;/b&gt; not the biased one?" in text
    assert f"Regrade request of ada (flag not up): {REQUEST}" in said
    assert 'role="img"' in text
    # A phone and a dark screen: nothing is wider than the page, and its colours are the reader's.
    assert text.count("<table>") == text.count('<div class="wide"><table>')
    assert 'name="viewport"' in text
    assert "color-scheme: light dark" in text
    assert page.stat().st_mode & 0o077 == 0


def test_who_was_let_in_is_still_not_in_the_list(course, tmp_path):
    """Grading and `bncourse collect --allow-unknown` tell the gradebook an id, and no name."""
    root = shutil.copytree(course, tmp_path / "course")
    with Gradebook(f"sqlite:///{root}/gradebook.db", "trial") as book:
        book.add_student("<i>zoe")
    assert "Not in the list of the class: <i>zoe\n" in call(root)


def test_without_a_list_nobody_is_missing_in_it(course, tmp_path):
    root = shutil.copytree(course, tmp_path / "course")
    with Gradebook(f"sqlite:///{root}/gradebook.db", "trial") as book:
        for student in book.students:
            student.first_name = None
        book.db.commit()
        book.add_student("<i>zoe")
    assert "Not in the list" not in call(root)


def test_from_whom_no_hand_in_came_although_something_did(course, tmp_path):
    root = shutil.copytree(course, tmp_path / "course")
    folder = root / "downloaded" / SET
    folder.mkdir(parents=True)
    rows = [Left("c.zip/cleo.rar", "An archive.", "cleo"), Left("c.zip/x.docx", "No notebook.")]
    of_ben = Left("c.zip/ben.rar", "An archive.", "ben", needs_human=False)
    report(logging.getLogger(), folder, [*rows, of_ben, Left("c.zip/m.docx", "No.", "mallory")])
    said = call(root)
    assert "2 not graded yet, 0 nothing came, 2 came as no hand-in" in said
    assert "Came as no hand-in, from: cleo, mallory" in said
    assert "Not in the list of the class: <i>zoe, mallory" in said
    assert f"Files that are no hand-in (1 tell no student): {folder / 'left.csv'}" in said
    assert "c.zip/cleo.rar: An archive." in (root / ".grading" / f"class-{SET}.html").read_text()
    assert "cleo" not in call(root, "--anonymous", "--to", str(tmp_path / "class.html"))


def test_a_page_in_a_folder_that_is_not_there_is_refused(course, tmp_path):
    done = CliRunner().invoke(
        glance, [SET, "--root", str(course), "--to", str(tmp_path / "typo" / "class.html")]
    )
    assert done.exit_code == 2
    assert "--to must be a file in a folder that is there" in done.stderr
    assert not (tmp_path / "typo").exists()


def test_an_anonymous_page_names_nobody(course, tmp_path):
    said = call(course, "--anonymous", "--to", str(tmp_path / "class.html"))
    text = (tmp_path / "class.html").read_text()
    for name in ("ada", "ben", "cleo", "zoe"):
        assert name not in text
        assert name not in said.replace(str(tmp_path), "")
    assert "student 4" in text
    assert "(their own words)" in text


def test_numbers_tell_nothing_of_the_order_of_names():
    students = [f"s{n:03}" for n in range(50)]
    one, other = (list(numbered(students, secret)) for secret in (1, 2))
    assert sorted(one) == sorted(other) == students
    assert one != other


# --- What has changed since it was graded -------------------------------------------------------

LATE = """
c.LateSubmissionPlugin.penalty_method = "zero"
"""


@pytest.fixture(scope="module")
def written_class(course, tmp_path_factory):
    """The same class, in which ben is graded and in the gradebook."""
    root = tmp_path_factory.mktemp("written") / "course"
    shutil.copytree(course, root)
    configure(root, LATE)
    (root / "submitted" / "ben" / SET / "timestamp.txt").write_text("2026-11-02 12:00:00")
    made = GradedCourse(root, SET)
    (task,) = read_tasks(made, ["ben"])
    cells = [CellResult() for _ in task.script.sources]
    task.report = Report(dict.fromkeys(corpus.ALL, Outcome("ok")), cells)
    made.store.put(task.key, task.report)
    assert write_grades(made, [task], say=str) == {}
    return root


@pytest.fixture
def written(written_class, tmp_path):
    root = tmp_path / "course"
    shutil.copytree(written_class, root)
    return root


def configure(root, lines):
    with (root / "nbgrader_config.py").open("a") as file:
        file.write(lines)


def ben(root):
    facts = facts_of(GradedCourse(root, SET))
    (found,) = (each for each in facts.standings if each.student == "ben")
    return facts, found


def test_nothing_is_old_when_all_is_in_the_gradebook(written):
    facts, found = ben(written)
    assert (found.state, found.points, found.old) == (GRADED, 12.0, [])
    assert facts.old() == []
    assert facts.outcomes["merge_statistics"] == {"ok": 2}
    assert "to bring it up to date" not in call(written)


def test_a_collection_that_has_not_ended_is_told(written):
    note = written / "downloaded" / SET / "collecting"
    assert "has not ended" not in call(written)
    note.parent.mkdir(parents=True)
    note.touch()
    assert f"has not ended. If none is running, repeat it: bncourse collect {SET}" in call(written)


def test_a_verdict_of_an_earlier_version_is_told_and_counts_until_it_is_made_anew(written):
    configure(written, "c.TrustedExecute.limits = {'item_seconds': 20}\n")
    facts, found = ben(written)
    assert (found.state, found.points, found.old) == (GRADED, 12.0, [EARLIER])
    assert facts.outcomes["merge_statistics"] == {"ok": 1}
    line = f"1 x {EARLIER}; to bring it up to date: bncourse grade {SET}"
    assert line in call(written)
    assert EARLIER in (written / ".grading" / f"class-{SET}.html").read_text()


def test_a_hand_in_that_changed_since_it_was_graded_is_told(written):
    trial.hand_in(written, "ben", trial.right("another"))
    facts, found = ben(written)
    assert (found.state, found.points, found.old) == (GRADED, 12.0, [CHANGED])
    # That of ada, which has not changed.
    assert facts.outcomes["merge_statistics"] == {"ok": 1}
    told = f"1 x {CHANGED}; to bring it up to date: bncourse grade {SET}"
    assert told in call(written)
    # Where points are handed on, too.
    assert told in show(written)


def show(root):
    return CliRunner().invoke(show_grades, [str(root)], catch_exceptions=False).output


def test_who_is_not_graded_yet_is_told_where_points_are_handed_on(written):
    told = f"x {UNGRADED}; to grade them: bncourse grade {SET}"
    # The one who is in no list.
    assert f"{SET}: 1 {told}" in show(written)
    trial.hand_in(written, "cleo", trial.right("cleo"))
    assert f"{SET}: 2 {told}" in show(written)


def test_a_deadline_that_moved_shows_in_points_before_the_gradebook_has_it(written):
    with Gradebook(f"sqlite:///{written}/gradebook.db", "trial") as book:
        book.find_assignment(SET).duedate = datetime.datetime(2026, 11, 1)
        book.db.commit()
    _, found = ben(written)
    assert (found.points, found.late, found.old) == (0.0, True, [PENALTY])
    assert f"1 x {PENALTY}; to bring it up to date: bncourse feedback {SET}" in call(written)
