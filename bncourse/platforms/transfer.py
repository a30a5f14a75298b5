"""Bring what was collected to its place: of all students, or of none.

nbgrader empties the folder of one student after the other and fills it again. Stopped in between,
by a full disk or by `kill -9`, it leaves a class of which nobody knows what is there.
"""

import contextlib
import filecmp
import functools
import os
import shutil
from pathlib import Path

from bncourse.grading.intake.odd import NOTE, said
from bncourse.grading.nbgrader.one_writer import only_writer
from bncourse.grading.work import records_of
from bncourse.platforms.counted import write_counted
from bncourse.platforms.left import TABLE
from bncourse.whole import beside, recover, replace_folder

# Beside the folder of what was unpacked, while a collection is under way.
UNDER_WAY = "collecting"


def make_whole(app):
    """Have a ZipCollectApp of nbgrader collect all, or leave things as they were.

    Two at once would take away what the other one has just unpacked.
    """
    alone, extract, process = (
        contextlib.ExitStack(),
        app.extract_archive_files,
        app.process_extracted_files,
    )

    def extract_alone():
        alone.enter_context(_only_collection(app))
        try:
            _extract(app, extract)
        except BaseException:
            alone.close()
            raise

    def process_alone():
        with alone:
            _process(app, process)

    app.extract_archive_files, app.process_extracted_files = extract_alone, process_alone
    app._transfer_files = functools.partial(_transfer, app)


def _only_collection(app):
    if "records" not in app.config.TrustedExecute:
        return contextlib.nullcontext()
    return only_writer(records_of(app.config), app.log.warning)


def unfinished(course):
    """Return a sentence where a collection of a Course is under way, or was killed; else nothing.

    What stands in ``submitted/`` then is of before for some students.
    """
    if not (course.root / "downloaded" / course.problem_set / UNDER_WAY).exists():
        return ""
    return (
        f"A collection of {course.problem_set} has not ended. If none is running, repeat it: "
        f"bncourse collect {course.problem_set}"
    )


def forget(app):
    """Take away what was unpacked, so that the next collection needs no --force."""
    root = _unpacked(app)
    shutil.rmtree(root, ignore_errors=True)
    (root.parent / UNDER_WAY).unlink(missing_ok=True)


def _unpacked(app):
    return Path(app._format_collect_path(app.extracted_directory))


def _extract(app, extract):
    root = _unpacked(app)
    note = root.parent / UNDER_WAY
    if note.exists():
        # Of a collection that did not end.
        shutil.rmtree(root, ignore_errors=True)
    elif root.is_dir() and any(root.iterdir()) and not app.force:
        # It refuses.
        return extract()
    root.parent.mkdir(parents=True, exist_ok=True)
    note.touch()
    try:
        return extract()
    except BaseException:
        forget(app)
        raise


def _process(app, process):
    try:
        # nbgrader ends well where there is nothing to collect.
        if not any(_files(_unpacked(app))):
            _fail_empty(app)
        process()
    except BaseException:
        forget(app)
        raise
    app.collector_plugin_inst.admit()
    (_unpacked(app).parent / UNDER_WAY).unlink(missing_ok=True)
    if unread := app.collector_plugin_inst.unread:
        app.fail(
            "What could be read is collected. These could not be unpacked, so the hand-ins in them "
            "are not. Download them again, and collect with --force: %s",
            ", ".join(said(row.path) for row in unread),
        )


def _fail_empty(app):
    table = _unpacked(app).parent / TABLE
    where = f" {table} tells why of each." if table.exists() else ""
    app.fail("Nothing was collected, since no file is a hand-in.%s", where)


def _transfer(app, collected):
    if not collected:
        _fail_empty(app)
    course = app.coursedir
    step, assignment = course.submitted_directory, course.assignment_id
    places = {each: Path(course.format_path(step, each, assignment)) for each in collected}
    try:
        for student, told in collected.items():
            recover(places[student])
            _make(beside(places[student]), told, app.log)
        changed = [each for each, place in places.items() if _differs(beside(place), place)]
        if changed and not app.force:
            app.fail(
                "Nothing was collected. These have handed in something else already, which "
                "`bncourse collect --force` replaces: %s",
                ", ".join(changed),
            )
        for place in places.values():
            replace_folder(beside(place), place)
        write_counted(_unpacked(app).parent, collected, _unpacked(app))
    finally:
        for place in places.values():
            shutil.rmtree(beside(place), ignore_errors=True)


def _make(folder, told, log):
    """Make the hand-in of one student, as nbgrader collects it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for source, name in zip(told["src_files"], told["file_ids"], strict=True):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        log.debug("Copying from: %s", source)
        shutil.copy(source, target)
    if told["timestamp"] is not None:
        (folder / "timestamp.txt").write_text(told["timestamp"].isoformat(" "))


def _differs(new, place):
    """Return whether a student has another hand-in there already."""
    if not place.exists():
        return False
    names = {each: {*_files(each)} - {Path(NOTE)} for each in (new, place)}
    if not names[place]:
        return False
    return names[new] != names[place] or any(
        not filecmp.cmp(new / each, place / each, shallow=False) for each in names[new]
    )


def _files(folder):
    for path in folder.rglob("*"):
        if os.path.lexists(path) and not path.is_dir():
            yield path.relative_to(folder)
