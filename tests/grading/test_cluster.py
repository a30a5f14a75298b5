"""Tasks run here, on local workers or on a scheduler elsewhere, with the same results."""

import ast
import socket
import subprocess
import sys

import pytest

from bncourse.grading.batch import fan_out
from bncourse.grading.pipeline import run_here

# A file of its own: the workers import the function from it, and Dask's threads and warnings stay
# out of the process of the tests.
SCRIPT = """
import sys
from bncourse.grading.batch import fan_out
from bncourse.grading.pipeline import run_here

def half(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2

def show(run):
    results = dict(run(half, {n: (n,) for n in range(6)}))
    print([repr(results[n]) for n in range(6)])

if __name__ == "__main__":
    from distributed import LocalCluster
    with fan_out.fan_out(6, workers=2) as run:
        show(run)
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as elsewhere:
        with fan_out.fan_out(6, scheduler=elsewhere.scheduler_address) as run:
            show(run)
"""

EXPECTED = ["0", "ValueError('1 is odd')", "1", "ValueError('3 is odd')", "2"]
EXPECTED.append("ValueError('5 is odd')")


def half(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


def test_here_one_failure_stops_no_other():
    with fan_out.fan_out(6, workers=1) as run:
        results = dict(run(half, {n: (n,) for n in range(6)}))
    assert [repr(results[n]) for n in range(6)] == EXPECTED


def test_few_tasks_need_no_cluster():
    with fan_out.fan_out(3) as run:
        assert run is run_here


# A scheduler and workers of their own processes, so that they can be killed. Each worker has a
# thread for every task, and all but the first task last until the end: nothing here is a race.
MORTAL = """
import os, signal, subprocess, sys, time
from pathlib import Path
from bncourse.grading.batch import fan_out
from bncourse.grading.pipeline import run_here

TASKS = 8

def last(folder, number):
    lived, over = folder / "lived", folder / "over"
    if number == 0 and not lived.exists():
        lived.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    while number and not over.exists():
        time.sleep(0.05)
    return number

def start(module, *arguments):
    command = [sys.executable, "-m", f"distributed.cli.dask_{module}", *arguments, "--no-dashboard"]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)

if __name__ == "__main__":
    folder, port = Path(sys.argv[1]), sys.argv[2]
    address = f"tcp://127.0.0.1:{port}"
    scheduler = start("scheduler", "--host", "127.0.0.1", "--port", port)
    # A nanny gives up if its worker dies while it starts; the other worker is there instead.
    options = ["--no-nanny", "--nthreads", str(TASKS)]
    workers = [start("worker", address, *options) for _ in range(2)]
    seen = {}
    with fan_out.fan_out(TASKS, scheduler=address) as run:
        for number, result in run(last, {n: (folder, n) for n in range(TASKS)}):
            seen[number] = result if isinstance(result, int) else type(result).__name__
            scheduler.kill()
    (folder / "over").touch()
    for worker in workers:
        worker.kill()
    print(seen)
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_a_killed_worker_is_made_up_for_and_a_killed_scheduler_is_reported(tmp_path):
    script = tmp_path / "mortal.py"
    script.write_text(MORTAL)
    command = [sys.executable, script, tmp_path, str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    # The task that killed its worker was done by the next one.
    assert ast.literal_eval(done.stdout) == {0: 0} | dict.fromkeys(range(1, 8), "ConnectionError")


@pytest.mark.slow
def test_local_workers_and_a_scheduler_by_address(tmp_path):
    pytest.importorskip("distributed")
    script = tmp_path / "tasks.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(EXPECTED)] * 2


# In a process of its own, as above; the address is the argument.
CONNECT = """
import sys
from bncourse.grading.batch import fan_out
from bncourse.grading.pipeline import run_here

fan_out._CONNECT_SECONDS = 1
try:
    with fan_out.fan_out(1, scheduler=sys.argv[1]):
        pass
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("nowhere", "CourseError: --scheduler must be an address such as tcp://host:8786"),
        (
            "smoke://signals:1",
            "CourseError: --scheduler must be an address such as tcp://host:8786",
        ),
        ("tcp://127.0.0.1:{port}", "CourseError: --scheduler must be the address of a running"),
    ],
)
def test_a_scheduler_that_is_not_there_is_told(address, says):
    address = address.format(port=free_port())
    command = [sys.executable, "-c", CONNECT, address]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.startswith(says), done.stderr
    assert done.stdout.endswith(f"Received: {address}\n")
