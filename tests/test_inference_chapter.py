"""The chapter on training and inference: its framework code, its measurements, its figures."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
from torch import nn

from bncourse.figures import inference as figures
from bncourse.lab import data, models, recalibration
from bncourse.reference import forward

# keras.ops.convert_to_numpy asks PyTorch for a copy in a way that NumPy 2 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CODE = Path(__file__).parents[1] / "chapters" / "code"
to_numpy = keras.ops.convert_to_numpy


def load(framework):
    """Return the module of one file of chapters/code."""
    name = f"inference_{framework}"
    spec = importlib.util.spec_from_file_location(name, CODE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def batches():
    rng = np.random.default_rng(0)
    return [rng.normal(3, 2, (8, 4)).astype(np.float32) for _ in range(3)]


def torch_model():
    return nn.Sequential(nn.BatchNorm1d(4), nn.Sequential(nn.ReLU(), nn.BatchNorm1d(4)))


def keras_model():
    layers = [keras.Input((4,)), *(keras.layers.BatchNormalization() for _ in range(2))]
    return keras.Sequential(layers)


def test_torch_predicts_each_example_on_its_own(batches):
    model = torch_model().train()
    x = torch.from_numpy(batches[0])
    y = load("torch").predict(model, x)
    assert not y.requires_grad
    assert torch.allclose(load("torch").predict(model, x[:1]), y[:1], atol=1e-6)
    assert model.training
    assert (model[0].running_mean == 0).all()


def test_keras_predicts_each_example_on_its_own(batches):
    model = keras_model()
    y = load("keras").predict(model, batches[0])
    alone = load("keras").predict(model, batches[0][:1])
    np.testing.assert_allclose(to_numpy(alone), to_numpy(y)[:1], atol=1e-6)


@pytest.mark.equation("R7")
def test_each_framework_can_have_the_defaults_of_the_other(batches):
    like_keras, like_torch = load("torch").like_keras(4), load("keras").like_torch()
    plain_torch, plain_keras = nn.BatchNorm1d(4), keras.layers.BatchNormalization()
    for x in batches:
        for layer in (like_keras, plain_torch):
            layer(torch.from_numpy(x))
        for layer in (like_torch, plain_keras):
            layer(x, training=True)
    for ours, theirs in ((like_keras, plain_keras), (plain_torch, like_torch)):
        moving = to_numpy(theirs.moving_mean)
        np.testing.assert_allclose(ours.running_mean.numpy(), moving, rtol=1e-5)
        assert ours.eps == theirs.epsilon


def test_torch_averages_statistics(batches):
    model = torch_model().eval()
    load("torch").average_statistics(model, list(map(torch.from_numpy, batches)))
    mean, var = model[0].running_mean.numpy(), model[0].running_var.numpy()
    np.testing.assert_allclose(mean, np.mean([x.mean(axis=0) for x in batches], axis=0), rtol=1e-5)
    unbiased = [x.var(axis=0, ddof=1) for x in batches]
    np.testing.assert_allclose(var, np.mean(unbiased, axis=0), rtol=1e-5)
    assert not model.training
    assert model[0].momentum == 0.1


def test_keras_averages_statistics(batches):
    model = keras_model()
    load("keras").average_statistics(model, batches)
    norm = model.layers[0]
    mean, var = to_numpy(norm.moving_mean), to_numpy(norm.moving_variance)
    np.testing.assert_allclose(mean, np.mean([x.mean(axis=0) for x in batches], axis=0), rtol=1e-5)
    biased = [x.var(axis=0) for x in batches]
    np.testing.assert_allclose(var, np.mean(biased, axis=0), rtol=1e-5)
    assert norm.momentum == 0.99


@pytest.mark.equation("R10")
def test_torch_freezes_statistics_and_goes_on_learning(batches):
    model = torch_model().train()
    load("torch").freeze_statistics(model)
    model(torch.from_numpy(batches[0])).sum().backward()
    assert (model[0].running_mean == 0).all()
    assert (model[1][1].running_mean == 0).all()
    assert (model[0].weight.grad != 0).all()


def test_keras_freezes_statistics_and_parameters(batches):
    model = keras_model()
    load("keras").freeze(model)
    model(batches[0], training=True)
    assert (to_numpy(model.layers[0].moving_mean) == 0).all()
    assert model.trainable_weights == []


def small_net(seed=0):
    return models.mlp([64, 9, 7, 10], nn.ReLU, nn.BatchNorm1d, seed=seed)


@pytest.mark.equation("R9")
def test_recalibration_pools_and_changes_nothing():
    model, x = small_net(), data.digits().x[:90]
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    # Batches of two sizes with different means: a plain average of the variances is wrong.
    split = [x[:30], x[30:] + 0.5]
    statistics = recalibration.recalibrated(model, split)
    assert list(statistics) == ["norm1", "norm2"]
    with torch.no_grad():
        first = [model.linear1(rows) for rows in split]
        hidden = [
            nn.functional.batch_norm(rows, None, None, training=True).relu() for rows in first
        ]
    for name, rows in (("norm1", first), ("norm2", [model.linear2(rows) for rows in hidden])):
        mean, var = statistics[name]
        pooled = torch.cat(rows)
        assert torch.allclose(mean, pooled.mean(0), atol=1e-5)
        assert torch.allclose(var, pooled.var(0), rtol=1e-4)
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_accuracy_uses_the_given_statistics():
    model, digits = small_net(), data.digits()
    statistics = recalibration.recalibrated(model, [digits.x])
    got = recalibration.accuracy_with(model, statistics, digits.x_test, digits.y_test)
    for name, (mean, var) in statistics.items():
        model.get_submodule(name).running_mean.copy_(mean)
        model.get_submodule(name).running_var.copy_(var)
    model.eval()
    with torch.no_grad():
        right = model(digits.x_test).argmax(1) == digits.y_test
    assert got == pytest.approx(right.float().mean().item())


def test_the_running_statistics_of_a_course_are_those_of_its_layers():
    course = recalibration.course(0)
    digits = data.digits(0)
    got = course.accuracy[0.1][-1]
    model = course.model.eval()
    with torch.no_grad():
        right = model(digits.x_test).argmax(1) == digits.y_test
    model.train()
    # PyTorch's own buffers, momentum 0.1, differ by rounding.
    assert got == pytest.approx(right.float().mean().item(), abs=0.003)


def test_the_start_costs_more_than_the_lag():
    course = recalibration.course(0)
    after_50 = recalibration.LOOKS.index(50)
    accuracy = {key: values[after_50] for key, values in course.accuracy.items()}
    assert accuracy[0.01] < accuracy[recalibration.RECALIBRATED] - 0.05
    assert accuracy[recalibration.START_REMOVED] > accuracy[recalibration.RECALIBRATED] - 0.02
    assert course.error[0.01][after_50] > 5 * course.error[recalibration.START_REMOVED][after_50]


def test_company_changes_the_answer():
    # N = 2 keeps the order only, up to eps.
    np.testing.assert_allclose(np.abs(figures.in_company(2, 100)), 1, atol=0.1)
    assert figures.in_company(256, 100).std() < figures.in_company(8, 100).std()


def test_the_small_training_of_the_first_figure_is_that_of_a_layer():
    x, means, variances = figures.small_training()
    layer = nn.BatchNorm1d(1, momentum=figures.MOMENTUM, dtype=torch.float64)
    for batch, mean, var in zip(x, means[1:], variances[1:], strict=True):
        layer(torch.from_numpy(batch[:, None]))
        assert layer.running_mean.item() == pytest.approx(mean)
        assert layer.running_var.item() == pytest.approx(var)


@pytest.mark.equation("R2")
@pytest.mark.equation("R6")
def test_the_exponential_average_of_the_figure():
    values = np.random.default_rng(0).standard_normal((50, 1))
    mean, var = values[0], np.ones(1)
    for value, got in zip(values, figures.exponential_average(values, 0.2), strict=True):
        mean, var = forward.update_running(mean, var, np.tile(value, (2, 1)), 0.2)
        np.testing.assert_allclose(got, mean)
    target = figures.ramp(300, begin=0, end=300)
    lag = (target - figures.exponential_average(target, 0.1))[-1]
    assert lag == pytest.approx(0.01 * (1 / 0.1 - 1))
