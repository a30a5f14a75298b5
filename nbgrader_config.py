"""The nbgrader course: ``nbgrader`` commands in this folder read this file."""

from bncourse.grading.nbgrader.config import configure

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

# nbgrader zip_collect understands what Canvas, Moodle and GitHub Classroom give, and files called
# STUDENT_NOTEBOOK.ipynb. Of several files of one student the newest before the deadline counts.
# For another platform set c.HandInCollector.named_regexp.
c.ZipCollectApp.extractor_plugin = "bncourse.platforms.unpack.SafeExtractor"
c.ZipCollectApp.collector_plugin = "bncourse.platforms.collector.HandInCollector"
# nbgrader collect, from the exchange.
c.ExchangeFactory.collect = "bncourse.platforms.exchange.SafeCollect"
c.ExchangeFactory.release_feedback = "bncourse.platforms.exchange.SafeReleaseFeedback"

# Submissions run in a sandbox and are judged outside of it. Without a sandbox nothing is graded;
# `c.TrustedExecute.unsafe = True` grades all the same, and is for your own work only.
configure(c, __file__)
