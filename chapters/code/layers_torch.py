"""The chapter on layers in PyTorch."""

import torch
from torch import nn


def with_every_option(channels):
    """Return a layer for images."""
    return nn.BatchNorm2d(
        channels,
        eps=1e-5,
        momentum=0.1,  # weight of the new value
        affine=True,  # False: no gamma, no beta
        track_running_stats=True,  # False: no memory
        device=None,
        dtype=None,
        bias=True,  # False: no beta
    )


def best_device():
    """Return the GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def forward_in_bfloat16(model, x):
    """Return the output; products in bfloat16, state in float32."""
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        return model(x)


def freeze_batch_norm(model):
    """Let the batch norms use, and keep, their running statistics.

    Call it after each model.train(), which undoes it.
    """
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
            module.requires_grad_(False)
    return model


def save(model, path):
    """Write parameters and buffers, as tensors and nothing else."""
    torch.save(model.state_dict(), path)


def load(model, path):
    """Fill a model of the same structure with what save wrote."""
    # weights_only: a file from elsewhere must not run code.
    state = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(state)
    return model


def from_keras(layer):
    """Return a PyTorch layer with what a Keras layer holds, (L8).

    Args:
        layer: a built BatchNormalization with center and scale.
    """
    gamma, beta, mean, var = map(torch.tensor, layer.get_weights())
    new = nn.BatchNorm2d(len(gamma))
    new.eps, new.momentum = layer.epsilon, 1 - layer.momentum
    state = {"weight": gamma, "bias": beta}
    state |= {"running_mean": mean, "running_var": var}
    new.load_state_dict(new.state_dict() | state)
    return new.eval()
