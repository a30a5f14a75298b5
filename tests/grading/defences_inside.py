"""The defences inside the sandbox, each with what a submission can do without it.

``WALLS`` are taken away in the process of one submission, before its inner wall is built. ``OUTER``
are parts of the outer wall or of the zygote's start, and each takes a zygote of its own.
"""

import contextlib
import os
import platform
import secrets
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from bncourse.grading.inside import seccomp
from bncourse.grading.outside import sandbox
from bncourse.grading.outside.meter import Meter
from bncourse.grading.outside.session import Lost
from bncourse.grading.rooms import PACKAGE
from bncourse.limits import MIB
from bncourse.registry import problem_sets

from . import search
from .conftest import runs
from .defences import Defence, Pliable, answer, case, cell, leave_out, lines, put, session

# --- One submission and another -----------------------------------------------------------------

# The kernel takes the number of a thread for that of its process, and the shell may still run one
# that writes its history: a thread of this process, or what has ended since, is no other process.
_PIDS = """
import os

def can_end(pid):
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True

for pid in set(range(2, 200)) - {os.getpid()}:
    own = lambda: os.path.exists(f"/proc/self/task/{pid}")
    if can_end(pid) and not own() and can_end(pid):
        print("can end process", pid)
"""
_NO_PIDS = "isolate._ALL ^= isolate._NEWPID\nskip_mount('/proc')"

# The buffers of the machine's own network are not a submission's to set.
_NO_NET = "isolate._ALL ^= isolate._NEWNET\nisolate._TCP_BUFFERS = {}"

_NO_FILTER = "zygote.refuse_calls = lambda *_: None"

# Two submissions then work in one folder, which the second finds made.
_SHARED_TMP = (
    "skip_mount('/tmp')\n"
    "mkdir = os.mkdir\n"
    "os.mkdir = lambda path, *mode: None if os.path.exists(path) else mkdir(path, *mode)"
)

_SYSTEM_V = "import ctypes\nlibc = ctypes.CDLL(None)\n"


def _meet(first, second):
    """Return a probe: what a cell prints in one submission, after another one ran one."""

    def probe(worker):
        with session(worker) as one, session(worker) as other:
            assert lines(one, first) == []
            return lines(other, second) + lines(one, "'still here'")

    return probe


def _removes_files_of_another(worker):
    with session(worker) as one, session(worker) as other:
        lines(one, "open('/tmp/note', 'w').close()")
        lines(other, "%%bash\nrm -rf ~ /tmp/* / 2>/dev/null; true")
        return lines(
            one, "import os\nif not os.path.exists('/tmp/note'): print('its file is gone')"
        )


def _left_behind(worker):
    """What lives on of a submission that started a process of its own and ended."""
    # Known by a time that no other process sleeps; counting children misses some while one ends.
    command = ["sleep", f"60.{secrets.randbelow(10**9)}"]
    start = f"import subprocess\nsubprocess.Popen({command}, start_new_session=True)"
    with session(worker) as made:
        assert lines(made, start) == []
        # For a moment a new program has no words yet that the kernel could show.
        assert any(runs(command) or time.sleep(0.05) for _ in range(100))
    worker.bury()
    return ["a process lives on"] if runs(command) else []


def _sees_the_grader(worker):
    look = f"import os\nif os.path.exists('/proc/{os.getpid()}'): print('sees the grader')"
    return cell(look)(worker)


def _writes_into_the_grader(worker):
    """What a submission can write into the file in which the grader collects errors."""
    source = (
        "import os\n"
        "for fd in range(64):\n"
        "    try: os.write(fd, b'x' * 4096) if 'socket' not in os.readlink(f'/proc/self/fd/{fd}')"
        " else None\n"
        "    except OSError: pass"
    )
    errors = worker._errors.fileno()
    before = os.fstat(errors).st_size
    with session(worker) as made:
        lines(made, source)
    written = os.fstat(errors).st_size - before
    return [f"it wrote {written} bytes into a file of the grader"] if written else []


def _answers_twice(worker):
    """What becomes of a submission that forks and goes on in both processes."""
    with session(worker) as made:
        try:
            made.run_cell("import os\nos.fork()")
            for _ in range(5):
                made.run_cell("import time\ntime.sleep(0.05)")
        except Lost as lost:
            return [str(lost.outcome.message)]
    return []


def _random_numbers(worker):
    draw = "import random, numpy\nprint(random.random(), numpy.random.rand())"
    with session(worker) as one, session(worker) as other:
        return [] if lines(one, draw) == lines(other, draw) else ["other random numbers"]


# A key that anybody may read, in the keyring of the user, and what finds it without a search.
_ADD_KEY, _, _KEYCTL = seccomp._CALLS[platform.machine()][-1][5:8]
_LEAVES_A_KEY = (
    f"{_SYSTEM_V}key = libc.syscall({_ADD_KEY}, b'user', b'note', b'inputs', 6, -4)\n"
    f"libc.syscall({_KEYCTL}, 5, key, 0x3F3F3F3F);"
)
_READS_A_KEY = (
    f"{_SYSTEM_V}held = ctypes.create_string_buffer(6)\n"
    "for line in open('/proc/keys'):\n"
    "    key = int(line.split()[0], 16)\n"
    f"    if 'note' in line and libc.syscall({_KEYCTL}, 11, key, held, 6) > 0:\n"
    "        print('it reads', held.value)"
)

NEIGHBOURS = [
    Defence((16, 20), "own PID namespace: signals", _NO_PIDS, cell(_PIDS), "can end process"),
    Defence((23,), "own PID namespace: the end", _NO_PIDS, _left_behind, "lives on"),
    Defence(
        (26, 46),
        "own IPC namespace",
        "isolate._ALL ^= isolate._NEWIPC\n" + _NO_FILTER,
        _meet(
            f"{_SYSTEM_V}libc.shmget(4711, 4096, 0o1666);",
            f"{_SYSTEM_V}if libc.shmget(4711, 4096, 0o666) >= 0: print('they share memory')",
        ),
        "they share memory",
    ),
    Defence(
        (26, 46),
        "own network namespace",
        _NO_NET,
        _meet(
            "import socket\ns = socket.socket(socket.AF_UNIX)\ns.bind('\\0meet'); s.listen()",
            "import socket\n"
            "try:\n"
            "    socket.socket(socket.AF_UNIX).connect('\\0meet')\n"
            "    print('they talk')\n"
            "except OSError:\n"
            "    pass",
        ),
        "they talk",
    ),
    Defence(
        (26, 46),
        "no keys that the kernel keeps",
        _NO_FILTER,
        _meet(_LEAVES_A_KEY, _READS_A_KEY),
        "it reads",
    ),
    Defence((27, 35), "own /tmp", _SHARED_TMP, _removes_files_of_another, "its file is gone"),
    Defence((26,), "own /proc", "skip_mount('/proc')", _sees_the_grader, "sees the grader"),
    Defence(
        (21, 37),
        "no inherited descriptors",
        "isolate.close_all_but = lambda descriptors: None",
        _writes_into_the_grader,
        "bytes into a file of the grader",
    ),
    Defence(
        (16, 23, 37),
        "a copy of the runner does not answer",
        "runner.Runner.pid = property(lambda self: os.getpid(), lambda self, pid: None)",
        _answers_twice,
        "an answer to no question",
    ),
    Defence(
        (47,),
        "each starts from the same random state",
        "runner.Runner._seed = lambda self: None",
        _random_numbers,
        "other random numbers",
    ),
]


# --- Rights -------------------------------------------------------------------------------------

RIGHTS = [
    Defence(
        (37,),
        "process 1 lends its descriptors to nobody",
        "isolate.hide = lambda: None",
        case("tells another end than its own"),
        "exit code 5",
    ),
    Defence(
        (27,),
        "no capabilities",
        "isolate.drop_capabilities = lambda: None",
        case("tries to leave the sandbox"),
        "shows ESCAPED",
    ),
    Defence(
        (27,),
        "no further namespaces",
        "write = isolate.Path.write_text\n"
        "isolate.Path.write_text = lambda path, text: (\n"
        "    path.name == 'max_user_namespaces' or write(path, text)\n)",
        cell(
            # In a process of one thread, as the kernel demands.
            "import ctypes, os\n"
            "pid = os.fork()\n"
            "if pid == 0: os._exit(ctypes.CDLL(None).unshare(0x10000000) == 0)\n"
            "if os.waitpid(pid, 0)[1]: print('it is root of a namespace')"
        ),
        "root of a namespace",
    ),
    Defence(
        (24,),
        "nothing to read",
        "close = isolate.close_all_but\n"
        "def quiet(descriptors):\n"
        "    close(descriptors)\n"
        "    os.dup2(os.pipe()[0], 0)\n"
        "    globals()['held'] = [os.dup2(fd, 60 + fd) for fd in range(3, 12)"
        " if os.path.lexists(f'/proc/self/fd/{fd}')]\n"
        "isolate.close_all_but = quiet",
        case("asks for input", limits={"item_seconds": 2.0}),
        "timeout instead of error",
    ),
]


# --- Limits -------------------------------------------------------------------------------------


def _tries(source, error="OSError"):
    return f"try:\n    {source}\nexcept {error}:\n    pass"


def _floods(worker):
    with session(worker) as made:
        try:
            made.run_cell("for _ in range(10): print('x' * 10**6)")
        except Lost as lost:
            return [lost.outcome.message]
    return []


_LARGER = (
    "furnish = isolate.furnish\nisolate.furnish = lambda disk, *rest: furnish(20 * disk, *rest)"
)
_NO_WATCH = put(Meter, "_look", lambda self: None)


_VMSPLICE = (
    "import ctypes, os\n"
    "libc, held = ctypes.CDLL(None), ctypes.create_string_buffer(64)\n"
    "part = (ctypes.c_size_t * 2)(ctypes.addressof(held), 64)\n"
    "if libc.vmsplice(os.pipe()[1], part, 1, 0) > 0: print('a pipe holds it')"
)

_LOCK = (
    "import fcntl, os\n"
    "file = open('lock', 'w')\n"
    "fcntl.lockf(file, fcntl.LOCK_EX)\n"
    "if os.fork() == 0:\n"
    "    try: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
    "    except OSError: os._exit(1)\n"
    "    os._exit(0)\n"
    "if os.wait()[1]: print('the kernel holds a lock')"
)

_TERMINALS = (
    "import os\n"
    "opened = []\n"
    "while len(opened) < 40:\n"
    "    try: opened.append(os.openpty())\n"
    "    except OSError: break\n"
    # Some are needed: the shell runs ``!ls`` in one.
    "if not 8 < len(opened) < 32: print(len(opened), 'terminals')\n"
    "for pair in opened: [os.close(fd) for fd in pair]"
)

_SIGNALS = (
    "import ctypes, os, signal\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, {40})\n"
    "libc = ctypes.CDLL(None)\n"
    "sent = sum(libc.sigqueue(os.getpid(), 40, None) == 0 for _ in range(2000))\n"
    "if sent > 1500: print(sent, 'signals wait')"
)

_LONG_CONNECTION = (
    "for name in ('tcp_rmem', 'tcp_wmem'):\n"
    "    most = int(open(f'/proc/sys/net/ipv4/{name}').read().split()[-1])\n"
    "    if most > 2**17: print(most, 'bytes in a connection')"
)

_INOTIFY = (
    "import ctypes, os\n"
    "libc = ctypes.CDLL(None)\n"
    "made = [fd for fd in (libc.inotify_init() for _ in range(40)) if fd >= 0]\n"
    "if len(made) > 32: print(len(made), 'watches of files')\n"
    "[os.close(fd) for fd in made]"
)


_BUFFER = (
    "import socket\n"
    "one, other = socket.socketpair()\n"
    "for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):\n"
    "    before = one.getsockopt(socket.SOL_SOCKET, option)\n"
    "    one.setsockopt(socket.SOL_SOCKET, option, before // 4)\n"
    "    if one.getsockopt(socket.SOL_SOCKET, option) != before: print('a larger buffer')\n"
    # Other options do what they say.
    "one.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)\n"
    "if not one.getsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED): print('an option is lost')"
)


BOMBS = [
    Defence(
        (18,),
        "memory of one process",
        "no_limit(resource.RLIMIT_AS)",
        cell(
            _tries("a = bytearray(b'x') * 2**28; print(len(a), 'bytes')", "MemoryError"),
            memory=64 * MIB,
        ),
        "bytes",
        also=_NO_WATCH,
    ),
    Defence(
        (18,),
        "calls that make memory which nobody can count",
        _NO_FILTER,
        cell("import os\n" + _tries("os.memfd_create('bomb'); print('made one')")),
        "made one",
    ),
    Defence(
        (18,),
        "no shared memory without a file",
        _NO_FILTER,
        cell("import mmap\n" + _tries("mmap.mmap(-1, 4096); print('made one')")),
        "made one",
    ),
    Defence((18,), "no memory in a pipe", _NO_FILTER, cell(_VMSPLICE), "a pipe holds it"),
    Defence((18,), "no larger buffers of sockets", _NO_FILTER, cell(_BUFFER), "a larger buffer"),
    Defence((18,), "no locks in the kernel", _NO_FILTER, cell(_LOCK), "holds a lock"),
    Defence(
        (18,),
        "short buffers of connections",
        "isolate._TCP_BUFFERS = {}",
        cell(_LONG_CONNECTION),
        "in a connection",
    ),
    Defence(
        (20,),
        "few terminals",
        "skip_mount('/dev/pts')",
        cell(_TERMINALS),
        "40 terminals",
    ),
    Defence(
        (20,),
        "few signals that wait",
        "no_limit(resource.RLIMIT_SIGPENDING)",
        cell(_SIGNALS),
        "signals wait",
    ),
    Defence(
        (20,),
        "few watches of files",
        "write = isolate.Path.write_text\n"
        "isolate.Path.write_text = lambda path, text: (\n"
        "    path.name == 'max_inotify_instances' or write(path, text)\n)",
        cell(_INOTIFY),
        "watches of files",
    ),
    Defence(
        (27,),
        "no calls of a debugger",
        _NO_FILTER,
        # Of a child, since it cannot be undone.
        cell(
            "import ctypes, os\n"
            "if os.fork() == 0: os._exit(ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0)\n"
            "if os.wait()[1]: print('it can be debugged')"
        ),
        "can be debugged",
    ),
    Defence(
        (26,),
        "no program collects its crashes",
        "no_limit(resource.RLIMIT_CORE)",
        cell(
            "import resource\n"
            "if resource.getrlimit(resource.RLIMIT_CORE) != (1, 1): print('a core is collected')"
        ),
        "a core is collected",
    ),
    Defence(
        (18,),
        "no device of zeros",
        "skip_mount('/dev/zero')",
        cell(
            "import mmap, os\n"
            + _tries("mmap.mmap(os.open('/dev/zero', os.O_RDWR), 4096); print('made one')")
        ),
        "made one",
    ),
    Defence(
        (20,),
        "processes and threads",
        "no_limit(resource.RLIMIT_NPROC)",
        cell(
            "import threading, time\nthreading.stack_size(2**18)\n"
            + _tries(
                "for _ in range(100): threading.Thread(target=time.sleep, args=(1,)).start()\n"
                "    print('started 100')",
                "RuntimeError",
            ),
            processes=16,
        ),
        "started 100",
        also=_NO_WATCH,
    ),
    Defence(
        (21,),
        "the size of the temporary folder",
        _LARGER,
        cell(
            _tries(
                "for i in range(32): open(f'/tmp/{i}', 'wb').write(bytes(2**20))\n"
                "    print('wrote 32 MiB')"
            )
        ),
        "wrote 32 MiB",
    ),
    Defence(
        (21,),
        "the size of shared memory",
        _LARGER,
        cell(
            _tries(
                "for i in range(32): open(f'/dev/shm/{i}', 'wb').write(bytes(2**20))\n"
                "    print('wrote 32 MiB')"
            )
        ),
        "wrote 32 MiB",
    ),
    Defence(
        (21,),
        "the number of files",
        "mount = isolate._mount\n"
        "isolate._mount = lambda *words: mount(\n"
        "    *[w.replace('inodes=10k', 'inodes=20k') if isinstance(w, str) else w for w in words]\n"
        ")",
        cell(
            _tries("for i in range(12000): open(f'/tmp/{i}', 'w').close()\n    print('made 12000')")
        ),
        "made 12000",
    ),
    Defence(
        (21,),
        "the size of one file (and of the temporary folder)",
        f"no_limit(resource.RLIMIT_FSIZE)\n{_LARGER}",
        cell(
            _tries(
                "with open('/tmp/large', 'wb') as file:\n"
                "        for _ in range(32): file.write(bytes(2**20))\n"
                "    print('wrote 32 MiB')"
            )
        ),
        "wrote 32 MiB",
    ),
    Defence(
        (21,),
        "open files",
        "no_limit(resource.RLIMIT_NOFILE)",
        cell(
            _tries("f = [open('/dev/null') for _ in range(300)]; print('opened 300')"),
        ),
        "opened 300",
    ),
    Defence(
        (12,),
        "processor time",
        "no_limit(resource.RLIMIT_CPU)",
        cell(
            "import time\nwhile time.process_time() < 1.6: pass\nprint('it went on')",
            total_seconds=0.5,
        ),
        "it went on",
    ),
    Defence(
        (18,),
        "locked memory",
        "no_limit(resource.RLIMIT_MEMLOCK)",
        cell(
            "import ctypes, mmap\n"
            "m = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
            "where = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(m)))\n"
            "if ctypes.CDLL(None).mlock(where, 4096) == 0: print('locked')"
        ),
        "locked",
    ),
    Defence(
        (18,),
        "message queues",
        "no_limit(resource.RLIMIT_MSGQUEUE)",
        cell(
            "import ctypes\n"
            "if ctypes.CDLL(None).mq_open(b'/q', 0o102, 0o600, None) >= 0: print('a queue')"
        ),
        "a queue",
    ),
    Defence(
        (22,),
        "a budget of output",
        "shell.Recorder.spent = False\nshell.Recorder._afford = lambda self, text, cost: text",
        _floods,
        "no message",
    ),
    Defence(
        (22,),
        "long messages are cut",
        "runner._LONGEST_MESSAGE = 10**9",
        answer("raise ValueError('x' * 10**7)", word="error"),
        "crashed instead of error",
    ),
]


# --- Rules of the exercises, and what an answer may do to the next ------------------------------

_NEVER = "type('Never', (Exception,), {})"

RULES = [
    Defence(
        (9,),
        "inputs stay as they are",
        "rules.fingerprint = lambda value: 0",
        case("changes its input"),
        "ok instead of wrong",
    ),
    Defence(
        (11,),
        "global state stays as it is",
        "rules.GlobalState.changed = lambda self: []",
        case("changes global state in an answer"),
        "ok instead of wrong",
    ),
    Defence(
        (43,),
        "no ready-made answer",
        "rules._READY_MADE_BUILTINS.clear(); rules._READY_MADE_PYTHON.clear()",
        case("calls a ready-made batch norm"),
        "ok instead of wrong",
    ),
    Defence(
        (11,),
        "what cells did to global state is undone",
        "runner.Runner._restore = lambda self: None",
        answer("np.ones(1) / np.zeros(1)", before=["np.seterr(all='raise')"]),
        "error instead of ok",
    ),
    Defence(
        (3, 11),
        "a warning is no error",
        "runner.Runner._restore = lambda self: None\n"
        "attempt._quiet = __import__('contextlib').nullcontext",
        answer(
            "import warnings; warnings.warn('be careful')",
            before=["import warnings\nwarnings.simplefilter('error')"],
        ),
        "error instead of ok",
    ),
    Defence(
        (15,),
        "an answer that exits is an error",
        f"attempt.SystemExit = runner.BaseException = {_NEVER}",
        case("sys.exit() in an answer"),
        "crashed instead of error",
    ),
    Defence(
        (15,),
        "an answer that interrupts is an error",
        f"runner.BaseException = {_NEVER}",
        case("KeyboardInterrupt"),
        "crashed instead of error",
    ),
    Defence(
        (15,),
        "a cell that exits is an error",
        "shell.Shell.ask_exit = lambda self: None",
        case("exit() in the cell of an answer"),
        "ok instead of error",
    ),
    Defence(
        (8,),
        "lists become arrays",
        "attempt.as_array = lambda value, label: value",
        case("a list"),
        "crashed instead of ok",
    ),
    Defence(
        (8,),
        "tensors become arrays",
        "attempt.as_array = lambda value, label: value",
        case("a tensor with a gradient"),
        "crashed instead of ok",
    ),
    Defence(
        (8, 38),
        "what is no array of numbers is refused",
        "attempt.as_array = lambda value, label: value",
        case("an object array"),
        "crashed instead of wrong",
    ),
]

WALLS = [*NEIGHBOURS, *RIGHTS, *BOMBS, *RULES]
with contextlib.suppress(OSError), socket.socket(socket.AF_VSOCK):
    # Where the kernel has such sockets.
    WALLS.append(
        Defence(
            (25,),
            "no socket to the host of a virtual machine",
            _NO_FILTER,
            cell("import socket\n" + _tries("socket.socket(socket.AF_VSOCK); print('made one')")),
            "made one",
        )
    )


# --- The outer wall and the zygote's start ------------------------------------------------------


def _keep(words):
    return words


@dataclass(frozen=True)
class Outer:
    """A defence whose removal takes a zygote of its own.

    Args:
        threats, name, probe, breach: as in Defence.
        words: takes it away from the command line of the outer wall.
        early: source that takes it away at the zygote's start.
        without: source that takes away the layer in the inner wall.
        given: what holds with and without the defence, as a context.
        start: makes the worker, with and without the defence.
    """

    threats: tuple
    name: str
    probe: Callable
    breach: str
    words: Callable = _keep
    early: str = ""
    without: str = ""
    given: Callable = contextlib.nullcontext
    start: Callable = Pliable

    def __str__(self):
        return self.name


def _reaches_this_machine(worker):
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = f"socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 5)"
        return cell("import socket\n" + _tries(f"{connect}; print('a connection')"))(worker)


def _outlives_the_zygote(worker):
    with session(worker) as made:
        handle = os.dup(made.job._handle)
        made.job.channel.send({"id": 1, "do": "cell", "source": "import time\ntime.sleep(60)"})
        worker.close()
        ended, *_ = select.select([handle], [], [], 4)
        os.close(handle)
    return [] if ended else ["it lives on"]


def _in_a_thread_that_ends(words=_keep, early=""):
    # The kernel takes the thread that started a process for its parent.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(Pliable, words, early).result()


def _lives_on(worker):
    try:
        worker._process.wait(4)
    except subprocess.TimeoutExpired:
        return ["it lives on"]
    return []


def _in_a_terminal(words=_keep, early=""):
    spawn = [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])"]
    return Pliable(lambda wall: spawn + words(wall), early)


def _of_an_ordinary_user(words=_keep, early=""):
    # An ordinary user's sandbox belongs to the user who runs the submission, too.
    return Pliable(words, early + "\nisolate.drop_root = lambda: None")


_OPEN = Path("/var/tmp")


@contextlib.contextmanager
def _shows_an_open_folder():
    """Have the sandbox show, like a folder of Python's, one that anybody may write to."""
    folders = sandbox.python_folders()
    with (
        tempfile.TemporaryDirectory(dir=_OPEN, prefix="open-") as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        os.chmod(folder, 0o777)
        patch.setattr(sandbox, "python_folders", lambda: [*folders, folder])
        yield


def _writable(words):
    made = list(words)
    for index, word in enumerate(words):
        if word.startswith(f"{_OPEN}/open-") and words[index - 1] == "--ro-bind":
            made[index - 1] = "--bind"
    return made


def _writes_to_an_open_folder(worker):
    folder = Path(sandbox.python_folders()[-1])
    with session(worker) as made:
        lines(made, _tries(f"open('{folder}/evil.py', 'w').close()"))
    return [path.name for path in folder.iterdir()]


def _writable_root(words):
    (at,) = [i for i, word in enumerate(words) if word == "/" and words[i - 1] == "--remount-ro"]
    return words[: at - 1] + words[at + 1 :]


def _with(folder):
    """Return a change of the command line: a folder around or of the package is shown, whole."""

    def shown(words):
        covered = words.index("--remount-ro")
        assert words[covered + 1] == str(PACKAGE)
        return [*words[: covered + 2], "--ro-bind", folder, folder, *words[covered + 2 :]]

    return shown


# In a temporary folder it is hidden by the inner wall as well, which shows only what it keeps.
_KEEP_THE_COURSE = (
    f"course, furnish = {str(PACKAGE.parent)!r}, isolate.furnish\n"
    "isolate.furnish = lambda disk, kept: furnish(\n"
    "    disk, [course, *(folder for folder in kept if not folder.startswith(course))]\n)"
)


def _course_files(worker):
    found = f"import os\nfor name in os.listdir({str(PACKAGE.parent)!r}): print(name)"
    # The environment of Python may be there, too.
    visible = {Path(folder).name for folder in sandbox.visible_folders()}
    return sorted(set(cell(found)(worker)) - visible)


def _self_check_fails(worker):
    with session(worker) as made:
        error = made.run_cell("from bncourse import check\ncheck(len, 'normalize')").error
    return [f"it raised {error}"] if error else []


@contextlib.contextmanager
def _is_told():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBGRADER_EXECUTION", "autograde")
        patch.setenv("BNCOURSE_CANARY", "BNCOURSE_CANARY")
        yield


# What was there before the zygote's first fork is frozen, and the collector does not list it.
_SEARCHES_MEMORY = answer(
    "return found(x, mean, var, eps)",
    word="error",
    before=[
        "import gc, types\n"
        "gc.unfreeze()\n"
        "found, = [f for f in gc.get_objects() if isinstance(f, types.FunctionType)\n"
        "          and (f.__name__, f.__module__) == ('normalize', 'bncourse.reference.forward')]"
    ],
)
_WITH_THE_PACKAGE = _with(str(PACKAGE))
# A rule that is watched inside forbids calling them, too.
_NO_RULES = (
    "import contextlib\n"
    "attempt.Watch.attempt = contextlib.contextmanager(lambda *a: ([] for _ in range(1)))"
)
_SPECS_IN_MEMORY = f"{_NO_RULES}\nfrom bncourse import registry\nregistry.load({{!r}})".format


def _nowhere(problem_set):
    """Return the Outer that no answer to a problem set is to be found, wherever one looks."""
    return Outer(
        (26, 39),
        f"no answer to {problem_set} in memory or in files",
        cell(search.cell_for(problem_set), memory=2048 * MIB, item_seconds=200.0),
        search.IN_BOTH,
        words=_WITH_THE_PACKAGE,
        early=_SPECS_IN_MEMORY(problem_set),
        start=partial(Pliable, problem_set=problem_set),
    )


OUTER = [
    Outer(
        (41,),
        "an empty environment: no sign of grading",
        case("behaves differently when graded"),
        "wrong instead of ok",
        words=leave_out("--clearenv"),
        given=_is_told,
    ),
    Outer(
        (26,),
        "an empty environment: no secrets",
        case("reads files of the instructor"),
        "shows BNCOURSE_CANARY",
        words=leave_out("--clearenv"),
        given=_is_told,
    ),
    Outer(
        (41,),
        "a name of its own for the machine",
        cell(f"import socket\nif socket.gethostname() == {socket.gethostname()!r}: print('known')"),
        "known",
        words=leave_out("--hostname", "sandbox", "--unshare-uts"),
    ),
    Outer(
        (25,),
        "no network (both walls)",
        _reaches_this_machine,
        "a connection",
        words=leave_out("--unshare-net"),
        without=_NO_NET,
    ),
    Outer(
        (23,),
        "all processes end with the zygote",
        _outlives_the_zygote,
        "it lives on",
        words=leave_out("--unshare-pid"),
    ),
    Outer(
        (23,),
        "the zygote ends with the grader",
        _lives_on,
        "it lives on",
        words=leave_out("--die-with-parent"),
        start=_in_a_thread_that_ends,
    ),
    Outer(
        (24, 27),
        "no terminal of the grader",
        cell(_tries("open('/dev/tty', 'w').close(); print('a terminal')")),
        "a terminal",
        words=leave_out("--new-session"),
        start=_in_a_terminal,
    ),
    Outer(
        (27,),
        "folders that are shown are read-only",
        _writes_to_an_open_folder,
        "evil.py",
        words=_writable,
        given=_shows_an_open_folder,
    ),
    Outer(
        (27, 46),
        "the root folder is read-only",
        _meet(
            _tries("open('/note', 'w').close()"),
            "import os\nif os.path.exists('/note'): print('a note')",
        ),
        "a note",
        words=_writable_root,
        start=_of_an_ordinary_user,
    ),
    Outer(
        (26,),
        "the course is not shown",
        _course_files,
        "pyproject.toml",
        words=_with(str(PACKAGE.parent)),
        without=_KEEP_THE_COURSE,
    ),
    Outer(
        (39,),
        "the references are not shown",
        case("calls the reference"),
        "ok instead of error",
        words=_WITH_THE_PACKAGE,
        early=_NO_RULES,
    ),
    Outer(
        (39,),
        "the solutions of the self-test are not shown",
        answer(
            "from bncourse.trial.corpus import SOLUTIONS",
            "space = {'np': np}",
            "exec(SOLUTIONS['normalize'], space)",
            "return space['normalize'](x, mean, var, eps)",
            word="error",
        ),
        "ok instead of error",
        words=_WITH_THE_PACKAGE,
    ),
    Outer(
        (39,),
        "no reference in memory",
        _SEARCHES_MEMORY,
        "ok instead of error",
        words=_WITH_THE_PACKAGE,
        early=_SPECS_IN_MEMORY("ps1_forward"),
    ),
    Outer(
        (39,),
        "no spec in memory: the known mistakes are made of a right solution",
        answer(
            "import sys",
            "spec = sys.modules['bncourse.exercises.ps1_forward.normalize']",
            "return spec.normalize(x, mean, var, eps)",
            word="error",
        ),
        "ok instead of error",
        words=_WITH_THE_PACKAGE,
        early=_SPECS_IN_MEMORY("ps1_forward"),
    ),
    Outer(
        (39,),
        "no source of an answer in memory",
        cell(
            "import linecache, sys\n"
            "kept = [entry for name, entry in linecache.cache.items() if 'bncourse' in name]\n"
            "texts = [''.join(entry[2]) for entry in kept if len(entry) > 1]\n"
            "for name, module in list(sys.modules.items()):\n"
            "    if name.startswith('bncourse.'):\n"
            "        texts += [text for text in vars(module).values() if isinstance(text, str)]\n"
            "for text in texts:\n"
            "    if 'class BatchNormFunction' in text or 'def fold_conv_bn' in text:\n"
            "        print(text)"
        ),
        "def forward",
        words=_WITH_THE_PACKAGE,
        early=_SPECS_IN_MEMORY("ps4_pytorch"),
        start=partial(Pliable, problem_set="ps4_pytorch"),
    ),
    *map(_nowhere, problem_sets()),
    Outer(
        (4,),
        "the self-check is silent while grading",
        _self_check_fails,
        "it raised",
        early="zygote.silence_check = lambda: None",
    ),
]
if os.getuid() == 0:
    OUTER.append(
        Outer(
            (27,),
            "the zygote is not root",
            cell(_tries("open('/proc/sys/kernel/core_pattern', 'ab').close(); print('opened')")),
            "opened",
            early="isolate.drop_root = lambda: None",
        )
    )
