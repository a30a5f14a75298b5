"""The chapter on the relatives of batch norm, in Keras 3."""

import keras


def ready_made(groups):
    """Return the norms that Keras has for images (N, H, W, C).

    Args:
        groups: of group norm, a divisor of C.
    """
    return {
        "batch": keras.layers.BatchNormalization(),
        "layer": keras.layers.GroupNormalization(groups=1),
        "instance": keras.layers.GroupNormalization(groups=-1),
        "group": keras.layers.GroupNormalization(groups=groups),
    }


class DyT(keras.layers.Layer):
    """Dynamic tanh: gamma tanh(alpha x) + beta, alpha learned.

    Args:
        alpha: at the start.
    """

    def __init__(self, alpha=0.5, **kwargs):
        super().__init__(**kwargs)
        self.start = alpha

    def build(self, shape):
        constant = keras.initializers.Constant(self.start)
        self.alpha = self.add_weight(shape=(), initializer=constant)
        self.gamma = self.add_weight(shape=shape[-1:], initializer="ones")
        self.beta = self.add_weight(shape=shape[-1:], initializer="zeros")

    def call(self, x):
        return self.gamma * keras.ops.tanh(self.alpha * x) + self.beta
