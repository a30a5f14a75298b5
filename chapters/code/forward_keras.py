"""The forward chapter in Keras 3."""

import keras


def training_output(x, gamma, beta, eps=1e-5):
    """Return y of (F4), with the statistics of this batch.

    Args:
        x: (N, D) array.
        gamma, beta: (D,) arrays.
        eps: added to the variance.
    """
    layer = keras.layers.BatchNormalization(epsilon=eps)
    layer.build(x.shape)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    return layer(x, training=True)


def hidden_layer(in_features, out_features):
    """Return one hidden layer; by (F5) its linear map needs no bias."""
    return keras.Sequential(
        [
            keras.Input((in_features,)),
            keras.layers.Dense(out_features, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.Activation("sigmoid"),
        ]
    )


def running_statistics(batches, momentum=0.9):
    """Return the moving mean and variance after some batches.

    They differ from (F6) twice: momentum weighs the old value, and
    the variance is biased.

    Args:
        batches: (N, D) arrays.
        momentum: the weight of the old value.
    """
    layer = keras.layers.BatchNormalization(momentum=momentum)
    for x in batches:
        layer(x, training=True)
    return layer.moving_mean, layer.moving_variance


def inference_output(x, gamma, beta, running_mean, running_var, eps=1e-5):
    """Return y of (F7), with the running statistics.

    Args:
        x: (N, D) array; N may be 1.
        gamma, beta, running_mean, running_var: (D,) arrays.
        eps: added to the variance.
    """
    layer = keras.layers.BatchNormalization(epsilon=eps)
    layer.build(x.shape)
    layer.set_weights([gamma, beta, running_mean, running_var])
    return layer(x, training=False)
