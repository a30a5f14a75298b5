"""Whose hand-in a file is, told by its name, as Canvas, Moodle and GitHub Classroom write them."""

import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

# Canvas: the sortable name without what is no letter or digit, perhaps LATE, the number of the
# user, the number of the file, and the name that the student gave it.
_CANVAS = re.compile(
    r"(?P<student_id>\w+?)(?P<late>_late)?_(?P<number>\d+)_(?P<order>\d+)_(?P<rest>.+)",
    re.IGNORECASE,
)
# Moodle: the full name, the number of the participant, how it was handed in (file, onlinetext),
# then a folder or the name of the file. The name of a folder ends without the last underscore from
# Moodle 4.1 on.
_MOODLE = re.compile(
    r"(?P<student_id>[^_]+)_(?P<number>\d+)_assignsubmission_[a-z]+(_(?P<rest>.*))?"
)
# GitHub Classroom: SLUG-submissions/SLUG-LOGIN/, and what the instructor adds where all is late.
_CLASSROOM, _LATE = "-submissions", re.compile("(_late)+$")

# What Canvas and browsers append to the name of a second file.
_COPY = re.compile(r"(-\d+| \(\d+\))+$")
# Apostrophes, both ways of writing them, and what else stands in names of people.
_DROPPED = re.compile("['\u2019,()]")
_STUDENT = re.compile(r"\w[\w.@+-]{0,99}")


# An archive is unpacked to a folder of its name.
ARCHIVES = (".zip", ".gz")


class Unreadable(Exception):
    """A name does not tell whose hand-in it is; the message says why."""


def parse(path, notebooks, zip_ext=ARCHIVES, prefix=""):
    """Return whose notebook a file is, as ``{"student_id", "file_id", ...}``.

    The first part that names a student decides: what lies deeper came from that student, who may
    have given it any name.

    Args:
        path: of the file, relative to where everything was unpacked.
        notebooks: the names of the released notebooks.
        zip_ext: how the name of an archive ends.
        prefix: what stands before the login in the name of a repository, if not its slug.

    Raises:
        Unreadable: if no part names a student.

    >>> parse(Path("class.zip/ada_late_4711_99_forward-1.ipynb"), ["forward"])["student_id"]
    'ada'
    >>> parse(Path("class.zip/Ada Lovelace_12_assignsubmission_file_/x.ipynb"), [])["number"]
    '12'
    >>> parse(Path("ps1-submissions/ps1-ada/forward.ipynb"), ["forward"])["student_id"]
    'ada'
    """
    found = telling(path, zip_ext, prefix)
    if not found:
        return _plain(path.stem, notebooks)
    told = dict(found.told)
    own = told.pop("rest", "") if found.part == path.name else path.name
    return {**told, "file_id": notebook_of(Path(own or path.name).stem, notebooks)}


class Telling(NamedTuple):
    """The part of a path that names a student.

    Args:
        part: as the platform wrote it.
        platform: "canvas", "moodle" or "classroom".
        told: what it holds, by name.
    """

    part: str
    platform: str
    told: dict


def telling(path, zip_ext=ARCHIVES, prefix=""):
    """Return the Telling of a path, or None where no platform wrote it; see ``parse``.

    Raises:
        Unreadable: as ``parse``.

    >>> telling(Path("class.zip/Ada Lovelace_12_assignsubmission_file/x.ipynb")).platform
    'moodle'
    """
    archives = [part for part in path.parts[:-1] if Path(part).suffix.lower() in zip_ext]
    if archives and _match(_CANVAS, archives[0]) and "submissions" not in archives[0]:
        raise Unreadable(
            "It must come in the archive that the platform made; this one has the name of one "
            "student's. If it is the platform's, give it another name."
        )
    for index, part in enumerate(path.parts):
        # The archive that was downloaded has the platform's name, and no student's.
        uploaded = part == path.name or part in archives[1:]
        for platform, told in (
            ("classroom", _repository(path.parts, index, prefix)),
            ("moodle", _match(_MOODLE, part)),
            ("canvas", uploaded and _match(_CANVAS, part)),
        ):
            if told:
                return Telling(part, platform, told)
    if len(archives) > 1:
        raise Unreadable("It lies in an archive of an unknown student.")
    return None


def _match(pattern, part):
    match = pattern.fullmatch(part)
    return match and match.groupdict()


def _repository(parts, index, prefix):
    above = parts[index - 1] if index else ""
    if not above.endswith(_CLASSROOM) or index == len(parts) - 1:
        return None
    start = f"{prefix or above.removesuffix(_CLASSROOM)}-"
    if not parts[index].startswith(start):
        raise Unreadable(
            f"The name of a repository must begin with {start!r}, or set "
            f"HandInCollector.repository_prefix. Received: {parts[index]!r}"
        )
    login = parts[index].removeprefix(start)
    late = bool(_LATE.search(login))
    return {"student_id": _LATE.sub("", login), "late": late, "cloned": True}


def _plain(stem, notebooks):
    bare = _COPY.sub("", stem)
    for notebook in notebooks:
        student = bare.removesuffix(f"_{notebook}")
        if student != bare:
            return {"student_id": student, "file_id": notebook}
    student, _, notebook = stem.partition("_")
    if not (student and notebook):
        raise Unreadable("Its name must be STUDENT_NOTEBOOK.ipynb, or of a known platform.")
    return {"student_id": student, "file_id": notebook_of(notebook, notebooks)}


def notebook_of(stem, notebooks):
    """Return which notebook a file is, by its name without extension.

    >>> notebook_of("my_forward (1)-2", ["forward"]), notebook_of("scratch-2", ["forward"])
    ('forward', 'scratch')
    """
    known = [notebook for notebook in notebooks if notebook in stem]
    return max(known, key=len) if known else _COPY.sub("", stem) or stem


def safe_student(name):
    """Return a name as an id that is safe as the name of a folder.

    Raises:
        Unreadable: if it is not.

    >>> safe_student("Grace O'Brien")
    'Grace-OBrien'
    """
    text = _DROPPED.sub("", unicodedata.normalize("NFC", name))
    text = "-".join(text.split())
    if not _STUDENT.fullmatch(text):
        raise Unreadable(
            "A student id must begin with a letter or digit and hold only letters, digits and "
            f". _ @ + -, at most 100. Received: {name!r}"
        )
    return text


def safe_notebook(name):
    """Return the name of a notebook.

    Raises:
        Unreadable: if it could lead out of the student's folder.
    """
    if not name or name.startswith(".") or "/" in name or "\\" in name or not name.isprintable():
        raise Unreadable(f"The name of a notebook must stay in its folder. Received: {name!r}")
    return name
