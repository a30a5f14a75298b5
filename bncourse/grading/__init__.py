"""Trusted grading: the student's code runs in a sandbox, the judge stays outside.

::

    hand-in ─► intake ─► outside ══ arrays only ══► inside (sandbox, forked from a zygote)
                            │                       cells of the notebook, drive half
                            ▼
              judge, reference, course secret ─► record ─► nbgrader's gradebook

Nothing that the student's process says is believed: it answers with arrays, and the arrays are
compared here. Nothing in that process is worth looking for: it is sent how an exercise is driven
(``outside.pack``) and sees the few files that it runs (``rooms``); no reference to the exercises at
hand, no known mistake and no solution is in its memory or in a file that it can read.

The chapter "Grade code that you do not trust" says what this promises.
"""
