"""Plain stochastic gradient descent, as a stream of steps that probes can listen to."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]
Batch = tuple[Tensor, Tensor]


def sgd_steps(
    model: nn.Module, batches: Iterable[Batch], loss_fn: Loss, lr: float
) -> Iterator[float]:
    """Take one step on each batch, and yield the loss before it.

    Nothing happens until the next loss is asked for, so whoever iterates can look at the model
    between two steps.

    Args:
        model: trained in place, in the mode it is in.
        batches: pairs of inputs and targets.
        loss_fn: of outputs and targets, a scalar.
        lr: learning rate.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for x, y in batches:
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the share of examples classified correctly, in inference mode.

    Args:
        model: left in the mode it was in.
        x: inputs.
        y: (N,) labels.
    """
    training = model.training
    model.eval()
    with torch.no_grad():
        right = (model(x).argmax(dim=1) == y).float().mean().item()
    model.train(training)
    return right
