"""Count what came of a class: who handed in, which exercises are hard, which mistakes are common.

The verdicts come from the records of grading, where each is kept as soon as it is there. So the
counts are right during grading too, and nothing runs. What has changed since a hand-in was graded
is told: the hand-in, the course, a deadline.
"""

import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from bncourse.course import read_releases
from bncourse.errors import CourseError
from bncourse.grading.batch.tasks import read_tasks
from bncourse.grading.intake.request import REQUEST
from bncourse.grading.intake.script import graded_cells
from bncourse.grading.nbgrader.extensions import deadline_of
from bncourse.grading.nbgrader.gradebook import graded, mark_at, opened
from bncourse.grading.nbgrader.known import is_listed
from bncourse.grading.nbgrader.penalties import Policy

_CAUSE = re.compile(
    r"^Likely cause(?:, for [^:]*)?: (.*?)(?=^Re-read:|\Z)", re.MULTILINE | re.DOTALL
)

# What a student's place in the class can be.
GRADED, WAITING, UNGRADED, MISSING = "graded", "needs a human", "not graded yet", "nothing came"
# Files came, and none of them is a hand-in.
LEFT = "came as no hand-in"

# Of what is in the gradebook: what is older there than what counts now.
EARLIER = "graded by an earlier version of the course, or with other limits"
CHANGED = "graded before the hand-in or the release changed"
PENALTY = "another late penalty is due than the gradebook has"

# What brings it up to date.
REMEDIES = {
    EARLIER: "bncourse grade {set}",
    CHANGED: "bncourse grade {set}",
    PENALTY: "bncourse feedback {set}",
}


@dataclass
class Standing:
    """One student.

    Args:
        student: the id.
        state: one of the five above.
        known: whether the list of the class has the id; without a list, the gradebook.
        points: of what is graded so far, less the late penalty that is due now, or None.
        time: when it was handed in, in UTC, or None.
        late: whether that was after the deadline of this student.
        words: ``{exercise: the outcome}``.
        look: why a human should look.
        requests: what the student asks a human to look at again.
        flagged: whether nbgrader's flag is up; a human lowers it.
        old: which of REMEDIES it needs: what of it in the gradebook is old.
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
    old: list = field(default_factory=list)


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

    def old(self):
        """Return ``[(number of students, what is old in the gradebook, what brings it on)]``."""
        counts = Counter(what for each in self.standings for what in each.old)
        return [
            (counts[what], what, command.format(set=self.problem_set))
            for what, command in REMEDIES.items()
            if counts[what]
        ]


def facts_of(course, left=None):
    """Return the Facts of a GradedCourse.

    Args:
        course: the GradedCourse.
        left: ``{student: why what came is no hand-in}``.

    Raises:
        CourseError: there is no release, or the gradebook cannot be used.
    """
    tasks = _tasks(course)
    points = _points_of(course)
    outcomes, mistakes, seconds = defaultdict(Counter), Counter(), defaultdict(float)
    standings, most = _from_gradebook(course)
    for task in tasks:
        known = task.student in standings
        standing = standings.setdefault(task.student, Standing(task.student, UNGRADED, known))
        if standing.state == MISSING:
            standing.state = UNGRADED
        report, old = _report_on(course, task, standing)
        standing.old += [old] if old and old not in standing.old else []
        asked = (flag.partition(REQUEST) for flag in task.flags)
        standing.requests += [text for word, request, text in asked if request and not word]
        if report is None:
            standing.state = standing.state if old else UNGRADED
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
    for student, reasons in (left or {}).items():
        known = student in standings
        standing = standings.setdefault(student, Standing(student, MISSING, known))
        if standing.state == MISSING:
            standing.state = LEFT
            standing.look += reasons
    common = sorted(((n, *which) for which, n in mistakes.items()), key=lambda row: (-row[0], row))
    everybody = sorted(standings.values(), key=lambda each: each.student)
    return Facts(course.problem_set, most, everybody, outcomes, common, seconds)


def _report_on(course, task, standing):
    """Return the Report that counts now or, where only that is there, the one of before.

    Returns:
        the Report or None, and EARLIER, CHANGED or None.
    """
    report = task.report or (course.store.get(task.key) if task.key else None)
    mark = mark_at(graded(course, task)) if standing.state in (GRADED, WAITING) else None
    if mark is None:
        return report, None
    if (mark.reason, mark.text) != (task.reason, task.text):
        return report, CHANGED
    if mark.verdict == task.key:
        return report, None
    return report or course.store.get(mark.verdict), EARLIER


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

    policy = Policy(course.config, course.problem_set)
    with opened(course) as book:
        listed = {each.id: is_listed(each) for each in book.students}
        has_list = any(listed.values())
        standings = {
            each: Standing(each, MISSING, known or not has_list) for each, known in listed.items()
        }
        try:
            most = book.find_assignment(course.problem_set).max_score
        except MissingEntry:
            return standings, 0.0
        for submission in book.assignment_submissions(course.problem_set):
            standing = standings[submission.student.id]
            has_points = any(
                score is not None
                for notebook in submission.notebooks
                for grade in notebook.grades
                for score in (grade.auto_score, grade.manual_score)
            )
            waits = submission.needs_manual_grade
            standing.state = UNGRADED if not has_points else WAITING if waits else GRADED
            if has_points:
                due = sum(penalty for _, penalty in policy.due(submission))
                kept = submission.late_submission_penalty or 0.0
                standing.points = max(0.0, submission.score - due)
                standing.old += [] if math.isclose(due, kept, abs_tol=1e-9) else [PENALTY]
            standing.time = submission.timestamp
            until = deadline_of(submission, policy.extensions)
            standing.late = bool(until and standing.time and standing.time > until)
            standing.flagged = any(notebook.flagged for notebook in submission.notebooks)
    return standings, most


def page_path(course):
    """Return where the page of a class is written: among what only instructors read."""
    return Path(course.records, f"class-{course.problem_set}.html")
