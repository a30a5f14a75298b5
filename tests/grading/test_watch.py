"""The watch: nothing runs unseen, and an end that the student did not cause is no zero."""

import json
import socket
import subprocess
import sys
import threading
import time
import zipfile

import pytest

from bncourse.errors import CourseError, Infra
from bncourse.grading.outside import meter as meters
from bncourse.grading.outside import sandbox
from bncourse.grading.outside.meter import _held
from bncourse.grading.outside.session import Lost, Session
from bncourse.grading.outside.warm import Process, WarmProcess
from bncourse.limits import MIB, Limits
from bncourse.platforms.unpack import members

from .defences import Pliable

LIMITS = Limits(item_seconds=60, total_seconds=120, memory=512 * MIB)

# Holds 64 MiB in a way that its argument says, says so, and waits.
HOLDS = """
import ctypes, sys, threading, time
if sys.argv[1] == "odd name":
    ctypes.CDLL(None).prctl(15, b"\\xff\\xfe", 0, 0, 0)
held = b"x" * 2**26
def wait():
    print("ready", flush=True)
    time.sleep(600)
if sys.argv[1] == "no leader":
    threading.Thread(target=wait).start()
    time.sleep(0.2)
    # Only the first thread ends, by the call itself.
    ctypes.CDLL(None).syscall(60, 0)
wait()
"""


@pytest.mark.parametrize("how", ["plain", "odd name", "no leader"])
def test_memory_is_counted_however_a_process_looks(how):
    command = [sys.executable, "-c", HOLDS, how]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        if how == "no leader":
            _wait(lambda: "State:\tZ" in _status(process.pid))
        try:
            assert _held(process.pid) >= 2**26
        finally:
            process.kill()


def _status(pid):
    with open(f"/proc/{pid}/status") as file:
        return file.read()


def _wait(condition):
    while not condition():
        time.sleep(0.01)


@pytest.fixture
def session(worker):
    session = Session(worker.fork(LIMITS), time.monotonic() + 120, LIMITS)
    yield session
    session.close()


def test_nothing_runs_on_when_the_watch_fails(session, monkeypatch):
    def stumble(pid):
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "as it was")

    monkeypatch.setattr(meters, "_held", stumble)
    with pytest.raises(Infra, match="the watch over a submission failed: UnicodeDecodeError"):
        session.run_cell("import time\ntime.sleep(600)")


def test_a_program_of_its_own_has_no_share_of_the_zygote(session):
    session.run_cell("import subprocess\np = subprocess.Popen(['sleep', '600'])")
    meter = session.job._meter
    pids = [pid for pid, _ in meters._tree(meter.root)]
    assert len(pids) == 3
    assert [meter._share_of(pid) > 0 for pid in pids] == [True, True, False]


def test_a_process_that_the_kernel_killed_for_want_of_memory_is_no_zero(session, monkeypatch):
    monkeypatch.setattr(session.job._meter, "starved", lambda: True)
    with pytest.raises(Infra, match="ran out of memory"):
        session.run_cell("import os\nos.kill(os.getpid(), 9)")


@pytest.mark.parametrize("noticed", [True, False])
def test_a_process_that_ended_with_the_zygote_is_no_zero(noticed, needs_sandbox, monkeypatch):
    if not noticed:
        monkeypatch.setattr(WarmProcess, "ended", lambda self: False)
    with Pliable() as worker:
        made = Session(worker.fork(LIMITS), time.monotonic() + 120, LIMITS)
        threading.Timer(0.5, worker._process.kill).start()
        with pytest.raises(Infra if noticed else Lost, match=r"somebody ended|crashed"):
            made.run_cell("import time\ntime.sleep(600)")
        made.close()


@pytest.mark.parametrize(
    ("said", "fate"),
    [
        (b"[" * 60000, "its processes were killed"),
        (b'{"ended": 31415926535897932384626}', "its processes were killed"),
        (b'{"ended": true}', "its processes were killed"),
        (b'{"ended": "x"}', "its processes were killed"),
        (b'{"ended": 5}', "exit code 5"),
        (b'{"ended": -9}', "killed by SIGKILL"),
    ],
)
def test_only_a_small_number_is_believed_of_an_end(said, fate):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.send(said)
        process = object.__new__(Process)
        process._status = ours
        assert process.fate() == fate


def test_a_course_inside_what_submissions_see_is_refused(tmp_path, monkeypatch):
    sandbox.require_hidden(tmp_path)
    monkeypatch.setattr(sandbox.sys, "prefix", str(tmp_path))
    with pytest.raises(CourseError, match="must not lie in a folder that submissions see"):
        sandbox.require_hidden(tmp_path / "course")


def test_a_zip_in_a_zip_counts_as_one_file(tmp_path):
    path = tmp_path / "class.zip"
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        for number in range(50):
            archive.writestr(f"{number}.txt", json.dumps(number))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.write(inner, "ada.zip")
    with path.open("rb") as file:
        assert [each.name for each in members(file, MIB, 3)] == ["ada.zip"]
