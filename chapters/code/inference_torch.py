"""The chapter on training and inference in PyTorch."""

import torch
from torch import nn


def predict(model, x):
    """Return the output by (F7), and leave the model's mode as it was.

    Args:
        model: a module.
        x: a batch of any size, one example too.
    """
    training = model.training
    model.eval()
    with torch.no_grad():
        y = model(x)
    model.train(training)
    return y


def like_keras(features):
    """Return a layer with the defaults of Keras, by (R7)."""
    return nn.BatchNorm1d(features, eps=1e-3, momentum=1 - 0.99)


def average_statistics(model, batches):
    """Replace running statistics by plain averages over the batches.

    Args:
        model: a module; its weights stay as they are.
        batches: a list of tensors of one size.
    """
    torch.optim.swa_utils.update_bn(batches, model)


def freeze_statistics(model):
    """Put batch norms into inference mode; gamma and beta still learn.

    Call it after each model.train(), which takes it back.
    """
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
