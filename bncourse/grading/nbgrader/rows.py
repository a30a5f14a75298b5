"""What the gradebook holds of one assignment, as plain rows: a class in few statements.

The tables are nbgrader's own. Its objects cost a statement or more for each cell of each student;
here a hundred students are read, and written, in a handful.
"""

import itertools
from dataclasses import dataclass, field
from types import SimpleNamespace

from nbgrader import api
from sqlalchemy import bindparam, insert, select, update

# Students read, and written in one transaction, at a time.
AT_ONCE = 100


@dataclass(frozen=True)
class Cells:
    """The cells of one released notebook, as the gradebook knows them.

    Args:
        id: of the notebook.
        kernelspec: as JSON, or None.
        sources: ``{name: nbgrader's SourceCell, detached}``.
        points: ``{name: most points}`` of what is graded, task cells included.
        graded, commented: ``{name: id}`` of the cells that have a grade or a comment.
    """

    id: str
    kernelspec: str | None
    sources: dict
    points: dict
    graded: dict
    commented: dict


@dataclass(frozen=True)
class Assigned:
    """An assignment: its id, its deadline or None, and ``{notebook name: Cells}``."""

    id: str
    due: object
    notebooks: dict


@dataclass
class Grade:
    """A row of nbgrader's table ``grade``, with the name and the most points of its cell."""

    id: str
    name: str
    max_score: float
    auto_score: float | None = None
    manual_score: float | None = None
    extra_credit: float | None = None
    needs_manual_grade: bool = True

    @property
    def score(self):
        """The points that count, as nbgrader reckons them."""
        given = self.auto_score if self.manual_score is None else self.manual_score
        return 0.0 if given is None else given + (self.extra_credit or 0.0)


@dataclass
class Comment:
    """A row of nbgrader's table ``comment``: what the grader says; a human's words stay theirs."""

    id: str
    auto_comment: str | None = None


@dataclass
class Notebook:
    """A row of ``submitted_notebook``, with its Grades and Comments by the names of their cells."""

    id: str
    flagged: bool = False
    late_submission_penalty: float | None = None
    grades: dict = field(default_factory=dict)
    comments: dict = field(default_factory=dict)

    @property
    def score(self):
        """The points of all cells."""
        return sum(grade.score for grade in self.grades.values())


@dataclass
class Submission:
    """A row of ``submitted_assignment``, with its Notebooks by their names."""

    id: str
    student: str
    timestamp: object = None
    extension: object = None
    notebooks: dict = field(default_factory=dict)


def assigned(connection, name):
    """Return the Assigned of an assignment, or None where the gradebook does not know it."""
    table = api.Assignment.__table__.c
    found = connection.execute(select(table.id, table.duedate).where(table.name == name)).first()
    if found is None:
        return None
    table = api.Notebook.__table__.c
    wanted = select(table.id, table.name, table.kernelspec).where(table.assignment_id == found.id)
    notebooks = {row.name: _cells(connection, row) for row in connection.execute(wanted)}
    return Assigned(found.id, found.duedate, notebooks)


def _cells(connection, notebook):
    table = api.SourceCell.__table__.c
    columns = (table.name, table.cell_type, table.locked, table.source, table.checksum)
    rows = connection.execute(select(*columns).where(table.notebook_id == notebook.id))
    sources = {row.name: SimpleNamespace(**row._mapping) for row in rows}
    ids, points = {}, {}
    base = api.BaseCell.__table__
    for kind in (api.GradeCell, api.SolutionCell, api.TaskCell):
        own = kind.__table__
        shown = [base.c.id, base.c.name, *([own.c.max_score] if "max_score" in own.c else [])]
        joined = select(*shown).join(own, own.c.id == base.c.id)
        found = connection.execute(joined.where(base.c.notebook_id == notebook.id)).all()
        ids[kind] = {row.name: row.id for row in found}
        points |= {row.name: row.max_score for row in found if "max_score" in row._fields}
    graded = ids[api.GradeCell] | ids[api.TaskCell]
    commented = ids[api.SolutionCell] | ids[api.TaskCell]
    return Cells(notebook.id, notebook.kernelspec, sources, points, graded, commented)


def submissions(connection, assignment, students, to_change=False):
    """Return ``{student: Submission}`` of those who have one.

    Args:
        connection: to the gradebook.
        assignment: the Assigned.
        students: their ids, about as many as ``AT_ONCE``.
        to_change: whether nobody else may change these rows before the transaction ends.
    """
    table = api.SubmittedAssignment.__table__.c
    ours = (table.assignment_id == assignment.id) & table.student_id.in_(students)
    columns = (table.id, table.student_id, table.timestamp, table.extension)
    read = _Reader(connection, to_change)
    by_id = {row.id: Submission(*row) for row in read(columns, ours)}
    names = {cells.id: name for name, cells in assignment.notebooks.items()}
    table = api.SubmittedNotebook.__table__.c
    columns = (table.id, table.flagged, table.late_submission_penalty)
    columns += (table.assignment_id, table.notebook_id)
    notebooks = {}
    for *row, of, which in read(columns, table.assignment_id.in_(by_id)):
        notebooks[row[0]] = by_id[of].notebooks[names[which]] = Notebook(*row)
    _add_grades(read, assignment, notebooks)
    _add_comments(read, assignment, notebooks)
    return {each.student: each for each in by_id.values()}


class _Reader:
    def __init__(self, connection, to_change):
        self._connection, self._to_change = connection, to_change

    def __call__(self, columns, where):
        wanted = select(*columns).where(where)
        return self._connection.execute(wanted.with_for_update() if self._to_change else wanted)


def _add_grades(read, assignment, notebooks):
    every = assignment.notebooks.values()
    cells = {id: (name, each.points[name]) for each in every for name, id in each.graded.items()}
    table = api.Grade.__table__.c
    columns = (table.id, table.auto_score, table.manual_score, table.extra_credit)
    columns += (table.needs_manual_grade, table.notebook_id, table.cell_id)
    for id, *row, of, cell in read(columns, table.notebook_id.in_(notebooks)):
        name, points = cells[cell]
        notebooks[of].grades[name] = Grade(id, name, points, *row)


def _add_comments(read, assignment, notebooks):
    every = assignment.notebooks.values()
    cells = {id: name for each in every for name, id in each.commented.items()}
    table = api.Comment.__table__.c
    columns = (table.id, table.auto_comment, table.notebook_id, table.cell_id)
    for *row, of, cell in read(columns, table.notebook_id.in_(notebooks)):
        notebooks[of].comments[cells[cell]] = Comment(*row)


def in_parts(things, most):
    """Yield lists of at most so many.

    >>> list(in_parts("abc", 2))
    [['a', 'b'], ['c']]
    """
    waiting = iter(things)
    while some := list(itertools.islice(waiting, most)):
        yield some


def new_submission(assignment, student):
    """Return the Submission that nbgrader would begin with: a row for each cell, and no points."""
    made = Submission(api.new_uuid(), student)
    for name, cells in assignment.notebooks.items():
        notebook = made.notebooks[name] = Notebook(api.new_uuid())
        for cell in cells.graded:
            notebook.grades[cell] = Grade(api.new_uuid(), cell, cells.points[cell])
        notebook.comments |= {cell: Comment(api.new_uuid()) for cell in cells.commented}
    return made


def insert_all(connection, assignment, new):
    """Write Submissions that the gradebook does not have, and the students whom it does not know.

    Args:
        connection: to the gradebook.
        assignment: the Assigned.
        new: the Submissions.
    """
    table = api.Student.__table__
    students = [each.student for each in new]
    known = {*connection.scalars(select(table.c.id).where(table.c.id.in_(students)))}
    rows = {
        api.Student: [{"id": each} for each in students if each not in known],
        api.SubmittedAssignment: [
            _values(each) | {"assignment_id": assignment.id, "student_id": each.student}
            for each in new
        ],
        api.SubmittedNotebook: [],
        api.Grade: [],
        api.Comment: [],
    }
    for submission in new:
        for name, notebook in submission.notebooks.items():
            cells = assignment.notebooks[name]
            of = {"assignment_id": submission.id, "notebook_id": cells.id}
            rows[api.SubmittedNotebook].append(_values(notebook) | of)
            of = {"notebook_id": notebook.id}
            rows[api.Grade] += [
                _values(grade) | of | {"cell_id": cells.graded[cell]}
                for cell, grade in notebook.grades.items()
            ]
            rows[api.Comment] += [
                _values(comment) | of | {"cell_id": cells.commented[cell]}
                for cell, comment in notebook.comments.items()
            ]
    for kind, values in rows.items():
        if values:
            connection.execute(insert(kind.__table__), values)


# What grading changes in each table. Points and words of a human are not among it.
_CHANGED = {
    Submission: (api.SubmittedAssignment, ("timestamp", "extension")),
    Notebook: (api.SubmittedNotebook, ("flagged", "late_submission_penalty")),
    Grade: (api.Grade, ("auto_score", "needs_manual_grade")),
    Comment: (api.Comment, ("auto_comment",)),
}


def _values(row):
    return {"id": row.id} | {name: getattr(row, name) for name in _CHANGED[type(row)][1]}


def changeable(submission):
    """Return ``{id: (row class, values)}`` of what grading may change in a Submission."""
    rows = [submission, *submission.notebooks.values()]
    for notebook in submission.notebooks.values():
        rows += [*notebook.grades.values(), *notebook.comments.values()]
    return {row.id: (type(row), _values(row)) for row in rows}


def update_all(connection, before, after):
    """Write what differs.

    Args:
        connection: to the gradebook.
        before, after: from ``changeable``.
    """
    for row_class, (kind, names) in _CHANGED.items():
        changed = [
            {"row": id} | {name: values[name] for name in names}
            for id, (of, values) in after.items()
            if of is row_class and values != before[id][1]
        ]
        if changed:
            table = kind.__table__
            connection.execute(update(table).where(table.c.id == bindparam("row")), changed)
