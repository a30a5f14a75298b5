"""Each attempt of a student is kept; the newest or the best stands in ``submitted/``."""

import contextlib
import os
import shutil

import pytest

from bncourse.errors import CourseError, Infra
from bncourse.grading.batch import attempts
from bncourse.grading.intake.odd import NOTE
from bncourse.grading.outcome import Outcome, Report
from bncourse.grading.work import GradedCourse, read
from bncourse.trial import corpus
from bncourse.trial import course as trial

SET, STUDENT = corpus.PROBLEM_SET, "ada"
TIMES = ("2026-11-01 12:00:00", "2026-11-02 12:00:00", "2026-11-03 12:00:00")


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    root = tmp_path_factory.mktemp("attempts") / "course"
    root.mkdir()
    trial.make_course(root, {})
    return root


@pytest.fixture
def course(released, tmp_path):
    """A course in which the best attempt counts, and nobody has handed in."""
    root = tmp_path / "course"
    shutil.copytree(released, root)
    with (root / "nbgrader_config.py").open("a") as file:
        file.write('\nc.TrustedExecute.attempts = "best"\n')
    return GradedCourse(root, SET)


def submitted(course):
    return course.root / "submitted" / STUDENT / SET


def hand_in(course, comment, right=None, time=None):
    """Have the student hand in a notebook; where it is said, so many answers of it are right."""
    trial.hand_in(course.root, STUDENT, trial.right(comment))
    if time:
        (submitted(course) / "timestamp.txt").write_text(f"{time} UTC")
    if right is not None:
        setting, releases = course.setting, course.release()
        work = read(submitted(course), STUDENT, corpus.NOTEBOOK, releases, setting)
        words = dict.fromkeys(corpus.ALL, Outcome("wrong", share=0.5))
        words |= dict.fromkeys(corpus.ALL[:right], Outcome("ok"))
        course.store.put(work.key, Report(words, []))


@contextlib.contextmanager
def fails(count):
    def run(function, tasks):
        for number in tasks:
            yield number, Infra("no worker")

    yield run


def settle(course, cost=lambda student, time, points: 0.0, **options):
    said = []
    attempts.settle(course, None, cost, fails, say=said.append, **options)
    return said


def standing(course):
    text = (submitted(course) / corpus.NOTEBOOK).read_text()
    return next(word for word in ("first", "second", "third") if f"# {word}" in text)


def test_the_best_counts_and_comes_with_its_time(course):
    hand_in(course, "first", right=5, time=TIMES[0])
    assert settle(course) == []
    hand_in(course, "second", right=2, time=TIMES[1])
    assert settle(course) == ["ada: of 2 attempts number 1 counts, the best"]
    assert standing(course) == "first"
    assert (submitted(course) / "timestamp.txt").read_text() == f"{TIMES[0]} UTC"
    assert settle(course) == ["ada: of 2 attempts number 1 counts, the best"]
    hand_in(course, "third", right=5, time=TIMES[2])
    assert settle(course) == ["ada: of 3 attempts number 3 counts, the best"]
    assert standing(course) == "third"


def test_what_being_late_costs_has_a_say(course):
    hand_in(course, "first", right=3, time=TIMES[0])
    settle(course)
    hand_in(course, "second", right=5, time=TIMES[1])
    assert settle(course, place=False) == ["ada: of 2 attempts number 2 counts, the best"]

    def cost(student, time, points):
        return points if f"{time}" == TIMES[1] else 0.0

    assert settle(course, cost) == ["ada: of 2 attempts number 1 counts, the best"]
    assert standing(course) == "first"


def test_the_newest_counts_where_the_course_says_so(course):
    hand_in(course, "first", right=5, time=TIMES[1])
    settle(course)
    hand_in(course, "second", right=2, time=TIMES[0])
    course.options.attempts = "newest"
    assert settle(course) == ["ada: of 2 attempts number 1 counts, the newest"]
    assert standing(course) == "first"


def test_a_dry_run_only_says_it(course):
    hand_in(course, "first", right=5)
    settle(course)
    hand_in(course, "second", right=2)
    assert settle(course, place=False) == ["ada: of 2 attempts number 1 counts, the best"]
    assert standing(course) == "second"


def test_where_the_grader_fails_nothing_is_called_worse(course):
    hand_in(course, "first", right=5)
    settle(course)
    hand_in(course, "second")
    assert settle(course) == [
        "ada: an attempt could not be graded, the newest counts for now",
        "ada: of 2 attempts number 2 counts, the best",
    ]
    assert standing(course) == "second"


def test_killed_half_way_it_is_finished(course):
    hand_in(course, "first", right=5)
    settle(course)
    hand_in(course, "second", right=2)
    settle(course, place=False)
    first = attempts.attempts_of(course, STUDENT)[0]
    (first.folder.parent / "counts.part").write_text(first.folder.name)
    shutil.rmtree(submitted(course))
    submitted(course).mkdir()
    settle(course)
    assert standing(course) == "first"
    assert len(attempts.attempts_of(course, STUDENT)) == 2


def test_what_may_not_be_copied_is_not_and_grading_makes_no_other_attempt(course, tmp_path):
    hand_in(course, "first", right=5)
    os.symlink("/etc/passwd", submitted(course) / "link.txt")
    (submitted(course) / "page.html").write_text("<script>")
    (submitted(course) / "notes.txt").write_text("mine")
    settle(course)
    (kept,) = attempts.attempts_of(course, STUDENT)
    assert {each.name for each in kept.folder.iterdir()} == {corpus.NOTEBOOK, "notes.txt"}
    assert kept.folder.stat().st_mode & 0o077 == 0
    (submitted(course) / "page.html").unlink()
    (submitted(course) / NOTE).write_text("page.html")
    settle(course)
    assert attempts.attempts_of(course, STUDENT) == [kept]


def test_a_hand_in_that_cannot_be_kept_or_read_stops_nobody(course, monkeypatch):
    hand_in(course, "first", right=5)
    settle(course)
    hand_in(course, "second", right=2)
    settle(course, place=False)

    def fails_to_read(*arguments):
        raise RecursionError

    monkeypatch.setattr(attempts, "read", fails_to_read)
    assert "the newest counts for now" in settle(course)[0]

    def refuses(course, folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(attempts, "_content", refuses)
    (said,) = settle(course)
    assert said.startswith("ada: the attempt could not be kept")
    assert standing(course) == "second"


def test_without_the_setting_nothing_is_kept(course):
    course.options.attempts = None
    hand_in(course, "first", right=5)
    assert settle(course) == []
    assert attempts.attempts_of(course, STUDENT) == []


def test_another_setting_is_refused(course):
    course.options.attempts = "latest"
    with pytest.raises(CourseError, match='must be "newest", "best" or None'):
        settle(course)
