"""Give back the time for which the kernel made a submission wait for a processor.

It answers the threat of a submission that takes all processors: its neighbours, which share the
machine with it, must not run out of time for that.
"""

import contextlib
import select
import time
from pathlib import Path

_NANOSECONDS = 1e-9


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
