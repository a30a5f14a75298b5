"""The exercises that run on a page: in a real browser, by the real check."""

import hashlib
import importlib.util
import json

import nbformat
import pytest
from conftest import needs_chromium

from bncourse.registry import PROBLEM_SETS, find

RIGHT = """def batch_statistics(x):
    mean = x.mean(axis=0)
    return mean, ((x - mean) ** 2).mean(axis=0)
"""
UNBIASED = RIGHT.replace("((x - mean) ** 2).mean(axis=0)", "x.var(axis=0, ddof=1)")
LOOP = "while True:\n    pass\n"
# It calls the answer to an earlier exercise.
FORWARD = """def batchnorm_forward(x, gamma, beta, eps=1e-5):
    mean, var = batch_statistics(x)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}
"""
# Milliseconds: Python is loaded into the browser, on a machine that may be busy with other tests.
PATIENCE = 300_000


# --- without a browser ------------------------------------------------------------------------


@pytest.fixture
def run(root):
    spec = importlib.util.spec_from_file_location("session", root / "web" / "session.py")
    session = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(session)

    def run(*sources, quiet=()):
        cells = [
            {"name": f"c{number}", "source": source, "quiet": number in quiet}
            for number, source in enumerate(sources)
        ]
        return json.loads(session.run(json.dumps(cells)))

    return run


def test_a_session_keeps_its_names_and_shows_the_last_value(run):
    assert run("a = 2", "print('here')\na + 1") == {"text": "here\n3", "ok": True}


def test_what_a_quiet_cell_shows_or_raises_is_dropped(run):
    assert run("print('no')\n1 / 0", "print('yes')", quiet=[0]) == {"text": "yes", "ok": True}


def test_stderr_stands_below_the_cell(run):
    assert run("import sys\nprint('careful', file=sys.stderr)")["text"] == "careful"


@pytest.mark.parametrize(
    ("source", "words"),
    [("1 / 0", 'File "<cell c0>", line 1'), ("def f(:", "SyntaxError"), ("exit()", "SystemExit")],
)
def test_an_error_names_the_line_and_no_line_of_ours(run, source, words):
    shown = run(source)
    assert not shown["ok"]
    assert words in shown["text"]
    assert "session.py" not in shown["text"]


def test_a_failed_check_is_told_without_frames(run):
    shown = run("from bncourse import check", UNBIASED, "check(batch_statistics)")
    assert shown["text"].startswith("batch_statistics is not right yet.")
    assert "Traceback" not in shown["text"]


def test_too_much_text_is_cut(run):
    assert len(run("print('x' * 10**6)")["text"]) < 30_000


def test_numpy_is_the_wheel_that_pyodide_names(root, built):
    (wheel,) = (root / "web").glob("numpy-*.whl")
    lock = json.loads((built / "_build/web/run/pyodide/pyodide-lock.json").read_text())
    named = lock["packages"]["numpy"]
    assert wheel.name == named["file_name"]
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == named["sha256"]


def test_the_lock_file_names_hashes_and_no_host(root):
    packages = json.loads((root / "web" / "package-lock.json").read_text())["packages"]
    assert all(each.get("integrity") for name, each in packages.items() if name)
    for each in packages.values():
        each.pop("funding", None)
    assert "://" not in json.dumps(packages)


# --- in a browser -----------------------------------------------------------------------------


@pytest.fixture
def exercises(site, browser):
    """Set 1 in a browser of its own, which has kept nothing yet."""
    context = browser.new_context()
    page = context.new_page()
    page.requested = []
    page.on("request", lambda request: page.requested.append(request.url))
    page.goto(f"{site}/exercises/ps1_forward/forward.html")
    page.wait_for_selector("[data-exercise]")
    yield page
    context.close()


def write(page, name, source):
    page.locator(f"[data-exercise={name}] .cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(source)


def press(page, name, action):
    page.locator(f"[data-exercise={name}] [data-action={action}]").click()


def verdict(page, name):
    page.wait_for_selector(f"[data-exercise={name}] [data-verdict]", timeout=PATIENCE)
    result = page.locator(f"[data-exercise={name}] [data-result]")
    return result.get_attribute("data-verdict"), result.inner_text()


def answered(page, name, source):
    write(page, name, source)
    press(page, name, "run")
    return verdict(page, name)


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("each", [s for s in PROBLEM_SETS if not s.needs], ids=lambda s: s.name)
def test_each_exercise_of_the_first_sets_has_an_editor(site, browser, each):
    page = browser.new_page()
    page.goto(f"{site}/exercises/{each.name}/{each.notebook}.html")
    page.wait_for_selector(".run-intro[data-ready]")
    found = page.locator("[data-exercise]").evaluate_all("all => all.map(e => e.dataset.exercise)")
    assert found == list(each.exercises)
    # The cell that says how to install the course has no place where nothing is installed.
    assert "needs bncourse" not in "".join(page.locator(".run-cell").all_inner_texts())
    page.close()


# How often something in the page makes room for an editor.
ROOM = """
window.room = 0;
new MutationObserver((list) => {
  const added = list.flatMap((each) => [...each.addedNodes]);
  if (added.some((each) => each.matches?.(".run-cell"))) room += 1;
}).observe(document, { childList: true, subtree: true });
"""


@pytest.mark.slow
@needs_chromium
def test_the_editors_of_a_page_come_in_one_change(site, browser):
    page = browser.new_page()
    page.add_init_script(ROOM)
    page.goto(f"{site}/exercises/ps2_backward/backward.html")
    page.wait_for_selector(".run-intro[data-ready]")
    assert page.locator(".run-cell .cm-content").count() > 10
    assert page.evaluate("window.room") == 1
    page.close()


@pytest.mark.slow
@needs_chromium
def test_answers_are_judged_on_the_page_and_by_nobody_else(exercises, site):
    assert not any("pyodide" in url for url in exercises.requested), "Python before any run"
    kind, text = answered(exercises, "batch_statistics", UNBIASED)
    assert kind == "wrong"
    slip = next(m for m in find("batch_statistics").mistakes if "unbiased" in m.hint)
    assert " ".join(slip.hint.split()) in " ".join(text.split())
    kind, text = answered(exercises, "batch_statistics", RIGHT)
    assert (kind, text.split(":")[0]) == ("ok", "batch_statistics")
    # It uses the answer above, and the import above that.
    assert answered(exercises, "batchnorm_forward", FORWARD)[0] == "ok"
    assert any("pyodide.asm.wasm" in url for url in exercises.requested)
    assert not [url for url in exercises.requested if not url.startswith((site, "data:", "blob:"))]


@pytest.mark.slow
@needs_chromium
def test_python_loads_while_one_writes(exercises):
    editor = exercises.locator("[data-exercise=batch_statistics] .cm-content")
    press(exercises, "batch_statistics", "reset")
    assert not any("worker.js" in url for url in exercises.requested)
    with exercises.expect_request("**/pyodide.asm.wasm", timeout=PATIENCE):
        editor.press_sequentially("a")
    write(exercises, "batch_statistics", RIGHT)
    press(exercises, "batch_statistics", "run")
    assert verdict(exercises, "batch_statistics")[0] == "ok"
    assert sum("worker.js" in url for url in exercises.requested) == 1


@pytest.mark.slow
@needs_chromium
def test_an_endless_loop_ends_and_holds_up_nothing(exercises):
    write(exercises, "batch_statistics", LOOP)
    press(exercises, "batch_statistics", "run")
    press(exercises, "batch_statistics", "stop")
    shown = exercises.locator("[data-exercise=batch_statistics] [data-result]")
    assert shown.inner_text().startswith("Stopped.")
    right = "def normalize(x, mean, var, eps=1e-5):\n    return (x - mean) / np.sqrt(var + eps)\n"
    assert answered(exercises, "normalize", right)[0] == "ok"


@pytest.mark.slow
@needs_chromium
def test_answers_outlive_a_reload_and_reset_takes_them_back(exercises):
    write(exercises, "batch_statistics", RIGHT)
    exercises.reload()
    editor = exercises.locator("[data-exercise=batch_statistics] .cm-content")
    editor.wait_for()
    assert "((x - mean) ** 2)" in editor.inner_text()
    press(exercises, "batch_statistics", "reset")
    exercises.reload()
    editor.wait_for()
    assert "raise NotImplementedError" in editor.inner_text()


@pytest.mark.slow
@needs_chromium
def test_a_keyboard_is_enough(exercises):
    editor = exercises.locator("[data-exercise=batch_statistics] .cm-content")
    editor.focus()
    exercises.keyboard.press("Control+a")
    exercises.keyboard.insert_text(RIGHT)
    exercises.keyboard.press("Escape")
    exercises.keyboard.press("Tab")
    focused = "document.activeElement.dataset.action"
    assert exercises.evaluate(focused) == "run"
    exercises.keyboard.press("Enter")
    assert verdict(exercises, "batch_statistics")[0] == "ok"


@pytest.fixture
def downloaded(exercises, tmp_path):
    """The notebook of set 1 with one right answer, one wrong one and a written one."""
    write(exercises, "batch_statistics", RIGHT)
    write(exercises, "batchnorm_forward", FORWARD.replace("var + eps", "var"))
    exercises.locator("[data-written=redundant_bias]").fill("The mean takes it away.")
    with exercises.expect_download() as download:
        exercises.locator("[data-action=download]").click()
    assert download.value.suggested_filename == "forward.ipynb"
    path = tmp_path / "forward.ipynb"
    download.value.save_as(path)
    return path


@pytest.mark.slow
@needs_chromium
def test_the_download_is_the_released_notebook_with_the_answers_in_it(root, downloaded):
    from bncourse.grading.intake.read import read_cells
    from bncourse.limits import Limits

    released = read_cells(root / "exercises" / "ps1_forward" / "forward.ipynb", Limits())
    handed_in = read_cells(downloaded, Limits())
    changed = {
        new.grade_id: new.source for old, new in zip(released, handed_in, strict=True) if old != new
    }
    assert changed == {
        "batch_statistics_answer": RIGHT,
        "batchnorm_forward_answer": FORWARD.replace("var + eps", "var"),
        "redundant_bias": "The mean takes it away.",
    }


@pytest.mark.slow
@needs_chromium
def test_the_download_grades_like_any_other(root, downloaded, needs_sandbox):
    from bncourse.grading.pipeline import grade_all
    from bncourse.grading.work import Setting, read
    from bncourse.limits import Limits

    # Time is not the question here.
    setting = Setting("ps1_forward", Limits(item_seconds=300.0, total_seconds=600.0), 4711)
    released = nbformat.read(root / "exercises" / "ps1_forward" / "forward.ipynb", as_version=4)
    work = read(downloaded.parent, "student", "forward.ipynb", {"forward.ipynb": released}, setting)
    list(grade_all([work], setting))
    assert not work.problem
    words = {name: outcome.word for name, outcome in work.report.outcomes.items()}
    assert words["batch_statistics"] == "ok"
    assert words["batchnorm_forward"] == "wrong"
    # The rest still raises NotImplementedError.
    assert set(words.values()) == {"ok", "wrong", "error"}
