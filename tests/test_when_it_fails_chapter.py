"""The chapter on when batch norm fails: its lab and its code."""

import numpy as np
import pytest
import torch
from conftest import load_chapter_code as load
from torch import nn

from bncourse.lab import company, ensemble, small_batches
from bncourse.reference import convolution


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("groups", [1, 2])
def test_layer_and_group_norm_are_those_of_the_reference(groups):
    x = 3 + random(3, 5, 6)
    layer = small_batches.GroupNorm(3, 6, groups)
    for member, y in zip(x, layer(x), strict=True):
        as_images = member.numpy().astype(float)[:, :, None, None]
        want = convolution.groupnorm_forward(as_images, np.ones(6), np.zeros(6), groups)
        np.testing.assert_allclose(y.detach(), want[:, :, 0, 0], atol=1e-5)


def test_renorm_starts_as_batch_norm_and_ends_as_inference():
    x = 2 + 3 * random(2, 20, 4)
    layer, normed = small_batches.Renorm(2, 4, steps=10), ensemble.BatchNorm(2, 4)
    assert torch.allclose(layer(x), normed(x), atol=1e-5)
    # Past the half of the steps, with a batch close to the running statistics: no batch is left.
    layer.step = 10
    layer.mean.copy_(x.mean(1, keepdim=True) + 0.5)
    layer.std.copy_(2 * x.std(1, correction=0, keepdim=True))
    mean, std = layer.mean.clone(), layer.std.clone()
    y = layer(x)
    assert torch.allclose(y, (x - mean) / std, atol=1e-4)
    assert not torch.allclose(layer.mean, mean), "the running statistics go on"
    layer.mean.copy_(mean), layer.std.copy_(std)
    assert torch.allclose(layer.eval()(x), y, atol=1e-4)


def test_renorm_limits_its_correction_and_sends_no_gradient_through_it():
    x = random(1, 20, 1).requires_grad_()
    layer = small_batches.Renorm(1, 1, steps=2)
    layer.step = 2
    layer.mean.fill_(100.0), layer.std.fill_(1e-3)
    y = layer(x)
    assert y.mean().item() == pytest.approx(-layer.D_MAX, abs=1e-3)
    assert y.std(correction=0).item() == pytest.approx(layer.R_MAX, abs=1e-2)
    (dx,) = torch.autograd.grad(y.sum(), x)
    assert dx.abs().max() < 1e-4, "as in batch norm, a shift of the batch changes nothing"


def test_one_block_is_batch_norm_of_channels_and_blocks_of_one_that_of_pixels():
    x = 1 + random(6, 3, 4, 4)
    whole = small_batches.BlockNorm(3, 4, block=4)
    assert torch.allclose(whole(x), nn.BatchNorm2d(3)(x), atol=1e-5)
    single = small_batches.BlockNorm(3, 4, block=1)
    assert torch.allclose(single(x).flatten(1), nn.BatchNorm1d(48)(x.flatten(1)), atol=1e-5)
    half = small_batches.BlockNorm(3, 4, block=2)
    corner = nn.BatchNorm2d(3)(x[:, :, :2, 2:])
    assert torch.allclose(half(x)[:, :, :2, 2:], corner, atol=1e-5)


def test_the_members_of_the_convolutional_net_do_not_hear_of_each_other():
    x = random(2, 4, 64)
    both = small_batches.ConvNet([3, 5], block=2)(x)
    alone = small_batches.ConvNet([5], block=2)(x[1:])
    assert torch.allclose(both[1:], alone, atol=1e-5)


@pytest.mark.equation("T4")
def test_the_noise_counts_independent_pixels():
    assert small_batches.noise(random(4000, 2, 4, 4), 4) == pytest.approx(3 / 32, rel=0.1)
    assert small_batches.noise(random(4000, 2, 4, 4), 1) == pytest.approx(3 / 2, rel=0.1)
    equal = random(4000, 2, 1, 1).expand(-1, -1, 4, 4)
    assert small_batches.noise(equal, 4) == pytest.approx(3 / 2, rel=0.1)


@pytest.mark.parametrize("classes", [1, 3])
def test_a_batch_has_the_classes_that_it_may_have(classes):
    sweep = ensemble.Sweep((0.1, 0.2), (0, 1), size=40)
    stream = small_batches.batches_of_classes(sweep, classes)
    seen = set()
    for _ in range(12):
        x, y = next(stream)
        assert x.shape == (4, 40, 64)
        assert all(len(labels.unique()) == classes for labels in y)
        assert torch.equal(y[0], y[2]), "one seed, one batch"
        seen |= set(y[0].tolist())
    assert len(seen) > classes


def test_all_runs_repeat():
    short = {"seeds": (0,), "rates": (0.1,)}
    for measure in (
        lambda: small_batches.train.__wrapped__("renorm", 8, examples=40, **short),
        lambda: small_batches.of_few_classes.__wrapped__("batch norm", 2, steps=4, **short),
        lambda: small_batches.conv.__wrapped__(2, examples=8, **short),
        lambda: company.train_beside.__wrapped__(9.0, "layer norm", steps=4, **short),
    ):
        for one, other in zip(measure(), measure(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_looking_in_training_mode_leaves_a_net_as_it_was():
    sweep = ensemble.Sweep((0.1,), (0,))
    net = small_batches.mlps(sweep, ensemble.BatchNorm).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    x = sweep.x[:, :30]
    y = company.outputs_in_training(net, x)
    assert not net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.allclose(y, net.train()(x), atol=1e-6)
    assert not torch.equal(before["norm1.layer.running_mean"], net.norm1.layer.running_mean)


@pytest.mark.equation("T6")
def test_padding_reaches_the_statistics_only_without_a_mask():
    x = random(1, 6, 64)
    for masked in (True, False):
        net = company.Rows([0], masked)
        plain = net(x)
        net.padding = 8
        assert torch.allclose(net(x), plain, atol=1e-5) == masked


def test_pushes_stay_within_their_size_and_raise_the_loss():
    runs, rate = company.attacked.__wrapped__("batch norm", rates=(0.3,))
    assert rate == 0.3
    assert (np.diff(runs, axis=0) < 0).all(), "a larger push, fewer right answers"


def test_an_answer_takes_time():
    assert company.answer_time(True, rounds=1, calls=2) > 0


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_both_frameworks_normalise_without_the_padding():
    keras = pytest.importorskip("keras")
    x, lengths = 2 + random(3, 5, 2), torch.tensor([5, 2, 3])
    real = torch.arange(5) < lengths[:, None]
    norm = nn.BatchNorm1d(2, eps=1e-3)
    by_torch = load("when_it_fails_torch").normalize_real(norm, x, real).detach()
    rows = torch.cat([each[:n] for each, n in zip(x, lengths, strict=True)])
    want = (rows - rows.mean(0)) / (rows.var(0, correction=0) + 1e-3).sqrt()
    assert torch.allclose(by_torch[real], want, atol=1e-5)
    assert (by_torch[~real] == 0).all()
    code = load("when_it_fails_keras")
    layer = keras.layers.BatchNormalization()
    by_keras = code.normalize_real(layer, x.numpy(), real.numpy(), training=True)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(by_keras), by_torch, atol=1e-4)


def test_frozen_weights_stay_and_the_rest_learns():
    sweep = ensemble.Sweep((0.1,), (0,), size=20)
    net = small_batches.mlps(sweep, ensemble.BatchNorm)
    small_batches.freeze(net)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    next(ensemble.steps(net, sweep.batches(), sweep.lr))
    after = net.state_dict()
    rests = {name for name in before if torch.equal(before[name], after[name])}
    assert rests == {f"linear{depth}.weight" for depth in (1, 2, 3)}


@pytest.mark.equation("T3")
def test_most_pairs_stop_a_gradient_and_those_that_nearly_agree_stretch_it():
    x = torch.tensor([[1.0, 1.0], [2.0, 1.0 + 1e-9]], dtype=torch.float64).requires_grad_()
    y = nn.functional.batch_norm(x, None, None, training=True, eps=1e-5)
    dy = torch.tensor([[1.0], [-1.0]], dtype=torch.float64).expand(2, 2)
    (dx,) = torch.autograd.grad(y, x, dy)
    apart, close = (dx.norm(dim=0) / dy.norm(dim=0)).tolist()
    assert apart < 1e-3
    assert close == pytest.approx(1e-5**-0.5, rel=1e-3)


@pytest.mark.equation("T8")
def test_a_convolution_that_pads_keeps_a_change_of_contrast_and_not_of_brightness():
    u, w = random(20, 1, 8, 8).double(), random(3, 1, 3, 3, seed=1).double()

    def normed(u, padding):
        z = nn.functional.conv2d(u, w, padding=padding)
        return nn.functional.batch_norm(z, None, None, training=True, eps=1e-12)

    for padding in (0, 1):
        assert torch.allclose(normed(0.4 * u, padding), normed(u, padding))
        brighter = torch.allclose(normed(0.4 * u - 0.3, padding), normed(u, padding))
        assert brighter == (padding == 0)
