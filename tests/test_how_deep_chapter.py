"""The chapter on depth: its lab, its rates, its code."""

import numpy as np
import pytest
import torch
from conftest import load_chapter_code as load

from bncourse.lab import deep


@pytest.mark.equation("H3")
def test_the_factor_of_a_relu():
    assert deep.growth("ReLU") == pytest.approx(np.pi / (np.pi - 1), rel=1e-6)
    assert deep.growth("identity") == pytest.approx(1)


def test_nets_side_by_side_are_what_they_are_alone():
    x = torch.randn(64, 20, generator=torch.Generator().manual_seed(0))
    both = deep.Deep("residual", 5, seeds=(3, 4), width=8)
    for place, seed in enumerate((3, 4)):
        alone = deep.Deep("residual", 5, seeds=(seed,), width=8)
        got, want = both(x.expand(2, -1, -1))[place], alone(x[None])[0]
        assert torch.allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("kind", deep.KINDS)
def test_a_net_has_the_layers_of_its_kind(kind):
    net = deep.Deep(kind, 5, seeds=(0,), width=8)
    states = net.states(torch.rand(1, 64, 20))
    assert len(net.linears) == 5
    assert len(states) == (5 if kind.startswith("plain") else 3)
    assert torch.equal(states[0], states[-1]) == kind.startswith("scale 0")


@pytest.mark.equation("H2")
def test_the_gradient_grows_by_the_factor_in_a_wide_net():
    gradient = deep.start.__wrapped__("plain", 20, "tanh", width=300).gradient
    rate = (gradient[3] / gradient[18]) ** (1 / 15)
    np.testing.assert_allclose(rate, deep.growth("tanh") ** 0.5, atol=0.02)


def test_relative_steps_move_each_layer_by_its_share():
    rates = 0.1, 0.03
    run, slow = deep.at_rates.__wrapped__("plain", 4, rates, steps=3, relative=True)
    again = deep.at_rates.__wrapped__("plain", 4, rates, steps=3, relative=True)[0]
    assert run.loss.shape == (3, 5)
    assert run.gradient.shape == (3, 4, 5)
    for one, other in zip(run, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (run.loss[0] == slow.loss[0]).all()
    assert (run.loss[1] != slow.loss[1]).all()


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("kind", ["plain", "scale 0, no norm"])
def test_a_rate_is_the_same_beside_others(kind, relative):
    options = {"steps": 4, "relative": relative}
    many = deep.at_rates.__wrapped__(kind, 5, deep.RATES[:3], **options)
    for lr, found in zip(deep.RATES, many, strict=False):
        (alone,) = deep.at_rates.__wrapped__(kind, 5, (lr,), **options)
        for a, b in zip(found, alone, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "depth"), deep.BEST_RATE)
def test_each_net_is_shown_at_its_best_rate(kind, depth):
    runs = dict(zip(deep.RATES, deep.at_rates(kind, depth, deep.RATES), strict=True))
    found = {lr: np.median(run.final) for lr, run in runs.items()}
    # Rates that differ by rounding share the first place.
    assert found[deep.BEST_RATE[kind, depth]] <= 1.1 * min(found.values())
    if (kind, depth) == ("plain", 100):
        assert all((run.accuracy < 0.25).all() for run in runs.values()), "chance at every rate"


def test_the_torch_block_starts_as_the_identity():
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    block = load("how_deep_torch").Block(4)
    y = block(x)
    assert torch.equal(x, y)
    y.square().sum().backward()
    assert block.branch[-1].weight.grad.abs().max() > 0, "the scale learns"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_keras_block_starts_as_the_identity():
    keras = pytest.importorskip("keras")
    x = keras.Input((4,))
    model = keras.Model(x, load("how_deep_keras").block(x, 4))
    sample = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    for training in (True, False):
        np.testing.assert_array_equal(model(sample, training=training).cpu().detach(), sample)
