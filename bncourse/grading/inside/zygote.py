"""The process that has imported what a submission needs, and forks once per submission.

Importing torch, Keras and matplotlib takes seconds, a fork takes milliseconds. Three rules:

- No torch operation before the fork: OpenMP's threads do not survive it and the child would hang.
- No secret and no answer in this process: a fork inherits memory. It knows no seed, no expected
  value and no submission. It imports no spec: the grader sends what it needs of each, see ``pack``.
- Each submission is three processes: the first enters the namespaces and reports a handle on the
  second, which is process 1 of the PID namespace, so that killing it kills everything; the third
  runs the student's code.
"""

import array
import gc
import importlib
import json
import os
import pickle
import signal
import socket
import sys
import tempfile

from bncourse.grading.inside import isolate, large_pages
from bncourse.grading.inside.protocol import WALLED, Channel
from bncourse.grading.inside.runner import Runner
from bncourse.grading.inside.seccomp import refuse_calls
from bncourse.grading.inside.shell import make_shell
from bncourse.grading.inside.silence import silence_check

_MESSAGE = 65536


def main():
    """Prepare, say so, then fork for every request until the grader goes away."""
    control = socket.socket(fileno=int(sys.argv[1]))
    options = json.loads(sys.argv[3])
    if options["isolated"]:
        isolate.drop_root()
    exercises = _unpack(int(sys.argv[2]))
    shell = _prepare(options["packages"])
    gc.collect()
    # The collector would otherwise write to every object and so copy its page in each child.
    gc.freeze()
    large_pages.gather()
    control.send(b"ready")
    while True:
        data, ancillary, _, _ = control.recvmsg(_MESSAGE, socket.CMSG_SPACE(2 * 4))
        if not data:
            return
        descriptors = _descriptors(ancillary)
        child = os.fork()
        if child == 0:
            control.close()
            _submission(json.loads(data), descriptors, options, shell, exercises)
        for descriptor in descriptors:
            os.close(descriptor)
        os.waitpid(child, 0)


def _unpack(descriptor):
    """Return ``{name: Exercise}``, of which only the drive halves are there."""
    with open(descriptor, "rb") as packed:
        return pickle.load(packed)


def _prepare(packages):
    import matplotlib.pyplot
    from matplotlib_inline.backend_inline import configure_inline_support

    for name in packages:
        importlib.import_module(name)
    silence_check()
    shell = make_shell()
    matplotlib.interactive(True)
    configure_inline_support(shell, matplotlib.get_backend())
    return shell


def _descriptors(ancillary):
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    return list(descriptors)


def _submission(limits, descriptors, options, shell, exercises):
    """Be the first process: never returns."""
    connection, status_descriptor = descriptors
    status = socket.socket(fileno=status_descriptor)
    try:
        if options["isolated"]:
            isolate.enter_namespaces()
        else:
            os.setsid()
        keeper = os.fork()
        if keeper == 0:
            _keeper(limits, connection, status, options, shell, exercises)
        handle = os.pidfd_open(keeper)
        socket.send_fds(status, [b'{"started": true}'], [handle])
    except Exception as error:
        _say(status, failed=f"{type(error).__name__}: {error}")
    finally:
        os._exit(0)


def _keeper(limits, connection, status, options, shell, exercises):
    """Be process 1 of the namespace: build the inner wall, start the runner, reap, report."""
    try:
        _build_wall(limits, [connection, status.fileno()], options)
        status.send(WALLED)
        # What it says of the end of the runner is believed.
        isolate.hide()
        runner = os.fork()
    except Exception as error:
        _say(status, failed=f"{type(error).__name__}: {error}")
        os._exit(1)
    if runner == 0:
        status.close()
        _run(limits, connection, shell, exercises)
    os.close(connection)
    while True:
        pid, code = os.wait()
        if pid == runner:
            _say(status, ended=os.waitstatus_to_exitcode(code))
            os._exit(0)


def _build_wall(limits, descriptors, options):
    isolate.close_all_but(descriptors)
    if options["isolated"]:
        isolate.furnish(limits["disk"], options["kept"])
        isolate.drop_capabilities()
        refuse_calls(options["gpu"])
    else:
        os.chdir(tempfile.mkdtemp())
    isolate.limit(
        # With a GPU only the watch outside bounds the memory.
        memory=None if options["gpu"] else limits["memory"],
        disk=limits["disk"],
        # The watch outside kills at the limit itself; this holds between two of its looks.
        processes=2 * limits["processes"] if options["isolated"] else None,
        open_files=limits["open_files"],
        cpu_seconds=limits["total_seconds"],
    )


def _run(limits, connection, shell, exercises):
    """Be the runner: never returns."""
    code = 1
    try:
        isolate.show()
        # Without a sandbox this is what ends the runner when its keeper is killed.
        isolate.die_with_parent()
        # Python ignores this signal; a write over the limit then fails, which a student can read.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        channel = Channel(socket.socket(fileno=connection), limits["control"], 2**40)
        Runner(channel, shell, exercises, limits).serve()
        code = 0
    finally:
        os._exit(code)


def _say(status, **message):
    try:
        status.send(json.dumps(message).encode()[:_MESSAGE])
    except OSError:
        # Nobody listens any more; there is nobody to tell.
        return


if __name__ == "__main__":
    main()
