"""What ends a command with a sentence: the message, what to do about it, and the exit status."""


class CourseError(Exception):
    """The course, or the command, is not as it must be: somebody has to put it right.

    Args:
        message: the sentence to show.
        hint: what to do about it, a sentence too.
    """

    exit_code = 2

    def __init__(self, message, hint=""):
        super().__init__(f"{message} {hint}" if hint else message)
        self.hint = hint


class Infra(CourseError):
    """The grader or its machine failed, not the submission: no grade, try again."""

    exit_code = 1


class NoSandbox(CourseError):
    """This machine cannot isolate a submission; the message says why and what to do."""

    exit_code = 1


class Locked(CourseError):
    """The gradebook cannot be read or written now; it passes by itself."""

    exit_code = 1
