"""Pack pages of feedback as a platform takes them back: one file for a class.

Each platform finds a student by the name that it gave to what was downloaded.

- Canvas takes a zip under *Upload Submissions*: of each file name, the first two parts that are
  numbers are the user and the file that was handed in. It shows a page under the name of that file.
- Moodle takes a zip under *Upload multiple feedback files in a zip*: the name of a folder is the
  full name, the number of the participant, and which part of Moodle wrote it.
- GitHub takes a branch of its own in each repository.
- A program for mail merge takes a table.
"""

import csv
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

from bncourse.errors import CourseError
from bncourse.platforms.export import text
from bncourse.platforms.names import Unreadable, telling
from bncourse.whole import whole_file

BRANCH = "feedback"


@dataclass(frozen=True)
class Page:
    """A page of feedback that goes back.

    Args:
        student: whose it is.
        path: the page.
        file: what was downloaded and counts, relative to what was unpacked; None where it came in
            another way.
    """

    student: str
    path: Path
    file: Path | None = None


def canvas_name(page):
    """Return the name of a page for Canvas, or None where the file did not come from there.

    >>> file = Path("submissions.zip/lovelaceada_LATE_4711_101_forward-1.ipynb")
    >>> canvas_name(Page("ada", Path("forward.html"), file))
    'lovelaceada_LATE_4711_101_forward-1.html'
    """
    found = _telling(page, "canvas")
    return found and f"{Path(found.part).stem}{page.path.suffix}"


def moodle_name(page):
    """Return the name of a page for Moodle, or None where the file did not come from there.

    >>> file = Path("class.zip/Ada Lovelace_12_assignsubmission_file/forward.ipynb")
    >>> moodle_name(Page("ada", Path("forward.html"), file))
    'Ada Lovelace_12_assignsubmission_file/forward.html'
    """
    found = _telling(page, "moodle")
    if not found:
        return None
    name, number = found.told["student_id"], found.told["number"]
    return f"{name}_{number}_assignsubmission_file/{page.path.name}"


def _telling(page, platform):
    try:
        found = page.file and telling(page.file)
    except Unreadable:
        return None
    return found if found and found.platform == platform else None


def pack(pages, name_of, target):
    """Write a zip of pages.

    Args:
        pages: each a Page.
        name_of: ``Page -> its name in the zip, or None``.
        target: the path of the zip; it takes its place when it is whole.

    Returns:
        The students whose page has no name there.
    """
    left = []
    with (
        whole_file(target) as half,
        zipfile.ZipFile(half, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for page in pages:
            name = name_of(page)
            if name:
                archive.write(page.path, name)
            else:
                left.append(page.student)
    return sorted(set(left))


def write_mail(pages, people, points, target):
    """Write the table of a mail merge: whom to write to, how many points, which page to attach.

    Args:
        pages: each a Page.
        people: ``{student: (first name, last name, e-mail)}``.
        points: ``{student: text}``.
        target: the path of the table.

    Returns:
        The students whose address is not known.
    """
    left = []
    with (
        whole_file(target) as half,
        open(half, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["email", "first name", "last name", "student", "points", "attachment"])
        for page in pages:
            first, last, email = people.get(page.student, ("", "", ""))
            if not email:
                left.append(page.student)
                continue
            who = map(text, (email, first, last, page.student))
            writer.writerow([*who, points.get(page.student, ""), page.path.resolve()])
    return sorted(set(left))


def commit_pages(pages, archive):
    """Put each page on a branch of its own in the repository that it belongs to.

    The branch is made of the page alone, below no other commit. No file of the student is checked
    out or read, so what stands in the repository has no say.

    Args:
        pages: each a Page.
        archive: the folder with the clones.

    Returns:
        The repositories, and the students who have none.

    Raises:
        CourseError: git is missing or fails.
    """
    repositories, left = {}, []
    for page in pages:
        found = _telling(page, "classroom")
        inside = [each for each in (page.file.parents if found else ()) if each.name == found.part]
        if not inside or not (archive / inside[0] / ".git").is_dir():
            left.append(page.student)
            continue
        repositories.setdefault(archive / inside[0], []).append(page.path)
    for repository, paths in repositories.items():
        blobs = "".join(
            f"100644 blob {_git(repository, 'hash-object', '-w', '--no-filters', path.resolve())}"
            f"\t{path.name}\n"
            for path in paths
        )
        tree = _git(repository, "mktree", input=blobs)
        commit = _git(repository, "commit-tree", tree, "-m", "Feedback")
        _git(repository, "update-ref", f"refs/heads/{BRANCH}", commit)
    return sorted(repositories), sorted(set(left))


def _git(repository, *arguments, **options):
    command = ["git", "-C", repository, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, **options)
    except FileNotFoundError:
        raise CourseError("git must be installed, to write into repositories.") from None
    except subprocess.CalledProcessError as error:
        raise CourseError(f"git failed in {repository}: {error.stderr.strip()}") from None
    return done.stdout.strip()
