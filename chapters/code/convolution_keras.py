"""The chapter on convolutions in Keras 3."""

import keras
from keras import layers


def conv_block(out_channels):
    """Return convolution, batch norm and ReLU; no bias, by (F5)."""
    return keras.Sequential(
        [
            layers.Conv2D(out_channels, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
        ]
    )


def residual_block(x):
    """Return two convolutions beside a shortcut; the last gamma starts at 0.

    Args:
        x: (N, H, W, C), a tensor or a keras.Input.
    """
    channels = x.shape[-1]
    branch = layers.Conv2D(channels, 3, padding="same", use_bias=False)(x)
    branch = layers.BatchNormalization()(branch)
    branch = layers.Activation("relu")(branch)
    branch = layers.Conv2D(channels, 3, padding="same", use_bias=False)(branch)
    branch = layers.BatchNormalization(gamma_initializer="zeros")(branch)
    return layers.Activation("relu")(layers.Add()([x, branch]))


def relatives(groups, epsilon=1e-3):
    """Return four layers for (N, H, W, C); gamma per channel."""
    return {
        "batch norm": layers.BatchNormalization(epsilon=epsilon),
        "layer norm": layers.GroupNormalization(groups=1, epsilon=epsilon),
        "instance norm": layers.GroupNormalization(groups=-1, epsilon=epsilon),
        "group norm": layers.GroupNormalization(groups=groups, epsilon=epsilon),
    }


def channels_first(images):
    """Return the training output for NCHW: name the channel axis.

    Args:
        images: (N, C, H, W) array.
    """
    return layers.BatchNormalization(axis=1)(images, training=True)
