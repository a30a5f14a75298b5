"""Run the corpus of bad hand-ins through everything that grading does before nbgrader's part."""

import contextlib
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from bncourse.errors import Infra
from bncourse.grading.feedback import grade_cell_outputs
from bncourse.grading.outside.warm import WarmProcess
from bncourse.grading.pipeline import grade_all
from bncourse.grading.work import Setting, read
from bncourse.limits import MIB, Limits
from bncourse.trial import corpus

LIMITS = Limits(item_seconds=30.0, total_seconds=120.0, memory=512 * MIB, disk=16 * MIB)

_SEED = 4711


@contextlib.contextmanager
def start():
    """Yield a WarmProcess whose grader has a secret in its environment: the corpus looks for it.

    Some cases of the corpus import torch, which here takes none of their time.
    """
    # A sandbox takes its environment when it starts; planted later, the secret is in no danger.
    os.environ[corpus.CANARY] = corpus.CANARY
    try:
        with WarmProcess(corpus.PROBLEM_SET, packages=("torch",)) as process:
            yield process
    finally:
        os.environ.pop(corpus.CANARY, None)


def run(bad, process):
    """Return the Report on a case of the corpus."""
    setting = Setting(corpus.PROBLEM_SET, replace(LIMITS, **bad.limits), _SEED)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder, "hand-in")
        folder.mkdir()
        bad.make(folder)
        work = read(
            folder, "student", corpus.NOTEBOOK, {corpus.NOTEBOOK: corpus.release()}, setting
        )
    for _ in grade_all([work], setting, process=process):
        pass
    if work.problem:
        raise Infra(work.problem)
    work.report.flags += work.flags
    return work.report


def problems(bad, report):
    """Return what is not as the case demands, one sentence each."""
    return [
        *_other_outcomes(bad, report),
        *_unsaid(bad, report),
        *_leaked(bad, report),
        *_too_much(report, replace(LIMITS, **bad.limits)),
        *_loaded_here(),
    ]


def _other_outcomes(bad, report):
    found = {name: (str(report.outcomes[name]), bad.words.get(name, "ok")) for name in corpus.ALL}
    return [
        f"{name}: {got} instead of {want}" for name, (got, want) in found.items() if got != want
    ]


def _unsaid(bad, report):
    found = []
    if bad.says and bad.says not in "\n".join(_messages(report)):
        found.append(f'no message says "{bad.says}"')
    if bad.flag and not any(bad.flag in flag for flag in _flags(report)):
        found.append(f'no flag says "{bad.flag}"')
    if bad.shows and bad.shows not in str(_outputs(report)):
        found.append(f'no output shows "{bad.shows}"')
    return found


def _leaked(bad, report):
    shown = "\n".join([*_messages(report), *_flags(report), str(_outputs(report))])
    shown += str([grade_cell_outputs(name, o, 2.0) for name, o in report.outcomes.items()])
    return [f"shows {word}" for word in bad.hidden.split("|") if word and word in shown]


def _too_much(report, limits):
    """Return what is larger than a gradebook and a page of feedback can bear."""
    text = [_characters(outputs) for outputs in _outputs(report)]
    images = [_characters(_images(outputs)) for outputs in _outputs(report)]
    said = _characters(_messages(report)) + _characters(_flags(report))
    most = {
        # The grader allows for twice the text, and for what each output costs.
        "the text of a cell": (max(text, default=0), 3 * limits.output),
        "the images of a cell": (max(images, default=0), limits.image),
        "all cells": (sum(text + images), limits.shown),
        "all messages and flags": (said, limits.output),
    }
    return [
        f"{what}: {size} characters of {limit}"
        for what, (size, limit) in most.items()
        if size > limit
    ]


def _loaded_here():
    # Once: the next case has not done it.
    loaded = os.environ.pop(corpus.LOADED, None)
    return ["the grader loaded a pickle of the hand-in"] if loaded else []


def _messages(report):
    return [outcome.message for outcome in report.outcomes.values()]


def _flags(report):
    return [*report.flags, *(flag for o in report.outcomes.values() for flag in o.flags)]


def _outputs(report):
    return [result.outputs for result in report.cells]


def _images(outputs):
    data = [output.get("data", {}) for output in outputs]
    return [bundle[mime] for bundle in data for mime in bundle if mime.startswith("image/")]


def _characters(kept):
    """Return the length of all text in lists and dicts, images left out."""
    if isinstance(kept, str):
        return len(kept)
    if isinstance(kept, dict):
        kept = [value for key, value in kept.items() if not key.startswith("image/")]
    return sum(map(_characters, kept)) if isinstance(kept, list) else 0
