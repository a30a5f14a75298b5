"""The folder decides: a module put into a room is seen by whom the room is open to."""

import json
import shutil
import subprocess
import sys
import venv

import pytest

from bncourse.grading.rooms import PACKAGE

# What a new module is called in each room, and who it is for.
SEEN = ("bncourse.probe", "bncourse.grading.inside.probe")
HIDDEN = (
    *("bncourse.exercises.probe", "bncourse.reference.probe", "bncourse.lab.probe"),
    *("bncourse.figures.probe", "bncourse.platforms.probe", "bncourse.similar.probe"),
    *("bncourse.trial.probe", "bncourse.commands.probe", "bncourse.grading.probe"),
    *("bncourse.glance.probe", "bncourse.study.probe"),
    *(f"bncourse.grading.{room}.probe" for room in ("intake", "outside", "record", "nbgrader")),
    "bncourse.grading.batch.probe",
)
NO_SAY = ("lab", "figures", "platforms", "similar", "trial", "commands", "glance", "study")

IMPORTED = """
import json, sys, time
from bncourse.grading.outside import sandbox
from bncourse.grading.outside.session import Session
from bncourse.grading.outside.warm import WarmProcess
from bncourse.limits import Limits

# The packages are those of the environment that runs the tests.
folders = sandbox.python_folders
sandbox.python_folders = lambda: [*folders(), sys.argv[1]]
CELL = '''
import importlib
found = []
for name in {names!r}:
    try:
        importlib.import_module(name)
        found.append(name)
    except ImportError:
        pass
print(*found)
'''
with WarmProcess("ps1_forward") as process:
    session = Session(process.fork(Limits()), time.monotonic() + 60, Limits())
    result = session.run_cell(CELL.format(names=sys.argv[2:]))
    session.close()
print(json.dumps([result.error, "".join(o.get("text", "") for o in result.outputs)]))
"""
HASH = "from bncourse.grading.record.version import CODE; print(CODE)"


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of the package with a module more in each room, and a Python that imports it."""
    folder = tmp_path_factory.mktemp("rooms")
    package = folder / "copy" / "bncourse"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    venv.create(folder / "venv")
    (site,) = folder.glob("venv/lib/python*/site-packages")
    packages = [path for path in sys.path if path.endswith("site-packages")]
    (site / "paths.pth").write_text("\n".join([str(folder / "copy"), *packages]))
    return package, folder / "venv" / "bin" / "python"


def probe(package, name):
    return package.parent / f"{name.replace('.', '/')}.py"


def run(python, code, *arguments):
    done = subprocess.run([python, "-I", "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_submission_imports_what_its_rooms_hold(copied, needs_sandbox):
    package, python = copied
    for name in (*SEEN, *HIDDEN):
        probe(package, name).write_text("")
    error, imported = json.loads(run(python, IMPORTED, sys.prefix, *SEEN, *HIDDEN))
    assert error is None
    assert imported.split() == list(SEEN)


def test_every_room_is_probed():
    rooms = {path.parent for path in PACKAGE.rglob("*.py")}
    # The sets of exercises and the corpus are parts of a room.
    rooms = {room for room in rooms if not {"exercises", "trial"} & {*room.parts[:-1]}}
    assert rooms == {probe(PACKAGE, name).parent for name in (*SEEN, *HIDDEN)}


def test_the_hash_of_the_code_is_that_of_the_rooms_with_a_say(copied):
    package, python = copied
    before = run(python, HASH)
    for name in (*SEEN, *HIDDEN):
        path = probe(package, name)
        path.write_text("changed = True")
        has_say = not path.relative_to(package).parts[0].startswith(NO_SAY)
        assert (run(python, HASH) != before) is has_say, name
        before = run(python, HASH)
