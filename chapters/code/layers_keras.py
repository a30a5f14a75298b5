"""The chapter on layers in Keras 3."""

import keras


def with_every_option():
    """Return a layer; its features are counted at the first call."""
    return keras.layers.BatchNormalization(
        axis=-1,  # of the channels
        momentum=0.99,  # weight of the old value
        epsilon=1e-3,
        center=True,  # False: no beta
        scale=True,  # False: no gamma
        renorm=False,  # True: batch renormalization
        synchronized=False,  # True: one batch on all devices
        dtype=None,  # or a policy, such as "mixed_bfloat16"
    )


def dense_in_bfloat16(units):
    """Return two layers; products in bfloat16, state in float32."""
    return keras.Sequential(
        [
            keras.layers.Dense(units, use_bias=False, dtype="mixed_bfloat16"),
            keras.layers.BatchNormalization(dtype="mixed_bfloat16"),
        ]
    )


def freeze_batch_norm(model):
    """Let the batch norms use, and keep, their moving statistics."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return model


def save(model, path):
    """Write structure, weights and state into a .keras file."""
    model.save(path)


def load(path):
    """Return the model that save wrote."""
    return keras.saving.load_model(path)


def from_torch(layer, shape):
    """Return a Keras layer with what a PyTorch layer holds, (L8).

    Args:
        layer: with weight and bias.
        shape: of the input, channels last, such as (None, 8, 8, 3).
    """
    new = keras.layers.BatchNormalization(
        epsilon=layer.eps,
        momentum=1 - layer.momentum,
    )
    new.build(shape)
    state = [layer.weight, layer.bias]
    state += [layer.running_mean, layer.running_var]
    new.set_weights([tensor.numpy(force=True) for tensor in state])
    return new
