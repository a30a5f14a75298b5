"""nbgrader's formgrader as a browser shows it: its buttons grade in the sandbox, safely shown.

Where FORMGRADER_PICTURES names a folder, the pictures of the chapter for instructors are written
there; only then may the pages load MathJax from its server. Without a network, TeX stays TeX.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from conftest import needs_chromium
from nbformat import v4
from nbgrader.api import Gradebook

from bncourse.grading.record import journal
from bncourse.release import derive_notebook
from bncourse.trial import corpus
from bncourse.trial.sample_class import answered, run_nbgrader

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_sandbox"), needs_chromium]

SET, NAME, WRITTEN = corpus.PROBLEM_SET, Path(corpus.NOTEBOOK).stem, "redundant_bias"
PICTURES = os.environ.get("FORMGRADER_PICTURES")
TOKEN = "formgrader"
START_SECONDS = 120
STOP_SECONDS = 60
# The first submission waits for the warm worker to import torch and Keras.
GRADING_MS = 180_000

STUDENTS = {
    "ada": ("Ada", "Right"),
    "ben": ("Ben", "Wrong"),
    "dan": ("Dan", "Damaged"),
    "eve": ("Eve", "Hostile"),
}
POINTS = {"ada": 17, "ben": 0, "dan": 0, "eve": 17}
ALL_POINTS = 20
LOADED = "window.formgrader?.grades?.loaded && formgrader.comments?.loaded"

ANSWER = (
    "The mean grows by $b$ too, so $z - \\mu$ and the variance stay as they were. "
    "The shift $\\beta$ takes over: the layer can have `bias=False`."
)
COMMENT = "Right. What does it mean for the gradient of the bias?"
PAYLOADS = (
    "<script>window.EVIL = 1</script>",
    "<img src=x onerror='window.EVIL = 1'>",
    "<svg onload='window.EVIL = 1'></svg>",
    "<iframe srcdoc='<script>parent.EVIL = 1</script>'></iframe>",
    "<details open ontoggle='window.EVIL = 1'><summary>more</summary></details>",
)
EVIL = "\n\n".join(PAYLOADS)
EVIL_ANSWER = (
    f"{ANSWER}\n\n{EVIL}\n\n[read more](javascript:window.EVIL=1) "
    "$\\href{javascript:window.EVIL=1}{x}$"
)
EVIL_CELL = f"""
import sys

from IPython.display import HTML, SVG, Javascript, Markdown, display

evil = {EVIL!r}
display(HTML(evil), Markdown(evil), Javascript("window.EVIL = 1"))
display({{"image/svg+xml": evil, "text/latex": evil, "text/plain": evil}}, raw=True)
print("printed " + evil)
# Past the part of the sandbox that takes HTML out.
smuggled = {{"text/html": evil, "text/plain": "smuggled"}}
sys.stdout._recorder.outputs.append(
    {{"output_type": "display_data", "data": smuggled, "metadata": {{}}}}
)
raise type(evil, (Exception,), {{}})(evil)
""".strip()


def hand_ins(release):
    """Return ``{student: text of the file}``."""
    right = {f"{name}_answer": source for name, source in corpus.SOLUTIONS.items()}
    wrong = {f"{name}_answer": source for name, source in corpus.wrong_everywhere().items()}
    hostile = answered(release, right | {WRITTEN: EVIL_ANSWER})
    hostile.cells += [v4.new_code_cell(EVIL_CELL), v4.new_code_cell(EVIL), v4.new_raw_cell(EVIL)]
    for cell in hostile.cells:
        cell.metadata["tags"] = [f"'\"> {EVIL}"]
    return {
        "ada": nbformat.writes(answered(release, right | {WRITTEN: ANSWER})),
        "ben": nbformat.writes(answered(release, wrong | {WRITTEN: "Because."})),
        "dan": '{"cells": [',
        "eve": nbformat.writes(hostile),
    }


@pytest.fixture(scope="module")
def course(root, tmp_path_factory):
    """A course that is set up as the repository is, with hand-ins that nobody has graded."""
    course = tmp_path_factory.mktemp("course")
    exchange = f"\nc.Exchange.root = {str(tmp_path_factory.mktemp('exchange'))!r}\n"
    config = (root / "nbgrader_config.py").read_text()
    (course / "nbgrader_config.py").write_text(config + exchange)
    source = course / "solutions" / SET
    source.mkdir(parents=True)
    solution = derive_notebook(root / "solutions" / SET / f"{NAME}.md")
    nbformat.write(solution, source / corpus.NOTEBOOK)
    run_nbgrader(course, "generate_assignment", SET)
    release = nbformat.read(course / "exercises" / SET / corpus.NOTEBOOK, as_version=4)
    for student, text in hand_ins(release).items():
        folder = course / "submitted" / student / SET
        folder.mkdir(parents=True)
        (folder / corpus.NOTEBOOK).write_text(text)
    with Gradebook(f"sqlite:///{course}/gradebook.db", "batch-norm") as gradebook:
        for student, (first, last) in STUDENTS.items():
            gradebook.update_or_create_student(student, first_name=first, last_name=last)
    return course


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder for what Jupyter keeps, so that nobody's own settings take part."""
    return tmp_path_factory.mktemp("jupyter")


@pytest.fixture(scope="module")
def process(course, home):
    """A Jupyter server in the course; nothing that it started outlives it."""
    folders = {f"JUPYTER_{kind}_DIR": str(home / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    # Port 0 lets the system choose a free one. The option on root changes nothing for others.
    options = ["--no-browser", "--allow-root", "--ServerApp.port=0", "--ServerApp.ip=localhost"]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options, f"--IdentityProvider.token={TOKEN}"],
            cwd=course,
            env=os.environ | folders,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    yield process
    started = started_by(process)
    process.terminate()
    process.wait(STOP_SECONDS)
    _, alive = psutil.wait_procs(started, timeout=STOP_SECONDS)
    assert not alive, "a process of the sandbox outlives the server"


def started_by(process):
    return psutil.Process(process.pid).children(recursive=True)


@pytest.fixture(scope="module")
def server(process, home):
    """Its address, once it listens."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for path in (home / "RUNTIME").glob("jpserver-*.json"):
            # It may be there before it is written.
            with contextlib.suppress(json.JSONDecodeError):
                return json.loads(path.read_text())["url"].rstrip("/")
        time.sleep(0.1)
    pytest.fail(f"the Jupyter server did not start:\n{(home / 'log').read_text()}")


@pytest.fixture(scope="module")
def page(browser, server):
    """A page that is logged in, and that reaches no other server."""
    context = browser.new_context(viewport={"width": 1100, "height": 700})
    if not PICTURES:
        context.route(
            lambda url: not url.startswith((server, "file:")), lambda route: route.abort()
        )
    page = context.new_page()
    page.goto(f"{server}/tree?token={TOKEN}")
    yield page
    context.close()


@pytest.fixture(scope="module")
def graded(page, server):
    """What comes of pressing the button: ``{student: (text of the dialog, score)}``."""
    return {
        student: (press(page, server, student, "autograde"), shown(page, server, student)[1])
        for student in STUDENTS
    }


def open_submissions(page, server):
    page.goto(f"{server}/formgrader/manage_submissions/{SET}")
    page.wait_for_function("window.models?.loaded")


def row(page, student):
    return page.locator("#main-table tr").filter(
        has=page.locator(".student-id", has_text=re.compile(f"^{student}$"))
    )


def press(page, server, student, button):
    """Press a button in the row of a student; return the text of the dialog that opens."""
    open_submissions(page, server)
    row(page, student).locator(f".{button} a").click()
    dialog = page.locator("#success-modal, #error-modal")
    dialog.wait_for(timeout=GRADING_MS)
    text = dialog.inner_text()
    assert dialog.get_attribute("id") == "success-modal", text
    return text


def shown(page, server, student):
    """Return the status and the score in the list of submissions."""
    open_submissions(page, server)
    return tuple(row(page, student).locator(each).inner_text() for each in (".status", ".score"))


def open_notebook(page, server, student):
    """Go to the page on which a submission is graded by hand, as an instructor does."""
    page.goto(f"{server}/formgrader/gradebook/{SET}/{NAME}")
    page.wait_for_function("window.models?.loaded")
    page.get_by_role("button", name="Show All Names").click()
    first, last = STUDENTS[student]
    page.get_by_role("link", name=f"{last}, {first}").click()
    page.wait_for_function(LOADED)


def test_the_pages_come_up(page, server):
    page.goto(f"{server}/formgrader")
    page.get_by_role("link", name=SET).wait_for()
    assert page.locator(".num-submissions").inner_text() == str(len(STUDENTS))
    page.locator(".num-submissions a").click()
    for student in STUDENTS:
        row(page, student).wait_for()


def test_the_button_grades_in_the_sandbox(process, course, graded):
    assert "bwrap" in [child.name() for child in started_by(process)]
    for student, (said, score) in graded.items():
        assert "Successfully autograded" in said
        assert score == f"{POINTS[student]} / {ALL_POINTS}"
    records = {line["student"]: line for line in journal.read(course / ".grading" / "audit.jsonl")}
    words = {
        student: {outcome["word"] for outcome in records[student]["outcomes"].values()}
        for student in STUDENTS
    }
    assert words == {"ada": {"ok"}, "ben": {"wrong"}, "dan": {"malformed"}, "eve": {"ok"}}


def test_the_payloads_work_where_nobody_takes_them_out(browser):
    for payload in PAYLOADS:
        page = browser.new_page()
        page.set_content(payload)
        page.wait_for_function("window.EVIL === 1")
        page.close()


def assert_harmless(page):
    page.wait_for_load_state("load")
    assert page.evaluate("window.EVIL") is None
    dangerous = "[href^=javascript], [srcdoc], [onerror], [onload], [ontoggle]"
    assert page.locator(dangerous).count() == 0


def test_no_script_of_a_student_runs(page, server, graded):
    open_notebook(page, server, "eve")
    assert "as they were" in written(page).inner_text()
    printed = page.locator(".output_stdout").filter(has_text="printed")
    assert PAYLOADS[0] in printed.inner_text()
    assert page.locator(".output_area").filter(has_text=re.compile("^\\s*smuggled")).count() == 1
    assert_harmless(page)


def written(page):
    """Return the box with the written answer, its points and the comment on it."""
    return page.locator(".nbgrader_cell", has=page.locator(f"#{WRITTEN}"))


def grade_by_hand(page, points, comment):
    for box, text, saved in (
        (f"#{WRITTEN}", points, "/api/grade/"),
        (f"#{WRITTEN}-comment", comment, "/api/comment/"),
    ):
        with page.expect_response(lambda response, saved=saved: saved in response.url) as response:
            page.locator(box).fill(text)
            page.locator(box).press("Tab")
        assert response.value.ok


def given_by_hand(page):
    return [page.locator(f"#{WRITTEN}{end}").input_value() for end in ("", "-comment")]


def test_what_is_given_by_hand_survives_a_regrade(page, server, course, graded):
    total = f"{POINTS['ada'] + 2} / {ALL_POINTS}"
    open_notebook(page, server, "ada")
    grade_by_hand(page, "2", COMMENT)
    page.reload()
    page.wait_for_function(LOADED)
    assert given_by_hand(page) == ["2", COMMENT]
    assert shown(page, server, "ada") == ("graded", total)
    press(page, server, "ada", "autograde")
    # nbgrader wants a human to look again.
    assert shown(page, server, "ada") == ("needs manual grading", total)
    open_notebook(page, server, "ada")
    assert given_by_hand(page) == ["2", COMMENT]
    with page.expect_response("**/api/grade/*"):
        written(page).get_by_role("button", name="Resolve").click()
    assert shown(page, server, "ada") == ("graded", total)
    picture(page, "submissions")
    press(page, server, "ada", "generate-feedback")
    page.goto(feedback(course, "ada").as_uri())
    assert COMMENT in page.locator("body").inner_text()


def click_in_rubric(page, number):
    """Click on an item of what earns a point; return which are pressed, once both are saved."""
    with (
        page.expect_response(lambda response: "/api/comment/" in response.url) as comment,
        page.expect_response(lambda response: "/api/grade/" in response.url) as grade,
    ):
        written(page).locator(".rubric button").nth(number).click()
    assert comment.value.ok
    assert grade.value.ok
    return pressed(page)


def pressed(page):
    buttons = written(page).locator(".rubric button").all()
    return [each.get_attribute("aria-pressed") == "true" for each in buttons]


def test_a_click_on_what_earns_a_point_gives_it_and_says_for_what(page, server, course, graded):
    open_notebook(page, server, "ben")
    assert pressed(page) == [False, False, False]
    assert click_in_rubric(page, 0) == [True, False, False]
    assert click_in_rubric(page, 2) == [True, False, True]
    assert click_in_rubric(page, 0) == [False, False, True]
    assert click_in_rubric(page, 1) == [False, True, True]
    page.reload()
    page.wait_for_function(LOADED)
    page.wait_for_selector(".rubric [aria-pressed=true]")
    assert pressed(page) == [False, True, True]
    points, comment = given_by_hand(page)
    assert points == "2"
    assert comment.splitlines() == [
        "- +1 for what takes over the role of $b$, and what it means for the code of the layer",
        "- +1 for what that does to $z - \\mu$ and to the variance",
    ]
    picture_of_the_answer(page)
    assert shown(page, server, "ben") == ("graded", f"{POINTS['ben'] + 2} / {ALL_POINTS}")


def picture_of_the_answer(page):
    if PICTURES:
        # The page scrolls by itself when its formulas are set.
        page.wait_for_function("!window.MathJax || (MathJax.loaded && !$(':animated').length)")
        page.evaluate(f"scrollTo(0, $('#{WRITTEN}').offset().top - 330)")
        picture(page, "manual")


def picture(page, name):
    if PICTURES:
        page.screenshot(path=Path(PICTURES, f"formgrader-{name}.png"))


def feedback(course, student):
    return course / "feedback" / student / SET / f"{NAME}.html"


@pytest.mark.parametrize("student", STUDENTS)
def test_the_button_writes_feedback(page, server, course, graded, student):
    assert "Successfully generated feedback" in press(page, server, student, "generate-feedback")
    page.goto(feedback(course, student).as_uri())
    assert f" of {ALL_POINTS} points" in page.locator(".total").inner_text()
    assert_harmless(page)
