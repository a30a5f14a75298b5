"""Grade a whole class at once: many workers grade, and each verdict is stored as it comes.

Killed at any moment, a second run goes on where the first one stopped. The gradebook is written
afterwards: see ``nbgrader.writing``.
"""

import functools
import time

from bncourse.errors import CourseError
from bncourse.grading.pipeline import grade_all
from bncourse.grading.side_by_side import side_by_side
from bncourse.grading.work import Work, read

# nbgrader takes the name of a student for a pattern of file names.
_PATTERN = set("*?[")


def read_tasks(course, students=None, processes=1):
    """Return a Work for each notebook of each student who handed something in.

    Args:
        course: the GradedCourse.
        students: only these.
        processes: how many read side by side.

    Raises:
        CourseError: nobody or one of them handed nothing in, or the release cannot be graded.
    """
    releases = course.release()
    everybody = course.students()
    unknown = sorted({*(students or ())} - {*everybody})
    if unknown:
        raise CourseError(
            f"--student must name somebody who handed in {course.problem_set}. Received: {unknown}"
        )
    step = course.directory.submitted_directory
    wanted = [
        (course.folder(step, student), student, name)
        for student in dict.fromkeys(students or everybody)
        for name in releases
    ]
    read_one = functools.partial(_read, releases, course.setting)
    return list(side_by_side(read_one, wanted, processes))


def _read(releases, setting, which):
    folder, student, name = which
    if _PATTERN & {*student}:
        problem = f"nbgrader cannot grade a folder with one of * ? [ in its name: rename {student}"
        return Work(student, name, [], problem=problem)
    try:
        return read(folder, student, name, releases, setting)
    except Exception as error:
        # One hand-in that the grader cannot read must not stop the others.
        problem = f"The grader could not read it: {type(error).__name__}."
        return Work(student, name, [], problem=problem)


def grade_tasks(course, tasks, spread, resume=False, say=print):
    """Fill in the report of each task and store it; return the tasks.

    Args:
        course: the GradedCourse.
        tasks: from ``read_tasks``.
        spread: as for ``pipeline.grade_all``.
        resume: whether stored verdicts count.
        say: receives lines of progress.
    """

    def announced(count):
        say(f"{len(tasks)} notebooks, {count} to grade")
        say("the workers start; the first verdict takes longer than the others")
        return spread(count)

    graded = grade_all(tasks, course.setting, course.store, resume, announced, slim=True)
    done, first = 0, None
    for done, (task, left) in enumerate(graded, 1):
        now = time.monotonic()
        if first is None:
            # How long the workers took to start says nothing of what is left.
            first, rest = now, ""
        else:
            rest = f", about {(now - first) / (done - 1) * left:.0f} s left"
        say(f"{done}/{done + left} {task.student}{rest}")
    if not done:
        say(f"{len(tasks)} notebooks, 0 to grade")
    return tasks
