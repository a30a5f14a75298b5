"""The chapter on scale invariance, in Keras 3."""

import keras


def optimizer_for(model, lr, decay):
    """Return gradient descent whose weight decay leaves out scales and biases.

    Args:
        model: built; its weight matrices and kernels have two or more axes.
        lr: learning rate.
        decay: weight decay of the others.
    """
    optimizer = keras.optimizers.SGD(lr, weight_decay=decay)
    others = [v for v in model.trainable_variables if len(v.shape) <= 1]
    optimizer.exclude_from_weight_decay(var_list=others)
    return optimizer
