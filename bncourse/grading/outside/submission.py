"""Grade one submission: its cells in the sandbox, its verdicts here."""

import contextlib
import time
from dataclasses import replace

import numpy as np

from bncourse.credit import right_parts, share, told
from bncourse.exercise import asked
from bncourse.grading.feedback import error_output
from bncourse.grading.intake.script import defines
from bncourse.grading.outcome import CellResult, Outcome, Report, limit_named_in
from bncourse.grading.outside.session import OVER, Lost, Session, used_up
from bncourse.grading.sanitise import cut_to
from bncourse.judge import judge
from bncourse.message import report
from bncourse.rules import names_forbidden_call

# Outcomes of work that was tested and found wanting.
_BY_VALUE = ("wrong", "error", "missing")

# A result that depends on chance shows within a few draws.
DRAWS = 3


def grade(script, exercises, process, limits, secret):
    """Return the Report on a submission.

    Args:
        script: the Script of its cells.
        exercises: the exercises to grade, ``{name: Exercise}``.
        process: the WarmProcess that runs them.
        limits: the Limits.
        secret: the seed of the course; see bncourse.grading.record.seed.

    Raises:
        Infra: the grader failed, not the submission.
    """
    start = time.monotonic()
    submission = _Submission(script, process, limits)
    seeds = [secret + draw for draw in range(DRAWS)]
    try:
        outcomes = submission.grade_all(exercises, seeds)
    finally:
        submission.close()
    return Report(
        {name: outcomes[name] for name in exercises},
        submission.results,
        time.monotonic() - start,
        submission.peak_memory,
        [f"a cell: {flag}" for lost in submission.lost.values() for flag in lost.flags],
    )


class _Submission:
    """A submission while it is graded: a process that is made anew whenever it was lost."""

    def __init__(self, script, process, limits):
        self.script, self.process, self.limits = script, process, limits
        self.deadline = time.monotonic() + limits.total_seconds
        self.results = [CellResult() for _ in script.sources]
        self.room, self.all_shown = limits.shown, False
        # Cells that cost a process, by index; they are left out from then on.
        self.lost = {}
        # The process, and how many cells have run in it.
        self.session, self.ran = None, 0
        self.peak_memory = 0

    def close(self):
        if self.session:
            self.peak_memory = max(self.peak_memory, self.session.job.peak_memory)
            self.session.close()
            self.session = None

    def grade_all(self, exercises, seeds):
        """Run all cells, then test; return ``{name: Outcome}``.

        Cells show what they do before anything is tested: afterwards they could print what the
        tests told them. An answer that is not right in the end may have been right at its place.
        """
        end = len(self.script.sources)
        with contextlib.suppress(Lost):
            self._run_to(end)
        self.all_shown = True
        outcomes = {name: self.grade(each, seeds, end) for name, each in exercises.items()}
        places = {
            name: place
            for name, place in self.script.places.items()
            if outcomes[name].word in _BY_VALUE and self.script.may_change_after(place)
        }
        if places:
            self.close()
        for name in sorted(places, key=places.get):
            again = self.grade(exercises[name], seeds, places[name])
            outcomes[name] = _better(again, outcomes[name])
        return outcomes

    def grade(self, exercise, seeds, place):
        """Return the Outcome of one exercise after the cells before a place have run."""
        start = time.monotonic()
        try:
            self._run_to(place)
            outcome = self._grade(exercise, seeds, place)
        except Lost as lost:
            self.close()
            outcome = lost.outcome
        return replace(outcome, seconds=time.monotonic() - start)

    def _grade(self, exercise, seeds, place):
        cell = self._cell_of(exercise.name, place)
        if cell in self.lost:
            return self.lost[cell]
        result = self.results[cell] if cell is not None else CellResult()
        if result.error == "SystemExit":
            return Outcome("error", result.message)
        deadline = self.session.item_deadline()
        # Most wrong answers show in the first draw; the other draws go out together.
        for part in (seeds[:1], seeds[1:]):
            outcome = self._judge(exercise, part, seeds, deadline)
            if outcome is None:
                return self._undefined(exercise.name, result)
            if outcome.word != "ok":
                break
        return self._explained(outcome, place)

    def _explained(self, outcome, place):
        """Return the outcome, with the cell that failed where that may be why a name is unknown."""
        failed = [each for each in self.results[:place] if each.error]
        if "NameError" not in outcome.message or not failed:
            return outcome
        first = f"A cell above it failed in grading. {failed[0].message}"
        return replace(outcome, message=f"{outcome.message}\n{first}")

    def _judge(self, exercise, part, seeds, deadline):
        """Return the Outcome of some of the draws of an exercise, or None if it is not defined."""
        weights = self.script.weights.get(exercise.name)
        draws = [asked(exercise, seed) for seed in part]
        rounds = self.session.attempt(exercise, [cases for cases, _ in draws], deadline)
        if rounds is None:
            return None
        for (cases, expected), attempts in zip(draws, rounds, strict=True):
            verdict = judge(exercise, cases, attempts, weights=weights, expected=expected)
            if verdict.kind != "ok":
                again = self.session.attempt(exercise, [cases], deadline)
                unnamed = verdict.kind == "wrong" and not verdict.mistakes
                if unnamed and not (again and _agree(attempts, again[0])):
                    return Outcome("wrong", _not_deterministic(exercise))
                flags = ("forbidden call",) if names_forbidden_call(verdict.finding) else ()
                right = self._right_parts(exercise, verdict.right, weights, seeds)
                verdict = replace(verdict, credit=told(weights, right))
                message = report(exercise, verdict, hidden=True)
                return Outcome(verdict.kind, message, flags=flags, share=share(weights, right))
        return Outcome("ok")

    def _right_parts(self, exercise, right, weights, seeds):
        """Return those of some parts that are right in all draws, as all of a right answer is."""
        if not right:
            return ()
        draws = [asked(exercise, seed) for seed in seeds]
        deadline = self.session.item_deadline()
        rounds = self.session.attempt(exercise, [cases for cases, _ in draws], deadline)
        if rounds is None:
            return ()
        for (cases, expected), attempts in zip(draws, rounds, strict=True):
            found = right_parts(exercise, cases, attempts, expected, weights)
            right = [part for part in right if part in found]
        return right

    def _undefined(self, name, result):
        failed = f"The cell that defines {name} failed.\n{result.message}"
        if result.error:
            return _over(result) or Outcome("error", failed)
        missing = f"Nothing called {name} is defined in your notebook."
        lost = self._lost_at(name)
        if lost is None:
            return Outcome("missing", missing)
        return replace(lost, message=f"{missing} A cell in its place broke off. {lost.message}")

    def _lost_at(self, name):
        """Return the Outcome of the last cell between two checks that reached a limit, or None.

        Such a cell may stand in the place of an answer without a definition in it.
        """
        own = self.script.places.get(name, 0)
        start = max((each for each in self.script.places.values() if each < own), default=0)
        cells = reversed(range(start, own))
        found = (self.lost.get(index) or _over(self.results[index]) for index in cells)
        return next(filter(None, found), None)

    def _cell_of(self, name, place):
        """Return the index of the last cell before a place that defines a name, or None."""
        found = [
            index
            for index, source in enumerate(self.script.sources[:place])
            if defines(name, source)
        ]
        return found[-1] if found else None

    def _run_to(self, place):
        """Have a process in which the cells before a place ran, but for those that cost one."""
        if self.session is None or self.ran > place:
            self.close()
            self._start()
        while self.ran < place:
            self.ran += 1
            if self.ran - 1 not in self.lost and not self._run(self.ran - 1):
                self._start()

    def _start(self):
        if time.monotonic() >= self.deadline:
            raise Lost(Outcome("timeout", used_up(self.limits)))
        self.session = Session(self.process.fork(self.limits), self.deadline, self.limits)
        self.ran = 0

    def _run(self, index):
        """Run a cell; return whether the process is still there."""
        try:
            result = self.session.run_cell(self.script.sources[index])
        except Lost as lost:
            self.close()
            self.lost[index] = lost.outcome
            if not self.all_shown:
                word = lost.outcome.word
                self.results[index] = CellResult([error_output(lost.outcome)], word)
            return False
        if not self.all_shown:
            result.outputs, self.room = cut_to(result.outputs, self.room)
            self.results[index] = result
        return True


def _over(result):
    """Return the Outcome of a cell that failed at a limit, or None."""
    limit = result.error and limit_named_in(result.error, result.message)
    return Outcome("limit", OVER[limit], limit) if limit else None


def _better(again, outcome):
    """Return the one of two outcomes of an answer that counts: the second, at its place, first."""
    more = again.word == "ok" or again.share >= outcome.share
    return again if again.word in ("ok", *_BY_VALUE) and more else outcome


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
