"""Several attempts of a student: each is kept, and the newest or the best counts.

It is off unless ``c.TrustedExecute.attempts`` says ``"newest"`` or ``"best"``. What stands in
``submitted/`` when a class is collected or graded is kept as an attempt. The one that counts is put
back there, so that nbgrader, the formgrader, feedback and exports see that one and no other.
"""

import datetime
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from bncourse.errors import CourseError
from bncourse.grading.intake.odd import NOTE, is_timestamp, odd_paths, walk
from bncourse.grading.kept import make_folder, open_kept
from bncourse.grading.pipeline import grade_all
from bncourse.grading.work import Work, read

_FOLDER, _MOVE = "attempts", "counts.part"
_RULES = (None, "newest", "best")


@dataclass(frozen=True)
class Attempt:
    """One attempt.

    Args:
        number: 1 for the first that was kept.
        folder: where it is kept.
        time: when it was handed in, in UTC, or None.
    """

    number: int
    folder: Path
    time: datetime.datetime | None = None


def rule_of(course):
    """Return which attempt of a student counts, "newest" or "best", or None where none is kept.

    Raises:
        CourseError: the course says something else.
    """
    rule = course.options.get("attempts", None)
    if rule not in _RULES:
        raise CourseError(
            f'c.TrustedExecute.attempts must be "newest", "best" or None. Received: {rule!r}'
        )
    return rule


def keep(course, students, say=print):
    """Keep what students have handed in, unless it is kept already.

    Args:
        course: the Course.
        students: the ids.
        say: receives a line on each hand-in that cannot be kept; the others are.

    Returns:
        the students whose hand-in is kept.
    """
    done = set()
    for student in students:
        try:
            _finish(course, student)
            _keep(course, student)
            done.add(student)
        except OSError as error:
            say(f"{student}: the attempt could not be kept ({error})")
    return done


def _keep(course, student):
    folder, home = _submitted(course, student), _home(course, student)
    content = _content(course, folder)
    name = _digest(content)
    kept = sorted(home.glob("[0-9]*")) if home.is_dir() else []
    if not content or any(each.name.endswith(f"-{name}") for each in kept):
        return
    target = home / f"{len(kept) + 1:04}-{name}"
    half = home / f"{target.name}.part"
    shutil.rmtree(half, ignore_errors=True)
    make_folder(half)
    for relative, data in content.items():
        make_folder((half / relative).parent)
        with open(open_kept(half / relative, os.O_WRONLY), "wb") as file:
            file.write(data)
    os.replace(half, target)


def attempts_of(course, student):
    """Return the Attempts of a student, the newest last: by time where each has one."""
    home = _home(course, student)
    folders = sorted(home.glob("[0-9]*-*")) if home.is_dir() else []
    found = [
        Attempt(int(each.name.partition("-")[0]), each, _time(course, each))
        for each in folders
        if each.suffix != ".part"
    ]
    timed = all(each.time for each in found)
    return sorted(found, key=lambda each: (each.time, each.number) if timed else each.number)


def settle(course, students, cost, spread, place=True, say=print):
    """Keep all attempts, and have the one that counts in ``submitted/``.

    Args:
        course: the GradedCourse.
        students: the ids, or None for everybody.
        cost: ``(student, time, points) -> what being late takes away``.
        spread: as for ``pipeline.grade_all``.
        place: whether to put the one that counts there; else it is only said.
        say: receives a line for each student with several attempts.

    Returns:
        ``{key: Report}`` of what was graded to find the best.
    """
    rule = rule_of(course)
    if rule is None:
        return {}
    students = students or course.students()
    # What is not kept must not be replaced.
    safe = keep(course, students, say)
    several = {s: found for s in students if s in safe and len(found := attempts_of(course, s)) > 1}
    reports, points = {}, {}
    if rule == "best" and several:
        points, reports = _points(course, several, cost, spread)
    for student, found in several.items():
        chosen = found[-1]
        if rule == "best":
            if any(points[student, each.number] is None for each in found):
                say(f"{student}: an attempt could not be graded, the newest counts for now")
            else:
                # Of equals the newest: the first that is found.
                chosen = max(reversed(found), key=lambda each: points[student, each.number])
        say(f"{student}: of {len(found)} attempts number {chosen.number} counts, the {rule}")
        if place and chosen.folder.name != _standing(course, student):
            _put(course, student, chosen)
    return reports


def _points(course, several, cost, spread):
    """Return ``{(student, number): points or None}`` by the tests, and ``{key: Report}``."""
    releases = course.release()
    most = {
        cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader.points
        for notebook in releases.values()
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    }
    places, works = [], []
    for student, found in several.items():
        for each in found:
            for name in releases:
                places.append((student, each))
                works.append(_read(course, each, student, name, releases))
    graded = grade_all(works, course.setting, course.store, True, spread, slim=True)
    reports = {work.key: work.report for work, _ in graded if work.report}
    points = dict.fromkeys(((student, each.number) for student, each in places), 0.0)
    for (student, each), work in zip(places, works, strict=True):
        key = student, each.number
        if work.report is None:
            points[key] = None
        elif points[key] is not None:
            outcomes = work.report.outcomes.items()
            points[key] += sum(outcome.points(most[name]) for name, outcome in outcomes)
    for student, each in places:
        key = student, each.number
        if points[key] is not None:
            points[key] -= cost(student, each.time, points[key])
    return points, reports


def _read(course, attempt, student, name, releases):
    try:
        return read(attempt.folder, student, name, releases, course.setting)
    except Exception as error:
        # One hand-in that the grader cannot read must not stop the others.
        return Work(student, name, [], problem=type(error).__name__)


def _put(course, student, chosen):
    """Put an attempt in the place of what stands in ``submitted/``.

    Killed half way, ``keep`` finishes it: a note says what is under way.
    """
    note = _home(course, student) / _MOVE
    with open(open_kept(note, os.O_WRONLY | os.O_TRUNC), "w") as file:
        file.write(chosen.folder.name)
    _finish(course, student)


def _finish(course, student):
    home = _home(course, student)
    note = home / _MOVE
    if not note.exists():
        return
    chosen = home / note.read_text()
    if chosen.parent == home and chosen.is_dir() and chosen != home:
        folder = _submitted(course, student)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(chosen, folder, copy_function=shutil.copyfile)
    note.unlink()


def _standing(course, student):
    """Return the name of the attempt that stands in ``submitted/``, or None."""
    name = _digest(_content(course, _submitted(course, student)))
    home = _home(course, student)
    return next((each.name for each in home.glob(f"[0-9]*-{name}")), None)


def _submitted(course, student):
    return course.folder(course.directory.submitted_directory, student)


def _home(course, student):
    return course.records / _FOLDER / course.problem_set / student


def _content(course, folder):
    """Return ``{relative path: bytes}`` of what of a hand-in may be kept."""
    if not folder.is_dir():
        return {}
    odd = odd_paths(folder, ())
    # The note on what was taken out comes with the first grading, and makes no other attempt.
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(walk(folder))
        if path not in odd and path.is_file() and path.name != NOTE
    }


def _digest(content):
    total = hashlib.sha256()
    for path, data in content.items():
        total.update(f"{path}\0{len(data)}\0".encode("utf-8", "surrogateescape"))
        total.update(data)
    return total.hexdigest()[:16]


def _time(course, folder):
    if not is_timestamp(folder / "timestamp.txt"):
        return None
    return course.directory.get_existing_timestamp(str(folder))
