"""Each experiment runs once: in a process, and in all processes of one build or one run of tests.

Whoever starts several processes names an empty folder in the environment. What one of them has
measured is read there by the others, under the arguments and the text of the whole library, and
the folder ends with the build: nothing can be stale.
"""

import contextlib
import functools
import hashlib
import inspect
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

FOLDER = "BNCOURSE_EXPERIMENTS"
_LIBRARY = Path(__file__).parents[1]


def once(measure: Callable) -> Callable:
    """Return a function whose results are kept; ``__wrapped__`` measures anew.

    Args:
        measure: gives plain data, such as named tuples of arrays; treat what it returns as
            read-only.

    >>> @once
    ... def square(x):
    ...     print("measured")
    ...     return x * x
    >>> square(3), square(3)
    measured
    (9, 9)
    """
    signature = inspect.signature(measure)

    @functools.cache
    def kept(*args, **kwargs):
        folder = os.environ.get(FOLDER)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        name = _name(tuple(bound.arguments.items()))
        if not folder or name is None:
            return measure(*args, **kwargs)
        key = "\n".join((_text(), measure.__module__, measure.__qualname__, name))
        path = Path(folder, hashlib.sha256(key.encode()).hexdigest())
        return _shared(path, functools.partial(measure, *args, **kwargs))

    return functools.update_wrapper(kept, measure)


def _name(value: object) -> str | None:
    """Return a text that tells a value from all others, in any process; None where there is none.

    >>> _name((0.1, "digits", True, None)), _name(_name), _name(lambda: 0)
    ("(0.1,'digits',True,None)", 'bncourse.lab.once._name', None)
    """
    if value is None or type(value) in (str, int, float, bool):
        return repr(value)
    if isinstance(value, tuple):
        names = [_name(each) for each in value]
        return None if None in names else f"({','.join(filter(None, names))})"
    if inspect.isfunction(value) and value.__qualname__.isidentifier():
        return f"{value.__module__}.{value.__qualname__}"
    return None


@functools.cache
def _text() -> str:
    """Return a hash of all that the library says."""
    found = hashlib.sha256()
    for path in sorted((*_LIBRARY.rglob("*.py"), *_LIBRARY.rglob("*.json"))):
        found.update(f"{path}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return found.hexdigest()


def _shared(path: Path, measure: Callable) -> object:
    """Return what stands in a file, or measure it and put it there; others wait meanwhile."""
    with _locked(path.with_suffix(".lock")):
        if path.exists():
            return pickle.loads(path.read_bytes())
        found = measure()
        # Not at its place before it is whole: whoever is ended in between leaves nothing there.
        part = path.with_suffix(".part")
        part.write_bytes(pickle.dumps(found))
        part.replace(path)
        return found


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    # Not on Windows, where no book is built.
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def shared_by_processes() -> Iterator[None]:
    """Name a folder for the processes that the block starts, unless there is one; then remove it.

    Only its owner can read or write there.
    """
    if FOLDER in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="bncourse-experiments-") as folder:
        os.environ[FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[FOLDER]
