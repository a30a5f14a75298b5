"""Read the list of a class as Canvas, Moodle, GitHub Classroom and Excel write it."""

import csv
import io
import re

from bncourse.errors import CourseError

# What each platform calls a column, in small letters and without what is no letter or digit.
_COLUMNS = {
    "id": ("id", "sisloginid", "username", "benutzername", "identifier", "studentid", "loginid"),
    "lms_user_id": ("lmsuserid", "canvasid", "githubusername"),
    "first_name": ("firstname", "vorname", "givenname"),
    "last_name": ("lastname", "surname", "nachname", "familyname"),
    "email": ("email", "emailaddress", "emailadresse"),
    "name": ("student", "name", "fullname"),
}
_ENCODINGS = ("utf-8-sig", "cp1252")
_MOST_HEADERS = 5
# Rows of Canvas that are no student.
_NO_STUDENT = re.compile(r"\s*(points possible|student, test)\s*$", re.IGNORECASE)


def read_roster(data):
    """Return ``[{"id", "first_name", "last_name", "email", "lms_user_id"}]`` of the bytes of a CSV.

    On Canvas the id is the SIS Login ID, and the column ID its own number. Values that are not
    there are left out.

    Raises:
        CourseError: no column holds ids, or two students have the same.
    """
    rows = [row for row in _rows(_text(data)) if any(map(str.strip, row))]
    head, columns = _head(rows)
    students = []
    for row in rows[head + 1 :]:
        found = {key: row[at].strip() for key, at in columns.items() if at < len(row)}
        found = {key: value for key, value in found.items() if value}
        name = found.pop("name", "")
        if not found.get("id") or _NO_STUDENT.match(name):
            continue
        students.append(_names(name) | found)
    ids = [each["id"] for each in students]
    twice = sorted({each for each in ids if ids.count(each) > 1})
    if twice:
        raise CourseError(f"An id must stand in the list once. Received twice: {twice}")
    if not students:
        raise CourseError("The list must hold a student with an id. Received: none")
    return students


def _text(data):
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    for encoding in _ENCODINGS:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise CourseError("The list must be text in UTF-8, UTF-16 or the encoding of Windows.")


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
        if "id" in columns:
            return index, columns
    known = ", ".join(_COLUMNS["id"])
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
