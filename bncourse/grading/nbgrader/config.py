"""Switch trusted grading on in an ``nbgrader_config.py``."""

import functools
from pathlib import Path

import nbgrader
from nbgrader.preprocessors import OverwriteCells, OverwriteKernelspec, SaveAutoGrades

from bncourse.grading.intake.aside import prepare
from bncourse.grading.nbgrader import starts
from bncourse.grading.nbgrader.execute import TrustedExecute
from bncourse.grading.nbgrader.exporter import TolerantExporter
from bncourse.grading.nbgrader.extensions import TABLE
from bncourse.grading.nbgrader.flags import RaiseFlag
from bncourse.grading.nbgrader.pages import CurrentPages
from bncourse.grading.nbgrader.penalties import DuePenalty
from bncourse.grading.sanitise import safe_code, safe_markdown


def configure(config, file):
    """Have ``nbgrader autograde``, the formgrader and NbGraderAPI grade in the sandbox.

    Args:
        config: the ``c`` of nbgrader_config.py, with its directories set.
        file: its ``__file__``; the secret and the records of grading are kept next to it.
    """
    root = Path(file).resolve().parent
    release = config.CourseDirectory.get("release_directory", "release")
    config.GenerateAssignment.preprocessors = starts.preprocessors()
    config.Autograde.pre_convert_hook = functools.partial(
        prepare, release=root / release, refused=root / ".grading" / "refused"
    )
    config.Autograde.exporter_class = TolerantExporter
    # TolerantExporter builds the cells from the release: none is odd, none is there twice. What is
    # left of nbgrader's list makes sure that the release is what the gradebook knows.
    config.Autograde.sanitize_preprocessors = [OverwriteKernelspec, OverwriteCells]
    config.Autograde.autograde_preprocessors = [
        TrustedExecute,
        SaveAutoGrades,
        DuePenalty,
        RaiseFlag,
    ]
    config.TrustedExecute.secret_file = str(root / ".course_secret")
    config.TrustedExecute.records = str(root / ".grading")
    config.DuePenalty.extensions = str(root / TABLE)
    # A page of feedback is made anew when the points that it tells have changed.
    config.GenerateFeedback.exporter_class = CurrentPages
    # Of its own, since nbgrader names a template for all exporters of HTML.
    config.CurrentPages.template_name = "page"
    config.CurrentPages.extra_template_basedirs = [str(Path(__file__).parent)]
    # The formgrader shows what earns a point: its own templates come second.
    formgrader = Path(nbgrader.__file__).parent / "server_extensions" / "formgrader" / "templates"
    config.HTMLExporter.extra_template_basedirs = [
        str(Path(__file__).parent / "formgrader"),
        str(formgrader),
    ]
    config.HTMLExporter.extra_template_paths = [str(formgrader)]
    # The table follows the penalties; by name, since platforms know of grading and not it of them.
    config.ExportApp.plugin_class = "bncourse.platforms.export.PlainExport"
    # Answers are shown to the instructor and to the student with their scripts taken out.
    config.HTMLExporter.filters = {"markdown2html": safe_markdown, "highlight_code": safe_code}
