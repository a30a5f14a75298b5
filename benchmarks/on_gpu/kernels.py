"""The kernels of set 9: their time against that of a copy, and whether a check says the same.

A row is one forward or one backward pass, of right solutions with one program a channel and of two
launches with several ("split"). Each is timed at the best of a few widths, which the row names.
On a processor Triton interprets, and the times say nothing.
"""

import contextlib
import time

import torch

from bncourse.exercises.ps9_triton.launch import interpreting
from bncourse.registry import load
from on_gpu import checks, fused
from on_gpu.measurements import copies
from on_gpu.timing import Timer
from on_gpu.workers import correct, spread_over

_SET = "ps9_triton"
# The largest first: what counts is there, should time run out.
SHAPES = ((256, 256, 56, 56), (64, 64, 56, 56))
SMALL = ((4, 2, 3, 2),)
# Lanes of a program, and groups of 32 threads that share them.
WIDTHS = ((1024, 4), (4096, 8), (8192, 16))
_SMALL_WIDTHS = ((8, 4),)
_EPS, _MOMENTUM = 1e-5, 0.1
# Normwise, against the equation in float64.
_TOLERANCE = 1e-3
# Solutions of one task of the check: each compiles its kernels.
_CHUNK = 5


def part(setting):
    """Yield {"measurements": rows, "checks": what was compared}, as they grow."""
    end = time.monotonic() + setting.seconds if setting.device == "cuda" else float("inf")
    value, reasons = {"measurements": [], "checks": checks.nothing()}, []
    with interpreting() if setting.device == "cpu" else contextlib.nullcontext():
        for shape in SMALL if setting.small else SHAPES:
            if time.monotonic() > end:
                reasons.append(f"no time was left for {shape}")
                continue
            try:
                for row in _rows(shape, setting):
                    value["measurements"].append({"shape": list(shape), "dtype": "float32", **row})
                    print(value["measurements"][-1], flush=True)
            except Exception as error:
                reasons.append(f"{shape}: {type(error).__name__}: {error}"[:300])
            yield value, reasons
    yield from _compared(setting, value, reasons)


def _compared(setting, value, reasons):
    tasks = [
        (_SET, name, 0, start, setting.device, setting.small, _CHUNK)
        for name, exercise in load(_SET).items()
        for start in range(0, len(correct(_SET)[name]) + len(exercise.mistakes), _CHUNK)
    ]
    for task, rows, error in spread_over(
        checks.compared, tasks[: 1 if setting.small else None], setting
    ):
        if error:
            reasons.append(f"{task[1]} from {task[3]}: {error}")
        else:
            checks.count(value["checks"], task[1], task[2], rows)
        print(f"{task[1]} from {task[3]}: {error or f'{len(rows)} rows'}", flush=True)
        yield value, reasons


def _rows(shape, setting):
    """Yield the rows of one shape: the copy, then each way forward and backward."""
    quick, timer = _timers(setting)
    yield from copies(shape, torch.float32, setting.device, timer, None)
    tensors, sizes = _tensors(shape, setting.device)
    widths = _SMALL_WIDTHS if setting.small else WIDTHS
    for direction, ways in _ways(tensors, sizes).items():
        for how, run in ways.items():
            width = _best(run, widths, quick)
            _forget(tensors)
            run(*width)
            _require_right(tensors, direction, how)
            found = timer(lambda: (), lambda run=run, width=width: run(*width))
            row = {"what": "training", "how": how, "direction": direction}
            yield row | {"block": width[0], "warps": width[1], **found}


def _timers(setting):
    """Return one to choose a width by, and one to measure with."""
    if setting.small or setting.device == "cpu":
        return (Timer(setting.device, repeats=1, warm=0, flush=1),) * 2
    return Timer(setting.device, repeats=5, warm=2), Timer(setting.device, repeats=30, warm=5)


def _tensors(shape, device):
    generator = torch.Generator(device).manual_seed(0)

    def drawn(*size):
        return torch.randn(size, device=device, generator=generator)

    channels = shape[1]
    x = 3 + 2 * drawn(*shape)
    of_channels = {
        "gamma": 1 + drawn(channels) / 4,
        "beta": drawn(channels),
        "running_mean": torch.zeros(channels, device=device),
        "running_var": torch.ones(channels, device=device),
        **{name: drawn(channels) for name in ("mean", "inv_std", "dgamma", "dbeta")},
    }
    made = {"x": x, "dy": drawn(*shape), "y": torch.empty_like(x), "dx": torch.empty_like(x)}
    places = x[0, 0].numel()
    return made | of_channels, {"n": shape[0] * places, "C": channels, "HW": places}


def _forget(tensors):
    """Leave nothing of an earlier launch where a result is to come."""
    for name in ("y", "dx", "dgamma", "dbeta"):
        tensors[name].fill_(float("nan"))


_FORWARD = ("x", "gamma", "beta", "running_mean", "running_var", "y", "mean", "inv_std")
_BACKWARD = ("dy", "x", "gamma", "mean", "inv_std", "dx", "dgamma", "dbeta")


def _ways(tensors, sizes):
    """Return {direction: {way: function of (block, warps)}}; backward reads what forward left."""
    forward = {name: tensors[name] for name in _FORWARD}
    backward = {name: tensors[name] for name in _BACKWARD}
    numbers = {"momentum": _MOMENTUM, "eps": _EPS}

    def split_forward(block, warps):
        fused.forward(forward, sizes, _MOMENTUM, _EPS, block, warps)

    def split_backward(block, warps):
        fused.backward(backward, sizes, block, warps)

    right = correct(_SET)
    own = {
        "forward": _alone(right["batchnorm_forward_kernel"], forward, sizes | numbers),
        "backward": _alone(right["batchnorm_backward_kernel"], backward, sizes),
    }
    return {
        "forward": {"split": split_forward} | own["forward"],
        "backward": {"split": split_backward} | own["backward"],
    }


def _alone(kernels, tensors, numbers):
    """Return {way: function} of kernels that are launched with one program a channel."""
    pointers = {f"{name}_ptr": tensor for name, tensor in tensors.items()}

    def launched(kernel):
        def run(block, warps):
            kernel[numbers["C"],](**pointers, **numbers, BLOCK=block, num_warps=warps)

        return run

    return {kernel.__name__: launched(kernel) for kernel in kernels}


def _best(run, widths, quick):
    """Return the width at which a kernel is fastest."""
    if len(widths) == 1:
        return widths[0]
    return min(widths, key=lambda width: quick(lambda: (), lambda: run(*width))["seconds"])


def _require_right(tensors, direction, how):
    """Raise unless the results are those of the equation, computed for the last channel alone."""
    x, dy = (tensors[name][:, -1].double() for name in ("x", "dy"))
    gamma, beta = (tensors[name][-1].double() for name in ("gamma", "beta"))
    mean, var = x.mean(), x.var(correction=0)
    x_hat = (x - mean) / torch.sqrt(var + _EPS)
    dbeta, dgamma = dy.sum(), (dy * x_hat).sum()
    dx = gamma / torch.sqrt(var + _EPS) * (dy - (dbeta + x_hat * dgamma) / x.numel())
    want = {
        "forward": {"y": gamma * x_hat + beta, "mean": mean},
        "backward": {"dx": dx, "dgamma": dgamma, "dbeta": dbeta},
    }
    for name, true in want[direction].items():
        made = tensors[name]
        got = made[:, -1] if made.dim() > 1 else made[-1]
        error = ((got.double() - true).abs().max() / true.abs().max()).item()
        if not error <= _TOLERANCE:
            raise ValueError(f"{how}: {name} must be that of the equation. It is off by {error:g}")
