"""Fixtures that several tests share, and the environment that every test runs in."""

import contextlib
import functools
import http.server
import importlib.util
import os
import shutil
import subprocess
import sysconfig
import threading
from pathlib import Path

import pytest

# Before anything imports Keras or torch, as in the Makefile; make test-backends names a backend.
os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tables are read as a program reads them, not folded to the window of who runs the tests.
os.environ.pop("COLUMNS", None)
# That of another terminal: IPython warns of it, and a warning is an error here.
os.environ.pop("VIRTUAL_ENV", None)
# nbgrader and jupyter-book start programs of this environment by name.
os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])

ROOT = Path(__file__).parent.parent

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_chromium = pytest.mark.skipif(
    not CHROMIUM, reason="no Chromium; name one with CHROMIUM=/path/to/it"
)

# What is dear to make, by the files whose tests share it.
SHARED = {
    "test_site.py": "the website",
    "test_browser.py": "the website",
    "test_browser_head.py": "the website",
    "test_browser_reading.py": "the website",
    "test_drawn_pictures.py": "the website",
    "test_on_page.py": "the website",
    "test_release.py": "the exercises",
    "test_sample_class.py": "the exercises",
}


def group_of(nodeid):
    """Return the name of the group of a test: pytest-xdist runs a group in one process, in order.

    A file is one, since its tests share fixtures. Those of the exercises are one an exercise: what
    a known mistake returns is kept.
    """
    path, _, test = nodeid.partition("::")
    name = Path(path).name
    if name == "test_exercises.py" and "[" in test:
        return test.partition("[")[2].rstrip("]").split("-")[0]
    return SHARED.get(name, path)


def pytest_configure(config):
    """Have all processes of one run, the pages of the website too, share their experiments."""
    from bncourse.lab.once import FOLDER, shared_by_processes

    # What another run has measured, or a worker's own folder, would hide what is to be shared.
    if not hasattr(config, "workerinput"):
        os.environ.pop(FOLDER, None)
        sharing = shared_by_processes()
        sharing.__enter__()
        config.add_cleanup(lambda: sharing.__exit__(None, None, None))


def pytest_xdist_auto_num_workers(config):
    """Have one process more than processors: some wait for a browser, a limit or a disk."""
    return os.cpu_count() + 1


def pytest_xdist_make_scheduler(config, log):
    """Spread groups of tests over processes."""
    from xdist.scheduler import LoadScopeScheduling

    class Grouped(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group_of(nodeid)

    return Grouped(config, log)


def pytest_collection_modifyitems(items):
    """Begin with the website: it takes longest, and all else runs beside it."""
    items.sort(key=lambda item: group_of(item.nodeid) not in SHARED.values())


CANARY = "canary-7f3a-planted"
NOTEBOOK = """{"cells": [{"cell_type": "markdown", "id": "a", "metadata": {},
"source": ["# %s\\n", "the work of one student"]}],
"metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
"nbformat": 4, "nbformat_minor": 5}"""


@pytest.fixture(scope="session")
def needs_sandbox():
    from bncourse.grading.outside import sandbox

    reason = sandbox.why_not()
    if reason:
        pytest.skip(f"no sandbox on this machine: {reason}")


@pytest.fixture(scope="session")
def root():
    """The repository."""
    return ROOT


def load_chapter_code(name):
    """Return the module of one file of chapters/code."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "chapters" / "code" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def copy_repository(target):
    """Copy the files that git would carry, so that nothing ignored or built takes part."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source, copy = ROOT / name, target / name
        if source.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)
    return target


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    """A copy of the repository whose exercises are generated anew from its solutions."""
    from bncourse.release import release

    copy = copy_repository(tmp_path_factory.mktemp("released"))
    shutil.rmtree(copy / "exercises")
    release(copy, say=lambda line: None)
    return copy


def plant(root):
    """Put into the tree what an instructor's tree holds and a website must not."""
    for folder in ("submitted/eve", "autograded/eve", "feedback/eve", "downloaded", "solutions"):
        target = root / folder / "ps1_forward"
        target.mkdir(parents=True, exist_ok=True)
        (target / "planted.ipynb").write_text(NOTEBOOK % CANARY)
        (target / "planted.md").write_text(f"# {CANARY}\n")
        (target / "planted.html").write_text(f"<h1>{CANARY}</h1>")
    (root / "gradebook.db").write_text(CANARY)
    (root / "grades.csv").write_text(CANARY)
    (root / ".course_secret").write_text(CANARY)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A copy of the repository with private files planted in it, and its website."""
    root = copy_repository(tmp_path_factory.mktemp("site"))
    plant(root)
    done = subprocess.run(["bncourse", "book", "--root", root], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    yield root
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def html(built):
    """The folder of the website."""
    return built / "_build" / "html"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def copyfile(self, source, outputfile):
        # A worker that is ended takes no more of what it asked for.
        with contextlib.suppress(ConnectionError):
            super().copyfile(source, outputfile)


@contextlib.contextmanager
def served(folder, handler=QuietHandler):
    """Serve a folder on this machine; the value is its address."""
    handler = functools.partial(handler, directory=folder)
    server = http.server.ThreadingHTTPServer(("localhost", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def site(html):
    with served(html) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; it keeps an event loop, so it lives no longer than a module."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
