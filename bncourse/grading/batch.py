"""Grade a whole class at once: many workers grade, and each verdict is stored as it comes.

Killed at any moment, a second run goes on where the first one stopped. The gradebook is written
afterwards, by one writer: see ``writing``.
"""

import socket
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from nbgrader.coursedir import CourseDirectory

from bncourse.course_seed import course_seed
from bncourse.grading.cells import exercises_of, graded_cells, script_of
from bncourse.grading.exporter import read_releases
from bncourse.grading.grade import grade, ungraded
from bncourse.grading.hand_in import read_hand_in
from bncourse.grading.store import Store, key_of
from bncourse.grading.version import CODE
from bncourse.grading.worker import Infra
from bncourse.grading.workers import shared_worker
from bncourse.limits import limits_of
from bncourse.mistake import Mistake
from bncourse.nbgrader_course import load_config
from bncourse.registry import load, problem_sets

_TRIES = 3

# nbgrader takes the name of a student for a pattern of file names.
_PATTERN = set("*?[")


@dataclass
class Course:
    """What grading needs to know of a course folder.

    Args:
        root: the folder with nbgrader_config.py.
        problem_set: the assignment.
        unsafe, gpu: as for Worker.

    Raises:
        Mistake: there is no such course or problem set, or a limit or the secret is wrong.
    """

    root: Path
    problem_set: str
    unsafe: bool = False
    gpu: bool = False

    def __post_init__(self):
        self.root = Path(self.root).resolve()
        self.config = load_config(self.root)
        if self.problem_set not in problem_sets():
            raise Mistake(
                f"A problem set must be one of {problem_sets()}. Received: {self.problem_set}"
            )
        options = self.config.TrustedExecute
        if "records" not in options:
            raise Mistake("nbgrader_config.py must end with configure(c, __file__).")
        self.unsafe = self.unsafe or bool(options.get("unsafe", False))
        self.gpu = self.gpu or bool(options.get("gpu", False))
        self.directory = CourseDirectory(config=self.config)
        self.directory.assignment_id = self.problem_set
        self.records = Path(options.records)
        self.store = Store(self.records / "verdicts")
        try:
            self.limits = limits_of(self.config)
            self.secret = course_seed(options.secret_file, self.records)
        except (ValueError, OSError) as reason:
            raise Mistake(str(reason)) from None

    def folder(self, step, student):
        """Return the folder of a student at a step of nbgrader, such as ``submitted``."""
        return Path(self.directory.format_path(step, student, self.problem_set))

    def students(self):
        """Return everybody who handed in a folder, in order.

        Raises:
            Mistake: nobody did.
        """
        step = self.directory.submitted_directory
        pattern = self.folder(step, "*").relative_to(self.root)
        found = sorted(path.parent.name for path in self.root.glob(str(pattern)) if path.is_dir())
        if not found:
            raise Mistake(f"Nobody handed in {self.problem_set}.")
        return found

    @property
    def how_to_release(self):
        """What to run so that the release and the gradebook know the problem set."""
        source = self.folder(self.directory.source_directory, ".")
        # nbgrader needs the notebooks, which git does not carry: they are derived from the texts.
        if any(source.glob("*.md")):
            return "Run bncourse release"
        return f"Run nbgrader generate_assignment {self.problem_set} --force"

    def release(self):
        """Return ``{file name: released notebook}``.

        Raises:
            Mistake: there is none, or one cannot be graded.
        """
        try:
            found = read_releases(self.folder(self.directory.release_directory, "."))
            graded = [cell for notebook in found.values() for cell in graded_cells(notebook)]
        except Exception as error:
            # Each reader of nbformat fails in ways of its own.
            reason = f"{type(error).__name__}: {error}"[:200]
            raise Mistake(
                f"A released notebook is damaged. {self.how_to_release} ({reason})"
            ) from None
        if not found:
            raise Mistake(
                f"There is no released notebook of {self.problem_set}. {self.how_to_release}"
            )
        try:
            exercises_of(self.problem_set, graded)
        except KeyError as reason:
            raise Mistake(reason.args[0]) from None
        return found

    def key_of(self, script, exercises):
        """Return the key of the verdict on a Script; see ``store.key_of``."""
        return key_of(
            self.problem_set,
            script,
            exercises,
            self.secret,
            self.limits,
            unsafe=self.unsafe,
            gpu=self.gpu,
        )


@dataclass
class Task:
    """One notebook of one student.

    ``report`` is there from the start for what needs no sandbox: a missing file, or one that is no
    notebook.
    """

    student: str
    notebook: str
    exercises: list
    script: object = None
    key: str = ""
    flags: list = field(default_factory=list)
    report: object = None
    problem: str = ""
    is_missing: bool = False


def read_tasks(course, students=None):
    """Return a Task for each notebook of each student who handed something in.

    Args:
        course: the Course.
        students: only these.

    Raises:
        Mistake: nobody or one of them handed nothing in, or the release cannot be graded.
    """
    releases = course.release()
    everybody = course.students()
    unknown = sorted({*(students or ())} - {*everybody})
    if unknown:
        raise Mistake(
            f"--student must name somebody who handed in {course.problem_set}. Received: {unknown}"
        )
    return [
        _unnameable(student, name)
        if _PATTERN & {*student}
        else _read_task(course, student, name, releases)
        for student in dict.fromkeys(students or everybody)
        for name in releases
    ]


def _unnameable(student, name):
    problem = f"nbgrader cannot grade a folder with one of * ? [ in its name: rename {student}"
    return Task(student, name, [], problem=problem)


def _read_task(course, student, name, releases):
    try:
        return _task(course, student, name, releases)
    except Exception as error:
        # One hand-in that the grader cannot read must not stop the others.
        problem = f"The grader could not read it: {type(error).__name__}."
        return Task(student, name, [], problem=problem)


def _task(course, student, name, releases):
    folder = course.folder(course.directory.submitted_directory, student)
    hand_in = read_hand_in(folder, name, releases, course.limits)
    exercises = exercises_of(course.problem_set, graded_cells(releases[name]))
    task = Task(student, name, list(exercises), flags=hand_in.flags)
    if hand_in.notebook is None:
        task.report = ungraded(hand_in.word, hand_in.reason, exercises)
        task.is_missing = hand_in.word == "missing"
        return task
    task.script = script_of(hand_in.notebook)
    task.key = course.key_of(task.script, exercises)
    return task


def run_task(problem_set, names, script, limits, secret, unsafe, gpu, code):
    """Grade one task; this is what runs on a worker, here or on another machine.

    Raises:
        Infra: after several tries, or at once where other code than ``code`` runs.
    """
    if code != CODE:
        raise Infra(
            f"The worker on {socket.gethostname()} runs other code than this machine: "
            f"install the same commit of bncourse there, and start it again"
        )
    exercises = {name: load(problem_set)[name] for name in names}
    for attempt in range(_TRIES):
        try:
            return grade(script, exercises, shared_worker(problem_set, unsafe, gpu), limits, secret)
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
        if task.report is None and task.key and resume:
            task.report = _without_cells(course.store.get(task.key))
        if task.report is None and not task.problem:
            waiting[number] = _arguments(course, task)
    say(f"{len(tasks)} notebooks, {len(waiting)} to grade")
    if waiting:
        say("the workers start; the first verdict takes longer than the others")
        with runner(len(waiting)) as run:
            _collect(course, tasks, run(run_task, waiting), len(waiting), say)
    return tasks


def _collect(course, tasks, results, count, say):
    first = None
    for done, (number, result) in enumerate(results, 1):
        _keep(course, tasks[number], result)
        now = time.monotonic()
        if first is None:
            # How long the workers took to start says nothing of what is left.
            first, left = now, ""
        else:
            left = f", about {(now - first) / (done - 1) * (count - done):.0f} s left"
        say(f"{done}/{count} {tasks[number].student}{left}")


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
        task.report = _without_cells(result)


def _without_cells(report):
    """Return a Report, or None, without what the cells show: the plots of a class fill memory."""
    return report and replace(report, cells=[])


def _arguments(course, task):
    return (
        course.problem_set,
        task.exercises,
        task.script,
        course.limits,
        course.secret,
        course.unsafe,
        course.gpu,
        CODE,
    )
