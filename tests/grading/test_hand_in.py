"""A hand-in is found under any name, and nothing of it is copied that is no file of its own."""

import os

import pytest

from bncourse.course import load_config
from bncourse.grading.intake.aside import prepare, set_aside
from bncourse.grading.intake.hand_in import read_hand_in
from bncourse.grading.intake.odd import NOTE
from bncourse.limits import Limits, limits_of
from bncourse.trial import corpus

RELEASE = {corpus.NOTEBOOK: corpus.release()}


def read(folder):
    return read_hand_in(folder, corpus.NOTEBOOK, RELEASE, Limits())


def put(folder, *names, stripped=()):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        notebook = corpus.notebook()
        for cell in notebook.cells if name in stripped else ():
            cell.metadata = {}
        corpus.write(folder, notebook, name)


def test_the_notebook_is_read_and_nothing_is_flagged(tmp_path):
    put(tmp_path, corpus.NOTEBOOK, "scratch.ipynb")
    found = read(tmp_path)
    assert corpus.HEAD in "".join(cell.source for cell in found.notebook.cells)
    assert (found.flags, found.word) == ([], "")


@pytest.mark.parametrize(
    ("names", "stripped"),
    [
        (("bn.ipynb", "notes.ipynb"), ("notes.ipynb",)),
        (("bn.ipynb",), ("bn.ipynb",)),
        (("forward (1).ipynb", "notes.ipynb"), ()),
        (("forward (1).ipynb", "notes.ipynb"), ("forward (1).ipynb", "notes.ipynb")),
    ],
)
def test_a_renamed_notebook_is_found_and_flagged(tmp_path, names, stripped):
    put(tmp_path, *names, stripped=stripped)
    found = read(tmp_path)
    assert f"renamed: {names[0]} was taken for {corpus.NOTEBOOK}" in found.flags
    assert found.notebook is not None
    assert sorted(os.listdir(tmp_path)) == sorted(names)


@pytest.mark.parametrize("names", [(), ("a.ipynb", "b.ipynb")])
def test_what_cannot_be_found_is_missing_and_flagged(tmp_path, names):
    put(tmp_path, *names)
    found = read(tmp_path)
    assert (found.notebook, found.word, found.flags) == (None, "missing", ["missing notebook"])


def test_a_folder_of_the_name_of_the_notebook_is_malformed(tmp_path):
    (tmp_path / corpus.NOTEBOOK).mkdir()
    found = read(tmp_path)
    assert found.word == "malformed"
    assert "folder" in found.reason


def test_a_renamed_folder_is_no_notebook(tmp_path):
    (tmp_path / "forward (1).ipynb").mkdir()
    assert read(tmp_path).word == "missing"


def test_names_that_no_terminal_and_no_file_can_hold_are_made_plain(tmp_path):
    put(tmp_path, corpus.NOTEBOOK)
    (tmp_path / os.fsdecode(b"\xff\x1b[2J\n.pt")).touch()
    (flag,) = read(tmp_path).flags
    assert flag.isprintable() or "\n" in flag
    assert "\x1b" not in flag
    flag.encode()


def test_folders_without_end_are_not_entered(tmp_path):
    put(tmp_path, corpus.NOTEBOOK)
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(100):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(here)
    found = read(tmp_path)
    assert found.notebook is not None
    assert any("too deep" in flag for flag in found.flags)
    set_aside(tmp_path, {corpus.NOTEBOOK}, tmp_path.parent / "refused")
    assert "too deep" not in "".join(flag for flag in read(tmp_path).flags if NOTE not in flag)


def test_links_are_moved_out_unread_and_a_note_is_left(tmp_path):
    folder, refused, elsewhere = (tmp_path / name for name in ("a", "refused", "elsewhere"))
    (folder / "data").mkdir(parents=True)
    elsewhere.write_text("the instructor's")
    put(folder, corpus.NOTEBOOK)
    (folder / "data" / "link.txt").symlink_to(elsewhere)
    os.link(elsewhere, folder / "second name.txt")
    assert len(read(folder).flags) == 2
    assert sorted(os.listdir(folder)) == ["data", corpus.NOTEBOOK, "second name.txt"]
    set_aside(folder, {corpus.NOTEBOOK}, refused)
    assert sorted(os.listdir(folder)) == [NOTE, "data", corpus.NOTEBOOK]
    assert not os.listdir(folder / "data")
    assert [path.is_symlink() for path in sorted(refused.glob("*/*"))] == [True, False]
    note = (folder / NOTE).read_text()
    assert "data/link.txt is a link or a device\nsecond name.txt is a link" in note
    assert any(NOTE in flag for flag in read(folder).flags)
    assert elsewhere.read_text() == "the instructor's"


def test_a_link_that_was_moved_out_before_leads_nowhere(tmp_path):
    folder, refused, elsewhere = (tmp_path / name for name in ("a", "refused", "elsewhere"))
    folder.mkdir()
    elsewhere.mkdir()
    for name, target in (("up", elsewhere), ("broken", tmp_path / "nowhere")):
        (folder / name).symlink_to(target)
    set_aside(folder, set(), refused)
    for name in ("up", "broken"):
        (folder / name).mkdir()
        (folder / name / "config.py").symlink_to(tmp_path)
    set_aside(folder, set(), refused)
    assert not os.listdir(elsewhere)
    assert len(list(refused.glob("*/*"))) == 4


@pytest.mark.parametrize(
    "name", ["plot.html", "plot.SVG", "a.xhtml", "noext", "deep/plot.htm", "jedi.py", "a/torch.PY"]
)
def test_what_a_browser_or_a_kernel_may_run_is_moved_out(tmp_path, name):
    folder = tmp_path / "a"
    put(folder, corpus.NOTEBOOK)
    for each in (name, "data.csv", "Plot.PNG"):
        (folder / each).parent.mkdir(exist_ok=True)
        (folder / each).touch()
    (flag,) = read(folder).flags
    assert name in flag
    set_aside(folder, {corpus.NOTEBOOK}, tmp_path / "refused")
    left = {path.name for path in folder.rglob("*") if path.is_file()}
    assert left == {NOTE, corpus.NOTEBOOK, "data.csv", "Plot.PNG"}


def test_leftovers_of_editors_go_and_nobody_hears_of_it(tmp_path):
    folder = tmp_path / "a"
    put(folder, corpus.NOTEBOOK)
    for name in (
        ".ipynb_checkpoints/a.html",
        ".git/hooks/x.sh",
        "__pycache__/a.pyc",
        ".DS_Store",
        "Thumbs.db",
        "desktop.ini",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert read(folder).flags == []
    set_aside(folder, {corpus.NOTEBOOK}, tmp_path / "refused")
    assert os.listdir(folder) == [corpus.NOTEBOOK]
    (folder / ".hidden").symlink_to("/etc")
    assert "is a link" in read(folder).flags[0]


def test_files_that_would_fill_the_disk_are_moved_out(tmp_path):
    folder = tmp_path / "a"
    put(folder, corpus.NOTEBOOK)
    (folder / "more").mkdir()
    for name, size in (("a.csv", 60), ("b.csv", 60), ("c.csv", 2**20), ("more/d.csv", 1)):
        with (folder / name).open("wb") as file:
            # It has a length, and no block of the disk.
            file.truncate(size * 2**20)
    set_aside(folder, {corpus.NOTEBOOK}, tmp_path / "refused")
    assert sorted(os.listdir(folder)) == [NOTE, "a.csv", corpus.NOTEBOOK, "more"]
    assert not os.listdir(folder / "more")


def test_a_folder_in_the_place_of_the_note_is_moved_out(tmp_path):
    folder = tmp_path / "a"
    (folder / NOTE / "x").mkdir(parents=True)
    set_aside(folder, set(), tmp_path / "refused")
    assert "is a folder" in (folder / NOTE).read_text()


def test_the_note_is_not_written_through_a_link(tmp_path):
    folder, elsewhere = tmp_path / "a", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.write_text("kept")
    (folder / NOTE).symlink_to(elsewhere)
    (folder / "another").symlink_to(elsewhere)
    set_aside(folder, set(), tmp_path / "refused")
    assert elsewhere.read_text() == "kept"
    assert not (folder / NOTE).is_symlink()


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        ("2026-11-02 23:59 UTC", False),
        ("yesterday", True),
        ("9" * 99, True),
        ("1:12202660" + 20 * "9", True),
        ("1" * 10**6, True),
    ],
)
def test_a_timestamp_that_nbgrader_cannot_read_is_moved_out(tmp_path, text, odd):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "timestamp.txt").write_text(text)
    set_aside(folder, set(), tmp_path / "refused")
    assert (folder / "timestamp.txt").exists() is not odd


def test_nbgrader_is_given_the_names_of_the_release(tmp_path):
    release, folder = tmp_path / "release" / "ps", tmp_path / "submitted" / "ada" / "ps"
    release.mkdir(parents=True)
    folder.mkdir(parents=True)
    put(release, corpus.NOTEBOOK)
    put(folder, "bn.ipynb", "scratch.ipynb")
    notebooks = [str(folder / "bn.ipynb"), str(folder / "scratch.ipynb")]
    prepare("ps", "*", notebooks, release.parent, tmp_path / "refused")
    assert notebooks == [str(folder / corpus.NOTEBOOK)]


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ("memry=1", "memry"),
        ("memory=-1", "memory=-1"),
        ("memory=0", "positive"),
        ("memory=1e9", "memory must be a whole number. Received: memory=1000000000.0"),
        ("total_seconds=True", "total_seconds must be a number"),
    ],
)
def test_limits_that_make_no_sense_are_refused(tmp_path, limits, says):
    config = f"c = get_config()\nc.TrustedExecute.limits = dict({limits})\n"
    (tmp_path / "nbgrader_config.py").write_text(config)
    with pytest.raises(ValueError, match=says):
        limits_of(load_config(tmp_path))
