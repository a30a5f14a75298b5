"""The oracles of problem set 7 against torch and each other, and its processes."""

import itertools
import os
import threading

import numpy as np
import pytest
import torch
import torch.distributed as dist
from solutions_ps7_batches import CORRECT

from bncourse import check
from bncourse.attempt import attempt
from bncourse.check import CheckFailed
from bncourse.exercise import Unusable, draw_cases
from bncourse.exercises.ps7_batches import processes
from bncourse.reference import batches, convolution, forward
from bncourse.registry import find, load
from bncourse.rules import CHANGED_LATER
from bncourse.trial.sample_class import source_of

SYNC = "sync_batch_statistics"
EPS = (1e-5, 0.5)


def draw(seed, n=12, d=5):
    rng = np.random.default_rng(seed)
    x = 3.0 * rng.standard_normal((n, d)) + rng.uniform(-2, 2, d)
    return x, rng.uniform(0.5, 2, d), rng.uniform(0.5, 2, d)


def torch_batch_norm(x, gamma, beta, eps):
    tensors = [torch.from_numpy(each) for each in (gamma, beta)]
    normed = torch.nn.functional.batch_norm(
        torch.from_numpy(x), None, None, *tensors, training=True, eps=eps
    )
    return normed.numpy()


# --- the oracles ----------------------------------------------------------------------------------


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("size", [2, 5, 7, 12, 40])
def test_each_ghost_is_batch_norm_of_torch(size, eps):
    x, gamma, beta = draw(0)
    y = batches.ghost_batchnorm(x, gamma, beta, size, eps)
    for start in range(0, len(x), size):
        ghost = x[start : start + size]
        if len(ghost) > 1:
            theirs = torch_batch_norm(ghost, gamma, beta, eps)
            np.testing.assert_allclose(y[start : start + size], theirs, rtol=1e-9, atol=1e-9)
        else:
            np.testing.assert_allclose(y[start], beta)


def test_renorm_without_clipping_is_inference():
    x, gamma, beta = draw(1)
    mean, std = x.mean(0) + 0.7, 1.6 * x.std(0)
    y, r, d = batches.batch_renorm_forward(x, gamma, beta, mean, std, 30.0, 50.0)
    # eps is in std already; the least positive one adds nothing.
    inference = forward.batchnorm_inference(x, gamma, beta, mean, std**2, eps=1e-300)
    np.testing.assert_allclose(y, inference, rtol=1e-9)
    assert np.all(r < 1)
    assert np.all(d < 0)


@pytest.mark.parametrize("eps", EPS)
def test_renorm_that_may_correct_nothing_is_batch_norm(eps):
    x, gamma, beta = draw(2)
    y, r, d = batches.batch_renorm_forward(x, gamma, beta, x[0], np.abs(x[1]), 1.0, 0.0, eps)
    np.testing.assert_allclose(y, torch_batch_norm(x, gamma, beta, eps), rtol=1e-9, atol=1e-9)
    assert np.all(r == 1)
    assert np.all(d == 0)


def test_renorm_stays_within_its_bounds():
    x, gamma, beta = draw(3)
    std = x.std(0) * np.array([0.01, 100.0, 1.0, 0.01, 100.0])
    _, r, d = batches.batch_renorm_forward(x, gamma, beta, x[0] + 90, std, 3.0, 5.0)
    assert set(np.round(r, 9)) <= {3.0, round(1 / 3, 9), *np.round(r[2:3], 9)}
    assert d.min() == -5.0


@pytest.mark.parametrize("eps", EPS)
def test_the_mixture_has_batch_norm_and_layer_norm_at_its_ends(eps):
    x, gamma, beta = draw(4)
    root = np.sqrt(x.shape[1])
    by_batch = forward.batchnorm_forward(x, gamma, 0 * beta, eps)[0]
    by_layer = convolution.layernorm_forward(x, gamma, 0 * beta, eps)[0]
    for size in (1, 4, 10**9):
        y = batches.batch_layer_norm(x, gamma, beta, size, eps=eps)
        mixed = by_layer / size + (1 - 1 / size) * by_batch - 1e-4 * (by_layer + by_batch)
        np.testing.assert_allclose(y, mixed / root + beta, rtol=1e-9)


def test_the_mixture_takes_each_statistic_of_the_population_on_its_own():
    x, gamma, beta = draw(5)
    both = {"running_mean": x[0], "running_var": np.abs(x[1]) + 1}
    known = batches.batch_layer_norm(x, gamma, beta, 4)
    given = {"running_mean": x.mean(0), "running_var": x.var(0)}
    for names in ((), ("running_mean",), ("running_var",), tuple(given)):
        some = {name: given[name] for name in names}
        np.testing.assert_allclose(batches.batch_layer_norm(x, gamma, beta, 4, **some), known)
    # One example is then on its own.
    whole = batches.batch_layer_norm(x, gamma, beta, 4, **both)
    alone = batches.batch_layer_norm(x[3:4], gamma, beta, 4, **both)
    np.testing.assert_allclose(alone, whole[3:4])


def test_the_statistics_of_shards_are_those_of_their_union():
    x = draw(6)[0] + 1e6
    for first in (1, 5, 11):
        found = batches.sync_batch_statistics([x[:first], x[first:]])
        merged = forward.merge_statistics(
            first,
            *forward.batch_statistics(x[:first]),
            len(x) - first,
            *forward.batch_statistics(x[first:]),
        )[1:]
        for ours, other, direct in zip(found, merged, (x.mean(0), x.var(0)), strict=True):
            np.testing.assert_allclose(ours, other, rtol=1e-8)
            np.testing.assert_allclose(ours, direct, rtol=1e-8)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x, g, b: batches.ghost_batchnorm(x, g, b, 0), "ghost_size must be at least 1"),
        (lambda x, g, b: batches.ghost_batchnorm(x, g, b, 2, eps=0), "eps must be positive"),
        (
            lambda x, g, b: batches.batch_renorm_forward(x, g, b, x[0], x[1], 0.5, 1),
            "r_max must be at least 1. Received: r_max=0.5",
        ),
        (
            lambda x, g, b: batches.batch_renorm_forward(x, g, b, x[0], x[1], 2, -1),
            "d_max must be at least 0",
        ),
        (lambda x, g, b: batches.batch_layer_norm(x, g, b, 0), "batch_size must be at least 1"),
    ],
)
def test_an_oracle_refuses_what_makes_no_sense(call, words):
    with pytest.raises(ValueError, match=words):
        call(*draw(7))


# --- the processes --------------------------------------------------------------------------------

linux = pytest.mark.skipif(not processes._can_fork(), reason="forks on Linux only")
SHARDS = [np.array([[1.0, 2.0], [0.0, 7.0]]), np.array([[3.0, 5.0], [5.0, 2.0], [4.0, 4.0]])]
RETURNS = ("mean", "var")


def in_both(function):
    """Return what the two ways to start a group say of a function: results or an error."""
    found = []
    for start in (processes.in_threads, processes.in_forks):
        try:
            found.append(start(function, SHARDS, RETURNS))
        except Exception as error:
            found.append((type(error), str(error)))
    return found


def shards_of(case):
    return [case.inputs["shard 0"], case.inputs["shard 1"]]


@linux
def test_a_solution_runs_in_two_processes_and_leaves_none_behind():
    def sync_batch_statistics(x):
        own = torch.tensor([[float(os.getpid())]])
        everyone = [torch.empty_like(own) for _ in range(2)]
        dist.all_gather(everyone, own)
        return torch.cat(everyone).ravel(), torch.cat([own.ravel(), x.sum().float()[None]])

    first, second = processes.call_in_processes(sync_batch_statistics, SHARDS, RETURNS)
    pids = [int(pid) for pid in first["mean"]]
    assert [int(each["var"][0]) for each in (first, second)] == pids
    assert len({*pids, os.getpid()}) == 3
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not dist.is_initialized()


@linux
@pytest.mark.parametrize("mistake", find(SYNC).mistakes, ids=lambda mistake: mistake.name)
def test_threads_say_what_processes_say(mistake):
    """A known mistake is tried in threads; a student's runs in processes."""
    cases = draw_cases(find(SYNC), 0)
    shards = shards_of(cases["three examples and seven"])
    found = []
    for start in (processes.in_threads, processes.in_forks):
        try:
            found.append(start(mistake.obj, shards, RETURNS))
        except Unusable as problem:
            found.append(str(problem))
    if isinstance(found[0], str):
        assert found[0] == found[1]
        return
    for ours, theirs in zip(*found, strict=True):
        assert ours.keys() == theirs.keys()
        for label, value in ours.items():
            np.testing.assert_allclose(value, theirs[label], rtol=1e-12)


@linux
def test_who_waits_for_ever_is_told_so():
    def first_alone(x):
        if dist.get_rank() == 0:
            dist.all_reduce(x.sum(0))
        return x.mean(0), x.var(0)

    def once_more(x):
        for _ in range(1 + dist.get_rank()):
            dist.all_reduce(x.sum(0))
        return x.mean(0), x.var(0)

    for function in (first_alone, once_more):
        assert in_both(function) == [(Unusable, processes.WAITS)] * 2


@linux
def test_who_computes_for_ever_or_dies_is_told_so():
    def endless(x):
        while True:
            pass

    def dies(x):
        os._exit(3)

    with pytest.raises(Unusable, match="computes without an end"):
        processes.in_forks(endless, SHARDS, RETURNS)
    with pytest.raises(Unusable, match="Received: exit status 3"):
        processes.in_forks(dies, SHARDS, RETURNS)
    with pytest.raises(Unusable, match=processes.OTHER_SIZES):
        processes.in_forks(lambda x: os.abort(), SHARDS, RETURNS)


@linux
def test_what_a_process_raises_and_prints_arrives(capsys):
    def raises(x):
        print("rank", dist.get_rank())
        raise ValueError("no mean")

    found = in_both(raises)
    assert found == [(ValueError, "no mean")] * 2
    assert "process 1: rank 1" in capsys.readouterr().out
    case = draw_cases(find(SYNC), 0)["two shards of four"]
    made = attempt(find(SYNC), raises, case)
    assert made.error == "ValueError"
    assert 'raise ValueError("no mean")' in made.message
    assert "process 0: rank 0" in made.printed


@linux
def test_an_exception_that_cannot_travel_is_told_by_its_words():
    def raises(x):
        class OnlyHere(Exception):
            pass

        raise OnlyHere("lost")

    with pytest.raises(RuntimeError, match="OnlyHere: lost"):
        processes.in_forks(raises, SHARDS, RETURNS)


@linux
def test_tensors_of_other_sizes_in_one_exchange_are_told(capfd):
    def sync_batch_statistics(x):
        shards = [torch.empty_like(x) for _ in range(2)]
        dist.all_gather(shards, x)
        return torch.cat(shards).mean(0), torch.cat(shards).var(0, correction=0)

    with pytest.raises(Unusable) as failure:
        processes.in_forks(sync_batch_statistics, SHARDS, RETURNS)
    assert str(failure.value) == processes.OTHER_SIZES
    assert capfd.readouterr().err == ""


KEEPERS = {
    "first results": (processes.KEPT, "return kept.setdefault('r', (mean, q / n))"),
    "sums": (processes.KEPT, "kept['n'] = n = n + kept.get('n', 0); return mean, q / n"),
    "one tensor": (
        CHANGED_LATER,
        "return kept.setdefault('m', torch.empty_like(mean)).copy_(mean), q / n",
    ),
}


@linux
@pytest.mark.parametrize(("said", "line"), KEEPERS.values(), ids=KEEPERS)
def test_what_is_kept_from_step_to_step_is_told(said, line):
    names = {"dist": dist, "kept": {}, "torch": torch}
    exec(
        "def sync_batch_statistics(x):\n"
        "    s = torch.cat([x.sum(0), x.new_tensor([len(x)])])\n"
        "    dist.all_reduce(s)\n"
        "    n, mean = s[-1], s[:-1] / s[-1]\n"
        "    q = ((x - mean) ** 2).sum(0)\n"
        "    dist.all_reduce(q)\n"
        f"    {line}\n",
        names,
    )
    with pytest.raises(Unusable) as failure:
        processes.in_forks(names["sync_batch_statistics"], SHARDS, RETURNS)
    assert str(failure.value) == said


def test_an_input_that_is_changed_in_place_is_seen():
    def in_place(x):
        x -= 1
        return x.mean(0), x.var(0)

    assert {text for _, text in in_both(in_place)} == {processes.OVERWRITTEN}


def test_threads_leave_torch_as_it_was(monkeypatch):
    before = dist.all_reduce, threading.active_count()
    monkeypatch.setattr(processes, "_can_fork", lambda: False)
    for solution in CORRECT[SYNC]:
        check(solution, SYNC)
    assert (dist.all_reduce, threading.active_count()) == before


# --- what a check says ----------------------------------------------------------------------------


def message(obj, name):
    with pytest.raises(CheckFailed) as failure:
        check(obj, name)
    return " ".join(str(failure.value).split())


def test_a_process_that_waits_is_told_in_the_check():
    def sync_batch_statistics(x):
        if dist.get_rank() == 0:
            dist.all_reduce(x.sum(0))
        return x.mean(0), x.var(0, correction=0)

    assert "All processes must make the same calls" in message(sync_batch_statistics, SYNC)


@pytest.mark.parametrize(
    ("name", "mistake"),
    [(name, each) for name, exercise in load("ps7_batches").items() for each in exercise.mistakes],
)
def test_the_source_of_a_mistake_stands_alone(name, mistake):
    """The sample class pastes it into a notebook with these imports."""
    namespace = {"np": np, "torch": torch, "dist": dist, "nn": torch.nn}
    exec(source_of(mistake, name), namespace)
    assert namespace[name].__name__ == name


def test_the_hints_of_an_exercise_differ():
    for exercise in load("ps7_batches").values():
        hints = [mistake.hint for mistake in exercise.mistakes]
        assert [a for a, b in itertools.combinations(hints, 2) if a == b] == []
