"""The website: put into its place when it is whole."""

import subprocess
import sys

import pytest

from bncourse.commands.book import SETTING, _set

# Kills itself in the middle of a page that Jupyter Book, which this stands for, has begun.
KILLED = """
import os, signal, sys
from pathlib import Path
from bncourse.commands import book

def build(root, log):
    page = root / book.SETTING / "_build" / "html" / "a.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("half of a pa")
    os.kill(os.getpid(), signal.SIGKILL)

book._build = build
book._set(Path(sys.argv[1]), None)
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A repository with a website; Sphinx sets no page again that is there."""

    def build(root, log):
        page = root / SETTING / "_build" / "html" / "a.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        if not page.exists():
            page.write_text("a whole page")
        return int((root / "fails").exists())

    monkeypatch.setattr("bncourse.commands.book._build", build)
    (tmp_path / "_build").mkdir()
    assert _set(tmp_path, None) == 0
    assert pages(tmp_path) == {"a.html": "a whole page"}
    return tmp_path


def pages(root):
    return {path.name: path.read_text() for path in (root / "_build" / "html").iterdir()}


def test_killed_in_a_page_the_website_of_before_stays_and_the_next_one_is_whole(site):
    assert subprocess.run([sys.executable, "-c", KILLED, site]).returncode == -9
    assert pages(site) == {"a.html": "a whole page"}
    assert _set(site, None) == 0
    assert pages(site) == {"a.html": "a whole page"}


def test_a_build_that_fails_leaves_the_website_of_before(site):
    (site / SETTING / "_build" / "html" / "a.html").write_text("with a warning")
    (site / "fails").touch()
    assert _set(site, None) == 1
    assert pages(site) == {"a.html": "a whole page"}
