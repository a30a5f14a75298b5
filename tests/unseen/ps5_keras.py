"""Wrong solutions of problem set 5."""

import keras
import torch
from keras import ops

from unseen import Table, written

TABLE = Table()

LAYER = """\
class BatchNormalization(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape):
        options = {"shape": (input_shape[self.axis],), "autocast": False}
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(initializer="ones", name="gamma", **options)
        if self.center:
            self.beta = self.add_weight(initializer="zeros", name="beta", **options)
        fixed = {**options, "trainable": False}
        self.moving_mean = self.add_weight(initializer="zeros", name="moving_mean", **fixed)
        self.moving_variance = self.add_weight(initializer="ones", name="moving_variance", **fixed)

    def call(self, inputs, training=None):
        x = ops.cast(inputs, "float32")
        rank = len(x.shape)
        axis = self.axis % rank
        dims = [d for d in range(rank) if d != axis]
        wide = [x.shape[d] if d == axis else 1 for d in range(rank)]
        if training and self.trainable:
            mean = ops.mean(x, dims)
            var = ops.mean(ops.square(x - ops.reshape(mean, wide)), dims)
            new = 1 - self.momentum
            self.moving_mean.assign(self.moving_mean + new * (mean - self.moving_mean))
            self.moving_variance.assign(self.moving_variance + new * (var - self.moving_variance))
        else:
            mean, var = self.moving_mean, self.moving_variance
        y = (x - ops.reshape(mean, wide)) / ops.sqrt(ops.reshape(var, wide) + self.epsilon)
        if self.gamma is not None:
            y = y * ops.reshape(self.gamma, wide)
        if self.beta is not None:
            y = y + ops.reshape(self.beta, wide)
        return ops.cast(y, self.compute_dtype)

    def get_config(self):
        keys = ("axis", "momentum", "epsilon", "center", "scale")
        return {**super().get_config(), **{key: getattr(self, key) for key in keys}}
"""
SHIFT = "        if self.beta is not None:\n            y = y + ops.reshape(self.beta, wide)\n"
NEGATIVE = "only -1 counted from the end"
NO_MODE = "always at inference"
for changes, names in [
    ([("new = 1 - self.momentum", "new = self.momentum")], ["momentum reversed"]),
    ([("+ self.epsilon)", "+ 1e-5)")], ["epsilon ignored"]),
    ([("+ self.epsilon)", ")")], ["epsilon missing"]),
    ([("+ self.epsilon)", "+ max(self.epsilon, 1e-5))")], ["small epsilon raised"]),
    # As TensorFlow's fused layer does.
    ([("+ self.epsilon)", "+ max(self.epsilon, 1.001e-5))")], []),
    ([(SHIFT, "")], ["beta missing"]),
    # Like the unbiased variance for (N, C). Elsewhere who reduces the first axis alone fails.
    ([("wide)), dims)\n", "wide)), dims) * (x.shape[0] / (x.shape[0] - 1))\n")], []),
    ([("y + ops.reshape(self.beta", "y - ops.reshape(self.beta")], []),
    ([("if training and self.trainable", "if training")], ["trainable=False ignored"]),
    ([("if training and self.trainable", "if self.trainable")], ["training argument missing"]),
    ([("super().__init__(**kwargs)", "super().__init__()")], ["keyword arguments dropped"]),
    (
        [("axis = self.axis % rank", "axis = rank - 1 if self.axis == -1 else self.axis")],
        [NEGATIVE],
    ),
    ([("training=None):", "**kwargs):\n        training = kwargs.get('training')")], [NO_MODE]),
    (
        [
            ("{**super().get_config(), **{key", '{"dtype": super().get_config()["dtype"], **{key'),
        ],
        [],
    ),
    (
        [("axis, momentum, epsilon\n", "axis, momentum or 0.99, epsilon\n")],
        ["momentum of 0 as the default"],
    ),
    (
        [
            (
                "        self.gamma = self.beta = None",
                "        self.n = input_shape[0] * 1.0\n        self.gamma = self.beta = None",
            )
        ],
        [],
    ),
    (
        [
            (
                "        rank = len",
                "        inputs.requires_grad_(training is not None)\n        rank = len",
            )
        ],
        [],
    ),
    ([("        rank = len", "        torch.set_grad_enabled(True)\n        rank = len")], []),
]:
    TABLE.of("BatchNormalization", *names)(
        written(LAYER, "BatchNormalization", changes, keras=keras, ops=ops, torch=torch)
    )

CLIPPED = "def relu(x):\n    return keras.ops.clip(x, 0, 6)\n\n\n"
MODEL = """\
def build_classifier(input_dim, hidden=(64, 32)):
    model = keras.Sequential()
    model.add(keras.Input((input_dim,)))
    for width in hidden:
        model.add(keras.layers.Dense(width, use_bias=False))
        model.add(keras.layers.BatchNormalization())
        model.add(keras.layers.ReLU())
    model.add(keras.layers.Dense(1))
    model.add(keras.layers.Activation("sigmoid"))
    return model
"""
for changes, names in [
    ([("width, use_bias=False", "width")], ["redundant bias"]),
    ([("layers.ReLU()", "layers.ReLU(threshold=1e-4)")], ["relu with options"]),
    (
        [("layers.ReLU()", "layers.Activation(lambda x: keras.ops.clip(x, 0, 120))")],
        [],
    ),
    # Two layers of one width get one name.
    ([("use_bias=False)", "use_bias=False, name=f'dense_{width}')")], []),
    ([("in hidden", "in sorted(hidden, reverse=True)")], []),
    ([("Dense(1)", "Dense(1, use_bias=False)")], ["output bias missing"]),
    ([('    model.add(keras.layers.Activation("sigmoid"))\n', "")], ["sigmoid missing"]),
    ([("keras.layers.ReLU()", 'keras.layers.Activation("tanh")')], []),
    ([("ReLU()", "ReLU(max_value=4)")], ["relu with options"]),
    ([("ReLU()", "Activation(relu)"), ("def build", CLIPPED + "def build")], []),
    ([("Input((input_dim,))", "Input((input_dim,), 16)")], []),
    ([("width, use_bias=False", "width, use_bias=False, dtype='mixed_float16'")], []),
    ([("width, use_bias=False", "width, use_bias=False, kernel_initializer='ones'")], []),
]:
    TABLE.of("build_classifier", *names)(written(MODEL, "build_classifier", changes, keras=keras))
