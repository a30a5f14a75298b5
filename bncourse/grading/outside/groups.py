"""Limits by control groups of the kernel (cgroup v2), where one is delegated to the grader.

A group counts what belongs to no process as well: buffers of sockets, tables of the kernel, files
in memory. Where nothing is delegated, the watch of ``meter`` bounds what it sees, as it does beside
a group too.

systemd delegates a group with ``systemd-run --user --scope -p Delegate=yes COMMAND``.
"""

import contextlib
import itertools
import os
from pathlib import Path

from bncourse.limits import MIB

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_NEEDED = ("memory", "pids")

# A group with processes of its own cannot limit those below it: the grader goes into this one.
_LEAF = "grader"
_MOST_ROUNDS = 100

# For the tables of the kernel; what a submission itself may have is counted more closely.
_SLACK = 64 * MIB

_count = itertools.count(1)


class Group:
    """The group of one submission.

    Args:
        home: the delegated group.
        limits: the Limits.

    Raises:
        OSError: it could not be made.
    """

    def __init__(self, home, limits):
        self._folder = Path(home) / f"job-{os.getpid()}-{next(_count)}"
        self._folder.mkdir()
        try:
            for name, value in _settings(limits).items():
                _write(self._folder / name, value)
        except OSError:
            self.close()
            raise

    def take(self, root):
        """Take a process and what it has started; it must not have run anybody's code yet.

        Args:
            root: the number of the process. What it starts from now on belongs to the group.
        """
        moved = set()
        while left := {root, *_below(root)} - moved:
            for pid in left:
                # One that has ended needs no group.
                with contextlib.suppress(ProcessLookupError):
                    _write(self._folder / "cgroup.procs", pid)
            moved |= left

    def exceeded(self):
        """Return "memory" if the kernel has killed for want of what the group may have, or None."""
        with contextlib.suppress(OSError):
            for line in (self._folder / "memory.events").read_text().splitlines():
                if line.startswith("oom_kill ") and line.split()[1] != "0":
                    return "memory"
        return None

    def close(self):
        """Remove the group; the kernel keeps one in which something still runs."""
        with contextlib.suppress(OSError):
            self._folder.rmdir()


def delegated(root=_ROOT, own=_OWN):
    """Return the group that is delegated to this program, or None.

    Args:
        root: where the groups are mounted.
        own: the file that names the group of this program.
    """
    try:
        lines = Path(own).read_text().splitlines()
        name = next(line[3:] for line in lines if line.startswith("0::"))
        home = Path(root, name.lstrip("/"))
        home = home.parent if home.name == _LEAF else home
        controllers = (home / "cgroup.controllers").read_text().split()
    except (OSError, StopIteration):
        return None
    files = (home, home / "cgroup.procs", home / "cgroup.subtree_control")
    writable = all(os.access(each, os.W_OK) for each in files)
    return home if {*_NEEDED} <= {*controllers} and writable and _is_ours(home) else None


def prepare(home):
    """Make a delegated group ready to have groups below it, each with limits of its own.

    Raises:
        OSError: the kernel refuses.
    """
    leaf = Path(home) / _LEAF
    leaf.mkdir(exist_ok=True)
    for _ in range(_MOST_ROUNDS):
        pids = (home / "cgroup.procs").read_text().split()
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                _write(leaf / "cgroup.procs", pid)
    _write(home / "cgroup.subtree_control", " ".join(f"+{each}" for each in _NEEDED))


def told():
    """Return a sentence on what bounds the memory of a submission on this machine."""
    if delegated():
        return "Memory and processes are bounded by a cgroup for each submission, and by the watch."
    return "Memory and processes are bounded by the watch: no cgroup is delegated to the grader."


def _is_ours(home):
    """Return whether a group is meant to be used like this; root could write in any."""
    for name in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(home, name) == b"1":
                return True
    return os.geteuid() != 0 and home.stat().st_uid == os.geteuid()


def _settings(limits):
    # Files in memory count here, and are bounded by their own limit, once for each folder.
    memory = limits.memory + 2 * limits.disk + _SLACK
    return {
        "memory.max": memory,
        "memory.swap.max": 0,
        "memory.oom.group": 1,
        # The watch kills at the limit itself; this holds between two of its looks.
        "pids.max": 2 * limits.processes,
    }


def _write(path, value):
    # Without O_CREAT: a name that the kernel does not know must fail.
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)


def _below(pid):
    """Yield the numbers of all that a process has started and what these have."""
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (thread / "children").read_text().split()):
                yield child
                yield from _below(child)
