"""A published comparison, in our words and as short as it goes, and its repair, in Keras 3."""

import keras
from keras import layers


def published(batch_norm, inputs=784):
    """Return what the flag builds; it is meant to add batch norm."""
    model = keras.Sequential([keras.Input((inputs,))])
    model.add(layers.Dense(128, activation="relu"))
    if batch_norm:
        model.add(layers.Dense(10, activation="softmax"))
    return model


def repaired(batch_norm, inputs=784):
    """Return a classifier with an output layer in any case."""
    model = keras.Sequential([keras.Input((inputs,))])
    model.add(layers.Dense(128, use_bias=not batch_norm))
    if batch_norm:
        model.add(layers.BatchNormalization())
    model.add(layers.ReLU())
    model.add(layers.Dense(10, activation="softmax"))
    return model


def four_losses(build, x, y, epochs=10, lr=0.001):
    """Return training and validation losses, with the flag off and on."""
    found = {}
    for flag in (False, True):
        model = build(flag, x.shape[1])
        optimizer = keras.optimizers.Adam(lr)
        model.compile(optimizer, "sparse_categorical_crossentropy")
        fitted = model.fit(x, y, epochs=epochs, validation_split=0.2, verbose=0)
        found[flag] = fitted.history
    return found


def mnist():
    """Return the training images of MNIST; the first call downloads them."""
    (x, y), _ = keras.datasets.mnist.load_data()
    return x.reshape(len(x), -1) / 255, y
