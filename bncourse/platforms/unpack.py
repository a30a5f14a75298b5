"""Unpack what a learning platform gives, when students made what is inside.

nbgrader's own extractor follows links, stops the class at the first damaged archive, and writes
whatever an archive unpacks to. Here only notebooks come out, with a bound on their bytes, and what
is refused leaves a note in its place: its student then gets a verdict, and the rest goes on.
"""

import errno
import gzip
import os
import re
import shutil
import stat
import struct
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from nbgrader.plugins import ExtractorPlugin
from traitlets import Int

from bncourse.grading.intake.odd import REFUSED, is_of_the_system, is_plain
from bncourse.limits import MIB, Limits
from bncourse.platforms.left import Left, report
from bncourse.platforms.names import ARCHIVES

NOTEBOOK = ".ipynb"

# What browsers and systems make of the name of a notebook.
_RENAMED = re.compile(r"(.+)\.ipynb(-\d+| ?\(\d+\))?(?:\.(?:txt|json))?", re.IGNORECASE)

_OTHER_ARCHIVES = (".7z", ".bz2", ".rar", ".tar", ".tbz", ".tgz", ".txz", ".xz", ".zst")

# What starts the entry of a file in the list of a zip.
_LISTED = b"PK\x01\x02"
# Such an entry: at its end stand the lengths of the name, of the extra field and of the comment.
_ENTRY = struct.Struct("<28sHHH12x")

# The bit among the flags of such an entry.
_ENCRYPTED = 1

# No room, no rights, too many open files: nothing is wrong with what was handed in.
_OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE}

# The platform's archive holds a student's archive, which may hold one more.
_DEEPEST = 2


class Refused(Exception):
    """A file or an archive is not taken; the message says why."""


@dataclass
class Budget:
    """What one archive may still unpack to; what it holds counts for the archive around it too."""

    bytes: int
    files: int
    around: "Budget | None" = None

    def spend(self, count):
        """Take ``count`` bytes.

        Raises:
            Refused: if there are fewer left.
        """
        self.bytes -= count
        if self.around:
            self.around.spend(count)
        self.check()

    def check(self):
        """Raise Refused if more was spent than there was."""
        if self.bytes < 0:
            raise Refused("It unpacks to more bytes than an archive may.")
        if self.files < 0:
            raise Refused("It holds more files than an archive may.")


@dataclass(frozen=True)
class Member:
    """A file in an archive; ``open`` is None for a link or a device."""

    name: str
    modified: float
    open: Callable | None


class SafeExtractor(ExtractorPlugin):
    """nbgrader's extractor, for archives in which students had their hand.

    An archive becomes a folder of its full name, such as ``class.zip/``, so that a reader of the
    result can tell which files came out of an archive. ``left`` lists each path that did not
    become a notebook, with the reason: the collector accounts for it.
    """

    class_bytes = Int(4096 * MIB, help="What a downloaded archive may unpack to.").tag(config=True)
    class_files = Int(100_000, help="How many files it may hold.").tag(config=True)
    student_bytes = Int(64 * MIB, help="What an archive inside it may unpack to.").tag(config=True)
    student_files = Int(1000, help="How many files that one may hold.").tag(config=True)
    notebook_bytes = Int(
        Limits.notebook, help="A larger notebook is cut, and then graded as too large."
    ).tag(config=True)

    def extract(self, archive_path, extracted_path):
        """Extract every archive, and copy every notebook, of one folder to another.

        Args:
            archive_path: the folder with what was downloaded.
            extracted_path: the empty folder to fill.
        """
        self.left, root = [], Path(extracted_path)
        for path in sorted(Path(archive_path).rglob("*")):
            relative = path.relative_to(archive_path)
            if is_hidden(relative):
                self._leave_hidden(root, relative)
            elif path.is_symlink() or not path.is_dir():
                self._attempt(root / relative, partial(self._take_file, path))
        if not any(root.rglob(f"*{NOTEBOOK}")):
            # Without a notebook nobody asks the collector, who tells what is left otherwise.
            rows = [Left(str(path.relative_to(root)), why) for path, why in self.left]
            report(self.log, root.parent, rows)

    def _attempt(self, target, take):
        """Let nothing that is wrong with one file stop the others."""
        given, target = target, target.with_name(notebook_name(target.name))
        before = len(self.left)
        try:
            take(target)
            return
        except Refused as refused:
            reason = str(refused)
        except Exception as error:
            if getattr(error, "errno", None) in _OF_THE_MACHINE:
                raise
            # What reads archives was not written for hostile ones, and raises whatever it likes.
            why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            reason = f"It cannot be read: {why}"
        self._refuse(target, reason)
        # What an archive held went with it.
        self.left[before:] = [(given, reason)]

    def _take_file(self, path, target):
        if not is_plain(path):
            raise Refused("It is a link or a device, not a file of its own.")
        with path.open("rb") as file:
            budget = Budget(self.class_bytes, self.class_files)
            if self._is_archive(target):
                self._unpack(file, target, budget, depth=0)
            elif target.suffix == NOTEBOOK:
                self._write(file, path.stat().st_mtime, target, budget)
            else:
                self.left.append((target, _kind(target)))

    def _is_archive(self, path):
        return path.suffix.lower() in self.zip_ext

    def _unpack(self, file, folder, budget, depth):
        if depth > _DEEPEST:
            raise Refused("It is an archive inside too many others.")
        self.log.debug("Unpacking to: %s", folder)
        before = len(self.left)
        for member in members(file, budget.bytes, budget.files):
            name = PurePosixPath(member.name.replace("\\", "/"))
            if not is_safe(name):
                self.log.warning("Refused %r in %s: its name leads elsewhere.", member.name, folder)
                # Below the folder, and the part that tells a student as it stood.
                shown = repr(member.name)[1:-1].lstrip("/")
                self.left.append((folder / shown, "Its name leads elsewhere."))
            elif is_hidden(name):
                self._leave_hidden(folder, name)
            else:
                take = partial(self._take_member, member, budget, depth)
                self._attempt(folder / name, take)
            budget.files -= 1
            budget.check()
        if len(self.left) == before and not any(folder.rglob(f"*{NOTEBOOK}")):
            self.left.append((folder, "It is an archive without a notebook."))

    def _take_member(self, member, budget, depth, target):
        if member.open is None:
            raise Refused("It is a link or a device, not a file of its own.")
        if self._is_archive(target):
            inner = Budget(self.student_bytes, self.student_files, around=budget)
            with member.open() as file, tempfile.TemporaryFile() as own:
                if copy(file, own, self.student_bytes + 1) > self.student_bytes:
                    raise Refused("It is larger than an archive may be.")
                self._unpack(own, target, inner, depth + 1)
        elif target.suffix == NOTEBOOK:
            with member.open() as file:
                self._write(file, member.modified, target, budget)
        else:
            self.left.append((target, _kind(target)))

    def _write(self, file, modified, target, budget):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise Refused("Another file became a notebook of this name.")
        with target.open("xb") as notebook:
            try:
                # One byte more than allowed, so that grading still sees it as too large.
                budget.spend(copy(file, notebook, self.notebook_bytes + 1))
            except Exception:
                target.unlink()
                raise
        os.utime(target, (modified, modified))

    def _leave_hidden(self, folder, name):
        # A Mac adds files of its own to those of a student.
        of_the_system = "__MACOSX" in name.parts or name.name.startswith("._")
        if name.suffix == NOTEBOOK and not of_the_system:
            self.left.append((folder / name, "It is hidden, or in a hidden folder."))

    def _refuse(self, target, reason):
        self.log.warning("Refused %s: %s", target, reason)
        # Not Path.is_dir, which raises where a name is too long.
        if os.path.isdir(target):
            shutil.rmtree(target)
        if target.suffix == NOTEBOOK or self._is_archive(target):
            # A name may be too long, or taken by another notebook, which then counts.
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.with_suffix(NOTEBOOK).open("x") as note:
                    note.write(f"{REFUSED} {reason}\n")
            except OSError as error:
                if error.errno in _OF_THE_MACHINE:
                    raise


def notebook_name(name):
    """Return the name of a file, that of a notebook where a browser or a system has changed it.

    >>> notebook_name("forward.ipynb.txt"), notebook_name("forward.IPYNB"), notebook_name("a.html")
    ('forward.ipynb', 'forward.ipynb', 'a.html')
    """
    found = _RENAMED.fullmatch(name)
    return f"{found[1]}{found[2] or ''}{NOTEBOOK}" if found else name


def _kind(path):
    if path.suffix.lower() in _OTHER_ARCHIVES:
        return f"It is an archive of a kind that is not unpacked here: {path.suffix}."
    return f"It is neither a notebook nor an archive, but {path.suffix or 'without an extension'}."


def is_downloaded_archive(path):
    """Return whether a path of what was unpacked is an archive that lay in no other one.

    >>> is_downloaded_archive("a/class.7z"), is_downloaded_archive("class.zip/ada_hw.7z")
    (True, False)
    """
    *around, own = (Path(part).suffix.lower() for part in Path(path).parts)
    kinds = {*ARCHIVES, *_OTHER_ARCHIVES}
    return own in kinds and not kinds.intersection(around)


def is_hidden(name):
    """Return whether a relative path has a hidden part, or is of the system's own making."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts)
    return hidden or is_of_the_system(name.name)


def is_safe(name):
    """Return whether a path of an archive stays inside of it and can be printed."""
    return (
        bool(name.parts)
        and str(name).isprintable()
        and not name.is_absolute()
        and ".." not in name.parts
    )


def members(file, most, most_files):
    """Yield a Member for each file of an archive, zip or tar.gz.

    Args:
        file: the archive, open for reading.
        most: how many bytes a tar.gz may have when it is unpacked.
        most_files: how many files a zip may list.

    Raises:
        Refused: if it is no archive, or a larger one.
    """
    if zipfile.is_zipfile(file):
        yield from _zip_members(file, most_files)
    else:
        yield from _tar_members(file, most)


def _zip_members(file, most_files):
    file.seek(0)
    # Counted first, because opening a zip makes an object of each file that it lists.
    if _listed(file, most_files) > most_files:
        raise Refused("It holds more files than an archive may.")
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if not info.is_dir():
                opened = partial(_open, archive, info) if kind in (0, stat.S_IFREG) else None
                yield Member(info.filename, time.mktime((*info.date_time, 0, 0, -1)), opened)


def _open(archive, info):
    if info.flag_bits & _ENCRYPTED:
        raise Refused("It opens with a password only.")
    return archive.open(info)


def _listed(file, most):
    """Return how many files the list of a zip holds, at most one more than ``most``.

    The list is read, not the whole archive: a file in it may be a zip, with a list of its own.
    """
    end = zipfile._EndRecData(file)
    size, where = end[zipfile._ECD_SIZE], end[zipfile._ECD_LOCATION]
    if end[zipfile._ECD_SIGNATURE] == zipfile.stringEndArchive64:
        where -= zipfile.sizeEndCentDir64 + zipfile.sizeEndCentDir64Locator
    place, count = where - size, 0
    while place < where and count <= most:
        file.seek(place)
        head = file.read(_ENTRY.size)
        if len(head) < _ENTRY.size or not head.startswith(_LISTED):
            break
        place += _ENTRY.size + sum(_ENTRY.unpack(head)[1:])
        count += 1
    return count


def _tar_members(file, most):
    file.seek(0)
    with tempfile.TemporaryFile() as plain:
        # Unpacked first, because looking for the next member reads as far as a member claims.
        try:
            with gzip.open(file) as packed:
                size = copy(packed, plain, most + 1)
        except (OSError, EOFError) as error:
            if getattr(error, "errno", None) in _OF_THE_MACHINE:
                raise
            raise Refused("It is no archive, or a damaged one.") from error
        if size > most:
            raise Refused("It unpacks to more bytes than an archive may.")
        plain.seek(0)
        with tarfile.open(fileobj=plain, mode="r:") as archive:
            for info in archive:
                if not info.isdir():
                    opened = partial(archive.extractfile, info) if info.isreg() else None
                    yield Member(info.name, info.mtime, opened)


def copy(source, target, most):
    """Copy at most ``most`` bytes from one open file to another; return how many."""
    copied = 0
    while copied < most and (piece := source.read(min(MIB, most - copied))):
        target.write(piece)
        copied += len(piece)
    return copied
