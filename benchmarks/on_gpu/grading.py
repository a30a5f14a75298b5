"""Grading with --gpu: submissions that use the GPU, in the sandbox, or without where there is none.

What is graded here are cells and checks of problem set 4, each hand-in in a process of its own as
`bncourse grade --gpu` makes it. Without bubblewrap the same processes run without the walls.
"""

import importlib.util
import inspect
import time

from bncourse.errors import CourseError, Infra
from bncourse.exercise import draw_cases
from bncourse.exercises.ps4_pytorch.layer_mistakes import BatchNorm
from bncourse.grading.outcome import limit_named_in
from bncourse.grading.outside import sandbox
from bncourse.grading.outside.session import Lost, Session
from bncourse.grading.outside.warm import WarmProcess
from bncourse.judge import judge
from bncourse.limits import Limits
from bncourse.registry import load

_PROBLEM_SET, _EXERCISE = "ps4_pytorch", "BatchNorm"
_IMPORTS = "import torch\nfrom torch import nn"


def part(setting):
    """Yield {"walls": ..., "hand-ins": [...]}, as they grow."""
    missing = _why_not()
    reasons = [f"no sandbox, so without walls: {missing}"] if missing else []
    value = {"walls": not missing, "hand-ins": []}
    yield value, reasons
    for walls in (True, False) if not missing else (False,):
        words = "with" if walls else "without"
        try:
            for row in _rows(setting, walls):
                value["hand-ins"].append(row)
                if row["got"] != row["wanted"]:
                    reasons.append(f"{row['hand-in']}, {words} walls: {row['got']}"[:400])
                print(row, flush=True)
                yield value, reasons
        except Infra as error:
            reasons.append(f"{words} walls: {error}"[:400])
            yield value, reasons


def _rows(setting, walls):
    with WarmProcess(_PROBLEM_SET, unsafe=not walls, gpu=setting.device == "cuda") as process:
        for name, cells, wanted in hand_ins(setting.device)[: 3 if setting.small else None]:
            got = graded(process, cells)
            yield {"walls": walls, "hand-in": name, "wanted": wanted, "got": got}


def _why_not():
    try:
        return sandbox.why_not()
    except CourseError as error:
        return str(error)


def hand_ins(device):
    """Return (name, cells, what comes of them)."""
    right = f"{_IMPORTS}\n\n{inspect.getsource(BatchNorm)}"
    wrong = right.replace("var.detach() * count / (count - 1)", "var.detach()")
    if wrong == right:
        raise ValueError("The layer must have a step to make a mistake in")
    on_device = f"x = torch.ones(3, device={device!r})\nassert x.sum().item() == 3"
    trains = (
        f"layer = BatchNorm(4).to({device!r})\n"
        f"y = layer(torch.randn(8, 4, device={device!r}).requires_grad_())\n"
        "y.square().sum().backward()\n"
        "assert layer.weight.grad.device.type == y.device.type"
    )
    keras = (
        "import keras\n"
        "y = keras.layers.BatchNormalization()(keras.ops.ones((4, 3)), training=True)\n"
        f"assert y.device.type == {device!r}, y.device"
    )
    rows = [
        ("right", [right], "ok"),
        ("a known mistake", [wrong], "wrong: biased running variance"),
        ("uses the device", [right, on_device], "ok"),
        ("trains on the device, as a second process", [right, trains], "ok"),
    ]
    if importlib.util.find_spec("keras"):
        rows.append(("Keras on the device", [right, keras], "ok"))
    if device == "cuda":
        full = "torch.empty(2**44, device='cuda')"
        broken = (
            "i = torch.tensor([99], device='cuda')\n"
            "torch.zeros(2, device='cuda')[i]\ntorch.cuda.synchronize()"
        )
        rows += [
            ("too much memory of the GPU", [right, full], "a cell: OutOfMemoryError, limit gpu"),
            ("breaks the GPU", [right, broken], "crashed"),
            ("after it, the device works", [right, on_device], "ok"),
        ]
    return rows


def graded(process, cells):
    """Return in short what a submission is told: ok, or what is wrong with a cell or the answer."""
    limits = Limits()
    session = Session(process.fork(limits), time.monotonic() + limits.total_seconds, limits)
    try:
        for cell in cells:
            result = session.run_cell(cell)
            if result.error:
                limit = limit_named_in(result.error, result.message)
                ending = f", limit {limit}" if limit else f": {result.message}"
                return f"a cell: {result.error}{ending}"
        exercise = load(_PROBLEM_SET)[_EXERCISE]
        cases = draw_cases(exercise, 0)
        (attempts,) = session.attempt(exercise, [cases], session.item_deadline())
        verdict = judge(exercise, cases, attempts)
        name = f": {verdict.mistake.name}" if verdict.mistake else f" {verdict.finding}"
        return "ok" if verdict.kind == "ok" else f"{verdict.kind}{name}"
    except Lost as lost:
        return lost.outcome.word
    finally:
        session.close()
