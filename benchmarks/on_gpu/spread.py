"""How far right solutions are off on the GPU, beside what is allowed.

A row is the largest relative error of the right solutions in one result in one precision. "TF32" is
float32 in a program that lets matrix products and convolutions round to 10 bits; "float32" is in
one that does not. float16
has no case of its own in PyTorch: the layers of set 4 are measured in it, under the tolerance of
bfloat16.
"""

import numpy as np
import torch

from bncourse.exercises.torch_drive import TOLERANCE
from bncourse.reference import layers
from bncourse.registry import load
from bncourse.tolerances import spread
from on_gpu.workers import correct, sets, spread_over

_SMALL_EXERCISE = "BatchNormFunction"


def part(setting):
    """Yield the rows, as they grow."""
    names, reasons = sets(setting.small)
    seeds = 1 if setting.small else 2
    tasks = [
        (problem_set, name, seeds, rounded, setting.device)
        for rounded in (False, True)
        for problem_set in names
        for name in load(problem_set)
        if name == _SMALL_EXERCISE or not setting.small
    ]
    rows = []
    for task, made, error in spread_over(largest, tasks, setting):
        rows += made or []
        if error:
            reasons.append(f"{task[1]}{' in TF32' if task[3] else ''}: {error}")
        print(task[1], "TF32" if task[3] else "", error or f"{len(made)} rows", flush=True)
        yield {"rows": rows}, reasons
    rows += half_precision(setting.device)
    yield {"rows": rows}, reasons


def largest(problem_set, name, seeds, rounded, device):
    """Return the rows of one exercise.

    Args:
        problem_set, name: of the exercise.
        seeds: how many.
        rounded: whether TF32 is allowed.
        device: where the solutions run.
    """
    torch.backends.cuda.matmul.allow_tf32 = rounded
    torch.backends.cudnn.allow_tf32 = rounded
    found = spread(load(problem_set)[name], correct(problem_set)[name], range(seeds), device)
    if rounded:
        found = [each for each in found if each.dtype == "float32"]
    worst = {}
    for each in found:
        key = each.label, "TF32" if rounded else each.dtype, each.tolerance
        worst[key] = max(worst.get(key, 0.0), each.size)
    return [_row(name, *key, size) for key, size in worst.items()]


def _row(name, label, precision, tolerance, size):
    # Two digits say it: a new run then shows what has changed.
    size = float(f"{size:.2g}")
    return {
        "exercise": name,
        "label": label,
        "precision": precision,
        "tolerance": tolerance,
        "spread": size,
    }


def half_precision(device):
    """Return the row of the layers of set 4 in float16: y of one step in training."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(1, 2, (16, 4, 6, 6))).half()
    zeros, ones = np.zeros(4), np.ones(4)
    want, *_ = layers.layer_training_step(
        x.double().numpy(), ones, zeros, zeros, ones, new_weight=0.1, eps=1e-5
    )
    size = 0.0
    for layer in correct("ps4_pytorch")["BatchNorm"]:
        y = layer(4).to(device)(x.to(device))
        if y.dtype != torch.float16:
            raise TypeError(f"y must be in float16, as x is. Received: {y.dtype}")
        off = np.abs(y.detach().cpu().double().numpy() - want).max() / np.abs(want).max()
        size = max(size, float(off))
    return [_row("BatchNorm", "y", "float16", TOLERANCE["bfloat16"], size)]
