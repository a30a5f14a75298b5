"""The chapter on why to normalise, in Keras 3."""

import keras


def standardised_inputs(train, test):
    """Return both parts, standardised with the statistics of the training part.

    Args:
        train, test: (N, D) arrays; no column of ``train`` is constant.
    """
    layer = keras.layers.Normalization(axis=-1)
    layer.adapt(train)
    return layer(train), layer(test)


def centre_inside(x):
    """Return x centred; the gradient flows through the mean too, as in (W11)."""
    return x - keras.ops.mean(x, axis=0)


def centre_outside(x):
    """Return x centred; the gradient believes that the mean is a constant. A mistake."""
    return x - keras.ops.stop_gradient(keras.ops.mean(x, axis=0))
