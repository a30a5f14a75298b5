"""Print what trusted grading costs, as ratios to plain nbgrader on the same submissions.

Everything is measured in one run on one machine: compare the ratios, not the seconds.

    python benchmarks/grading.py [--plain 3] [--ours 100] [--many 200] [--only ratios]
"""

import argparse
import contextlib
import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bncourse.attempt import attempt_each
from bncourse.exercise import draw_cases
from bncourse.grading.batch import fan_out
from bncourse.grading.batch.tasks import grade_tasks, read_tasks
from bncourse.grading.inside.shell import Recorder, make_shell
from bncourse.grading.intake.script import Script
from bncourse.grading.nbgrader import gradebook, writing
from bncourse.grading.outside.submission import DRAWS, grade
from bncourse.grading.outside.warm import WarmProcess
from bncourse.grading.work import GradedCourse
from bncourse.judge import judge
from bncourse.limits import Limits
from bncourse.registry import load, problem_sets
from bncourse.release import derive_notebook
from bncourse.trial import corpus, cost
from bncourse.trial import course as trial_course
from bncourse.trial.sample_class import run_nbgrader

# What a student of a later problem set imports in the first cell.
HEAVY = "import keras\nimport matplotlib.pyplot as plt\nimport torch\n\ntorch.ones(3).sum()"

PLAIN = trial_course.CONFIG + "c.IgnorePattern.enabled = True\nc.IgnorePattern.pattern = '^'\n"
OURS = trial_course.CONFIG + trial_course.TRUSTED

SIMULATED = 1000


@contextlib.contextmanager
def course_of(count, config, imports):
    """Yield the folder of a course with ``count`` right submissions that differ in a comment."""
    with tempfile.TemporaryDirectory() as root:
        made = [corpus.notebook(before=[*imports, f"# {number}"]) for number in range(count)]
        writers = {
            f"student{number}": lambda folder, nb=nb: corpus.write(folder, nb)
            for number, nb in enumerate(made)
        }
        trial_course.make_course(root, writers, config)
        yield root


def seconds_plain(count, imports):
    """Return seconds per submission of nbgrader autograde as it is."""
    with course_of(count, PLAIN, imports) as root:
        start = time.perf_counter()
        run_nbgrader(root, "autograde", corpus.PROBLEM_SET)
        return (time.perf_counter() - start) / count


def seconds_ours(count, workers, imports):
    """Return seconds: to start, and per submission for its verdict and for all around it."""
    with course_of(count, OURS, imports) as root:
        start = time.perf_counter()
        course = GradedCourse(root, corpus.PROBLEM_SET)
        tasks = read_tasks(course, processes=workers)
        times = [time.perf_counter()]
        read = times[0] - start

        def note(line):
            times.append(time.perf_counter())

        grade_tasks(course, tasks, lambda n: fan_out.fan_out(n, workers=workers), say=note)
        graded = time.perf_counter()
        gradebook.differences(course, tasks)
        failed = writing.write_grades(course, tasks, lambda line: None, processes=workers)
        written = time.perf_counter()
        assert not failed
        assert all(o.word == "ok" for task in tasks for o in task.report.outcomes.values())
        # The first results contain the start of the workers, once for the whole class.
        steady = (times[-1] - times[2 + workers]) / (len(times) - 3 - workers)
        return times[2] - times[0], steady, (read + written - graded) / count


@contextlib.contextmanager
def others_at_work(processes):
    """Keep the processors of this machine busy with something else."""
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)
    ]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def fixed_seconds(worker, rounds=20):
    """Return the seconds that a submission of one empty cell takes."""
    grade(Script(["pass"]), {}, worker, Limits(), 1)
    start = time.perf_counter()
    for _ in range(rounds):
        grade(Script(["pass"]), {}, worker, Limits(), 1)
    return (time.perf_counter() - start) / rounds


def overhead(problem_set, rounds=5):
    """Return the seconds of the course's own notebook: fixed, in all, and of its bare work."""
    exercises = load(problem_set)
    (text,) = Path("solutions", problem_set).glob("*.md")
    sources = [
        cell.source
        for cell in derive_notebook(text).cells
        if cell.cell_type == "code" and not cell.metadata.get("nbgrader", {}).get("grade")
    ]
    with WarmProcess(problem_set) as worker:
        fixed = fixed_seconds(worker)
        start = time.perf_counter()
        for _ in range(rounds):
            grade(Script(sources), exercises, worker, Limits(), 1)
        ours = (time.perf_counter() - start) / rounds
    # Each round in a fresh process, as each submission is; nothing may start threads before.
    pool = multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1)
    with pool:
        bare = [pool.apply(bare_seconds, (sources, problem_set)) for _ in range(rounds)]
    return fixed, ours, sum(bare) / rounds


def bare_seconds(sources, problem_set):
    """Return the seconds of the cells, run as a notebook runs them, and of the judge."""
    # The rules of ``attempt`` watch torch's state where torch is loaded, as it is in the sandbox.
    for module in ("torch", "keras", "matplotlib.pyplot"):
        importlib.import_module(module)
    shell, exercises = make_shell(), load(problem_set)
    streams = shell.attach(Recorder(Limits().output, Limits().image))
    start = time.perf_counter()
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        for source in sources:
            shell.run_cell(source).raise_error()
    for name, exercise in exercises.items():
        for draw in range(DRAWS):
            cases = draw_cases(exercise, 1 + draw)
            tries = dict(
                zip(cases, attempt_each(exercise, shell.user_ns[name], cases.values()), strict=True)
            )
            assert judge(exercise, cases, tries).kind == "ok"
    return time.perf_counter() - start


def growth(rounds):
    """Return the growth of our memory in MiB and of our open files over some submissions."""

    def used():
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir("/proc/self/fd"))

    exercises = {corpus.TARGET: load(corpus.PROBLEM_SET)[corpus.TARGET]}
    sources = [corpus.IMPORTS, corpus.SOLUTIONS[corpus.TARGET]]
    with WarmProcess(corpus.PROBLEM_SET) as worker:
        for _ in range(20):
            grade(Script(sources), exercises, worker, Limits(), 1)
        before = used()
        for _ in range(rounds):
            grade(Script(sources), exercises, worker, Limits(), 1)
        return used()[0] - before[0], used()[1] - before[1]


def print_overhead():
    """Print the fixed cost, and the rest as a ratio to the bare work, per problem set."""
    print("problem set       fixed    in all   cells and judge   (in all - fixed) / those")
    for problem_set in problem_sets():
        fixed, ours, bare = overhead(problem_set)
        ratio = (ours - fixed) / bare
        print(f"{problem_set:15} {fixed:6.3f} s {ours:7.3f} s {bare:15.3f} s {ratio:15.2f}")


def print_ratios(plain, ours, workers):
    """Print plain nbgrader beside trusted grading, writing included, in one run."""
    print("\nseconds per submission, and how many times faster than plain nbgrader autograde")
    print("imports      machine   plain   verdict          all           workers start, once")
    for imports, name in (((), "numpy only"), ((HEAVY,), "heavy")):
        for others, machine in ((0, "idle"), (os.cpu_count(), "busy")):
            with others_at_work(others):
                theirs = seconds_plain(plain, imports)
                start, verdict, rest = seconds_ours(ours, workers, imports)
            print(
                f"{name:12} {machine} {theirs:10.3f} {verdict:7.3f} x{theirs / verdict:<7.1f}"
                f" {verdict + rest:7.3f} x{theirs / (verdict + rest):<7.1f} {start:7.1f}",
                flush=True,
            )


def print_large_class():
    """Print what the model says of 100,000 hand-ins, and what a simulated cluster says of it."""
    costs = cost.measure()
    print(f"\n{costs}")
    print("machines of 8 processors   100,000 hand-ins   of which writing")
    for machines in (1, 4, 16, 64):
        hours = cost.seconds(costs, 100_000, 8 * machines) / 3600
        writes = cost.writing_seconds(costs, 100_000) / 3600
        print(f"{machines:24} {hours:15.2f} h {writes:15.2f} h")
    print(f"workers   grading {SIMULATED} hand-ins: model   simulated   ratio")
    for workers in (4, 16, 64):
        bare = replace(costs, start=0.0, read=0.0, draft=0.0, write=0.0)
        model, seen = (
            cost.seconds(bare, SIMULATED, workers),
            cost.simulate(bare, SIMULATED, workers),
        )
        print(f"{workers:7} {model:31.1f} s {seen:9.1f} s {seen / model:7.2f}")


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plain", type=int, default=3, help="submissions for plain nbgrader")
    parser.add_argument("--ours", type=int, default=100, help="submissions for trusted grading")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--many", type=int, default=200, help="submissions to look for growth in")
    parser.add_argument("--only", choices=["overhead", "ratios", "growth", "large"], help="a part")
    options = parser.parse_args()
    # The overhead first, while this process has no threads.
    if options.only in (None, "overhead"):
        print_overhead()
    if options.only in (None, "ratios"):
        print_ratios(options.plain, options.ours, options.workers)
    if options.only in (None, "growth"):
        memory, files = growth(options.many)
        print(f"\ngrowth over {options.many} submissions  {memory:.1f} MiB, {files} open files")
    if options.only in (None, "large"):
        print_large_class()


if __name__ == "__main__":
    main()
