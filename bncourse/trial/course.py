"""A small nbgrader course made of the corpus, to try, to measure and to show grading on."""

import re
from pathlib import Path

from bncourse.grading.outside import sandbox
from bncourse.trial import corpus
from bncourse.trial.sample_class import run_nbgrader

CONFIG = """
c = get_config()
c.CourseDirectory.course_id = "trial"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}
"""

TRUSTED = """
from bncourse.grading.nbgrader.config import configure
configure(c, __file__)
"""


def make_course(root, hand_ins, config=CONFIG + TRUSTED):
    """Make a course with one released assignment and what was handed in for it.

    Args:
        root: the folder of the course.
        hand_ins: ``{student: function that writes the notebook into a folder}``.
        config: the text of its ``nbgrader_config.py``.
    """
    root = Path(root)
    if sandbox.why_not():
        # The caller's own work: what is hostile in the corpus needs a sandbox.
        config += "\nc.TrustedExecute.unsafe = True\n"
    (root / "nbgrader_config.py").write_text(config)
    source = root / "solutions" / corpus.PROBLEM_SET
    source.mkdir(parents=True)
    corpus.write(source, _with_solutions(corpus.release()))
    run_nbgrader(root, "generate_assignment", corpus.PROBLEM_SET)
    for student, write in hand_ins.items():
        hand_in(root, student, write)


def hand_in(root, student, write):
    """Have a student of the course hand in what ``write`` writes into a folder."""
    folder = Path(root, "submitted", student, corpus.PROBLEM_SET)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder)


def right(comment=""):
    """Return the writer of a hand-in that is right; a comment tells it from others."""
    notebook = corpus.notebook(before=[f"# {comment}"])
    return lambda folder: corpus.write(folder, notebook)


def _with_solutions(notebook):
    """Return a release as the instructor's notebook, with its stubs marked as solutions."""
    for cell in notebook.cells:
        cell.source = re.sub(
            r"^( *)raise NotImplementedError",
            r"\1### BEGIN SOLUTION\n\1return None\n\1### END SOLUTION",
            cell.source,
            flags=re.MULTILINE,
        )
    return notebook
