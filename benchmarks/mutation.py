"""Change each model solution a little, as a tool of mutation testing does, and check the mutants.

    python benchmarks/mutation.py [problem set or exercise ...]

The operators are those of Cosmic Ray (benchmarks/requirements-mutation.txt): another arithmetic or
logical operator, another comparison, a number off by one, a variable that is a number, a decorator
or a loop left out. The self-check runs on each mutant in a process of its own. A mutant that it
accepts has survived: ``mutation_equivalent.py`` says why it is right, or what would catch it.
``results/mutation.json`` keeps the counts and the survivors. The status is 1 if a survivor has no
reason there.
"""

import argparse
import ast
import contextlib
import difflib
import json
import math
import os
import random
import resource
import signal
import sys
import time
import types
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from mutation_equivalent import reasons
from seeds import exercises_of

from bncourse.attempt import attempt
from bncourse.compare import compare
from bncourse.exercise import draw_cases
from bncourse.registry import find
from bncourse.solution import right_of

RESULTS = Path(__file__).parent / "results" / "mutation.json"
REQUIREMENTS = "benchmarks/requirements-mutation.txt"
LAYOUT = "{:<30} {:>8} {:>9} {:>9} {:>9}"
OUTCOMES = ("refused", "stopped", "survived")

# Of processor time, so that a busy machine stops no mutant that would have ended: as many times
# what the model solution takes, and so many seconds at least.
TIMES, SECONDS = 10, 5
BYTES = 4 * 2**30


def changed(source):
    """Yield (operator, changed source) of each change that Cosmic Ray's operators make."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.operators.provider import OperatorProvider

    provider = OperatorProvider()
    for name in provider:
        for arguments in _arguments(name, source):
            operator = Sparing(provider[name](**arguments))
            nodes = ast_nodes(get_ast(source))
            count = sum(len(list(operator.mutation_positions(node))) for node in nodes)
            for index in range(count):
                # Cosmic Ray draws the number that stands in the place of a variable.
                random.seed(index)
                yield name, mutate_code(source, operator, index)


class Sparing:
    """An operator of Cosmic Ray that changes nothing where it would fail.

    VariableReplacer fails on an assignment whose right side is a single name or number.
    """

    def __init__(self, operator):
        self.mutate = operator.mutate
        self._positions = operator.mutation_positions

    def mutation_positions(self, node):
        try:
            return list(self._positions(node))
        except AttributeError:
            return []


def _arguments(name, source):
    """Return the arguments with which an operator is made.

    VariableReplacer wants the name of a variable. VariableInserter adds one to a formula, by an
    operator that it draws: it is left out.
    """
    tree = ast.walk(ast.parse(source))
    read = sorted({n.id for n in tree if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)})
    if name == "VariableReplacer":
        return [{"cause_variable": each} for each in read]
    return [] if name == "VariableInserter" else [{}]


def mutants_of(source):
    """Return [(operator, source)] of the mutants that are Python, each once, none the original."""
    seen, found = {ast.dump(ast.parse(source))}, []
    for operator, text in changed(source):
        with contextlib.suppress(SyntaxError, ValueError), warnings.catch_warnings(action="ignore"):
            tree = ast.dump(ast.parse(text))
            compile(text, "<mutant>", "exec")
            if tree not in seen:
                seen.add(tree)
                found.append((operator, text))
    return found


def line_of(source, mutant):
    """Return what changed: ``old line => new line``, without their indents."""
    marked = list(difflib.ndiff(source.splitlines(), mutant.splitlines()))
    gone, new = (
        " ".join(line[2:].strip() for line in marked if line.startswith(sign)) for sign in "-+"
    )
    return f"{gone} => {new}"


def outcome(exercise, source, original, cases, seconds=600):
    """Return what the self-check makes of a source, in a process of its own: one of OUTCOMES.

    Args:
        exercise, source, original, cases: what is tried.
        seconds: of processor time, after which it is stopped.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            os.close(reader)
            _confine(seconds)
            os.write(writer, _told(exercise, source, original, cases).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        text = told.read()
    os.waitpid(child, 0)
    return text or "stopped"


def _confine(seconds):
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # A mutant may wait for what never comes, which takes no processor time.
    signal.alarm(20 * seconds)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)


def _told(exercise, source, original, cases):
    with np.errstate(all="ignore"):
        try:
            obj = defined(source, original)
        except Exception:
            return "refused"
        right = all(accepted(exercise, obj, case) for case in cases.values())
    return "survived" if right else "refused"


def accepted(exercise, obj, case):
    """Return whether the self-check finds a solution right in one case; it asks for no name."""
    made = attempt(exercise, obj, case)
    if made.error or made.rules:
        return False
    return not compare(exercise, case, made.outputs, exercise.reference(case.inputs))


def defined(source, original):
    """Return what a source defines under the name of ``original``, beside the same imports."""
    module = types.ModuleType(f"{original.__module__}_mutant")
    around = vars(sys.modules[original.__module__]).items()
    module.__dict__.update({name: value for name, value in around if name[:2] != "__"})
    sys.modules[module.__name__] = module
    exec(compile(source, f"<{module.__name__}>", "exec"), module.__dict__)
    return getattr(module, original.__name__)


def measured(name):
    """Return what is kept of an exercise: counts, survivors, seconds."""
    start = time.perf_counter()
    exercise, cases = find(name), draw_cases(find(name), 0)
    right = right_of(exercise)
    before = _processor_seconds()
    if outcome(exercise, right.source, right.obj, cases) != "survived":
        raise RuntimeError(f"The model solution itself must be accepted. Received: {name}")
    seconds = SECONDS + TIMES * math.ceil(_processor_seconds() - before)
    counts, survivors = Counter(), []
    for operator, text in mutants_of(right.source):
        told = outcome(exercise, text, right.obj, cases, seconds)
        counts[told] += 1
        if told == "survived":
            survivors.append({"operator": operator, "line": line_of(right.source, text)})
    row = {"mutants": counts.total()} | {word: counts[word] for word in OUTCOMES}
    return row | {"survivors": survivors, "seconds": round(time.perf_counter() - start)}


def _processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def keep(name, row):
    """Put the row of an exercise into the file, in the order of the course."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    kept[name] = row
    ordered = {each: kept[each] for each in exercises_of(()) if each in kept}
    RESULTS.write_text(json.dumps(ordered, indent=1) + "\n")


def main(chosen):
    try:
        import cosmic_ray  # noqa: F401
    except ModuleNotFoundError:
        return f"Cosmic Ray is missing. Install it: pip install -r {REQUIREMENTS}"
    print(LAYOUT.format("exercise", "mutants", *OUTCOMES))
    without = 0
    for name in exercises_of(chosen):
        row = measured(name)
        keep(name, row)
        print(LAYOUT.format(name, row["mutants"], *(row[word] for word in OUTCOMES)), flush=True)
        for each in row["survivors"]:
            if each["line"] not in reasons(name):
                without += 1
                print(f"    {each['line']}", flush=True)
    return int(bool(without))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Check mutants of each model solution")
    parser.add_argument("chosen", nargs="*", metavar="problem set or exercise")
    sys.exit(main(parser.parse_args().chosen))
