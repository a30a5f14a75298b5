"""The chapter on when batch norm fails, in Keras 3."""

from keras import ops


def normalize_real(norm, x, real, training):
    """Normalise sequences of different length without their padding.

    Args:
        norm: a keras.layers.BatchNormalization.
        x: (N, T, C), padded at the end.
        real: (N, T), True where a step is no padding.
        training: whether to use the statistics of the batch.
    """
    # The mask keeps the padding out of the statistics.
    y = norm(x, training=training, mask=real)
    return ops.where(ops.expand_dims(real, -1), y, 0.0)
