"""Networks of the experiments, with and without batch norm."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn


def mlp(
    sizes: Sequence[int],
    activation: Callable[[], nn.Module] = nn.Sigmoid,
    norm: Callable[[int], nn.Module] | None = None,
    std: float | None = None,
    seed: int = 0,
) -> nn.Sequential:
    """Return a multilayer perceptron whose parts have names.

    Hidden layer 2 is ``linear2``, ``norm2`` (where there is one) and ``activation2``; the last
    linear map has no norm and no activation. A hidden layer with a norm has no bias, by (F5).

    Args:
        sizes: width of the input, of each hidden layer, and of the output.
        activation: makes an activation function.
        norm: makes a normalisation of the given width, such as ``nn.BatchNorm1d``.
        std: standard deviation of the weights; None takes 1 / sqrt(inputs) for each layer.
        seed: of the weights.

    >>> [name for name, _ in mlp([64, 100, 10], norm=nn.BatchNorm1d).named_children()]
    ['linear1', 'norm1', 'activation1', 'linear2']
    """
    generator = torch.Generator().manual_seed(seed)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for depth, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        hidden = depth < len(sizes) - 1
        bias = not (hidden and norm)
        layers[f"linear{depth}"] = _linear(inputs, outputs, bias, std, generator)
        if hidden and norm:
            layers[f"norm{depth}"] = norm(outputs)
        if hidden:
            layers[f"activation{depth}"] = activation()
    return nn.Sequential(layers)


def _linear(
    inputs: int, outputs: int, bias: bool, std: float | None, generator: torch.Generator
) -> nn.Linear:
    # skip_init: the usual constructor would draw from the global random state.
    linear = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias)
    with torch.no_grad():
        linear.weight.normal_(0, inputs**-0.5 if std is None else std, generator=generator)
        if bias:
            linear.bias.zero_()
    return linear


def before_activation(model: nn.Module, depth: int) -> str:
    """Return the name of the part whose output enters activation ``depth``.

    >>> before_activation(mlp([4, 3, 3, 2], norm=nn.BatchNorm1d), 2)
    'norm2'
    >>> before_activation(mlp([4, 3, 3, 2]), 2)
    'linear2'
    """
    norm = f"norm{depth}"
    return norm if norm in dict(model.named_children()) else f"linear{depth}"
