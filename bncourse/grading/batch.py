"""Grade a whole class at once: many workers grade, and each verdict is stored as it comes.

Killed at any moment, a second run goes on where the first one stopped. The gradebook is written
afterwards, by one writer: see ``gradebook``.
"""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import nbformat
from nbgrader.coursedir import CourseDirectory

from bncourse.course_seed import course_seed
from bncourse.grading.grade import grade
from bncourse.grading.hand_in import read_hand_in, refuse_links, restore_names
from bncourse.grading.limits import Limits
from bncourse.grading.normalise import Malformed
from bncourse.grading.outcome import Outcome
from bncourse.grading.preprocessor import code_cells, exercises_of, graded_cells, malformed
from bncourse.grading.store import Store, key_of
from bncourse.grading.worker import Infra
from bncourse.grading.workers import shared_worker
from bncourse.nbgrader_course import load_config
from bncourse.registry import load

_TRIES = 3


@dataclass
class Course:
    """What grading needs to know of a course folder.

    Args:
        root: the folder with nbgrader_config.py.
        problem_set: the assignment.
        limits: the Limits of a submission.
        unsafe, gpu: as for Worker.
    """

    root: Path
    problem_set: str
    limits: Limits = field(default_factory=Limits)
    unsafe: bool = False
    gpu: bool = False

    def __post_init__(self):
        self.root = Path(self.root).resolve()
        self.config = load_config(self.root)
        options = self.config.TrustedExecute
        self.limits = replace(self.limits, **dict(options.get("limits", {})))
        self.unsafe = self.unsafe or bool(options.get("unsafe", False))
        self.gpu = self.gpu or bool(options.get("gpu", False))
        self.directory = CourseDirectory(config=self.config)
        self.directory.assignment_id = self.problem_set
        self.secret = course_seed(options.secret_file)
        self.records = Path(options.records)
        self.store = Store(self.records / "verdicts")

    def folder(self, step, student):
        """Return the folder of a student at a step of nbgrader, such as ``submitted``."""
        return Path(self.directory.format_path(step, student, self.problem_set))

    def students(self):
        """Return everybody who handed in a folder, in order."""
        step = self.directory.submitted_directory
        pattern = self.folder(step, "*").relative_to(self.root)
        return sorted(path.parent.name for path in self.root.glob(str(pattern)) if path.is_dir())

    def release(self):
        """Return ``{file name: released notebook}``."""
        paths = self.folder(self.directory.release_directory, ".").glob("*.ipynb")
        return {path.name: nbformat.read(path, as_version=4) for path in sorted(paths)}


@dataclass
class Task:
    """One notebook of one student.

    ``report`` is there from the start for what needs no sandbox: a missing file, or one that is no
    notebook.
    """

    student: str
    notebook: str
    exercises: list
    sources: list = field(default_factory=list)
    key: str = ""
    flags: list = field(default_factory=list)
    report: object = None
    problem: str = ""
    is_missing: bool = False


def read_tasks(course, students=None):
    """Return a Task for each notebook of each student who handed something in."""
    releases = course.release()
    if not releases:
        raise FileNotFoundError(
            f"There is no released notebook of {course.problem_set}. "
            f"Run nbgrader generate_assignment {course.problem_set}"
        )
    return [
        _read_task(course, student, name, notebook)
        for student in students or course.students()
        for name, notebook in releases.items()
    ]


def _read_task(course, student, name, release):
    folder = course.folder(course.directory.submitted_directory, student)
    refuse_links(folder, {name})
    restore_names(folder, {name})
    exercises = exercises_of(course.problem_set, graded_cells(release))
    task = Task(student, name, list(exercises))
    path = folder / name
    if not path.exists() and not path.is_symlink():
        task.report, task.is_missing = missing(exercises), True
        return task
    try:
        notebook, task.flags = read_hand_in(path, release, course.limits)
    except Malformed as reason:
        task.report = malformed(str(reason), exercises)
        return task
    task.sources = [cell.source for cell in code_cells(notebook)]
    task.key = key_of(course.problem_set, task.sources, exercises, course.secret, course.limits)
    return task


def missing(exercises):
    """Return the Report on a hand-in without the notebook."""
    report = malformed("", exercises)
    reason = "The notebook is not among the files you handed in."
    report.outcomes = {name: Outcome("missing", reason) for name in exercises}
    report.flags = ["missing notebook"]
    return report


def run_task(problem_set, names, sources, limits, secret, unsafe, gpu):
    """Grade one task; this is what runs on a worker, here or on another machine.

    Raises:
        Infra: after several tries.
    """
    exercises = {name: load(problem_set)[name] for name in names}
    for attempt in range(_TRIES):
        try:
            return grade(
                sources, exercises, shared_worker(problem_set, unsafe, gpu), limits, secret
            )
        except Infra:
            if attempt == _TRIES - 1:
                raise
            time.sleep(attempt)
    raise AssertionError("unreachable")


def grade_tasks(course, tasks, runner, resume=False, say=print):
    """Fill in the report of each task and store it; return the tasks.

    Args:
        course: the Course.
        tasks: from ``read_tasks``.
        runner: ``count -> context``, as ``cluster.runner``, of a function
            ``(function, {number: arguments}) -> iterator of (number, result)``, where a result is
            a Report or an exception.
        resume: whether stored verdicts count.
        say: receives lines of progress.
    """
    waiting = {}
    for number, task in enumerate(tasks):
        if task.report is None and resume:
            task.report = course.store.get(task.key)
        if task.report is None:
            waiting[number] = _arguments(course, task)
    say(f"{len(tasks)} notebooks, {len(waiting)} to grade")
    if waiting:
        with runner(len(waiting)) as run:
            _collect(course, tasks, run(run_task, waiting), len(waiting), say)
    return tasks


def _collect(course, tasks, results, count, say):
    start = time.monotonic()
    for done, (number, result) in enumerate(results, 1):
        _keep(course, tasks[number], result)
        left = (time.monotonic() - start) / done * (count - done)
        say(f"{done}/{count} {tasks[number].student}, about {left:.0f} s left")


def _keep(course, task, result):
    """Store a Report and give it to its task, or say there why there is none."""
    if isinstance(result, BaseException):
        task.problem = f"{type(result).__name__}: {result}"
        return
    try:
        course.store.put(task.key, result)
    except OSError as error:
        # A verdict that a crash could lose is none: repeat it when there is room again.
        task.problem = f"The verdict could not be stored: {error}"
    else:
        task.report = result


def _arguments(course, task):
    return (
        course.problem_set,
        task.exercises,
        task.sources,
        course.limits,
        course.secret,
        course.unsafe,
        course.gpu,
    )
