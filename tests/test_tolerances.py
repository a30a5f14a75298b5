"""Each tolerance stands in a gap: above the spread of correct solutions, below any mistake."""

import pytest
from test_exercises import CORRECT, EXERCISES, SEEDS

from bncourse.tolerances import Error, clearly_wrong, errors, spread

# What draws at random is seen through a sample. There the tolerance is eight standard deviations of
# a right solution, and a mistake may differ by little more: the ends of a uniform distribution.
SAMPLED = {"NoisyBatchNorm": (0.5, 1.2), "ResidualBlock": (0.5, 1.2)}
ROUNDED = (0.1, 10)


@pytest.mark.parametrize("name", EXERCISES)
def test_the_tolerance_is_ten_times_the_spread_of_correct_solutions(name):
    most, _ = SAMPLED.get(name, ROUNDED)
    worst = max(spread(EXERCISES[name], CORRECT[name], SEEDS), key=lambda error: error.ratio)
    assert worst.ratio <= most, worst


@pytest.mark.parametrize("name", EXERCISES)
def test_the_tolerance_is_a_tenth_of_the_smallest_mistake(name):
    # One seed is enough here: benchmarks/tolerances.py takes five, and tests/test_exercises.py
    # proves for each of its seeds that every mistake is rejected.
    exercise, (_, least) = EXERCISES[name], SAMPLED.get(name, ROUNDED)
    weak = [m.name for m in exercise.mistakes if not clearly_wrong(exercise, m, 0, least)]
    assert not weak


def test_errors_are_measured_against_the_size_of_the_array():
    exercise = EXERCISES["batch_statistics"]

    def off_by_a_thousandth(x):
        mean = x.mean(axis=0)
        return mean + 1e-3 * abs(mean).max(), x.var(axis=0)

    made = errors(exercise, off_by_a_thousandth, seed=0)
    assert max(error.size for error in made if error.label == "mean") == pytest.approx(
        1e-3, rel=1e-3
    )
    assert Error("mean", "float64", 1e-5, 1e-3).ratio == pytest.approx(100)


def test_a_wrong_shape_is_not_measured_by_value():
    def kept_dimensions(x):
        return x.mean(axis=0, keepdims=True), x.var(axis=0)

    assert errors(EXERCISES["batch_statistics"], kept_dimensions, seed=0) is None
    with pytest.raises(ValueError, match="kept_dimensions must be correct"):
        spread(EXERCISES["batch_statistics"], [kept_dimensions], SEEDS)
