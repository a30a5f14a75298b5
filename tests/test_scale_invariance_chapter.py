"""The chapter on weights whose length does not count: its lab and its code."""

import numpy as np
import pytest
import torch
from conftest import load_chapter_code as load
from torch import nn

from bncourse.lab import scale


def alone(seed, **options):
    """Return the Trace of one seed, measured anew."""
    (found,) = scale.together.__wrapped__((seed,), **options)
    return found


def test_the_gradient_of_the_plane_is_that_of_its_loss():
    unit, w, h = scale.plane(1), np.array([0.7, -1.2]), 1e-6
    slopes = [(unit.loss(w + h * e) - unit.loss(w - h * e)) / (2 * h) for e in np.eye(2)]
    np.testing.assert_allclose(unit.gradient(w), slopes, rtol=1e-6)
    assert w @ unit.gradient(w) == pytest.approx(0, abs=1e-12)


@pytest.mark.equation("I6")
def test_decay_is_a_growing_rate():
    one = alone(1, decay=0.5, steps=30)
    other = alone(1, decay=0.5, steps=30, growing=True)
    np.testing.assert_allclose(one.outputs, other.outputs, atol=1e-9)
    assert other.rate[-1] == pytest.approx(0.1 * 0.95**-59)
    plain = alone(1, steps=30)
    assert np.abs(plain.outputs - one.outputs).max() > 0.1, "decay does change the way"


@pytest.mark.equation("I4")
def test_weights_only_grow_without_decay():
    length = alone(0, steps=20).length
    assert (np.diff(length) > 0).all()


@pytest.mark.equation("I7")
def test_at_rest_the_angle_is_that_of_the_decay():
    angles = alone(0, decay=0.5, scale=0.3, steps=250).angle[-150:]
    assert np.cos(angles).mean() == pytest.approx(0.95, abs=0.01)


def test_a_run_repeats():
    one, other = (alone(0, steps=5) for _ in range(2))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_seed_is_the_same_beside_others():
    many = scale.together.__wrapped__((0, 1, 2), decay=0.5, scale=3.0, steps=12)
    for seed, found in enumerate(many):
        for a, b in zip(found, alone(seed, decay=0.5, scale=3.0, steps=12), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert scale.train(1, 0.5, 3.0, steps=12).loss[0] == many[1].loss[0]
    assert not np.array_equal(many[0].loss, many[1].loss)


def test_torch_leaves_scales_and_biases_out_of_the_decay():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before = [p.detach().clone() for p in net.parameters()]
    optimizer = load("scale_invariance_torch").optimizer_for(net, 0.1, 0.5)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for p, old in zip(net.parameters(), before, strict=True):
        assert torch.allclose(p, old * (0.95 if p.ndim > 1 else 1))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_keras_leaves_scales_and_biases_out_of_the_decay():
    keras = pytest.importorskip("keras")
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4), keras.layers.BatchNormalization()]
    )
    variables = model.trainable_variables
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in variables]
    optimizer = load("scale_invariance_keras").optimizer_for(model, 0.1, 0.5)
    optimizer.apply([keras.ops.zeros(v.shape) for v in variables], variables)
    for v, old in zip(variables, before, strict=True):
        want = old * (0.95 if v.ndim > 1 else 1)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(v), want, rtol=1e-6)
