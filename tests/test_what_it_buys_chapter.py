"""The chapter on what batch norm buys: its lab and its code."""

import numpy as np
import pytest
import torch
from conftest import load_chapter_code as load
from torch import nn

from bncourse.lab import buys, ensemble


@pytest.mark.equation("U1")
def test_the_steps_end_with_the_first_window_below_the_level():
    falling = np.linspace(2, 0, 101)[:, None]
    (steps,) = buys.reached(falling, level=0.5)
    windows = [falling[t - buys.WINDOW : t].mean() for t in range(buys.WINDOW, 102)]
    assert steps == buys.WINDOW + next(i for i, mean in enumerate(windows) if mean < 0.5)
    assert buys.reached(falling, level=-1.0) == [np.inf]


def test_a_huge_loss_hides_no_later_one():
    losses = np.array([[1e30]] + [[5.0]] * 40)
    assert buys.reached(losses) == [np.inf]


def test_adam_is_that_of_torch_at_each_rate():
    rates, steps = (0.01, 0.1), 4
    sweep = ensemble.Sweep(rates, (0,))
    net = buys.net_of(buys.NETS["ReLU"], sweep)
    single = [buys.net_of(buys.NETS["ReLU"], ensemble.Sweep((lr,), (0,))) for lr in rates]
    batches = [batch for batch, _ in zip(sweep.batches(), range(steps), strict=False)]
    for _ in buys.adam_steps(net, iter(batches), sweep.lr):
        pass
    for number, (lr, alone) in enumerate(zip(rates, single, strict=True)):
        optimizer = torch.optim.Adam(alone.parameters(), lr=lr)
        for x, y in batches:
            optimizer.zero_grad()
            ensemble.losses(alone(x[:1]), y[:1]).sum().backward()
            optimizer.step()
        for got, want in zip(net.parameters(), alone.parameters(), strict=True):
            assert torch.allclose(got[number], want[0], atol=1e-3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sigmoid", ["Linear", "Sigmoid"]),
        ("sigmoid, once", ["Linear", "Sigmoid"]),
        ("sigmoid, batch norm", ["Linear", "BatchNorm", "Sigmoid"]),
        ("ReLU, batch norm after", ["Linear", "ReLU", "BatchNorm"]),
    ],
)
def test_a_network_has_the_layers_of_its_plan(name, expected):
    net = buys.net_of(buys.NETS[name], ensemble.Sweep((0.1,), (0,)))
    kinds = [type(part).__name__ for part in net]
    assert kinds == expected * buys.DEPTH + ["Linear"]


def test_all_runs_repeat():
    for measure in (
        lambda: buys.speed.__wrapped__("ReLU", seeds=(0,), rates=(0.1,), steps=12),
        lambda: buys.start.__wrapped__("ReLU", 0.2, seeds=(0,), rates=(0.1,), steps=12),
        lambda: buys.few.__wrapped__(True, 0.2, seeds=(0,), rates=(0.1,), steps=3),
    ):
        for one, other in zip(measure(), measure(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_ghost_batches_of_the_whole_batch_are_batch_norm():
    x = torch.randn(2, 20, 3, generator=torch.Generator().manual_seed(0))
    ghost, whole = buys.GhostBatchNorm(2, 3, group=20), ensemble.BatchNorm(2, 3)
    for _ in range(2):
        assert torch.allclose(ghost(x), whole(x), atol=1e-5)
    ghost.eval(), whole.eval()
    assert torch.allclose(ghost(x), whole(x), atol=1e-5), "the running statistics, too"


@pytest.mark.equation("U3")
def test_smaller_groups_make_the_noise_of_the_formula():
    x = torch.randn(1, 20_000, 2, generator=torch.Generator().manual_seed(0))
    for group in (5, 50):
        noise = (buys.GhostBatchNorm(1, 2, group)(x) - x).square().mean().item()
        assert noise == pytest.approx(3 / (2 * group), rel=0.1)


@pytest.mark.equation("U4")
def test_dropout_makes_the_noise_of_the_formula_and_none_at_inference():
    x = torch.randn(1, 1000, 50, generator=torch.Generator().manual_seed(0))
    layer = buys.Dropout(0.2, seed=1)
    assert (layer(x) - x).square().mean().item() == pytest.approx(0.25, rel=0.05)
    layer.eval()
    assert torch.equal(layer(x), x)


def test_a_step_of_a_network_takes_time():
    assert buys.step_time(True, rounds=1, steps=2) > 0


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_both_frameworks_put_dropout_behind_the_last_batch_norm():
    by_torch = load("what_it_buys_torch").classifier(4, 3)
    kinds = [type(part).__name__ for part in by_torch]
    assert kinds.index("Dropout") > max(i for i, k in enumerate(kinds) if k == "BatchNorm1d")
    assert all(part.bias is None for part in by_torch[:-1] if isinstance(part, nn.Linear))
    assert by_torch(torch.zeros(5, 4)).shape == (5, 3)
    by_keras = load("what_it_buys_keras").classifier(4, 3)
    kinds = [type(layer).__name__ for layer in by_keras.layers]
    assert kinds.index("Dropout") > max(i for i, k in enumerate(kinds) if k == "BatchNormalization")
    dense = [layer for layer in by_keras.layers if type(layer).__name__ == "Dense"]
    assert [layer.use_bias for layer in dense] == [False, False, True]
    assert by_keras.output_shape == (None, 3)
