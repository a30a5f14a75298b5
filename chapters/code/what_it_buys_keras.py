"""The chapter on what batch norm buys, in Keras 3."""

import keras
from keras import layers


def classifier(inputs, classes, width=50, drop=0.2):
    """Return a network with batch norm and dropout, in the order that suits both.

    Batch norm stands before each activation, and no dense layer before it has a
    bias. Dropout stands behind the last batch norm: its noise reaches no moving
    variance.
    """
    return keras.Sequential(
        [
            keras.Input((inputs,)),
            layers.Dense(width, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dense(width, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(drop),
            layers.Dense(classes),
        ]
    )
