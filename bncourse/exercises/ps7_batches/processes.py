"""Call a solution in several processes that form a group of torch.distributed, and never hang.

The processes are forks, so that a function of a notebook is in them as it is. Where a system cannot
fork, and for the known mistakes of the course, which are tried by the dozen, threads stand for
them: the group is then a list that all of them write to.
"""

import contextlib
import datetime
import faulthandler
import functools
import io
import os
import pickle
import select
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
import torch.distributed as dist

from bncourse.attempt import as_array, students_line
from bncourse.exercise import Unusable, unpack
from bncourse.rules import CHANGED_LATER, GlobalState

WAITS = (
    "It waits for ever: one process takes part in an exchange that the other has not begun. All "
    "processes must make the same calls of torch.distributed, in the same order."
)
ENDED = "It ends the group of the processes, and the next step needs it. Leave it as it is."
NEVER_ENDS = "It computes without an end: a process was stopped after {} seconds of computing."
DIED = "A process ended before it returned. Received: {}."
OTHER_SIZES = (
    "A process was stopped by SIGABRT. Gloo, which carries the exchanges, does so where the "
    "tensors of one exchange differ in size, as shards of different numbers of examples do: all "
    "processes must hand in the same shape and dtype."
)
KEPT = (
    "What it returns depends on an earlier call. Each call is a step of its own: keep nothing from "
    "one to the next."
)
OVERWRITTEN = "It changes x in place. The caller still needs it: work on a new tensor."

# A right solution computes for milliseconds.
COMPUTING_SECONDS = 2
# Threads that wait for a processor are not asleep: a busy machine does not look like this.
ASLEEP_SECONDS = 0.5
# The end of all patience, also in the processes themselves.
LONGEST_SECONDS = 60


def call_in_processes(obj, shards, returns):
    """Return what a function returns in each process, ``[{label: array}]``.

    Args:
        obj: the function of one tensor.
        shards: arrays, one for each process.
        returns: the structure of a result; see ``unpack``.

    Raises:
        Unusable: a result cannot be used, or the processes wait for each other.
        Exception: what the function raises, in the first process in which it does.
    """
    # What exec makes has no module.
    ours = (getattr(obj, "__module__", None) or "").startswith("bncourse.")
    if ours or not _can_fork():
        return in_threads(obj, shards, returns)
    return in_forks(obj, shards, returns)


def _can_fork():
    # A fork of a program that uses the frameworks of macOS may crash.
    return sys.platform == "linux"


def _called(obj, shard, returns):
    """Return what a function returns, and copies as arrays, by label."""
    x = torch.from_numpy(shard.copy())
    result = unpack(obj(x), returns)
    for label, value in result.items():
        # What is less precise shows when it is compared.
        if isinstance(value, torch.Tensor) and value.element_size() > x.element_size():
            raise Unusable(f"{label} must keep the dtype of x, {x.dtype}. Received: {value.dtype}.")
    arrays = {label: as_array(value, label) for label, value in result.items()}
    if not np.array_equal(x.detach().numpy(), shard):
        raise Unusable(OVERWRITTEN)
    if x.requires_grad:
        raise Unusable("It changes requires_grad of its input x. That is for the caller to set.")
    return result, arrays


# --- processes ------------------------------------------------------------------------------------


def in_forks(obj, shards, returns):
    """Do what ``call_in_processes`` does, in forks of this process."""
    sys.stdout.flush()
    with tempfile.TemporaryDirectory() as folder:
        workers = []
        try:
            for rank in range(len(shards)):
                workers.append(_fork(obj, shards, rank, folder, returns))
            answers = _answers(workers)
        finally:
            for worker in workers:
                _end(worker)
    return _results(answers)


def _fork(obj, shards, rank, folder, returns):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            _be_a_process(obj, shards, rank, folder, returns, writing)
        finally:
            os._exit(1)
    os.close(writing)
    return SimpleNamespace(pid=pid, pipe=reading, received=b"", ended=False)


def _be_a_process(obj, shards, rank, folder, returns, pipe):
    import resource

    # A notebook's kernel has handlers of its own, and asks its children for nothing.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.alarm(LONGEST_SECONDS)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (COMPUTING_SECONDS, hard))
    # The threads of OpenMP did not come along.
    torch.set_num_threads(1)
    # What gloo and Python say of a process that gloo stops would stand above our sentence.
    faulthandler.disable()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        answer = _answer(obj, shards, rank, folder, returns)
    answer |= {"printed": printed.getvalue()}
    with open(pipe, "wb") as stream:
        stream.write(_pickled(answer))
    # Its end would close the connection while the other may still read from it.
    while True:
        signal.pause()


def _answer(obj, shards, rank, folder, returns):
    dist.init_process_group(
        "gloo",
        store=dist.FileStore(str(Path(folder) / "store"), len(shards)),
        rank=rank,
        world_size=len(shards),
        timeout=datetime.timedelta(seconds=LONGEST_SECONDS),
    )
    state = GlobalState()
    try:
        state.stir()
        with mock.patch.multiple(dist, **{name: _late(getattr(dist, name)) for name in _ASYNC}):
            result, arrays = _called(obj, shards[rank], returns)
            with contextlib.redirect_stdout(io.StringIO()):
                _require_no_memory(obj, shards[rank], returns, result, arrays)
        changed = state.changed()
        if changed:
            raise Unusable(changed[0])
        if not dist.is_initialized():
            raise Unusable(ENDED)
        return {"arrays": arrays}
    except (Exception, SystemExit) as error:
        return {"error": error, "line": students_line(error)}


def _require_no_memory(obj, shard, returns, result, arrays):
    """Raise Unusable if a step after this one, or one before it, makes a difference.

    Args:
        obj, shard, returns: what is called.
        result, arrays: what the first call returned, and copies of it.
    """
    _, of_twice = _called(obj, 2 * shard, returns)
    if any(not np.array_equal(as_array(result[label], label), arrays[label]) for label in arrays):
        raise Unusable(CHANGED_LATER)
    # A single result may be the same by right, as a variance that is cut off from below.
    stays = all(np.array_equal(of_twice[label], arrays[label]) for label in arrays)
    _, again = _called(obj, shard, returns)
    # Exchanges may add in another order.
    near = (np.allclose(again[label], arrays[label], 1e-3, equal_nan=True) for label in arrays)
    if (stays and any(map(np.any, arrays.values()))) or not all(near):
        raise Unusable(KEPT)


_ASYNC = ("all_gather", "all_reduce", "broadcast", "reduce")


def _late(call):
    """Return an exchange that is made when it is waited for, if it need not be at once.

    A result that is used before it is there is right now and then: so it is not there.
    """

    @functools.wraps(call)
    def wrapper(*args, async_op=False, **options):
        if not async_op:
            return call(*args, **options)
        return _Handle(lambda: call(*args, **options))

    return wrapper


class _Handle:
    """What an asynchronous exchange returns; the exchange is made at the first question for it."""

    def __init__(self, make):
        self._make = functools.cache(make)

    def wait(self, *timeout):
        self._make()
        return True

    def is_completed(self):
        return self.wait()


def _pickled(answer):
    try:
        packed = pickle.dumps(answer)
        pickle.loads(packed)
    except Exception:
        # An exception of the student's own class, or one that holds what cannot travel.
        error = answer["error"]
        told = RuntimeError(f"{type(error).__name__}: {error}")
        packed = pickle.dumps(answer | {"error": told})
    return packed


def _answers(workers):
    """Return what the processes answer, None for one that waits when nothing moves any more."""
    deadline = time.monotonic() + LONGEST_SECONDS
    asleep_since = time.monotonic()
    spent = None
    while True:
        waiting = [worker for worker in workers if not worker.ended]
        # Where one has died, the others wait for it or end with it.
        if not waiting or any(worker.ended and not worker.received for worker in workers):
            break
        for pipe in select.select([worker.pipe for worker in waiting], [], [], 0.02)[0]:
            _read(next(worker for worker in waiting if worker.pipe == pipe))
        now, before = time.monotonic(), spent
        spent = [_computing(worker.pid) for worker in waiting if not worker.ended]
        if spent != before or None in spent:
            asleep_since = now
        if now - asleep_since > ASLEEP_SECONDS or now > deadline:
            break
    return [_answer_of(worker) for worker in workers]


def _read(worker):
    data = os.read(worker.pipe, 2**16)
    worker.received += data
    worker.ended = not data


def _computing(pid):
    """Return the time that a process has computed, or None while one of its threads runs."""
    states, spent = set(), 0
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            # The name of the program, in brackets, may hold anything.
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            states.add(fields[0])
            spent += int(fields[11]) + int(fields[12])
    return spent if states == {"S"} else None


def _answer_of(worker):
    if not worker.ended:
        return None
    if worker.received:
        return pickle.loads(worker.received)
    status = os.waitpid(worker.pid, 0)[1]
    worker.pid = None
    return {"error": Unusable(_how_it_died(status)), "line": ""}


def _how_it_died(status):
    if not os.WIFSIGNALED(status):
        return DIED.format(f"exit status {os.WEXITSTATUS(status)}")
    number = os.WTERMSIG(status)
    if number == signal.SIGXCPU:
        return NEVER_ENDS.format(COMPUTING_SECONDS)
    if number == signal.SIGABRT:
        return OTHER_SIZES
    return DIED.format(signal.Signals(number).name)


def _end(worker):
    os.close(worker.pipe)
    if worker.pid is not None:
        os.kill(worker.pid, signal.SIGKILL)
        os.waitpid(worker.pid, 0)


def _results(answers):
    """Return the arrays of all processes; raise what the first one raised, if any did."""
    for rank, answer in enumerate(answers):
        if answer and answer.get("printed"):
            print(f"process {rank}: {answer['printed']}", end="")
    for answer in answers:
        if answer and "error" in answer:
            error = answer["error"]
            # Its traceback stayed in the process.
            error.students_line = answer["line"]
            raise error
    if None in answers:
        raise Unusable(WAITS)
    return [answer["arrays"] for answer in answers]


# --- threads --------------------------------------------------------------------------------------


def in_threads(obj, shards, returns):
    """Do what ``call_in_processes`` does, in threads that exchange through a list."""
    group = _Group(len(shards))
    answers = [None] * len(shards)

    def play(rank):
        group.ranks[threading.get_ident()] = rank
        try:
            answers[rank] = {"arrays": _called(obj, shards[rank], returns)[1]}
        except _Waits:
            pass
        except (Exception, SystemExit) as error:
            answers[rank] = {"error": error, "line": students_line(error)}
        finally:
            group.leave()

    threads = [threading.Thread(target=play, args=(rank,)) for rank in range(len(shards))]
    with mock.patch.multiple(dist, **group.calls()):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return _results(answers)


class _Waits(BaseException):
    """A thread waits for one that has ended; no solution catches it by accident."""


class _Group:
    """What torch.distributed is to the threads: each call is a round in which all post a value."""

    def __init__(self, size):
        self.size, self.ranks, self.left = size, {}, 0
        self.changed, self.rounds, self.done = threading.Condition(), {}, {}

    def calls(self):
        """Return the functions of torch.distributed that it stands for, by name."""
        names = (
            "all_gather",
            "all_gather_object",
            "all_reduce",
            "barrier",
            "broadcast",
            "get_rank",
            "get_world_size",
            "is_initialized",
            "reduce",
        )
        return {name: getattr(self, name) for name in names}

    def leave(self):
        with self.changed:
            self.left += 1
            self.changed.notify_all()

    def exchange(self, call, value):
        """Post a value, and return those of all ranks once they are there."""
        rank = self.get_rank()
        with self.changed:
            number = self.done[rank] = self.done.get(rank, 0) + 1
            posts = self.rounds.setdefault(number, {})
            posts[rank] = call, value
            self.changed.notify_all()
            self.changed.wait_for(lambda: len(posts) == self.size or self.left)
            if len(posts) < self.size or len({name for name, _ in posts.values()}) > 1:
                raise _Waits
        return [posts[each][1] for each in range(self.size)]

    def get_rank(self, group=None):
        return self.ranks[threading.get_ident()]

    def get_world_size(self, group=None):
        return self.size

    def is_initialized(self):
        return True

    def barrier(self, **options):
        self.exchange("barrier", None)

    def all_reduce(self, tensor, op=dist.ReduceOp.SUM, group=None, async_op=False):
        values = self.exchange("all_reduce", tensor.detach().clone())
        return self._filled(tensor, _reduced(values, op), async_op)

    def reduce(self, tensor, dst=0, op=dist.ReduceOp.SUM, group=None, async_op=False):
        values = self.exchange("reduce", tensor.detach().clone())
        return self._filled(
            tensor, _reduced(values, op) if self.get_rank() == dst else tensor, async_op
        )

    def broadcast(self, tensor, src=0, group=None, async_op=False):
        values = self.exchange("broadcast", tensor.detach().clone())
        return self._filled(tensor, values[src], async_op)

    def all_gather(self, tensor_list, tensor, group=None, async_op=False):
        values = self.exchange("all_gather", tensor.detach().clone())
        handles = [
            self._filled(place, value, async_op)
            for place, value in zip(tensor_list, values, strict=True)
        ]
        return _Handle(lambda: [each.wait() for each in handles]) if async_op else None

    def all_gather_object(self, object_list, obj, group=None):
        object_list[:] = self.exchange("all_gather_object", obj)

    def _filled(self, tensor, value, async_op):
        if tensor.shape != value.shape:
            raise RuntimeError(f"tensors must be of one shape: {tensor.shape} and {value.shape}")
        handle = _Handle(lambda: tensor.detach().copy_(value))
        return handle if async_op else _waited(handle)


def _waited(handle):
    handle.wait()


def _reduced(values, op):
    stacked = torch.stack(values)
    if op == dist.ReduceOp.SUM:
        return stacked.sum(0)
    if op == dist.ReduceOp.PRODUCT:
        return stacked.prod(0)
    if op == dist.ReduceOp.MAX:
        return stacked.amax(0)
    if op == dist.ReduceOp.MIN:
        return stacked.amin(0)
    raise RuntimeError(f"Cannot use {op} here. Use the sum.")
