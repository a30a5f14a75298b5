"""Mark a hand-in that a human should look at, where nbgrader's formgrader shows it."""

from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor

from bncourse.grading.nbgrader.mark import mark_of


class RaiseFlag(NbGraderPreprocessor):
    """Raise nbgrader's flag on a notebook; only a human lowers it."""

    def preprocess(self, nb, resources):
        """Leave the notebook as it is; the gradebook knows the submission by now."""
        mark = mark_of(nb)
        if mark and mark.look:
            names = resources["nbgrader"]
            with Gradebook(names["db_url"]) as book:
                submission = book.find_submission_notebook(
                    names["notebook"], names["assignment"], names["student"]
                )
                submission.flagged = True
                book.db.commit()
        return nb, resources
