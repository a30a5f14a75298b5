"""The chapter that puts the shift on trial, in PyTorch."""

import torch


@torch.no_grad()
def normalize_once(model, x, eps=1e-5):
    """Fold the statistics of one batch into every linear layer but the last.

    Args:
        model: a Sequential without batch norm, whose linear layers have biases.
        x: a batch.
    """
    *hidden, _ = (part for part in model if isinstance(part, torch.nn.Linear))
    for part in model:
        if part in hidden:
            var, mean = torch.var_mean(part(x), dim=0, correction=0)
            std = (var + eps).sqrt()
            part.weight /= std[:, None]
            part.bias.copy_((part.bias - mean) / std)
        x = part(x)
