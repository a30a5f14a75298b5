"""The list of a class, as each platform and Excel write it."""

import pytest
from click.testing import CliRunner
from nbgrader.api import Gradebook

from bncourse.commands.roster import roster
from bncourse.course import scripts_on_path
from bncourse.errors import CourseError
from bncourse.platforms.roster import read_roster

ADA = {"id": "ada", "first_name": "Ada", "last_name": "Lovelace"}

CANVAS = (
    "Student,ID,SIS Login ID,Section,ps1 (98765)\r\n"
    "    Points Possible,,,,20.0\r\n"
    '"Lovelace, Ada",4711,ada,A,\r\n"Student, Test",9,test,A,\r\n'
)
MOODLE = "First name,Last name,Username,Email address\nAda,Lovelace,ada,ada@example.org\n"
CLASSROOM = '"identifier","github_username","github_id","name"\n"ada","ada-l","7","Ada Lovelace"\n'
PLAIN = "id,first_name,last_name,email,lms_user_id\nada,Ada,Lovelace,,4711\n"
EMAIL = {"email": "ada@example.org"}


@pytest.mark.parametrize(
    ("text", "more"),
    [
        (CANVAS, {"lms_user_id": "4711"}),
        (MOODLE, EMAIL),
        (MOODLE.replace(",", ";"), EMAIL),
        (MOODLE.replace(",", "\t"), EMAIL),
        ("sep=;\n" + MOODLE.replace(",", ";"), EMAIL),
        ("Course: Deep learning\nExported on Monday\n\n" + MOODLE, EMAIL),
        (CLASSROOM, {"lms_user_id": "ada-l"}),
        (PLAIN, {"lms_user_id": "4711"}),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_list_loads_as_it_is_written(text, more, encoding):
    assert read_roster(text.encode(encoding)) == [ADA | more]


def test_letters_of_windows_are_read():
    (found,) = read_roster("id;name\r\neva;Eva M\xfcller\r\n".encode("cp1252"))
    assert found["last_name"] == "M\xfcller"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "an empty file"),
        ("a,b\n1,2\n", r"Received: \['a', 'b'\]"),
        ("id\n", "Received: none"),
        ("id\nada\nada\n", r"twice: \['ada'\]"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused(text, says):
    with pytest.raises(CourseError, match=says):
        read_roster(text.encode())


def test_the_gradebook_knows_the_list_and_forgets_nobody(tmp_path):
    (tmp_path / "nbgrader_config.py").write_text(
        'c = get_config()\nc.CourseDirectory.course_id = "test"\n'
    )
    (tmp_path / "moodle.csv").write_bytes(MOODLE.encode("utf-16"))
    url = f"sqlite:///{tmp_path}/gradebook.db"
    with scripts_on_path(), Gradebook(url, "test") as book:
        book.add_student("ada", lms_user_id="4711")
        book.add_student("ben")

    def call(*options):
        words = [str(tmp_path / "moodle.csv"), "--root", str(tmp_path), *options]
        done = CliRunner().invoke(roster, words)
        assert done.exit_code == 0, done.output
        with Gradebook(url, "test") as book:
            found = {e.id: (e.first_name, e.email, e.lms_user_id) for e in book.students}
        return done.stdout.splitlines(), found

    said, found = call("--dry-run")
    assert said == ["0 new", "1 known", "1 not in it: ben", "Nothing was written."]
    assert found["ada"] == (None, None, "4711")
    said, found = call()
    assert said == ["0 new", "1 known", "1 not in it: ben"]
    assert found == {"ada": ("Ada", "ada@example.org", "4711"), "ben": (None, None, None)}
