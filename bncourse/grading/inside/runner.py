"""The process of one submission, inside both walls: it runs cells and attempts cases on request.

Everything here may be taken over by the student's code; nothing here is secret, and nothing it
answers is believed beyond being an array.
"""

import contextlib
import os
import random
import sys
import warnings

import numpy as np

from bncourse.attempt import attempt_each, explain
from bncourse.exercise import Case
from bncourse.grading.inside.protocol import Closed
from bncourse.grading.inside.shell import Recorder
from bncourse.grading.inside.transport import decode
from bncourse.rules import GlobalState

# More is cut by the grader anyway; a longer one would be taken for an attack on it.
_LONGEST_MESSAGE = 8000


class Runner:
    """Serves the requests of one session.

    Args:
        channel: the Channel to the grader.
        shell: the Shell made before the fork.
        exercises: ``{name: Exercise}``, of which only the drive halves are there.
        limits: the Limits as a dict.
    """

    def __init__(self, channel, shell, exercises, limits):
        self.channel, self.shell, self.exercises = channel, shell, exercises
        self.recorder = Recorder(limits["output"], limits["image"])
        self.streams = shell.attach(self.recorder)
        self.pid = os.getpid()
        self.state = None
        self.warning_filters = list(warnings.filters)

    def serve(self):
        """Answer requests until the grader closes the connection."""
        # As in a notebook, a cell may write a module and import it.
        sys.path.insert(0, "")
        self._seed()
        self.state = GlobalState()
        with contextlib.suppress(Closed):
            while True:
                message, arrays = self.channel.receive()
                answer, outputs = getattr(self, f"do_{message['do']}")(message, arrays)
                if os.getpid() != self.pid:
                    # A cell called fork: the copy must not answer in the name of the original.
                    os._exit(0)
                self.channel.send({"id": message["id"], **answer}, outputs)

    def do_cell(self, message, arrays):
        """Run one cell."""
        self.recorder.start()
        sys.stdout, sys.stderr = self.streams
        result = self.shell.run_cell(message["source"], store_history=True)
        error = result.error_before_exec or result.error_in_exec
        return {
            "error": type(error).__name__ if error is not None else None,
            "message": explain(error)[:_LONGEST_MESSAGE] if error is not None else "",
            "outputs": self.recorder.outputs,
        }, {}

    def do_attempt(self, message, arrays):
        """Attempt cases of one exercise."""
        exercise = self.exercises[message["exercise"]]
        if exercise.name not in self.shell.user_ns:
            return {"undefined": True}, {}
        answers, outputs = [], {}
        # Once is enough: ``attempt`` puts back what it finds changed after each case.
        self._restore()
        cases = [Case(decode(each["inputs"], arrays), each["dtype"]) for each in message["cases"]]
        # Nobody is at a keyboard, for whom a KeyboardInterrupt would have to pass.
        obj = self.shell.user_ns[exercise.name]
        made = attempt_each(exercise, obj, cases, caught=BaseException)
        for number in range(len(cases)):
            self.recorder.start()
            each = next(made)
            answers.append(
                {
                    "error": each.error,
                    "message": each.message[:_LONGEST_MESSAGE],
                    "rules": list(each.rules),
                    "printed": each.printed,
                }
            )
            outputs |= {f"{number}/{label}": array for label, array in each.outputs.items()}
        made.close()
        return {"attempts": answers}, outputs

    def _seed(self):
        # Every submission starts from the same random state, so that a regrade repeats it.
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(0)

    def _restore(self):
        """Undo what cells or other exercises did to global switches."""
        self.state.restore()
        warnings.filters[:] = self.warning_filters
        warnings._filters_mutated()
