"""fix_the_bug_7: a fresh tensor, with nothing behind it."""

import inspect

import torch

from bncourse.exercise import Exercise
from bncourse.exercises import hints
from bncourse.exercises.ps7_batches.bug_drive import (
    drive_forward,
    forward_cases,
    reference_forward,
)
from bncourse.exercises.torch_drive import TOLERANCE
from bncourse.slips import Right


def repaired(x, gamma, beta, eps=1e-5):
    """Return batch norm of x, (N, D), as a layer of a net that learns."""
    values, scale, shift = x, gamma, beta
    mean = values.mean(0)
    var = ((values - mean) ** 2).mean(0)
    std = (var + eps) ** 0.5
    y = scale * (values - mean) / std + shift
    return y


slip = Right(repaired).slip

BUG = Exercise(
    name="fix_the_bug_7",
    signature=inspect.signature(repaired),
    cases=forward_cases,
    drive=drive_forward,
    reference=reference_forward,
    see="B7",
    insight="Below a fresh tensor nothing learns, and no error says so: ask each .grad.",
    normalised="batch",
    tolerance=TOLERANCE,
    mistakes=(
        slip(
            "fresh tensor",
            "y has the right numbers, and nothing behind them: it is a new tensor. With "
            "requires_grad a graph begins at it; none leads back to x, gamma or beta. Compute "
            "with the tensors themselves.",
            "B7",
            values_scale_shift="(t.detach().numpy() for t in (x, gamma, beta))",
            returns="torch.tensor(y, requires_grad=True)",
        ),
        slip(
            "x outside of autograd",
            "gamma and beta learn now. x still leaves autograd (numpy, detach), so all layers "
            "below get no gradient.",
            "B7",
            values_scale_shift="x.detach(), gamma, beta",
        ),
        slip(
            "gamma and beta outside of autograd",
            "gamma and beta still leave autograd (numpy, detach), so they keep the values they "
            "start with.",
            "B6",
            values_scale_shift="x, gamma.detach(), beta.detach()",
        ),
        slip(
            "gamma outside of autograd",
            "gamma still leaves autograd (numpy, detach), so it keeps the value it starts with.",
            "B6",
            values_scale_shift="x, gamma.detach(), beta",
        ),
        slip(
            "beta outside of autograd",
            "beta still leaves autograd (numpy, detach), so it keeps the value it starts with.",
            "B6",
            values_scale_shift="x, gamma, beta.detach()",
        ),
        slip(
            "mean outside of autograd",
            "The graph reaches x, and not through its mean: that is made of numbers that left "
            "autograd.",
            "B7",
            mean="values.detach().mean(0)",
        ),
        slip(
            "variance outside of autograd",
            "The graph reaches x, and not through its variance: that is made of numbers that left "
            "autograd.",
            "B7",
            var="((values - mean) ** 2).detach().mean(0)",
        ),
        slip(
            "statistics outside of autograd",
            "The graph reaches x, and not through its statistics: they are made of numbers that "
            "left autograd. Take mean and variance of x itself.",
            "X1",
            mean="values.detach().mean(0)",
            var="((values.detach() - mean) ** 2).mean(0)",
        ),
        slip(
            "no graph at all",
            "y is a tensor without a graph: autograd cannot begin. And requires_grad=True would "
            "only begin one at y.",
            "B7",
            returns="y.detach()",
        ),
        slip(
            "unbiased variance",
            hints.UNBIASED_VARIANCE,
            "F2",
            var="values.var(0)",
        ),
        slip(
            "cancellation",
            hints.CANCELLATION,
            "F15",
            var="(values**2).mean(0) - mean**2",
        ),
        slip(
            "eps outside the root",
            hints.EPS_OUTSIDE_THE_ROOT,
            "F3",
            std="var**0.5 + eps",
        ),
    ),
)
