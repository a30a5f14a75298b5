"""The experiments that take batch norm apart: networks side by side, interventions, landscapes."""

from itertools import islice

import numpy as np
import pytest
import torch
from test_chapter_code import load
from torch import nn

from bncourse.lab import data, ensemble, interventions, landscape, models, training

IMAGES = data.digits(0)


def small(seed, norm=nn.BatchNorm1d):
    return models.mlp([64, 7, 10], nn.ReLU, norm, seed=seed)


@pytest.mark.parametrize("norm", [None, nn.BatchNorm1d])
def test_networks_side_by_side_are_those_one_by_one(norm):
    rates, seeds, steps = (0.1, 0.5), (0, 1), 20
    sweep = ensemble.Sweep(rates, seeds)
    net = ensemble.stack(sweep.nets(lambda seed: small(seed, norm)))
    losses = torch.stack(list(islice(ensemble.steps(net, sweep.batches(), sweep.lr), steps)))
    (accuracy,) = sweep.test_accuracy(net)
    for row, lr in enumerate(rates):
        for column, seed in enumerate(seeds):
            digits, single = data.digits(seed), small(seed, norm)
            stream = data.batches(digits.x, digits.y, 60, seed)
            alone = training.sgd_steps(single, stream, nn.functional.cross_entropy, lr)
            got = sweep.shape(losses)[:, row, column].numpy()
            np.testing.assert_allclose(got, list(islice(alone, steps)), atol=1e-4)
            expected = training.accuracy(single, digits.x_test, digits.y_test)
            assert sweep.shape(accuracy)[row, column].item() == pytest.approx(expected, abs=0.01)


def test_the_test_images_are_dealt_out_once():
    sweep = ensemble.Sweep((0.1,), (0,))
    net = ensemble.stack(sweep.nets(small))
    (whole,) = sweep.test_accuracy(net)
    halves = sweep.test_accuracy(net, 2)
    count = len(IMAGES.x_test)
    sizes = [(count + 1) // 2, count // 2]
    right = sum(half.item() * size for half, size in zip(halves, sizes, strict=True))
    assert right == pytest.approx(whole.item() * count, abs=1e-3)


@pytest.mark.equation("D1")
def test_the_noise_is_a_shift_of_the_whole_batch():
    layer = interventions.NoisyBatchNorm(2, 3, shift=0.5, scale=0.5)
    x = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(0))
    quiet = layer(x)
    layer.renew()
    loud = layer(x)
    assert torch.allclose(loud, layer.s * quiet + layer.m)
    assert torch.equal(loud, layer(x)), "the noise is that of the step"
    layer.eval()
    assert torch.equal(layer(x), layer.norm(x))


def plain_net(seed=0):
    return models.mlp([64, 9, 8, 10], nn.Sigmoid, seed=seed)


@pytest.mark.equation("D2")
def test_one_batch_leaves_the_folded_net_as_batch_norm_would():
    folded = ensemble.stack([plain_net()])
    x = IMAGES.x[None, :50]
    interventions.normalize_once(folded, x, eps=0)
    a = x
    for name, part in folded.named_children():
        a = part(a)
        if name in ("linear1", "linear2"):
            assert torch.allclose(a.mean(1), torch.zeros(1), atol=1e-5)
            assert torch.allclose(a.std(1, correction=0), torch.ones(1), atol=1e-4)
    assert torch.equal(folded.linear3.weight[0].T, plain_net().linear3.weight), "not the last"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_both_frameworks_fold_as_the_lab_does():
    import keras

    x = IMAGES.x[:50]
    folded = ensemble.stack([plain_net()])
    interventions.normalize_once(folded, x[None])
    by_torch = plain_net()
    load("reduce_shift_torch").normalize_once(by_torch, x)
    layers = [keras.Input((64,))]
    for width in (9, 8):
        layers += [keras.layers.Dense(width), keras.layers.Activation("sigmoid")]
    by_keras = keras.Sequential([*layers, keras.layers.Dense(10)])
    arrays = [p.detach().numpy() for p in plain_net().parameters()]
    by_keras.set_weights([a.T if a.ndim == 2 else a for a in arrays])
    load("reduce_shift_keras").normalize_once(by_keras, x.numpy())
    expected = folded(x[None])[0].detach().numpy()
    np.testing.assert_allclose(by_torch(x).detach().numpy(), expected, atol=1e-4)
    got = keras.ops.convert_to_numpy(by_keras(x.numpy()))
    np.testing.assert_allclose(got, expected, atol=1e-3)


@pytest.mark.equation("D5")
def test_a_map_with_a_length_of_its_own_starts_as_the_map():
    linear = ensemble.stack([plain_net()]).linear1
    directed = ensemble.Directed(linear.weight.detach().clone(), linear.bias.detach().clone())
    x = IMAGES.x[None, :20]
    assert torch.allclose(directed(x), linear(x), atol=1e-5)
    with torch.no_grad():
        directed.weight *= 3
    assert torch.allclose(directed(x), linear(x), atol=1e-5), "the length is g alone"


def test_all_kinds_of_networks_train_and_repeat():
    for kind in interventions.KINDS:
        runs = [
            interventions.train.__wrapped__(kind, "ReLU", rates=(0.1,), seeds=(0,), steps=3)
            for _ in range(2)
        ]
        for one, other in zip(*runs, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.shape == (1, 1)
            assert np.isfinite(one).all()


@pytest.mark.equation("D3")
def test_a_path_moves_every_layer_by_its_share():
    net = ensemble.stack([small(0)]).double()
    x, y = IMAGES.x[None, :40].double(), IMAGES.y[None, :40]
    before = [p.clone() for p in net.parameters()]
    found = landscape.path(net, x, y, (0.1,))
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    weights = [net.linear1.weight, net.linear2.weight]
    gradients = torch.autograd.grad(ensemble.losses(net(x), y).sum(), weights)
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= 0.1 * weight.norm() * gradient / gradient.norm()
        after = ensemble.losses(net(x), y)
    np.testing.assert_allclose(found.along[0], after.numpy())


@pytest.mark.equation("D4")
def test_a_straight_line_keeps_all_of_its_promise(monkeypatch):
    monkeypatch.setattr(ensemble, "losses", lambda outputs, y: outputs.mean(dim=(1, 2)))
    net = ensemble.stack([models.mlp([64, 10], seed=0)]).double()
    x, y = IMAGES.x[None, :40].double(), IMAGES.y[None, :40]
    np.testing.assert_allclose(landscape.path(net, x, y, (0.01, 1.0)).kept, 1)


def test_a_network_is_looked_at_as_soon_as_its_loss_is_low_enough():
    found = landscape.at_equal_loss.__wrapped__("batch norm", "ReLU", 0.3, 2.0, seeds=(0, 1))
    assert ((found.loss < 2) & (found.loss > 1)).all()
    assert found.along.shape == (len(landscape.SIZES), 2)
    never = landscape.at_equal_loss.__wrapped__("once", "ReLU", 0.1, 0.1, seeds=(0,), most=2)
    assert np.isnan(never.kept).all()


@pytest.mark.skipif(not data.fashion_is_installed(), reason="dataset-fashion-mnist is missing")
def test_fashion_is_read_as_its_files_say():
    split = data.fashion(seed=1, train=50, test=20)
    assert split.x.shape == (50, 784)
    assert split.x_test.shape == (20, 784)
    assert 0 <= split.x.min() < 0.01 < 0.99 < split.x.max() <= 1
    assert set(split.y.tolist()) <= set(range(10))
    assert torch.equal(split.x, data.fashion(seed=1, train=50, test=20).x)
