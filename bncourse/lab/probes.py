"""Measurements of a network. A probe changes nothing: no parameter, no buffer, no gradient."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from bncourse.lab.training import Loss

QUANTILES = (15, 50, 85)


def activation(model: nn.Module, layer: str, x: Tensor) -> Tensor:
    """Return what one layer hands on for the batch ``x``, in the mode the model is in.

    Args:
        model: any module.
        layer: the name of a part, as ``model.get_submodule`` knows it.
        x: inputs.
    """
    caught: list[Tensor] = []
    hook = model.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: caught.append(output)
    )
    try:
        with torch.no_grad():
            # Batch norm in training mode moves its running statistics; let it move copies.
            functional_call(model, _copies(model.named_buffers()), (x,))
    finally:
        hook.remove()
    return caught[0]


def activation_percentiles(
    model: nn.Module,
    layer: str,
    batches: Iterable[Tensor],
    q: Sequence[float] = QUANTILES,
    unit: int | None = None,
) -> np.ndarray:
    """Return percentiles of the output of one layer, one row for each batch.

    (S3) Q_p(t): the value below which p percent of the outputs lie at step t. The batches are
    taken one at a time, so a generator that trains the model before it yields gives the
    percentiles over the steps of training.

    Args:
        model: any module, measured in the mode it is in.
        layer: the name of a part, such as the one whose output enters a sigmoid.
        batches: inputs.
        q: percentiles between 0 and 100.
        unit: one column of the output; None pools all of them.

    Returns:
        A (steps, len(q)) array.

    Source: ioffe2015batch, figure 1.
    """
    rows = []
    for x in batches:
        values = activation(model, layer, x).numpy(force=True)
        rows.append(np.percentile(values if unit is None else values[:, unit], q))
    return np.array(rows)


def unit_percentiles(
    model: nn.Module, layer: str, x: Tensor, q: Sequence[float] = QUANTILES
) -> np.ndarray:
    """Return the percentiles (S3) of every unit of one layer, (len(q), units)."""
    return np.percentile(activation(model, layer, x).numpy(force=True), q, axis=0)


def percentile_drift(before: np.ndarray, after: np.ndarray) -> float:
    """Return how far percentiles have moved, on average.

    (S4) drift = mean over percentiles (and units, if there are several) of |after - before|.

    Args:
        before, after: percentiles in arrays of one shape, in the units of the activation.

    >>> percentile_drift(np.array([-1.0, 0.0, 1.0]), np.array([1.0, 2.0, 3.0]))
    2.0
    """
    return float(np.abs(after - before).mean())


def layer_parameters(model: nn.Module) -> list[list[str]]:
    """Return the names of the parameters of each layer, in order.

    A layer begins with a weight of two or more dimensions. The vectors after it, such as a bias
    or the gamma and beta of a batch norm, belong to it.

    >>> layer_parameters(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)))
    [['0.weight', '0.bias', '1.weight', '1.bias'], ['2.weight', '2.bias']]
    """
    layers: list[list[str]] = []
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2 or not layers:
            layers.append([])
        layers[-1].append(name)
    return layers


def gradient_pairs(
    model: nn.Module, loss_fn: Loss, x: Tensor, y: Tensor, lr: float
) -> list[tuple[Tensor, Tensor]]:
    """Return the gradient of each layer's weights before and after the earlier layers step.

    (S5) G_i at (W_1, ..., W_k), and G'_i at (W'_1, ..., W'_{i-1}, W_i, ..., W_k), both on the same
    batch, where W' = W - lr G is one step of gradient descent.

    Args:
        model: measured in the mode it is in.
        loss_fn: of outputs and targets, a scalar.
        x, y: one batch.
        lr: learning rate of the step.

    Returns:
        One pair of flat gradients for each layer of ``layer_parameters``, in order. The layer's
        vectors step with it, but the gradient is that of its weights.

    Source: santurkar2018how.
    """
    layers = layer_parameters(model)
    now = _copies(model.named_parameters())
    before = _gradients(model, now, loss_fn, x, y)
    stepped = {name: value - lr * before[name] for name, value in now.items()}
    pairs = []
    for depth, (weight, *_) in enumerate(layers):
        earlier = {name: stepped[name] for names in layers[:depth] for name in names}
        after = _gradients(model, {**now, **earlier}, loss_fn, x, y) if earlier else before
        pairs.append((before[weight].flatten(), after[weight].flatten()))
    return pairs


def internal_covariate_shift(
    model: nn.Module, loss_fn: Loss, x: Tensor, y: Tensor, lr: float
) -> np.ndarray:
    """Return ``|G_i - G'_i|`` for each layer, the length of the change of (S5).

    Arguments and source as in ``gradient_pairs``. The first layer has no earlier one: it gets 0.
    """
    pairs = gradient_pairs(model, loss_fn, x, y, lr)
    return np.array([(after - before).norm().item() for before, after in pairs])


def gradient_cosines(
    model: nn.Module, loss_fn: Loss, x: Tensor, y: Tensor, lr: float
) -> np.ndarray:
    """Return the cosine (S6) of the angle between G_i and G'_i for each layer.

    Arguments and source as in ``gradient_pairs``. The first layer gets 1.
    """
    pairs = gradient_pairs(model, loss_fn, x, y, lr)
    return np.array([torch.cosine_similarity(*pair, dim=0).item() for pair in pairs])


def _copies(named: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in named}


def _gradients(
    model: nn.Module, parameters: dict[str, Tensor], loss_fn: Loss, x: Tensor, y: Tensor
) -> dict[str, Tensor]:
    """Return the gradient of the loss at the given parameters."""
    leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    state = {**leaves, **_copies(model.named_buffers())}
    loss = loss_fn(functional_call(model, state, (x,)), y)
    return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
