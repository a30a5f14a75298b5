"""Known mistakes as slips: a right solution with named steps, and what a student writes instead.

A step is an assignment, named by its target; a method's attribute ``self.weight`` is called
``weight``. ``returns`` is the return statement; a call that stands alone is named by what it calls,
``self.mean.assign(new)`` by ``mean_assign``; a parameter with a default is a step too. A mistake
that is another algorithm is no slip: it stays a function of its own.
"""

import ast
import functools
import inspect
import itertools
import linecache
import sys
import textwrap
import types
from dataclasses import dataclass

from bncourse.exercise import Mistake

_serial = itertools.count()


@dataclass(frozen=True)
class Instead:
    """Statements that stand in the place of a whole step; none at all where it is left out."""

    statements: str = ""


class Right:
    """A right solution, in which slips are made.

    Args:
        obj: the function or class, written with a name for each step that may go wrong.

    >>> import inspect
    >>> def half(n, by=2):
    ...     quotient = n / by
    ...     return quotient
    >>> slip = Right(half).slip
    >>> floored = slip("floored", "The quotient is floored.", "F1", quotient="n // by")
    >>> floored.obj(3), floored.name
    (1, 'floored')
    >>> slip("by three", "It divides by 3.", "F1", by="3").obj(3)
    1.0
    >>> print(inspect.getsource(floored.obj))
    def half(n, by=2):
        quotient = n // by
        return quotient
    <BLANKLINE>
    """

    def __init__(self, obj):
        self.obj = obj
        self.source = textwrap.dedent(inspect.getsource(obj))
        self._pairs = {}

    def slip(self, name, hint, see, **steps):
        """Return the Mistake that differs from the right solution in some steps.

        Args:
            name, hint, see: as in Mistake.
            steps: by the name of a step, the expression in its place, or an Instead. Where a step
                stands in several functions, ``function__step`` says in which.

        Raises:
            ValueError: if a step does not stand exactly once in the source, or nothing changes.
        """
        return Mistake(name, self.wrong(**steps), hint, see, self, steps)

    def wrong(self, **steps):
        """Return the right solution with some steps replaced, as ``slip`` does."""
        return _defined(self._edited(steps), self.obj)

    def pair(self, steps, more):
        """Return the right solution with the steps of two slips replaced, or None if they clash."""
        key = tuple((name, str(new)) for part in (steps, more) for name, new in part.items())
        if key not in self._pairs:
            self._pairs[key] = self._made(steps, more)
        return self._pairs[key]

    def _made(self, steps, more):
        if steps.keys() & more.keys():
            return None
        try:
            return _executed(self._edited({**steps, **more}), self.obj)
        except (SyntaxError, ValueError):
            return None

    @functools.cached_property
    def _places(self):
        """The places of all steps, found once: a diagnosis tries hundreds of pairs."""
        return _places(self.source)

    def _edited(self, steps):
        edits = [_edit(self._places, name, new) for name, new in steps.items()]
        source, end_of_last = self.source, len(self.source)
        # From the end, so that the places of earlier edits stay right.
        for start, end, text in sorted(edits, reverse=True):
            if end > end_of_last:
                raise ValueError(f"The steps of a slip must stand apart. Received: {steps}")
            source, end_of_last = source[:start] + text + source[end:], start
        if source == self.source:
            raise ValueError(f"A slip must change the source. Received: {steps}")
        return source


def both(mistake, other):
    """Return a solution that makes two mistakes at once, or None if they are no slips of one.

    >>> def half(n, by=2):
    ...     quotient = n / by
    ...     return quotient
    >>> slip = Right(half).slip
    >>> floored = slip("floored", "The quotient is floored.", "F1", quotient="n // by")
    >>> both(floored, slip("by three", "It divides by 3.", "F1", by="3"))(10)
    3
    """
    if mistake.right is None or mistake.right is not other.right:
        return None
    return mistake.right.pair(mistake.steps, other.steps)


@dataclass(frozen=True)
class _Place:
    """Where a step stands: its names, its statement and its value as spans, and its indent."""

    names: frozenset
    statement: tuple[int, int]
    value: tuple[int, int]
    indent: str


def _places(source):
    span = _Spans(source)
    return [
        _Place(frozenset(names), span(statement), span(value), " " * statement.col_offset)
        for names, statement, value in _steps(ast.parse(source))
    ]


def _edit(places, name, new):
    """Return (start, end, text) of one step, as positions in the source."""
    found = [each for each in places if name in each.names]
    if len(found) != 1:
        raise ValueError(
            f"A step must stand once in a right solution. Received: {name!r}, {len(found)} times"
        )
    place = found[0]
    if isinstance(new, Instead):
        lines = textwrap.dedent(new.statements).strip().splitlines() or ["pass"]
        return *place.statement, f"\n{place.indent}".join(lines)
    return *place.value, new


def _steps(tree):
    """Yield (names, statement, value) of each step."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        prefix = f"{function.name}__"
        for name, default in _defaults(function.args):
            yield {name, prefix + name}, function, default
        for node in _own_nodes(function):
            if isinstance(node, ast.Return) and node.value:
                yield {"returns", f"{prefix}returns"}, node, node.value
            elif isinstance(node, ast.Assign):
                target = "_".join(_names(node.targets[0]))
                yield {target, prefix + target}, node, node.value
            elif isinstance(node, ast.AugAssign):
                target = "_".join(_names(node.target))
                yield {target, prefix + target}, node, node.value
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                called = "_".join(_called(node.value.func))
                yield {called, prefix + called}, node, node.value


def _own_nodes(function):
    """Yield the statements of a function, those of functions inside it left out."""
    waiting = list(function.body)
    while waiting:
        node = waiting.pop(0)
        yield node
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            waiting += [
                child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)
            ]


def _defaults(arguments):
    positional = [*arguments.posonlyargs, *arguments.args]
    with_default = positional[len(positional) - len(arguments.defaults) :]
    yield from (
        (each.arg, value) for each, value in zip(with_default, arguments.defaults, strict=True)
    )
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    yield from ((each.arg, value) for each, value in pairs if value is not None)


def _names(target):
    """Yield the names that an assignment binds: ``mean, self.var`` gives mean and var."""
    if isinstance(target, ast.Tuple):
        for each in target.elts:
            yield from _names(each)
    elif isinstance(target, ast.Attribute):
        yield target.attr
    elif isinstance(target, ast.Name):
        yield target.id


def _called(function):
    """Yield the names that a call reads: ``super().__init__`` gives super and init."""
    if isinstance(function, ast.Call):
        yield from _called(function.func)
    elif isinstance(function, ast.Attribute):
        yield from _called(function.value)
        yield function.attr.strip("_")
    elif isinstance(function, ast.Name) and function.id != "self":
        yield function.id


class _Spans:
    """From a node of a source to its (start, end); ast counts bytes, and we count characters."""

    def __init__(self, source):
        lines = source.splitlines(True)
        self.raw = source.encode()
        self.starts = [0, *itertools.accumulate(len(line.encode()) for line in lines)]

    def __call__(self, node):
        start = self.starts[node.lineno - 1] + node.col_offset
        end = self.starts[node.end_lineno - 1] + node.end_col_offset
        return len(self.raw[:start].decode()), len(self.raw[:end].decode())


def _executed(source, original):
    """Return what a source defines, without a trace of it: there are hundreds of pairs."""
    space = {k: v for k, v in vars(sys.modules[original.__module__]).items() if k[:2] != "__"}
    space["__name__"] = original.__module__
    exec(compile(source, "<pair>", "exec"), space)
    return space[original.__name__]


def _defined(source, original):
    """Return what a source defines under the name of ``original``, beside the same imports.

    ``inspect.getsource`` works on the result: it is a solution like one written by hand.
    """
    name = original.__name__
    module = types.ModuleType(f"{__name__}.{name}_{next(_serial)}")
    module.__dict__.update(
        {key: value for key, value in vars(inspect.getmodule(original)).items() if key[:2] != "__"}
    )
    module.__file__ = f"<{module.__name__}>"
    # A time of None keeps the entry when linecache looks for changed files.
    linecache.cache[module.__file__] = len(source), None, source.splitlines(True), module.__file__
    # inspect finds the file of a class through its module.
    sys.modules[module.__name__] = module
    exec(compile(source, module.__file__, "exec"), module.__dict__)
    return getattr(module, name)
