"""Read the list of a class as Canvas, Moodle, GitHub Classroom and Excel write it."""

import codecs
import csv
import io
import re
import unicodedata

from bncourse.errors import CourseError
from bncourse.platforms.names import Unreadable, safe_student
from bncourse.platforms.xlsx import is_xlsx, rows_of

# What each platform calls a column, in small letters and without what is no letter or digit.
_COLUMNS = {
    "id": ("id", "sisloginid", "username", "benutzername", "identifier", "studentid", "loginid"),
    "lms_user_id": ("lmsuserid", "canvasid", "githubusername"),
    "first_name": ("firstname", "vorname", "givenname"),
    "last_name": ("lastname", "surname", "nachname", "familyname"),
    # Moodle's own exports know no login: the number that the university gave, or none.
    "number": ("idnumber", "idnummer", "matrikelnummer"),
    "email": ("email", "emailaddress", "emailadresse"),
    "name": ("student", "name", "fullname", "vollständigername"),
}
_ENCODINGS = ("utf-8-sig", "cp1252")
_MOST_HEADERS = 5
# Rows of Canvas that are no student; the first is indented in every language.
_NO_STUDENT = re.compile(r"    .*|student, test\s*$", re.IGNORECASE)
# What stands for the id of a student, the first that the list holds.
_IDS = ("id", "number", "email")
# What a table of Moodle to grade offline has for an id: the number of a hand-in, such as
# "Participant 12", and the next problem set has another one.
_OF_A_HAND_IN = re.compile(r"[^\W\d]+( |/[^\W\d]+ ?)\d+")
# A spreadsheet shows a long number so, and the digits are gone; other programs make 4711.0 of 4711.
_ROUNDED = re.compile(r"\d([.,]\d+)?E\+\d+|\d+\.0")
# How two bytes of a letter stand, where no mark at the start tells it.
_WIDE = (("utf-16-le", slice(1, 512, 2)), ("utf-16-be", slice(0, 512, 2)))


def read_roster(data):
    """Return ``[{"id", "first_name", "last_name", "email", "lms_user_id"}]`` of a CSV or .xlsx.

    On Canvas the id is the SIS Login ID, and the column ID its own number. Where a list knows no
    login, it is the number that the university gave, and where it has none of those, the e-mail.
    Values that are not there are left out.

    Args:
        data: the bytes of the file.

    Raises:
        CourseError: no column holds ids, one is missing or no name of a folder, or two students
            have the same.
    """
    rows = rows_of(data) if is_xlsx(data) else _rows(_text(data))
    try:
        rows = [*rows]
    except csv.Error as error:
        raise CourseError(
            f"The list must be a table of text: is a quote open, or a cell endless? "
            f"Received: {error}"
        ) from None
    rows = [row for row in rows if any(map(str.strip, row))]
    head, columns = _head(rows)
    people = [person for row in rows[head + 1 :] if (person := _person(row, columns))]
    given = next((key for key in _IDS if any(key in each for each in people)), None)
    if given is None:
        raise CourseError("The list must hold a student with an id. Received: none")
    students = []
    for each in people:
        if given not in each:
            who = " ".join(each.values())
            raise CourseError(f"Each student of the list must have an id. Received: {who}")
        details = {key: value for key, value in each.items() if key not in ("id", "number")}
        students.append({"id": _id(each[given]), **details})
    ids = [each["id"].casefold() for each in students]
    twice = sorted({each["id"] for each in students if ids.count(each["id"].casefold()) > 1})
    if twice:
        raise CourseError(f"An id must stand in the list once. Received twice: {twice}")
    return students


def _person(row, columns):
    """Return what a row says of a student, or nothing where it is of none."""
    found = {key: row[at] for key, at in columns.items() if at < len(row) and row[at].strip()}
    name = found.pop("name", "")
    if _NO_STUDENT.match(name):
        return {}
    if _OF_A_HAND_IN.fullmatch(found.get("id", "").strip()):
        del found["id"]
    return _names(" ".join(name.split())) | {
        key: " ".join(value.split()) for key, value in found.items()
    }


def _id(text):
    """Return an id as collecting reads it off the name of a file.

    Raises:
        CourseError: no file could have it.
    """
    if _ROUNDED.fullmatch(text):
        raise CourseError(
            f"An id must have all its digits: give the column the format of text. Received: {text}"
        )
    try:
        safe = safe_student(text)
    except Unreadable as reason:
        raise CourseError(str(reason)) from None
    if safe != unicodedata.normalize("NFC", text):
        raise CourseError(
            f"A student id must be without spaces, brackets and apostrophes. Received: {text!r}"
        )
    return safe


def _text(data):
    for encoding in _encodings(data):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise CourseError("The list must be text in UTF-8, UTF-16 or the encoding of Windows.")


def _encodings(data):
    """Return the encodings that bytes may be in, the likeliest first."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return ("utf-32",)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ("utf-16",)
    # Letters of most languages have an empty half there, and text in bytes has none.
    wide = [name for name, half in _WIDE if data[half].count(0) > len(data[half]) / 2]
    return wide or _ENCODINGS


def _rows(text):
    # Excel tells its separator in a line of its own, or nowhere.
    told = re.match(r"sep=(.)\r?\n", text)
    if told:
        return csv.reader(io.StringIO(text[told.end() :], newline=""), delimiter=told[1])
    start = text[:4096].splitlines()[:_MOST_HEADERS]
    separator = max(",;\t", key=lambda each: sum(line.count(each) for line in start))
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator)


def _head(rows):
    """Return the index of the row of headings, and ``{what: index of the column}``."""
    for index, row in enumerate(rows[:_MOST_HEADERS]):
        titles = [re.sub(r"[\W_]", "", title.lower()) for title in row]
        columns = {
            key: titles.index(name)
            for key, names in _COLUMNS.items()
            for name in reversed(names)
            if name in titles
        }
        if "sisloginid" in titles and "id" in titles:
            columns |= {"id": titles.index("sisloginid"), "lms_user_id": titles.index("id")}
        if columns.keys() & {*_IDS}:
            return index, columns
    known = ", ".join(name for key in _IDS for name in _COLUMNS[key])
    raise CourseError(
        f"A column of the list must hold the ids of students, under one of {known}. "
        f"Received: {rows[0] if rows else 'an empty file'}"
    )


def _names(name):
    """Return first and last name of a name as Canvas sorts it, or as people say it."""
    last, comma, first = name.partition(",")
    if not comma:
        first, _, last = name.rpartition(" ")
    found = {"first_name": first.strip(), "last_name": last.strip()}
    return {key: value for key, value in found.items() if value}
