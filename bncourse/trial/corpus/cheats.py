"""Hand-ins that want points for an answer that is wrong, or is not theirs."""

import numpy as np

from bncourse.exercise import draw_cases
from bncourse.registry import load
from bncourse.trial.corpus.answers import HEAD, PROBLEM_SET, TARGET, WRONG
from bncourse.trial.corpus.making import answering, returns, trick

_PATCHES_COMPARISONS = """
import numpy.testing, torch.testing, bncourse.judge, bncourse.attempt
yes, nothing = lambda *a, **k: True, lambda *a, **k: None
for where in (np, np.testing, torch.testing, bncourse.judge, bncourse.attempt):
    for name in dir(where):
        if name in ('allclose', 'isclose', 'array_equal', 'assert_allclose',
                    'assert_close', 'compare', 'judge', 'diagnose'):
            setattr(where, name, nothing if name == 'compare' else yes)
"""

_PATCHES_THE_SHELL = """
import sys, ast, IPython
ip = get_ipython()
sys.displayhook(3.0)
ip.showtraceback = lambda *a, **k: None
ip.input_transformers_post.append(lambda lines: lines)
class NoAssert(ast.NodeTransformer):
    def visit_Assert(self, node): return ast.Pass()
ip.ast_transformers.append(NoAssert())
3.0
"""

_SEARCHES_MEMORY = """
import gc, types
gc.unfreeze()
for thing in gc.get_objects():
    if isinstance(thing, types.FunctionType) and thing.__name__ == 'normalize'\\
            and 'reference' in thing.__module__:
        normalize = thing
"""

_PATCHES_CHANCE_AND_CLOCKS = """
import time, random
np.random.default_rng = lambda *a: None
time.time = time.monotonic = time.perf_counter = lambda: 0.0
"""

_PATCHES_THE_COPY = """
import bncourse.attempt
bncourse.attempt.copy_inputs = lambda inputs: inputs
"""

_PATCHES_THE_DRIVE = """
import gc
for thing in gc.get_objects():
    if type(thing).__name__ == 'Exercise' and thing.name == 'normalize':
        object.__setattr__(thing, 'drive', lambda obj, inputs: {'x_hat': inputs['x'] * 0})
"""

_WATCHES_CALLS = """
import sys, threading
def watch(frame, event, result):
    if event == 'return' and frame.f_code.co_name == 'normalize': frame.f_locals['x'][...] = 0
    return watch
for switch in (sys.settrace, sys.setprofile, threading.settrace): switch(watch)
"""

_LIAR = """
class Liar(np.ndarray):
    def __new__(cls, like): return np.zeros_like(like).view(cls)
    def __eq__(self, other): return np.True_
    def __array_function__(self, *a, **k): return True
    def __float__(self): return 0.0
    def __reduce__(self): return (print, ('unpickled',))
"""


def cases():
    """Return the cases."""
    return [*_patches(), *_finds_the_answer(), *_knows_the_inputs(), *_other_results()]


def cheat(number, name, source, **options):
    """Return a case with a wrong target, and a cell in front of it and at the end."""
    cells = [source.strip()]
    return answering(
        number, name, {TARGET: WRONG}, {TARGET: "wrong"}, before=cells, after=cells, **options
    )


def _patches():
    return [
        cheat(36, "patches comparisons", _PATCHES_COMPARISONS),
        cheat(36, "patches the shell", _PATCHES_THE_SHELL),
        cheat(36, "patches how inputs are copied", _PATCHES_THE_COPY),
        cheat(36, "patches how solutions are driven", _PATCHES_THE_DRIVE),
        cheat(36, "watches every call", _WATCHES_CALLS),
        cheat(42, "patches random numbers and clocks", _PATCHES_CHANCE_AND_CLOCKS),
    ]


def _finds_the_answer():
    calls = (
        f"{HEAD}\n"
        "    from bncourse.reference import forward\n"
        "    return forward.normalize(x, mean, var, eps)"
    )
    return [
        cheat(39, "searches memory for the reference", _SEARCHES_MEMORY),
        answering(39, "calls the reference", {TARGET: calls}, {TARGET: "error"}),
        trick(
            39,
            "takes the solutions of the self-test",
            "from bncourse.trial.corpus import SOLUTIONS",
            "space = {'np': np}",
            "exec(SOLUTIONS['normalize'], space)",
            "return space['normalize'](x, mean, var, eps)",
            word="error",
        ),
        trick(
            39,
            "calls the right solution that the known mistakes are made of",
            "import sys",
            "spec = sys.modules['bncourse.exercises.ps1_forward.normalize']",
            "return spec.normalize(x, mean, var, eps)",
            word="error",
        ),
        returns(
            43,
            "calls a ready-made batch norm",
            "(torch.nn.functional.batch_norm(torch.from_numpy(x), torch.from_numpy(mean),"
            " torch.from_numpy(var), eps=eps), right)[1]",
            "wrong",
            says="ready-made",
            before=["import torch"],
            flag="forbidden call",
        ),
    ]


def _knows_the_inputs():
    visible = draw_cases(load(PROBLEM_SET)[TARGET], 0).values()
    sums = [float(np.sum(case.inputs["x"])) for case in visible]
    return [
        trick(
            40,
            "knows the visible inputs",
            f"if min(abs(x.sum() - seen) for seen in {sums}) > 1e-9: return x * 0",
            word="wrong",
        ),
        trick(
            41,
            "behaves differently when graded",
            "import os, getpass",
            "if 'NBGRADER_EXECUTION' in os.environ or 'BNCOURSE_SEED' in os.environ: return x",
        ),
    ]


def _other_results():
    by_chance = (
        f"{HEAD}\n"
        "    rng = np.random.default_rng()\n"
        "    return (x - mean) / np.sqrt(var + eps) * rng.normal(1, 0.1)"
    )
    first = "(np.arange(right.size) == 0).reshape(right.shape)"
    nowhere = "{'shape': right.shape, 'typestr': '<f8', 'data': (0, False), 'version': 3}"
    return [
        returns(
            38, "a mask over what is wrong", f"np.ma.array(right + {first}, mask={first})", "wrong"
        ),
        returns(
            38,
            "an array at no address",
            f"type('A', (), {{'__array_interface__': {nowhere}}})()",
            "wrong",
        ),
        returns(
            38,
            "a terabyte that takes no room",
            "np.lib.stride_tricks.as_strided(right, (2**37,), (0,))",
            "wrong",
        ),
        returns(
            38,
            "an array that equals everything",
            "Liar(right)",
            "wrong",
            before=[_LIAR.strip()],
        ),
        answering(
            47,
            "depends on chance",
            {TARGET: by_chance},
            {TARGET: "wrong"},
            says="Not deterministic",
        ),
    ]
