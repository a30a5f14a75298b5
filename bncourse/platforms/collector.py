"""Tell whose hand-in a downloaded file is, and pick the one that counts.

nbgrader reads one file name at a time, and stops the class where a student has two files without a
time in their names. Here all names are read first: of several files of one student the newest
before the deadline counts, else the newest, and the log names the others. The names follow what
Canvas, Moodle and GitHub Classroom write.
"""

import contextlib
import datetime
import logging
from dataclasses import dataclass, replace
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.plugins import FileNameCollectorPlugin
from nbgrader.utils import parse_utc
from sqlalchemy.engine import make_url
from traitlets import Bool, Dict, Enum, Unicode

from bncourse.course import scripts_on_path
from bncourse.grading.nbgrader.extensions import extensions_of
from bncourse.grading.nbgrader.known import named, names_of
from bncourse.platforms.left import Left, report
from bncourse.platforms.names import Unreadable, parse, safe_notebook, safe_student
from bncourse.platforms.transfer import forget, make_whole
from bncourse.platforms.unpack import NOTEBOOK, is_downloaded_archive


@dataclass(frozen=True)
class Download:
    """One downloaded notebook.

    Args:
        path: where it lies.
        student: the id of its student in the course.
        notebook: which notebook it is, without extension.
        number: the platform's own number of the student, where the name holds it.
        late: whether the platform marks it as late.
        order: the platform's number of the file; it grows with each upload.
        time: when it was handed in, in UTC without a zone, or None.
        file_time: of the file, or 0 where it is no time of the student's; it decides only where
            nothing better is known.
    """

    path: Path
    student: str
    notebook: str
    number: str = ""
    late: bool = False
    order: int = 0
    time: datetime.datetime | None = None
    file_time: float = 0.0

    def is_late(self, deadline, extended=False):
        """Return whether it came after the deadline, which may be None.

        Args:
            deadline: of this student.
            extended: whether it is later than that of the class, of which the platform's mark is.
        """
        marked = self.late and not extended
        return marked or bool(deadline and self.time and self.time > deadline)

    def age(self):
        """Return a key that sorts the newest last."""
        time = self.time or datetime.datetime.min
        # Of equals what lies nearest to the top, and has no mark of a copy in its name.
        place = (-len(self.path.parts), -len(self.path.name))
        return (time, self.order, self.file_time, *place)


def pick(hand_ins, *due):
    """Return the hand-in that counts: the newest on time, else the newest.

    Args:
        hand_ins: of one notebook of one student.
        due: what ``is_late`` asks for.
    """
    on_time = [each for each in hand_ins if not each.is_late(*due)]
    return max(on_time or hand_ins, key=Download.age)


class HandInCollector(FileNameCollectorPlugin):
    """nbgrader's collector for files from Canvas, Moodle, GitHub Classroom, or STUDENT_NOTEBOOK.

    Where a course sets ``named_regexp``, that tells student, notebook and time instead.
    """

    students = Dict(
        help="{name or number of a student on the platform: the id in this course}."
    ).tag(config=True)
    identify_by = Enum(
        ("name", "number"),
        "name",
        help="What becomes the id of a student who is not in `students`. Canvas numbers its users; "
        "Moodle numbers them anew in each assignment.",
    ).tag(config=True)
    repository_prefix = Unicode(
        help="What GitHub Classroom puts before each login, where it is not the assignment's slug."
    ).tag(config=True)
    deadline = Unicode(
        help="Such as '2026-11-02 23:59 Europe/Berlin'; without a zone it is UTC. By default the "
        "due date in the gradebook."
    ).tag(config=True)
    use_file_times = Bool(
        False,
        help="Whether the time of a file is when it was handed in. In archives of learning "
        "platforms it is when the archive was downloaded.",
    ).tag(config=True)

    allow_unknown = Bool(
        False,
        help="Whether hand-ins of students who are not on the roster are collected. Where the "
        "gradebook knows nobody, they are.",
    ).tag(config=True)

    # What was downloaded as an archive, could not be unpacked, and has no student's name.
    unread = ()
    # Whom the roster did not know, and who were let in.
    _let_in = ()
    _counting = None

    def __init__(self, **options):
        super().__init__(**options)
        _BRIEF.off = self.parent.log_level <= logging.DEBUG
        self.log.addFilter(_BRIEF)
        # nbgrader makes its collector before it touches a file.
        make_whole(self.parent)

    def collect(self, submitted_file):
        """Return what nbgrader needs to know of a file, or None if it does not count."""
        if self._counting is None:
            self._counting = {each.path: each for each in self._pick_all()}
        hand_in = self._counting.get(Path(submitted_file))
        return hand_in and self._told(hand_in)

    def _told(self, hand_in):
        told = {"student_id": hand_in.student, "file_id": hand_in.notebook}
        time = hand_in.time
        if time is None and hand_in.late and self._due:
            # The penalty needs a time, and this one is the least that is surely true: the platform
            # knows the deadline of the class, and perhaps no extension.
            time = self._due + datetime.timedelta(seconds=1)
            self.log.warning("%s is late, nobody knows by how much", hand_in.path)
        elif time is None and hand_in.late:
            self.log.warning("%s is late; without a deadline that costs nothing", hand_in.path)
        return told if time is None else {**told, "timestamp": time.isoformat(" ")}

    def _pick_all(self):
        app = self.parent
        self._root = Path(app._format_collect_path(app.extracted_directory))
        self._left = []
        self._refused = {path.with_suffix("") for path, _ in self._not_unpacked}
        self._due, roster = self._from_gradebook()
        self._extended = extensions_of(self.config, app.coursedir.assignment_id)
        paths = [
            path
            for path in sorted(self._root.rglob("*"))
            if path.suffix in self.valid_ext and path.is_file()
        ]
        read = [each for path in paths if (each := self._read(path))]
        counting = [self._pick(group) for group in self._groups(read)]
        students = {each.student for each in counting}
        self._account(students)
        self._require_known(students, roster)
        self._say_nothing_came(roster.keys() - students - {row.student for row in self._left})
        return counting

    def _pick(self, group):
        """Return which file of a student counts, and name the others."""
        until = self._due and self._extended.get(group[0].student)
        due = (until or self._due, bool(until))
        chosen = pick(group, *due)
        for other in group:
            if other is not chosen:
                word = "late" if other.is_late(*due) else "not the newest"
                self.log.warning("%s does not count, it is %s", other.path, word)
                self.log.warning("  %s does", chosen.path)
                self._leave(other.path, f"It does not count, it is {word}.", other.student)
        return chosen

    def _leave(self, path, reason, student=""):
        self._left.append(Left(str(path.relative_to(self._root)), reason, student))

    def _account(self, students):
        """Report each file that became no hand-in.

        Args:
            students: those with a notebook that counts; their other files need nobody.
        """
        told = {Path(self._root, row.path).with_suffix(""): row for row in self._left}
        for path, reason in self._not_unpacked:
            # Of what was refused, the note in its place may have been read.
            row = told.get(path.with_suffix(""))
            if row and not row.student:
                self._left.remove(row)
            if not row or not row.student:
                self._leave(path, reason, self._student_of(path))
        rows = [replace(row, needs_human=row.student not in students) for row in self._left]
        self.unread = [row for row in rows if not row.student and is_downloaded_archive(row.path)]
        report(self.log, self._root.parent, rows)

    def _student_of(self, path):
        try:
            told = self._match(str(path)) if self.named_regexp else self._parse(path)
            return self._id_of(told) if told else ""
        except Unreadable:
            return ""

    def _require_known(self, students, roster):
        unknown = students - roster.keys() if roster else set()
        if not unknown:
            return
        told = named(unknown, roster)
        if self.allow_unknown:
            self.log.warning("New students, not on the roster: %s", told)
            self._let_in = sorted(unknown)
            return
        forget(self.parent)
        self.parent.fail(
            "Nothing was collected. The roster must know each student. Received: %s. Name who it "
            "is in HandInCollector.students, add who is new with `bncourse roster`, or go on with "
            "`bncourse collect --allow-unknown`.",
            told,
        )

    def admit(self):
        """Tell the gradebook whom ``allow_unknown`` let in, so that grading asks for nobody twice.

        It knows them by the id alone, as whom nbgrader grades without a list of the class.
        """
        course = self.parent.coursedir
        if self._let_in:
            with scripts_on_path(), Gradebook(course.db_url, course.course_id) as book:
                for student in self._let_in:
                    book.update_or_create_student(student)

    def _say_nothing_came(self, students):
        course = self.parent.coursedir
        step, assignment = course.submitted_directory, course.assignment_id
        absent = [
            each
            for each in sorted(students)
            if not Path(course.format_path(step, each, assignment)).exists()
        ]
        if absent:
            self.log.warning("Nothing came from %d: %s", len(absent), ", ".join(absent))

    def _groups(self, hand_ins):
        """Return the hand-ins of each notebook of each student, but of none who may be two."""
        numbers, groups = {}, {}
        for each in hand_ins:
            numbers.setdefault(each.student, set()).update(filter(None, [each.number]))
            groups.setdefault((each.student, each.notebook), []).append(each)
        for student, found in numbers.items():
            if len(found) > 1:
                self.log.error(
                    "Refused all of %s: these are several people, with the numbers %s. Name them "
                    "in HandInCollector.students, such as {%r: 'an-id'}.",
                    student,
                    sorted(found),
                    max(found),
                )
                for each in hand_ins:
                    if each.student == student:
                        reason = "Several people have this name: see HandInCollector.students."
                        self._leave(each.path, reason, student)
        return [group for (student, _), group in groups.items() if len(numbers[student]) < 2]

    def _read(self, path):
        try:
            told = self._match(str(path)) if self.named_regexp else self._parse(path)
            if not told:
                self._leave(path, "HandInCollector.named_regexp does not match its name.")
                return None
            return self._hand_in(path, told)
        except Unreadable as reason:
            # The note in the place of what the extractor refused: it has said so.
            if path.with_suffix("") not in self._refused:
                self.log.warning("Refused %s: %s", path, reason)
            self._leave(path, str(reason), self._student_of(path))
            return None

    def _id_of(self, told):
        name, number = told.get("student_id") or "", told.get("number") or ""
        student = self.students.get(number) or self.students.get(name)
        if not student:
            student = number if self.identify_by == "number" and number else name
        return safe_student(student)

    def _hand_in(self, path, told):
        modified = path.stat().st_mtime
        time = _utc(told["timestamp"]) if told.get("timestamp") else None
        if time is None and self.use_file_times:
            utc = datetime.datetime.fromtimestamp(modified, datetime.UTC)
            time = utc.replace(tzinfo=None, microsecond=0)
        return Download(
            path,
            self._id_of(told),
            safe_notebook(told.get("file_id") or ""),
            told.get("number") or "",
            bool(told.get("late")),
            int(told.get("order") or 0),
            time,
            # git writes the files of a repository in the order of their names, as it is cloned.
            0.0 if told.get("cloned") else modified,
        )

    def _parse(self, path):
        relative = path.relative_to(self._root)
        return parse(relative, self._notebooks, self.zip_ext, self.repository_prefix)

    @property
    def _not_unpacked(self):
        """What the extractor left, where it is the one of the course: ``[(path, reason)]``."""
        return getattr(self.parent.extractor_plugin_inst, "left", ())

    @property
    def zip_ext(self):
        """The extensions of archives, as the extractor knows them."""
        return self.parent.extractor_plugin_inst.zip_ext

    @property
    def _notebooks(self):
        course = self.parent.coursedir
        folder = course.format_path(course.release_directory, ".", course.assignment_id)
        return sorted(path.stem for path in Path(folder).glob(f"*{NOTEBOOK}"))

    def _from_gradebook(self):
        """Return the deadline or None, and ``{id: names that may stand for it}`` of the class."""
        course, due, roster = self.parent.coursedir, None, {}
        if _exists(course.db_url):
            with scripts_on_path(), Gradebook(course.db_url, course.course_id) as book:
                roster = {each.id: names_of(each) for each in book.students}
                with contextlib.suppress(MissingEntry):
                    due = book.find_assignment(course.assignment_id).duedate
        return parse_utc(self.deadline) if self.deadline else due, roster


class _Brief(logging.Filter):
    """Leaves out nbgrader's lines on each single file; --debug shows them."""

    # The level of the command: the logger of one lets all through, and its handlers choose.
    off = False

    def filter(self, record):
        """Return whether a line is shown."""
        if self.off or record.module not in ("zipcollectapp", "zipcollect"):
            return True
        text = record.getMessage()
        warns = record.levelno > logging.INFO and not text.startswith(_OF_EACH_FILE)
        return warns or text.endswith(" files collected")


# Who counts and why not is told by the collector, and in the table.
_OF_EACH_FILE = (
    "Skipped submission with no match",
    "Directory not found. Creating",
    "Clearing existing files in",
)


# One, since a filter that a logger has already is not added to it again.
_BRIEF = _Brief()


def _exists(db_url):
    """Return whether there is a gradebook; to ask one of SQLite would make it."""
    url = make_url(db_url)
    return url.get_backend_name() != "sqlite" or Path(url.database).exists()


def _utc(text):
    try:
        return parse_utc(text)
    except (ValueError, OverflowError) as error:
        raise Unreadable(f"Its name must hold a time. Received: {text!r}") from error
