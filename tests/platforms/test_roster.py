"""The list of a class, as each platform and Excel write it."""

import io
import zipfile

import pytest
from click.testing import CliRunner
from nbgrader.api import Gradebook

from bncourse.commands.roster import roster
from bncourse.course import scripts_on_path
from bncourse.errors import CourseError
from bncourse.platforms.roster import read_roster


def zip_of(name):
    """Return the bytes of a zip with one file."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        file.writestr(name, "x")
    return target.getvalue()


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
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_a_list_loads_as_it_is_written(text, more, encoding):
    assert read_roster(text.encode(encoding)) == [ADA | more]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("First name,Last name,ID number,Email address\nA,L,0012,a@x.org\n", ["0012"]),
        ("First name,Surname,ID number,Email address\nA,L,,a@x.org\nB,W,,b@x.org\n", "mails"),
        ("Vorname;Nachname;ID-Nummer;E-Mail-Adresse\nA;L;12;a@x.org\n", ["12"]),
        ("First name,Last name,Email address\nA,L,a@x.org\nB,W,b@x.org\n", "mails"),
        ('Student,ID,SIS Login ID\n    Mögliche Punkte,,\n,,\n"L, A",1,ada\n', ["ada"]),
        ("id \n mu\u0308ller\u00a0\n", ["m\u00fcller"]),
        ("Identifier,Full name,ID number\nParticipant 12,Ada L,0012\n", ["0012"]),
        ("ID;Vollständiger Name;E-Mail-Adresse\nTeilnehmer/in12;A L;a@x.org\n", ["a@x.org"]),
    ],
)
def test_what_stands_for_an_id(text, ids):
    mails = ["a@x.org", "b@x.org"]
    assert [each["id"] for each in read_roster(text.encode())] == (mails if ids == "mails" else ids)


def xlsx(cells, shared):
    """Return the bytes of an Excel file with the cells of one sheet."""
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    texts = "".join(f"<si><t>{text}</t></si>" for text in shared)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as book:
        sheet = f"<worksheet {space}><sheetData>{cells}</sheetData></worksheet>"
        book.writestr("xl/worksheets/sheet1.xml", sheet)
        book.writestr("xl/worksheets/sheet10.xml", "<no list/>")
        book.writestr("xl/sharedStrings.xml", f"<sst {space}>{texts}</sst>")
    return target.getvalue()


def test_a_file_of_excel_loads_as_it_is():
    head = '<row><c r="A1" t="s"><v>0</v></c><c r="C1" t="s"><v>1</v></c></row>'
    number = '<row><c r="A2"><v>1.23456789012E11</v></c><c r="C2" t="s"><v>2</v></c></row>'
    text = '<row><c r="A3" t="inlineStr"><is><t>0042</t></is></c><c r="C3" t="s"/></row>'
    float_ = '<row><c r="A4" t="n"><v>4711.0</v></c></row>'
    found = read_roster(xlsx(head + number + text + float_, ["ID", "Name", "Ada Lovelace"]))
    assert found == [ADA | {"id": "123456789012"}, {"id": "0042"}, {"id": "4711"}]


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04 cut",
        zip_of("word/document.xml"),
        xlsx('<row><c r="A1" t="s"><v>7</v></c></row>', ["ID"]),
        xlsx('<row><c r="A1"><v>E</v></c></row>', []),
    ],
)
def test_what_is_no_sheet_is_asked_for_as_csv(data):
    with pytest.raises(CourseError, match="Save it as CSV"):
        read_roster(data)


def test_half_a_letter_at_the_end_is_told():
    with pytest.raises(CourseError, match="must be text in"):
        read_roster("id\nada\n".encode("utf-16") + b"\0")


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
        ("id\nada\nADA \n", r"twice: \['ADA', 'ada'\]"),
        # A student without an id would be graded under none.
        ("id,name\n,Ada Lovelace\nben,Ben\n", "must have an id. Received: Ada Lovelace"),
        ("First name,ID number,Email\nAda,,a@x\nBen,2,b@x\n", "must have an id. Received: Ada a@x"),
        # Collecting could never read these off the name of a file.
        ("id\n../x\n", "must begin with a letter or digit"),
        ("id\n12/34\n", "must begin with a letter or digit"),
        ("id\nGrace O'Brien\n", "without spaces, brackets and apostrophes"),
        ("id\n1.2E+05\n", "must have all its digits"),
        ("id\n4711.0\n", "must have all its digits"),
        (f"id,name\nada,{'x' * 200_000}\n", "must be a table of text"),
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


def known(course):
    with scripts_on_path(), Gradebook(f"sqlite:///{course}/gradebook.db", "") as book:
        return {each.id: each.email for each in book.students}


@pytest.fixture
def course(tmp_path):
    """A course whose gradebook knows ada."""
    (tmp_path / "nbgrader_config.py").write_text(
        'c = get_config()\nc.CourseDirectory.course_id = ""\n'
    )
    with scripts_on_path(), Gradebook(f"sqlite:///{tmp_path}/gradebook.db", "") as book:
        book.add_student("ada")
    return tmp_path


def load(course, text):
    (course / "list.csv").write_text(text)
    return CliRunner().invoke(roster, [str(course / "list.csv"), "--root", str(course)])


def test_an_id_in_other_letters_makes_no_second_student(course):
    done = load(course, "id,email\nben,b@x.org\nAda,a@x.org\n")
    assert done.exit_code == 2
    assert "Received: Ada, known as ada" in done.output
    assert known(course) == {"ada": None}


def test_of_a_list_that_is_stopped_nothing_is_loaded(course, monkeypatch):
    rows = [{"id": "ada", "email": "a@x.org"}, {"id": "ben"}, {"id": "cleo", "email": object()}]
    monkeypatch.setattr("bncourse.platforms.roster.read_roster", lambda data: rows)
    assert load(course, "").exit_code != 0
    assert known(course) == {"ada": None}
    rows.pop()
    assert load(course, "").exit_code == 0
    assert known(course) == {"ada": "a@x.org", "ben": None}
