"""The same rows on PostgreSQL, in a server that lives as long as the tests."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from bncourse.grading.nbgrader import gradebook, rows, writing

from .test_writing import (
    DUE,
    book_of,
    by_hand,
    copy_of,
    empty_course,
    graded,
    hand_in,
    random_round,
    table,
    write,
    write_with_nbgrader,
)

__all__ = ["empty_course"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"),
]


def program(name):
    """Return the path of a program of PostgreSQL, or None; Debian keeps them off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (found and str(found[-1])) or None


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("psycopg", reason="no psycopg here; pip install 'psycopg[binary]'")
    if not program("postgres"):
        pytest.skip("no PostgreSQL on this machine; apt-get install postgresql")
    # Short, since a socket is in it, and open to the user that the server runs as: never root.
    folder = Path(tempfile.mkdtemp())
    user = {"user": "postgres"} if os.getuid() == 0 else {}
    if user:
        shutil.chown(folder, "postgres")
    data, log = folder / "data", folder / "log"
    quiet = {"stdout": subprocess.DEVNULL, "cwd": folder, **user}
    create = [program("initdb"), "-D", data, "-U", "postgres", "--auth=trust", "--no-sync"]
    subprocess.run(create, check=True, **quiet)
    control = [program("pg_ctl"), "-D", data, "-l", log, "-w", "-t", "300"]
    # Without a port on the network.
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    subprocess.run([*control, "-o", options, "start"], check=True, **quiet)
    yield folder
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, **quiet)
    shutil.rmtree(folder)


def on(server, root, name):
    """Put the gradebook of a course into a database of its own, as an instructor does."""
    import psycopg

    with contextlib.closing(psycopg.connect(_address(server), autocommit=True)) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = f"postgresql+psycopg://postgres@/{name}?host={server}"
    config = root / "nbgrader_config.py"
    config.write_text(f"{config.read_text()}\nc.CourseDirectory.db_url = {url!r}\n")
    command = ["nbgrader", "generate_assignment", "ps1_forward", "--force"]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    with book_of(root, url) as book:
        book.update_or_create_assignment("ps1_forward", duedate=DUE)
    return url


def _address(server):
    return f"host={server} user=postgres dbname=postgres"


def test_a_class_is_written_as_nbgrader_writes_it(server, empty_course, tmp_path, monkeypatch):
    ours = copy_of(empty_course, tmp_path / "ours")
    theirs = copy_of(empty_course, tmp_path / "theirs")
    urls = {root: on(server, root, root.name) for root in (ours, theirs)}
    for seed in (1, 2):
        for root in (ours, theirs):
            random_round(root, seed, urls[root])
        write_with_nbgrader(theirs, seed, monkeypatch)
        with monkeypatch.context() as patch:
            patch.setattr(writing, "_autograde", None)
            write(ours, seed)
        assert table(ours, urls[ours]) == table(theirs, urls[theirs])
        assert len(gradebook.written(*graded(ours, seed))) == 8


def test_points_of_a_human_who_writes_meanwhile_are_kept(server, empty_course, tmp_path):
    """What is read to be changed is locked: a human waits for the end of the transaction."""
    import psycopg

    root = copy_of(empty_course, tmp_path / "together")
    url = on(server, root, root.name)
    hand_in(root, "ada")
    write(root)
    by_hand(root, "ada", 1.0, url=url)
    with gradebook.opened(graded(root)[0]) as book, writing._transaction(book.engine) as ours:
        assigned = rows.assigned(ours, "ps1_forward")
        assert rows.submissions(ours, assigned, ["ada"], to_change=True)
        address = _address(server).replace("dbname=postgres", f"dbname={root.name}")
        with contextlib.closing(psycopg.connect(address, autocommit=True)) as human:
            human.execute("SET lock_timeout = 1")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                human.execute("UPDATE grade SET manual_score = 2")
