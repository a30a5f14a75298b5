"""Tell whose hand-in a downloaded file is, and pick the one that counts.

nbgrader reads one file name at a time, and stops the class where a student has two files without a
time in their names. Here all names are read first: of several files of one student the newest
before the deadline counts, else the newest, and the log names the others. The names follow what
Canvas, Moodle and GitHub Classroom write.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.plugins import FileNameCollectorPlugin
from nbgrader.utils import parse_utc
from traitlets import Bool, Dict, Enum, Unicode

from bncourse.course import scripts_on_path
from bncourse.platforms.names import Unreadable, parse, safe_notebook, safe_student
from bncourse.platforms.unpack import NOTEBOOK


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
        file_time: of the file; it decides only where nothing better is known.
    """

    path: Path
    student: str
    notebook: str
    number: str = ""
    late: bool = False
    order: int = 0
    time: datetime.datetime | None = None
    file_time: float = 0.0

    def is_late(self, deadline):
        """Return whether it came after the deadline, which may be None."""
        return self.late or bool(deadline and self.time and self.time > deadline)

    def age(self):
        """Return a key that sorts the newest last."""
        time = self.time or datetime.datetime.min
        return (time, self.order, self.file_time, -len(self.path.parts))


def pick(hand_ins, deadline):
    """Return the hand-in that counts: the newest on time, else the newest."""
    on_time = [each for each in hand_ins if not each.is_late(deadline)]
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

    _counting = None

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
            # The penalty needs a time, and this one is the least that is surely true.
            time = self._due + datetime.timedelta(seconds=1)
            self.log.warning("%s is late, nobody knows by how much", hand_in.path)
        elif time is None and hand_in.late:
            self.log.warning("%s is late; without a deadline that costs nothing", hand_in.path)
        return told if time is None else {**told, "timestamp": time.isoformat(" ")}

    def _pick_all(self):
        app = self.parent
        self._due = self._find_deadline()
        root = Path(app._format_collect_path(app.extracted_directory))
        paths = [
            path
            for path in sorted(root.rglob("*"))
            if path.suffix in self.valid_ext and path.is_file()
        ]
        read = [each for path in paths if (each := self._read(path, root))]
        for group in self._groups(read):
            chosen = pick(group, self._due)
            for other in group:
                if other is not chosen:
                    word = "late" if other.is_late(self._due) else "not the newest"
                    self.log.warning("%s does not count, it is %s", other.path, word)
                    self.log.warning("  %s does", chosen.path)
            yield chosen

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
        return [group for (student, _), group in groups.items() if len(numbers[student]) < 2]

    def _read(self, path, root):
        try:
            told = self._match(str(path)) if self.named_regexp else self._parse(path, root)
            if not told:
                return None
            return self._hand_in(path, told)
        except Unreadable as reason:
            self.log.warning("Refused %s: %s", path, reason)
            return None

    def _hand_in(self, path, told):
        name, number = told.get("student_id") or "", told.get("number") or ""
        student = self.students.get(number) or self.students.get(name)
        if not student:
            student = number if self.identify_by == "number" and number else name
        modified = path.stat().st_mtime
        time = _utc(told["timestamp"]) if told.get("timestamp") else None
        if time is None and self.use_file_times:
            utc = datetime.datetime.fromtimestamp(modified, datetime.UTC)
            time = utc.replace(tzinfo=None, microsecond=0)
        return Download(
            path,
            safe_student(student),
            safe_notebook(told.get("file_id") or ""),
            number,
            bool(told.get("late")),
            int(told.get("order") or 0),
            time,
            modified,
        )

    def _parse(self, path, root):
        return parse(path.relative_to(root), self._notebooks, self.zip_ext, self.repository_prefix)

    @property
    def zip_ext(self):
        """The extensions of archives, as the extractor knows them."""
        return self.parent.extractor_plugin_inst.zip_ext

    @property
    def _notebooks(self):
        course = self.parent.coursedir
        folder = course.format_path(course.release_directory, ".", course.assignment_id)
        return sorted(path.stem for path in Path(folder).glob(f"*{NOTEBOOK}"))

    def _find_deadline(self):
        if self.deadline:
            return parse_utc(self.deadline)
        course = self.parent.coursedir
        with scripts_on_path(), Gradebook(course.db_url, course.course_id) as book:
            try:
                return book.find_assignment(course.assignment_id).duedate
            except MissingEntry:
                return None


def _utc(text):
    try:
        return parse_utc(text)
    except (ValueError, OverflowError) as error:
        raise Unreadable(f"Its name must hold a time. Received: {text!r}") from error
