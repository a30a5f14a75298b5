"""The chapter on internal covariate shift, in PyTorch."""

import torch


def output_of(model, layer, x):
    """Return what one layer hands on; the model stays as it is.

    Args:
        model: in training mode, as the next layer would see it.
        layer: a part of the model, such as ``model[1]``.
        x: a batch.
    """
    caught = []

    def catch(layer, inputs, output):
        caught.append(output)

    hook = layer.register_forward_hook(catch)
    buffers = [buffer.clone() for buffer in model.buffers()]
    with torch.no_grad():
        model(x)
        for buffer, value in zip(model.buffers(), buffers, strict=True):
            buffer.copy_(value)
    hook.remove()
    return caught[0]
