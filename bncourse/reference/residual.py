"""Residual networks: maps with their backward pass, and training by gradient descent.

A map takes x to a pair: its output, and ``backward``, which takes the gradient of the output to the
gradient of x and a tuple with that of each parameter, in order.
"""

import numpy as np

from bncourse.reference.backward import batchnorm_backward
from bncourse.reference.forward import batchnorm_forward


def linear_map(weight, bias=None):
    """Return the map y = x W^T + b, as torch.nn.Linear stores it.

    Args:
        weight: (outputs, inputs) float array.
        bias: (outputs,) float array, or None.
    """

    def forward(x):
        def backward(dy):
            gradients = (dy.T @ x,) if bias is None else (dy.T @ x, dy.sum(axis=0))
            return dy @ weight, gradients

        return x @ weight.T + (0.0 if bias is None else bias), backward

    return forward


def rectified(x):
    """Apply max(x, 0) as a map; its slope at 0 is 0."""
    return np.maximum(x, 0.0), lambda dy: (dy * (x > 0), ())


def identity(x):
    """Hand x on, as a map."""
    return x, lambda dy: (dy, ())


def norm_of_batch(gamma, beta, eps=1e-5):
    """Return batch norm in training as a map: (F4) and (B7)."""

    def forward(x):
        y, cache = batchnorm_forward(x, gamma, beta, eps)

        def backward(dy):
            dx, dgamma, dbeta = batchnorm_backward(dy, cache)
            return dx, (dgamma, dbeta)

        return y, backward

    return forward


def centring(scale, shift):
    """Return the map y = scale (x - mean) + shift, with the mean of the batch."""

    def forward(x):
        centred = x - x.mean(axis=0)

        def backward(dy):
            dx = scale * (dy - dy.mean(axis=0))
            return dx, ((dy * centred).sum(axis=0), dy.sum(axis=0))

        return scale * centred + shift, backward

    return forward


def composed(*maps):
    """Return the maps one after the other, as a map."""

    def forward(x):
        backwards = []
        for each in maps:
            x, back = each(x)
            backwards.append(back)

        def backward(dy):
            gradients = ()
            for back in reversed(backwards):
                dy, own = back(dy)
                gradients = (*own, *gradients)
            return dy, gradients

        return x, backward

    return forward


def residual(branch):
    """Return the map y = x + branch(x).

    Source: he2016deep.
    """

    def forward(x):
        y, back = branch(x)

        def backward(dy):
            dx, gradients = back(dy)
            return dy + dx, gradients

        return x + y, backward

    return forward


def softmax_loss(logits, labels):
    """Return the mean cross-entropy of a batch, and its gradient with respect to the logits.

    Args:
        logits: (N, classes) float array.
        labels: (N,) whole numbers.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(labels))
    gradient = np.exp(logs)
    gradient[rows, labels] -= 1
    return -logs[rows, labels].mean(), gradient / len(labels)


def descend(build, parameters, batches, lr):
    r"""Train by plain gradient descent, and return the losses and the last parameters.

    (H8) theta <- theta - lr dL/dtheta, with the mean loss over the batch.

    Args:
        build: of the parameters, a map from x to logits; the gradients come in their order.
        parameters: list of float arrays.
        batches: pairs of x and labels, one for each step.
        lr: learning rate.

    Returns:
        The loss before each step, and the list of new arrays.
    """
    losses = []
    for x, labels in batches:
        logits, backward = build(*parameters)(x)
        loss, dlogits = softmax_loss(logits, labels)
        _, gradients = backward(dlogits)
        losses.append(loss)
        parameters = [p - lr * g for p, g in zip(parameters, gradients, strict=True)]
    return np.array(losses), parameters
