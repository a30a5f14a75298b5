"""Talk with the process of a submission, and believe nothing it says.

Each request carries a fresh number that the answer must repeat, so that bytes which the student's
code writes into the connection are at most one wrong answer, and the next real one gives them away.

The student's code has seen the hidden inputs, and feedback must not carry them home: of what it
says in words only the names of known exceptions, known sentences on rules and a short description
of a result of the wrong kind come through.
"""

import builtins
import secrets
import time

from bncourse.attempt import OUR_WORDS, Attempt
from bncourse.errors import Infra
from bncourse.grading.inside.protocol import BadFrame, Closed, OutOfTime
from bncourse.grading.inside.transport import encode
from bncourse.grading.outcome import (
    CellResult,
    Outcome,
    has_lost_device,
    limit_named_in,
    plain,
)
from bncourse.grading.sanitise import clean_outputs
from bncourse.rules import rule_of, sentences

_MOST_RULES = 20

# What reading an answer of the wrong shape raises. Its text may hold anything, hidden inputs too.
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, RecursionError)
_LONGEST_DESCRIPTION = 300

_EXCEPTIONS = {
    *(name for name, kind in vars(builtins).items() if isinstance(kind, type)),
    *("Unusable", "_ArrayMemoryError", "LinAlgError", "AxisError", "UFuncTypeError"),
    *("_UFuncNoLoopError", "_UFuncOutputCastingError", "OutOfMemoryError", "BdbQuit"),
}

OVER = {
    "gpu": "It used more memory of the GPU than a submission may.",
    "memory": "It used more memory than a submission may.",
    "pids": "It started more processes and threads than a submission may.",
    "disk": "It wrote more to the disk than a submission may.",
    "files": "It opened more files than a submission may.",
    "calls": "It asked the system for what grading refuses, such as shared memory without a file.",
}


class Lost(Exception):
    """The process is of no more use; ``outcome`` says what came of the request."""

    def __init__(self, outcome):
        super().__init__(str(outcome))
        self.outcome = outcome


class Session:
    """One process of one submission.

    Args:
        job: the Process.
        deadline: the value of ``time.monotonic()`` at which the whole submission ends.
        limits: the Limits.
    """

    def __init__(self, job, deadline, limits):
        self.job, self.deadline, self.limits = job, deadline, limits
        # For a processor, when the present item began.
        self.waited = 0.0

    def close(self):
        """Kill the process and all it started."""
        self.job.close()

    def run_cell(self, source):
        """Return the CellResult of a cell, or raise Lost."""
        message, _ = self._ask({"do": "cell", "source": source}, {}, self.item_deadline())
        try:
            error, text = _text_or_none(message["error"]), _text(message["message"])
            result = CellResult(clean_outputs(message["outputs"], self.limits), error, text)
        except _MALFORMED:
            raise self._tampered("a malformed answer") from None
        _require_device(error, text)
        return result

    def attempt(self, exercise, draws, deadline):
        """Return the attempts at several draws of cases, or None if nothing of the name is defined.

        Args:
            exercise: the Exercise.
            draws: a list of ``{case name: Case}``; all go out at once, for each question costs.
            deadline: the value of ``time.monotonic()`` to give up at.

        Returns:
            A list of ``{case name: Attempt}``, one for each draw.

        Raises:
            Lost: the process is of no more use.
        """
        inputs = {}
        cases = [case for each in draws for case in each.values()]
        asked = [{"inputs": encode(case.inputs, inputs), "dtype": case.dtype} for case in cases]
        request = {"do": "attempt", "exercise": exercise.name, "cases": asked}
        message, arrays = self._ask(request, inputs, deadline)
        if message.get("undefined") is True:
            return None
        try:
            attempts = _read_attempts(exercise, message["attempts"], cases, arrays)
        except _MALFORMED:
            raise self._tampered("a malformed answer") from None
        for made in attempts:
            _require_device(made.error, made.message)
            limit = limit_named_in(made.error, made.message) if made.error else None
            if limit:
                raise Lost(Outcome("limit", OVER[limit], limit))
        left = iter(attempts)
        return [dict(zip(each, left, strict=False)) for each in draws]

    def item_deadline(self):
        """Return when an item that starts now must have ended."""
        self.waited = self.job.waited()
        return min(self.deadline, time.monotonic() + self.limits.item_seconds)

    def _ask(self, request, arrays, deadline):
        number = secrets.token_hex(8)
        try:
            until = self.job.extended(deadline, self.waited)
            self.job.channel.send({**request, "id": number}, arrays, until)
            until = self.job.wait_for_answer(deadline, self.waited)
            message, outputs = self.job.channel.receive(until)
        except OutOfTime:
            raise Lost(self._too_slow()) from None
        except BadFrame:
            raise self._tampered("something that is no message") from None
        except Closed:
            raise Lost(self._post_mortem()) from None
        if message.get("id") != number:
            raise self._tampered("an answer to no question")
        return message, outputs

    def _too_slow(self):
        # Forking takes time: a bomb may reach the limit of time before that of processes.
        if self.job.peak_tasks > self.limits.processes // 2:
            return Outcome("limit", OVER["pids"], "pids")
        if time.monotonic() >= self.deadline:
            return Outcome("timeout", used_up(self.limits))
        return Outcome(
            "timeout", f"It ran for more than {self.limits.item_seconds:g} seconds and was stopped."
        )

    def _post_mortem(self):
        fate = self.job.fate()
        if self.job.failure:
            raise Infra(self.job.failure)
        if self.job.exceeded:
            return Outcome("limit", OVER[self.job.exceeded], self.job.exceeded)
        return Outcome("crashed", f"Its process ended before it returned: {fate}.")

    def _tampered(self, what):
        return Lost(
            Outcome("crashed", f"Its process sent the grader {what}.", flags=("tamper",)),
        )


def _require_device(error, message):
    """Raise Lost if the process has lost its GPU: only a new process has a working one."""
    if error and has_lost_device(error, message):
        raise Lost(Outcome("crashed", "It broke its connection to the GPU (a CUDA error)."))


def used_up(limits):
    """Return what a student reads when the time of the whole submission is over."""
    return f"The whole notebook may take {limits.total_seconds:g} seconds, and they were used up."


def _read_attempts(exercise, answers, cases, arrays):
    if not isinstance(answers, list) or len(answers) != len(cases):
        raise TypeError(f"{len(cases)} attempts expected")
    outputs = [{} for _ in answers]
    for label, array in arrays.items():
        number, _, name = label.partition("/")
        outputs[int(number)][name] = array
    return [_read_attempt(exercise, *each) for each in zip(cases, answers, outputs, strict=True)]


def _read_attempt(exercise, case, answer, outputs):
    error = _text_or_none(answer["error"])
    message = _text(answer["message"])
    return Attempt(
        outputs=outputs,
        error=error if error is None or error in _EXCEPTIONS else "an exception",
        # The one text that is shown as it came describes a result of the wrong kind.
        message=OUR_WORDS.get(error, message[:_LONGEST_DESCRIPTION]),
        rules=tuple(_rule(_text(rule), exercise, case) for rule in answer["rules"][:_MOST_RULES]),
        printed=_text(answer["printed"]),
    )


def _rule(text, exercise, case):
    # What the student's code has in the place of what is asked could be anything.
    rule = rule_of(text)
    known = rule in sentences(exercise, case.inputs)
    return rule if known else "It breaks a rule of this exercise."


def _text(value):
    if not isinstance(value, str):
        raise TypeError("text expected")
    return plain(value)


def _text_or_none(value):
    return None if value is None else _text(value)
