"""A sample class, made from the exercise specs and graded by the real nbgrader.

It has a course folder of its own, so that an instructor's submissions are never touched. The
students: one perfect, one who hands in the blank notebook, and for each exercise one whose only
fault is the first known mistake of its spec.
"""

import copy
import inspect
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat

from bncourse.course import load_config, scripts_on_path
from bncourse.grading.outside import sandbox
from bncourse.registry import load, problem_sets
from bncourse.solution import named
from bncourse.whole import beside, replace_folder

PERFECT, BLANK = "perfect", "blank"


def make_submissions(root, course):
    """Write ``course/submitted``: each student's notebook for each assignment.

    Args:
        root: the repository, with derived solution notebooks and released exercises.
        course: the folder of the sample class, made anew.

    Returns:
        ``{assignment: {student: name of the exercise that is wrong, or None}}``.
    """
    root, course = Path(root), Path(course).resolve()
    made = beside(course)
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    shutil.copytree(
        root / "solutions", made / "solutions", ignore=shutil.ignore_patterns("*.md", ".*")
    )
    _copy_config(root, made)
    classes = {name: _submit_all(root, made, name) for name in problem_sets()}
    # Where something is missing, the class of before is still there.
    replace_folder(made, course)
    return classes


def is_sample(course):
    """Return whether a folder holds a sample class, and nobody's own work."""
    submitted = Path(course, "submitted")
    return (submitted / PERFECT).is_dir() and (submitted / BLANK).is_dir()


def _copy_config(root, course):
    text = (root / "nbgrader_config.py").read_text()
    if sandbox.why_not():
        # The sample class holds the course's own code only.
        text += "\nc.TrustedExecute.unsafe = True\n"
    (course / "nbgrader_config.py").write_text(text)


def _submit_all(root, course, assignment):
    (solution_path,) = (root / "solutions" / assignment).glob("*.ipynb")
    (release_path,) = (root / "exercises" / assignment).glob("*.ipynb")
    solution = nbformat.read(solution_path, as_version=4)
    release = nbformat.read(release_path, as_version=4)
    perfect = answered(release, _answers(solution))
    notebooks = {PERFECT: (perfect, None), BLANK: (release, None)}
    for name, exercise in load(assignment).items():
        mistake = exercise.mistakes[0]
        student = re.sub(r"\W+", "-", f"{name} {mistake.name}".lower())
        source = source_of(mistake, name)
        notebooks[student] = (answered(perfect, {f"{name}_answer": source}), name)
    for student, (notebook, _) in notebooks.items():
        target = course / "submitted" / student / assignment / release_path.name
        target.parent.mkdir(parents=True)
        nbformat.write(notebook, target)
    return {student: wrong for student, (_, wrong) in notebooks.items()}


def _answers(notebook):
    """Return ``{grade_id: source}`` of the cells that a student fills in, without markers."""
    return {
        cell.metadata.nbgrader.grade_id: re.sub(r" *### (BEGIN|END) SOLUTION\n?", "", cell.source)
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    }


def answered(notebook, answers):
    """Return a copy of a notebook with some of its answer cells filled in.

    Args:
        notebook: the nbformat notebook.
        answers: ``{grade_id: source}``.
    """
    filled = copy.deepcopy(notebook)
    for cell in filled.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        if grade_id in answers:
            cell.source = answers[grade_id]
    return filled


def source_of(mistake, name):
    """Return the source of a known mistake as a student would hand it in, under the asked name."""
    return named(inspect.getsource(mistake.obj), mistake.obj, name)


def grade(course, assignments, say=print):
    """Grade every submission with nbgrader's own commands; return the path of the exported CSV.

    Args:
        course: the folder that ``make_submissions`` filled.
        assignments: names of the assignments.
        say: receives a line of progress at each step.
    """
    for assignment in assignments:
        for command in ("generate_assignment", "autograde", "generate_feedback"):
            say(f"nbgrader {command} {assignment}")
            run_nbgrader(course, command, assignment)
    say("nbgrader export")
    run_nbgrader(course, "export")
    return Path(course, "grades.csv")


def run_nbgrader(course, *arguments):
    """Run one nbgrader command in a course folder.

    Raises:
        RuntimeError: if it fails; the message is its log.
    """
    command = Path(sysconfig.get_path("scripts"), "nbgrader")
    with scripts_on_path():
        done = subprocess.run(
            [sys.executable, command, *arguments], cwd=course, capture_output=True, text=True
        )
    if done.returncode:
        raise RuntimeError(f"nbgrader {' '.join(arguments)} failed:\n{done.stderr}{done.stdout}")


def grades(course, assignments):
    """Return a row per submission: assignment, student, points by nbgrader, and points by hand.

    Returns:
        A list of dicts with ``assignment, student, auto, of, by_hand, scores``, where ``by_hand``
        counts the points that still wait for a human and ``scores`` is ``{grade_id: points}``.
    """
    from nbgrader.api import Gradebook, MissingEntry

    rows = []
    config = load_config(Path(course).resolve())
    url = f"sqlite:///{Path(course).resolve()}/gradebook.db"
    with scripts_on_path(), Gradebook(url, config.CourseDirectory.course_id) as gradebook:
        for assignment in assignments:
            for student in gradebook.students:
                try:
                    submission = gradebook.find_submission(assignment, student.id)
                except MissingEntry:
                    continue
                rows.append({"assignment": assignment, "student": student.id} | _row(submission))
    return sorted(rows, key=lambda row: (row["assignment"], -row["auto"], row["student"]))


def _row(submission):
    cells = [grade for notebook in submission.notebooks for grade in notebook.grades]
    waiting = [grade for grade in cells if grade.needs_manual_grade]
    automatic = [grade for grade in cells if grade.auto_score is not None]
    return {
        "auto": sum(grade.auto_score for grade in automatic),
        "of": sum(grade.max_score for grade in automatic),
        "by_hand": sum(grade.max_score for grade in waiting),
        "scores": {grade.name: grade.score for grade in cells},
    }
