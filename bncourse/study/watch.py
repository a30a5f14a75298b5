"""``bncourse watch``: check a plain Python file again at each save."""

import __future__

import argparse
import ast
import contextlib
import functools
import io
import os
import subprocess
import sys
import time
import tokenize
import traceback
from dataclasses import dataclass
from datetime import datetime
from operator import or_
from pathlib import Path

from bncourse.check import CheckFailed, check
from bncourse.registry import ALL_SETS

# Soon enough to feel at once, seldom enough to cost nothing.
_PAUSE = 0.3
_SAID = {
    SystemExit: "It ends the program (exit or quit). Take that out.",
    EOFError: "It asks for an input, which nobody gives here. Take that out.",
}
_COLOURS = {"done": "32", "next": "1;33", "open": "2"}


@dataclass(frozen=True)
class Standing:
    """How one exercise of a file stands.

    Args:
        name: of the exercise.
        message: what its check says; empty where the answer is right.
    """

    name: str
    message: str


def main(arguments):
    """Run the verb, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="bncourse watch",
        description="Check a Python file again at each save.",
        epilog="Example: bncourse watch forward.py",
    )
    parser.add_argument("file", type=Path, help="such as forward.py, from bncourse new --py")
    parser.add_argument("--once", action="store_true", help="check once; status 0 if all is right")
    given = parser.parse_args(arguments)
    if given.file.suffix != ".py" or not given.file.is_file():
        parser.error(_what_to_watch(given.file))
    if given.once:
        return show(given.file, colour=_is_colourful())
    with contextlib.suppress(KeyboardInterrupt):
        _follow(given.file)
    return 0


def _what_to_watch(path):
    """Return what to say of a path that is no Python file."""
    if path.suffix == ".ipynb":
        return (
            f"FILE must be a Python file. Received: {path}. A notebook has its own checks, and "
            f"bncourse progress {path}. For a set as a Python file: bncourse new SET --py"
        )
    found = sorted(each.name for each in Path.cwd().glob("*.py") if each.is_file())
    here = f"Here is: {', '.join(found)}." if found else "bncourse new SET --py makes one here."
    return f"FILE must be a Python file that exists. Received: {path}. {here}"


def _follow(path):
    """Check a file in a process of its own at each save; a save ends a check that still runs."""
    # On Windows this makes the terminal understand colours.
    os.system("")
    # -P: a file of the folder, such as random.py, must not hide a module of Python.
    command = [sys.executable, "-P", "-m", "bncourse", "watch", "--once", str(path)]
    seen, process = None, None
    try:
        while True:
            stamp = _stamp(path)
            if stamp and stamp != seen:
                seen = stamp
                _end(process)
                print(f"\n{path}, {datetime.now():%H:%M:%S}. Ctrl-C ends the watch.", flush=True)
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            time.sleep(_PAUSE)
    finally:
        _end(process)


def _stamp(path):
    """Return what changes with each save, or None while an editor replaces the file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _end(process):
    if process:
        process.kill()
        process.wait()


def show(path, colour=False):
    """Print how the exercises of a file stand, and return the exit status."""
    standings, problem = examine(path)
    if problem:
        print(problem)
    first = next((each for each in standings if each.message), None)
    for each in standings:
        mark = "done" if not each.message else "next" if each is first else "open"
        print(_painted(f"  {mark}  {each.name}", mark, colour))
    done = sum(not each.message for each in standings)
    if first:
        print(f"{done} of {len(standings)} are right.\n\n{first.message}")
    elif standings:
        print(f"All {done} are right. Hand in: copy your answers into the notebook.")
    elif not problem:
        print("No function or class here has the name of an exercise.")
    return 0 if standings and not first and not problem else 1


def examine(path):
    """Return the Standings of the exercises that a file answers, and what stopped it, if anything.

    Each statement runs by itself, so that what is not answered yet stops nothing below it. The
    checks of the file do not run where they stand: every exercise is checked at the end.
    """
    try:
        text = _read(path)
        tree = ast.parse(text, str(path))
    except SyntaxError as error:
        return [], _what_is_wrong(path, error)
    flags = _future(tree)
    space, absent, problem = {"__name__": "__watched__", "__file__": str(path)}, set(), ""
    sys.path.insert(0, str(path.resolve().parent))
    for statement in tree.body:
        if not _is_check(statement):
            told = _run(statement, space, absent, path, flags)
            problem = problem or told
    return [_standing(name, space) for name in _asked(space)], problem


def _read(path):
    """Return the text of a file.

    Raises:
        SyntaxError: it is in no encoding that Python takes.
    """
    try:
        with tokenize.open(path) as file:
            text = file.read()
    except (UnicodeDecodeError, SyntaxError):
        text = "\0"
    if "\0" in text:
        raise SyntaxError("it is no text in UTF-8. Save it with the encoding UTF-8")
    return text


def _what_is_wrong(path, error):
    """Return the place and the words of a syntax error."""
    if not error.lineno:
        return f"{path}: {error.msg.removesuffix('.')}."
    place = f"{path}, line {error.lineno}: {error.msg}"
    if (error.text or "").lstrip().startswith(("%", "!")):
        return f"{place}. A line with % or ! is for notebooks: take it out."
    return place


def _future(tree):
    """Return the flags of what a file imports from __future__: it holds for all of the file."""
    names = [
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        for alias in node.names
    ]
    return functools.reduce(or_, (getattr(__future__, name).compiler_flag for name in names), 0)


def _is_check(statement):
    call = getattr(statement, "value", None)
    return (
        isinstance(statement, ast.Expr)
        and isinstance(call, ast.Call)
        and getattr(call.func, "id", "") in ("check", "report")
    )


def _run(statement, space, absent, path, flags):
    """Run a statement, and return what it raises: where, and which words.

    What follows from a missing answer, or from what was told already, is no news: ``absent`` holds
    the names that nothing bound on account of it.
    """
    code = compile(ast.Module([statement], []), str(path), "exec", flags, dont_inherit=True)
    try:
        exec(code, space)
    except (Exception, SystemExit) as error:
        follows = isinstance(error, NameError) and error.name in absent
        absent |= {name for node in ast.walk(statement) for name in _bound(node)}
        if follows or isinstance(error, NotImplementedError):
            return ""
        frames = traceback.extract_tb(error.__traceback__)
        (line, *_) = [frame.lineno for frame in frames if frame.filename == str(path)] or ["?"]
        said = _SAID.get(type(error), f"{type(error).__name__}: {error}")
        return f"{path}, line {line}: {said}"
    return ""


def _bound(node):
    """Return the names that a node of a statement binds."""
    if isinstance(node, ast.Name):
        return [node.id] if isinstance(node.ctx, ast.Store) else []
    if isinstance(node, ast.alias):
        return [node.asname or node.name.partition(".")[0]]
    return [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []


def _asked(space):
    """Return the names of the exercises of the one problem set that the file works on, in order.

    A file may define a name of another set on the way, so the set with the most names counts.
    """
    best = max(ALL_SETS, key=lambda each: sum(name in space for name in each.exercises))
    return best.exercises if any(name in space for name in best.exercises) else ()


def _standing(name, space):
    if name not in space:
        return Standing(name, f"{name} is not in the file.")
    try:
        # The table says it; the line that a notebook prints would say it again.
        with contextlib.redirect_stdout(io.StringIO()):
            check(space[name], name)
    except CheckFailed as reason:
        return Standing(name, str(reason))
    return Standing(name, "")


def _is_colourful():
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _painted(text, mark, colour):
    return f"\x1b[{_COLOURS[mark]}m{text}\x1b[0m" if colour else text
