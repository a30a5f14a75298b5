"""Tasks run here, on local workers or on a scheduler elsewhere, with the same results."""

import ast
import socket
import subprocess
import sys

import pytest

from bncourse.grading import cluster

# A file of its own: the workers import the function from it, and Dask's threads and warnings stay
# out of the process of the tests.
SCRIPT = """
import sys
from bncourse.grading import cluster

def half(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2

def show(run):
    results = dict(run(half, {n: (n,) for n in range(6)}))
    print([repr(results[n]) for n in range(6)])

if __name__ == "__main__":
    from distributed import LocalCluster
    with cluster.runner(6, workers=2) as run:
        show(run)
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as elsewhere:
        with cluster.runner(6, scheduler=elsewhere.scheduler_address) as run:
            show(run)
"""

EXPECTED = ["0", "ValueError('1 is odd')", "1", "ValueError('3 is odd')", "2"]
EXPECTED.append("ValueError('5 is odd')")


def half(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


def test_here_one_failure_stops_no_other():
    with cluster.runner(6, workers=1) as run:
        results = dict(run(half, {n: (n,) for n in range(6)}))
    assert [repr(results[n]) for n in range(6)] == EXPECTED


def test_few_tasks_need_no_cluster():
    with cluster.runner(3) as run:
        assert run is cluster.run_here


# A scheduler and a worker of their own processes, so that they can be killed.
MORTAL = """
import os, signal, subprocess, sys, threading, time
from bncourse.grading import cluster

def mark(folder, number):
    path = os.path.join(folder, str(number))
    if number == 1 and not os.path.exists(path):
        open(path, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    open(path, "w").close()
    time.sleep(0.1)
    return number

def start(module, *arguments):
    command = [sys.executable, "-m", f"distributed.cli.dask_{module}", *arguments, "--no-dashboard"]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)

if __name__ == "__main__":
    folder, port = sys.argv[1:]
    address = f"tcp://127.0.0.1:{port}"
    scheduler = start("scheduler", "--host", "127.0.0.1", "--port", port)
    worker = start("worker", address, "--nthreads", "1")
    seen = {}
    with cluster.runner(60, scheduler=address) as run:
        for number, result in run(mark, {n: (folder, n) for n in range(60)}):
            seen[number] = result if isinstance(result, int) else type(result).__name__
            if 1 in seen:
                scheduler.kill()
    print(seen)
    worker.kill()
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_a_killed_worker_is_made_up_for_and_a_killed_scheduler_is_reported(tmp_path):
    script = tmp_path / "mortal.py"
    script.write_text(MORTAL)
    marks = tmp_path / "marks"
    marks.mkdir()
    command = [sys.executable, script, marks, str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    seen = ast.literal_eval(done.stdout)
    assert sorted(seen) == list(range(60))
    # The task that killed its worker was done by the next one.
    assert seen[1] == 1
    assert {seen[number] for number in seen if seen[number] != number} == {"ConnectionError"}


@pytest.mark.slow
def test_local_workers_and_a_scheduler_by_address(tmp_path):
    pytest.importorskip("distributed")
    script = tmp_path / "tasks.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(EXPECTED)] * 2
