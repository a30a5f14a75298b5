"""A file or a folder is put into its place whole, or the old one stays."""

import errno
import os
import sqlite3
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from sqlalchemy.exc import OperationalError

from bncourse.commands import Command
from bncourse.whole import beside, recover, replace_folder, whole_file


def write(path, text, error=None):
    with whole_file(path) as half:
        half.write_text(text)
        if error:
            raise error


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "grades.csv"
    write(path, "old")
    with pytest.raises(type(error)):
        write(path, "new", error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    write(path, "new")
    assert path.read_text() == "new"


def test_the_half_of_a_killed_command_goes_with_the_next_and_that_of_a_live_one_stays(tmp_path):
    path = tmp_path / "grades.csv"
    code = (
        "import os, sys; from bncourse.whole import whole_file\n"
        "with whole_file(sys.argv[1]) as half: half.write_text('half'); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, path]).returncode == -9
    (left,) = tmp_path.iterdir()
    live = tmp_path / f"grades.csv.{os.getppid()}.part"
    live.write_text("of another command")
    write(path, "new")
    assert sorted(tmp_path.iterdir()) == [path, live]
    assert left != live


def test_who_may_read_a_file_stays(tmp_path):
    path = tmp_path / "grades.csv"
    write(path, "old")
    path.chmod(0o640)
    write(path, "new")
    assert path.stat().st_mode & 0o777 == 0o640


def test_what_is_no_file_is_written_to(tmp_path):
    link = tmp_path / "grades.csv"
    link.symlink_to("/dev/null")
    write(link, "new")
    assert link.is_symlink()
    other = tmp_path / "link"
    other.symlink_to(tmp_path / "real.csv")
    write(other, "new")
    assert other.is_symlink()
    assert (tmp_path / "real.csv").read_text() == "new"


def folder(place, text):
    place.mkdir()
    (place / "forward.ipynb").write_text(text)
    return place


def test_a_folder_is_replaced_and_one_that_was_on_its_way_comes_back(tmp_path):
    place = folder(tmp_path / "ps1", "old")
    replace_folder(folder(beside(place), "new"), place)
    assert (place / "forward.ipynb").read_text() == "new"
    assert list(tmp_path.iterdir()) == [place]
    # Killed between the two steps.
    place.rename(tmp_path / ".ps1.old")
    recover(place)
    assert (place / "forward.ipynb").read_text() == "new"
    assert list(tmp_path.iterdir()) == [place]


def test_a_folder_that_cannot_be_replaced_stays(tmp_path):
    place = folder(tmp_path / "ps1", "old")
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "none", place)
    assert (place / "forward.ipynb").read_text() == "old"
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1, "No space left on device"),
        (OperationalError("COMMIT", {}, sqlite3.OperationalError("disk is full")), 1, "is full"),
    ],
)
def test_a_machine_that_refuses_is_a_sentence(error, status, told):
    @click.command(cls=Command)
    def verb():
        raise error

    done = CliRunner().invoke(verb)
    assert done.exit_code == status
    assert done.stderr.startswith("Error: ")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_error_of_the_course_itself_is_not_hidden():
    @click.command(cls=Command)
    def verb():
        raise OSError(errno.ENOENT, "No such file")

    assert isinstance(CliRunner().invoke(verb).exception, FileNotFoundError)
