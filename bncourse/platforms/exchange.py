"""Collect from nbgrader's exchange what is safe, and let no student stop or replace another.

A student can write anything into the inbound folder of the exchange, under any name, and change it
while it is read. nbgrader copies it with the instructor's rights and follows links, so a link to a
file of the instructor's becomes that file.
"""

import datetime
import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path

from nbgrader.exchange.default import ExchangeCollect, ExchangeReleaseFeedback

from bncourse.grading.intake.odd import REFUSED, odd_paths
from bncourse.limits import MIB
from bncourse.platforms.unpack import NOTEBOOK, Refused

_MOST_BYTES = 200 * MIB
_MOST_FILES = 2000


class SafeCollect(ExchangeCollect):
    """nbgrader's collect; set it as ``c.ExchangeFactory.collect``."""

    def init_src(self):
        """Find what counts of each student, and leave out what is not theirs."""
        super().init_src()
        self.src_records = [each for each in self.src_records if each["username"]]

    def _path_to_record(self, path):
        """Return whose hand-in a folder is; of nobody where that is not as it says.

        Here, before the newest of each student is picked: a folder of somebody else's must not
        stand in the place of the student's own.
        """
        try:
            record = super()._path_to_record(path)
        except Exception as error:
            # A name that is no time would stop the collection of a class.
            self.log.error("Refused %s: its name holds no time (%s)", path, type(error).__name__)
            return _of_nobody(path)
        claimed, owner = record["username"], _owner(path)
        if not self.check_owner or owner == claimed:
            return record
        self.log.error(
            "Refused %s: it says that it is of %s, and belongs to %s. If that is as it should be, "
            "set c.ExchangeCollect.check_owner = False.",
            path,
            claimed,
            owner,
        )
        return _of_nobody(path)

    def do_copy(self, src, dest, log=None):
        """Copy a hand-in, and leave a note in the place of a notebook that is refused."""
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder, "plain")
            plain.mkdir()
            try:
                self._take(Path(src), plain)
            except (Refused, OSError) as reason:
                # One hand-in that cannot be read must not stop the others.
                self.log.error("Refused %s: %s", src, reason)
                shutil.rmtree(plain)
                plain.mkdir()
                (plain / f"refused{NOTEBOOK}").write_text(f"{REFUSED} {reason}\n")
            super().do_copy(str(plain), dest, log)

    def _take(self, src, plain):
        for path, reason in copy_plain(src, plain).items():
            self._refuse(path, src, plain, reason)
        # What was copied is looked at, since what it was copied from may change meanwhile.
        for path, reason in odd_paths(plain, kept=()).items():
            if path.is_dir():
                shutil.rmtree(path)
            elif os.path.lexists(path):
                path.unlink()
            self._refuse(src / path.relative_to(plain), src, plain, reason)
        # The folder's name has the time of nbgrader's submit; the file is the student's to write.
        stamp = src.name.rsplit("+", 3)[2]
        (plain / "timestamp.txt").write_text(stamp)

    def _refuse(self, path, src, plain, reason):
        self.log.warning("Refused %s: it %s", path, reason)
        if path.suffix == NOTEBOOK:
            note = plain / path.relative_to(src)
            note.write_text(f"{REFUSED} It {reason}.\n")


def _of_nobody(path):
    name = os.path.basename(path)
    return {"username": "", "filename": name, "timestamp": datetime.datetime.min}


def copy_plain(source, target):
    """Copy the plain files of a folder, each through a descriptor that cannot be exchanged.

    Args:
        source: the folder, in which somebody else may write.
        target: the empty folder to fill.

    Returns:
        ``{path: reason}`` of what was left out.

    Raises:
        Refused: it holds more than a hand-in may.
        OSError: the folder itself cannot be read.
    """
    refused, room, files = {}, _MOST_BYTES, _MOST_FILES
    for folder, _, names, descriptor in os.fwalk(source, onerror=_raise):
        inside = Path(target, Path(folder).relative_to(source))
        inside.mkdir(exist_ok=True)
        for name in names:
            files -= 1
            if files < 0:
                raise Refused("It holds more files than a hand-in may.")
            try:
                room -= _copy_file(descriptor, name, inside / name, room)
            except _Odd as odd:
                refused[Path(folder, name)] = str(odd)
    return refused


class _Odd(Exception):
    """A file is not copied; the message says why."""


def _copy_file(folder, name, target, room):
    """Copy one file of an open folder, and return its bytes."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(name, flags, dir_fd=folder)
    except OSError:
        raise _Odd("is a link or cannot be read") from None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise _Odd("is a link or a device")
        if status.st_size > room:
            raise Refused("It is larger than a hand-in may be.")
        content = file.read(room)
    target.write_bytes(content)
    return len(content)


def _raise(error):
    raise error


def _owner(path):
    try:
        return pwd.getpwuid(os.lstat(path).st_uid).pw_name
    except (KeyError, OSError):
        return "nobody who is known"


# What the exchange puts beside a hand-in, and nbgrader reads when it gives a page back.
_MARKS = ("submission_secret.txt", "timestamp.txt")


def _submitted(folder):
    """Return whether what lies in a folder came through the exchange."""
    try:
        return all((folder / name).read_text() for name in _MARKS)
    except (OSError, UnicodeDecodeError):
        return False


class SafeReleaseFeedback(ExchangeReleaseFeedback):
    """nbgrader's release of feedback; a student who did not submit through it stops nobody."""

    def copy_files(self):
        """Release the pages of everybody whose hand-in bears its marks, and name the others."""
        course, everybody = self.coursedir, self.coursedir.student_id_exclude
        pages = Path(course.root).glob(f"{Path(self.src_path).relative_to(course.root)}/*.html")
        without = sorted({page.parents[1].name for page in pages if not _submitted(page.parent)})
        for student in without:
            self.log.error(
                "No feedback for %s through the exchange: it came in another way", student
            )
        course.student_id_exclude = ",".join(filter(None, [everybody, *without]))
        try:
            super().copy_files()
        finally:
            course.student_id_exclude = everybody
