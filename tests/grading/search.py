"""Look for an answer everywhere in the process of a submission: in all its memory and its files.

What is looked for goes in as hashes: text would be found where the search itself keeps it.
"""

import gc
import hashlib
import importlib
import inspect
import marshal
import types
from pathlib import Path

from bncourse.grading.rooms import PACKAGE, seen_by
from bncourse.registry import load
from bncourse.trial import corpus
from bncourse.trial.sample_class import source_of

# Shorter ones say little, and stand in other programs as well.
_LEAST_TEXT, _LEAST_CODE = 30, 60

IN_BOTH = "in memory and in files"


def prints_of(text):
    """Return the hashes of the telling lines of a text, and of the functions it defines."""
    codes, found = [compile(text, "an answer", "exec")], set()
    while codes:
        codes += [c for c in codes.pop().co_consts if isinstance(c, types.CodeType)]
        long = [code for code in codes if len(code.co_code) >= _LEAST_CODE]
        found |= {print_of_code(code) for code in long if not code.co_name.startswith("<")}
    lines = {line.strip() for line in text.splitlines()}
    return found | {print_of_text(line) for line in lines if _is_telling(line)}


def _is_telling(line):
    # Signatures are given, and imports are everybody's.
    return len(line) >= _LEAST_TEXT and not line.startswith(("def ", "class ", "import ", "from "))


def print_of_text(line):
    """Return the hash of a line."""
    return hashlib.md5(line.encode(errors="replace")).hexdigest()[:12]


def print_of_code(code):
    """Return the hash of what a function does, whatever its file and name."""
    names = repr((code.co_names, code.co_varnames)).encode()
    return hashlib.md5(code.co_code + names).hexdigest()[:12]


def answers(problem_set):
    """Return the hashes of all answers to a problem set that this course holds."""
    shown = set(seen_by(problem_set))
    files = {f"reference/{path.name}" for path in (PACKAGE / "reference").glob("*.py")} - shown
    texts = [(PACKAGE / name).read_text() for name in files]
    for exercise in load(problem_set).values():
        # Some mistakes are right by value, others nearly; each stands in a spec module.
        texts += [source_of(mistake, exercise.name) for mistake in exercise.mistakes]
    texts.append(inspect.getsource(importlib.import_module(f"solutions_{problem_set}")))
    if problem_set == corpus.PROBLEM_SET:
        texts += corpus.SOLUTIONS.values()
    visible = (prints_of((PACKAGE / name).read_text()) for name in shown)
    return set().union(*map(prints_of, texts)) - set().union(*visible)


def cell_for(problem_set):
    """Return a cell that prints what it finds of answers in memory and in the package's folder."""
    parts = [print_of_text, print_of_code, _contents, _search]
    return "\n\n".join(
        [
            "import gc, hashlib, marshal, types\nfrom pathlib import Path",
            f"_LEAST_TEXT = {_LEAST_TEXT}",
            *map(inspect.getsource, parts),
            # What was there before the first fork is frozen, and the collector does not list it.
            "gc.unfreeze()",
            f"wanted = set({' '.join(sorted(answers(problem_set)))!r}.split())",
            "memory = _search(wanted, gc.get_objects())",
            f"files = _search(wanted, _contents({str(PACKAGE)!r}))",
            "for line in memory[:9]: print('in memory:', line)",
            "for line in files[:9]: print('in a file:', line)",
            f"if memory and files: print({IN_BOTH!r})",
        ]
    )


def _contents(folder):
    texts = [path.read_text() for path in Path(folder).rglob("*.py")]
    return texts + [marshal.loads(path.read_bytes()[16:]) for path in Path(folder).rglob("*.pyc")]


def _search(wanted, things):
    # ``things`` is held, so that nothing else takes their place in memory.
    found, seen, waiting = set(), set(), list(things)
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if type(thing) is types.CodeType:
            waiting += thing.co_consts
            if print_of_code(thing) in wanted:
                found.add(thing.co_name)
        elif type(thing) in (str, bytes):
            text = thing if type(thing) is str else thing.decode("latin-1")
            for line in map(str.strip, text.splitlines()):
                if len(line) >= _LEAST_TEXT and print_of_text(line) in wanted:
                    found.add(line)
        else:
            waiting += gc.get_referents(thing)
    return sorted(found)
