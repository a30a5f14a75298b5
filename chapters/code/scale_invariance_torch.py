"""The chapter on scale invariance, in PyTorch."""

import torch


def optimizer_for(model, lr, decay):
    """Return gradient descent whose weight decay leaves out scales and biases.

    Args:
        model: any module; its weight matrices and kernels have two or more axes.
        lr: learning rate.
        decay: weight decay of the others.
    """
    parameters = list(model.parameters())
    weights = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=lr)
