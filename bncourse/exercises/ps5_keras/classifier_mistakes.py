"""Wrong classifiers that people write, each whole and on its own."""

import keras
from keras import layers


def classifier_activation_inside(input_dim, hidden=(64, 32)):
    stack = [keras.Input((input_dim,))]
    for units in hidden:
        stack.append(layers.Dense(units, activation="relu", use_bias=False))
        stack.append(layers.BatchNormalization())
    stack.append(layers.Dense(1, activation="sigmoid"))
    return keras.Sequential(stack)


def classifier_activation_first(input_dim, hidden=(64, 32)):
    stack = [keras.Input((input_dim,))]
    for units in hidden:
        stack.append(layers.Dense(units, use_bias=False))
        stack.append(layers.Activation("relu"))
        stack.append(layers.BatchNormalization())
    stack.append(layers.Dense(1, activation="sigmoid"))
    return keras.Sequential(stack)


def classifier_normalized_first(input_dim, hidden=(64, 32)):
    stack = [keras.Input((input_dim,))]
    for units in hidden:
        stack.append(layers.BatchNormalization())
        stack.append(layers.Dense(units, use_bias=False))
        stack.append(layers.Activation("relu"))
    stack.append(layers.Dense(1, activation="sigmoid"))
    return keras.Sequential(stack)


def classifier_redundant_bias(input_dim, hidden=(64, 32)):
    stack = [keras.Input((input_dim,))]
    for units in hidden:
        stack.append(layers.Dense(units))
        stack.append(layers.BatchNormalization())
        stack.append(layers.Activation("relu"))
    stack.append(layers.Dense(1, activation="sigmoid"))
    return keras.Sequential(stack)


def classifier_without_output_bias(input_dim, hidden=(64, 32)):
    stack = [keras.Input((input_dim,))]
    for units in hidden:
        stack.append(layers.Dense(units, use_bias=False))
        stack.append(layers.BatchNormalization())
        stack.append(layers.Activation("relu"))
    stack.append(layers.Dense(1, activation="sigmoid", use_bias=False))
    return keras.Sequential(stack)


def classifier_without_sigmoid(input_dim, hidden=(64, 32)):
    stack = [keras.Input((input_dim,))]
    for units in hidden:
        stack.append(layers.Dense(units, use_bias=False))
        stack.append(layers.BatchNormalization())
        stack.append(layers.Activation("relu"))
    stack.append(layers.Dense(1))
    return keras.Sequential(stack)


def classifier_softmax(input_dim, hidden=(64, 32)):
    stack = [keras.Input((input_dim,))]
    for units in hidden:
        stack.append(layers.Dense(units, use_bias=False))
        stack.append(layers.BatchNormalization())
        stack.append(layers.Activation("relu"))
    stack.append(layers.Dense(1, activation="softmax"))
    return keras.Sequential(stack)


def classifier_output_normalized(input_dim, hidden=(64, 32)):
    stack = [keras.Input((input_dim,))]
    for units in hidden:
        stack.append(layers.Dense(units, use_bias=False))
        stack.append(layers.BatchNormalization())
        stack.append(layers.Activation("relu"))
    stack.append(layers.Dense(1, use_bias=False))
    stack.append(layers.BatchNormalization())
    stack.append(layers.Activation("sigmoid"))
    return keras.Sequential(stack)


def classifier_input_normalized(input_dim, hidden=(64, 32)):
    stack = [keras.Input((input_dim,)), layers.BatchNormalization()]
    for units in hidden:
        stack.append(layers.Dense(units, use_bias=False))
        stack.append(layers.BatchNormalization())
        stack.append(layers.Activation("relu"))
    stack.append(layers.Dense(1, activation="sigmoid"))
    return keras.Sequential(stack)


def classifier_without_relu(input_dim, hidden=(64, 32)):
    stack = [keras.Input((input_dim,))]
    for units in hidden:
        stack.append(layers.Dense(units, use_bias=False))
        stack.append(layers.BatchNormalization())
    stack.append(layers.Dense(1, activation="sigmoid"))
    return keras.Sequential(stack)


def classifier_without_batchnorm(input_dim, hidden=(64, 32)):
    stack = [keras.Input((input_dim,))]
    for units in hidden:
        stack.append(layers.Dense(units, activation="relu"))
    stack.append(layers.Dense(1, activation="sigmoid"))
    return keras.Sequential(stack)


def classifier_hidden_ignored(input_dim, hidden=(64, 32)):
    return keras.Sequential(
        [
            keras.Input((input_dim,)),
            layers.Dense(64, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dense(32, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def classifier_input_ignored(input_dim, hidden=(64, 32)):
    stack = [keras.Input((20,))]
    for units in hidden:
        stack.append(layers.Dense(units, use_bias=False))
        stack.append(layers.BatchNormalization())
        stack.append(layers.Activation("relu"))
    stack.append(layers.Dense(1, activation="sigmoid"))
    return keras.Sequential(stack)


def classifier_not_built(input_dim, hidden=(64, 32)):
    stack = []
    for units in hidden:
        stack.append(layers.Dense(units, use_bias=False))
        stack.append(layers.BatchNormalization())
        stack.append(layers.Activation("relu"))
    stack.append(layers.Dense(1, activation="sigmoid"))
    return keras.Sequential(stack)


def classifier_flag_adds_output(input_dim, hidden=(64, 32)):
    batch_norm = True
    stack = [keras.Input((input_dim,))]
    for units in hidden:
        stack.append(layers.Dense(units, activation="relu"))
        if batch_norm:
            stack.append(layers.Dense(1, activation="sigmoid"))
    return keras.Sequential(stack)
