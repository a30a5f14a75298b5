"""The forward chapter in PyTorch."""

from torch import nn


def training_output(x, gamma, beta, eps=1e-5):
    """Return y of (F4), with the statistics of this batch.

    Args:
        x: (N, D) tensor.
        gamma, beta: (D,) tensors.
        eps: added to the variance.
    """
    return nn.functional.batch_norm(
        x,
        running_mean=None,
        running_var=None,
        weight=gamma,
        bias=beta,
        training=True,
        eps=eps,
    )


def hidden_layer(in_features, out_features):
    """Return one hidden layer; by (F5) its linear map needs no bias."""
    return nn.Sequential(
        nn.Linear(in_features, out_features, bias=False),
        nn.BatchNorm1d(out_features),
        nn.Sigmoid(),
    )


def running_statistics(batches, momentum=0.1):
    """Return the running mean and variance of (F6) after some batches.

    Args:
        batches: (N, D) tensors.
        momentum: the weight of the new value.
    """
    features = batches[0].shape[1]
    layer = nn.BatchNorm1d(features, momentum=momentum).to(batches[0])
    layer.train()
    for x in batches:
        layer(x)
    return layer.running_mean, layer.running_var


def inference_output(x, gamma, beta, running_mean, running_var, eps=1e-5):
    """Return y of (F7), with the running statistics.

    Args:
        x: (N, D) tensor; N may be 1.
        gamma, beta, running_mean, running_var: (D,) tensors.
        eps: added to the variance.
    """
    layer = nn.BatchNorm1d(len(gamma), eps=eps).to(x)
    state = layer.state_dict()
    state |= {"weight": gamma, "bias": beta}
    state |= {"running_mean": running_mean, "running_var": running_var}
    layer.load_state_dict(state)
    layer.eval()
    return layer(x)
