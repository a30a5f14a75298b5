"""The grader's handle on a zygote, and on the processes of one submission."""

import collections
import contextlib
import json
import logging
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile

from bncourse.errors import Infra
from bncourse.grading.inside.protocol import WALLED, Channel
from bncourse.grading.outside import sandbox
from bncourse.grading.outside.groups import Group, delegated, prepare
from bncourse.grading.outside.meter import Meter, pid_of, wait_for
from bncourse.grading.outside.pack import pack
from bncourse.grading.record.version import CODE, hash_of_code
from bncourse.grading.rooms import seen_by
from bncourse.registry import needed_by

_log = logging.getLogger(__name__)

# Importing everything takes seconds on an idle machine and much longer on a busy one.
_START_SECONDS = 300
_FORK_SECONDS = 60
_FATE_SECONDS = 5
_MOMENT_SECONDS = 1
_MOST_DYING = 2
# The range of what a process can end with.
_SIGNALS, _LARGEST_STATUS = 64, 255

_MESSAGE = 65536
_NAME = re.compile(r"\w+")


# What takes seconds to import, each of them.
_LARGE = ("torch", "keras")


def packages_for(problem_set, sources=()):
    """Return the large packages of a problem set, and those that the cells of a submission name.

    >>> packages_for("ps1_forward"), packages_for("ps1_forward", ["import torch"])
    ((), ('torch',))
    """
    named = set(_NAME.findall("\n".join(sources)))
    return tuple(name for name in _LARGE if name in named or name in needed_by(problem_set))


class WarmProcess:
    """A zygote in its sandbox; use it as a context manager.

    Args:
        problem_set: the problem set whose submissions it takes, such as "ps1_forward".
        unsafe: run without a sandbox. For trying out your own work only: a submission can then
            read and change whatever you can.
        gpu: whether to pass the NVIDIA devices through.
        packages: the large packages that each submission finds imported; by default those of the
            problem set. Others take a submission's own time. See ``packages_for``.

    Raises:
        NoSandbox: this machine has no sandbox, and ``unsafe`` was not said.
    """

    def __init__(self, problem_set, unsafe=False, gpu=False, packages=None):
        if not unsafe:
            sandbox.require()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115, closed by ``close``
        options = {"isolated": not unsafe, "gpu": gpu, "kept": sandbox.visible_folders()}
        options["packages"] = packages_for(problem_set) if packages is None else packages
        self._home = tempfile.TemporaryDirectory() if unsafe else contextlib.nullcontext()
        with theirs, _file_of(pack(problem_set)) as packed:
            descriptors = [theirs.fileno(), packed.fileno()]
            arguments = ["-m", "bncourse.grading.inside.zygote", *map(str, descriptors)]
            arguments += [json.dumps(options)]
            shown = seen_by(problem_set)
            self._process = subprocess.Popen(
                self._plain(arguments) if unsafe else sandbox.command(arguments, gpu, shown),
                env=self._plain_environment(gpu) if unsafe else None,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=descriptors,
            )
        self._gpu = gpu
        # What the driver of a GPU counts for whom was not tried.
        self._home_of_groups = None if unsafe or gpu else _group_of_grader()
        # Those that were killed and take a moment to die; see ``bury``.
        self._dying = collections.deque()
        self._wait_until_ready()

    def _plain(self, arguments):
        return [sys.executable, "-I", *arguments]

    def _plain_environment(self, gpu):
        return sandbox.environment(gpu) | {"HOME": self._home.name, "TMPDIR": self._home.name}

    def _wait_until_ready(self):
        self._control.settimeout(_START_SECONDS)
        try:
            ready = self._control.recv(_MESSAGE)
        except TimeoutError:
            ready = b""
        if not ready:
            reason = self._last_error()
            self.close()
            raise Infra(f"the warm process did not start: {reason}")
        if hash_of_code() != CODE:
            self.close()
            raise Infra("bncourse has changed since this program started. Start it again")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End the zygote, and with it every process of every submission."""
        self._control.close()
        self._process.kill()
        self._process.wait()
        self.bury()
        self._errors.close()
        if isinstance(self._home, tempfile.TemporaryDirectory):
            self._home.cleanup()

    @property
    def alive(self):
        """Whether the zygote can take another submission."""
        return self._process.poll() is None

    def ended(self):
        """Return whether the zygote has ended, or does so within a moment."""
        try:
            self._process.wait(_MOMENT_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return True

    def bury(self, most=0):
        """Wait until at most this many of the killed submissions are not quite dead.

        Taking down a process and its namespaces takes as long as making them; meanwhile the next
        submission can be graded.

        Raises:
            Infra: if one does not die.
        """
        while len(self._dying) > most:
            handle, group = self._dying.popleft()
            try:
                _wait_for_death(handle)
            finally:
                os.close(handle)
            if group:
                group.close()

    def fork(self, limits):
        """Return the Process of a new submission.

        Raises:
            Infra: the process could not be made.
        """
        self.bury(_MOST_DYING)
        ours, theirs = socket.socketpair()
        status, their_status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs, their_status:
                request = json.dumps(limits.as_dict()).encode()
                descriptors = [theirs.fileno(), their_status.fileno()]
                socket.send_fds(self._control, [request], descriptors)
            handle = _receive_handle(status)
        except OSError as error:
            ours.close()
            status.close()
            raise Infra(f"the warm process is gone: {error}; {self._last_error()}") from None
        except Infra:
            ours.close()
            status.close()
            raise
        channel = Channel(ours, limits.control, limits.arrays)
        group = self._group_for(handle, limits)
        return Process(channel, status, handle, limits, self._dying, self._gpu, group, self.ended)

    def _group_for(self, handle, limits):
        """Return the Group of a submission, which has got no request so far, or None."""
        if self._home_of_groups is None:
            return None
        group = None
        try:
            group = Group(self._home_of_groups, limits)
            group.take(pid_of(handle))
        except OSError as error:
            # The watch bounds it as it does where there are no groups.
            _log.warning("No cgroup for a submission: %s", error)
            self._home_of_groups = None
        return group

    def _last_error(self):
        self._errors.seek(0)
        lines = self._errors.read()[-4000:].decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it left no message"


def _group_of_grader():
    """Return the group below which submissions have theirs, or None where none is delegated."""
    home = delegated()
    try:
        if home:
            prepare(home)
    except OSError as error:
        _log.warning("The delegated cgroup %s cannot be used: %s", home, error)
        return None
    return home


def _file_of(content):
    """Return an open file without a name, for another process to read from its start."""
    file = tempfile.TemporaryFile()  # noqa: SIM115, closed by its caller
    file.write(content)
    file.seek(0)
    return file


def _receive_handle(status):
    """Return the handle on process 1, once the inner wall stands.

    The first process sends the handle, process 1 says that the wall stands, in either order. The
    student's code gets its first request after that, and no report of failure is believed then.
    """
    status.settimeout(_FORK_SECONDS)
    handles, walled = [], False
    while not (handles and walled):
        data, descriptors, _, _ = socket.recv_fds(status, _MESSAGE, 1)
        handles += descriptors
        walled = walled or data == WALLED
        if not descriptors and data != WALLED:
            for handle in handles:
                os.close(handle)
            raise Infra(_cannot_build(data))
    return handles[0]


def _cannot_build(data):
    reason = json.loads(data)["failed"] if data else "its first process died"
    return f"the sandbox of a submission could not be built: {reason}"


class Process:
    """The processes of one submission; closing it kills them all.

    Args:
        channel: the Channel to the runner.
        status: a socket on which process 1 of the submission reports.
        handle: a descriptor of process 1; killing that kills the PID namespace.
        limits: the Limits.
        dying: takes the handle when the job is closed.
        gpu: whether it may use the GPU.
        group: the Group that bounds it, or None.
        orphaned: returns whether what all submissions come from has ended.
    """

    def __init__(
        self, channel, status, handle, limits, dying, gpu=False, group=None, orphaned=lambda: False
    ):
        self.channel, self._status, self._handle, self._group = channel, status, handle, group
        self._dying = dying
        self._meter = Meter(handle, limits, self.kill, shared_memory=gpu)
        self._limits, self._orphaned, self._killed = limits, orphaned, False

    def waited(self):
        """Return the seconds for which the runner was ready so far and got no processor."""
        return self._meter.waited()

    def extended(self, deadline, waited):
        """Return a deadline plus the time that is given back.

        Args:
            deadline: the value of ``time.monotonic()`` at which the item must have ended.
            waited: what ``waited`` returned when the item began. The seconds since then are given
                back, until the item has had three times the time of one.
        """
        return deadline + min(2 * self._limits.item_seconds, self.waited() - waited)

    def wait_for_answer(self, deadline, waited):
        """Wait until an answer begins, and return the ``extended`` deadline as it is by then."""
        return wait_for(self.channel.sock, lambda: self.extended(deadline, waited))

    def kill(self):
        """Kill every process of the submission."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def fate(self):
        """Return how the runner ended, in words; call it when the channel is closed."""
        self._status.settimeout(_FATE_SECONDS)
        try:
            return _ending(json.loads(self._status.recv(_MESSAGE))["ended"])
        except TimeoutError:
            return "it closed its connection to the grader"
        except (ValueError, KeyError, TypeError, OSError, RecursionError):
            self._killed = True
            return "its processes were killed"

    @property
    def failure(self):
        """Why nobody can say what the submission did, or None: the grader failed, not it."""
        if self._meter.failed:
            return f"the watch over a submission failed: {self._meter.failed}"
        if self._meter.starved() and not self.exceeded:
            return "the machine ran out of memory, and the kernel killed a process of it"
        # Nobody inside can end process 1.
        if self._killed and not self.exceeded and self._orphaned():
            return "somebody ended the warm process, and with it the submission"
        return None

    @property
    def exceeded(self):
        """The limit for which the processes were killed, or None."""
        return self._meter.exceeded or (self._group.exceeded() if self._group else None)

    @property
    def peak_tasks(self):
        """The most processes and threads seen at a time."""
        return self._meter.peak_tasks

    @property
    def peak_memory(self):
        """The most memory seen in use, in bytes, on top of that of the zygote."""
        return self._meter.peak

    def close(self):
        """Kill everything and free what the grader holds of it."""
        self._meter.stop()
        self.kill()
        self.channel.close()
        self._status.close()
        self._dying.append((self._handle, self._group))


def _ending(code):
    """Return the end of a process in words.

    Raises:
        ValueError, TypeError: it is no status of a process; what sent it may be the student's.
    """
    if type(code) is not int:
        raise TypeError("a status is a whole number")
    if not -_SIGNALS <= code <= _LARGEST_STATUS:
        raise ValueError("there is no such status")
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _wait_for_death(handle):
    poll = select.poll()
    # A descriptor of a process becomes readable when the process has ended.
    poll.register(handle, select.POLLIN)
    if not poll.poll(_FORK_SECONDS * 1000):
        raise Infra("the processes of a submission did not die")
