"""The nbgrader course: ``nbgrader`` commands in this folder read this file."""

from pathlib import Path

from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    IgnorePattern,
    LimitOutput,
    SaveAutoGrades,
)

from bncourse.seeded_execute import SeededExecute

c = get_config()  # noqa: F821 - nbgrader provides it

c.CourseDirectory.course_id = "batch-norm"

# The text of solutions/ is the single source; exercises/ is what students get.
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"

# nbgrader copies every other file of the source directory to students and into each feedback
# folder. The text sources hold the answers, so they must never be among them.
c.CourseDirectory.ignore = [
    ".ipynb_checkpoints",
    "*.pyc",
    "__pycache__",
    "feedback",
    "*.md",
    ".DS_Store",
]

# The line a student replaces, in code and in text.
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError  # write your answer here"}
c.ClearSolutions.text_stub = "*Write your answer here, in place of this line.*"

# nbgrader gives a test cell zero points for any text on stderr; a warning is not a mistake.
c.IgnorePattern.enabled = True
c.IgnorePattern.pattern = "^"

# Seconds for one cell. The slowest self-check takes under one.
c.ExecutePreprocessor.timeout = 60

# nbgrader's own list, with the one change that grading draws inputs which no student has seen, the
# same ones at each regrade.
c.Autograde.autograde_preprocessors = [
    SeededExecute,
    IgnorePattern,
    ClearMetadataPreprocessor,
    LimitOutput,
    SaveAutoGrades,
    AssignLatePenalties,
    CheckCellMetadata,
]
c.SeededExecute.secret_file = str(Path(__file__).with_name(".course_secret"))

# nbgrader zip_collect: files are called STUDENT_NOTEBOOK.ipynb, such as ada_forward.ipynb. What a
# learning platform puts between the two, such as ada_late_4711_forward.ipynb, is skipped.
c.FileNameCollectorPlugin.named_regexp = (
    r".*/(?P<student_id>[A-Za-z0-9.-]+)_(?:.*_)?(?P<file_id>[A-Za-z0-9-]+)\.ipynb$"
)
