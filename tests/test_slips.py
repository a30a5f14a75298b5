"""A slip: one step of a right solution, replaced."""

import inspect

import pytest

from bncourse.slips import Instead, Right


def scaled(x, by=2.0):
    mean = x / 2
    x_hat = x - mean
    y = by * x_hat
    return y, mean


class Layer:
    def __init__(self, weight=3.0):
        super().__init__()
        self.weight = weight
        self.seen = []

    def forward(self, x):
        weight = self.weight
        y = weight * x
        self.seen.append(y)
        return y


def test_an_expression_is_replaced():
    assert Right(scaled).wrong(y="x_hat")(4.0) == (2.0, 2.0)


def test_several_steps_are_replaced_at_once():
    assert Right(scaled).wrong(mean="x / 4", y="x_hat", returns="y")(4.0) == 3.0


def test_a_default_is_a_step():
    assert Right(scaled).wrong(by="10.0")(4.0)[0] == 20.0


def test_statements_stand_in_the_place_of_a_step():
    wrong = Right(scaled).wrong(x_hat=Instead("mean = 2 * mean\nx_hat = x - mean"))
    assert wrong(4.0) == (0.0, 4.0)
    assert "    mean = 2 * mean\n    x_hat = x - mean\n" in inspect.getsource(wrong)


def test_a_step_may_be_left_out():
    assert Right(scaled).wrong(y=Instead(), returns="x_hat")(4.0) == 2.0


def test_a_step_of_a_class_is_named_with_its_method():
    assert Right(Layer).wrong(forward__weight="1.0")().forward(5.0) == 5.0
    assert "class Layer" in inspect.getsource(Right(Layer).wrong(y="x"))


def test_a_call_that_stands_alone_is_a_step():
    layer = Right(Layer).wrong(seen_append="self.seen.append(x)", super_init=Instead())()
    assert layer.forward(5.0) == 15.0
    assert layer.seen == [5.0]


@pytest.mark.parametrize("step", ["gamma", "weight"])
def test_a_step_that_is_missing_or_twice_there_is_refused(step):
    with pytest.raises(ValueError, match="must stand once"):
        Right(Layer).wrong(**{step: "1.0"})


def test_a_slip_that_changes_nothing_is_refused():
    with pytest.raises(ValueError, match="must change the source"):
        Right(scaled).wrong(y="by * x_hat")
