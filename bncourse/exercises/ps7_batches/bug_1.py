"""fix_the_bug_1: the statistics are taken where autograd does not look."""

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
from bncourse.slips import Instead, Right


def repaired(x, gamma, beta, eps=1e-5):
    """Return batch norm of x, (N, D), in training; autograd finds dx."""
    mean, var = x.mean(dim=0), x.var(dim=0, unbiased=False)
    std = torch.sqrt(var + eps)
    y = gamma * (x - mean) / std + beta
    return y


slip = Right(repaired).slip

BUG = Exercise(
    name="fix_the_bug_1",
    signature=inspect.signature(repaired),
    cases=forward_cases,
    drive=drive_forward,
    reference=reference_forward,
    see="B7",
    insight="y was right all along: only a look at the gradient can find such a bug.",
    normalised="batch",
    tolerance=TOLERANCE,
    mistakes=(
        slip(
            "statistics without a graph",
            "dx treats the mean and the variance as constants, since autograd does not see how "
            "they are made (no_grad, detach or .data). Each x moves both: let the gradient "
            "through.",
            "X1",
            mean_var=Instead(
                "with torch.no_grad():\n    mean, var = x.mean(dim=0), x.var(dim=0, unbiased=False)"
            ),
        ),
        slip(
            "variance without a graph",
            "The gradient passes through the mean now, and not yet through the variance.",
            "B7",
            mean_var="x.mean(dim=0), x.detach().var(dim=0, unbiased=False)",
        ),
        slip(
            "mean without a graph",
            "The gradient passes through the variance now, and not yet through the mean.",
            "B7",
            mean_var="x.detach().mean(dim=0), x.var(dim=0, unbiased=False)",
        ),
        slip(
            "whole pass without a graph",
            "The output has lost its graph altogether: no gradient reaches x, gamma or beta. "
            "no_grad must go, and not grow.",
            "B7",
            y=Instead("with torch.no_grad():\n    y = gamma * (x - mean) / std + beta"),
        ),
        slip(
            "gradient switched off for x",
            "x is detached before it is centred, so the direct path from x to y is lost. Only the "
            "paths through mean and variance are left.",
            "B7",
            y="gamma * (x.detach() - mean) / std + beta",
        ),
        slip(
            "unbiased variance",
            hints.UNBIASED_VARIANCE,
            "F2",
            mean_var="x.mean(dim=0), x.var(dim=0)",
        ),
        slip(
            "cancellation",
            hints.CANCELLATION,
            "F15",
            mean_var="x.mean(dim=0), (x**2).mean(dim=0) - x.mean(dim=0) ** 2",
        ),
        slip(
            "eps outside the root",
            hints.EPS_OUTSIDE_THE_ROOT,
            "F3",
            std="torch.sqrt(var) + eps",
        ),
    ),
)
