"""nbgrader's Execute, replaced: cells run in the sandbox, verdicts come from outside of it."""

import json
from dataclasses import replace

from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Bool, Dict, Enum, Unicode

from bncourse.errors import Infra
from bncourse.grading.feedback import grade_cell_outputs
from bncourse.grading.intake.script import code_cells, graded_cells
from bncourse.grading.nbgrader.mark import Mark
from bncourse.grading.pipeline import grade_all
from bncourse.grading.record.journal import JOURNAL, record
from bncourse.grading.work import records_of, setting_of, store_of


def show_verdict(notebook, work):
    """Put the outcomes into the grade cells of a notebook, and what its cells showed into the rest.

    Args:
        notebook: with the cells of the Work; changed in place.
        work: the Work, with a whole report.

    Returns:
        the Report, with what a human should look at from reading, too.
    """
    report = replace(work.report, flags=[*work.report.flags, *work.flags])
    Mark.of(work).write(notebook)
    if work.key:
        for cell, result in zip(code_cells(notebook), report.cells, strict=True):
            cell.outputs = result.outputs
    for cell in graded_cells(notebook):
        name, points = cell.metadata.nbgrader.grade_id, cell.metadata.nbgrader.points
        cell.outputs = grade_cell_outputs(name, report.outcomes[name], points)
    return report


class TrustedExecute(NbGraderPreprocessor):
    """Put each outcome of a hand-in into its grade cell, and what its cells showed into the others.

    The exporter has read the hand-in; see ``TolerantExporter.work``.
    """

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
    attempts = Enum(
        ("newest", "best"),
        None,
        allow_none=True,
        help="Whether each attempt of a student is kept, and which counts. None keeps none.",
    ).tag(config=True)
    unsafe = Bool(False, help="Run without a sandbox: only for your own work.").tag(config=True)
    gpu = Bool(False, help="Whether submissions may use the GPU.").tag(config=True)

    def preprocess(self, nb, resources):
        """Fill in the outputs of a notebook; nbgrader makes points of those of grade cells.

        Raises:
            Infra: the grader failed. nbgrader then records no grade for this hand-in, keeps it, and
                goes on with the next one.
        """
        names, work = resources["nbgrader"], self.parent.work
        setting = setting_of(self.config, names["assignment"])
        records = records_of(self.config)
        for _ in grade_all([work], setting, store_of(records), resume=self.reuse):
            pass
        if work.problem:
            raise Infra(work.problem)
        report = show_verdict(nb, work)
        self._log(names, report)
        record(records / JOURNAL, names, nb, report, setting.secret)
        return nb, resources

    def _log(self, names, report):
        words = {name: str(outcome) for name, outcome in report.outcomes.items()}
        self.log.info("%s: %s", names["student"], json.dumps(words))
        for flag in report.flags:
            self.log.warning("%s: %s", names["student"], flag)
