"""Diagrams of the guides: how to work an exercise, and who runs what when it is graded."""

import matplotlib.pyplot as plt

from bncourse.figures.style import COLORS, figure

DOES, HOLDS, HUMAN = COLORS["sky"], COLORS["orange"], COLORS["green"]


def _box(axis, place, words, color, **text):
    frame = {"boxstyle": "round,pad=0.4", "facecolor": color, "alpha": 0.3}
    axis.text(*place, words, ha="center", va="center", bbox=frame, **text)


def _arrow(axis, tail, head, words="", beside=(0, 0.12), **arrow):
    style = {"arrowstyle": "->", "lw": 1.6, "shrinkA": 0, "shrinkB": 0} | arrow
    axis.annotate("", head, tail, arrowprops=style)
    middle = [(a + b) / 2 + shift for a, b, shift in zip(tail, head, beside, strict=True)]
    axis.text(*middle, words, ha="center", va="center")


def _canvas(width, height, size):
    made, axis = plt.subplots(figsize=size)
    axis.set(xlim=(0, width), ylim=(0, height))
    axis.axis("off")
    return made, axis


@figure
def exercise_loop():
    """Draw the loop of an exercise: read, write, check, and back with a hint."""
    made, axis = _canvas(8, 3, (6.4, 2.6))
    _box(axis, (1, 2.3), "read\nthe equation", HOLDS)
    _box(axis, (3.9, 2.3), "write\nthe answer", HUMAN)
    _box(axis, (6.8, 2.3), "run\nthe check", DOES)
    _box(axis, (3.9, 0.6), "read case, difference,\nlikely cause", HOLDS)
    _box(axis, (6.9, 0.6), "next\nexercise", HOLDS)
    _arrow(axis, (1.95, 2.3), (3.1, 2.3))
    _arrow(axis, (4.7, 2.3), (6.1, 2.3))
    _arrow(axis, (6.9, 1.8), (6.9, 1.1), "correct", beside=(0.6, 0))
    _arrow(axis, (6.3, 1.8), (5.2, 1.1), "not yet", beside=(-0.55, 0.15))
    _arrow(axis, (3.9, 1.1), (3.9, 1.8))
    return made


@figure
def who_runs_what():
    """Draw the two processes of grading, and what crosses the wall between them."""
    made, axis = _canvas(8.4, 5.4, (6.4, 4.3))
    axis.axvspan(5.2, 8.4, ymin=0.12, ymax=0.9, color=COLORS["grey"], alpha=0.15, linewidth=0)
    axis.text(2.5, 5.15, "your process", ha="center", va="center", fontweight="bold")
    axis.text(6.8, 5.15, "sandbox", ha="center", va="center", fontweight="bold")
    axis.text(6.8, 0.3, "no network, no course\nfiles, limits", ha="center", va="center")
    _box(axis, (0.8, 4.2), "secret", HOLDS)
    _box(axis, (2.9, 4.2), "inputs", HOLDS)
    _box(axis, (6.8, 4.2), "the student's\nfunction", DOES)
    _box(axis, (2.9, 3.0), "reference", DOES)
    _box(axis, (2.9, 1.8), "judge", DOES)
    _box(axis, (6.8, 1.8), "arrays", HOLDS)
    _box(axis, (2.9, 0.5), "outcome, hint → nbgrader:\npoints, feedback", HOLDS)
    _arrow(axis, (1.4, 4.2), (2.3, 4.2))
    _arrow(axis, (3.5, 4.2), (5.75, 4.2))
    _arrow(axis, (2.9, 3.85), (2.9, 3.35))
    _arrow(axis, (2.9, 2.65), (2.9, 2.15), "expected", beside=(-0.75, 0))
    _arrow(axis, (6.8, 3.65), (6.8, 2.15))
    _arrow(axis, (6.2, 1.8), (3.45, 1.8), "nothing else", beside=(0, 0.25))
    _arrow(axis, (2.9, 1.45), (2.9, 1.0))
    return made
