"""The known mistakes of BatchNorm: a correct layer, and the lines in which each mistake differs."""

LAYER = """\
class BatchNorm(nn.Module):
    def __init__(
        self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True
    ):
        super().__init__()
        self.eps = eps
        self.momentum = momentum
        self.track_running_stats = track_running_stats
        weight = nn.Parameter(torch.ones(num_features)) if affine else None
        bias = nn.Parameter(torch.zeros(num_features)) if affine else None
        self.register_parameter("weight", weight)
        self.register_parameter("bias", bias)
        if track_running_stats:
            self.register_buffer("running_mean", torch.zeros(num_features))
            self.register_buffer("running_var", torch.ones(num_features))
            self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x):
        axes = [axis for axis in range(x.dim()) if axis != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        count = x.numel() // x.shape[1]
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        training = self.training
        if training and count == 1:
            raise ValueError(f"Expected more than one value per channel: {x.shape}")
        if training or not self.track_running_stats:
            mean = values.mean(axes)
            var = ((values - mean.view(shape)) ** 2).mean(axes)
        else:
            mean, var = self.running_mean, self.running_var
        if training and self.track_running_stats:
            self.update(mean.detach(), var.detach() * count / (count - 1))
        inv_std = 1 / torch.sqrt(var + self.eps)
        y = (values - mean.view(shape)) * inv_std.view(shape)
        if self.weight is not None:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)

    def update(self, mean, var):
        self.num_batches_tracked += 1
        batches = self.num_batches_tracked.item()
        weight = 1 / batches if self.momentum is None else self.momentum
        self.running_mean = (1 - weight) * self.running_mean + weight * mean
        self.running_var = (1 - weight) * self.running_var + weight * var
"""

_REGISTER_PARAMETERS = (
    '        self.register_parameter("weight", weight)\n'
    '        self.register_parameter("bias", bias)\n'
)
_UPDATE_CALL = (
    "        if training and self.track_running_stats:\n"
    "            self.update(mean.detach(), var.detach() * count / (count - 1))\n"
)
_REFUSAL = (
    "        if training and count == 1:\n"
    '            raise ValueError(f"Expected more than one value per channel: {x.shape}")\n'
)
_STATISTICS = (
    "            mean = values.mean(axes)\n"
    "            var = ((values - mean.view(shape)) ** 2).mean(axes)\n"
)

LAYER_MISTAKES = (
    (
        "biased running variance",
        [("var.detach() * count / (count - 1)", "var.detach()")],
        "running_var takes in the biased variance. PyTorch normalises with the biased variance and "
        "stores the unbiased one, n / (n - 1) times as large.",
        "L1",
    ),
    (
        "unbiased variance in x_hat",
        [
            ("** 2).mean(axes)", "** 2).sum(axes) / (count - 1)"),
            ("var.detach() * count / (count - 1)", "var.detach()"),
        ],
        "x_hat is made with the unbiased variance. Normalise with the biased one; the unbiased one "
        "is for running_var only.",
        "L1",
    ),
    (
        "eps missing",
        [("var + self.eps", "var")],
        "eps is missing under the root.",
        "F3",
    ),
    (
        "eps outside the root",
        [("1 / torch.sqrt(var + self.eps)", "1 / (torch.sqrt(var) + self.eps)")],
        "eps is added outside the root. It belongs to the variance: sqrt(var + eps).",
        "F3",
    ),
    (
        "eps ignored",
        [("var + self.eps", "var + 1e-5")],
        "The argument eps has no effect. Keep it in __init__ and use it in forward.",
        "F3",
    ),
    (
        "cancellation",
        [("((values - mean.view(shape)) ** 2).mean(axes)", "(values**2).mean(axes) - mean**2")],
        "The variance is computed as E[x^2] - E[x]^2, which is noise when the mean is large. "
        "Subtract the mean before you square.",
        "F2",
    ),
    (
        "momentum reversed",
        [
            (
                "(1 - weight) * self.running_mean + weight * mean",
                "weight * self.running_mean + (1 - weight) * mean",
            ),
            (
                "(1 - weight) * self.running_var + weight * var",
                "weight * self.running_var + (1 - weight) * var",
            ),
        ],
        "momentum weighs the old value, as in Keras. In PyTorch it weighs the new one.",
        "L1",
    ),
    (
        "momentum ignored",
        [("else self.momentum", "else 0.1")],
        "The argument momentum has no effect. Keep it in __init__ and use it in the update.",
        "L1",
    ),
    (
        "momentum None as 0.1",
        [("1 / batches if self.momentum is None", "0.1 if self.momentum is None")],
        "momentum=None stands for a plain average of all batches so far: weight 1 / t in step t.",
        "L2",
    ),
    (
        "momentum None not handled",
        [("1 / batches if self.momentum is None else self.momentum", "self.momentum")],
        "momentum=None is used as a number. It stands for a plain average of all batches so far: "
        "weight 1 / t in step t.",
        "L2",
    ),
    (
        "batches counted too late",
        [
            ("        self.num_batches_tracked += 1\n", ""),
            ("+ weight * var\n", "+ weight * var\n        self.num_batches_tracked += 1\n"),
            ("1 / batches", "1 / max(batches, 1)"),
        ],
        "num_batches_tracked grows after it is used. With momentum=None the weight in step t is "
        "1 / t, this batch counted.",
        "L2",
    ),
    (
        "batches not counted",
        [("        self.num_batches_tracked += 1\n", "")],
        "num_batches_tracked never changes. Add 1 in each training step, before you use it.",
        "L2",
    ),
    (
        "running statistics never updated",
        [(_UPDATE_CALL, "")],
        "The running statistics stay as they were. Mix in those of the batch at each training "
        "step.",
        "L1",
    ),
    (
        "running mean only",
        [("        self.running_var = (1 - weight) * self.running_var + weight * var\n", "")],
        "running_var stays as it was. It takes in the variance of the batch as running_mean takes "
        "in the mean.",
        "L1",
    ),
    (
        "updated in eval too",
        [
            ("        if training and self.track", "        if self.track"),
            (
                "self.update(mean.detach(), var.detach() * count / (count - 1))",
                "self.update(values.detach().mean(axes), values.detach().var(axes))",
            ),
        ],
        "The running statistics change in eval mode. They are learned in training only.",
        "L1",
    ),
    (
        "batch statistics in eval",
        [("if training or not self.track_running_stats:", "if True:")],
        "In eval mode the statistics of the batch are used. Take the running ones, so that the "
        "answer for one example does not depend on the others.",
        "F7",
    ),
    (
        "running statistics in training",
        [
            (
                "        inv_std = 1",
                "        if self.track_running_stats:\n"
                "            mean, var = self.running_mean, self.running_var\n"
                "        inv_std = 1",
            )
        ],
        "In training the running statistics are used. Normalise with those of the batch.",
        "L1",
    ),
    (
        "statistics under no_grad",
        [
            (
                _STATISTICS,
                "            with torch.no_grad():\n"
                "                mean = values.mean(axes)\n"
                "                var = ((values - mean.view(shape)) ** 2).mean(axes)\n",
            )
        ],
        "The statistics of the batch are computed without gradient, so dx lacks the paths through "
        "mean and variance. Only the buffers are to be detached.",
        "B7",
    ),
    (
        "buffers attached",
        [("mean.detach(), var.detach()", "mean, var")],
        "The running statistics keep the graph of each batch they have seen: memory grows with "
        "each step and deepcopy fails. Detach what you store.",
        "L1",
    ),
    (
        "global gradient mode",
        [("training = self.training", "training = torch.is_grad_enabled()")],
        "Whether it is training is read from torch.is_grad_enabled(). The mode of a layer is "
        "self.training, which train() and eval() set.",
        "L1",
    ),
    (
        "variance at each position",
        [
            (
                "            var = ((values - mean.view(shape)) ** 2).mean(axes)\n",
                "            var = values.var(0, unbiased=False)\n"
                "            var = var.flatten(1).mean(1) if x.dim() > 2 else var\n",
            ),
        ],
        "The variance is taken over the batch at each position and then averaged. All positions of "
        "a channel share one mean: square the distance to that.",
        "C1",
    ),
    (
        "channels pooled",
        [("axes = [axis for axis in range(x.dim()) if axis != 1]", "axes = list(range(x.dim()))")],
        "One mean serves all channels. Reduce over every axis but the channel axis, 1.",
        "C1",
    ),
    (
        "two dimensions only",
        [
            ("[axis for axis in range(x.dim()) if axis != 1]", "0"),
            ("[1, -1] + [1] * (x.dim() - 2)", "(1, -1)"),
        ],
        "It works for (N, C) only. Reduce over every axis but 1, and give the statistics the shape "
        "(1, C, 1, ...).",
        "C1",
    ),
    (
        "weight ignored",
        [("y * self.weight.view(shape) + self", "y + self")],
        "weight is not applied. It is the gamma of the layer.",
        "F4",
    ),
    (
        "bias ignored",
        [("y * self.weight.view(shape) + self.bias.view(shape)", "y * self.weight.view(shape)")],
        "bias is not added. It is the beta of the layer.",
        "F4",
    ),
    (
        "affine ignored",
        [
            (
                "nn.Parameter(torch.ones(num_features)) if affine else None",
                "nn.Parameter(torch.ones(num_features))",
            ),
            (
                "nn.Parameter(torch.zeros(num_features)) if affine else None",
                "nn.Parameter(torch.zeros(num_features))",
            ),
        ],
        "With affine=False there are no parameters at all. Register None under both names.",
        "L1",
    ),
    (
        "track_running_stats ignored",
        [
            ("self.track_running_stats = track_running_stats", "self.track_running_stats = True"),
            ("if track_running_stats:", "if self.track_running_stats:"),
        ],
        "With track_running_stats=False there are no buffers, and eval mode too normalises with "
        "the statistics of the batch.",
        "L1",
    ),
    (
        "weight starts at zero",
        [("torch.ones(num_features)) if", "torch.zeros(num_features)) if")],
        "weight starts at 0, so the layer passes nothing on. Start with weight 1 and bias 0.",
        "F4",
    ),
    (
        "running variance starts at zero",
        [('"running_var", torch.ones', '"running_var", torch.zeros')],
        "running_var starts at 0. Start with mean 0 and variance 1, so that an untrained layer "
        "changes nothing in eval mode.",
        "L1",
    ),
    (
        "parameters as plain tensors",
        [
            (
                _REGISTER_PARAMETERS,
                "        self.weight = weight.detach() if affine else None\n"
                "        self.bias = bias.detach() if affine else None\n",
            )
        ],
        "weight and bias are plain tensors: no optimizer finds them and no checkpoint holds them. "
        "Wrap each in nn.Parameter.",
        "L1",
    ),
    (
        "buffers as plain tensors",
        [
            (
                'self.register_buffer("running_mean", torch.zeros(num_features))',
                "self.running_mean = torch.zeros(num_features)",
            ),
            (
                'self.register_buffer("running_var", torch.ones(num_features))',
                "self.running_var = torch.ones(num_features)",
            ),
            (
                'self.register_buffer("num_batches_tracked", torch.tensor(0))',
                "self.num_batches_tracked = torch.tensor(0)",
            ),
        ],
        "The running statistics are plain attributes: state_dict lacks them and .to(device) leaves "
        "them behind. Use register_buffer.",
        "L1",
    ),
    (
        "buffers as parameters",
        [
            (
                'self.register_buffer("running_mean", torch.zeros(num_features))',
                "self.running_mean = nn.Parameter(torch.zeros(num_features))",
            ),
            (
                'self.register_buffer("running_var", torch.ones(num_features))',
                "self.running_var = nn.Parameter(torch.ones(num_features))",
            ),
            ("self.running_mean = (1 -", "self.running_mean.data = (1 -"),
            ("self.running_var = (1 -", "self.running_var.data = (1 -"),
        ],
        "The running statistics are parameters, so an optimizer would train them. They are state: "
        "use register_buffer.",
        "L1",
    ),
    (
        "num_batches_tracked missing",
        [
            ('self.register_buffer("num_batches_tracked", torch.tensor(0))', "self.batches = 0"),
            ("self.num_batches_tracked += 1", "self.batches += 1"),
            ("self.num_batches_tracked.item()", "self.batches"),
        ],
        "num_batches_tracked is not a buffer. torch's layer has it in its state_dict, so weights "
        "would not load from one into the other.",
        "L2",
    ),
    (
        "one value per channel accepted",
        [
            (
                _REFUSAL,
                "",
            ),
            ("count / (count - 1)", "count / max(count - 1, 1)"),
        ],
        "A training batch with one value per channel passes. Raise ValueError: x_hat would be 0 "
        "whatever the value is.",
        "L1",
    ),
    (
        "every batch of one refused",
        [("training and count == 1", "training and len(x) == 1")],
        "A training batch of one example is refused. What counts is the number of values per "
        "channel, N times the positions.",
        "C1",
    ),
    (
        "one value per channel refused in eval",
        [("training and count == 1", "count == 1")],
        "One value per channel is refused in eval mode too. The running statistics need no batch.",
        "F7",
    ),
    (
        "input changed in place",
        [
            (
                "y = (values - mean.view(shape)) * inv_std.view(shape)",
                "values -= mean.view(shape)\n        y = values * inv_std.view(shape)",
            ),
        ],
        "The mean is subtracted from x itself (x -= mean), so the caller's tensor is changed. "
        "Write x - mean into a new tensor.",
        "L1",
    ),
    (
        "memory format lost",
        [("return y.to(x.dtype)", "return y.to(x.dtype).contiguous()")],
        "A channels_last input comes out in another memory format, and the next convolution is "
        "slow. Leave out contiguous() and the moving of axes.",
        "L1",
    ),
    (
        "statistics in bfloat16",
        [("values = x.to(torch.promote_types(x.dtype, torch.float32))", "values = x")],
        "The statistics of a bfloat16 batch are computed in bfloat16, with 8 bits. Convert x to "
        "float32 first, and the output back.",
        "L5",
    ),
    (
        "output in float32",
        [("return y.to(x.dtype)", "return y")],
        "For x in bfloat16 the output comes in float32. Convert it back to the dtype of x.",
        "L5",
    ),
)
