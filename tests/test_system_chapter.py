"""The chapter on what batch norm costs: its lab, its figures' numbers and its code."""

import json

import numpy as np
import pytest
import torch
from conftest import load_chapter_code as load
from torch import nn
from torch.utils.checkpoint import checkpoint

from bncourse.figures import system as figures
from bncourse.lab import gpu, memory, sync, system
from bncourse.reference import backward, forward


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# --- bytes and time -----------------------------------------------------------------------------


@pytest.mark.equation("Y1")
@pytest.mark.parametrize("rows", [1, 7, 100])
def test_a_streamed_layer_moves_what_is_counted(rng, rows):
    x, dy = rng.standard_normal((2, 40, 3)) + 5
    gamma, beta = rng.uniform(0.5, 2, (2, 3))
    seen, y = system.Memory(x), system.Memory(np.empty_like(x))
    statistics = system.streamed_forward(seen, y, gamma, beta, rows)
    want, cache = forward.batchnorm_forward(x, gamma, beta)
    np.testing.assert_allclose(y.array, want)
    assert (seen.read + y.written) / (2 * x.size) == system.PASSES["training, forward"].copies
    again, gradient = system.Memory(x), system.Memory(dy)
    dx = system.Memory(np.empty_like(x))
    found = system.streamed_backward(gradient, again, dx, gamma, statistics, rows)
    for got, expected in zip(
        (dx.array, *found), backward.batchnorm_backward(dy, cache), strict=True
    ):
        np.testing.assert_allclose(got, expected, atol=1e-12)
    moved = again.read + gradient.read + dx.written
    assert moved / (2 * x.size) == system.PASSES["training, backward"].copies


def test_the_written_out_layer_reads_and_writes_what_is_counted():
    """Each operation that makes or reads a tensor of the size of x counts it."""
    x, moved = torch.randn(64, 8), [0, 0]

    class Count(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            made = func(*args, **(kwargs or {}))
            # One tensor that is read twice by an operation is read once from memory.
            read = {id(a) for a in args if isinstance(a, torch.Tensor) and a.numel() == x.numel()}
            moved[0] += len(read)
            moved[1] += made.numel() == x.numel()
            return made

    with Count():
        y = system.written_out(x, torch.full((1, 8), 2.0), torch.ones(1, 8), (0,))
    assert tuple(moved) == (system.WRITTEN_OUT.reads, system.WRITTEN_OUT.writes)
    want = nn.functional.batch_norm(
        x, None, None, torch.full((8,), 2.0), torch.ones(8), training=True
    )
    torch.testing.assert_close(y, want)


@pytest.mark.equation("Y2")
def test_one_example_at_a_time_gives_the_statistics(rng):
    x = 1e6 + rng.standard_normal((30, 4))
    want = forward.batch_statistics(x)
    np.testing.assert_allclose(system.welford(x), want, rtol=1e-8)
    in_rows = system.statistics_in_one_read(system.Memory(x), rows=1)
    np.testing.assert_allclose(in_rows, want, rtol=1e-8)


@pytest.mark.equation("Y3")
def test_the_roof_is_the_lower_of_two():
    assert system.attainable(0.5, peak=100, bandwidth=10) == 5
    assert system.attainable(50, peak=100, bandwidth=10) == 100


def test_calls_take_turns_and_the_first_round_does_not_count():
    order = []
    found = system.race({name: lambda n=name: order.append(n) for name in "ab"}, 2, repeat=2)
    assert "".join(order) == "aabb" * 3
    assert all(times.shape == (2,) for times in found.seconds.values())


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 2, 2)])
def test_each_pass_has_a_time_that_is_not_negative(shape):
    found = system.passes.__wrapped__(shape, rounds=1)
    assert set(system.PASSES) < set(found.seconds)
    assert all((times >= 0).all() for times in found.seconds.values())


def test_no_layer_is_above_the_roof():
    machine = system.machine()
    for intensity, rate in machine.reached.values():
        roof = system.attainable(intensity, machine.peak, machine.bandwidth)
        # Training may find its small parts in the cache; the two that draw the roof touch it.
        assert rate <= 1.001 * roof or intensity not in (0.25, system.CONVOLUTION.intensity())


# --- memory -------------------------------------------------------------------------------------


def test_memory_counts_a_storage_once_and_forgets_it():
    with memory.Watch() as watch:
        x = torch.ones(10)
        view = x[:5]
        view.add_(1)
        assert watch.now == 40
        del x
        assert watch.now == 40, "a view keeps the storage"
        del view
        assert watch.now == 0


@pytest.mark.equation("Y5")
@pytest.mark.parametrize(
    ("way", "group", "kept"),
    [("as it is", 1, 12), ("in place", 1, 6), ("recomputed", 1, 5), ("recomputed", 3, 1)],
)
def test_a_chain_keeps_what_the_formula_says(way, group, kept):
    assert memory.step(way, count=6, group=group).kept == pytest.approx(kept, abs=0.02)


@pytest.mark.equation("Y4")
def test_in_place_has_the_gradients_of_batch_norm():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((4, 3, 2, 2), generator=generator).double().requires_grad_()
    gamma = torch.tensor([0.5, -1.0, 2.0]).double().requires_grad_()
    beta = torch.tensor([0.0, 1.0, -1.0]).double().requires_grad_()

    def layer(x, gamma, beta):
        return memory.InPlace.apply(x * 1, gamma, beta, 1e-5)

    normed = nn.functional.batch_norm(x, None, None, gamma, beta, training=True)
    torch.testing.assert_close(
        layer(x, gamma, beta), nn.functional.leaky_relu(normed, memory.SLOPE)
    )
    assert torch.autograd.gradcheck(layer, (x, gamma, beta))


@pytest.mark.equation("Y6")
def test_two_updates_with_the_mended_momentum_are_one():
    m = memory.halved_momentum(0.3)
    assert (1 - m) ** 2 == pytest.approx(0.7)
    assert m + (1 - m) * m == pytest.approx(0.3), "and the batch has its weight"


# --- workers ------------------------------------------------------------------------------------


@pytest.mark.equation("Y7")
@pytest.mark.parametrize("counts", [(24, 40), (1, 2, 3, 4)])
def test_workers_merge_to_the_whole_batch(rng, counts):
    parts = [rng.standard_normal((count, 3)) + i for i, count in enumerate(counts)]
    described = zip(*map(forward.batch_statistics, parts), strict=True)
    found = sync.merge_all(np.array(counts), *map(np.stack, described))
    np.testing.assert_allclose(found, forward.batch_statistics(np.concatenate(parts)))


def test_two_real_processes_find_the_statistics_of_the_whole_batch():
    found = sync.two_processes(rounds=2)
    for rank in range(sync.WORKERS):
        np.testing.assert_allclose(found.means[rank], found.whole[0], rtol=1e-12)
        np.testing.assert_allclose(found.variances[rank], found.whole[1], rtol=1e-12)
    assert not np.allclose(sync.batch_of(0).mean(axis=0), found.whole[0], rtol=1e-3)
    assert found.seconds.shape == (len(sync.MESSAGES), 2)
    assert found.longer(0) == 1


@pytest.mark.equation("Y8")
@pytest.mark.parametrize("workers", [2, 4, 16])
def test_the_model_counts_the_messages_that_are_sent(rng, workers):
    parts = rng.standard_normal((workers, 32))
    ways = ((sync.ring_all_reduce, sync.ring), (sync.doubling_all_reduce, sync.doubling))
    for way, model in ways:
        sums, rounds, sent = way(parts)
        np.testing.assert_allclose(sums, np.broadcast_to(parts.sum(axis=0), parts.shape))
        assert model(workers, 32, 1, 0) == rounds
        assert model(workers, 32, 0, 1) == rounds * sent


@pytest.mark.equation("Y9")
def test_each_worker_receives_the_statistics_of_all_others():
    assert sync.gathered_bytes(1) == 0
    assert sync.gathered_bytes(3) == 2 * 4 * sum(2 * c + 1 for c in sync.resnet50_channels())


# --- the file of the GPU ------------------------------------------------------------------------

SHAPE = [256, 64]
MEASURED = [
    {"what": "copy", "how": "copy", "direction": "", "seconds": 2e-6, "spread": [1e-6, 3e-6]},
    {
        "what": "training",
        "how": "eager",
        "direction": "forward",
        "seconds": 5e-6,
        "spread": [4e-6, 6e-6],
    },
    {"what": "memory", "how": "eager", "direction": "", "bytes": 2 * 4 * 256 * 64},
]


def test_without_a_file_the_page_says_so(tmp_path):
    assert gpu.read(tmp_path / "gpu.json") is None
    assert "make gpu" in gpu.told(None)
    assert gpu.tables(None) == ""


def test_with_a_file_the_page_tells_chip_driver_date_and_ratios(tmp_path):
    path = tmp_path / "gpu.json"
    facts = {"chip": "Made-up 1", "driver": "1.2", "date": "2020-02-03", "torch": "9.9"}
    rows = [{"shape": SHAPE, "dtype": "float32"} | row for row in MEASURED]
    path.write_text(json.dumps(facts | {"measurements": rows}))
    report = gpu.read(path)
    told, tables = gpu.told(report), gpu.tables(report)
    assert all(fact in told for fact in facts.values())
    assert "|  | 256 \N{MULTIPLICATION SIGN} 64 |" in tables
    assert "| copy | 2 µs |" in tables
    assert "| training, forward, eager | 2.5 (2 to 3) |" in tables
    assert "| memory, eager | 2.00 |" in tables


def test_a_file_with_gaps_is_told_as_it_is(tmp_path):
    """No copy of that type: seconds stay seconds; a shape without a row has an empty cell."""
    path = tmp_path / "gpu.json"
    half = {"shape": [8, 4], "dtype": "float16"} | MEASURED[1]
    rows = [{"shape": SHAPE, "dtype": "float32"} | MEASURED[0], half]
    facts = dict.fromkeys(("chip", "driver", "date", "torch"), "some")
    path.write_text(json.dumps(facts | {"measurements": rows}))
    assert "| training, forward, eager, float16 |  | 5 µs |" in gpu.tables(gpu.read(path))


def test_the_figure_of_the_gpu_says_what_its_text_says():
    """The alternative text, the caption and the file agree."""
    report = gpu.read()
    found = gpu.over_copy(report)
    copies = report.of(what="copy", dtype="float32")
    assert max((row["shape"] for row in copies), key=np.prod) == [256, 256, 56, 56]
    for name, each in system.PASSES.items():
        if name == "copy" or not any(key[0] == name for key in found):
            continue
        assert found[name, "compiled"] < 1.5 * each.copies
        assert found[name, "cudnn"] < 1.5 * each.copies
        assert found[name, "eager"] < 2 * each.copies
        assert 3 * each.copies < found[name, "written out"] < 9.5 * each.copies


KERNELS = [
    {"how": "copy", "direction": "", "seconds": 2e-6},
    {"how": "split", "direction": "forward", "seconds": 4e-6},
    {"how": "merged", "direction": "forward", "seconds": 6e-6},
    {"how": "shifted", "direction": "forward", "seconds": 5e-6},
    {"how": "split", "direction": "backward", "seconds": 5e-6},
    {"how": "by_example", "direction": "backward", "seconds": 10e-6},
]


def test_the_kernels_are_told_once_they_are_measured(tmp_path):
    path = tmp_path / "gpu.json"
    facts = dict.fromkeys(("chip", "driver", "date", "torch"), "some") | {"measurements": []}
    for more in ({}, {"kernels": {}}, {"kernels": {"measurements": []}}):
        path.write_text(json.dumps(facts | more))
        assert "have not been measured" in gpu.told_of_kernels(gpu.read(path))
    assert "have not been measured" in gpu.told_of_kernels(None)
    rows = [{"shape": SHAPE} | row for row in KERNELS]
    path.write_text(json.dumps(facts | {"kernels": {"measurements": rows}}))
    told = gpu.told_of_kernels(gpu.read(path))
    # A copy moves 2 |x|, (Y1) counts 3 |x| forward and 5 |x| backward.
    assert "forward at 60 % of the speed of a copy with one program a channel and 75 %" in told
    assert "backward at 50 % of the speed of a copy with one program a channel and 100 %" in told


def test_the_figure_without_a_file_says_so(monkeypatch):
    monkeypatch.setattr(gpu, "read", lambda: None)
    (text,) = figures.on_gpu().axes[0].texts
    assert "no file" in text.get_text()


# --- the code of the page -----------------------------------------------------------------------


def test_recomputing_in_torch_updates_twice_and_is_mended():
    code = load("system_torch")
    x = torch.randn((9, 3), generator=torch.Generator().manual_seed(0)) + 2
    means = {}
    for way in ("once", "twice", "mended"):
        block = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))
        if way == "mended":
            code.mend_momentum(block)
        (block(x) if way == "once" else code.recomputed(block, x)).sum().backward()
        means[way] = block[0].running_mean
    torch.testing.assert_close(means["mended"], means["once"])
    torch.testing.assert_close(means["twice"], 1.9 * means["once"])
    shared = code.synchronised(nn.Sequential(nn.BatchNorm1d(3)))
    assert isinstance(shared[0], nn.SyncBatchNorm)


def test_a_plain_average_needs_no_mending():
    code = load("system_torch")
    generator = torch.Generator().manual_seed(0)
    batches = [shift + torch.randn((9, 3), generator=generator) for shift in (0, 4, 1)]
    kept = []
    for recomputes in (False, True):
        norm = nn.BatchNorm1d(3, momentum=None)
        code.mend_momentum(norm)
        for x in batches:
            (code.recomputed(norm, x) if recomputes else norm(x)).sum().backward()
        kept.append((norm.running_mean, norm.running_var))
    torch.testing.assert_close(kept[1], kept[0])


def test_recomputing_gives_the_same_gradients():
    x = torch.randn((9, 3), generator=torch.Generator().manual_seed(0))
    block = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))
    plain = torch.autograd.grad(block(x).square().sum(), list(block.parameters()))
    again = checkpoint(block, x, use_reentrant=False).square().sum()
    for got, want in zip(torch.autograd.grad(again, list(block.parameters())), plain, strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_recomputing_in_keras_updates_twice_and_is_mended(rng):
    keras = pytest.importorskip("keras")
    if keras.config.backend() != "torch":
        pytest.skip("the gradient is asked of torch")
    code = load("system_keras")
    x = torch.tensor(rng.standard_normal((9, 3)) + 2, dtype=torch.float32)
    means = {}
    for way in ("once", "twice", "mended"):
        norm = keras.layers.BatchNormalization(momentum=0.9)
        block = keras.Sequential([keras.Input((3,)), norm, keras.layers.Dense(2)])
        if way == "mended":
            code.mend_momentum(block)
        y = block(x, training=True) if way == "once" else code.recomputed(block, x)
        y.sum().backward()
        means[way] = keras.ops.convert_to_numpy(norm.moving_mean)
    np.testing.assert_allclose(means["mended"], means["once"], rtol=1e-5)
    np.testing.assert_allclose(means["twice"], 1.9 * means["once"], rtol=1e-5)
    with pytest.raises(ValueError, match="TensorFlow backend"):
        code.synchronised()
