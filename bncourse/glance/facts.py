"""Count what came of a class: who handed in, which exercises are hard, which mistakes are common.

The verdicts come from the records of grading, where each is kept as soon as it is there. So the
counts are right during grading too, and nothing runs.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from bncourse.course import read_releases
from bncourse.errors import CourseError
from bncourse.grading.batch.tasks import read_tasks
from bncourse.grading.intake.request import REQUEST
from bncourse.grading.intake.script import graded_cells
from bncourse.grading.nbgrader.gradebook import opened

_CAUSE = re.compile(
    r"^Likely cause(?:, for [^:]*)?: (.*?)(?=^Re-read:|\Z)", re.MULTILINE | re.DOTALL
)

# What a student's place in the class can be.
GRADED, WAITING, UNGRADED, MISSING = "graded", "needs a human", "not graded yet", "nothing came"


@dataclass
class Standing:
    """One student.

    Args:
        student: the id.
        state: one of the four above.
        known: whether the gradebook knows the id.
        points: of what is graded so far, less a late penalty, or None.
        time: when it was handed in, in UTC, or None.
        late: whether that was after the deadline of this student.
        words: ``{exercise: the outcome}``.
        look: why a human should look.
        requests: what the student asks a human to look at again.
        flagged: whether nbgrader's flag is up; a human lowers it.
    """

    student: str
    state: str
    known: bool = True
    points: float | None = None
    time: object = None
    late: bool = False
    words: dict = field(default_factory=dict)
    look: list = field(default_factory=list)
    requests: list = field(default_factory=list)
    flagged: bool = False


@dataclass
class Facts:
    """A class.

    Args:
        problem_set: its name.
        most: the points that can be had.
        standings: a Standing for each student, in order.
        outcomes: ``{exercise: {word: number of students}}``.
        mistakes: ``[(number of students, exercise, hint)]``, the most common first.
        seconds: ``{exercise: the longest time}``.
    """

    problem_set: str
    most: float
    standings: list
    outcomes: dict
    mistakes: list
    seconds: dict

    def count(self, state):
        """Return how many students are in a state."""
        return sum(each.state == state for each in self.standings)


def facts_of(course):
    """Return the Facts of a GradedCourse.

    Raises:
        CourseError: there is no release, or the gradebook cannot be used.
    """
    tasks = _tasks(course)
    points = _points_of(course)
    outcomes, mistakes, seconds = defaultdict(Counter), Counter(), defaultdict(float)
    standings, most = _from_gradebook(course)
    for task in tasks:
        report = task.report or (course.store.get(task.key) if task.key else None)
        known = task.student in standings
        standing = standings.setdefault(task.student, Standing(task.student, UNGRADED, known))
        if standing.state == MISSING:
            standing.state = UNGRADED
        asked = (flag.partition(REQUEST) for flag in task.flags)
        standing.requests += [text for word, request, text in asked if request and not word]
        if report is None:
            standing.state = UNGRADED
            standing.look += [task.problem] if task.problem else []
            continue
        standing.look += [*report.flags, *(f for f in task.flags if not f.startswith(REQUEST))]
        earned = 0.0
        for name, outcome in report.outcomes.items():
            outcomes[name][outcome.word] += 1
            seconds[name] = max(seconds[name], outcome.seconds)
            standing.words[name] = outcome.word
            earned += outcome.points(points.get(name, 0.0))
            if outcome.flags or outcome.word not in ("ok", "wrong", "error", "missing"):
                standing.look.append(f"{name}: {', '.join([str(outcome), *outcome.flags])}")
            for cause in _CAUSE.findall(outcome.message):
                mistakes[name, " ".join(cause.split())] += 1
        if standing.state == UNGRADED:
            # The verdict is there, and the gradebook has it soon.
            standing.state, standing.points = GRADED, (standing.points or 0.0) + earned
    common = sorted(((n, *which) for which, n in mistakes.items()), key=lambda row: (-row[0], row))
    everybody = sorted(standings.values(), key=lambda each: each.student)
    return Facts(course.problem_set, most, everybody, outcomes, common, seconds)


def _tasks(course):
    course.release()
    try:
        return read_tasks(course)
    except CourseError:
        # Nobody handed in: everybody is missing.
        return []


def _points_of(course):
    """Return ``{exercise: points}`` of the release."""
    folder = course.folder(course.directory.release_directory, ".")
    cells = [cell for nb in read_releases(folder).values() for cell in graded_cells(nb)]
    return {cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader.points for cell in cells}


def _from_gradebook(course):
    """Return ``{student: Standing}`` by what the gradebook holds, and the points to be had."""
    from nbgrader.api import MissingEntry

    with opened(course) as book:
        standings = {each.id: Standing(each.id, MISSING) for each in book.students}
        try:
            most = book.find_assignment(course.problem_set).max_score
        except MissingEntry:
            return standings, 0.0
        for submission in book.assignment_submissions(course.problem_set):
            standing = standings[submission.student.id]
            graded = any(
                score is not None
                for notebook in submission.notebooks
                for grade in notebook.grades
                for score in (grade.auto_score, grade.manual_score)
            )
            waits = submission.needs_manual_grade
            standing.state = UNGRADED if not graded else WAITING if waits else GRADED
            if graded:
                penalty = submission.late_submission_penalty or 0.0
                standing.points = max(0.0, submission.score - penalty)
            standing.time = submission.timestamp
            standing.late = submission.total_seconds_late > 0
            standing.flagged = any(notebook.flagged for notebook in submission.notebooks)
    return standings, most


def page_path(course):
    """Return where the page of a class is written: among what only instructors read."""
    return Path(course.records, f"class-{course.problem_set}.html")
