"""The page of feedback that a student opens, of a notebook that was graded by hand."""

import shutil

import nbformat
import pytest
from bs4 import BeautifulSoup
from conftest import needs_chromium
from nbgrader.api import Gradebook
from nbgrader.converters import GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from bncourse import addresses
from bncourse.grading.feedback import grade_cell_outputs
from bncourse.grading.nbgrader.config import configure
from bncourse.grading.nbgrader.pages import CurrentPages
from bncourse.grading.nbgrader.results import Line, readable, results_of, unwrapped
from bncourse.grading.outcome import WORDS, Outcome
from bncourse.judge import Verdict
from bncourse.message import report
from bncourse.registry import PROBLEM_SETS, load
from bncourse.trial import corpus, walkthrough

from .test_normalise import PIXEL

# nbgrader's own use of its database.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")

SET, NAME, STUDENT, WRITTEN = corpus.PROBLEM_SET, "forward", "eve", "redundant_bias"
SITE = "https://course.example"
ANSWER = (
    "Because $a_b < c$.\n\n$$ \\mu = <b class=x id=top>1</b> $$\n\n"
    "<script>EVIL()</script><b class=verdict id=grade-normalize onclick='EVIL()'>bold</b>\n\n"
    "<a href='https://a.example' title='$x$'>link</a> ![x](https://evil.example/track.png)"
)
COMMENT = "And the gradient of $b$? <script>EVIL()</script>"


def wrong(name):
    """Return an Outcome that says what the check says of a known mistake."""
    exercise = load(SET)[name]
    finding = "y has the wrong shape. " + "It goes on for longer than one line holds. " * 4
    mistakes = exercise.mistakes[:1]
    verdict = Verdict("wrong", "a large eps", finding, mistakes, sure=True)
    return Outcome("wrong", report(exercise, verdict, hidden=True))


def graded(root):
    """Return a notebook as the grader leaves it: one answer wrong, one with a hostile output."""
    notebook = nbformat.read(root / "exercises" / SET / corpus.NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name == WRITTEN:
            cell.source = ANSWER
        elif name in load(SET):
            outcome = wrong(name) if name == "normalize" else Outcome("ok")
            cell.outputs = grade_cell_outputs(name, outcome, cell.metadata.nbgrader.points)
        elif name == "normalize_answer":
            evil = {"text/html": "<i>HTML</i>", "text/plain": "<i>text</i>", "image/png": PIXEL}
            cell.source = "x = '<script>EVIL()</script>'"
            cell.outputs = [
                nbformat.v4.new_output("display_data", data=evil),
                nbformat.v4.new_output("stream", name="stdout", text="<script>EVIL()</script>"),
                nbformat.v4.new_output("error", ename="E", evalue="", traceback=["<script>EVIL"]),
            ]
    return notebook


def write_gradebook(path, notebook):
    """Write what nbgrader knows of the notebook, with the points of its checks."""
    with Gradebook(f"sqlite:///{path}", "trial") as book:
        book.update_or_create_assignment(SET)
        book.update_or_create_notebook(NAME, SET)
        for cell in notebook.cells:
            mark = cell.metadata.get("nbgrader", {})
            here = (mark.get("grade_id"), NAME, SET)
            if mark.get("grade"):
                kind = {"max_score": mark.points, "cell_type": cell.cell_type}
                book.update_or_create_grade_cell(*here, **kind)
            if mark.get("solution"):
                book.update_or_create_solution_cell(*here)
        book.update_or_create_student(STUDENT)
        book.update_or_create_submission(SET, STUDENT)
        for grade in book.find_submission_notebook(NAME, SET, STUDENT).grades:
            by_hand, zero = grade.name == WRITTEN, grade.name == "normalize"
            grade.auto_score = None if by_hand else 0 if zero else grade.max_score
            grade.needs_manual_grade = by_hand
        book.find_comment("normalize_answer", NAME, SET, STUDENT).manual_comment = COMMENT
        # As nbgrader does of its own for an answer that is as it was released.
        unanswered = book.find_comment("update_running_answer", NAME, SET, STUDENT)
        unanswered.auto_comment = "No response."
        book.db.commit()


@pytest.fixture(scope="module")
def course(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    notebook = graded(root)
    target = folder / "autograded" / STUDENT / SET
    target.mkdir(parents=True)
    nbformat.write(notebook, target / corpus.NOTEBOOK)
    write_gradebook(folder / "gradebook.db", notebook)
    return folder


def generate(course):
    """Have nbgrader write the page, and return its path."""
    config = Config()
    config.CourseDirectory.root = str(course)
    config.CourseDirectory.course_id = "trial"
    config.CourseDirectory.assignment_id = SET
    configure(config, course / "nbgrader_config.py")
    GenerateFeedback(coursedir=CourseDirectory(config=config), config=config).start()
    return (course / "feedback" / STUDENT / SET / corpus.NOTEBOOK).with_suffix(".html")


@pytest.fixture(scope="module")
def path(course):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(addresses, "SITE", SITE)
        return generate(course)


@pytest.fixture(scope="module")
def soup(path):
    return BeautifulSoup(path.read_text(), "html.parser")


def row(soup, name):
    link = soup.select_one(f".results a[href='#grade-{name}']")
    return [cell.get_text() for cell in link.find_parent("tr").find_all("td")]


def test_the_table_names_each_exercise_and_its_points(soup):
    assert row(soup, "normalize") == [
        "2. Normalise with given statistics (normalize)",
        "not right yet",
        "0 of 2",
    ]
    assert row(soup, "merge_statistics")[1:] == ["right", "4 of 4"]
    assert "15 of 20 points" in soup.select_one(".total").get_text()
    assert "5 of 6 checks are right" in soup.select_one(".total").get_text()
    assert not {"Test cell", "Grade cell"} & {*soup.stripped_strings}


def test_what_nobody_has_graded_waits_and_is_no_zero(soup):
    title = "7. Why the bias is redundant"
    assert row(soup, WRITTEN) == [title, "waiting for your teacher", "of 3"]
    assert "3 more wait for your teacher" in soup.select_one(".total").get_text()


def test_points_by_hand_replace_the_waiting(course, path, tmp_path):
    copy = shutil.copytree(course, tmp_path / "course")
    with Gradebook(f"sqlite:///{copy}/gradebook.db", "trial") as book:
        book.find_grade(WRITTEN, NAME, SET, STUDENT).manual_score = 1.5
        book.db.commit()
    page = BeautifulSoup(generate(copy).read_text(), "html.parser")
    assert row(page, WRITTEN)[1:] == ["graded", "1.5 of 3"]
    assert "wait" not in page.select_one(".total").get_text()
    # Without a website, what to re-read is text.
    said = page.select_one("#grade-normalize .said")
    assert not said.find("a")
    assert "(chapters/forward)" in said.get_text()


def test_a_mistake_is_told_as_the_check_tells_it(soup):
    said = [line.get_text() for line in soup.select("#grade-normalize .said p")]
    assert said[:2] == ["normalize is not right yet.", 'Case "a large eps":']
    assert said[2].count("longer than one line holds") == 4
    place = soup.select_one("#grade-normalize .said a")
    mistake = load(SET)["normalize"].mistakes[0]
    assert place["href"] == f"{SITE}/chapters/forward.html#{mistake.see.lower()}"
    assert place.get_text().startswith(f"({mistake.see}) in chapter 2")


def test_the_guide_quotes_what_the_page_says(course, path):
    quoted = walkthrough.message(course, STUDENT, "normalize").splitlines()
    assert quoted[:2] == ["normalize is not right yet.", 'Case "a large eps":']
    assert max(map(len, quoted)) <= 88


def test_a_comment_stands_below_the_answer_and_is_announced(soup):
    comment = soup.select_one("#comment-normalize_answer")
    assert "And the gradient of " in comment.get_text()
    assert comment.find("mi").get_text() == "b"
    assert soup.select_one("a[href='#comment-normalize_answer']")
    assert len(soup.select(".comment")) == 1, "what nbgrader says of its own is no teacher's word"


def test_nothing_is_loaded_and_nothing_runs(soup):
    assert not soup.find_all(["script", "link", "iframe", "object", "form", "svg"])
    assert {each["src"].split(",")[0] for each in soup.select("[src]")} == {"data:image/png;base64"}
    policy = soup.select_one("meta[http-equiv='Content-Security-Policy']")["content"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    attributes = {name for each in soup.find_all() for name in each.attrs}
    assert not [name for name in attributes if name.startswith("on")]


def test_no_id_or_class_of_a_student_gets_through(soup):
    ids = [each["id"] for each in soup.select("[id]")]
    assert len(ids) == len({*ids})
    answer = soup.find("b", string="bold")
    assert answer.attrs == {}
    assert not soup.select(".x")
    assert soup.find("a", string="link").attrs == {"href": "https://a.example", "title": "$x$"}
    assert "<i>text</i>" not in str(soup)
    assert "HTML" not in {each.get_text() for each in soup.find_all("i")}


def test_formulas_are_set_and_hints_are_folded(soup):
    formulas = [each.annotation.get_text() for each in soup.select(".formula math")]
    assert "\\mu_j = \\frac{1}{N} \\sum_{i=1}^{N} x_{ij}" in formulas
    assert "(F1)" in [each.get_text() for each in soup.select(".formula .tag")]
    assert "a_b < c" in [each.get_text() for each in soup.find_all("annotation")]
    hints = [each for each in soup.find_all("summary") if each.get_text().startswith("Hint")]
    assert hints
    assert not soup.select("details[open]")


@pytest.mark.parametrize("source", ["price: 5$", "$$", "\\begin{a}", "<pre>$x$</pre>"])
def test_what_is_no_formula_stays(source):
    assert BeautifulSoup(readable(source), "html.parser").get_text() == (
        BeautifulSoup(source, "html.parser").get_text()
    )


@pytest.mark.parametrize("word", WORDS)
def test_each_outcome_has_words(word):
    mark = {"grade_id": "normalize", "grade": True, "points": 2, "score": 0}
    cell = nbformat.v4.new_code_cell("check(normalize)", metadata={"nbgrader": mark})
    cell.outputs = grade_cell_outputs("normalize", Outcome(word, "It is said why."), 2.0)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    told = results_of(notebook, {"notebook": NAME, "score": 0, "max_score": 2})
    result = told.results["normalize"]
    assert (result.state, result.words == "right") == (
        ("right", True) if word == "ok" else ("wrong", False)
    )
    assert word == "ok" or result.lines == (Line("", "It is said why."),)


def test_a_short_line_is_not_joined():
    assert unwrapped(["a" * 88, "b", "c", "", "d"]) == ["a" * 88 + " b", "c", "d"]


@needs_chromium
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (375, "light"), (1200, "dark")])
def test_a_browser_finds_nothing_amiss(path, browser, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    asked, wide = [], "document.documentElement.scrollWidth > innerWidth"
    page.on("request", lambda request: asked.append(request.url.split(":")[0]))
    page.goto(path.as_uri())
    assert {*asked} <= {"file", "data"}
    assert page.evaluate("document.documentElement.lang") == "en"
    assert not page.evaluate(wide)
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    found = axe.run(page).response["violations"]
    assert not [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]
    page.close()


@pytest.fixture(scope="module")
def exporter(tmp_path_factory):
    config = Config()
    configure(config, tmp_path_factory.mktemp("empty") / "nbgrader_config.py")
    return CurrentPages(config=config)


@needs_chromium
@pytest.mark.parametrize("each", PROBLEM_SETS, ids=lambda each: each.name)
def test_the_page_of_each_set_fits_a_phone(each, root, exporter, browser, tmp_path):
    notebook = nbformat.read(root / "exercises" / each.name / f"{each.notebook}.ipynb", 4)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.metadata.nbgrader.score = 0
    told = {"notebook": each.notebook, "score": 0, "max_score": 1}
    text, _ = exporter.from_notebook_node(notebook, resources={"nbgrader": told})
    assert all(f"({name})" in text for name in each.exercises)
    (tmp_path / "page.html").write_text(text)
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto((tmp_path / "page.html").as_uri())
    # What is wider scrolls inside its own box.
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()
