"""Run the corpus of bad hand-ins through everything that grading does before nbgrader's part."""

import tempfile
from dataclasses import replace
from pathlib import Path

from bncourse.grading import corpus
from bncourse.grading.cells import script_of
from bncourse.grading.feedback import grade_cell_outputs
from bncourse.grading.grade import grade, ungraded
from bncourse.grading.hand_in import read_hand_in
from bncourse.grading.limits import MIB, Limits
from bncourse.registry import load

LIMITS = Limits(item_seconds=30.0, total_seconds=120.0, memory=512 * MIB, disk=16 * MIB)

_SEED = 4711


def run(bad, worker):
    """Return the Report on a case of the corpus."""
    exercises = load(corpus.PROBLEM_SET)
    limits = replace(LIMITS, **bad.limits)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder, "hand-in")
        folder.mkdir()
        bad.make(folder)
        release = {corpus.NOTEBOOK: corpus.release()}
        found = read_hand_in(folder, corpus.NOTEBOOK, release, limits)
    if found.notebook is None:
        report = ungraded(found.word, found.reason, exercises)
    else:
        report = grade(script_of(found.notebook), exercises, worker, limits, _SEED)
    report.flags += found.flags
    return report


def problems(bad, report):
    """Return what is not as the case demands, one sentence each."""
    found = []
    for name in corpus.ALL:
        want = bad.words.get(name, "ok")
        if str(report.outcomes[name]) != want:
            found.append(f"{name}: {report.outcomes[name]} instead of {want}")
    messages = "\n".join(outcome.message for outcome in report.outcomes.values())
    if bad.says and bad.says not in messages:
        found.append(f'no message says "{bad.says}"')
    flags = [*report.flags, *(f for o in report.outcomes.values() for f in o.flags)]
    if bad.flag and not any(bad.flag in flag for flag in flags):
        found.append(f'no flag says "{bad.flag}"')
    shown = messages + str([result.outputs for result in report.cells])
    shown += str([grade_cell_outputs(name, o) for name, o in report.outcomes.items()])
    found += [f"shows {word}" for word in bad.hidden.split("|") if word and word in shown]
    return found
