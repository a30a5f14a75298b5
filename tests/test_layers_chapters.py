"""The framework code of the chapters on convolutions and on layers, and the facts they print."""

import inspect
from functools import partial

import keras
import numpy as np
import pytest
import torch
from test_chapter_code import load
from torch import nn

from bncourse.figures import convolution as convolution_figures
from bncourse.figures import layers as layer_figures
from bncourse.lab import conventions
from bncourse.reference import convolution, forward, layers

# keras.ops.convert_to_numpy asks PyTorch for a copy in a way that NumPy 2 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

assert_close = partial(np.testing.assert_allclose, rtol=0, atol=2e-5)

convolution_torch, convolution_keras = load("convolution_torch"), load("convolution_keras")
layers_torch, layers_keras = load("layers_torch"), load("layers_keras")


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.fixture
def images():
    """Images (N, C, H, W) in float32, all sizes different."""
    return (3 + 2 * np.random.default_rng(0).standard_normal((5, 6, 4, 3))).astype(np.float32)


def moved(images):
    """Return NCHW images as NHWC."""
    return np.moveaxis(images, 1, -1)


def trained(layer):
    """Return a PyTorch layer with parameters and buffers away from their start."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in (layer.weight, layer.running_var):
            tensor.uniform_(0.5, 2, generator=generator)
        for tensor in (layer.bias, layer.running_mean):
            tensor.normal_(generator=generator)
    return layer


# --- convolutions -----------------------------------------------------------------------------


@pytest.mark.equation("C6")
@pytest.mark.parametrize("groups", [2, 3])
def test_the_relatives_of_both_frameworks(images, groups):
    ones, zeros = np.ones(6), np.zeros(6)
    whole, _ = convolution.spatial_batchnorm_forward(images, ones, zeros)
    sets = {"layer norm": 1, "instance norm": 6, "group norm": groups}
    want = {"batch norm": whole} | {
        name: convolution.groupnorm_forward(images, ones, zeros, count)
        for name, count in sets.items()
    }
    in_torch = convolution_torch.relatives(6, groups)
    in_keras = convolution_keras.relatives(groups, epsilon=1e-5)
    assert in_torch.keys() == in_keras.keys() == want.keys()
    for name, expected in want.items():
        assert_close(in_torch[name](torch.tensor(images)).detach(), expected)
        made = in_keras[name](moved(images), training=True)
        assert_close(array(made), moved(expected))


def test_the_picture_of_shared_sets_is_what_the_relatives_share():
    sets = convolution_figures.shared_sets()
    shape = convolution_figures.IMAGES, convolution_figures.CHANNELS
    planes = np.arange(12.0).reshape(*shape, 1, 1) ** 2
    groups = shape[1] // convolution_figures.GROUP_SIZE
    for name, layer in convolution_torch.relatives(shape[1], groups).items():
        for number in np.unique(sets[name]):
            x = torch.tensor(planes, dtype=torch.float32).expand(*shape, 2, 2).clone()
            before = layer(x).detach().numpy()
            inside = sets[name] == number
            # Another plane of the set is changed: exactly the set notices.
            x[tuple(np.argwhere(inside)[0])] += torch.tensor([[1.0, 5.0], [-3.0, 2.0]])
            noticed = np.abs(layer(x).detach().numpy() - before).max(axis=(2, 3)) > 1e-4
            np.testing.assert_array_equal(noticed, inside)


def test_a_residual_block_starts_as_its_shortcut(images):
    x = np.maximum(images, 0)
    block = convolution_torch.ResidualBlock(6)
    assert_close(block(torch.tensor(x)).detach(), x)
    inputs = keras.Input((4, 3, 6))
    model = keras.Model(inputs, convolution_keras.residual_block(inputs))
    assert_close(array(model(moved(x), training=True)), moved(x))


def test_the_convolution_blocks_have_no_bias(images):
    in_torch, in_keras = convolution_torch.conv_block(6, 8), convolution_keras.conv_block(8)
    assert in_torch(torch.tensor(images)).shape == (5, 8, 4, 3)
    assert in_keras(moved(images)).shape == (5, 4, 3, 8)
    assert in_torch[0].bias is None
    assert not in_keras.layers[0].use_bias


@pytest.mark.equation("C2")
def test_the_other_layouts(images):
    layer = nn.BatchNorm2d(6)
    made = convolution_torch.channels_last(layer, torch.tensor(images))
    assert made.is_contiguous(memory_format=torch.channels_last)
    want, _ = convolution.spatial_batchnorm_forward(images, np.ones(6), np.zeros(6))
    assert_close(made.detach(), want)
    # Keras's eps is 1e-3.
    want, _ = convolution.spatial_batchnorm_forward(images, np.ones(6), np.zeros(6), eps=1e-3)
    assert_close(array(convolution_keras.channels_first(images)), want)


@pytest.mark.equation("C8")
def test_equal_pixels_make_an_image_worth_one_value():
    values = np.random.default_rng(0).standard_normal((40, 2, 1, 1))
    assert_close(convolution_figures.share_between(np.tile(values, (1, 1, 3, 3))), 1)


@pytest.mark.equation("C10")
def test_a_layer_misses_what_lies_between_the_images():
    # All pixels of an image equal, two images a batch: r = 1, half of the variance.
    values = np.random.default_rng(0).standard_normal((40, 2, 1, 1)) * np.ones((1, 1, 3, 3))
    stored = convolution_figures.stored_shares(values, size=2, batches=3000)
    assert stored["averaged"] == pytest.approx(0.5 * 18 / 17, abs=0.03)
    assert stored["pooled"] == pytest.approx(1, abs=0.03)


def test_bessel_is_right_for_independent_pixels():
    # One pixel a channel: r = 1 and N H W = N, so that nothing is missing.
    values = np.random.default_rng(0).standard_normal((40, 2, 1, 1))
    stored = convolution_figures.stored_shares(values, size=2, batches=3000)
    assert stored["averaged"] == pytest.approx(1, abs=0.06)


# --- layers -----------------------------------------------------------------------------------


@pytest.mark.equation("L4")
def test_both_layers_take_the_step_by_hand():
    by_torch, by_keras = conventions.steps()
    assert_close(by_torch, (1, 0.2, 0.9 + 0.1 * 2))
    # Keras's eps of 1e-3 moves its output by half of that.
    assert_close(by_keras, ((1 + 1e-3) ** -0.5, 0.02, 0.99 + 0.01 * 1))
    assert (by_torch.used, by_torch.stored) == ("biased", "unbiased")
    assert (by_keras.used, by_keras.stored) == ("biased", "biased")


def test_the_table_says_what_the_layers_do():
    rows = {name: cells for name, *cells in conventions.table()}
    assert rows["momentum weighs, [(R7)](#R7)"] == ["the *new* value", "the *old* value"]
    assert rows["channel axis of images"] == ["1, always", "-1, or any"]
    assert rows["variance that normalises"] == ["biased", "biased"]
    assert rows["variance that is stored"] == ["unbiased", "biased"]


def test_switches_that_sound_alike_do_not_do_the_same():
    assert conventions.modes() == [
        ("PyTorch `train()`; Keras `training=True`", True, True, True),
        (
            "PyTorch `train()` in `no_grad()`; PyTorch `train()` with `requires_grad_(False)`",
            *(True, True, False),
        ),
        (
            "PyTorch `eval()`; Keras `training=False`; Keras, mode not named",
            *(False, False, True),
        ),
        ("Keras `trainable=False`, even with `training=True`", False, False, False),
    ]


def test_the_layers_spelled_out_are_the_defaults():
    in_torch, default = layers_torch.with_every_option(6), nn.BatchNorm2d(6)
    assert repr(in_torch) == repr(default)
    assert list(in_torch.state_dict()) == list(default.state_dict())
    assert set(inspect.signature(nn.BatchNorm2d).parameters) == {
        *("num_features", "eps", "momentum", "affine", "track_running_stats"),
        *("device", "dtype", "bias"),
    }
    configs = [
        layer.get_config()
        for layer in (layers_keras.with_every_option(), keras.layers.BatchNormalization())
    ]
    for config in configs:
        del config["name"]  # numbered by Keras
    assert configs[0] == configs[1]


def test_each_switch_leaves_out_what_the_chapter_says():
    def names(**options):
        return list(nn.BatchNorm2d(4, **options).state_dict())

    buffers = ["running_mean", "running_var", "num_batches_tracked"]
    assert names(affine=False) == buffers
    assert names(bias=False) == ["weight", *buffers]
    assert names(track_running_stats=False) == ["weight", "bias"]
    forgetful = nn.BatchNorm1d(2, track_running_stats=False).eval()
    x = torch.tensor([[1.0, 5.0], [3.0, 9.0]])
    assert_close(forgetful(x).detach(), [[-1, -1], [1, 1]])


def test_a_mask_takes_positions_out_of_the_statistics():
    tokens = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0]]).bool()
    layer = keras.layers.BatchNormalization(momentum=0)
    layer(tokens, mask=mask, training=True)
    assert_close(array(layer.moving_mean), tokens[mask].mean(0))
    assert_close(array(layer.moving_variance), tokens[mask].var(0, correction=0))


def test_a_mask_keeps_the_digits():
    x = (3000 + np.random.default_rng(0).standard_normal((1, 64, 5))).astype(np.float32)
    layer = keras.layers.BatchNormalization(momentum=0)
    layer(x, mask=np.ones((1, 64), bool), training=True)
    exact = x[0].var(axis=0, dtype=np.float64)
    np.testing.assert_allclose(array(layer.moving_variance), exact, rtol=1e-4)


def test_synchronised_keras_raises_where_the_chapter_says():
    layer = keras.layers.BatchNormalization
    if keras.config.backend() in ("torch", "jax"):
        with pytest.raises(ValueError, match="only supported with the TensorFlow backend"):
            layer(synchronized=True)


@pytest.mark.skipif(keras.config.backend() != "torch", reason="the chapter says it of torch")
def test_keras_on_torch_loses_the_digits_that_torch_keeps():
    for seed in range(3):
        mine, theirs, lost = layer_figures.variance_errors(1000, seed)
        assert mine < 1e-5
        assert 0.02 < theirs < 0.5
        assert lost == 0
    assert max(layer_figures.variance_errors(1, 0)[:2]) < 1e-5


def test_the_classifier_has_as_many_numbers_as_the_table_says():
    def counted(layer, inputs):
        layer.build((None, inputs))
        return layer.count_params(), sum(np.prod(v.shape) for v in layer.trainable_weights)

    dense, norm = keras.layers.Dense, keras.layers.BatchNormalization
    parts = [
        counted(dense(64, use_bias=False), 20),
        counted(norm(), 64),
        counted(dense(32, use_bias=False), 64),
        counted(norm(), 32),
        counted(dense(1), 32),
    ]
    assert parts == [(1280, 1280), (256, 128), (2048, 2048), (128, 64), (33, 33)]
    assert np.sum(parts, axis=0).tolist() == [3745, 3553]


@pytest.mark.equation("L1")
@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 5), (6, 3, 2, 4), (6, 3, 2, 2, 2)])
def test_one_layer_for_every_rank(shape):
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[len(shape)]
    layer = trained(kind(3)).double()
    state = [value.clone().detach().numpy() for value in list(layer.state_dict().values())[:4]]
    x = np.random.default_rng(1).standard_normal(shape)
    want = layers.layer_training_step(x, *state, new_weight=0.1, eps=1e-5)
    got = layer(torch.tensor(x)), layer.running_mean, layer.running_var
    for mine, theirs in zip(want, got, strict=True):
        assert_close(theirs.detach(), mine)


@pytest.mark.equation("L5")
def test_half_precision_keeps_the_memory_in_float32():
    x = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Linear(6, 4, bias=False), nn.BatchNorm1d(4))
    assert layers_torch.forward_in_bfloat16(model, x).dtype == torch.bfloat16
    assert model[1].running_var.dtype == torch.float32
    in_keras = layers_keras.dense_in_bfloat16(4)
    made = in_keras(x, training=True)
    assert keras.backend.standardize_dtype(made.dtype) == "bfloat16"
    assert {weight.dtype for weight in in_keras.weights} == {"float32"}


def test_frozen_batch_norm_keeps_its_memory():
    x = 5 + torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Linear(3, 3), trained(nn.BatchNorm1d(3))).train()
    layers_torch.freeze_batch_norm(model)
    before = model[1].running_mean.clone()
    want = model.eval()(x)
    layers_torch.freeze_batch_norm(model.train())
    assert torch.equal(model(x), want)
    assert torch.equal(model[1].running_mean, before)
    assert [name for name, p in model.named_parameters() if p.requires_grad] == [
        "0.weight",
        "0.bias",
    ]
    in_keras = keras.Sequential([keras.layers.Dense(3), keras.layers.BatchNormalization()])
    in_keras.build((None, 3))
    layers_keras.freeze_batch_norm(in_keras)
    assert_close(array(in_keras(x, training=True)), array(in_keras(x, training=False)))
    assert len(in_keras.trainable_weights) == 2


def test_save_and_load(tmp_path, images):
    model, empty = (nn.Sequential(nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4)) for _ in range(2))
    trained(model[1]), model.eval(), empty.eval()
    layers_torch.save(model, tmp_path / "model.pt")
    layers_torch.load(empty, tmp_path / "model.pt")
    assert torch.equal(model(torch.tensor(images)), empty(torch.tensor(images)))
    # Parameters alone are no checkpoint, and strict=False does not say so.
    poor = nn.Sequential(nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4)).eval()
    poor.load_state_dict(dict(model.named_parameters()), strict=False)
    assert not torch.allclose(poor(torch.tensor(images)), model(torch.tensor(images)), atol=0.1)
    in_keras = keras.Sequential([keras.Input((4, 3, 6)), keras.layers.BatchNormalization()])
    in_keras(moved(images), training=True)
    layers_keras.save(in_keras, tmp_path / "model.keras")
    loaded = layers_keras.load(tmp_path / "model.keras")
    assert_close(array(loaded(moved(images))), array(in_keras(moved(images))))


@pytest.mark.equation("L8")
def test_weights_move_both_ways(images):
    source = trained(nn.BatchNorm2d(6, momentum=0.25, eps=1e-2)).eval()
    target = layers_keras.from_torch(source, (None, 4, 3, 6))
    want = source(torch.tensor(images)).detach().numpy()
    assert_close(array(target(moved(images))), moved(want))
    back = layers_torch.from_keras(target)
    assert_close(back(torch.tensor(images)).detach(), want)
    assert (back.eps, back.momentum) == (source.eps, source.momentum)


def test_the_device_is_one_of_this_machine():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert layers_torch.best_device().type == expected


def test_the_example_of_both_chapters_is_the_same_batch():
    x = np.array([[[[1, 3]], [[3, 9]]], [[[1, 3]], [[11, 17]]]], dtype=float)
    rows = np.array([[1.0, 3.0], [3.0, 9.0], [1.0, 11.0], [3.0, 17.0]])
    for mine, theirs in zip(
        forward.batch_statistics(layers.to_features(x)), forward.batch_statistics(rows), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
