"""Take one defence of the grader away and see what gets through: the tools.

A removal on the grader's side is a function of pytest's monkeypatch. A removal inside the sandbox
is Python source, which a ``Pliable`` worker runs in the process of a submission just before its
inner wall is built. A probe takes a worker and returns what got through, one line each.
"""

import builtins
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from bncourse.grading.outside import sandbox
from bncourse.grading.outside.session import Lost, Session
from bncourse.grading.outside.warm import WarmProcess
from bncourse.limits import MIB, Limits
from bncourse.trial import corpus, selftest

LIMITS = Limits(item_seconds=20, total_seconds=60, memory=512 * MIB, disk=16 * MIB)

_TRIES = 3

_CASES = {bad.name: bad for bad in corpus.corpus()}


@dataclass(frozen=True)
class Defence:
    """One defence of the grader.

    Args:
        threats: the numbers of the threats that it answers, in the table of threats.
        name: what it is, in words; several layers against one threat are removed together.
        remove: takes it away: a function of monkeypatch, or source for a Pliable worker.
        probe: ``worker -> lines``, one for each thing that got through.
        breach: what one of the lines must contain once the defence is gone.
        also: a layer on the grader's side that answers the same threat, as a function.
    """

    threats: tuple
    name: str
    remove: Callable | str
    probe: Callable
    breach: str
    also: Callable = lambda patch: None

    def __str__(self):
        return self.name


def check_clean(probe, worker):
    """Assert that nothing gets through."""
    found = probe(worker)
    assert not found, f"With every defence in place the probe must find nothing. It found: {found}"


def check_breached(defence, worker):
    """Assert that what gets through without the defence is what it is there for."""
    # A try that a busy machine stops has shown nothing; a breach has to show once.
    for _ in range(_TRIES):
        found = defence.probe(worker)
        if any(defence.breach in line for line in found):
            return
    raise AssertionError(
        f'Without "{defence.name}" the probe must find "{defence.breach}". It found: {found}'
    )


# --- Probes -------------------------------------------------------------------------------------


def case(bad, may_raise=(), **changes):
    """Return a probe: a hand-in of the corpus must get its outcome.

    Args:
        bad: the Bad, or the name of one in the corpus.
        may_raise: exceptions that count as a breach; others are a fault of the test.
        changes: fields of the Bad to change.
    """
    bad = replace(_CASES[bad] if isinstance(bad, str) else bad, **changes)

    def probe(worker):
        try:
            return selftest.problems(bad, selftest.run(bad, worker))
        except may_raise as error:
            return [f"{type(error).__name__} in the grader"]

    return probe


def hand_in(name, words, nb, **options):
    """Return a case of our own, which is not in the corpus."""
    return case(corpus.Bad(0, name, lambda folder: corpus.write(folder, nb), words, **options))


def answer(*lines, word="ok", before=(), **options):
    """Return a probe: the target runs these lines before it answers rightly."""
    nb = corpus.notebook({corpus.TARGET: corpus.body(*lines)}, before)
    return hand_in("an answer", {corpus.TARGET: word}, nb, **options)


@contextlib.contextmanager
def session(worker, **limits):
    """Yield a Session with some limits of its own."""
    limits = replace(LIMITS, **limits)
    deadline = time.monotonic() + max(60, limits.item_seconds)
    made = Session(worker.fork(limits), deadline, limits)
    try:
        yield made
    finally:
        made.close()


def lines(made, source):
    """Return what a cell prints, and the exception it ends with."""
    result = made.run_cell(source)
    printed = "".join(o["text"] for o in result.outputs if o["output_type"] == "stream")
    return printed.split("\n")[:-1] + ([result.message] if result.error else [])


def cell(*sources, **limits):
    """Return a probe: cells in the sandbox print what they should not have been able to do.

    A cell that is stopped for a limit has not done it.
    """

    def probe(worker):
        found = []
        with session(worker, **limits) as made, contextlib.suppress(Lost):
            for source in sources:
                found += lines(made, source)
        return found

    return probe


# --- Removals on the grader's side --------------------------------------------------------------


def put(module, name, value):
    """Return a removal: one name of a module or class means something else."""
    return lambda patch: patch.setattr(module, name, value)


def uncaught(module, *names):
    """Return a removal: a module no longer catches these built-in exceptions.

    An ``except`` clause looks its classes up like any other name.
    """

    def remove(patch):
        for name in names:
            assert name in vars(builtins)
            patch.setattr(module, name, _Never, raising=False)

    return remove


class _Never(Exception):
    """Nothing raises this."""


def together(*removals):
    """Return a removal of several layers."""

    def remove(patch):
        for each in removals:
            each(patch)

    return remove


# --- Removals inside the sandbox ----------------------------------------------------------------

_START = """
import os, random, resource, signal, sys, types
import bncourse.attempt, bncourse.rules
attempt, rules = sys.modules["bncourse.attempt"], sys.modules["bncourse.rules"]
from bncourse.grading.inside import isolate
from bncourse.grading.inside import runner
from bncourse.grading.inside import shell
from bncourse.grading.inside import silence
from bncourse.grading.inside import zygote


def skip_mount(*targets):
    mount = isolate._mount
    isolate._mount = lambda source, target, *rest: (
        None if target in targets else mount(source, target, *rest)
    )


def no_limit(*kinds):
    setrlimit = resource.setrlimit
    resource.setrlimit = lambda kind, value: None if kind in kinds else setrlimit(kind, value)


def patched(limits, *rest):
    # As on two machines: what must not depend on the zygote differs between submissions.
    random.seed()
    exec(limits.pop("without"), globals())
    submission(limits, *rest)


submission, zygote._submission = zygote._submission, patched
"""

# Torch, Keras and matplotlib take seconds to import, and walls do not depend on them.
_BARE = """
def prepare(packages):
    zygote.silence_check()
    return shell.make_shell()


zygote._prepare = prepare
"""


@dataclass(frozen=True)
class _Patched(Limits):
    without: str = ""


class Pliable(WarmProcess):
    """A WarmProcess whose submissions run some source before their walls are built.

    Args:
        words: takes the words of the command line of the outer wall and returns others.
        early: source to run before the first submission.
        bare: whether to leave out the large libraries.
        problem_set: the problem set whose submissions it takes.
    """

    def __init__(
        self, words=lambda words: words, early="", bare=True, problem_set=corpus.PROBLEM_SET
    ):
        # It tries the command line that is changed below.
        sandbox.require()
        start = _START + (_BARE if bare else "") + early + "\nzygote.main()"
        command = sandbox.command

        def changed(arguments, *rest):
            return words(command(["-c", start, *arguments[2:]], *rest))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sandbox, "command", changed)
            super().__init__(problem_set)
        self.without = ""

    def fork(self, limits):
        return super().fork(_Patched(**limits.as_dict(), without=self.without))


def leave_out(*unwanted):
    """Return a change of the command line: these words are gone."""
    return lambda words: [word for word in words if word not in unwanted]
