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


class Policy:
    """What one assignment says about late hand-ins, read once for a class.

    Args:
        config: the traitlets Config of the course.
        assignment: its name.

    Attributes:
        extensions: as ``extensions_of``.
    """

    def __init__(self, config, assignment):
        self.extensions = extensions_of(config, assignment)
        plugins = AssignLatePenalties(config=config)
        plugins.init_plugin()
        self._plugin = plugins.plugin_inst

    def penalty(self, student, handed_in, due, score):
        """Return what nbgrader's AssignLatePenalties would take away, or None.

        Args:
            student: the id.
            handed_in: when it came, or None.
            due: when it was due, or None.
            score: the points of the notebook, before the penalty.
        """
        if not handed_in or not due or handed_in <= due:
            return None
        late = (handed_in - due).total_seconds()
        penalty = self._plugin.late_submission_penalty(student, score, late)
        return None if penalty is None else min(max(penalty, 0), score)

    def due(self, submission):
        """Return ``[(notebook, its penalty as it is due now)]`` of one SubmittedAssignment."""
        if submission.timestamp is None:
            # Nothing says when it came, so what was decided stays.
            return [(each, each.late_submission_penalty or 0.0) for each in submission.notebooks]
        until = deadline_of(submission, self.extensions)
        student, came = submission.student.id, submission.timestamp
        return [
            (each, self.penalty(student, came, until, each.score) or 0.0)
            for each in submission.notebooks
        ]


def refresh(book, config, assignment):
    """Bring the penalties of an assignment up to date, and return who has another one now.

    Args:
        book: the Gradebook.
        config: the traitlets Config of the course.
        assignment: its name.

    Returns:
        ``[(student, old penalty, new penalty)]``, one for each notebook that changed.
    """
    changed, policy = [], Policy(config, assignment)
    for submission in book.assignment_submissions(assignment):
        apply(submission, policy.extensions)
        for notebook, new in policy.due(submission):
            old = notebook.late_submission_penalty or 0.0
            if not math.isclose(old, new, abs_tol=1e-9):
                notebook.late_submission_penalty = new or None
                changed.append((submission.student.id, old, new))
    book.db.commit()
    return changed
