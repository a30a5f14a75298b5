"""The late penalty as it is due now: points by hand, the deadline and the policy all change it.

nbgrader computes a penalty when it grades. What comes later, such as points by hand, it leaves out.
"""

import math

from nbgrader.api import Gradebook
from nbgrader.preprocessors import AssignLatePenalties
from traitlets import Unicode

from bncourse.grading.nbgrader.extensions import TABLE, apply, deadline_of, extensions_of


class DuePenalty(AssignLatePenalties):
    """nbgrader's late penalty, which knows the extensions of the course."""

    extensions = Unicode(TABLE, help="The table of extensions.").tag(config=True)

    def preprocess(self, nb, resources):
        """Write the penalty of a hand-in into the gradebook."""
        names = resources["nbgrader"]
        with Gradebook(names["db_url"]) as book:
            submission = book.find_submission(names["assignment"], names["student"])
            apply(submission, extensions_of(self.config, names["assignment"]))
            book.db.commit()
        return super().preprocess(nb, resources)


def due_penalty(config, submission, handed_in, score):
    """Return what nbgrader's AssignLatePenalties would take away now.

    Args:
        config: the traitlets Config of the course.
        submission: nbgrader's SubmittedAssignment, for the student and the deadline.
        handed_in: when it came, or None.
        score: the points of the notebook, before the penalty.
    """
    due = deadline_of(submission, extensions_of(config, submission.assignment.name))
    if not handed_in or not due or handed_in <= due:
        return 0.0
    late = (handed_in - due).total_seconds()
    plugins = AssignLatePenalties(config=config)
    plugins.init_plugin()
    penalty = plugins.plugin_inst.late_submission_penalty(submission.student.id, score, late)
    return min(max(penalty or 0.0, 0.0), score)


def refresh(book, config, assignment):
    """Bring the penalties of an assignment up to date, and return who has another one now.

    Args:
        book: the Gradebook.
        config: the traitlets Config of the course.
        assignment: its name.

    Returns:
        ``[(student, old penalty, new penalty)]``, one for each notebook that changed.
    """
    changed, extensions = [], extensions_of(config, assignment)
    for submission in book.assignment_submissions(assignment):
        apply(submission, extensions)
        if submission.timestamp is None:
            # Nothing says when it came, so what was decided stays.
            continue
        for notebook in submission.notebooks:
            old = notebook.late_submission_penalty or 0.0
            new = due_penalty(config, submission, submission.timestamp, notebook.score)
            if not math.isclose(old, new, abs_tol=1e-9):
                notebook.late_submission_penalty = new or None
                changed.append((submission.student.id, old, new))
    book.db.commit()
    return changed
