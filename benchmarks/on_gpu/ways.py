"""The ways to compute batch norm that are timed against each other, under one signature."""

import contextlib

import torch
from torch.nn import functional

EPS, MOMENTUM = 1e-5, 0.1


def written_out(x, weight, bias, running_mean, running_var, training):
    """Return batch norm as one writes its equation first; (F1) to (F4), any rank.

    Args:
        x: the input, (N, D) or (N, C, H, W).
        weight, bias, running_mean, running_var: of shape (D,) or (C,), in float32.
        training: whether to normalise with the batch, and to update the running statistics
            (PyTorch's momentum, the unbiased variance).
    """
    axes = [axis for axis in range(x.dim()) if axis != 1]
    shape = [1, -1] + [1] * (x.dim() - 2)
    values = x.float()
    if training:
        count = x.numel() // x.shape[1]
        mean = values.mean(axes)
        var = ((values - mean.view(shape)) ** 2).mean(axes)
        with torch.no_grad():
            running_mean.lerp_(mean, MOMENTUM)
            running_var.lerp_(var * count / (count - 1), MOMENTUM)
    else:
        mean, var = running_mean, running_var
    x_hat = (values - mean.view(shape)) / torch.sqrt(var.view(shape) + EPS)
    y = weight.view(shape) * x_hat + bias.view(shape)
    return y.to(x.dtype)


def eager(x, weight, bias, running_mean, running_var, training):
    """Return torch's own batch norm by its own kernels, without cuDNN."""
    with torch.backends.cudnn.flags(enabled=False):
        return _native(x, weight, bias, running_mean, running_var, training)


def _native(x, weight, bias, running_mean, running_var, training):
    return functional.batch_norm(
        x, running_mean, running_var, weight, bias, training, MOMENTUM, EPS
    )


def compiled(backend):
    """Return the equation as written out, compiled for one shape."""
    return torch.compile(written_out, dynamic=False, fullgraph=True, backend=backend)


def takes_cudnn(x, weight, bias, running_mean, running_var):
    """Return whether torch hands this batch to cuDNN: it does so for some shapes and types only."""
    y = _native(x, weight, bias, running_mean, running_var, True)
    return "Cudnn" in y.grad_fn.name()


@contextlib.contextmanager
def ways(backend, arguments):
    """Yield {name: function} of all ways that there are for these arguments.

    Args:
        backend: of torch.compile.
        arguments: x, weight, bias and the running statistics.
    """
    torch._dynamo.reset()
    found = {"written out": written_out, "eager": eager}
    if takes_cudnn(*arguments):
        found["cudnn"] = _native
    yield found | {"compiled": compiled(backend)}
    torch._dynamo.reset()
