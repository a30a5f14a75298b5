"""Control groups: used where they are delegated, left alone where not, and each submission in one.

The first tests imitate the kernel with a folder. The last two ask the kernel itself, where the
tests may make groups; the very last one where it also gives them its controllers.
"""

import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from bncourse.grading.outside import groups, warm
from bncourse.limits import MIB, Limits

LIMITS = Limits(memory=100 * MIB, disk=10 * MIB, processes=8)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder that is a delegated group with two processes in it, and a file that names it."""
    home = tmp_path / "user.slice" / "run.scope"
    home.mkdir(parents=True)
    (home / "cgroup.controllers").write_text("cpu memory pids")
    (home / "cgroup.procs").write_text("11\n12\n")
    (home / "cgroup.subtree_control").write_text("")
    own = tmp_path / "own"
    own.write_text("4:memory:/elsewhere\n0::/user.slice/run.scope\n")
    monkeypatch.setattr(groups, "_write", lambda path, value: write(tmp_path, path, value))
    monkeypatch.setattr(groups, "_is_ours", lambda home: True)
    return SimpleNamespace(root=tmp_path, home=home, own=own)


def write(root, path, value):
    """Write into a group as the kernel does: a process is in one group at a time."""
    if path.name != "cgroup.procs":
        path.write_text(str(value))
        return
    for each in root.rglob("cgroup.procs"):
        left = [pid for pid in each.read_text().split() if pid != str(value)]
        each.write_text("\n".join(left))
    with path.open("a") as file:
        file.write(f"\n{value}\n")


def pids(folder):
    return sorted(map(int, (folder / "cgroup.procs").read_text().split()))


def test_a_delegated_group_is_found_before_and_after_the_grader_has_moved(tree):
    assert groups.delegated(tree.root, tree.own) == tree.home
    groups.prepare(tree.home)
    assert pids(tree.home) == []
    assert pids(tree.home / "grader") == [11, 12]
    assert (tree.home / "cgroup.subtree_control").read_text() == "+memory +pids"
    tree.own.write_text("0::/user.slice/run.scope/grader\n")
    assert groups.delegated(tree.root, tree.own) == tree.home


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("own", "4:memory:/only/the/old/kind\n"),
        ("own", "0::/nowhere\n"),
        ("user.slice/run.scope/cgroup.controllers", "cpu pids"),
        ("missing", ""),
    ],
)
def test_without_delegation_nothing_is_used(tree, name, content):
    (tree.root / name).write_text(content)
    own = tree.root / "no such file" if name == "missing" else tree.own
    assert groups.delegated(tree.root, own) is None


def test_what_root_could_write_is_not_delegated_by_that(tree, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert groups.delegated(tree.root, tree.own) is None


def test_a_submission_has_a_group_with_its_limits_and_all_it_has_started(tree, monkeypatch):
    monkeypatch.setattr(groups, "_below", lambda pid: [12] if pid == 11 else [])
    group = groups.Group(tree.home, LIMITS)
    (folder,) = tree.home.glob("job-*")
    assert (folder / "memory.max").read_text() == str(100 * MIB + 20 * MIB + 64 * MIB)
    assert (folder / "memory.swap.max").read_text() == "0"
    assert (folder / "pids.max").read_text() == "16"
    group.take(11)
    assert pids(folder) == [11, 12]
    assert pids(tree.home) == []


def test_what_the_kernel_killed_in_a_group_is_told(tree):
    group = groups.Group(tree.home, LIMITS)
    (folder,) = tree.home.glob("job-*")
    assert group.exceeded() is None
    (folder / "memory.events").write_text("low 0\noom 3\noom_kill 0\noom_group_kill 0\n")
    assert group.exceeded() is None
    (folder / "memory.events").write_text("low 0\noom 3\noom_kill 2\noom_group_kill 1\n")
    assert group.exceeded() == "memory"


def test_a_process_that_its_group_killed_is_over_a_limit_and_no_failure_of_the_grader():
    meter = SimpleNamespace(failed=None, exceeded=None, starved=lambda: True)
    job = warm.Process.__new__(warm.Process)
    job._meter, job._group = meter, SimpleNamespace(exceeded=lambda: "memory")
    job._killed = False
    assert (job.exceeded, job.failure) == ("memory", None)
    job._group = SimpleNamespace(exceeded=lambda: None)
    assert job.exceeded is None
    assert "the kernel killed" in job.failure
    job._group = None
    assert job.exceeded is None


def test_a_group_that_the_kernel_refuses_leaves_the_watch_alone(tree, monkeypatch, caplog):
    def refuse(path, value):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(groups, "_write", refuse)
    process = warm.WarmProcess.__new__(warm.WarmProcess)
    process._home_of_groups = tree.home
    assert process._group_for(None, LIMITS) is None
    assert process._group_for(None, LIMITS) is None
    assert caplog.text.count("No cgroup for a submission") == 1
    assert list(tree.home.glob("job-*")) == []


def mount():
    """Return where groups of the second version are mounted, or None."""
    lines = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return next((Path(words[1]) for words in lines if words[2] == "cgroup2"), None)


@pytest.fixture
def real(tmp_path, monkeypatch):
    """A delegated group that the kernel has made; empty when the test ends."""
    top = mount()
    home = top and top / f"bncourse-test-{os.getpid()}"
    try:
        home.mkdir()
        os.setxattr(home, "trusted.delegate", b"1")
        given = (home / "cgroup.controllers").read_text().split()
    except (OSError, AttributeError) as reason:
        if home and home.exists():
            home.rmdir()
        pytest.skip(f"no group can be made here: {reason}")
    bounds = {"memory", "pids"} <= {*given}
    if not bounds:
        # Older groups have those controllers. Everything but the limits can be tried all the same.
        monkeypatch.setattr(groups, "_NEEDED", tuple(given[:1]))
        monkeypatch.setattr(groups, "_settings", lambda limits: {})
    own = tmp_path / "own"
    own.write_text(f"0::/{home.name}\n")
    yield SimpleNamespace(root=top, home=home, own=own, bounds=bounds)
    for folder in (*home.glob("*/"), home):
        folder.rmdir()


def test_the_kernel_does_what_is_asked_of_it(real):
    home = groups.delegated(real.root, real.own)
    assert home == real.home
    # It starts a second one, as a submission is two at the least.
    program = subprocess.Popen(["sh", "-c", "sleep 600 & wait"])
    try:
        groups._write(home / "cgroup.procs", program.pid)
        groups.prepare(home)
        assert pids(home) == []
        assert program.pid in pids(home / "grader")
        wait_until(lambda: len([*groups._below(program.pid)]) == 1)
        both = sorted([program.pid, *groups._below(program.pid)])
        group = groups.Group(home, LIMITS)
        group.take(program.pid)
        (folder,) = home.glob("job-*")
        assert pids(folder) == both
        assert pids(home / "grader") == []
        group.close()
        assert folder.exists(), "the kernel removed a group in which something runs"
    finally:
        for pid in [*groups._below(program.pid), program.pid]:
            os.kill(pid, 9)
        program.wait()
    wait_until(lambda: not pids(folder))
    group.close()
    assert not folder.exists()


def test_the_kernel_bounds_the_memory_of_a_group(real):
    if not real.bounds:
        pytest.skip("the kernel has other plans for its controllers of memory")
    groups.prepare(real.home)
    group = groups.Group(real.home, LIMITS)
    # It begins once it is told to, in its group.
    program = subprocess.Popen(
        ["python3", "-c", "input(); x = bytearray(400 * 2**20); input()"], stdin=subprocess.PIPE
    )
    group.take(program.pid)
    program.stdin.write(b"\n")
    program.stdin.flush()
    assert program.wait() == -9
    assert group.exceeded() == "memory"
    group.close()
    assert list(real.home.glob("job-*")) == []


def wait_until(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
