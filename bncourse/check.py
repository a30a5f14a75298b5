"""The self-check that a student runs: ``check(batchnorm_forward)``."""

import contextlib
import difflib
import gc
import os
import sys
import time

from bncourse import seen
from bncourse.attempt import OUR_WORDS, attempt_each, students_line
from bncourse.credit import share
from bncourse.exercise import describe, draw_cases
from bncourse.judge import judge
from bncourse.limits import Limits
from bncourse.message import report
from bncourse.registry import PROBLEM_SETS, MissingPackage, find, names, set_of

# Grading sets this to draw inputs that a student has not seen.
SEED_VARIABLE = "BNCOURSE_SEED"

# Grading draws a few sets of inputs within its limit, so a check must stay well below it.
_SLOW_SECONDS = 5

_NAMED = 'check(your_function, "name_of_the_exercise")'


class CheckFailed(AssertionError):
    """A check failed; the message is written for a student."""

    def _render_traceback_(self):
        # IPython's hook: show the sentence, not the frames of this package.
        return str(self).splitlines()


def check(obj, name=None, *, seed=None, device=None, weights=None):
    """Check a solution, and say that it is right and what comes next, or what is wrong.

    Args:
        obj: the function or class you wrote.
        name: the name of the exercise; by default the name of ``obj``, or a name that your
            notebook gives it.
        seed: the seed of the inputs; by default the one of the course.
        device: "cpu" or "cuda", for the exercises in PyTorch and Keras.
        weights: what each part weighs, where parts earn points; the notebook says it.

    Raises:
        CheckFailed: an AssertionError whose message names the case, the difference and, where it
            is a known one, the mistake and the equation to re-read.
    """
    exercise = exercise_of(obj, name, sys._getframe(1).f_globals)
    _require_device(exercise, device)
    hidden = seed is None and SEED_VARIABLE in os.environ
    drawn = _seed(seed)
    cases = draw_cases(exercise, drawn)
    with _garbage_of_others_left():
        attempts, seconds = _attempts(exercise, obj, cases, device)
        verdict = judge(exercise, cases, attempts, device, weights)
    if not hidden:
        seen.note(
            exercise.name,
            seen.Seen(verdict.kind == "ok", verdict.case, drawn, share(weights, verdict.right)),
        )
    if verdict.kind != "ok":
        play = [] if hidden else _how_to_play(exercise, verdict)
        raise CheckFailed("\n".join([report(exercise, verdict, hidden), *play])) from None
    note = " It also prints; remove that before you hand in." if _prints(attempts) else ""
    print(f"{exercise.name}: correct in all {len(cases)} cases.{note}")
    if seconds > _SLOW_SECONDS:
        print(_slow(seconds))
    if not hidden:
        print("\n".join(_what_next(exercise)))


@contextlib.contextmanager
def _garbage_of_others_left():
    """Have Python look for garbage among what a block makes only.

    With Keras or PyTorch loaded there are a million objects from before, and a collection that
    looks at each of them takes as long as a check. Who froze them before has a reason of their own.
    """
    ours = not gc.get_freeze_count()
    if ours:
        gc.freeze()
    try:
        yield
    finally:
        if ours:
            gc.unfreeze()


def _attempts(exercise, obj, cases, device):
    """Return ``{name: Attempt}``, one per case, and the seconds that they took."""
    attempts, start = {}, time.perf_counter()
    try:
        made = attempt_each(exercise, obj, cases.values(), device)
        attempts.update(zip(cases, made, strict=True))
    except KeyboardInterrupt as stop:
        running = list(cases)[min(len(attempts), len(cases) - 1)]
        raise CheckFailed(_stopped(exercise, running, time.perf_counter() - start, stop)) from None
    return attempts, time.perf_counter() - start


def _how_to_play(exercise, verdict):
    """Return a line on how to get the inputs of the case that failed, if an answer is there."""
    if verdict.error in OUR_WORDS:
        return []
    call = f'example("{exercise.name}", case="{verdict.case}")'
    return [f"Its inputs: from bncourse import example; {call}"]


def _what_next(exercise):
    """Return lines for a student who got an exercise right."""
    home = set_of(exercise.name)
    order = home.exercises
    done = seen.right(order)
    place = order.index(exercise.name) + 1
    left = [name for name in (*order[place:], *order[:place]) if name not in done]
    count = f"{len(done)} of {len(order)} of this set are right."
    return [exercise.insight, f"{count} Next: {left[0] if left else _next_set(home)}."]


def _next_set(home):
    later = [each for each in PROBLEM_SETS if each.number > home.number]
    return f"problem set {later[0].number}, {later[0].title}" if later else "a net of your own"


def _prints(attempts):
    return any(made.printed for made in attempts.values())


def _seed(seed):
    return int(os.environ.get(SEED_VARIABLE, "0")) if seed is None else seed


def _stopped(exercise, case, seconds, stop):
    """Return what to say where a student interrupts a solution that does not end."""
    told = f'{exercise.name}: stopped after {seconds:.0f} s, in the case "{case}".'
    return "\n".join(filter(None, [told, students_line(stop)]))


def _slow(seconds):
    return (
        f"It took {seconds:.0f} s. Grading checks it with several sets of inputs and allows "
        f"{Limits.item_seconds:.0f} s for all of them together."
    )


def exercise_of(obj, name, names_of_caller):
    """Return the Exercise that ``obj`` answers.

    Args:
        obj: the function or class.
        name: the name of the exercise, or None.
        names_of_caller: what the names mean where the student calls.

    Raises:
        CheckFailed: if there is none, or ``obj`` is neither.
    """
    if name is None and isinstance(obj, str):
        raise CheckFailed(
            f'Pass the function itself, without quotes: check({obj}). Received: "{obj}".'
        )
    called = [name] if name else _names(obj, names_of_caller)
    if not called:
        raise CheckFailed(
            "check takes the function or class you wrote, such as check(batch_statistics). "
            f"Received: {describe(obj)}."
        )
    known = [name for name in called if set_of(name)]
    if not known:
        raise CheckFailed(_unknown(called[0]))
    exercise = find_by_name(known[0])
    if not callable(obj):
        raise CheckFailed(
            f"{exercise.name} must be a function or a class. Received: {describe(obj)}."
        )
    return exercise


def _names(obj, names_of_caller):
    """Return its own name, and those that it has where check is called.

    A lambda, a partial and what a decorator returns do not carry the name they are bound to.
    """
    own = getattr(obj, "__name__", None)
    # Numbers and the like may be one object under names that have nothing to do with each other.
    bound = [name for name, value in names_of_caller.items() if value is obj and callable(obj)]
    return bound if own is None else [own, *bound]


def find_by_name(name):
    """Return the Exercise called ``name``.

    Raises:
        CheckFailed: if there is none, or a package that it needs is missing.
    """
    if not isinstance(name, str) or not set_of(name):
        raise CheckFailed(_unknown(name))
    try:
        return find(name)
    except MissingPackage as missing:
        raise CheckFailed(str(missing)) from None
    except ModuleNotFoundError as absent:
        if not (absent.name or "").startswith("bncourse.exercises"):
            raise
        raise CheckFailed("The self-check does not run where work is graded.") from None


def _unknown(name):
    close = difflib.get_close_matches(str(name), names(), n=1)
    hint = f"Did you mean {close[0]}?" if close else f"Say which it answers: {_NAMED}."
    return f'There is no exercise called "{name}". {hint}'


def _require_device(exercise, device):
    if device in (None, "cpu"):
        return
    if not exercise.takes_device:
        raise CheckFailed(f"{exercise.name} runs on the CPU only. Received: device={device!r}")
    # Keras may run without it, and then says itself what is wrong with a device.
    torch = sys.modules.get("torch")
    if torch is None:
        return
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckFailed(
            f"device must be one that torch can use here. Received: device={device!r} ({reason})"
        ) from None
