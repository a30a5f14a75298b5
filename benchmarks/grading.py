"""Print what trusted grading costs, as ratios to plain nbgrader on the same submissions.

Everything is measured in one run on one machine: compare the ratios, not the seconds.

    python benchmarks/grading.py [--plain 3] [--ours 40]
"""

import argparse
import contextlib
import importlib
import io
import json
import os
import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bncourse.attempt import attempt
from bncourse.check import draw_cases
from bncourse.grading import batch, cluster, corpus, gradebook
from bncourse.grading.grade import DRAWS, grade
from bncourse.grading.limits import Limits
from bncourse.grading.worker import Worker
from bncourse.judge import judge
from bncourse.registry import load
from bncourse.sample_class import run_nbgrader

# What a student of a later problem set imports in the first cell.
HEAVY = "import keras\nimport matplotlib.pyplot as plt\nimport torch\n\ntorch.ones(3).sum()"

COMMON = """
c = get_config()
c.CourseDirectory.course_id = "benchmark"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}
"""
PLAIN = COMMON + "c.IgnorePattern.enabled = True\nc.IgnorePattern.pattern = '^'\n"
OURS = COMMON + "from bncourse.grading.config import configure\nconfigure(c, __file__)\n"


def make_course(root, config, count):
    """Make a course with ``count`` right submissions that differ in a comment."""
    (root / "nbgrader_config.py").write_text(config)
    source = root / "solutions" / corpus.PROBLEM_SET
    source.mkdir(parents=True)
    text = json.dumps(corpus.release())
    marked = r"\1### BEGIN SOLUTION\\n\1return None\\n\1### END SOLUTION"
    (source / corpus.NOTEBOOK).write_text(
        re.sub(r"((?:    )+)raise NotImplementedError", marked, text)
    )
    run_nbgrader(root, "generate_assignment", corpus.PROBLEM_SET)
    for number in range(count):
        folder = root / "submitted" / f"student{number}" / corpus.PROBLEM_SET
        folder.mkdir(parents=True)
        corpus.write(folder, corpus.notebook(before=[HEAVY, f"# {number}"]))


def seconds_plain(count):
    """Return seconds per submission of nbgrader autograde as it is."""
    with tempfile.TemporaryDirectory() as root:
        make_course(Path(root), PLAIN, count)
        start = time.perf_counter()
        run_nbgrader(root, "autograde", corpus.PROBLEM_SET)
        return (time.perf_counter() - start) / count


def seconds_ours(count, workers):
    """Return seconds per submission: to start, to grade, and to write with nbgrader."""
    with tempfile.TemporaryDirectory() as root:
        make_course(Path(root), OURS, count)
        course = batch.Course(root, corpus.PROBLEM_SET)
        tasks = batch.read_tasks(course)
        times = [time.perf_counter()]

        def note(line):
            times.append(time.perf_counter())

        batch.grade_tasks(course, tasks, lambda n: cluster.runner(n, workers=workers), say=note)
        graded = time.perf_counter()
        with contextlib.redirect_stderr(io.StringIO()):
            gradebook.write_grades(course, tasks)
        written = time.perf_counter()
        assert all(o.word == "ok" for task in tasks for o in task.report.outcomes.values())
        # The first results contain the start of the workers, once for the whole class.
        steady = (times[-1] - times[2 + workers]) / (len(times) - 3 - workers)
        return times[2] - times[0], steady, (written - graded) / count


def fixed_seconds(worker, rounds=20):
    """Return the seconds that a submission with nothing in it takes."""
    grade([], {}, worker, Limits(), 1)
    start = time.perf_counter()
    for _ in range(rounds):
        grade([], {}, worker, Limits(), 1)
    return (time.perf_counter() - start) / rounds


def overhead(worker, rounds=10):
    """Return our seconds for a submission, and those of its bare cells and the judge."""
    exercises = load(corpus.PROBLEM_SET)
    sources = [corpus.IMPORTS, *corpus.SOLUTIONS.values()]
    start = time.perf_counter()
    for _ in range(rounds):
        grade(sources, exercises, worker, Limits(), 1)
    ours = (time.perf_counter() - start) / rounds
    # The rules of ``attempt`` watch torch's state where torch is loaded, as it is in the sandbox.
    importlib.import_module("torch")
    start = time.perf_counter()
    for _ in range(rounds):
        scope = {}
        for source in sources:
            exec(source, scope)
        for name, exercise in exercises.items():
            for draw in range(DRAWS):
                cases = draw_cases(exercise, 1 + draw)
                tries = {label: attempt(exercise, scope[name], c) for label, c in cases.items()}
                assert judge(exercise, cases, tries).kind == "ok"
    return ours, (time.perf_counter() - start) / rounds


def growth(worker, rounds):
    """Return the growth of our memory in MiB and of our open files over some submissions."""

    def used():
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir("/proc/self/fd"))

    exercises = {corpus.TARGET: load(corpus.PROBLEM_SET)[corpus.TARGET]}
    sources = [corpus.IMPORTS, corpus.SOLUTIONS[corpus.TARGET]]
    limits = replace(Limits(), total_seconds=600.0)
    for _ in range(20):
        grade(sources, exercises, worker, limits, 1)
    before = used()
    for _ in range(rounds):
        grade(sources, exercises, worker, limits, 1)
    return used()[0] - before[0], used()[1] - before[1]


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plain", type=int, default=3, help="submissions for plain nbgrader")
    parser.add_argument("--ours", type=int, default=40, help="submissions for trusted grading")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--many", type=int, default=200, help="submissions to look for growth in")
    options = parser.parse_args()
    plain = seconds_plain(options.plain)
    start, each, write = seconds_ours(options.ours, options.workers)
    with Worker(corpus.PROBLEM_SET) as worker:
        fixed = fixed_seconds(worker)
        ours, bare = overhead(worker)
        memory, files = growth(worker, options.many)
    print(f"plain nbgrader autograde     {plain:7.3f} s per submission")
    print(f"trusted grading, verdicts    {each:7.3f} s: x{plain / each:.1f}")
    print(f"  and nbgrader's writing     {each + write:7.3f} s: x{plain / (each + write):.1f}")
    print(f"start of the workers, once   {start:7.3f} s")
    print(f"an empty submission          {fixed:7.3f} s")
    print(f"over bare cells and judge    {ours - bare:7.3f} s: x{ours / bare:.2f}")
    print(f"growth over {options.many} submissions  {memory:7.1f} MiB, {files} open files")


if __name__ == "__main__":
    main()
