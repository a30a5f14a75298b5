"""Shared memory without a file: refused to a submission, and on a GPU, which needs it, counted."""

import os
import subprocess
import sys

import pytest

from bncourse.grading.outside.meter import Meter
from bncourse.limits import Limits

MIB = 2**20

# One line for each step; the next begins when a line comes in.
HIDES = """
import mmap, sys
memory = mmap.mmap(-1, 64 << 20)
memory.write(bytes([1]) * (64 << 20))
print("mapped", flush=True); sys.stdin.readline()
memory.resize(4096)
print("all but a page unmapped", flush=True); sys.stdin.readline()
memory.close()
print("gone", flush=True); sys.stdin.readline()
"""

MAPS = """
import mmap
from bncourse.grading.inside import isolate, seccomp
isolate.drop_capabilities()
seccomp.refuse_calls({allowed})
try:
    print(len(mmap.mmap(-1, 4096)))
except OSError as error:
    print(error.strerror)
"""


@pytest.fixture
def hiding():
    """A process that fills shared memory and takes it out of its tables, step by step."""
    command = [sys.executable, "-c", HIDES]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:

        def step():
            said = process.stdout.readline().strip()
            yield said
            process.stdin.write("\n")
            process.stdin.flush()

        yield process, step
        process.kill()


def test_shared_memory_counts_as_far_as_it_was_seen_mapped(hiding):
    process, step = hiding
    handle = os.pidfd_open(process.pid)
    watch = Meter(handle, Limits(), lambda: None, shared_memory=True)
    watch.stop()
    found = {said: watch._in_shared([process.pid]) for _ in range(3) for said in step()}
    os.close(handle)
    assert found == {"mapped": 64 * MIB, "all but a page unmapped": 64 * MIB, "gone": 0}


def test_too_much_of_it_ends_a_submission(hiding):
    process, step = hiding
    handle, ended = os.pidfd_open(process.pid), []
    watch = Meter(handle, Limits(memory=32 * MIB), lambda: ended.append(True), shared_memory=True)
    next(step())
    watch._thread.join(60)
    os.close(handle)
    assert watch.exceeded == "memory"
    assert ended == [True]


@pytest.mark.parametrize(("allowed", "said"), [(False, "Function not implemented"), (True, "4096")])
def test_only_a_gpu_opens_shared_memory(allowed, said):
    done = subprocess.run(
        [sys.executable, "-c", MAPS.format(allowed=allowed)], capture_output=True, text=True
    )
    assert done.stdout.strip() == said, done.stderr
