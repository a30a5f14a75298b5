"""The fixed vocabulary of outcomes, and what a student reads about each."""

import re
from dataclasses import dataclass, field

WORDS = (
    "ok",
    "wrong",
    "error",
    "timeout",
    "limit",
    "crashed",
    "malformed",
    "missing",
)

# Outcomes that a human should see.
_UNUSUAL = ("timeout", "limit", "crashed", "malformed")

_LONGEST_MESSAGE = 4000

# An exception that means a limit, whatever the rest of its text says.
_LIMITS = {
    "gpu": re.compile(r"CUDA out of memory|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED"),
    "memory": re.compile(r"MemoryError|can't allocate memory|Cannot allocate memory|bad_alloc"),
    "disk": re.compile(r"Errno 28\]|Errno 27\]|No space left|File too large"),
    "pids": re.compile(r"can't start new thread|Errno 11\] Resource temporarily unavailable"),
    "files": re.compile(r"Errno 24\]"),
    # Where a student works, no filter stands between: what is right there must not be a mere error.
    "calls": re.compile(r"Errno 38\]|Function not implemented"),
}


@dataclass(frozen=True)
class Outcome:
    """What came of one exercise of one submission.

    Args:
        word: one of WORDS.
        message: what the student reads; it holds no expected value.
        detail: for ``limit``, which one.
        flags: what a human should look at.
        seconds: the time it took.
        share: of the points that the right parts of a wrong answer earn; see bncourse.credit.
    """

    word: str
    message: str = ""
    detail: str = ""
    flags: tuple[str, ...] = ()
    seconds: float = 0.0
    share: float = 0.0

    def __post_init__(self):
        if self.word not in WORDS:
            raise ValueError(f"The word must be one of {WORDS}. Received: {self.word!r}")

    def __str__(self):
        return f"{self.word}: {self.detail}" if self.detail else self.word

    def points(self, most):
        """Return the points that it earns, of those that can be had.

        >>> Outcome("ok").points(3.0), Outcome("wrong", share=1 / 3).points(2.0)
        (3.0, 0.67)
        """
        # Two digits: what a page shows is what counts.
        return float(most) if self.word == "ok" else round(self.share * most, 2)


@dataclass
class CellResult:
    """What came of one cell: its outputs in the notebook format, and the error if there was one."""

    outputs: list = field(default_factory=list)
    error: str | None = None
    message: str = ""


@dataclass
class Report:
    """What came of one submission.

    Args:
        outcomes: ``{exercise name: Outcome}``.
        cells: the CellResult of each cell, in order.
        seconds: the whole time.
        memory: the most memory seen in use, in bytes.
        flags: what a human should look at.
    """

    outcomes: dict
    cells: list
    seconds: float = 0.0
    memory: int = 0
    flags: list = field(default_factory=list)

    @property
    def needs_a_look(self):
        """Whether a human should see it: it bears a flag, or did not end as work that is tested."""
        outcomes = self.outcomes.values()
        return bool(self.flags) or any(o.flags or o.word in _UNUSUAL for o in outcomes)


def ungraded(word, reason, exercises):
    """Return the Report on a hand-in that has no notebook to grade."""
    return Report({name: Outcome(word, reason) for name in exercises}, [])


def limit_named_in(error, message):
    """Return which limit an exception reports, or None.

    The text comes from the student's process and may lie; it only picks the word for a zero.

    >>> limit_named_in("OSError", "It raised OSError: [Errno 28] No space left on device")
    'disk'
    """
    text = f"{error}: {message}"
    return next((name for name, pattern in _LIMITS.items() if pattern.search(text)), None)


def has_lost_device(error, message):
    """Return whether an exception says that the process cannot use its GPU any more.

    >>> has_lost_device("AcceleratorError", "CUDA error: an illegal memory access was encountered")
    True
    """
    return "CUDA error:" in f"{error}: {message}"


def plain(text):
    """Return text from a student's process, cut and without control characters."""
    text = "".join(c for c in text[: 2 * _LONGEST_MESSAGE] if c in "\n\t" or c.isprintable())
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + " ..."
