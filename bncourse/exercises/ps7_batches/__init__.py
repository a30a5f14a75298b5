"""Problem set 7, small, skewed and split batches: its exercises and their known mistakes.

The drive of ``sync`` starts processes; see ``processes``.
"""

from bncourse.exercises.ps7_batches import ghosts, mixture, renorm, sync
from bncourse.exercises.ps7_batches.bugs import BUGS

EXERCISES = (ghosts.EXERCISE, renorm.EXERCISE, mixture.EXERCISE, sync.EXERCISE, *BUGS)
