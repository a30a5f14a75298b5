"""The chapter on the cost of batch norm, in Keras 3."""

import keras
from keras.layers import BatchNormalization


def recomputed(block, x):
    """Return block(x) in training; the backward pass runs it once more."""
    return keras.remat(lambda u: block(u, training=True))(x)


def mend_momentum(block):
    """Let two updates by one batch count as one, (Y6)."""
    for norm in block.layers:
        if isinstance(norm, BatchNormalization):
            # Keras's momentum is the weight of the old value.
            norm.momentum = norm.momentum**0.5


def synchronised(axis=-1):
    """Return a layer with the statistics of all workers; TensorFlow only."""
    return BatchNormalization(axis=axis, synchronized=True)
