"""nbgrader's Execute, replaced: cells run in the sandbox, verdicts come from outside of it."""

import json
from pathlib import Path

from nbgrader import utils
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Bool, Dict, Unicode

from bncourse.course_seed import course_seed
from bncourse.grading.audit import record
from bncourse.grading.exporter import MARK
from bncourse.grading.feedback import grade_cell_outputs
from bncourse.grading.grade import Report, grade
from bncourse.grading.limits import Limits
from bncourse.grading.outcome import Outcome
from bncourse.grading.store import Store, key_of
from bncourse.grading.workers import shared_worker
from bncourse.registry import load


class TrustedExecute(NbGraderPreprocessor):
    """Run a hand-in in the sandbox and put each outcome into its grade cell."""

    secret_file = Unicode(
        ".course_secret", help="Where the seed of the course is kept; made at the first grading."
    ).tag(config=True)
    records = Unicode(
        ".grading", help="The folder of the record of grading and of the verdicts."
    ).tag(config=True)
    reuse = Bool(
        False, help="Whether to take the verdict on an unchanged submission from the records."
    ).tag(config=True)
    limits = Dict(help="What one submission may use; see bncourse.grading.limits.").tag(config=True)
    unsafe = Bool(False, help="Run without a sandbox: only for your own work.").tag(config=True)
    gpu = Bool(False, help="Whether submissions may use the GPU.").tag(config=True)

    def preprocess(self, nb, resources):
        """Fill in the outputs of a notebook; nbgrader makes points of those of grade cells.

        Raises:
            Infra, NoSandbox: the grader failed. nbgrader then records no grade for this hand-in,
                keeps it, and goes on with the next one.
        """
        names = resources["nbgrader"]
        mark = nb.metadata.setdefault(MARK, {})
        secret = course_seed(self.secret_file)
        code, graded = code_cells(nb), graded_cells(nb)
        exercises = exercises_of(names["assignment"], graded)
        if "malformed" in mark:
            report = malformed(mark["malformed"], exercises)
        else:
            sources = [cell.source for cell in code]
            key = key_of(names["assignment"], sources, exercises, secret, Limits(**self.limits))
            report = self._report(key, sources, exercises, names, secret)
            mark["verdict"] = key
            for cell, result in zip(code, report.cells, strict=True):
                cell.outputs = result.outputs
        report.flags = [*report.flags, *mark.get("flags", [])]
        mark["look"] = report.needs_a_look
        for cell in graded:
            name = cell.metadata.nbgrader.grade_id
            cell.outputs = grade_cell_outputs(name, report.outcomes[name])
        self._log(names, report)
        record(Path(self.records, "audit.jsonl"), names, nb, report, secret)
        return nb, resources

    def _report(self, key, sources, exercises, names, secret):
        store = Store(Path(self.records, "verdicts"))
        report = store.get(key) if self.reuse else None
        if report is None:
            worker = shared_worker(names["assignment"], self.unsafe, self.gpu)
            report = grade(sources, exercises, worker, Limits(**self.limits), secret)
            store.put(key, report)
        return report

    def _log(self, names, report):
        words = {name: str(outcome) for name, outcome in report.outcomes.items()}
        self.log.info("%s: %s", names["student"], json.dumps(words))
        for flag in report.flags:
            self.log.warning("%s: %s", names["student"], flag)


def graded_cells(nb):
    """Return the cells that a test decides on, and no human."""
    return [cell for cell in nb.cells if _is_tested(cell)]


def code_cells(nb):
    """Return the code cells that run: all but the graded ones, whose text is nbgrader's."""
    return [cell for cell in nb.cells if cell.cell_type == "code" and not _is_tested(cell)]


def _is_tested(cell):
    return utils.is_grade(cell) and not utils.is_solution(cell) and cell.cell_type == "code"


def exercises_of(problem_set, graded):
    """Return ``{name: Exercise}`` for graded cells.

    Raises:
        KeyError: if a graded cell has no exercise of its name.
    """
    specs = load(problem_set)
    names = [cell.metadata.nbgrader.grade_id for cell in graded]
    unknown = [name for name in names if name not in specs]
    if unknown:
        raise KeyError(
            f"Each tested cell needs an exercise of the same name in "
            f"bncourse/exercises/{problem_set}. Received: {unknown}."
        )
    return {name: specs[name] for name in names}


def malformed(reason, exercises):
    """Return the Report on a file that is no notebook."""
    return Report({name: Outcome("malformed", reason) for name in exercises}, [])
