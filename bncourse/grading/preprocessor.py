"""nbgrader's Execute, replaced: cells run in the sandbox, verdicts come from outside of it."""

import json
from pathlib import Path

from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Bool, Dict, Unicode

from bncourse.course_seed import course_seed
from bncourse.grading.audit import record
from bncourse.grading.cells import code_cells, exercises_of, graded_cells, script_of
from bncourse.grading.exporter import MARK
from bncourse.grading.feedback import grade_cell_outputs
from bncourse.grading.grade import grade, ungraded
from bncourse.grading.store import Store, key_of
from bncourse.grading.workers import shared_worker
from bncourse.limits import limits_of


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
    limits = Dict(help="What one submission may use; see bncourse.limits.").tag(config=True)
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
        graded = graded_cells(nb)
        exercises = exercises_of(names["assignment"], graded)
        if "word" in mark:
            report = ungraded(mark["word"], mark["reason"], exercises)
        else:
            report = self._graded(nb, exercises, names["assignment"])
        report.flags = [*report.flags, *mark.get("flags", [])]
        mark["look"] = report.needs_a_look
        for cell in graded:
            name = cell.metadata.nbgrader.grade_id
            cell.outputs = grade_cell_outputs(name, report.outcomes[name])
        self._log(names, report)
        record(Path(self.records, "audit.jsonl"), names, nb, report, self._secret())
        return nb, resources

    def _graded(self, nb, exercises, problem_set):
        """Return the Report on a notebook, and show in it what its cells did."""
        secret, limits = self._secret(), limits_of(self.config)
        script = script_of(nb)
        key = key_of(problem_set, script, exercises, secret, limits, self.unsafe, self.gpu)
        store = Store(Path(self.records, "verdicts"))
        report = store.get(key) if self.reuse else None
        if report is None:
            worker = shared_worker(problem_set, self.unsafe, self.gpu)
            report = grade(script, exercises, worker, limits, secret)
            store.put(key, report)
        nb.metadata[MARK]["verdict"] = key
        for cell, result in zip(code_cells(nb), report.cells, strict=True):
            cell.outputs = result.outputs
        return report

    def _secret(self):
        return course_seed(self.secret_file, self.records)

    def _log(self, names, report):
        words = {name: str(outcome) for name, outcome in report.outcomes.items()}
        self.log.info("%s: %s", names["student"], json.dumps(words))
        for flag in report.flags:
            self.log.warning("%s: %s", names["student"], flag)
