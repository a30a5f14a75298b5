"""The chapter on training and inference in Keras 3."""

import keras


def predict(model, x):
    """Return the output by (F7).

    Args:
        model: a model or a layer.
        x: a batch of any size, one example too.
    """
    return model(x, training=False)


def like_torch():
    """Return a layer with the defaults of PyTorch, by (R7)."""
    return keras.layers.BatchNormalization(epsilon=1e-5, momentum=1 - 0.1)


def average_statistics(model, batches):
    """Replace moving statistics by plain averages over the batches.

    Args:
        model: a model with its batch norms in model.layers; its weights
            stay as they are.
        batches: arrays of one size.
    """
    batch_norm = keras.layers.BatchNormalization
    norms = [layer for layer in model.layers if isinstance(layer, batch_norm)]
    momenta = [norm.momentum for norm in norms]
    for seen, x in enumerate(batches):
        for norm in norms:
            # The new batch gets the weight 1 / (seen + 1).
            norm.momentum = seen / (seen + 1)
        model(x, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def freeze(model):
    """Put batch norms into inference mode; gamma and beta are frozen too.

    To let gamma and beta learn, leave the layer trainable and call it
    with training=False.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
