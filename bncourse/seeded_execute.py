"""nbgrader's Execute with inputs drawn from the course secret."""

from nbgrader.preprocessors import Execute
from nbgrader.utils import setenv
from traitlets import Unicode

from bncourse.check import SEED_VARIABLE
from bncourse.course_seed import course_seed


class SeededExecute(Execute):
    """Run a submission so that ``check`` draws inputs the student has not seen."""

    secret_file = Unicode(
        ".course_secret", help="Where the seed of the course is kept; made at the first grading."
    ).tag(config=True)

    def preprocess(self, nb, resources, retries=None):
        """Run all cells; the kernel inherits the seed from the environment."""
        with setenv(**{SEED_VARIABLE: str(course_seed(self.secret_file))}):
            return super().preprocess(nb, resources, retries)
