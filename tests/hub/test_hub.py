"""A term on the hub, through its pages, and a student who tries to reach what is not theirs."""

import re

import pytest
from conftest import needs_chromium

from bncourse.trial import corpus, walkthrough
from hub.conftest import load_start
from hub.people import NAME, SET, Grader, Student

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_sandbox"), needs_chromium]

ANSWERS = {"ada": corpus.SOLUTIONS["batch_statistics"], "ben": walkthrough.MISTAKE}
NAMES = {"ada": ("Ada", "Lovelace"), "ben": ("Ben", "Weber")}
WRITTEN = {"ada": walkthrough.ANSWER, "ben": "Because."}
BY_HAND = {"ada": ("3", "Well put."), "ben": ("1", "And what replaces the bias?")}
RIGHT = "batch_statistics: correct in all"
WRONG = "Likely cause: The variance is the unbiased one"

# What a student types into a notebook to reach what is not theirs, and the file that it is about.
REACHES = {
    "ls ~ada": "home/ada",
    f"cat ~ada/{SET}/{NAME}.ipynb": f"home/ada/{SET}/{NAME}.ipynb",
    "ls /srv/batch-norm": "srv/batch-norm",
    "cat /srv/batch-norm/gradebook.db": "srv/batch-norm/gradebook.db",
    "cat /srv/batch-norm/.course_secret": "srv/batch-norm/.course_secret",
    f"cat /srv/batch-norm/solutions/{SET}/{NAME}.md": f"srv/batch-norm/solutions/{SET}/{NAME}.md",
    "ls /srv/exchange/batch-norm/inbound": "srv/exchange/batch-norm/inbound",
    "mv /srv/exchange/batch-norm /srv/exchange/mine": "srv/exchange/batch-norm",
    f"touch /srv/exchange/batch-norm/outbound/{SET}/{NAME}.ipynb": "srv/exchange/batch-norm",
    "cat /srv/jupyterhub/jupyterhub.sqlite": "srv/jupyterhub/jupyterhub.sqlite",
    "cat /etc/shadow": "etc/shadow",
}
REFUSALS = ("Permission denied", "Operation not permitted")


@pytest.fixture(scope="module")
def people(browser, hub):
    """Everybody, logged in, by name."""
    kinds = {"grace": Grader, "tom": Grader, "ada": Student, "ben": Student, "cleo": Student}
    return {name: kind(browser, hub, name) for name, kind in kinds.items()}


@pytest.fixture(scope="module")
def term(people):
    """What people read in a term: ``{(who, at which step): text}``.

    Two graders, each with an account of their own, grade at the same time.
    """
    grace, tom, students = people["grace"], people["tom"], [people[name] for name in ANSWERS]
    read = {}
    for name, (first, last) in NAMES.items():
        grace.add_student(name, first, last)
    for button in ("assign", "release"):
        read["grace", button] = grace.on_set(button)
    grace.picture("released")
    for student in students:
        student.open_list()
        student.fetch()
        student.open_notebook()
        read[student.name, "check"] = student.work(ANSWERS[student.name], WRITTEN[student.name])
        student.submit()
        student.picture(f"submitted-{student.name}")
    read["grace", "collect"] = grace.on_set("collect")
    graders = {"ada": grace, "ben": tom}
    for student, grader in graders.items():
        grader.autograde(student)
    read["autograde"] = {student: grader.said() for student, grader in graders.items()}
    read["grace", "submissions"] = grace.submissions()
    grace.picture("graded")
    for name, (first, last) in NAMES.items():
        tom.grade_by_hand(f"{last}, {first}", "redundant_bias", *BY_HAND[name])
    tom.picture("by-hand")
    read["tom", "submissions"] = tom.submissions()
    for button in ("generate-feedback", "release-feedback"):
        read["grace", button] = grace.on_set(button)
    for student in students:
        read[student.name, "feedback"] = student.feedback()
        student.picture(f"feedback-{student.name}")
    return read


def test_an_instructor_releases_a_problem_set(term):
    assert "Successfully created the student version" in term["grace", "assign"]
    assert "Successfully released" in term["grace", "release"]


def test_students_work_and_check(term):
    assert RIGHT in term["ada", "check"]
    assert WRONG in term["ben", "check"]


def test_hand_ins_are_collected_and_graded_in_the_sandbox(hub, term):
    assert "Successfully collected submissions" in term["grace", "collect"]
    for name, word in (("ada", "ok"), ("ben", "wrong")):
        assert f"Collecting submission: {name}" in term["grace", "collect"]
        assert f'{name}: {{"batch_statistics": "{word}"' in term["autograde"][name]
    assert term["grace", "submissions"] == {
        "ada": ("needs manual grading", "2 / 20"),
        "ben": ("needs manual grading", "0 / 20"),
    }


def test_the_second_grader_writes_to_the_same_gradebook(term):
    assert term["tom", "submissions"] == {"ada": ("graded", "5 / 20"), "ben": ("graded", "1 / 20")}


def test_each_student_reads_their_own_feedback(term):
    for button in ("generate-feedback", "release-feedback"):
        assert "Successfully" in term["grace", button]
    for name, total in (("ada", "5 of 20 points"), ("ben", "1 of 20 points")):
        assert total in term[name, "feedback"]
        assert BY_HAND[name][1] in term[name, "feedback"]
    assert WRONG.partition(": ")[2] in term["ben", "feedback"]
    assert WRONG.partition(": ")[2] not in term["ada", "feedback"]


def test_a_student_reaches_no_file_of_others(hub, term, people):
    for path in REACHES.values():
        assert (hub.folder / path).exists(), f"{path} would be refused to nobody"
    lines = [f'echo "$({reach} 2>&1 | head -c 200)"' for reach in REACHES]
    cleo = people["cleo"]
    said = cleo.shell("\n".join(lines)).splitlines()
    cleo.picture("intruder")
    assert len(said) == len(REACHES)
    for reach, line in zip(REACHES, said, strict=True):
        assert line.endswith(REFUSALS), f"{reach}: {line}"


def test_a_student_sees_no_process_of_others(hub, term, people):
    said = people["cleo"].shell("stat -c %U /proc/[0-9]* 2>/dev/null | sort -u")
    assert said.split() == ["cleo"]


def test_a_student_gets_nothing_from_the_hub_or_from_another_server(hub, term, people):
    cleo = people["cleo"]
    for path in ("/user/ada/lab", f"/user/ada/files/{SET}/{NAME}.ipynb", "/user/grace/formgrader"):
        assert "You do not have permission to access Server" in cleo.read(hub.url + path)
    assert "403 : Action is not authorized" in cleo.read(f"{hub.url}/hub/admin")
    assert '"name": "cleo"' in cleo.read(f"{hub.url}/hub/api/users/cleo")
    for path in ("users", "users/ada", "groups", "proxy"):
        said = cleo.read(f"{hub.url}/hub/api/{path}")
        assert re.search('"message": "(Action is not authorized|No access to resources)', said)
        assert "ada" not in said
    # The formgrader is no extension of a student's server.
    assert "404 : Not Found" in cleo.read(f"{cleo.server}/formgrader")


def test_without_root_it_says_what_it_needs(monkeypatch):
    monkeypatch.setattr("os.getuid", lambda: 1000)
    assert load_start().why_not().startswith("The hub needs root")


def test_a_wrong_password_lets_nobody_in(browser, hub):
    page = browser.new_page()
    page.goto(f"{hub.url}/hub/login")
    page.fill("#username_input", "grace")
    page.fill("#password_input", hub.passwords["cleo"])
    page.click("#login_submit")
    page.get_by_text("Invalid username or password").wait_for()
    assert page.url.startswith(f"{hub.url}/hub/login")
