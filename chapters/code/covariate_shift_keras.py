"""The chapter on internal covariate shift, in Keras 3."""

import keras


def output_of(model, layer, x):
    """Return what one layer hands on; the model stays as it is.

    Args:
        model: a Sequential or functional model.
        layer: the name of one of its layers.
        x: a batch.
    """
    up_to = keras.Model(model.inputs[0], model.get_layer(layer).output)
    state = [weight.copy() for weight in model.get_weights()]
    output = up_to(x, training=True)
    model.set_weights(state)
    return output
