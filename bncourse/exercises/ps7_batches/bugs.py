"""Seven famous bugs, each to be repaired: a student starts from code that runs.

In each module the right solution comes first, and the bug is its first known mistake: the chapter
shows the difference of the two, the notebook starts from the bug, the check names it.
"""

from bncourse.exercises.ps7_batches.bug_1 import BUG as bug_1
from bncourse.exercises.ps7_batches.bug_2 import BUG as bug_2
from bncourse.exercises.ps7_batches.bug_3 import BUG as bug_3
from bncourse.exercises.ps7_batches.bug_4 import BUG as bug_4
from bncourse.exercises.ps7_batches.bug_5 import BUG as bug_5
from bncourse.exercises.ps7_batches.bug_6 import BUG as bug_6
from bncourse.exercises.ps7_batches.bug_7 import BUG as bug_7

BUGS = (bug_1, bug_2, bug_3, bug_4, bug_5, bug_6, bug_7)
