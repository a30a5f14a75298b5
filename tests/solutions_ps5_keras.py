"""Correct solutions of problem set 5, written as differently as correct solutions are."""

import keras
import numpy as np
from keras import layers, ops

from bncourse.exercises.ps5_keras.classifier_mistakes import classifier
from bncourse.exercises.ps5_keras.layer_mistakes import BatchNormalization

# --- BatchNormalization -----------------------------------------------------------------------


class LayerByReduction(keras.layers.Layer):
    """Reduces with keepdims, and writes its config out."""

    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis
        self.momentum = momentum
        self.epsilon = epsilon
        self.center = center
        self.scale = scale

    def build(self, input_shape):
        self.axes = [a for a in range(len(input_shape)) if a != self.axis % len(input_shape)]
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def _spread(self, weight, x):
        shape = [1] * len(x.shape)
        shape[self.axis] = -1
        return ops.reshape(weight, shape)

    def _mix(self, weight, new):
        new = ops.reshape(new, weight.shape)
        weight.assign(self.momentum * weight + (1 - self.momentum) * new)

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        if training and self.trainable:
            mean = ops.mean(x, axis=self.axes, keepdims=True)
            variance = ops.mean(ops.square(x - mean), axis=self.axes, keepdims=True)
            self._mix(self.moving_mean, mean)
            self._mix(self.moving_variance, variance)
        else:
            mean = self._spread(self.moving_mean, x)
            variance = self._spread(self.moving_variance, x)
        y = (x - mean) / ops.sqrt(variance + self.epsilon)
        if self.gamma is not None:
            y = y * self._spread(self.gamma, x)
        if self.beta is not None:
            y = y + self._spread(self.beta, x)
        return ops.cast(y, self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
        }


@keras.saving.register_keras_serializable(package="bncourse_tests")
class LayerByRows(keras.layers.Layer):
    """Moves the channels to the end and flattens the rest; leaves the config to Keras."""

    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **options):
        super().__init__(**options)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        channels = (input_shape[self.axis],)
        for name, start, wanted in (("gamma", "ones", self.scale), ("beta", "zeros", self.center)):
            if wanted:
                weight = self.add_weight(
                    shape=channels, initializer=start, name=name, autocast=False
                )
                setattr(self, name, weight)
        for name, start in (("moving_mean", "zeros"), ("moving_variance", "ones")):
            weight = self.add_weight(
                shape=channels, initializer=start, name=name, trainable=False, autocast=False
            )
            setattr(self, name, weight)

    def call(self, inputs, training=False):
        x = ops.moveaxis(ops.cast(inputs, self.variable_dtype), self.axis, -1)
        rows = ops.reshape(x, (-1, x.shape[-1]))
        if self.trainable and training:
            mean, variance = ops.mean(rows, axis=0), ops.var(rows, axis=0)
            weight = 1 - self.momentum
            self.moving_mean.assign_add(weight * (mean - self.moving_mean))
            self.moving_variance.assign_add(weight * (variance - self.moving_variance))
        else:
            mean, variance = self.moving_mean, self.moving_variance
        rows = (rows - mean) * ops.rsqrt(variance + self.epsilon)
        if self.scale:
            rows = rows * self.gamma
        if self.center:
            rows = rows + self.beta
        y = ops.moveaxis(ops.reshape(rows, ops.shape(x)), -1, self.axis)
        return ops.cast(y, self.compute_dtype)


class LayerByAffineMap(keras.layers.Layer):
    """Folds everything into one factor and one offset per channel; makes its variables itself."""

    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.config = {
            "axis": axis,
            "momentum": momentum,
            "epsilon": epsilon,
            "center": center,
            "scale": scale,
        }

    def build(self, input_shape):
        channels = input_shape[self.config["axis"]]

        def variable(value, name, trainable):
            start = np.full(channels, value, self.variable_dtype)
            return keras.Variable(start, name=name, trainable=trainable, autocast=False)

        if self.config["scale"]:
            self.gamma = variable(1, "gamma", True)
        if self.config["center"]:
            self.beta = variable(0, "beta", True)
        self.moving_mean = variable(0, "moving_mean", False)
        self.moving_variance = variable(1, "moving_variance", False)

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axis = self.config["axis"] % len(x.shape)
        shape = tuple(-1 if a == axis else 1 for a in range(len(x.shape)))
        mean, variance = self.moving_mean.value, self.moving_variance.value
        if training and self.trainable:
            mean, variance = self._statistics(x, axis)
            old = self.config["momentum"]
            self.moving_mean.assign(self.moving_mean * old + mean * (1 - old))
            self.moving_variance.assign(self.moving_variance * old + variance * (1 - old))
        factor = 1 / ops.sqrt(variance + self.config["epsilon"])
        if self.config["scale"]:
            factor = factor * self.gamma
        offset = -mean * factor
        if self.config["center"]:
            offset = offset + self.beta
        y = x * ops.reshape(factor, shape) + ops.reshape(offset, shape)
        return ops.cast(y, self.compute_dtype)

    def _statistics(self, x, axis):
        axes = [a for a in range(len(x.shape)) if a != axis]
        count = np.prod([x.shape[a] for a in axes])
        letters = "abcde"[: len(x.shape)]
        mean = ops.sum(x, axes) / count
        centred = x - ops.reshape(mean, [-1 if a == axis else 1 for a in range(len(x.shape))])
        squares = ops.einsum(f"{letters},{letters}->{letters[axis]}", centred, centred)
        return mean, squares / count

    def get_config(self):
        return super().get_config() | self.config


# --- build_classifier -------------------------------------------------------------------------


def classifier_loop(input_dim, hidden=(64, 32)):
    model = keras.Sequential([keras.Input((input_dim,))])
    for units in hidden:
        model.add(layers.Dense(units, use_bias=False))
        model.add(layers.BatchNormalization())
        model.add(layers.Activation("relu"))
    model.add(layers.Dense(1, activation="sigmoid"))
    return model


def classifier_list(input_dim, hidden=(64, 32)):
    blocks = [
        (layers.Dense(units, use_bias=False), layers.BatchNormalization(), layers.ReLU())
        for units in hidden
    ]
    output = [layers.Dense(1), layers.Activation("sigmoid")]
    return keras.Sequential(
        [keras.Input(shape=(input_dim,)), *(layer for block in blocks for layer in block), *output]
    )


def classifier_built_at_the_end(input_dim, hidden=(64, 32)):
    model = keras.Sequential(name="classifier")
    for units in hidden:
        model.add(layers.Dense(units, use_bias=False, kernel_initializer="he_normal"))
        model.add(layers.BatchNormalization())
        model.add(layers.Activation(keras.activations.relu))
    model.add(layers.Dense(1, activation=ops.sigmoid))
    model.build((None, input_dim))
    return model


def classifier_compiled(input_dim, hidden=(64, 32)):
    stack = [keras.Input(batch_shape=(None, input_dim))]
    for width in list(hidden):
        stack += [layers.Dense(width, use_bias=False), layers.BatchNormalization(axis=1)]
        stack += [layers.Activation(ops.relu)]
    model = keras.Sequential([*stack, layers.Dense(units=1, activation="sigmoid")])
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def classifier_of_functions(input_dim, hidden=(64, 32)):
    """Activations written as functions, in both kinds of layer that take one."""
    model = keras.Sequential([keras.Input((input_dim,))])
    for number, units in enumerate(hidden):
        model.add(layers.Dense(units, use_bias=False))
        model.add(layers.BatchNormalization())
        kind = layers.Lambda if number else layers.Activation
        model.add(kind(lambda x: ops.maximum(x, 0)))
    model.add(layers.Dense(1))
    model.add(layers.Activation(lambda z: 1 / (1 + ops.exp(-z))))
    return model


def classifier_nested(input_dim, hidden=(64, 32)):
    def block(units):
        dense = layers.Dense(units, use_bias=False)
        return keras.Sequential([dense, layers.BatchNormalization(), layers.ReLU()])

    output = layers.Dense(1, activation="sigmoid")
    return keras.Sequential([keras.Input((input_dim,)), *map(block, hidden), output])


CORRECT = {
    "BatchNormalization": [BatchNormalization, LayerByReduction, LayerByRows, LayerByAffineMap],
    "build_classifier": [
        classifier,
        classifier_loop,
        classifier_list,
        classifier_built_at_the_end,
        classifier_compiled,
        classifier_of_functions,
        classifier_nested,
    ],
}
