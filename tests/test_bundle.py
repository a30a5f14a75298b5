"""The bundle for the exercises on a page: there whole, or as it was."""

import subprocess
import sys

import pytest

from bncourse.commands import bundle as module
from bncourse.commands.bundle import bundle

# Kills itself where it comes to one function of the module.
KILLED = """
import os, signal, sys
from pathlib import Path
from bncourse.commands import bundle
setattr(bundle, sys.argv[2], lambda *rest: os.kill(os.getpid(), signal.SIGKILL))
bundle.bundle(Path(sys.argv[1]))
"""


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """A folder in which an earlier state of the sources is bundled."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "page.js").write_text("of before")

    def make(root, target):
        target.mkdir(parents=True)
        (target / "page.js").write_text((root / "web" / "page.js").read_text())

    monkeypatch.setattr(module, "_make", make)
    assert bundle(tmp_path)
    assert not bundle(tmp_path)
    (tmp_path / "web" / "page.js").write_text("of now")
    return tmp_path


def files(root):
    """Return ``{path: text}`` of what a build of the website takes from the bundle."""
    found = (root / "_build" / "web").rglob("*")
    return {path.name: path.read_text() for path in found if path.is_file()}


@pytest.mark.parametrize("where", ["install", "replace_folder"])
def test_killed_anywhere_the_bundle_of_before_stays_and_the_next_command_makes_the_new(
    bundled, where
):
    words = [sys.executable, "-c", KILLED, bundled, where]
    if where == "replace_folder":
        words[2] = KILLED.replace("setattr", "bundle._make = lambda *rest: None\nsetattr", 1)
    assert subprocess.run(words).returncode == -9
    assert files(bundled) == {"page.js": "of before"}
    assert bundle(bundled)
    assert files(bundled) == {"page.js": "of now"}
    assert not [path for path in (bundled / "_build").iterdir() if path.name.startswith(".")]
