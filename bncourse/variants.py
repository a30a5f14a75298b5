"""Known mistakes of long solutions: one correct source, and the lines in which each one differs."""

import itertools
import linecache
import sys
import types

_serial = itertools.count()


def variant(source, name, *changes):
    r"""Return the object ``name`` that ``source`` defines after some replacements of text.

    ``inspect.getsource`` works on the result: it is a solution like one written by hand.

    Args:
        source: Python code, with its imports.
        name: the function or class that it defines.
        changes: pairs (old, new); each old text is replaced wherever it stands.

    Raises:
        ValueError: if an old text does not occur; the variant would not be one.

    >>> import inspect
    >>> half = variant("def half(n):\n    return n / 2\n", "half", ("n / 2", "n // 2"))
    >>> half(3), inspect.getsource(half)
    (1, 'def half(n):\n    return n // 2\n')
    """
    for old, new in changes:
        if old not in source:
            raise ValueError(f"A change must replace a text of the source. Received: {old!r}")
        source = source.replace(old, new)
    module = types.ModuleType(f"{__name__}.{name}_{next(_serial)}")
    module.__file__ = f"<{module.__name__}>"
    # A time of None keeps the entry when linecache looks for changed files.
    linecache.cache[module.__file__] = len(source), None, source.splitlines(True), module.__file__
    # inspect finds the file of a class through its module.
    sys.modules[module.__name__] = module
    exec(compile(source, module.__file__, "exec"), module.__dict__)
    return getattr(module, name)
