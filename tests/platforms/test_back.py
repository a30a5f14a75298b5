"""Feedback finds its way back: under the name that the platform gave, to whom it belongs."""

import csv
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from nbgrader.api import Gradebook

from bncourse.commands.term import feedback
from bncourse.course import scripts_on_path
from bncourse.errors import CourseError
from bncourse.platforms import back
from bncourse.platforms.back import Page, canvas_name, moodle_name, pack
from bncourse.platforms.counted import read_counted
from bncourse.platforms.names import parse

from .test_collector import collect, course, put  # noqa: F401

FORWARD = Path("forward.html")

# nbgrader's own use of its database.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("submissions.zip/lovelaceada_4711_101_forward.ipynb", "lovelaceada_4711_101_forward.html"),
        ("submissions.zip/ada_LATE_4711_101_my_work-2.ipynb", "ada_LATE_4711_101_my_work-2.html"),
        ("submissions.zip/ada_4711_101_mine.zip/forward.ipynb", "ada_4711_101_mine.html"),
        ("ada_forward.ipynb", None),
        ("class.zip/Ada Lovelace_12_assignsubmission_file_/forward.ipynb", None),
        (None, None),
    ],
)
def test_canvas_finds_the_user_and_the_file(file, name):
    found = canvas_name(Page("ada", FORWARD, file and Path(file)))
    assert found == name
    if name:
        # Canvas takes the first two parts that are numbers.
        assert [part for part in name.split("_") if part.isdigit()][:2] == ["4711", "101"]


@pytest.mark.parametrize("end", ["", "_"])
@pytest.mark.parametrize("deeper", ["", "work/"])
def test_moodle_finds_the_participant_before_and_after_4_1(end, deeper):
    file = Path(f"class.zip/Ada Lovelace_12_assignsubmission_file{end}/{deeper}forward.ipynb")
    assert parse(file, ["forward"])["number"] == "12"
    found = moodle_name(Page("ada", FORWARD, file))
    assert found == "Ada Lovelace_12_assignsubmission_file/forward.html"


def test_moodle_without_folders():
    file = Path("class.zip/Ada Lovelace_12_assignsubmission_file_forward.ipynb")
    found = moodle_name(Page("ada", FORWARD, file))
    assert found == "Ada Lovelace_12_assignsubmission_file/forward.html"


def test_a_pack_is_whole_or_not_there(tmp_path):
    target = tmp_path / "pack.zip"
    target.write_text("the pack of before")
    gone = Page("ada", tmp_path / "gone.html", Path("x.zip/ada_1_2_forward.ipynb"))
    with pytest.raises(FileNotFoundError):
        pack([gone], canvas_name, target)
    assert target.read_text() == "the pack of before"


def test_collecting_remembers_what_counts(course):  # noqa: F811
    put(
        course,
        ("ada_4711_99_forward.ipynb", "old"),
        ("ada_4711_120_forward-1.ipynb", "new"),
        ("notes.txt", "of nobody"),
    )
    collect(course)
    counted = read_counted(course / "downloaded" / "ps1")
    assert counted == {"ada": Path("class.zip/ada_4711_120_forward-1.ipynb")}


def test_what_was_not_collected_has_no_way_back(tmp_path):
    with pytest.raises(CourseError, match="bncourse collect"):
        read_counted(tmp_path)


# --- Classroom ----------------------------------------------------------------------------------


def git(folder, *arguments):
    done = subprocess.run(
        ["git", "-C", folder, "-c", "user.name=A", "-c", "user.email=a@example.org", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture
def clones(tmp_path, monkeypatch):
    """Return the folder of clones, with one in which a student has laid a trap."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "A")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@example.org")
    archive = tmp_path / "archive"
    clone = archive / "ps1-submissions" / "ps1-ada"
    clone.mkdir(parents=True)
    (tmp_path / "private").write_text("of the instructor")
    git(clone, "init", "--quiet")
    (clone / "forward.html").symlink_to(tmp_path / "private")
    (clone / ".gitattributes").write_text("* text eol=crlf filter=evil\n")
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "--message", "work")
    return archive


def test_a_branch_holds_the_page_and_nothing_of_the_student(clones, tmp_path):
    page = tmp_path / "forward.html"
    page.write_bytes(b"<p>12 of 20</p>\n")
    file = Path("ps1-submissions/ps1-ada/forward.ipynb")
    pages = [Page("ada", page, file), Page("ben", page, None)]
    (repository,), left = back.commit_pages(pages, clones)
    assert left == ["ben"]
    assert git(repository, "ls-tree", "--name-only", "-r", "feedback") == "forward.html\n"
    assert git(repository, "show", "feedback:forward.html") == "<p>12 of 20</p>\n"
    assert git(repository, "rev-list", "--count", "feedback") == "1\n"
    assert (tmp_path / "private").read_text() == "of the instructor"
    assert git(repository, "status", "--porcelain") == ""


# --- The command --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A course with pages of feedback: ada is done, ben waits for a human."""
    root = tmp_path_factory.mktemp("back") / "course"
    root.mkdir()
    (root / "nbgrader_config.py").write_text(
        "c = get_config()\n"
        'c.CourseDirectory.course_id = "trial"\n'
        "from bncourse.grading.nbgrader.config import configure\n"
        "configure(c, __file__)\n"
    )
    with scripts_on_path(), Gradebook(f"sqlite:///{root}/gradebook.db", "trial") as book:
        book.add_assignment("ps1_forward")
        book.add_notebook("forward", "ps1_forward")
        book.add_grade_cell("written", "forward", "ps1_forward", max_score=3, cell_type="markdown")
        book.add_student("ada", first_name="Ada", last_name="Lovelace", email="ada@example.org")
        book.add_student("ben", first_name="Ben")
        for student in ("ada", "ben"):
            submission = book.add_submission("ps1_forward", student)
            grade = submission.notebooks[0].grades[0]
            grade.needs_manual_grade = student == "ben"
            grade.manual_score = 2 if student == "ada" else None
            page = root / "feedback" / student / "ps1_forward" / "forward.html"
            page.parent.mkdir(parents=True)
            page.write_text(f"<p>{student}</p>")
            (root / "autograded" / student / "ps1_forward").mkdir(parents=True)
        book.db.commit()
    (root / "downloaded" / "ps1_forward").mkdir(parents=True)
    (root / "downloaded" / "ps1_forward" / "counted.csv").write_text(
        "student,file\nada,s.zip/ada_1_2_forward.ipynb\nben,s.zip/ben_3_4_forward.ipynb\n"
    )
    return root


@pytest.fixture
def graded(made, tmp_path, monkeypatch):
    # What nbgrader does there has tests of its own: test_current.py.
    monkeypatch.setattr("bncourse.commands.term._nbgrader", lambda *args, **options: None)
    # So has what is old there: glance/test_glance.py.
    monkeypatch.setattr("bncourse.commands.term.say_stale", lambda *args: None)
    return shutil.copytree(made, tmp_path / "course")


def run(root, *options):
    return CliRunner().invoke(feedback, ["ps1_forward", "--root", str(root), *options])


def test_what_waits_for_a_human_stays_out(graded):
    done = run(graded, "--for", "canvas")
    assert done.exit_code == 0, done.output
    assert "2 pages say what the gradebook says." in done.output
    assert "still waits for a human (--unfinished packs it): ben" in done.output
    with zipfile.ZipFile(graded / "feedback-ps1_forward-canvas.zip") as archive:
        assert archive.namelist() == ["ada_1_2_forward.html"]
        assert archive.read("ada_1_2_forward.html") == b"<p>ada</p>"


def test_who_has_withdrawn_gets_no_page(graded):
    with scripts_on_path(), Gradebook(f"sqlite:///{graded}/gradebook.db", "trial") as book:
        book.remove_student("ben")
    done = run(graded, "--for", "canvas", "--unfinished")
    assert done.exit_code == 0, done.output
    assert "is not in the gradebook: ben" in done.output
    with zipfile.ZipFile(graded / "feedback-ps1_forward-canvas.zip") as archive:
        assert archive.namelist() == ["ada_1_2_forward.html"]


def test_all_are_packed_when_asked(graded):
    done = run(graded, "--for", "canvas", "--unfinished", "--to", str(graded / "all.zip"))
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(graded / "all.zip") as archive:
        assert len(archive.namelist()) == 2


def test_mail_has_one_row_for_each_address(graded):
    done = run(graded, "--for", "mail", "--unfinished")
    assert "has no e-mail in the gradebook (bncourse roster): ben" in done.output
    with (graded / "feedback-ps1_forward-mail.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["email"] == "ada@example.org"
    assert row["points"] == "2 of 3"
    assert Path(row["attachment"]).read_text() == "<p>ada</p>"


def test_a_platform_that_gave_no_names_is_told(graded):
    (graded / "downloaded" / "ps1_forward" / "counted.csv").unlink()
    done = run(graded, "--for", "moodle")
    assert done.exit_code == 2
    assert "bncourse collect" in done.output


@pytest.mark.parametrize("platform", ["moodle", "classroom", "mail"])
def test_a_pack_of_nothing_is_refused_and_not_written(graded, platform):
    with scripts_on_path(), Gradebook(f"sqlite:///{graded}/gradebook.db", "trial") as book:
        book.update_or_create_student("ada", email=None)
    before = sorted(graded.iterdir())
    done = run(graded, "--for", platform)
    assert done.exit_code == 2
    assert (
        f"A pack must hold at least one page, and none can go back now. Received: {platform}"
        in (done.stderr)
    )
    assert sorted(graded.iterdir()) == before


def test_a_place_that_is_not_there_is_told_before_the_work(graded):
    done = run(graded, "--for", "canvas", "--to", str(graded / "gone" / "all.zip"))
    assert done.exit_code == 2
    assert "--to must be a file in a folder that is there. Received: " in done.stderr
    assert "pages" not in done.output


def test_no_pack_needs_no_file(graded):
    assert run(graded, "--to", "x.zip").exit_code == 2
    assert run(graded).output == "2 pages say what the gradebook says.\n"


def test_before_grading_it_says_what_comes_first(graded):
    shutil.rmtree(graded / "autograded")
    done = run(graded)
    assert done.exit_code == 2
    assert "Grade it first: bncourse grade ps1_forward" in done.output
