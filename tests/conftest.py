"""Fixtures that several tests share, and the environment that every test runs in."""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

# Before anything imports Keras or torch, as in the Makefile; make test-backends names a backend.
os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# nbgrader and jupyter-book start programs of this environment by name.
os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def root():
    """The repository."""
    return ROOT


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
