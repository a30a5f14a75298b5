"""The known mistakes of BatchNormalization: a right layer with named steps, and what goes wrong."""

import keras
import numpy as np
from keras import ops

from bncourse.exercises import hints
from bncourse.slips import Instead, Right


class BatchNormalization(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.place = axis
        self.keep = momentum
        self.small = epsilon
        self.shifts = center
        self.scales = scale

    def build(self, input_shape):
        channels = input_shape[self.place]
        options = {"shape": (channels,), "autocast": False}
        learned = options
        state = {**options, "trainable": False}
        if self.scales:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **learned)
        if self.shifts:
            self.beta = self.add_weight(name="beta", initializer="zeros", **learned)
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **state)
        self.moving_variance = self.add_weight(name="moving_variance", initializer="ones", **state)

    def call(self, inputs, training=None):
        x = ops.cast(inputs, self.variable_dtype)
        rank = len(x.shape)
        axes = [a for a in range(rank) if a != self.place % rank]
        shape = [1 if a in axes else x.shape[a] for a in range(rank)]
        count = np.prod([x.shape[a] for a in axes])
        old_mean = self.moving_mean
        old_variance = self.moving_variance
        gain = self.gamma if self.scales else None
        offset = self.beta if self.shifts else None
        learns = training and self.trainable
        from_batch = learns
        if from_batch:
            mean = ops.mean(x, axes)
            variance = ops.var(x, axes)
        else:
            mean, variance = old_mean, old_variance
        if learns:
            new_mean = self.keep * self.moving_mean + (1 - self.keep) * mean
            new_variance = self.keep * self.moving_variance + (1 - self.keep) * variance
            self.moving_mean.assign(new_mean)
            self.moving_variance.assign(new_variance)
        std = ops.sqrt(variance + self.small)
        x_hat = (x - ops.reshape(mean, shape)) / ops.reshape(std, shape)
        scaled = x_hat * ops.reshape(gain, shape) if self.scales else x_hat
        y = scaled + ops.reshape(offset, shape) if self.shifts else scaled
        return ops.cast(y, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        output_shape = input_shape
        return output_shape

    def get_config(self):
        own = {
            "axis": self.place,
            "momentum": self.keep,
            "epsilon": self.small,
            "center": self.shifts,
            "scale": self.scales,
        }
        return {**super().get_config(), **own}


slip = Right(BatchNormalization).slip

MISTAKES = (
    slip(
        "momentum reversed",
        "momentum weighs the new statistics, as in PyTorch. In Keras it weighs the old ones: "
        "momentum * old + (1 - momentum) * new.",
        "L4",
        new_mean="(1 - self.keep) * self.moving_mean + self.keep * mean",
        new_variance="(1 - self.keep) * self.moving_variance + self.keep * variance",
    ),
    slip(
        "unbiased variance stored",
        "The moving variance takes in the unbiased variance, as PyTorch's does. Keras stores the "
        "biased one, divided by the number of values.",
        "L4",
        new_variance="self.keep * self.moving_variance + (1 - self.keep) * unbiased",
        new_mean=Instead(
            "unbiased = variance * float(count / (count - 1))\n"
            "new_mean = self.keep * self.moving_mean + (1 - self.keep) * mean"
        ),
    ),
    slip(
        "PyTorch's rule",
        "This is PyTorch's rule: momentum weighs the new value and the stored variance is "
        "unbiased. Keras's momentum weighs the old value, and its variance is biased.",
        "L4",
        new_mean=Instead(
            "unbiased = variance * float(count / (count - 1))\n"
            "new_mean = (1 - self.keep) * self.moving_mean + self.keep * mean"
        ),
        new_variance="(1 - self.keep) * self.moving_variance + self.keep * unbiased",
    ),
    slip(
        "unbiased variance in normalisation",
        "The batch is normalised with the unbiased variance. Use the biased one, divided by the "
        "number of values, to normalise and to store.",
        "F2",
        variance="ops.var(x, axes) * float(count / (count - 1))",
    ),
    slip(
        "epsilon ignored",
        "The argument epsilon is ignored; 1e-5, PyTorch's default, stands in the code. Use the "
        "argument. Keras's default is 1e-3.",
        "F3",
        std="ops.sqrt(variance + 1e-5)",
    ),
    slip(
        "epsilon missing",
        "epsilon is missing. Add it to the variance, under the root, in training and at inference.",
        "F3",
        std="ops.sqrt(variance)",
    ),
    slip(
        "epsilon outside the root",
        "epsilon is added outside the root. It belongs to the variance: sqrt(variance + epsilon).",
        "F3",
        std="ops.sqrt(variance) + self.small",
    ),
    slip(
        "root missing",
        hints.ROOT_MISSING,
        "F3",
        std="variance + self.small",
    ),
    slip(
        "batch statistics at inference",
        "At inference the statistics of the batch are used. Take the moving ones: the answer for "
        "one example must not depend on its neighbours.",
        "F7",
        from_batch="True",
    ),
    slip(
        "moving statistics in training",
        "In training the batch is normalised with the moving statistics. Take those of the batch; "
        "the moving ones are only updated there.",
        "F3",
        std=Instead(
            "mean, variance = old_mean, old_variance\nstd = ops.sqrt(variance + self.small)"
        ),
    ),
    slip(
        "training argument missing",
        "call has no argument training, or does not look at it, so the layer trains at inference "
        "too. Keras passes the mode through call(self, inputs, training=None).",
        "F7",
        learns="self.trainable",
    ),
    slip(
        "always at inference",
        "No call trains: the statistics of the batch are neither used nor stored. Keras hands the "
        "mode to an argument that is called training: call(self, inputs, training=None).",
        "F7",
        learns="False",
    ),
    slip(
        "only -1 counted from the end",
        "Of all negative axes only -1 is understood. Each counts from the end: axis % rank.",
        "C1",
        axes="[a for a in range(rank) if a != (rank - 1 if self.place == -1 else self.place)]",
    ),
    slip(
        "number of values taken in build",
        "The number of values is taken from the shape in build. The batch size is not known there, "
        "and may be another in each call: take it from x.",
        "F1",
        channels=Instead(
            "channels = input_shape[self.place]\n"
            "self.values = float(np.prod(input_shape)) / channels"
        ),
        mean="ops.sum(x, axes) / self.values",
    ),
    slip(
        "trains by default",
        "The default is training=True. When nobody names the mode, a Keras layer is at inference: "
        "make the default None or False.",
        "F7",
        training="True",
    ),
    slip(
        "never updated",
        "The moving statistics stay at their first values. Mix in those of each training batch.",
        "L4",
        moving_mean_assign=Instead(),
        moving_variance_assign=Instead(),
    ),
    slip(
        "updated at inference",
        "The moving statistics change at inference. Update them in training only.",
        "L4",
        learns="True",
        from_batch="training and self.trainable",
        new_mean="self.keep * self.moving_mean + (1 - self.keep) * ops.mean(x, axes)",
        new_variance="self.keep * self.moving_variance + (1 - self.keep) * ops.var(x, axes)",
    ),
    slip(
        "assigned with =",
        "The moving statistics are set with =, which puts a tensor in the place of the variable. "
        "Call the variable's assign, so that it is saved, loaded and seen by Keras.",
        "L4",
        moving_mean_assign=Instead("self.moving_mean = new_mean"),
        moving_variance_assign=Instead("self.moving_variance = new_variance"),
    ),
    slip(
        "trainable=False ignored",
        "A layer with trainable=False still trains: it takes the statistics of the batch and "
        "updates the moving ones. In Keras it then runs in inference mode. Look at self.trainable.",
        "L4",
        learns="training",
    ),
    slip(
        "frozen layer uses the batch",
        "With trainable=False the moving statistics rest, but the batch is still normalised with "
        "its own. A frozen batch norm in Keras runs in inference mode, whatever training says.",
        "L4",
        from_batch="training",
    ),
    slip(
        "axis ignored",
        "The argument axis is ignored; the last axis is always taken for the channels. Reduce all "
        "axes but self.axis.",
        "C1",
        channels="input_shape[-1]",
        axes="list(range(rank - 1))",
        shape="[1] * (rank - 1) + [x.shape[-1]]",
    ),
    slip(
        "only the first axis reduced",
        "Only the first axis is reduced, so each place of an image has statistics of its own. "
        "They belong to the channel: reduce all axes but self.axis.",
        "C1",
        axes="[0]",
    ),
    slip(
        "plain tensors",
        "gamma and beta are plain tensors. Nothing trains or saves them. Make them with "
        "self.add_weight.",
        "L4",
        gamma="ops.ones((channels,), self.variable_dtype)",
        beta="ops.zeros((channels,), self.variable_dtype)",
    ),
    slip(
        "gamma and beta not trainable",
        "gamma and beta are made with trainable=False, so no optimizer learns them. Only the "
        "moving statistics are not trainable.",
        "F4",
        learned='{**options, "trainable": False}',
    ),
    slip(
        "moving statistics trainable",
        "The moving statistics are trainable weights, so the optimizer and weight decay change "
        "them. Make them with trainable=False.",
        "L4",
        state="options",
    ),
    slip(
        "center and scale ignored",
        "center and scale are ignored. With center=False the layer has no beta, with scale=False "
        "no gamma.",
        "F4",
        scales="True",
        shifts="True",
    ),
    slip(
        "beta missing",
        "beta is made and never added. Scale first, then shift.",
        "F4",
        y="scaled",
    ),
    slip(
        "gamma missing",
        "gamma is made and never used. Multiply x_hat by it.",
        "F4",
        scaled="x_hat",
    ),
    slip(
        "beta scaled too",
        hints.SHIFT_BEFORE_SCALE,
        "F4",
        scaled="x_hat + ops.reshape(offset, shape) if self.shifts else x_hat",
        y="scaled * ops.reshape(gain, shape) if self.scales else scaled",
    ),
    slip(
        "keyword arguments dropped",
        "The constructor does not pass **kwargs on, so Keras's own arguments such as dtype and "
        "name are lost. Call super().__init__(**kwargs).",
        "L4",
        super_init="super().__init__()",
    ),
    slip(
        "get_config incomplete",
        "get_config leaves out momentum and epsilon, so a loaded layer has their defaults. Return "
        "every argument of the constructor.",
        "L4",
        own='{"axis": self.place, "center": self.shifts, "scale": self.scales}',
    ),
    slip(
        "get_config without super",
        "get_config does not start from super().get_config(), so a loaded layer loses its dtype "
        "and its name. Return {**super().get_config(), ...}.",
        "L4",
        get_config__returns="own",
    ),
    slip(
        "cancellation",
        "The variance is computed as E[x^2] - E[x]^2, which is noise when the mean is large. "
        "Subtract the mean first, or take ops.var. On some backends ops.moments does the same.",
        "F2",
        variance="ops.mean(x * x, axes) - mean * mean",
    ),
    slip(
        "statistics detached",
        "No gradient flows through the statistics of the batch, so dx lacks two of its three "
        "paths. Detach nothing that normalises the batch.",
        "B5",
        mean="ops.stop_gradient(ops.mean(x, axes))",
        variance="ops.stop_gradient(ops.var(x, axes))",
    ),
    slip(
        "statistics in half precision",
        "Under mixed precision the statistics are computed in the half type. Cast the input to "
        "self.variable_dtype first, and the output back to self.compute_dtype.",
        "L5",
        x="inputs",
        old_mean="ops.cast(self.moving_mean, x.dtype)",
        old_variance="ops.cast(self.moving_variance, x.dtype)",
        new_mean="self.keep * self.moving_mean + (1 - self.keep) * ops.cast(mean, 'float32')",
        new_variance=(
            "self.keep * self.moving_variance + (1 - self.keep) * ops.cast(variance, 'float32')"
        ),
        gain="ops.cast(self.gamma, x.dtype) if self.scales else None",
        offset="ops.cast(self.beta, x.dtype) if self.shifts else None",
    ),
    slip(
        "weights cast to half precision",
        "Under mixed precision Keras hands out a float32 weight in the half type while call runs. "
        "In Keras 3.15 on PyTorch assign then writes into that copy, so the update is lost; on "
        "other backends it is rounded. Make the weights with autocast=False.",
        "L5",
        options='{"shape": (channels,)}',
        old_mean="ops.cast(self.moving_mean, x.dtype)",
        old_variance="ops.cast(self.moving_variance, x.dtype)",
        new_mean="self.keep * old_mean + (1 - self.keep) * mean",
        new_variance="self.keep * old_variance + (1 - self.keep) * variance",
        gain="ops.cast(self.gamma, x.dtype) if self.scales else None",
        offset="ops.cast(self.beta, x.dtype) if self.shifts else None",
    ),
    slip(
        "output not cast back",
        "Under mixed precision the output stays in float32. Cast it to self.compute_dtype at the "
        "end.",
        "L5",
        call__returns="y",
    ),
    slip(
        "epsilon missing at inference",
        "At inference epsilon is missing. Add it to moving_variance, under the root, there too.",
        "F7",
        std="ops.sqrt(variance + self.small if from_batch else variance)",
    ),
    slip(
        "epsilon as a floor",
        "epsilon is the least that the variance may be. Add it whatever the variance is: "
        "sqrt(variance + epsilon).",
        "F3",
        std="ops.sqrt(ops.maximum(variance, self.small))",
    ),
    slip(
        "moving mean never updated",
        "moving_mean stays at its first value. Mix in the mean of each training batch, as you do "
        "with the variance.",
        "L4",
        moving_mean_assign=Instead(),
    ),
    slip(
        "moving variance never updated",
        "moving_variance stays at its first value. Mix in the variance of each training batch, as "
        "you do with the mean.",
        "L4",
        moving_variance_assign=Instead(),
    ),
    slip(
        "mean detached",
        "No gradient flows through the mean of the batch, so dx lacks one of its three paths. "
        "Detach nothing that normalises the batch.",
        "B5",
        mean="ops.stop_gradient(ops.mean(x, axes))",
    ),
    slip(
        "variance detached",
        "No gradient flows through the variance of the batch, so dx lacks one of its three paths. "
        "Detach nothing that normalises the batch.",
        "B5",
        variance="ops.stop_gradient(ops.var(x, axes))",
    ),
    slip(
        "epsilon subtracted",
        "epsilon is subtracted from the variance. Add it: it keeps the root away from zero.",
        "F3",
        std="ops.sqrt(variance - self.small)",
    ),
    slip(
        "epsilon of 1e-6",
        "epsilon is 1e-6 whatever the argument says. Keep the argument in __init__ and use it.",
        "F3",
        std="ops.sqrt(variance + 1e-6)",
    ),
    slip(
        "epsilon of 1e-8",
        "epsilon is 1e-8 whatever the argument says. Keep the argument in __init__ and use it.",
        "F3",
        std="ops.sqrt(variance + 1e-8)",
    ),
    slip(
        "small epsilon raised",
        "An epsilon below 1e-5 is raised to it, as by max(epsilon, 1e-5). Use the argument as it "
        "comes.",
        "F3",
        small="max(epsilon, 1e-5)",
    ),
    slip(
        "momentum of 0 as the default",
        "A momentum of 0 is taken for one that is left out, as by momentum or 0.99. Use the "
        "argument as it comes.",
        "L4",
        keep="momentum or 0.99",
    ),
    slip(
        "epsilon of PyTorch by default",
        "epsilon is 1e-5 when it is left out, which is PyTorch's default. Keras's is 1e-3.",
        "F3",
        epsilon="1e-5",
    ),
    slip(
        "momentum of PyTorch by default",
        "momentum is 0.1 when it is left out, which is PyTorch's default for the other "
        "convention. Keras's is 0.99.",
        "L4",
        momentum="0.1",
    ),
    slip(
        "epsilon set for all of Keras",
        "epsilon is written into keras.config, which all layers and losses share. Keep it on the "
        "layer: self.epsilon = epsilon.",
        "L4",
        small=Instead("keras.config.set_epsilon(epsilon)"),
        std="ops.sqrt(variance + keras.config.epsilon())",
    ),
    slip(
        "options on the class",
        "The arguments are kept on the class, so the layer that was made last decides for all. "
        "Write self.momentum = momentum, and so on.",
        "L4",
        keep=Instead("BatchNormalization.keep = momentum"),
        small=Instead("BatchNormalization.small = epsilon"),
    ),
    slip(
        "graph kept on the layer",
        "The statistics of the batch are kept on the layer with their graph, and the batch stays "
        "in memory. Keep them in local names.",
        "L4",
        std=Instead("self.last = mean, variance\nstd = ops.sqrt(variance + self.small)"),
    ),
    slip(
        "no scale and shift at inference",
        "At inference gamma and beta are left out. Both modes end with y = gamma * x_hat + beta.",
        "F7",
        scaled="x_hat * ops.reshape(gain, shape) if self.scales and training else x_hat",
        y="scaled + ops.reshape(offset, shape) if self.shifts and training else scaled",
    ),
    slip(
        "statistics per image",
        "Each example is normalised with statistics of its own. Batch norm takes those of the "
        "whole batch: reduce over the axis of the examples too.",
        "C1",
        mean=Instead("own = axes[1:] or axes\nmean = ops.mean(x, own, keepdims=True)"),
        variance="ops.var(x, own, keepdims=True)",
        new_mean="self.keep * self.moving_mean + (1 - self.keep) * ops.mean(x, axes)",
        new_variance=(
            "self.keep * self.moving_variance + (1 - self.keep) * ops.mean(variance, axes)"
        ),
        x_hat=Instead(
            "flat = not (training and self.trainable)\n"
            "mean = ops.reshape(mean, shape) if flat else mean\n"
            "std = ops.reshape(std, shape) if flat else std\n"
            "x_hat = (x - mean) / std"
        ),
    ),
    slip(
        "gamma starts at zero",
        "gamma starts at 0, so the layer passes nothing on. Start with gamma 1 and beta 0.",
        "F4",
        gamma="self.add_weight(name='gamma', initializer='zeros', **learned)",
    ),
    slip(
        "moving variance starts at zero",
        "moving_variance starts at 0. Start with mean 0 and variance 1, so that an untrained "
        "layer changes next to nothing at inference.",
        "L4",
        moving_variance="self.add_weight(name='moving_variance', initializer='zeros', **state)",
    ),
    slip(
        "wrong compute_output_shape",
        "compute_output_shape is not the shape of the input. Batch norm keeps every axis; leave "
        "the method out, or return input_shape.",
        "L4",
        output_shape="(*input_shape[:-1], 1)",
    ),
    slip(
        "super().__init__() missing",
        "__init__ does not call super().__init__(**kwargs), which makes the places for weights "
        "and takes dtype and name. Call it first.",
        "L4",
        super_init=Instead(),
    ),
    # What a loaded layer then has in its place is the default.
    *(
        slip(
            f"{key} missing in get_config",
            f"get_config leaves out {key}, so a loaded layer has its default. Return every "
            "argument of the constructor, on top of super().get_config().",
            "L4",
            get_config__returns=Instead(
                f'own.pop("{key}")\nreturn {{**super().get_config(), **own}}'
            ),
        )
        for key in ("axis", "momentum", "epsilon", "center", "scale")
    ),
)
