"""``bncourse grade``: grade a class, or try the grader on the corpus of bad hand-ins."""

import contextlib
import errno
import functools
import json
import logging
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import click
from click.core import ParameterSource
from rich.table import Table

from bncourse.commands import Command
from bncourse.commands.course import root_option
from bncourse.console import make_console, printable, safe
from bncourse.errors import CourseError, Locked
from bncourse.grading.intake.request import REQUEST

# Errors of the system that do not pass by themselves.
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True)
class _Asked:
    """The options of a run, each under the name that the command line gives it."""

    root: Path
    student: tuple[str, ...]
    dry_run: bool
    resume: bool
    allow_unknown: bool
    workers: int | None
    scheduler: str | None
    as_json: bool
    unsafe: bool
    gpu: bool


@click.command(cls=Command, epilog="Example: bncourse grade ps1_forward --resume")
@click.argument("problem_set", required=False)
@root_option
@click.option("--student", multiple=True, help="Only this student; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Grade, show, and write nothing to the gradebook.")
@click.option("--resume", is_flag=True, help="Take verdicts on unchanged submissions from disk.")
@click.option("--allow-unknown", is_flag=True, help="Grade ids that the roster does not know.")
@click.option("--workers", type=click.IntRange(1), help="Processes; by default one per processor.")
@click.option("--scheduler", help="Address of a Dask scheduler, such as tcp://host:8786.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per notebook.")
@click.option("--unsafe", is_flag=True, help="Run without a sandbox: only for your own work.")
@click.option("--gpu", is_flag=True, help="Let submissions use the GPU.")
@click.option("--self-test", is_flag=True, help="Try the grader on the corpus of bad hand-ins.")
def grade(problem_set, self_test, **options):
    """Grade all submissions of PROBLEM_SET in the sandbox.

    The exit status is 1 if something could not be graded, which is never a zero: repeat the
    command with --resume. It is 2 if the command itself was wrong.
    """
    if self_test:
        _require_alone("self_test")
        _require_sandbox(unsafe=False)
        sys.exit(_self_test())
    if not problem_set:
        raise click.UsageError("Name a problem set, such as ps1_forward, or say --self-test.")
    sys.exit(_grade(problem_set, _Asked(**options)))


def _require_alone(name):
    context = click.get_current_context()
    given = {each.name: each.opts[0] for each in context.command.params if _is_given(context, each)}
    option = given.pop(name)
    if given:
        raise click.UsageError(
            f"{option} takes no other options. Received: {', '.join(given.values())}"
        )


def _is_given(context, parameter):
    return context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE


def _require_sandbox(unsafe):
    from bncourse.grading.outside import sandbox

    reason = None if unsafe else sandbox.why_not()
    if reason:
        raise click.ClickException(f"{reason} Or say --unsafe, for your own work only.")


def _grade(problem_set, asked):
    """Grade, and say in one sentence what stopped it; a CourseError says so itself."""
    try:
        return _run(problem_set, asked)
    except OSError as error:
        if error.errno in _REFUSED:
            raise CourseError(f"The folder of the course must be writable: {error}") from None
        raise _repeat(error) from None
    except Locked as reason:
        raise _repeat(reason) from None
    except KeyboardInterrupt:
        raise _repeat("Interrupted") from None


def _run(problem_set, asked):
    from bncourse.grading.batch import attempts
    from bncourse.grading.batch.fan_out import fan_out
    from bncourse.grading.batch.tasks import grade_tasks, read_tasks
    from bncourse.grading.nbgrader import gradebook
    from bncourse.grading.nbgrader.late import late_cost
    from bncourse.grading.work import GradedCourse
    from bncourse.platforms.transfer import unfinished
    from bncourse.release import unfinished as release_unfinished

    _quiet()
    course = GradedCourse(asked.root, problem_set, unsafe=asked.unsafe, gpu=asked.gpu)
    _require_sandbox(course.setting.unsafe)
    course.store.require_writable()
    for told in (release_unfinished(course.root), unfinished(course)):
        _say(told)
    # Submissions that share a GPU would run out of its memory on account of each other.
    workers = asked.workers or (1 if course.setting.gpu else None)
    run = functools.partial(fan_out, workers=workers, scheduler=asked.scheduler)
    fresh = {}
    if attempts.rule_of(course):
        cost, place = late_cost(course), not asked.dry_run
        fresh = attempts.settle(course, asked.student, cost, run, place=place, say=_progress)
    # What runs nothing of a student goes side by side on this machine, whoever grades.
    processes = workers or os.cpu_count()
    tasks = read_tasks(course, asked.student, processes)
    for task in tasks:
        task.report = task.report or fresh.get(task.key)
    # A lock may be gone when there is something to write.
    with contextlib.suppress(Locked):
        _require_gradebook(course, tasks, asked.allow_unknown or asked.dry_run)
    grade_tasks(course, tasks, run, asked.resume, say=_progress)
    changes = gradebook.differences(course, tasks)
    done = gradebook.written(course, tasks, processes) if asked.resume else ()
    if asked.as_json:
        for task, rows in zip(tasks, changes, strict=True):
            click.echo(json.dumps(as_record(task, rows)))
    else:
        _show(tasks, changes, problem_set)
    left = [task for task in tasks if task.student not in done]
    failed = {} if asked.dry_run else _write(course, left, processes)
    return 1 if failed or any(task.report is None for task in tasks) else 0


def _require_gradebook(course, tasks, allow_unknown):
    """Refuse to grade what the gradebook, the list of the class or the policy has no place for.

    Raises:
        Locked: it cannot be read now.
        CourseError: it does not know a notebook, or its list of the class a student; or the policy
            for late hand-ins cannot be read, which would stop what is graded from being written.
    """
    from bncourse.grading.nbgrader import gradebook
    from bncourse.grading.nbgrader.penalties import Policy

    Policy(course.config, course.problem_set)
    gradebook.require_assignment(course, {task.notebook for task in tasks})
    new, has_list = gradebook.newcomers(course, {task.student for task in tasks})
    if new and has_list and not allow_unknown:
        raise CourseError(
            f"Nothing was graded. The roster must know each student. Received: {new}.",
            "Rename the folder in submitted/, add who is new with `bncourse roster`, or go on "
            "with --allow-unknown.",
        )
    _say(_new(new))


def _write(course, tasks, processes):
    """Write the grades, and return why those of some students could not be written."""
    from bncourse.grading.nbgrader import writing

    failed = writing.write_grades(course, tasks, say=_progress, processes=processes)
    for reason, students in _by_reason(failed):
        _progress(f"{_repeat(reason)} Without grades: {', '.join(students)}")
    return failed


def _new(students):
    return students and (
        f"Not in the list of the class so far, and graded under these ids: {students}. "
        f"If they are somebody's you know, rename their folders."
    )


def _quiet():
    """Silence nbgrader: a dozen lines per student, and tracebacks of what is said in a sentence."""
    logging.getLogger("traitlets").setLevel(logging.ERROR)
    logging.getLogger("tornado.application").setLevel(logging.CRITICAL)


def _repeat(reason):
    """Return the exception for what may pass by itself."""
    kept = "The verdicts are kept: repeat the command with --resume."
    return click.ClickException(f"{str(reason).rstrip('.')}. {kept}")


def _by_reason(failed):
    """Return ``[(reason, students)]`` of ``{student: reason}``."""
    return [(reason, [s for s in failed if failed[s] == reason]) for reason in {*failed.values()}]


def _progress(line):
    click.echo(printable(line), err=True)


def _say(line):
    if line:
        _progress(line)


def _show(tasks, changes, problem_set):
    table = _table("Problems", "student", "outcome", "reason", "again with")
    for task in tasks:
        again = ["bncourse", "grade", problem_set, "--dry-run", "--student", task.student]
        for outcome, reason in problems(task):
            table.add_row(*map(safe, (task.student, outcome, reason, shlex.join(again))))
    console = make_console()
    if table.row_count:
        console.print(table)
    table = _table("This regrade changes points", "student", "exercise", "old", "new")
    for task, rows in zip(tasks, changes, strict=True):
        for name, old, new in rows:
            table.add_row(*map(safe, (task.student, name, f"{old:g}", f"{new:g}")))
    if table.row_count:
        console.print(table)
    done = sum(task.report is not None for task in tasks)
    console.print(f"{done} of {len(tasks)} notebooks graded.")


def _table(title, *headings):
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading)
    return table


def problems(task):
    """Return ``[(outcome, reason)]`` of what an instructor should look at."""
    if task.report is None:
        return [("infra", task.problem)]
    if task.is_missing:
        return [("missing", next(iter(task.report.outcomes.values())).message)]
    found = [
        (f"{name} {outcome}", _first_line(outcome.message))
        for name, outcome in task.report.outcomes.items()
        if outcome.word not in ("ok", "wrong", "error", "malformed", "missing")
    ]
    whole = {(outcome.word, outcome.message) for outcome in task.report.outcomes.values()}
    found += [each for each in whole if each[0] in ("malformed", "missing") and len(whole) == 1]
    return found + [_flag_row(flag) for flag in _flags(task)]


def _flag_row(flag):
    word, request, text = flag.partition(REQUEST)
    return (REQUEST.rstrip(": "), text) if request and not word else ("flag", flag)


def _flags(task):
    """Return the flags of a hand-in, and those of its exercises with their names."""
    report = task.report
    of_exercises = [f"{n}: {flag}" for n, o in report.outcomes.items() for flag in o.flags]
    return [*report.flags, *task.flags, *of_exercises]


def _first_line(text):
    return text.splitlines()[0] if text else ""


def as_record(task, changes):
    """Return what ``--json`` says about a task.

    Args:
        task: the Task.
        changes: its rows of ``gradebook.differences``.
    """
    report = task.report
    return {
        "student": task.student,
        "notebook": task.notebook,
        "outcomes": {n: str(o) for n, o in report.outcomes.items()} if report else {},
        "problem": task.problem,
        "changes": {name: [old, new] for name, old, new in changes},
        "flags": _flags(task) if report else task.flags,
        "seconds": round(report.seconds, 3) if report else None,
        "memory": report.memory if report else None,
    }


def _self_test():
    """Run the corpus, print a line per case, and return the exit status."""
    from bncourse.grading.outside import groups
    from bncourse.trial import corpus, selftest

    click.echo(groups.told())
    cases = corpus.corpus()
    failures = 0
    with selftest.start() as process:
        for number, bad in enumerate(cases, 1):
            found = selftest.problems(bad, selftest.run(bad, process))
            failures += bool(found)
            verdict = "; ".join(found) if found else bad.words.get(corpus.TARGET) or "ok"
            mark = "FAILED" if found else "as due"
            click.echo(f"[{number:3}/{len(cases)}] {mark}  {bad!s:55} {verdict}")
    click.echo(f"{len(cases) - failures} of {len(cases)} hand-ins got the outcome they are due.")
    return 1 if failures else 0
