"""What batch norm costs: time against that of a copy, memory kept for the backward pass, folding.

A row of "training" is one forward, or one backward pass from a gradient that arrives; of "memory",
the bytes beyond those of the inputs that are there after the forward pass ("forward": kept for the
backward pass, the output among them) and at the most in both passes ("backward"). A "copy" reads
each byte of x and writes it; its bytes are both. A way that torch does not take for a shape has no
row: cuDNN gets images only.
"""

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from on_gpu.timing import METHOD, Timer
from on_gpu.ways import EPS, ways

SHAPES = ((256, 64), (256, 1024), (64, 64, 56, 56), (256, 128, 28, 28), (256, 256, 56, 56))
SMALL = ((8, 4, 6, 6),)
DTYPES = (torch.float32, torch.bfloat16)
# Normwise, against the equation in float64: a way that is wrong is not worth timing.
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2}


def part(setting):
    """Yield the rows, as they grow."""
    time = _timer(setting)
    backend = "aot_eager" if setting.small else "inductor"
    print(METHOD[setting.device], flush=True)
    rows, reasons = [], []
    for dtype in DTYPES:
        for shape in SMALL if setting.small else SHAPES:
            _empty_cache(setting.device)
            for make in (copies, layers, folding):
                try:
                    for row in make(shape, dtype, setting.device, time, backend):
                        rows.append({"shape": list(shape), "dtype": _name(dtype), **row})
                        _say(rows[-1])
                except Exception as error:
                    line = str(error).strip().splitlines()[:1]
                    reasons.append(f"{make.__name__} at {shape} in {_name(dtype)}: {line}"[:300])
                    print(reasons[-1], flush=True)
                yield rows, reasons


def _timer(setting):
    if setting.small:
        return Timer(setting.device, repeats=2, warm=1, flush=1)
    return Timer(setting.device, *((30, 5) if setting.device == "cuda" else (5, 1)))


def _name(dtype):
    return str(dtype).removeprefix("torch.")


def _empty_cache(device):
    if device == "cuda":
        torch.cuda.empty_cache()


def _say(row):
    size = f"{1e6 * row['seconds']:.1f} us" if "seconds" in row else f"{row['bytes'] / 1e6:.1f} MB"
    words = (row["dtype"], row["what"], row["how"], row["direction"], size)
    print(*row["shape"], *words, flush=True)


def copies(shape, dtype, device, time, backend):
    """Yield the row of a copy."""
    x = torch.randn(shape, device=device).to(dtype)
    y = torch.empty_like(x)
    found = time(lambda: (), lambda: y.copy_(x))
    yield {"what": "copy", "how": "copy", "direction": "", "bytes": 2 * x.nbytes, **found}


def layers(shape, dtype, device, time, backend):
    """Yield the rows of the layer: in training, at inference and its memory, for each way."""
    arguments = _arguments(shape, dtype, device)
    x, weight, bias, *_ = arguments
    dy = torch.randn(shape, device=device).to(dtype)
    leaves = (x, weight, bias)
    with ways(backend, arguments) as found:
        for how, function in found.items():

            def forward(function=function):
                return function(*arguments, True)

            def backward(y):
                return torch.autograd.grad(y, leaves, dy)

            def inference(function=function):
                with torch.no_grad():
                    return function(*arguments, False)

            _require_right(forward, backward, arguments, dy, how)
            timed = {
                ("training", "forward"): time(lambda: (), forward),
                ("training", "backward"): time(lambda forward=forward: (forward(),), backward),
                ("inference", "forward"): time(lambda: (), inference),
            }
            for (what, direction), seconds in timed.items():
                yield {"what": what, "how": how, "direction": direction, **seconds}
            for direction, size in _memory(forward, backward, leaves, device).items():
                yield {"what": "memory", "how": how, "direction": direction, "bytes": size}


def _arguments(shape, dtype, device):
    generator = torch.Generator(device).manual_seed(0)

    def drawn(*size):
        return torch.randn(size, device=device, generator=generator)

    x = (3 + 2 * drawn(*shape)).to(dtype).requires_grad_()
    weight, bias = (1 + drawn(shape[1]) / 4).requires_grad_(), drawn(shape[1]).requires_grad_()
    return (
        x,
        weight,
        bias,
        torch.zeros(shape[1], device=device),
        torch.ones(shape[1], device=device),
    )


def _require_right(forward, backward, arguments, dy, how):
    """Raise unless y and the gradients are those of the equation, computed one channel alone."""
    x, weight, bias, *_ = arguments
    y = forward()
    made = (y.detach(), *backward(y))
    one = slice(0, 1)
    exact = [
        each.detach()[:, one].double().requires_grad_()
        if each is x
        else each.detach()[one].double().requires_grad_()
        for each in (x, weight, bias)
    ]
    statistics = [torch.zeros_like(exact[1]).detach(), torch.ones_like(exact[1]).detach()]
    y_exact = _in_float64(*exact, *statistics)
    want = (y_exact.detach(), *torch.autograd.grad(y_exact, exact, dy[:, one].double()))
    for label, got, true in zip(("y", "dx", "dweight", "dbias"), made, want, strict=True):
        part = got[:, one] if got.dim() > 1 else got[one]
        error = ((part.double() - true).abs().max() / true.abs().max()).item()
        if not error <= _TOLERANCE[x.dtype]:
            raise ValueError(f"{how}: {label} must be that of the equation. It is off by {error:g}")


def _in_float64(x, weight, bias, running_mean, running_var):
    axes, shape = [axis for axis in range(x.dim()) if axis != 1], [1, -1] + [1] * (x.dim() - 2)
    mean = x.mean(axes).view(shape)
    var = ((x - mean) ** 2).mean(axes).view(shape)
    return weight.view(shape) * (x - mean) / torch.sqrt(var + EPS) + bias.view(shape)


def _memory(forward, backward, leaves, device):
    """Return the bytes that are there after the forward pass, and at the most in both."""
    return _on_gpu(forward, backward) if device == "cuda" else _saved(forward, leaves)


def _on_gpu(forward, backward):
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    y = forward()
    kept = torch.cuda.memory_allocated() - before
    gradients = backward(y)
    peak = torch.cuda.max_memory_allocated() - before
    del y, gradients
    return {"forward": kept, "backward": peak}


def _saved(forward, leaves):
    """Return the bytes of the output and of what autograd keeps; there is no peak to be read."""
    storages = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = forward()
    keep(y)
    inputs = {leaf.untyped_storage().data_ptr() for leaf in leaves}
    return {"forward": sum(size for at, size in storages.items() if at not in inputs)}


def folding(shape, dtype, device, time, backend):
    """Yield the rows of a 3 x 3 convolution and its batch norm at inference, two layers and one."""
    if len(shape) < 4:
        return
    channels = shape[1]
    x = torch.randn(shape, device=device).to(dtype)
    conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    norm = nn.BatchNorm2d(channels)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    nn.init.normal_(norm.running_mean)
    two = nn.Sequential(conv, norm).eval().to(device, dtype)
    one = fuse_conv_bn_eval(*two)
    for how, model in {"unfolded": two, "folded": one}.items():

        def run(model=model):
            with torch.no_grad():
                return model(x)

        yield {"what": "inference", "how": how, "direction": "forward", **time(lambda: (), run)}
