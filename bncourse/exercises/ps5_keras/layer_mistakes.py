"""Wrong batch-norm layers that people write, each whole and on its own.

They are as compact as a notebook cell, and each differs from a correct layer in one point only.
"""

import keras
import numpy as np
from keras import ops


class MomentumReversed(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            new = self.momentum
            self.moving_mean.assign((1 - new) * self.moving_mean + new * mean)
            self.moving_variance.assign((1 - new) * self.moving_variance + new * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class UnbiasedStored(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            count = np.prod([x.shape[a] for a in axes])
            unbiased = variance * float(count / (count - 1))
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * unbiased)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class TorchRule(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            count = np.prod([x.shape[a] for a in axes])
            unbiased = variance * float(count / (count - 1))
            new = self.momentum
            self.moving_mean.assign((1 - new) * self.moving_mean + new * mean)
            self.moving_variance.assign((1 - new) * self.moving_variance + new * unbiased)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class UnbiasedUsed(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            count = np.prod([x.shape[a] for a in axes])
            variance = variance * float(count / (count - 1))
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class EpsilonIgnored(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + 1e-5)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class EpsilonMissing(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape))
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class EpsilonOutside(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape)) + self.epsilon
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class RootMissing(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.reshape(variance, shape) + self.epsilon
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class BatchStatisticsAtInference(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = ops.mean(x, axes), ops.var(x, axes)
        if training and self.trainable:
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class MovingStatisticsInTraining(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            batch_mean, batch_variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * batch_mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * batch_variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class TrainingArgumentMissing(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class TrainsByDefault(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=True):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class NeverUpdated(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class UpdatedAtInference(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        batch_mean, batch_variance = ops.mean(x, axes), ops.var(x, axes)
        if training and self.trainable:
            mean, variance = batch_mean, batch_variance
        old = self.momentum
        self.moving_mean.assign(old * self.moving_mean + (1 - old) * batch_mean)
        self.moving_variance.assign(old * self.moving_variance + (1 - old) * batch_variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class AssignedWithEquals(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean = old * self.moving_mean + (1 - old) * mean
            self.moving_variance = old * self.moving_variance + (1 - old) * variance
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class TrainableIgnored(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class FrozenUsesBatch(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
        if training and self.trainable:
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class AxisIgnored(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[-1],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = list(range(len(x.shape) - 1))
        shape = [1] * len(axes) + [x.shape[-1]]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class FirstAxisOnly(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [0]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class PlainTensors(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        shape = (input_shape[self.axis],)
        self.gamma = ops.ones(shape, self.variable_dtype)
        self.beta = ops.zeros(shape, self.variable_dtype)
        options = {"shape": shape, "autocast": False, "trainable": False}
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class AffineNotTrainable(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False, "trainable": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class StateTrainable(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class CenterScaleIgnored(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        y = y * ops.reshape(self.gamma, shape) + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class BetaMissing(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        return ops.cast(y, self.compute_dtype)


class GammaMissing(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class BetaScaled(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        return ops.cast(y, self.compute_dtype)


class KwargsDropped(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__()
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class ConfigIncomplete(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)

    def get_config(self):
        config = super().get_config()
        config.update(axis=self.axis, center=self.center, scale=self.scale)
        return config


class ConfigWithoutSuper(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)

    def get_config(self):
        return {
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
        }


class Cancellation(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean = ops.mean(x, axes)
            variance = ops.mean(x * x, axes) - mean * mean
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class StatisticsDetached(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean = ops.stop_gradient(ops.mean(x, axes))
            variance = ops.stop_gradient(ops.var(x, axes))
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return ops.cast(y, self.compute_dtype)


class HalfStatistics(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = inputs
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean = ops.cast(self.moving_mean, x.dtype)
        variance = ops.cast(self.moving_variance, x.dtype)
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(
                old * self.moving_mean + (1 - old) * ops.cast(mean, self.variable_dtype)
            )
            self.moving_variance.assign(
                old * self.moving_variance + (1 - old) * ops.cast(variance, self.variable_dtype)
            )
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.cast(ops.reshape(self.gamma, shape), x.dtype)
        if self.center:
            y = y + ops.cast(ops.reshape(self.beta, shape), x.dtype)
        return ops.cast(y, self.compute_dtype)


class HalfWeights(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],)}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        old_mean = ops.cast(self.moving_mean, x.dtype)
        old_variance = ops.cast(self.moving_variance, x.dtype)
        mean, variance = old_mean, old_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * old_mean + (1 - old) * mean)
            self.moving_variance.assign(old * old_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.cast(ops.reshape(self.gamma, shape), x.dtype)
        if self.center:
            y = y + ops.cast(ops.reshape(self.beta, shape), x.dtype)
        return ops.cast(y, self.compute_dtype)


class OutputNotCast(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        options["trainable"] = False
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **options
        )

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        axes = [a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = ops.mean(x, axes), ops.var(x, axes)
            old = self.momentum
            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)
            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)
        std = ops.sqrt(ops.reshape(variance, shape) + self.epsilon)
        y = (x - ops.reshape(mean, shape)) / std
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
        if self.center:
            y = y + ops.reshape(self.beta, shape)
        return y
