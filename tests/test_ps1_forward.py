"""Published answers to problem set 1 that were once accepted, or told a wrong cause."""

import inspect
import warnings

import numpy as np
import pytest

from bncourse import check
from bncourse.attempt import attempt
from bncourse.check import CheckFailed
from bncourse.exercise import draw_cases
from bncourse.judge import judge
from bncourse.registry import load
from bncourse.trial.sample_class import source_of

SETS = ("ps1_forward", "ps2_backward")
EXERCISES = {name: exercise for each in SETS for name, exercise in load(each).items()}
# One of these mistakes once passed at some seeds and failed at others.
SEEDS = range(12)


def cause(name, obj, seed=0):
    """Return the name of the mistake that a solution is told, or what it is told without one."""
    exercise = EXERCISES[name]
    cases = draw_cases(exercise, seed)
    with warnings.catch_warnings():
        # A wrong solution may divide by zero.
        warnings.simplefilter("ignore")
        attempts = {label: attempt(exercise, obj, case) for label, case in cases.items()}
        verdict = judge(exercise, cases, attempts)
    return verdict.mistake.name if verdict.mistake else verdict.finding


# --- accepted once ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_padded_count_is_wrong_at_every_seed(seed):
    def merge(count_a, mean_a, var_a, count_b, mean_b, var_b):
        total = count_a + count_b
        delta = mean_b - mean_a
        new_mean = mean_a + delta * count_b / total
        m_a, m_b = var_a * (count_a + 1e-4), var_b * count_b
        m_2 = m_a + m_b + np.square(delta) * count_a * count_b / total
        return total, new_mean, m_2 / total

    assert cause("merge_statistics", merge, seed) == "count padded"


def test_statistics_of_one_feature_keep_their_axis():
    def squeezing(x):
        mean = np.squeeze(np.mean(x, axis=0, keepdims=True))
        var = np.squeeze(np.mean((x - mean) ** 2, axis=0, keepdims=True))
        return mean, var

    with pytest.raises(CheckFailed, match=r'Case "one feature":\s+mean must have shape \(1,\)'):
        check(squeezing, "batch_statistics")
    assert cause("batch_statistics", squeezing) == "squeezed"


def normalize_in_float32(x, mean, var, eps=1e-5):
    x32, mean32, var32 = (value.astype(np.float32) for value in (x, mean, var))
    return ((x32 - mean32) / np.sqrt(var32 + np.float32(eps))).astype(x.dtype)


def forward_in_float32(x, gamma, beta, eps=1e-5):
    dtype = x.dtype
    x, gamma, beta = (value.astype(np.float32) for value in (x, gamma, beta))
    inv_std = 1 / np.sqrt(x.var(axis=0) + eps)
    x_hat = (x - x.mean(axis=0)) * inv_std
    cache = {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}
    y = (gamma * x_hat + beta).astype(dtype)
    return y, {name: value.astype(dtype) for name, value in cache.items()}


def forward_accumulated_in_float32(x, gamma, beta, eps=1e-5):
    mean, var = np.zeros(x.shape[1], np.float32), np.zeros(x.shape[1], np.float32)
    for row in x:
        mean += row / len(x)
    for row in x:
        var += (row - mean) ** 2 / len(x)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    cache = {"x_hat": x_hat, "inv_std": inv_std.astype(x.dtype), "gamma": gamma}
    return gamma * x_hat + beta, cache


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("name", "obj"),
    [
        ("normalize", normalize_in_float32),
        ("batchnorm_forward", forward_in_float32),
        ("batchnorm_forward", forward_accumulated_in_float32),
    ],
)
def test_float32_is_not_enough_where_float64_is_given(name, obj, seed):
    with pytest.raises(CheckFailed, match="is off in"):
        check(obj, name, seed=seed)


# --- told a wrong cause once ------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_eps_in_the_variance_is_not_taken_for_cancellation(seed):
    cases = {
        "eps added": lambda x: (x.mean(0), x.var(0) + 1e-5),
        "eps added, 1e-8": lambda x: (np.mean(x, axis=0), np.var(x, axis=0) + 1e-8),
    }
    assert {cause("batch_statistics", obj, seed) for obj in cases.values()} == set(cases)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rounded_input_is_not_taken_for_cancellation(seed):
    def rounded(x):
        x = x.astype(np.float32).astype(x.dtype)
        return x.mean(0), x.var(0)

    assert cause("batch_statistics", rounded, seed) == "input rounded"


# --- the form of a mistake --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exercise", "mistake"),
    [
        pytest.param(exercise, mistake, id=f"{exercise.name}-{mistake.name}")
        for exercise in EXERCISES.values()
        for mistake in exercise.mistakes
    ],
)
def test_a_mistake_can_be_handed_in_as_it_is(exercise, mistake):
    """Its source needs nothing but NumPy, and does what the mistake does."""
    cell = {"np": np}
    exec(source_of(mistake, exercise.name), cell)
    assert inspect.signature(cell[exercise.name]).parameters.keys() == (
        exercise.signature.parameters.keys()
    )
    assert cause(exercise.name, cell[exercise.name]) == mistake.name
