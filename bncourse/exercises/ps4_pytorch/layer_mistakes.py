"""The known mistakes of BatchNorm: a right layer with named steps, and what goes wrong in each."""

import torch
from torch import nn

from bncourse.exercises import hints
from bncourse.slips import Instead, Right


class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True):
        super().__init__()
        self.epsilon = eps
        self.rate = momentum
        self.remembers = track_running_stats
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None
        self.running_mean = nn.Buffer(torch.zeros(num_features)) if self.remembers else None
        self.running_var = nn.Buffer(torch.ones(num_features)) if self.remembers else None
        self.num_batches_tracked = nn.Buffer(torch.tensor(0)) if self.remembers else None

    def forward(self, x):
        axes = [axis for axis in range(x.dim()) if axis != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        count = x.numel() // x.shape[1]
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        training = self.training
        refused = training and count == 1
        if refused:
            raise ValueError(f"Expected more than one value per channel: {x.shape}")
        from_batch = training or not self.remembers
        if from_batch:
            mean = values.mean(axes)
            var = ((values - mean.view(shape)) ** 2).mean(axes)
        else:
            mean, var = self.running_mean, self.running_var
        tracked = training and self.remembers
        if tracked:
            stored = mean.detach(), var.detach() * count / (count - 1)
            self.update(*stored)
        std = torch.sqrt(var + self.epsilon)
        x_hat = (values - mean.view(shape)) / std.view(shape)
        scaled = self.weight is not None
        y = x_hat * self.weight.view(shape) + self.bias.view(shape) if scaled else x_hat
        return y.to(x.dtype)

    def update(self, mean, var):
        self.num_batches_tracked += 1
        batches = self.num_batches_tracked.item()
        new = 1 / batches if self.rate is None else self.rate
        self.running_mean = (1 - new) * self.running_mean + new * mean
        self.running_var = (1 - new) * self.running_var + new * var


slip = Right(BatchNorm).slip

LAYER_MISTAKES = (
    slip(
        "biased running variance",
        "running_var takes in the biased variance. PyTorch normalises with the biased variance and "
        "stores the unbiased one, n / (n - 1) times as large.",
        "L1",
        stored="mean.detach(), var.detach()",
    ),
    slip(
        "unbiased variance in x_hat",
        "x_hat is made with the unbiased variance. Normalise with the biased one; the unbiased one "
        "is for running_var only.",
        "L1",
        var="((values - mean.view(shape)) ** 2).sum(axes) / (count - 1)",
        stored="mean.detach(), var.detach()",
    ),
    slip(
        "factor inverted",
        "running_var is multiplied by (n - 1) / n. The unbiased variance is the larger one: "
        "n / (n - 1) times the biased.",
        "L1",
        stored="mean.detach(), var.detach() * (count - 1) / count",
    ),
    slip(
        "unbiased twice",
        "running_var takes in n / (n - 1) times a variance that is unbiased already. Multiply the "
        "biased one.",
        "L1",
        stored="mean.detach(), var.detach() * (count / (count - 1)) ** 2",
    ),
    slip(
        "examples counted, not values",
        "n is the number of examples alone. Each channel has N values at each position: for "
        "images, n = N H W.",
        "C1",
        count="len(x)",
    ),
    slip(
        "positions counted, not values",
        "n is the number of positions of one image. Each channel has as many values in each "
        "example: n = N H W.",
        "C1",
        count="x[0, 0].numel() if x.dim() > 2 else len(x)",
    ),
    slip(
        "channels counted as values",
        "n counts the values of all channels together. A channel has x.numel() / C of them.",
        "C1",
        count="x.numel()",
    ),
    slip(
        "eps missing",
        "eps is missing under the root.",
        "F3",
        std="torch.sqrt(var)",
    ),
    slip(
        "eps outside the root",
        hints.EPS_OUTSIDE_THE_ROOT,
        "F3",
        std="torch.sqrt(var) + self.epsilon",
    ),
    slip(
        "eps subtracted",
        hints.EPS_SUBTRACTED,
        "F3",
        std="torch.sqrt(var - self.epsilon)",
    ),
    slip(
        "eps as a floor",
        hints.EPS_AS_A_FLOOR,
        "F3",
        std="torch.sqrt(var.clamp(min=self.epsilon))",
    ),
    slip(
        "eps ignored",
        "The argument eps has no effect. Keep it in __init__ and use it in forward.",
        "F3",
        std="torch.sqrt(var + 1e-5)",
    ),
    slip(
        "eps of 1e-8",
        "eps is 1e-8 whatever the argument says. Keep the argument in __init__ and use it.",
        "F3",
        std="torch.sqrt(var + 1e-8)",
    ),
    slip(
        "eps of 1e-6",
        "eps is 1e-6 whatever the argument says. Keep the argument in __init__ and use it.",
        "F3",
        std="torch.sqrt(var + 1e-6)",
    ),
    slip(
        "small eps raised",
        hints.SMALL_EPS_RAISED,
        "F3",
        epsilon="max(eps, 1e-5)",
    ),
    slip(
        "eps of Keras",
        "eps is 1e-3 when it is left out, which is Keras's default. PyTorch's is 1e-5.",
        "F3",
        eps="1e-3",
    ),
    slip(
        "momentum of Keras",
        "momentum is 0.99 when it is left out, which is Keras's default and weighs the old value. "
        "PyTorch's is 0.1, and weighs the new one.",
        "L1",
        momentum="0.99",
    ),
    slip(
        "root missing",
        hints.ROOT_MISSING,
        "F3",
        std="var + self.epsilon",
    ),
    slip(
        "options on the class",
        "The arguments are kept on the class, so the layer that was made last decides for all. "
        "Write self.eps = eps, and so on.",
        "L1",
        epsilon=Instead("BatchNorm.epsilon = eps"),
        rate=Instead("BatchNorm.rate = momentum"),
    ),
    slip(
        "cancellation",
        hints.CANCELLATION,
        "F2",
        var="(values**2).mean(axes) - mean**2",
    ),
    slip(
        "momentum reversed",
        "momentum weighs the old value, as in Keras. In PyTorch it weighs the new one.",
        "L1",
        update__running_mean="new * self.running_mean + (1 - new) * mean",
        update__running_var="new * self.running_var + (1 - new) * var",
    ),
    slip(
        "Keras's rule",
        "This is Keras's rule: momentum weighs the old value, and the stored variance is biased. "
        "PyTorch's momentum weighs the new value, and its stored variance is unbiased.",
        "L1",
        stored="mean.detach(), var.detach()",
        update__running_mean="new * self.running_mean + (1 - new) * mean",
        update__running_var="new * self.running_var + (1 - new) * var",
    ),
    slip(
        "momentum ignored",
        "The argument momentum has no effect. Keep it in __init__ and use it in the update.",
        "L1",
        new="1 / batches if self.rate is None else 0.1",
    ),
    slip(
        "first batch replaces",
        "The first batch replaces the statistics at the start. It is mixed in with the weight "
        "momentum, as any other: only momentum=None gives it the weight 1.",
        "L1",
        new="1 / batches if self.rate is None or batches == 1 else self.rate",
    ),
    slip(
        "momentum for both",
        hints.MOMENTUM_FOR_BOTH,
        "L1",
        update__running_mean="new * self.running_mean + new * mean",
        update__running_var="new * self.running_var + new * var",
    ),
    slip(
        "standard deviation stored",
        "running_var takes in the standard deviation. Store the variance, without the root.",
        "L1",
        update__running_var="(1 - new) * self.running_var + new * var.sqrt()",
    ),
    slip(
        "eps stored",
        "eps is added to the variance before running_var takes it in, and once more in eval. Store "
        "the variance itself.",
        "L1",
        update__running_var="(1 - new) * self.running_var + new * (var + self.epsilon)",
    ),
    slip(
        "momentum None as 0.1",
        "momentum=None stands for a plain average of all batches so far: weight 1 / t in step t.",
        "L2",
        new="0.1 if self.rate is None else self.rate",
    ),
    slip(
        "momentum None not handled",
        "momentum=None is used as a number. It stands for a plain average of all batches so far: "
        "weight 1 / t in step t.",
        "L2",
        new="self.rate",
    ),
    slip(
        "momentum 0 as None",
        "momentum=0 is taken for None. Ask whether it is None: 0 means that nothing new counts.",
        "L2",
        new="self.rate or 1 / batches",
    ),
    slip(
        "momentum None and 0 as 0.1",
        "momentum=None and momentum=0 are both taken for 0.1. Ask whether it is None, which stands "
        "for a plain average: weight 1 / t in step t. With 0 nothing new counts.",
        "L2",
        new="self.rate or 0.1",
    ),
    slip(
        "batches counted too late",
        "num_batches_tracked grows after it is used. With momentum=None the weight in step t is "
        "1 / t, this batch counted.",
        "L2",
        update__num_batches_tracked=Instead(),
        new="1 / max(batches, 1) if self.rate is None else self.rate",
        update__running_var=Instead(
            "self.running_var = (1 - new) * self.running_var + new * var\n"
            "self.num_batches_tracked += 1"
        ),
    ),
    slip(
        "batches not counted",
        "num_batches_tracked never changes. Add 1 in each training step, before you use it.",
        "L2",
        update__num_batches_tracked=Instead(),
    ),
    slip(
        "examples counted as batches",
        "num_batches_tracked grows by more than 1 in a step. It counts batches.",
        "L2",
        update=Instead("self.update(*stored)\nself.num_batches_tracked += len(x) - 1"),
    ),
    slip(
        "count as a float",
        "num_batches_tracked is a floating-point number. It counts, so torch keeps it as a whole "
        "number, torch.long: torch.tensor(0).",
        "L2",
        __init____num_batches_tracked="nn.Buffer(torch.tensor(0.0)) if self.remembers else None",
    ),
    slip(
        "count in int32",
        "num_batches_tracked has another whole type than torch's, which is torch.long: "
        "torch.tensor(0).",
        "L2",
        __init____num_batches_tracked=(
            "nn.Buffer(torch.tensor(0, dtype=torch.int32)) if self.remembers else None"
        ),
    ),
    slip(
        "running statistics never updated",
        "The running statistics stay as they were. Mix in those of the batch at each training "
        "step.",
        "L1",
        update=Instead(),
    ),
    slip(
        "running mean only",
        "running_var stays as it was. It takes in the variance of the batch as running_mean takes "
        "in the mean.",
        "L1",
        update__running_var=Instead(),
    ),
    slip(
        "running statistics replaced",
        "The running statistics are those of the last batch. Mix old and new with the momentum.",
        "L1",
        new="1.0",
    ),
    slip(
        "updated in eval too",
        "The running statistics change in eval mode. They are learned in training only.",
        "L1",
        tracked="self.remembers",
        stored="values.detach().mean(axes), values.detach().var(axes)",
    ),
    slip(
        "batch statistics in eval",
        "In eval mode the statistics of the batch are used. Take the running ones, so that the "
        "answer for one example does not depend on the others.",
        "F7",
        from_batch="True",
    ),
    slip(
        "batch statistics until the first step",
        "A new layer in eval mode takes the statistics of the batch. In eval mode it takes the "
        "running ones, 0 and 1 at the start, however many batches it has seen.",
        "F7",
        from_batch="training or not self.remembers or self.num_batches_tracked == 0",
    ),
    slip(
        "running statistics in training",
        "In training the running statistics are used. Normalise with those of the batch.",
        "L1",
        std=Instead(
            "if self.remembers:\n"
            "    mean, var = self.running_mean, self.running_var\n"
            "std = torch.sqrt(var + self.epsilon)"
        ),
    ),
    slip(
        "statistics under no_grad",
        "The statistics of the batch are computed without gradient, so dx lacks the paths through "
        "mean and variance. Only the buffers are to be detached.",
        "B7",
        mean="values.detach().mean(axes)",
        var="((values.detach() - mean.view(shape)) ** 2).mean(axes)",
    ),
    slip(
        "variance detached",
        "The variance of the batch is detached, so dx lacks the path through it. Only the buffers "
        "are to be detached.",
        "B7",
        std="torch.sqrt(var.detach() + self.epsilon)",
    ),
    slip(
        "mean detached",
        "The mean of the batch is detached, so dx lacks the path through it. Only the buffers are "
        "to be detached.",
        "B7",
        x_hat="(values - mean.detach().view(shape)) / std.view(shape)",
    ),
    slip(
        "buffers attached",
        "The running statistics keep the graph of each batch they have seen: memory grows with "
        "each step and deepcopy fails. Detach what you store.",
        "L1",
        stored="mean, var * count / (count - 1)",
    ),
    slip(
        "graph kept on the layer",
        "The statistics of the batch are kept on the layer with their graph: copy.deepcopy fails, "
        "and the batch stays in memory. Keep them in local names, or detach them.",
        "L1",
        std=Instead("self.mean, self.var = mean, var\nstd = torch.sqrt(var + self.epsilon)"),
    ),
    slip(
        "frozen layer in eval mode",
        "A layer whose weight requires no gradient behaves as in eval mode. That is Keras's rule, "
        "for trainable=False. In PyTorch self.training alone says the mode.",
        "L1",
        training="self.training and (self.weight is None or self.weight.requires_grad)",
    ),
    slip(
        "global gradient mode",
        "Whether it is training is read from torch.is_grad_enabled(). The mode of a layer is "
        "self.training, which train() and eval() set.",
        "L1",
        training="torch.is_grad_enabled()",
    ),
    slip(
        "variance at each position",
        "The variance is taken over the batch at each position and then averaged. All positions of "
        "a channel share one mean: square the distance to that.",
        "C1",
        var=Instead(
            "var = values.var(0, unbiased=False)\n"
            "var = var.flatten(1).mean(1) if x.dim() > 2 else var"
        ),
    ),
    slip(
        "statistics per image",
        "Each image is normalised with statistics of its own. Batch norm takes those of the whole "
        "batch: reduce over axis 0 too.",
        "C1",
        mean=Instead("own = axes[1:] or axes\nmean = values.mean(own, keepdim=True)"),
        var="((values - mean) ** 2).mean(own, keepdim=True)",
        mean_var="self.running_mean.view(shape), self.running_var.view(shape)",
        stored="mean.detach().mean(axes), var.detach().mean(axes) * count / (count - 1)",
        x_hat="(values - mean) / std",
    ),
    slip(
        "statistics per example",
        "Each example is normalised by itself, over its channels: that is layer norm. Reduce over "
        "every axis but the channel axis, 1.",
        "C1",
        axes="list(range(1, x.dim()))",
    ),
    slip(
        "channels pooled",
        "One mean serves all channels. Reduce over every axis but the channel axis, 1.",
        "C1",
        axes="list(range(x.dim()))",
    ),
    slip(
        "two dimensions only",
        "It works for (N, C) only. Reduce over every axis but 1, and give the statistics the shape "
        "(1, C, 1, ...).",
        "C1",
        axes="0",
        shape="(1, -1)",
    ),
    slip(
        "weight ignored",
        "weight is not applied. It is the gamma of the layer.",
        "F4",
        y="x_hat + self.bias.view(shape) if scaled else x_hat",
    ),
    slip(
        "bias ignored",
        "bias is not added. It is the beta of the layer.",
        "F4",
        y="x_hat * self.weight.view(shape) if scaled else x_hat",
    ),
    slip(
        "bias scaled too",
        "bias is added before the scaling, so weight scales it too. Scale first, then shift.",
        "F4",
        y="(x_hat + self.bias.view(shape)) * self.weight.view(shape) if scaled else x_hat",
    ),
    slip(
        "no scale and shift in eval",
        "In eval mode weight and bias are left out. Both modes end with y = weight * x_hat + bias.",
        "F7",
        scaled="self.weight is not None and training",
    ),
    slip(
        "affine ignored",
        "With affine=False there are no parameters at all. Register None under both names.",
        "L1",
        weight="nn.Parameter(torch.ones(num_features))",
        bias="nn.Parameter(torch.zeros(num_features))",
    ),
    slip(
        "track_running_stats ignored",
        "With track_running_stats=False there are no buffers, and eval mode too normalises with "
        "the statistics of the batch.",
        "L1",
        remembers="True",
    ),
    slip(
        "weight starts at zero",
        "weight starts at 0, so the layer passes nothing on. Start with weight 1 and bias 0.",
        "F4",
        weight="nn.Parameter(torch.zeros(num_features)) if affine else None",
    ),
    slip(
        "running variance starts at zero",
        "running_var starts at 0. Start with mean 0 and variance 1, so that an untrained layer "
        "changes next to nothing in eval mode.",
        "L1",
        __init____running_var="nn.Buffer(torch.zeros(num_features)) if self.remembers else None",
    ),
    slip(
        "parameters as plain tensors",
        "weight and bias are plain tensors: no optimizer finds them and no checkpoint holds them. "
        "Wrap each in nn.Parameter.",
        "L1",
        weight="torch.ones(num_features) if affine else None",
        bias="torch.zeros(num_features) if affine else None",
    ),
    slip(
        "parameters not trained",
        "weight and bias have requires_grad=False, so nothing trains them. Leave it out.",
        "L1",
        weight="nn.Parameter(torch.ones(num_features), False) if affine else None",
        bias="nn.Parameter(torch.zeros(num_features), False) if affine else None",
    ),
    slip(
        "buffers as plain tensors",
        "The running statistics are plain attributes: state_dict lacks them and .to(device) leaves "
        "them behind. Use register_buffer.",
        "L1",
        __init____running_mean="torch.zeros(num_features) if self.remembers else None",
        __init____running_var="torch.ones(num_features) if self.remembers else None",
        __init____num_batches_tracked="torch.tensor(0) if self.remembers else None",
    ),
    slip(
        "buffers as parameters",
        "The running statistics are parameters, so an optimizer would train them. They are state: "
        "use register_buffer.",
        "L1",
        __init____running_mean=(
            "nn.Parameter(torch.zeros(num_features)) if self.remembers else None"
        ),
        __init____running_var="nn.Parameter(torch.ones(num_features)) if self.remembers else None",
        update__running_mean=Instead(
            "self.running_mean.data = (1 - new) * self.running_mean.data + new * mean"
        ),
        update__running_var=Instead(
            "self.running_var.data = (1 - new) * self.running_var.data + new * var"
        ),
    ),
    slip(
        "num_batches_tracked missing",
        "num_batches_tracked is not a buffer. torch's layer has it in its state_dict, so weights "
        "would not load from one into the other.",
        "L2",
        __init____num_batches_tracked=Instead("self.batches = 0"),
        update__num_batches_tracked=Instead("self.batches += 1"),
        batches="self.batches",
    ),
    slip(
        "super().__init__() missing",
        "__init__ does not call super().__init__(), which makes the places for parameters and "
        "buffers. Call it first.",
        "L1",
        super_init=Instead(),
    ),
    slip(
        "one value per channel accepted",
        "A training batch with one value per channel passes. Raise ValueError: x_hat would be 0 "
        "whatever the value is.",
        "L1",
        refused="False",
        stored="mean.detach(), var.detach() * count / max(count - 1, 1)",
    ),
    slip(
        "one value per channel refused for (N, C) only",
        "A training batch with one value per channel passes where x has positions. (1, C, 1) has "
        "one value per channel, as (1, C) has: ask x.numel() / C.",
        "C1",
        refused="training and x.dim() == 2 and count == 1",
        stored="mean.detach(), var.detach() * count / max(count - 1, 1)",
    ),
    slip(
        "every batch of one refused",
        "A training batch of one example is refused. What counts is the number of values per "
        "channel, N times the positions.",
        "C1",
        refused="training and len(x) == 1",
    ),
    slip(
        "one value per channel refused in eval",
        "One value per channel is refused in eval mode too. The running statistics need no batch.",
        "F7",
        refused="count == 1",
    ),
    slip(
        "input changed in place",
        "x itself is changed, as by x -= mean, and the caller's tensor with it. Write into new "
        "tensors.",
        "L1",
        x_hat=Instead("values -= mean.view(shape)\nx_hat = values / std.view(shape)"),
    ),
    slip(
        "input changed in place, bfloat16 too",
        "x itself is changed, also where its values are converted first, and the caller's tensor "
        "with it. Write into new tensors.",
        "L1",
        x_hat=Instead(
            "x_hat = (values - mean.view(shape)) / std.view(shape)\nx.data -= mean.view(shape)"
        ),
    ),
    slip(
        "memory format lost",
        "A channels_last input comes out in another memory format, and the next convolution is "
        "slow. Leave out contiguous() and the moving of axes.",
        "L1",
        returns="y.to(x.dtype).contiguous()",
    ),
    slip(
        "computed in float32",
        "For x in float64 the layer computes in float32, with 7 digits of 16. Widen the half types "
        "only: torch.promote_types(x.dtype, torch.float32).",
        "L5",
        values="x.float()",
    ),
    slip(
        "statistics in bfloat16",
        "The statistics of a bfloat16 batch are computed in bfloat16, with 8 bits. Convert x to "
        "float32 first, and the output back.",
        "L5",
        values="x",
    ),
    slip(
        "variance rounded by autocast",
        "Under autocast einsum and matrix products run in bfloat16, whatever goes in: the variance "
        "has 8 bits there. Use mean() or sum(), or switch autocast off inside.",
        "L5",
        var="torch.einsum('nc...,nc...->c', *2 * [values - mean.view(shape)]) / count",
    ),
    slip(
        "stored statistics rounded to bfloat16",
        "The statistics that are stored come in the dtype of x, so those of a bfloat16 batch are "
        "rounded to 8 bits. Compute and store them in float32.",
        "L5",
        stored="mean.detach().to(x.dtype), (var.detach() * count / (count - 1)).to(x.dtype)",
    ),
    slip(
        "running statistics turn bfloat16",
        "After a bfloat16 batch the running statistics are in bfloat16 themselves, and small "
        "updates are lost. They stay in float32.",
        "L5",
        stored="mean.detach().to(x.dtype), (var.detach() * count / (count - 1)).to(x.dtype)",
        update__running_mean="((1 - new) * self.running_mean + new * mean).to(mean.dtype)",
        update__running_var="((1 - new) * self.running_var + new * var).to(var.dtype)",
    ),
    slip(
        "output in float32",
        "For x in bfloat16 the output comes in float32. Convert it back to the dtype of x.",
        "L5",
        returns="y",
    ),
)
