"""What torch can do with the layer of set 4 on a device: each thing right or wrong, with a number.

The layer is the right solution that the known mistakes of BatchNorm are slips of. A number is a
normwise relative difference; "limit" is the largest that counts as right.
"""

import copy

import numpy as np
import torch

from bncourse.exercises.ps4_pytorch.layer_mistakes import BatchNorm
from bncourse.exercises.torch_drive import TOLERANCE
from bncourse.reference import layers

_SHAPE = (16, 8, 12, 12)
_ROUNDING = 1e-5
# As the check of BatchNorm has it.
_STATISTICS = 2e-5


def part(setting):
    """Yield {feature: row}, as they grow."""
    features = {
        "deepcopy": copied,
        "as torch's own layer": as_torch,
        "channels_last": channels_last,
        "autocast to bfloat16": lambda device, small: autocast(device, torch.bfloat16),
        "autocast to float16": lambda device, small: autocast(device, torch.float16),
        "torch.compile": compiled,
        "torch.compile, the second batch of another size": compiled_again,
    }
    value, reasons = {}, []
    for name, measure in features.items():
        try:
            number, limit, says = measure(setting.device, setting.small)
            right = number is not None and number <= limit and not says
            value[name] = {"right": right, "number": number, "limit": limit, "says": says}
        except Exception as error:
            text = f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}"[:300]
            value[name] = {"right": False, "number": None, "limit": None, "says": text}
        print(name, value[name], flush=True)
        yield value, reasons


def batch(device, seed=0, count=_SHAPE[0]):
    """Return a batch of images, the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    return (1 + 2 * torch.randn((count, *_SHAPE[1:]), generator=generator)).to(device)


def difference(got, want):
    """Return how far one tensor is off another, against the largest value of that."""
    got, want = got.detach().double().cpu(), want.detach().double().cpu()
    return ((got - want).abs().max() / want.abs().max()).item()


def trained(layer, x):
    """Return y, dx, dweight, dbias and the running statistics of one step in training."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y = layer(x)
    dy = torch.empty_like(y).copy_(batch(x.device, 9, len(x)))
    gradients = torch.autograd.grad(y, (x, layer.weight, layer.bias), dy)
    return y, *gradients, layer.running_mean, layer.running_var


def largest(made, wanted):
    """Return the largest difference of several tensors."""
    return max(difference(got, want) for got, want in zip(made, wanted, strict=True))


def copied(device, small):
    """A copy after a step goes on as the original does, and apart from it."""
    layer = BatchNorm(_SHAPE[1]).to(device)
    trained(layer, batch(device))
    other = copy.deepcopy(layer)
    apart = layer.running_mean.clone()
    made = trained(other, batch(device, 1))
    says = "" if torch.equal(apart, layer.running_mean) else "the copy trains the original"
    return largest(made, trained(layer, batch(device, 1))), 0.0, says


def as_torch(device, small):
    """The layer does what torch's own does, which takes cuDNN where there is one."""
    own = torch.nn.BatchNorm2d(_SHAPE[1]).to(device)
    mine = BatchNorm(_SHAPE[1]).to(device)
    return largest(trained(mine, batch(device)), trained(own, batch(device))), _ROUNDING, ""


def channels_last(device, small):
    """The memory format comes through, and no value changes."""
    one, other = (BatchNorm(_SHAPE[1]).to(device) for _ in range(2))
    made = trained(one, batch(device).to(memory_format=torch.channels_last))
    kept = all(each.is_contiguous(memory_format=torch.channels_last) for each in made[:2])
    says = "" if kept else "y or dx is not in channels_last"
    return largest(made, trained(other, batch(device))), _ROUNDING, says


def autocast(device, dtype):
    """Under autocast y has the type of x, and the statistics stay in float32."""
    layer = BatchNorm(_SHAPE[1]).to(device)
    x = batch(device).to(dtype)
    with torch.autocast(device, dtype=dtype):
        y = layer(x)
    zeros, ones = np.zeros(_SHAPE[1]), np.ones(_SHAPE[1])
    want, mean, var = layers.layer_training_step(
        x.double().cpu().numpy(), ones, zeros, zeros, ones, new_weight=0.1, eps=1e-5
    )
    statistics = (layer.running_mean, layer.running_var)
    off = largest(statistics, (torch.from_numpy(mean), torch.from_numpy(var)))
    says = [f"y is in {y.dtype}"] if y.dtype != x.dtype else []
    says += [f"a statistic is in {s.dtype}" for s in statistics if s.dtype != torch.float32]
    says += [f"the running statistics are off by {off:.1e}"] if off > _STATISTICS else []
    return difference(y, torch.from_numpy(want)), TOLERANCE["bfloat16"], "; ".join(says)


def compiled(device, small, counts=(_SHAPE[0], _SHAPE[0])):
    """Compiled, the layer trains for two steps as it does without."""
    torch._dynamo.reset()
    plain, layer = (BatchNorm(_SHAPE[1]).to(device) for _ in range(2))
    fast = torch.compile(layer, backend="aot_eager" if small else "inductor")
    worst = 0.0
    for seed, count in enumerate(counts):
        made = trained(fast, batch(device, seed, count))
        worst = max(worst, largest(made, trained(plain, batch(device, seed, count))))
    return worst, _ROUNDING, ""


def compiled_again(device, small):
    """The same where the batches differ in size."""
    return compiled(device, small, (_SHAPE[0], _SHAPE[0] // 2))
