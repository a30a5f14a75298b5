"""The chapter on checking a gradient in Keras 3."""

import keras
from keras import ops


@keras.ops.custom_gradient
def centre(x):
    """Subtract the mean of each feature: a backward pass by hand."""

    def backward(*args, upstream=None):
        # PyTorch hands dy over as upstream, TensorFlow and JAX as argument.
        dy = args[0] if upstream is None else upstream
        return dy - ops.mean(dy, axis=0)

    return x - ops.mean(x, axis=0), backward


def slope_along(function, x, direction, h=1e-2):
    """Return the central difference (B1) of a number along one direction.

    It must equal <dx, direction>. Two calls test all of dx at once.

    Args:
        function: of one tensor; returns a number.
        x, direction: tensors of one shape.
        h: the step, in the units of x; large, for float32.
    """
    above, below = function(x + h * direction), function(x - h * direction)
    return (above - below) / (2 * h)
