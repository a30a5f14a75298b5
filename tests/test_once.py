"""An experiment runs once in all processes of a build, and never stands for another."""

import os
import subprocess
import sys
from functools import partial

import pytest

from bncourse.lab import data, deep, once

PROGRAM = """
from bncourse.lab import deep
print(float(deep.start("plain", 3, width=8, examples=40).gradient.sum()))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(once.FOLDER, str(tmp_path))
    return tmp_path


@pytest.fixture
def counted():
    """A function whose calls are counted, and how to make it anew as another process would."""
    calls = []

    def measure(x, power=2):
        calls.append(x)
        return x**power

    return calls, lambda: once.once(measure)


def test_another_process_reads_what_was_measured(folder, counted):
    calls, make = counted
    assert make()(3) == 9
    assert make()(3) == 9
    assert calls == [3]
    assert make()(3, power=2) == 9, "the same arguments, written out"
    assert calls == [3]
    assert make()(3, power=3) == 27
    assert make()(4) == 16
    assert calls == [3, 3, 4]


def test_a_process_keeps_its_own_where_nothing_is_shared(counted, monkeypatch):
    monkeypatch.delenv(once.FOLDER)
    calls, make = counted
    measure = make()
    assert measure(3) is measure(3)
    make()(3)
    assert calls == [3, 3]


def test_wrapped_measures_anew(folder, counted):
    calls, make = counted
    measure = make()
    measure(3)
    measure.__wrapped__(3)
    assert calls == [3, 3]


def test_a_change_of_the_library_is_another_experiment(folder, counted, monkeypatch):
    calls, make = counted
    make()(3)
    monkeypatch.setattr(once, "_text", lambda: "another text")
    make()(3)
    assert calls == [3, 3]


def test_the_text_of_the_library_is_all_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(once, "_LIBRARY", tmp_path)
    seen = set()
    for name, text in (("a.py", "1"), ("a.py", "2"), ("b/c.py", "1"), ("b/d.json", "1")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        seen.add(once._text.__wrapped__())
    assert len(seen) == 4


def test_two_functions_of_one_name_differ_by_their_module(folder, counted):
    calls, make = counted
    make()(3)
    other = make().__wrapped__
    other.__module__ = "another"
    once.once(other)(3)
    assert calls == [3, 3]


UNNAMED = (lambda: 0, partial(data.digits, seed=1), object(), (1, object()))


@pytest.mark.parametrize("value", UNNAMED)
def test_what_has_no_name_is_not_shared(value, folder):
    calls = []

    def measure(x):
        calls.append(x)

    for _ in range(2):
        once.once(measure)(value)
    assert len(calls) == 2
    assert not list(folder.iterdir())


def test_names_tell_values_apart():
    values = [1, 1.0, True, "1", (1,), ((1,),), None, data.digits, data.fashion]
    assert len({once._name(value) for value in values}) == len(values)


def test_an_experiment_that_fails_leaves_nothing(folder):
    def fails():
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            once.once(fails)()
    assert {path.suffix for path in folder.iterdir()} == {".lock"}


def test_real_processes_share_a_real_experiment(folder):
    def run():
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
        )
        return done.stdout

    first = run()
    (kept,) = (path for path in folder.iterdir() if not path.suffix)
    made = kept.stat().st_mtime_ns
    here = deep.start("plain", 3, width=8, examples=40).gradient.sum()
    assert run() == first
    assert kept.stat().st_mtime_ns == made
    assert float(first) == here


def test_the_folder_ends_with_the_build(monkeypatch):
    monkeypatch.delenv(once.FOLDER)
    with once.shared_by_processes():
        folder = os.environ[once.FOLDER]
        assert os.stat(folder).st_mode & 0o077 == 0, "nobody else may put anything there"
        with once.shared_by_processes():
            assert os.environ[once.FOLDER] == folder, "that of the whole"
        assert os.path.isdir(folder)
    assert once.FOLDER not in os.environ
    assert not os.path.exists(folder)
