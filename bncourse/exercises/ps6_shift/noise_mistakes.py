"""What people get wrong when they write NoisyBatchNorm, as slips of two right layers."""

import torch
from torch import nn

from bncourse.slips import Instead, Right


class NoisyBatchNorm(nn.Module):
    def __init__(self, num_features, shift=0.5, scale=0.5, seed=0):
        super().__init__()
        self.norm = nn.BatchNorm1d(num_features)
        self.m_spread = shift
        self.s_spread = scale
        self.generator = torch.Generator().manual_seed(seed)

    def noisy(self, y):
        size = y.shape[1]
        for_s = torch.randn(size, generator=self.generator).to(y)
        for_m = torch.randn(size, generator=self.generator).to(y)
        s = torch.exp(self.s_spread * for_s)
        m = self.m_spread * for_m
        out = s * y + m
        return out

    def forward(self, x):
        y = self.norm(x)
        result = self.noisy(y) if self.training else y
        return result


class WrittenOut(nn.BatchNorm1d):
    def __init__(self, num_features, shift=0.5, scale=0.5, seed=0):
        super().__init__(num_features)
        self.spreads = torch.tensor([[scale], [shift]])
        self.generator = torch.Generator()
        self.generator.manual_seed(seed)

    def forward(self, x):
        y = super().forward(x)
        if not self.training:
            return y
        shape = (2, self.num_features)
        drawn = torch.normal(0.0, 1.0, shape, generator=self.generator) * self.spreads
        log_s, m = drawn.to(y)
        factor = log_s.exp()
        return torch.addcmul(m, factor, y)


slip = Right(NoisyBatchNorm).slip

NOISE_MISTAKES = (
    slip(
        "noise in eval mode",
        "There is noise in eval mode. At inference s = 1 and m = 0: return what batch norm gives.",
        "D1",
        result="self.noisy(y)",
    ),
    slip(
        "noise with gradients only",
        "There is noise where gradients are on, and none under torch.no_grad(). The mode decides: "
        "ask self.training.",
        "D1",
        result="self.noisy(y) if self.training and torch.is_grad_enabled() else y",
    ),
    slip(
        "drawn once",
        "The noise is drawn once, or from a generator that starts anew in every pass, so that all "
        "steps have the same. Make the generator in __init__, and draw in forward.",
        "D1",
        for_s="torch.randn(size, generator=torch.Generator().manual_seed(1)).to(y)",
        for_m="torch.randn(size, generator=torch.Generator().manual_seed(2)).to(y)",
    ),
    slip(
        "noise between examples",
        "Each example gets a noise of its own. All examples of a batch share one s and one m per "
        "unit: draw (D,) numbers, not (N, D) or (N, 1).",
        "D1",
        for_s="torch.randn(y.shape, generator=self.generator).to(y)",
        for_m="torch.randn(y.shape, generator=self.generator).to(y)",
    ),
    slip(
        "one draw for all units",
        "One number is drawn for all units. Each unit has an s and an m of its own.",
        "D1",
        for_s="torch.randn(1, generator=self.generator).to(y)",
        for_m="torch.randn(1, generator=self.generator).to(y)",
    ),
    slip(
        "variance for standard deviation",
        "The spread is squared. shift and scale are standard deviations.",
        "D1",
        s="torch.exp(self.s_spread**2 * for_s)",
        m="self.m_spread**2 * for_m",
    ),
    slip(
        "spread taken for a variance",
        "The root of the spread is taken, as if shift and scale were variances. They are standard "
        "deviations.",
        "D1",
        s="torch.exp(self.s_spread**0.5 * for_s)",
        m="self.m_spread**0.5 * for_m",
    ),
    slip(
        "shift and scale swapped",
        "The spreads are swapped: shift is that of m, scale that of log s.",
        "D1",
        s="torch.exp(self.m_spread * for_s)",
        m="self.s_spread * for_m",
    ),
    slip(
        "spreads ignored",
        "The spreads are always 0.5. Use shift and scale.",
        "D1",
        s="torch.exp(0.5 * for_s)",
        m="0.5 * for_m",
    ),
    slip(
        "s normal in place of log s",
        "s itself has a normal distribution here, and can be negative. It is log s that has one: "
        "take the exponential.",
        "D1",
        s="1 + self.s_spread * for_s",
    ),
    slip(
        "exponential forgotten, and one",
        "s is log s: the exponential is missing. Without noise s must be 1, not 0.",
        "D1",
        s="self.s_spread * for_s",
    ),
    slip(
        "m with a mean",
        "m is positive: it is an exponential too. It has a normal distribution around 0.",
        "D1",
        m="torch.exp(self.m_spread * for_m)",
    ),
    slip(
        "uniform in place of normal",
        "The noise is drawn from a uniform distribution. m and log s are normal: torch.randn.",
        "D1",
        for_s="12**0.5 * (torch.rand(size, generator=self.generator).to(y) - 0.5)",
        for_m="12**0.5 * (torch.rand(size, generator=self.generator).to(y) - 0.5)",
    ),
    slip(
        "uniform from 0 to 1",
        "The noise is drawn with torch.rand, between 0 and 1. m and log s are normal around 0: "
        "torch.randn.",
        "D1",
        for_s="torch.rand(size, generator=self.generator).to(y)",
        for_m="torch.rand(size, generator=self.generator).to(y)",
    ),
    slip(
        "one draw for both",
        "s and m are made from the same random numbers, so that they rise and fall together. Draw "
        "twice.",
        "D1",
        for_m="for_s",
    ),
    slip(
        "noise before batch norm",
        "The noise is put on the input, and batch norm takes it away. Put it on what batch norm "
        "hands on.",
        "D1",
        y="self.norm(self.noisy(x)) if self.training else self.norm(x)",
        result="y",
    ),
    slip(
        "noise before gamma and beta",
        "The noise is put on x_hat, before gamma and beta. Put it on what batch norm hands on.",
        "D1",
        out="s * (y - self.norm.bias) + m * self.norm.weight + self.norm.bias",
    ),
    slip(
        "shift inside the scale",
        "m is scaled too: s (y + m). It is s y + m.",
        "D1",
        out="s * (y + m)",
    ),
    slip(
        "only a shift",
        "There is no scale: y' = s y + m.",
        "D1",
        out="y + m",
    ),
    slip(
        "only a scale",
        "There is no shift: y' = s y + m.",
        "D1",
        out="s * y",
    ),
    slip(
        "global random state",
        "The noise comes from a global random state, torch's or NumPy's, which others set and draw "
        "from: the layer changes what they get, and its own draws depend on them. Use a "
        "torch.Generator of its own, with the seed.",
        "D1",
        for_s="torch.randn(size).to(y)",
        for_m="torch.randn(size).to(y)",
    ),
    slip(
        "seed ignored",
        "The seed is not used: all layers draw the same noise, whatever their seed.",
        "D1",
        generator="torch.Generator().manual_seed(0)",
    ),
    slip(
        "seed of the day",
        "The generator begins where chance has it, or all layers share one. With one seed, two "
        "layers must draw the same: self.generator = torch.Generator().manual_seed(seed).",
        "D1",
        generator=Instead("self.generator = torch.Generator()\nself.generator.seed()"),
    ),
    slip(
        "noise that learns",
        "s or m is an nn.Parameter, and an optimizer would train the noise away. Keep it in a "
        "plain tensor.",
        "D1",
        s_spread="nn.Parameter(torch.tensor(float(scale)))",
    ),
    slip(
        "gradient cut",
        "No gradient passes: the output is detached, or made under no_grad. Only the noise is "
        "constant.",
        "D1",
        out="(s * y + m).detach()",
    ),
    slip(
        "gradient without the scale",
        "The gradient passes as if there were no scale. s is a constant factor, and the gradient "
        "is multiplied by it too.",
        "D1",
        out="y + ((s - 1) * y + m).detach()",
    ),
    slip(
        "running statistics in training",
        "Batch norm uses the running statistics in training. Call the layer itself, in its mode: "
        "self.norm(x).",
        "D1",
        y=Instead(
            "norm = self.norm\n"
            "y = nn.functional.batch_norm(\n"
            "    x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.1, 1e-5\n"
            ")"
        ),
    ),
    slip(
        "statistics of the batch in eval mode",
        "Batch norm uses the statistics of the batch in eval mode too. Call the layer itself, in "
        "its mode: self.norm(x).",
        "D1",
        y="self.norm.train()(x)",
    ),
)
