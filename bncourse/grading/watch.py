"""Watch the memory and the number of all processes of one submission, from outside.

A limit on the address space holds for one process; a submission that forks has many. A limit on
processes makes a fork fail, which a fork bomb does not notice. This thread adds them up and kills
the lot when they are over a limit together.
"""

import contextlib
import threading
from pathlib import Path

_INTERVAL_SECONDS = 0.1
_KIB = 1024


class Watch:
    """Looks at the processes of a submission every now and then.

    Args:
        handle: a descriptor of process 1 of the submission.
        limits: the Limits; memory counts on top of what process 1 holds at the start.
        kill: called once when a limit is exceeded.

    Attributes:
        root: the number of process 1 of the submission, as seen here.
        exceeded: which limit was exceeded, or None.
        peak: the most memory seen, in bytes.
        peak_tasks: the most processes and threads seen.
    """

    def __init__(self, handle, limits, kill):
        self.root = _pid_of(handle)
        self._limits, self._kill = limits, kill
        self._inherited = _anonymous(self.root)
        self._stop = threading.Event()
        self.exceeded, self.peak, self.peak_tasks = None, 0, 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self):
        """End the watch."""
        self._stop.set()
        self._thread.join()

    def _watch(self):
        while not self._stop.wait(_INTERVAL_SECONDS):
            self.exceeded = self._look()
            if self.exceeded:
                self._kill()
                return

    def _look(self):
        tasks = memory = 0
        for pid, threads in _tree(self.root):
            tasks += threads
            memory += max(0, _anonymous(pid) - self._inherited)
        self.peak, self.peak_tasks = max(self.peak, memory), max(self.peak_tasks, tasks)
        if memory > self._limits.memory:
            return "memory"
        return "pids" if tasks > self._limits.processes else None


def _pid_of(handle):
    for line in Path(f"/proc/self/fdinfo/{handle}").read_text().splitlines():
        if line.startswith("Pid:"):
            return int(line.split()[1])
    raise ValueError("not a descriptor of a process")


def _tree(root):
    """Yield a process and its descendants, each with its number of threads.

    Orphans are children of process 1, the root.
    """
    waiting = [root]
    while waiting:
        pid, threads = waiting.pop(), 0
        # A process that has ended meanwhile has no children any more.
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                threads += 1
                waiting += map(int, (thread / "children").read_text().split())
        yield pid, threads


def _anonymous(pid):
    """Return the bytes of memory that a process holds and no file; 0 once it has ended.

    Memory that processes share is that of files in the temporary folders, which are bounded.
    """
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        held = [line for line in status if line.startswith("RssAnon:")]
        return sum(int(line.split()[1]) for line in held) * _KIB
    return 0
