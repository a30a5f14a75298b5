"""The chapter on the relatives of batch norm: its layers, its grid, its code."""

import numpy as np
import pytest
import torch
from conftest import load_chapter_code as load
from torch import nn

from bncourse.figures import relatives as figures
from bncourse.lab import ensemble, relatives
from bncourse.reference import batches, convolution, forward

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def batch():
    """Return x (3 members, N = 8, width 20) in float64, far from standardised."""
    generator = torch.Generator().manual_seed(0)
    return 2 + 3 * torch.randn(3, 8, 20, generator=generator, dtype=torch.float64)


def made(layer, *arguments):
    """Return a layer of three members and width 20 whose scale and shift are not 1 and 0."""
    generator = torch.Generator().manual_seed(1)
    norm = layer(3, 20, *arguments).double()
    with torch.no_grad():
        for parameter in (norm.weight, norm.bias):
            if parameter is not None:
                parameter.uniform_(0.5, 2, generator=generator)
    return norm


def by_member(norm, x, one):
    """Return what a function of arrays (x, gamma, beta) makes of each member."""
    beta = norm.weight * 0 if norm.bias is None else norm.bias
    arrays = (x, norm.weight[:, 0], beta[:, 0])
    parts = zip(*(array.detach().numpy() for array in arrays), strict=True)
    return np.stack([one(*part) for part in parts])


def as_image(x, gamma, beta, groups):
    """Return group norm of (N, D) whose features are channels of one pixel."""
    return convolution.groupnorm_forward(x[:, :, None, None], gamma, beta, groups)[..., 0, 0]


@pytest.mark.parametrize(
    ("layer", "oracle"),
    [
        (relatives.Batch, lambda *part: forward.batchnorm_forward(*part)[0]),
        (relatives.Layer, lambda *part: convolution.layernorm_forward(*part)[0]),
        (relatives.Group, lambda *part: as_image(*part, relatives.GROUPS)),
    ],
)
def test_the_norms_are_those_of_the_reference(batch, layer, oracle):
    norm = made(layer)
    got = norm(batch).detach().numpy()
    np.testing.assert_allclose(got, by_member(norm, batch, oracle), atol=1e-10)


@pytest.mark.equation("A1")
def test_rms_norm_is_that_of_pytorch(batch):
    norm = made(relatives.RMS)
    for member, x in enumerate(batch):
        want = nn.functional.rms_norm(x, (20,), norm.weight[member, 0], eps=relatives.EPS)
        assert torch.allclose(norm(batch)[member], want)


def test_ghosts_are_batches_of_their_own(batch):
    norm = made(relatives.Batch, 4)
    whole = made(relatives.Batch)
    want = torch.cat([whole(batch[:, :4]), whole(batch[:, 4:])], dim=1)
    assert torch.allclose(norm(batch), want)


@pytest.mark.parametrize("ghost", [None, 4])
def test_the_running_statistics_are_those_of_pytorch(batch, ghost):
    norm = made(relatives.Batch, ghost)
    theirs = nn.BatchNorm1d(20, dtype=torch.float64)
    norm(batch)
    if ghost is None:
        theirs(batch[0])
        assert torch.allclose(norm.mean[0, 0], theirs.running_mean)
        assert torch.allclose(norm.var[0, 0], theirs.running_var)
        norm.eval(), theirs.eval()
        plain = (norm(batch)[0] - norm.bias[0]) / norm.weight[0]
        assert torch.allclose(plain, theirs(batch[0]))
    else:
        variances = batch[0].unflatten(0, (2, 4)).var(dim=1).mean(0)
        assert torch.allclose(norm.var[0, 0], 0.9 + 0.1 * variances)


@pytest.mark.equation("A2")
def test_renorm_is_inference_within_its_bounds(batch):
    norm = relatives.Renorm(3, 20, warm=1).double()
    plain = relatives.Batch(3, 20).double()
    assert torch.allclose(norm(batch), plain(batch)), "warm: batch norm"
    stored = norm.mean.clone(), norm.var.clone()
    inside = batch / 2 + 0.1
    got = norm(inside)
    assert torch.allclose(got, relatives.standardized(inside, *stored))
    far = norm(1e4 + 1e3 * batch)
    x_hat = relatives.Batch(3, 20).double()(1e4 + 1e3 * batch)
    assert torch.allclose(far, 3 * x_hat + 5, atol=1e-6), "r and d at their largest"


@pytest.mark.equation("A2")
def test_renorm_has_no_gradient_through_r_and_d(batch):
    norm = relatives.Renorm(3, 20, warm=0).double()
    x = batch.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(norm(x).sum(), x)
    assert gradient.abs().max() < 1e-9, "as in batch norm, the sum over a batch does not move"


@pytest.mark.equation("A3")
def test_batch_layer_norm_weighs_by_the_batch_size(batch):
    norm = relatives.BatchLayer(3, 20).double()
    got = norm(batch)
    eps, x = 1e-3, batch
    by_batch = (x - x.mean(1, keepdim=True)) / (x.var(1, False, keepdim=True) + eps).sqrt()
    by_layer = (x - x.mean(2, keepdim=True)) / (x.var(2, False, keepdim=True) + eps).sqrt()
    want = ((1 / 8 - 1e-4) * by_layer + (7 / 8 - 1e-4) * by_batch) / 20**0.5
    assert torch.allclose(got, want)
    norm.eval()
    assert torch.allclose(norm(x)[:, :3], norm(x[:, :3])), "inference: an example on its own"


@pytest.mark.equation("A4")
def test_standardised_weights_have_mean_zero_and_length_one():
    linear = relatives.Standardized(2 + torch.randn(2, 30, 7))
    weights = linear.matrix()
    assert weights.mean(1).abs().max() < 1e-6
    assert torch.allclose(weights.norm(dim=1), torch.ones(2, 7), atol=1e-5)
    z = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    out = relatives.RELU_GAIN * torch.relu(z)
    assert out.var().item() == pytest.approx(1, abs=0.01)


@pytest.mark.equation("A5")
def test_a_gradient_is_clipped_unit_by_unit():
    weights, gradient = torch.ones(1, 4, 2), torch.ones(1, 4, 2)
    gradient[..., 0] *= 100
    got = relatives.clipped(gradient, weights, 0.5)
    assert got.norm(dim=1).tolist() == [[1.0, 1.0]]
    gradient /= 1000
    short = relatives.clipped(gradient, weights, 0.5)
    assert torch.equal(short, gradient), "what is short enough stays"


def test_weight_norm_starts_as_the_map_and_forgets_the_length():
    weights, u = torch.randn(2, 5, 4), torch.randn(2, 6, 5)
    linear = ensemble.Directed(weights.clone())
    assert torch.allclose(linear(u), torch.bmm(u, weights), atol=1e-5)
    with torch.no_grad():
        linear.weight *= 7
    assert torch.allclose(linear(u), torch.bmm(u, weights), atol=1e-5)


@pytest.mark.equation("A9")
def test_an_example_is_weighed_into_a_population(batch):
    x, alpha = batch[:, :1], 0.25
    others = batch[:, 1:4]
    mean, var = relatives.moments(others, 1)
    got = relatives.weighed(x, mean, var, alpha)
    want = relatives.moments(torch.cat([x, others], dim=1), 1)
    for a, b in zip(got, want, strict=True):
        assert torch.allclose(a, b), "one of four"


@pytest.mark.equation("A10")
@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5])
def test_the_weighed_output_saturates(batch, alpha):
    norm = relatives.Batch(3, 20).double().eval()
    norm.alpha = alpha
    np.testing.assert_allclose(
        norm(batch).detach().numpy(), figures.weighed_output(batch.numpy(), alpha), rtol=1e-3
    )


IMAGES = 1 + 2 * torch.randn(2, 5, 9, 8, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("kind", "groups"), [("layer norm", 1), ("instance norm", 8), ("group norm", 2)]
)
def test_norms_of_images_are_those_of_pytorch(kind, groups):
    norm = relatives.OnImages(2, 8, kind)
    want = nn.functional.group_norm(IMAGES[1].permute(0, 2, 1), groups)
    assert torch.allclose(norm(IMAGES)[1], want.permute(0, 2, 1), atol=1e-5)


def test_batch_norm_of_images_is_that_of_pytorch():
    norm, theirs = relatives.OnImages(2, 8, "batch norm"), nn.BatchNorm1d(8)
    for _ in range(2):
        want = theirs(IMAGES[1].permute(0, 2, 1)).permute(0, 2, 1)
        assert torch.allclose(norm(IMAGES)[1], want, atol=1e-5)
        norm.eval(), theirs.eval()


def test_the_small_cnn_convolves():
    net = relatives.ConvNet("no norm", (4,), 1)
    x = torch.rand(1, 3, 64)
    y = x.view(3, 1, 8, 8)
    for weight, bias in zip(net.weights, net.biases, strict=True):
        kernel = weight[0].T.reshape(weight.shape[2], -1, 3, 3)
        y = torch.relu(nn.functional.conv2d(y, kernel, bias[0, 0, 0]))
    want = y.flatten(2).mT.flatten(1) @ net.last.weight[0] + net.last.bias[0]
    assert torch.allclose(net(x)[0], want, atol=1e-4)


def test_a_batch_of_one_class_holds_one_class():
    sweep = ensemble.Sweep((0.1, 0.2), (0, 1), size=30)
    batches = relatives.of_one_class(sweep)
    seen = [next(batches) for _ in range(10)]
    for x, y in seen:
        assert x.shape == (4, 30, 64)
        assert (y == y[:, :1]).all()
    for member in range(4):
        assert sorted(y[member, 0].item() for _, y in seen) == list(range(10))


@pytest.mark.parametrize("name", relatives.METHODS)
def test_a_stretch_does_not_matter_where_weights_are_scale_invariant(name):
    net = relatives.Net(relatives.METHODS[name], (0,), 1)
    x = torch.rand(1, 32, 64, generator=torch.Generator().manual_seed(0))
    before = net(x)
    net.scale_hidden(10)
    change = ((net(x) - before).norm() / before.norm()).item()
    if name in ("no norm", "dynamic tanh"):
        assert change > 0.2
    else:
        # Batch Layer Norm has an eps of 1e-3, and hands on numbers so small that it matters.
        assert change < (0.2 if name == "batch layer norm" else figures.SAME)


KEPT = [
    ("layer norm", "batch 64"),
    ("batch norm", "batch 4"),
    ("batch norm", "one class a batch"),
    ("normalizer-free", "20 layers"),
    ("instance norm", "small CNN"),
]


@pytest.mark.parametrize(("method", "task"), KEPT)
def test_the_grid_holds_what_the_experiments_give(method, task):
    """One seed at the best rate anew; other processors round otherwise, which turns few images."""
    kept, seed = relatives.grid()[method, task], 1
    found = relatives.cell.__wrapped__(method, task, seeds=(seed,), rates=(kept.best_rate,))
    for name in ("chosen_by", "accuracy"):
        want = getattr(kept, name)[kept.best, seed]
        assert getattr(found, name)[0, 0] == pytest.approx(want, abs=6), name


def test_the_grid_is_whole_and_each_best_rate_is_inside():
    kept = relatives.grid()
    assert set(kept) == {(m, task) for task in relatives.TASKS for m in relatives.methods_of(task)}
    for (method, task), found in kept.items():
        assert found.rates == relatives.rates_of(method, task)
        assert found.accuracy.shape == (len(found.rates), len(relatives.SEEDS))
        learned = np.median(found.at_best) > 20
        assert not learned or 0 < found.best < len(found.rates) - 1, (method, task)


def test_recalibration_pools_what_the_layers_hear():
    net = relatives.Net(relatives.METHODS["batch norm"], (0,), 1)
    x = torch.rand(1, 60, 64)
    relatives._recalibrate(net, ((part, None) for part in x.split(20, dim=1)))
    first = net.linears[0](x)
    assert torch.allclose(net.norms[0].mean, first.mean(1, keepdim=True), atol=1e-5)
    assert torch.allclose(net.norms[0].var, first.var(1, False, keepdim=True), atol=1e-4)


def test_pytorch_has_these_norms_ready_made():
    images = np.random.default_rng(0).normal(2, 3, (4, 6, 5, 5)).astype(np.float32)
    ones, zeros = np.ones(6), np.zeros(6)
    norms = load("relatives_torch").ready_made(6, 3)
    for name, groups in (("layer", 1), ("instance", 6), ("group", 3)):
        want = convolution.groupnorm_forward(images, ones, zeros, groups)
        got = norms[name](torch.from_numpy(images)).detach().numpy()
        np.testing.assert_allclose(got, want, atol=1e-4)
    want, _ = convolution.spatial_batchnorm_forward(images, ones, zeros)
    np.testing.assert_allclose(
        norms["batch"](torch.from_numpy(images)).detach().numpy(), want, atol=1e-4
    )


def test_keras_has_these_norms_ready_made():
    keras = pytest.importorskip("keras")
    images = np.random.default_rng(0).normal(2, 3, (4, 6, 5, 5)).astype(np.float32)
    ones, zeros = np.ones(6), np.zeros(6)
    norms = load("relatives_keras").ready_made(3)
    for name, groups in (("layer", 1), ("instance", 6), ("group", 3)):
        want = convolution.groupnorm_forward(images, ones, zeros, groups, eps=1e-3)
        got = keras.ops.convert_to_numpy(norms[name](images.transpose(0, 2, 3, 1)))
        np.testing.assert_allclose(got.transpose(0, 3, 1, 2), want, atol=1e-4)
    want, _ = convolution.spatial_batchnorm_forward(images, ones, zeros, eps=1e-3)
    got = norms["batch"](images.transpose(0, 2, 3, 1), training=True)
    got = keras.ops.convert_to_numpy(got).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.equation("A6")
def test_dynamic_tanh_is_the_same_everywhere(batch):
    keras = pytest.importorskip("keras")
    x = batch.float()
    want = relatives.DyT(3, 20)(x).detach().numpy()
    by_torch = load("relatives_torch").DyT(20)(x).detach().numpy()
    by_keras = keras.ops.convert_to_numpy(load("relatives_keras").DyT()(x.numpy()))
    np.testing.assert_allclose(by_torch, want, atol=1e-6)
    np.testing.assert_allclose(by_keras, want, atol=1e-5)
    np.testing.assert_allclose(want, np.tanh(x.numpy() / 2), atol=1e-6)


# --- the same layers as in problem set 7 ----------------------------------------------------------


def test_the_layers_are_those_of_the_problem_set(batch):
    def by_batch_layer(x, gamma, beta):
        return batches.batch_layer_norm(x, gamma, beta, batch_size=8)

    def by_ghosts(x, gamma, beta):
        return batches.ghost_batchnorm(x, gamma, beta, ghost_size=4, eps=relatives.EPS)

    for norm, one in (
        (made(relatives.BatchLayer), by_batch_layer),
        (made(relatives.Batch, 4), by_ghosts),
    ):
        got = norm(batch).detach().numpy()
        np.testing.assert_allclose(got, by_member(norm, batch, one), rtol=1e-9, atol=1e-12)


def test_renorm_is_that_of_the_problem_set(batch):
    norm = made(relatives.Renorm, 0)
    with torch.no_grad():
        norm.mean += 1.5
        norm.var *= 0.3
    mean, var = norm.mean[0, 0].numpy().copy(), norm.var[0, 0].numpy().copy()

    def one(x, gamma, beta):
        std = np.sqrt(var + relatives.EPS)
        bounds = {"r_max": norm.r_max, "d_max": norm.d_max, "eps": relatives.EPS}
        return batches.batch_renorm_forward(x, gamma, beta, mean, std, **bounds)[0]

    got = norm(batch).detach().numpy()
    np.testing.assert_allclose(got, by_member(norm, batch, one), rtol=1e-6)


def test_renorm_of_keras_has_no_bounds_and_no_warm_start_unless_asked():
    keras = pytest.importorskip("keras")
    x = np.random.default_rng(0).normal(3, 2, (8, 5)).astype(np.float32)
    for bounds, as_it_came in ((None, True), ({"rmax": 1.0, "rmin": 1.0, "dmax": 0.0}, False)):
        layer = keras.layers.BatchNormalization(renorm=True, renorm_clipping=bounds)
        y = keras.ops.convert_to_numpy(layer(x, training=True))
        assert np.allclose(y, x, atol=1e-5) == as_it_came
        assert np.allclose(y.mean(axis=0), 0, atol=1e-5) != as_it_came


def test_one_vector_and_one_image_in_training_mode():
    with pytest.raises(ValueError, match="more than 1 value"):
        nn.BatchNorm1d(3)(torch.ones(1, 3))
    images = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    one = nn.BatchNorm2d(3)(images[:1])
    assert torch.allclose(one, nn.functional.instance_norm(images[:1]), atol=1e-5)
    assert not torch.allclose(one, nn.BatchNorm2d(3)(images[1:]), atol=0.1)
