"""What the other examples of a batch do to one: bad, blank and long neighbours, other domains.

Networks with three hidden layers of 50 ReLUs on digits; all seeds side by side.
"""

from functools import cache, partial
from itertools import islice
from time import thread_time
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bncourse.lab import buys, ensemble, models
from bncourse.lab.once import once
from bncourse.lab.small_batches import NORMS, SEEDS, WIDTH, Result, mlps, result
from bncourse.lab.threads import one_thread

BATCH = 60
RATES = (0.1, 0.3, 1.0)
STEPS = 250
# A bad image has its pixels multiplied by this: somebody forgot to divide by 255.
FORGOTTEN = 255.0
SPOILED_RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
FACTORS = (1.0, 4.0, 16.0, 64.0, FORGOTTEN, 1000.0)


class Trained(NamedTuple):
    """Networks of all seeds, and their data; treat them as read-only."""

    net: nn.Module
    sweep: ensemble.Sweep
    x: Tensor  # (seeds, images, pixels) of the test images
    y: Tensor  # (seeds, images)


@cache
@one_thread()
def trained(lr: float = 0.3, norm: str | None = "batch norm", steps: int = STEPS) -> Trained:
    """Return networks that learned shuffled digits in batches of 60.

    Args:
        lr: learning rate.
        norm: a key of NORMS; None has no norm.
        steps: number of batches.
    """
    sweep = ensemble.Sweep((lr,), SEEDS, size=BATCH)
    if norm:
        net = mlps(sweep, NORMS[norm](steps))
    else:
        nets = sweep.nets(
            lambda seed: models.mlp([64, 50, 50, 50, 10], nn.ReLU, std=0.2, seed=seed)
        )
        net = ensemble.stack(nets)
    for _ in islice(ensemble.steps(net, sweep.batches(), sweep.lr), steps):
        pass
    x = torch.stack([split.x_test for split in sweep.splits])
    y = torch.stack([split.y_test for split in sweep.splits])
    return Trained(net, sweep, x, y)


@once
def trained_accuracy() -> np.ndarray:
    """Return the accuracy, in percent, of the trained networks in inference mode, (seeds,)."""
    net, _, x, y = trained()
    return 100 * ensemble.accuracy(net, x, y).numpy()


def outputs_in_training(net: nn.Module, x: Tensor) -> Tensor:
    """Return the outputs for a batch in training mode; the running statistics stay."""
    kept = {name: buffer.clone() for name, buffer in net.named_buffers()}
    mode = net.training
    net.train()
    with torch.no_grad():
        y = torch.func.functional_call(net, kept, (x,))
    net.train(mode)
    return y


@once
@one_thread()
def bad_image(factor: float, draws: int = 40) -> np.ndarray:
    """Return the accuracy, in percent, of 59 images beside one that is multiplied by a factor.

    The trained networks are in training mode.

    Args:
        factor: on the pixels of the first image of each batch.
        draws: batches of test images.

    Returns:
        (seeds,).
    """
    net, _, x, y = trained()
    generator = torch.Generator().manual_seed(0)
    right = torch.zeros(len(y))
    for _ in range(draws):
        rows = torch.randperm(x.shape[1], generator=generator)[:BATCH]
        batch = x[:, rows].clone()
        batch[:, 0] *= factor
        answers = outputs_in_training(net, batch).argmax(dim=2)[:, 1:]
        right += (answers == y[:, rows[1:]]).float().mean(dim=1)
    return 100 * right.numpy() / draws


@once
@one_thread()
def values(factor: float, unit: int = 0) -> np.ndarray:
    """Return what a unit of the first batch norm makes of a batch with a bad image, (60,).

    Args:
        factor: on the pixels of the first image.
        unit: of the first layer, of the first seed; scale and shift are left out.
    """
    net, _, x, _ = trained()
    batch = x[:, :BATCH].clone()
    batch[:, 0] *= factor
    with torch.no_grad():
        z = net[0](batch)[0, :, unit].double()
    return ((z - z.mean()) / (z.var(correction=0) + 1e-5).sqrt()).numpy()


@once
@one_thread()
def train_beside(
    factor: float,
    norm: str,
    rates: tuple[float, ...] = SPOILED_RATES,
    seeds: tuple[int, ...] = SEEDS,
    steps: int = 150,
    dataset: str = "digits",
) -> Result:
    """Train with one bad image in each batch, with its right label, and test on good ones.

    Args:
        factor: on the pixels of the first image of each batch.
        norm: a key of NORMS.
        rates, seeds, steps: of the training, on batches of 60.
        dataset: a key of ``data.DATASETS``.
    """
    sweep = ensemble.Sweep(rates, seeds, dataset, BATCH)
    net = mlps(sweep, NORMS[norm](steps))

    def spoiled():
        for x, y in sweep.batches():
            x = x.clone()
            x[:, 0] *= factor
            yield x, y

    for _ in islice(ensemble.steps(net, spoiled(), sweep.lr), steps):
        pass
    return result(net, sweep, BATCH)


class Blank(NamedTuple):
    """How many blank images get the label of their neighbours, in percent, (seeds,)."""

    in_training: np.ndarray
    inference: np.ndarray
    digits: np.ndarray  # the same for test digits alone, in inference mode
    rate: float  # the best for blank images in training mode, among training digits


GROUP = 20
BLANK_NORMS = {
    "batch norm": partial(buys.GhostBatchNorm, group=GROUP),
    "layer norm": NORMS["layer norm"](None),
}


@once
@one_thread()
def blank(norm: str, rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0), steps: int = 100) -> Blank:
    """Train on groups of ten digits of one class and ten blank images with the label of that class.

    A step takes ten such groups, one for each class, as ten machines would; batch norm takes the
    statistics of each group. Then test on blank images among ten test digits of a class.

    Args:
        norm: a key of BLANK_NORMS.
        rates: learning rates.
        steps: number of steps.
    """
    sweep = ensemble.Sweep(rates, SEEDS)
    net = mlps(sweep, BLANK_NORMS[norm])
    stream = (_grouped(sweep, sweep.x, sweep.y, step) for step in range(steps))
    for _ in ensemble.steps(net, stream, sweep.lr):
        pass
    x = torch.stack([split.x_test for split in sweep.splits])
    y = torch.stack([split.y_test for split in sweep.splits])
    rounds = range(steps, steps + 10)
    chosen_by = _blanks(net, sweep, [_grouped(sweep, sweep.x, sweep.y, step) for step in rounds])
    in_training = _blanks(net, sweep, [_grouped(sweep, x, y, step) for step in rounds])
    best = int(np.median(chosen_by, axis=1).argmax())
    net.eval()
    with torch.no_grad():
        alone = net(torch.zeros(sweep.members, 1, 64)).argmax(dim=2)
    inference = sweep.shape(100 * (alone == torch.arange(10)).float().mean(dim=1)).numpy()
    digits = sweep.shape(100 * sweep.test_accuracy(net)[0]).numpy()
    return Blank(in_training[best], inference[best], digits[best], sweep.rates[best])


def _grouped(sweep: ensemble.Sweep, x: Tensor, y: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Return groups of all classes, half of each blank: (members, 10 * GROUP, ...)."""
    parts = []
    for seed, images, labels in zip(sweep.seeds, x, y, strict=True):
        generator = torch.Generator().manual_seed(1000 * seed + step)
        for label in range(10):
            rows = (labels == label).nonzero().squeeze(1)
            rows = rows[torch.randint(len(rows), (GROUP // 2,), generator=generator)]
            parts += [images[rows], torch.zeros(GROUP // 2, images.shape[1])]
    labels = torch.arange(10).repeat_interleave(GROUP).expand(len(sweep.seeds), -1)
    return sweep.each(torch.cat(parts).view(len(sweep.seeds), 10 * GROUP, -1)), sweep.each(labels)


def _blanks(net: nn.Module, sweep: ensemble.Sweep, batches: list) -> np.ndarray:
    """Return the share of blank images labelled as their neighbours are, (rates, seeds)."""
    right = torch.zeros(sweep.members)
    for x, y in batches:
        same = (outputs_in_training(net, x).argmax(dim=2) == y).float()
        right += same.unflatten(1, (10, GROUP))[:, :, GROUP // 2 :].mean(dim=(1, 2))
    return sweep.shape(100 * right / len(batches)).numpy()


def blurred(x: Tensor) -> Tensor:
    """Return images whose pixels are means of 3 x 3 pixels."""
    images = x.view(-1, 1, 8, 8)
    return nn.functional.avg_pool2d(images, 3, stride=1, padding=1).view(x.shape)


def noisy(x: Tensor) -> Tensor:
    """Return images with normal noise of standard deviation 0.4."""
    return x + 0.4 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))


DOMAINS = {
    "as in training": lambda x: x,
    "paler, less contrast": lambda x: 0.4 * x - 0.3,
    "negative": lambda x: 1 - x,
    "blurred": blurred,
    "noisy": noisy,
    "one pixel to the right": lambda x: x.view(-1, 8, 8).roll(1, dims=2).view(x.shape),
}


@once
@one_thread()
def domain(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return accuracies in another domain, with old statistics and with its own, (seeds,) each.

    The networks are in inference mode. Their own statistics are those of the test images of the
    domain, whose labels are not used, as one batch.

    Args:
        name: a key of DOMAINS.

    Source: li2016revisiting.
    """
    net, _, x, y = trained()
    moved = DOMAINS[name](x)
    net.eval()
    with torch.no_grad():
        old = net(moved)
    own = outputs_in_training(net, moved)
    net.train()
    return tuple(100 * (out.argmax(dim=2) == y).float().mean(dim=1).numpy() for out in (old, own))


@once
@one_thread()
def lagging(momentum: float, lr: float = 0.3, steps: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Return accuracies after a short training, (seeds,) each.

    First with the running statistics, then with those of the training images at the last weights.

    Args:
        momentum: of the running statistics, PyTorch's.
        lr, steps: of the training.
    """
    sweep = ensemble.Sweep((lr,), SEEDS, size=BATCH)
    net = mlps(sweep, NORMS["batch norm"](steps))
    layers = [part for part in net.modules() if isinstance(part, nn.BatchNorm1d)]
    for layer in layers:
        layer.momentum = momentum
    for _ in islice(ensemble.steps(net, sweep.batches(), sweep.lr), steps):
        pass
    found = [100 * sweep.test_accuracy(net)[0].numpy()]
    for layer in layers:
        layer.momentum = 1.0
    with torch.no_grad():
        net(sweep.x)
    return found[0], 100 * sweep.test_accuracy(net)[0].numpy()


class Rows(nn.Module):
    """A digits classifier that reads images as sequences of eight rows, for each member.

    Each row passes the same linear map and batch norm; behind the eight rows may stand padding,
    which only the statistics see.

    Args:
        seeds: of the weights, one for each member.
        masked: whether the statistics leave the padding out.
        width: units for each row.
    """

    def __init__(self, seeds: list[int], masked: bool, width: int = 32):
        super().__init__()
        nets = [models.mlp([8, width, 1], nn.ReLU, nn.BatchNorm1d, seed=seed) for seed in seeds]
        self.first, self.norm, _, _ = ensemble.stack(nets)
        heads = [models.mlp([8 * width, 10], seed=seed) for seed in seeds]
        (self.last,) = ensemble.stack(heads)
        self.masked, self.padding = masked, 0

    def forward(self, x: Tensor) -> Tensor:
        members, n, _ = x.shape
        z = self.first(x.reshape(members, n * 8, 8))
        if self.padding and not self.masked:
            zeros = z.new_zeros(members, n * self.padding, z.shape[2])
            z = self.norm(torch.cat([z, zeros], dim=1))[:, : n * 8]
        else:
            z = self.norm(z)
        return self.last(torch.relu(z).reshape(members, n, -1))


PADDINGS = (0, 8, 24, 56)


@once
@one_thread()
def sequences(masked: bool, rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0), steps: int = 120):
    """Train on batches whose longest sequence differs, and return accuracies at the best rate.

    Args:
        masked: whether the statistics leave the padding out.
        rates: learning rates.
        steps: number of batches, each with one of PADDINGS.

    Returns:
        A Result, and (paddings, rates, seeds) accuracies in training mode.
    """
    sweep = ensemble.Sweep(rates, SEEDS, size=BATCH)
    net = Rows([seed for _ in rates for seed in SEEDS], masked)
    rng = np.random.default_rng(0)

    def stream():
        for batch in sweep.batches():
            net.padding = int(rng.choice(PADDINGS))
            yield batch

    for _ in islice(ensemble.steps(net, stream(), sweep.lr), steps):
        pass
    x = torch.stack([split.x_test for split in sweep.splits])
    y = sweep.each(torch.stack([split.y_test for split in sweep.splits]))
    padded = []
    for net.padding in PADDINGS:
        answers = outputs_in_training(net, sweep.each(x)).argmax(dim=2)
        padded.append(sweep.shape(100 * (answers == y).float().mean(dim=1)).numpy())
    net.padding = 0
    return result(net, sweep, BATCH), np.array(padded)


PUSHES = (0.0, 0.05, 0.1)


@once
@one_thread()
def attacked(norm: str | None, rates: tuple[float, ...] = RATES) -> tuple[np.ndarray, float]:
    """Return accuracies, (pushes, seeds), of images pushed up the loss, and the rate.

    Each pixel moves by the same amount in the direction of its gradient's sign, ten small steps.
    The networks are in inference mode, at the rate that is best on the images as they are.

    Args:
        norm: a key of NORMS; None has no norm.
        rates: learning rates.

    Source: madry2017towards.
    """
    nets = [trained(lr, norm) for lr in rates]
    best = int(np.argmax([np.median(_pushed(each, 0.0)) for each in nets]))
    return np.array([_pushed(nets[best], push) for push in PUSHES]), rates[best]


def _pushed(trained_: Trained, push: float, steps: int = 10) -> np.ndarray:
    net, _, x, y = trained_
    net.eval()
    moved = x.clone()
    for _ in range(steps if push else 0):
        moved.requires_grad_()
        (gradient,) = torch.autograd.grad(ensemble.losses(net(moved), y).sum(), moved)
        moved = moved.detach() + push / 4 * gradient.sign()
        moved = (x + (moved - x).clamp(-push, push)).clamp(0, 1)
    with torch.no_grad():
        right = (net(moved).argmax(dim=2) == y).float().mean(dim=1)
    net.train()
    return 100 * right.numpy()


@once
@one_thread()
def loss_by_size(norm: str, size: int) -> np.ndarray:
    """Return the mean loss of trained networks over batches of a size, in training mode, (seeds,).

    Args:
        norm: a key of NORMS.
        size: of the batches of test images.
    """
    net, _, x, y = trained(0.3 if norm == "batch norm" else 0.1, norm)
    parts = [
        ensemble.losses(outputs_in_training(net, x[:, rows]), y[:, rows])
        for rows in torch.arange(x.shape[1] // size * size).split(size)
    ]
    return torch.stack(parts).mean(dim=0).numpy()


@one_thread()
def gradient_elsewhere() -> np.ndarray:
    """Return the share of the squared gradient of one answer that lies on other images, (seeds,).

    The answer is the logit of the right class of the first of 60 test images, in training mode.
    """
    net, _, x, y = trained()
    batch = x[:, :BATCH].clone().requires_grad_()
    kept = {name: buffer.clone() for name, buffer in net.named_buffers()}
    logits = torch.func.functional_call(net.train(), kept, (batch,))[:, 0]
    chosen = logits.gather(1, y[:, :1]).sum()
    squares = torch.autograd.grad(chosen, batch)[0].square().sum(dim=2)
    return (squares[:, 1:].sum(dim=1) / squares.sum(dim=1)).numpy()


@one_thread()
def answer_time(norm: bool, rounds: int = 30, calls: int = 20) -> float:
    """Return the seconds of processor time of 60 answers of one network in inference mode.

    Args:
        norm: whether its hidden layers have batch norm; folded, (C7), it has none.
        rounds: the least of so many measurements counts.
        calls: of each measurement.
    """
    kind = nn.BatchNorm1d if norm else None
    net = models.mlp([64, WIDTH, WIDTH, WIDTH, 10], nn.ReLU, kind, seed=0).eval()
    x = torch.rand(BATCH, 64, generator=torch.Generator().manual_seed(0))
    times = []
    with torch.no_grad():
        for _ in range(rounds):
            began = thread_time()
            for _ in range(calls):
                net(x)
            times.append(thread_time() - began)
    return min(times) / calls
