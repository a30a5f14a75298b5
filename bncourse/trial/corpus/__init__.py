"""Bad, odd and hostile hand-ins, each with the outcome it must get.

``bncourse grade --self-test`` runs them on the instructor's machine, the tests run them on ours.
Every hand-in is a notebook for the first problem set in which everything is right but for the
trick, so that a case also shows that the other exercises keep their verdicts.

How they are made:

- ``answers``: the problem set, its right and its wrong answers.
- ``making``: notebooks, and ``Bad``: a hand-in with its outcome.

The hand-ins, with their numbers in the table of threats:

- ``ordinary``: of honest students (1 to 11, 48, 51).
- ``stuck``: do not end, or end too early (12 to 17).
- ``greedy``: take more memory, processes or disk than there is (18 to 21).
- ``noisy``: flood the notebook, leave things running, wait for somebody (22 to 24).
- ``escapes``: reach out of the sandbox (16, 25 to 27).
- ``broken_files``: are no notebooks, or not the right one (28 to 31).
- ``edited``: have other tests, metadata or cells (32 to 35).
- ``cheats``: want points for an answer that is wrong or not theirs (36, 38 to 43, 47).
- ``forgeries``: speak in the name of the runner (37).
- ``poison``: hold pickles that run code (44).
- ``leaks``: carry a script or hidden inputs home (45, 46).
"""

from bncourse.trial.corpus import (
    broken_files,
    cheats,
    edited,
    escapes,
    forgeries,
    greedy,
    leaks,
    noisy,
    ordinary,
    poison,
    stuck,
)
from bncourse.trial.corpus.answers import (
    ALL,
    HEAD,
    IMPORTS,
    NOTEBOOK,
    PROBLEM_SET,
    RIGHT,
    SOLUTIONS,
    TARGET,
    WRONG,
    body,
    wrong_everywhere,
)
from bncourse.trial.corpus.escapes import CANARY
from bncourse.trial.corpus.making import Bad, answer_cell, notebook, release, write
from bncourse.trial.corpus.poison import LOADED

__all__ = [
    "ALL",
    "CANARY",
    "HEAD",
    "IMPORTS",
    "LOADED",
    "NOTEBOOK",
    "PROBLEM_SET",
    "RIGHT",
    "SOLUTIONS",
    "TARGET",
    "WRONG",
    "Bad",
    "answer_cell",
    "body",
    "corpus",
    "notebook",
    "release",
    "write",
    "wrong_everywhere",
]

_THEMES = (
    ordinary,
    stuck,
    greedy,
    noisy,
    escapes,
    broken_files,
    edited,
    cheats,
    forgeries,
    poison,
    leaks,
)


def corpus():
    """Return every case."""
    return [case for theme in _THEMES for case in theme.cases()]
