"""Tasks run here, on local workers or on a scheduler elsewhere, with the same results."""

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


@pytest.mark.slow
def test_local_workers_and_a_scheduler_by_address(tmp_path):
    pytest.importorskip("distributed")
    script = tmp_path / "tasks.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(EXPECTED)] * 2
