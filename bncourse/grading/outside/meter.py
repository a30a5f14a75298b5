"""Measure from outside what all processes of one submission use: memory, processes, waiting.

A limit on the address space holds for one process; a submission that forks has many. A limit on
processes makes a fork fail, which a fork bomb does not notice. A thread adds them up and kills the
lot when they are over a limit together.

Time for which the kernel made a submission wait for a processor is given back: a submission that
takes all processors must not make its neighbours, which share the machine with it, run out of time.
"""

import contextlib
import functools
import itertools
import os
import select
import threading
import time
from pathlib import Path

_INTERVAL_SECONDS = 0.1
_KIB = 1024
# More descriptors than an honest program needs count as sockets that are full.
_FREE_DESCRIPTORS = 32
_NANOSECONDS = 1e-9


class Meter:
    """Looks at the processes of a submission every now and then.

    Args:
        handle: a descriptor of process 1 of the submission.
        limits: the Limits; memory counts on top of what process 1 holds at the start.
        kill: called once when a limit is exceeded.
        shared_memory: whether the processes may have shared memory without a file.

    Attributes:
        root: the number of process 1 of the submission, as seen here.
        exceeded: which limit was exceeded, or None.
        peak: the most memory seen, in bytes.
        peak_tasks: the most processes and threads seen.
        failed: why the watch itself ended, or None; nobody counts any more then.
    """

    def __init__(self, handle, limits, kill, shared_memory=False):
        self.root = pid_of(handle)
        self._limits, self._kill = limits, kill
        self._inherited, self._image = _held(self.root), _image(self.root)
        self._ooms = _oom_kills()
        self._shared = {} if shared_memory else None
        self._own_network = _network(self.root) != _network("self")
        self._stop = threading.Event()
        self.exceeded, self.peak, self.peak_tasks, self.failed = None, 0, 0, None
        self._runner, self._waited = None, 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def waited(self):
        """Return the seconds for which the runner was ready so far and got no processor."""
        # Process 1 starts it right after it has reported; later come orphans of the student's.
        self._runner = self._runner or first_child(self.root)
        if self._runner:
            # Nothing is known of it any more once it has ended.
            self._waited = max(self._waited, seconds_waited(self._runner))
        return self._waited

    def starved(self):
        """Return whether the kernel has killed for want of memory since the watch began."""
        return _oom_kills() > self._ooms

    def stop(self):
        """End the watch."""
        self._stop.set()
        self._thread.join()

    def _watch(self):
        while not self._stop.wait(_INTERVAL_SECONDS):
            try:
                self.exceeded = self._look()
            except Exception as error:
                # Nothing may run unwatched, whatever made the watch stumble.
                self.failed = f"{type(error).__name__}: {error}"
                self._kill()
                return
            if self.exceeded:
                self._kill()
                return

    def _look(self):
        tasks = memory = 0
        pids = []
        for pid, threads in _tree(self.root):
            tasks += threads
            pids.append(pid)
            # First its share: of one that ends in between nothing is left to count.
            share = self._share_of(pid)
            memory += max(0, _held(pid) - share) + _full(_descriptors(pid))
        memory += self._in_shared(pids) if self._shared is not None else 0
        memory += _full(_sockets(self.root)) if self._own_network else 0
        self.peak, self.peak_tasks = max(self.peak, memory), max(self.peak_tasks, tasks)
        if memory > self._limits.memory:
            return "memory"
        return "pids" if tasks > self._limits.processes else None

    def _in_shared(self, pids):
        """Return the bytes of shared memory without a file.

        Its pages stay when they are unmapped or out of the tables, so each counts as far as it was
        ever seen mapped, until nobody has any part of it.
        """
        seen = {}
        for inode, end, writable in itertools.chain(*map(_mapped, pids)):
            seen[inode] = max(seen.get(inode, self._shared.get(inode, 0)), end * writable)
        self._shared = seen
        return sum(seen.values())

    def _share_of(self, pid):
        """Return the bytes that a process has from the zygote: none once it runs another program.

        Where the kernel does not show that, it counts as not having done so.
        """
        return self._inherited if not self._image or _image(pid) == self._image else 0


def pid_of(handle):
    """Return the number of the process that a descriptor stands for, as seen here."""
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


def _held(pid):
    """Return the bytes of memory, in swap or not, that a process holds and no file; 0 at its end.

    Memory that processes share is that of files in the temporary folders, which are bounded. A
    process whose first thread has ended says nothing there; its other threads tell the same.
    """
    with contextlib.suppress(OSError):
        for status in itertools.chain([f"/proc/{pid}/status"], _others(pid, "status")):
            # Bytes: a process may give itself a name that is no text.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                lines = Path(status).read_bytes().splitlines()
                held = [each for each in lines if each.startswith((b"RssAnon:", b"VmSwap:"))]
                if held:
                    return sum(int(line.split()[1]) for line in held) * _KIB
    return 0


def _mapped(pid):
    """Yield (number, end in bytes, whether it can be written) of shared memory without a file."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/maps").read_bytes().splitlines():
            if line.endswith(b"/dev/zero (deleted)"):
                span, rights, offset, _, inode = line.split()[:5]
                start, stop = (int(each, 16) for each in span.split(b"-"))
                if rights.endswith(b"s"):
                    yield inode, int(offset, 16) + stop - start, b"w" in rights


def _full(count):
    """Return the most bytes that may wait in so many sockets.

    They belong to no process, and inside of the sandbox no buffer can be made larger.
    """
    return max(0, count - _FREE_DESCRIPTORS) * _buffer()


def _descriptors(pid):
    """Return how many descriptors a process has; any may be a pipe or a socket."""
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def _sockets(pid):
    """Return how many sockets the network of a process has.

    One that waits to be accepted, or in a message, is in no table of a process, and can be full.
    """
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/net/sockstat").read_bytes().splitlines():
            if line.startswith(b"sockets: used "):
                return int(line.split()[2])
    return 0


def _network(pid):
    """Return what the network of a process is called, or nothing where nobody may know."""
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/net")
    return ""


@functools.cache
def _buffer():
    return int(Path("/proc/sys/net/core/wmem_default").read_text())


def _others(pid, name):
    """Yield a file of each thread; made only where that of the first says nothing."""
    yield from (str(each / name) for each in Path(f"/proc/{pid}/task").iterdir())


def _image(pid):
    """Return what the kernel drew at random when a process began its program, or nothing.

    A fork has that of its parent, a new program its own. One whose first thread has ended says
    nothing there; see ``_held``.
    """
    with contextlib.suppress(OSError):
        for auxv in itertools.chain([f"/proc/{pid}/auxv"], _others(pid, "auxv")):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if image := Path(auxv).read_bytes():
                    return image
    return b""


def _oom_kills():
    """Return how many processes this machine has killed for want of memory; 0 if it cannot say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/vmstat").read_bytes().splitlines():
            if line.startswith(b"oom_kill "):
                return int(line.split()[1])
    return 0


def first_child(pid):
    """Return the oldest living child of a process, or None."""
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else None


def seconds_waited(pid):
    """Return how long a process was ready and had no processor; 0 where the kernel does not say."""
    # Without a buffer and a decoder: it is read some dozens of times for each submission.
    path = f"/proc/{pid}/schedstat"
    with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
        return int(file.read(64).split()[1]) * _NANOSECONDS
    return 0.0


def wait_for(sock, deadline):
    """Wait until a socket has something to read, and return the deadline as it is by then.

    Args:
        sock: the socket.
        deadline: returns the value of ``time.monotonic()`` to give up at, as it is by now.
    """
    poll = select.poll()
    # The end of the other side counts as something to read.
    poll.register(sock, select.POLLIN)
    while (left := deadline() - time.monotonic()) > 0:
        if poll.poll(1000 * left):
            break
    return deadline()
