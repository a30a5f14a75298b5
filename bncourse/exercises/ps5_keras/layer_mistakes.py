"""The known mistakes of BatchNormalization: a correct layer, and the lines in which each differs.

The layer is as compact as a notebook cell.
"""

from bncourse.variants import variant

_IMPORTS = "import keras\nimport numpy as np\nfrom keras import ops\n\n\n"

_LAYER = """\
class BatchNormalization(keras.layers.Layer):
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
"""

_MAKE_OPTIONS = '        options = {"shape": (input_shape[self.axis],), "autocast": False}\n'
_MAKE_AFFINE = """\
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
"""
_FREEZE = '        options["trainable"] = False\n'
_AXES = "[a for a in range(len(x.shape)) if a != self.axis % len(x.shape)]"
_SHAPE = """\
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
"""
_MOVING = "        mean, variance = self.moving_mean, self.moving_variance\n"
_WHEN = "        if training and self.trainable:\n"
_BATCH = "            mean, variance = ops.mean(x, axes), ops.var(x, axes)\n"
_OLD = "            old = self.momentum\n"
_UPDATE_MEAN = "            self.moving_mean.assign(old * self.moving_mean + (1 - old) * mean)\n"
_UPDATE_VARIANCE = (
    "            self.moving_variance.assign(old * self.moving_variance + (1 - old) * variance)\n"
)
_UPDATE = _OLD + _UPDATE_MEAN + _UPDATE_VARIANCE
_STD = "ops.sqrt(ops.reshape(variance, shape) + self.epsilon)"
_SCALE = """\
        if self.scale:
            y = y * ops.reshape(self.gamma, shape)
"""
_SHIFT = """\
        if self.center:
            y = y + ops.reshape(self.beta, shape)
"""
_RETURN = "        return ops.cast(y, self.compute_dtype)\n"

_COUNT = "            count = np.prod([x.shape[a] for a in axes])\n"
_UNBIASED = "variance * float(count / (count - 1))\n"
_CAST_AFFINE = (
    ("y * ops.reshape(self.gamma, shape)", "y * ops.cast(ops.reshape(self.gamma, shape), x.dtype)"),
    ("y + ops.reshape(self.beta, shape)", "y + ops.cast(ops.reshape(self.beta, shape), x.dtype)"),
)


def _layer(*changes):
    return variant(_IMPORTS + _LAYER, "BatchNormalization", *changes)


MomentumReversed = _layer(
    ("old = self", "new = self"),
    ("old * self.moving_mean + (1 - old)", "(1 - new) * self.moving_mean + new"),
    ("old * self.moving_variance + (1 - old)", "(1 - new) * self.moving_variance + new"),
)
UnbiasedStored = _layer(
    (_OLD, _COUNT + "            unbiased = " + _UNBIASED + _OLD),
    ("(1 - old) * variance", "(1 - old) * unbiased"),
)
TorchRule = _layer(
    (_OLD, _COUNT + "            unbiased = " + _UNBIASED + "            new = self.momentum\n"),
    ("old * self.moving_mean + (1 - old)", "(1 - new) * self.moving_mean + new"),
    (
        "old * self.moving_variance + (1 - old) * variance",
        "(1 - new) * self.moving_variance + new * unbiased",
    ),
)
UnbiasedUsed = _layer((_OLD, _COUNT + "            variance = " + _UNBIASED + _OLD))
EpsilonIgnored = _layer(("shape) + self.epsilon", "shape) + 1e-5"))
EpsilonMissing = _layer((_STD, "ops.sqrt(ops.reshape(variance, shape))"))
EpsilonOutside = _layer((_STD, "ops.sqrt(ops.reshape(variance, shape)) + self.epsilon"))
RootMissing = _layer((_STD, "ops.reshape(variance, shape) + self.epsilon"))
BatchStatisticsAtInference = _layer(
    (_BATCH, ""),
    (_MOVING, "        mean, variance = ops.mean(x, axes), ops.var(x, axes)\n"),
)
MovingStatisticsInTraining = _layer(
    ("mean, variance = ops", "batch_mean, batch_variance = ops"),
    ("(1 - old) * mean", "(1 - old) * batch_mean"),
    ("(1 - old) * variance", "(1 - old) * batch_variance"),
)
TrainingArgumentMissing = _layer(
    ("inputs, training=None", "inputs"),
    ("if training and self.trainable", "if self.trainable"),
)
TrainsByDefault = _layer(("training=None", "training=True"))
NeverUpdated = _layer((_UPDATE, ""))
UpdatedAtInference = _layer(
    (
        _WHEN + _BATCH + _UPDATE,
        "        batch_mean, batch_variance = ops.mean(x, axes), ops.var(x, axes)\n"
        "        if training and self.trainable:\n"
        "            mean, variance = batch_mean, batch_variance\n"
        "        old = self.momentum\n"
        "        self.moving_mean.assign(old * self.moving_mean + (1 - old) * batch_mean)\n"
        "        self.moving_variance.assign("
        "old * self.moving_variance + (1 - old) * batch_variance)\n",
    )
)
AssignedWithEquals = _layer(
    (
        _UPDATE_MEAN,
        "            self.moving_mean = old * self.moving_mean + (1 - old) * mean\n",
    ),
    (
        _UPDATE_VARIANCE,
        "            self.moving_variance = old * self.moving_variance + (1 - old) * variance\n",
    ),
)
TrainableIgnored = _layer(("if training and self.trainable", "if training"))
FrozenUsesBatch = _layer((_WHEN + _BATCH, "        if training:\n" + _BATCH + _WHEN))
AxisIgnored = _layer(
    ("input_shape[self.axis]", "input_shape[-1]"),
    (_AXES, "list(range(len(x.shape) - 1))"),
    (_SHAPE, "        shape = [1] * len(axes) + [x.shape[-1]]\n"),
)
FirstAxisOnly = _layer((_AXES, "[0]"))
PlainTensors = _layer(
    (
        _MAKE_OPTIONS + _MAKE_AFFINE + _FREEZE,
        "        shape = (input_shape[self.axis],)\n"
        "        self.gamma = ops.ones(shape, self.variable_dtype)\n"
        "        self.beta = ops.zeros(shape, self.variable_dtype)\n"
        '        options = {"shape": shape, "autocast": False, "trainable": False}\n',
    )
)
AffineNotTrainable = _layer(
    (_FREEZE, ""),
    ('"autocast": False}', '"autocast": False, "trainable": False}'),
)
StateTrainable = _layer((_FREEZE, ""))
CenterScaleIgnored = _layer(
    (
        _MAKE_AFFINE,
        '        self.gamma = self.add_weight(name="gamma", initializer="ones", **options)\n'
        '        self.beta = self.add_weight(name="beta", initializer="zeros", **options)\n',
    ),
    (
        _SCALE + _SHIFT,
        "        y = y * ops.reshape(self.gamma, shape) + ops.reshape(self.beta, shape)\n",
    ),
)
BetaMissing = _layer((_SHIFT, ""))
GammaMissing = _layer((_SCALE, ""))
BetaScaled = _layer((_SCALE + _SHIFT, _SHIFT + _SCALE))
KwargsDropped = _layer(("super().__init__(**kwargs)", "super().__init__()"))
ConfigIncomplete = _layer(
    (
        _RETURN,
        _RETURN + "\n"
        "    def get_config(self):\n"
        "        config = super().get_config()\n"
        "        config.update(axis=self.axis, center=self.center, scale=self.scale)\n"
        "        return config\n",
    )
)
ConfigWithoutSuper = _layer(
    (
        _RETURN,
        _RETURN + "\n"
        "    def get_config(self):\n"
        "        return {\n"
        '            "axis": self.axis,\n'
        '            "momentum": self.momentum,\n'
        '            "epsilon": self.epsilon,\n'
        '            "center": self.center,\n'
        '            "scale": self.scale,\n'
        "        }\n",
    )
)
Cancellation = _layer(
    (
        _BATCH,
        "            mean = ops.mean(x, axes)\n"
        "            variance = ops.mean(x * x, axes) - mean * mean\n",
    )
)
StatisticsDetached = _layer(
    (
        _BATCH,
        "            mean = ops.stop_gradient(ops.mean(x, axes))\n"
        "            variance = ops.stop_gradient(ops.var(x, axes))\n",
    )
)
HalfStatistics = _layer(
    ("x = ops.cast(inputs, self.variable_dtype)", "x = inputs"),
    (
        _MOVING,
        "        mean = ops.cast(self.moving_mean, x.dtype)\n"
        "        variance = ops.cast(self.moving_variance, x.dtype)\n",
    ),
    (
        _UPDATE_MEAN,
        "            self.moving_mean.assign(\n"
        "                old * self.moving_mean + (1 - old) * ops.cast(mean, self.variable_dtype)\n"
        "            )\n",
    ),
    (
        _UPDATE_VARIANCE,
        "            self.moving_variance.assign(\n"
        "                old * self.moving_variance"
        " + (1 - old) * ops.cast(variance, self.variable_dtype)\n"
        "            )\n",
    ),
    *_CAST_AFFINE,
)
HalfWeights = _layer(
    (', "autocast": False', ""),
    (
        _MOVING,
        "        old_mean = ops.cast(self.moving_mean, x.dtype)\n"
        "        old_variance = ops.cast(self.moving_variance, x.dtype)\n"
        "        mean, variance = old_mean, old_variance\n",
    ),
    ("old * self.moving_mean", "old * old_mean"),
    ("old * self.moving_variance", "old * old_variance"),
    *_CAST_AFFINE,
)
OutputNotCast = _layer((_RETURN, "        return y\n"))
