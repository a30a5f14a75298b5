"""The chapter on depth, in Keras 3."""

from keras import layers


def block(x, width):
    """Return the output of a residual block that starts as the identity.

    Args:
        x: a tensor of a functional model, with ``width`` features.
        width: features, the same on both sides.
    """
    branch = layers.Dense(width, use_bias=False)(x)
    branch = layers.BatchNormalization()(branch)
    branch = layers.ReLU()(branch)
    branch = layers.Dense(width, use_bias=False)(branch)
    branch = layers.BatchNormalization(gamma_initializer="zeros")(branch)
    return layers.Add()([x, branch])
