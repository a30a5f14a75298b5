"""The image for Binder and devcontainers: each line is what both demand, and what the course needs.

No test builds it: that takes a container engine. What Binder asks of an image stands in its example
``minimal-dockerfile``; the rules on style are those of hadolint, by their numbers.
"""

import json
import re
import tomllib

import pytest

from bncourse.registry import BACKENDS, OLDEST


@pytest.fixture(scope="module")
def steps(root):
    """The instructions of the Dockerfile, in order: (name, rest)."""
    text = (root / ".binder" / "Dockerfile").read_text()
    lines = re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line]


@pytest.fixture(scope="module")
def settings(root):
    return json.loads((root / ".devcontainer" / "devcontainer.json").read_text())


def rest_of(steps, name):
    return [rest for each, rest in steps if each == name]


def place(steps, name, part=""):
    """Return the number of the first instruction that holds a part."""
    return next(n for n, (each, rest) in enumerate(steps) if each == name and part in rest)


def installed(steps):
    """Return what pip installs, without its options."""
    lines = [line for rest in rest_of(steps, "RUN") for line in rest.split("&&")]
    words = [
        w for line in lines if "pip install" in line for w in line.split("install", 1)[1].split()
    ]
    return [w.strip('"') for w in words if not w.startswith(("-", "https:"))]


def test_the_base_has_a_python_that_the_course_takes_and_a_version(steps):
    """DL3006 and DL3007: an image without a version, or "latest", is another one tomorrow."""
    ((version, kind),) = re.findall(r"python:(\d+\.\d+)-(\w+)", *rest_of(steps, "FROM"))
    assert (3, 11) <= tuple(map(int, version.split("."))) <= (3, 13)
    assert kind == "slim"


def test_binder_starts_it_as_its_own_user(steps):
    """It passes NB_USER and NB_UID, and needs jupyter, jupyterlab and a home to write to."""
    arguments = [rest.partition("=")[0] for rest in rest_of(steps, "ARG")]
    assert arguments == ["NB_USER", "NB_UID"]
    made = place(steps, "RUN", "useradd --create-home --uid ${NB_UID} ${NB_USER}")
    assert place(steps, "ARG") < made < place(steps, "USER")
    assert "HOME=/home/${NB_USER}" in " ".join(rest_of(steps, "ENV"))
    assert {"jupyterlab", "notebook"} <= {*installed(steps)}
    # DL3002: the last user is not root, and nothing is installed after it.
    assert rest_of(steps, "USER") == ["${NB_USER}"]
    assert all(place(steps, "USER") > n for n, (each, _) in enumerate(steps) if each == "RUN")


def test_the_user_may_write_into_the_folder_of_the_course(steps):
    """WORKDIR makes it for root, whatever COPY says of the files: ``bncourse new`` would fail."""
    assert "--chown=${NB_UID}" in rest_of(steps, "COPY")[0]
    assert place(steps, "COPY") < place(steps, "RUN", "chown ${NB_UID} .") < place(steps, "USER")


def test_every_set_finds_its_packages(steps, root):
    names = installed(steps)
    given = {re.split(">=", name)[0]: name for name in names}
    assert {*OLDEST, "matplotlib", "."} <= {*given}
    for package in ("keras", "numpy"):
        assert given[package] == f"{package}>={'.'.join(map(str, OLDEST[package]))}"
    (backend,) = re.findall(r"KERAS_BACKEND=(\w+)", " ".join(rest_of(steps, "ENV")))
    assert backend in BACKENDS
    assert backend in given
    wanted = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {*wanted} <= {*names}


def test_pip_leaves_no_cache_behind(steps):
    """DL3042."""
    lines = [line for rest in rest_of(steps, "RUN") for line in rest.split("&&")]
    lines = [line for line in lines if "pip install" in line]
    assert lines
    assert all("--no-cache-dir" in line for line in lines)


def test_the_course_is_copied_after_its_packages_are_there(steps):
    """Else each change of a text would install PyTorch anew."""
    assert (
        place(steps, "RUN", "torch")
        < place(steps, "COPY")
        < place(steps, "RUN", "install --no-cache-dir .")
    )


def test_what_starts_is_a_list(steps):
    """DL3025: as a text it would run in a shell, which passes on no signal."""
    (start,) = rest_of(steps, "CMD")
    assert json.loads(start)[:2] == ["jupyter", "lab"]


def test_the_devcontainer_is_the_same_image(settings, steps, root):
    folder = root / ".devcontainer"
    assert (folder / settings["build"]["dockerfile"]).resolve() == root / ".binder" / "Dockerfile"
    assert (folder / settings["build"]["context"]).resolve() == root
    assert f"NB_USER={settings['remoteUser']}" in rest_of(steps, "ARG")


def test_nothing_of_a_course_that_runs_gets_into_the_image(root):
    """What git ignores of an instructor's course, which holds names and marks, is ignored here."""
    ignored = (root / ".gitignore").read_text().splitlines()
    own = {line.strip("/") for line in ignored if line.startswith("/")} | {".nbgrader.log"}
    assert {"students.csv", "gradebook.db"} <= own
    left_out = {*(root / ".dockerignore").read_text().splitlines()}
    assert own | {".git", ".venv", "_build", "build"} <= left_out
    # What the sources and the box need is not.
    assert not left_out & {"exercises", "bncourse", "chapters", "pyproject.toml", "setup.py"}
