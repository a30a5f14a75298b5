"""Problem set 7, batches: its exercises and their known mistakes."""

from bncourse.exercises.ps7_batches.bugs import BUGS

EXERCISES = BUGS
