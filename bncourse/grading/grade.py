"""Grade one submission: its cells in the sandbox, its verdicts here."""

import contextlib
import re
import time
from dataclasses import dataclass, field, replace

import numpy as np

from bncourse.check import draw_cases, report
from bncourse.grading.feedback import error_output
from bncourse.grading.outcome import CellResult, Outcome, limit_named_in
from bncourse.grading.session import OVER, Lost, Session, used_up
from bncourse.judge import judge

_UNUSUAL = ("timeout", "limit", "crashed", "malformed", "tamper")

# A result that depends on chance shows within a few draws.
DRAWS = 3


@dataclass
class Report:
    """What came of one submission.

    Args:
        outcomes: ``{exercise name: Outcome}``.
        cells: the CellResult of each cell, in order.
        seconds: the whole time.
        memory: the most memory seen in use, in bytes.
        flags: what a human should look at.
    """

    outcomes: dict
    cells: list
    seconds: float = 0.0
    memory: int = 0
    flags: list = field(default_factory=list)

    @property
    def needs_a_look(self):
        """Whether a human should see it: it bears a flag, or did not end as work that is tested."""
        outcomes = self.outcomes.values()
        return bool(self.flags) or any(o.flags or o.word in _UNUSUAL for o in outcomes)


def grade(sources, exercises, worker, limits, secret):
    """Return the Report on a submission.

    Args:
        sources: the sources of its code cells, in order, grade cells left out.
        exercises: the exercises to grade, ``{name: Exercise}``.
        worker: the Worker that runs them.
        limits: the Limits.
        secret: the seed of the course; see bncourse.course_seed.

    Raises:
        Infra: the grader failed, not the submission.
    """
    start = time.monotonic()
    submission = _Submission(sources, worker, limits)
    try:
        submission.run_cells()
        outcomes = {
            name: submission.grade(exercise, [secret + draw for draw in range(DRAWS)])
            for name, exercise in exercises.items()
        }
    finally:
        submission.close()
    return Report(
        outcomes,
        submission.results,
        time.monotonic() - start,
        submission.peak_memory,
        [f"a cell: {flag}" for lost in submission.lost.values() for flag in lost.flags],
    )


class _Submission:
    """A submission while it is graded: a process that is made anew whenever it was lost."""

    def __init__(self, sources, worker, limits):
        self.sources, self.worker, self.limits = sources, worker, limits
        self.deadline = time.monotonic() + limits.total_seconds
        self.results = [CellResult() for _ in sources]
        # Cells that cost a process, by index; they are left out from then on.
        self.lost = {}
        self.session = None
        self.peak_memory = 0

    def close(self):
        if self.session:
            self.peak_memory = max(self.peak_memory, self.session.job.peak_memory)
            self.session.close()
            self.session = None

    def run_cells(self):
        """Run the cells for what they show, even if there is nothing to grade."""
        # What went wrong is told with each item, too.
        with contextlib.suppress(Lost):
            self._ensure_session()

    def grade(self, exercise, seeds):
        """Return the Outcome of one exercise."""
        start = time.monotonic()
        try:
            self._ensure_session()
            outcome = self._grade(exercise, seeds)
        except Lost as lost:
            self.close()
            outcome = lost.outcome
        return replace(outcome, seconds=time.monotonic() - start)

    def _grade(self, exercise, seeds):
        cell = self._cell_of(exercise.name)
        if cell in self.lost:
            return self.lost[cell]
        result = self.results[cell] if cell is not None else CellResult()
        if result.error == "SystemExit":
            return Outcome("error", result.message)
        deadline = self.session.item_deadline()
        # Most wrong answers show in the first draw; the other draws go out together.
        for part in (seeds[:1], seeds[1:]):
            outcome = self._judge(exercise, part, deadline)
            if outcome is None:
                return self._undefined(exercise.name, result)
            if outcome.word != "ok":
                break
        return outcome

    def _judge(self, exercise, seeds, deadline):
        """Return the Outcome of some draws of an exercise, or None if it is not defined."""
        draws = [draw_cases(exercise, seed) for seed in seeds]
        rounds = self.session.attempt(exercise, draws, deadline)
        if rounds is None:
            return None
        for cases, attempts in zip(draws, rounds, strict=True):
            verdict = judge(exercise, cases, attempts)
            if verdict.kind != "ok":
                again = self.session.attempt(exercise, [cases], deadline)
                if verdict.kind == "wrong" and not (again and _agree(attempts, again[0])):
                    return Outcome("wrong", _not_deterministic(exercise))
                return Outcome(verdict.kind, report(exercise, verdict, hidden=True))
        return Outcome("ok")

    def _undefined(self, name, result):
        if result.error:
            limit = limit_named_in(result.error, result.message)
            if limit:
                return Outcome("limit", OVER[limit], limit)
            return Outcome("error", f"The cell that defines {name} failed.\n{result.message}")
        return Outcome("missing", f"Nothing called {name} is defined in your notebook.")

    def _cell_of(self, name):
        """Return the index of the last cell that defines a name, or None."""
        pattern = re.compile(
            rf"^\s*(?:(?:async\s+)?def|class)\s+{name}\b|^{name}\s*=", re.MULTILINE
        )
        found = [index for index, source in enumerate(self.sources) if pattern.search(source)]
        return found[-1] if found else None

    def _ensure_session(self):
        """Have a process in which all cells have run, but for those that cost one."""
        while self.session is None:
            if time.monotonic() >= self.deadline:
                raise Lost(Outcome("timeout", used_up(self.limits)))
            self.session = Session(self.worker.fork(self.limits), self.deadline, self.limits)
            for index, source in enumerate(self.sources):
                if index not in self.lost and not self._run(index, source):
                    break

    def _run(self, index, source):
        """Run a cell; return whether the process is still there."""
        try:
            result = self.session.run_cell(source)
        except Lost as lost:
            self.close()
            self.lost[index] = lost.outcome
            self.results[index] = CellResult([error_output(lost.outcome)], lost.outcome.word)
            return False
        # A second run only serves to restore the process; the first is what the reader sees.
        if not self.results[index].outputs:
            self.results[index] = result
        return True


def _not_deterministic(exercise):
    return (
        f"{exercise.name} is not right yet.\n"
        "Not deterministic: called twice with the same inputs it returned different values."
    )


def _agree(attempts, again):
    """Return whether two rounds of attempts at the same inputs gave the same arrays."""
    return all(
        made.error == again[name].error
        and made.outputs.keys() == again[name].outputs.keys()
        and all(
            np.array_equal(array, again[name].outputs[label], equal_nan=True)
            for label, array in made.outputs.items()
        )
        for name, made in attempts.items()
    )
