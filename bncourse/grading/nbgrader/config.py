"""Switch trusted grading on in an ``nbgrader_config.py``."""

import functools
from pathlib import Path

import nbgrader
from nbconvert.writers import FilesWriter
from nbgrader.preprocessors import OverwriteCells, OverwriteKernelspec, SaveAutoGrades
from traitlets.config import Config, Configurable

from bncourse.grading.intake.aside import prepare
from bncourse.grading.nbgrader import starts
from bncourse.grading.nbgrader.execute import TrustedExecute
from bncourse.grading.nbgrader.exporter import TolerantExporter
from bncourse.grading.nbgrader.extensions import TABLE
from bncourse.grading.nbgrader.flags import RaiseFlag
from bncourse.grading.nbgrader.pages import CurrentPages
from bncourse.grading.nbgrader.penalties import DuePenalty
from bncourse.grading.sanitise import safe_code, safe_markdown

_SANITISE = (OverwriteKernelspec, OverwriteCells)
_GRADE = (TrustedExecute, SaveAutoGrades, DuePenalty, RaiseFlag)

# What a course may set of nbgrader's Autograde without a change of what it does to a hand-in.
_PLAIN = {"exclude_overwriting", "force", "permissions"}
# nbgrader's steps and what they stand on; ``writing`` knows what they do as they come.
_STEPS = (*_SANITISE, *_GRADE, TolerantExporter)
_SETTINGS = {"DuePenalty": {"extensions"}, "AssignLatePenalties": {"plugin_class"}}


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
    config.Autograde.sanitize_preprocessors = [*_SANITISE]
    config.Autograde.autograde_preprocessors = [*_GRADE]
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


def is_as_configured(config):
    """Return whether a course grades with the steps of ``configure``, and none of its own.

    Args:
        config: the traitlets Config of the course.
    """
    ours, expected = config.Autograde, Config()
    configure(expected, "nbgrader_config.py")
    hook = ours.get("pre_convert_hook")
    given = {name: value for name, value in ours.items() if name not in _PLAIN}
    return (
        given == dict(expected.Autograde) | {"pre_convert_hook": hook}
        and getattr(hook, "func", None) is prepare
        and all({*config.get(name, ())} <= known for name, known in _known_settings().items())
        and config.CourseDirectory.get("notebook_id", "*") == "*"
        and not config.CourseDirectory.get("student_id_exclude")
    )


def _known_settings():
    """Return ``{class: what a course may set of it}`` for nbgrader's steps."""
    bases = {base for step in (*_STEPS, FilesWriter) for base in step.__mro__}
    return {
        base.__name__: _SETTINGS.get(base.__name__, set())
        for base in bases
        if issubclass(base, Configurable) and base is not TrustedExecute
    }
