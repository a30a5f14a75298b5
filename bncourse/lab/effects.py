"""The main effects of the chapters that test batch norm, each on any of the data sets.

An effect is a row of EFFECTS: what is claimed, how it is measured, and what counts as holding.
"""

from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from typing import NamedTuple

import numpy as np

from bncourse.lab import (
    buys,
    company,
    data,
    deep,
    experiments,
    interventions,
    landscape,
    scale,
    small_batches,
)

Values = dict[str, np.ndarray]  # one value for each seed, by the name of what was measured


class Effect(NamedTuple):
    """An effect of a chapter, and how to see whether it is there.

    Args:
        name: a sentence that holds or does not.
        page: the chapter, as in ``bncourse.contents``.
        shown: the label of its figure or section.
        paper: a key of ``references.bib``.
        agrees: how the effect stands to what the paper says.
        unit: of the values.
        measure: gives the Values on a data set, named by its key.
        holds: whether Values show the effect.
    """

    name: str
    page: str
    shown: str
    paper: str
    agrees: str
    unit: str
    measure: Callable[[str], Values]
    holds: Callable[[Values], bool]


def _median(values: Values) -> dict[str, float]:
    return {name: float(np.median(seeds)) for name, seeds in values.items()}


def jumps(dataset: str, lr: float, part: int) -> Values:
    """Return the mean jump (S4) in the first 25 steps; part 1 is that in spreads, part 0 is not."""
    return {
        name: np.array(
            [experiments.early_jumps(norm, seed, lr, dataset=dataset)[part] for seed in deep.SEEDS]
        )
        for name, norm in (("without", False), ("batch norm", True))
    }


def _at_best(kinds: Iterable[str], activation: str, dataset: str, column: str) -> Values:
    found = {kind: interventions.train(kind, activation, dataset) for kind in kinds}
    return {kind: getattr(each, column)[each.best] for kind, each in found.items()}


def noise(dataset: str) -> Values:
    """Return jump, in spreads, and accuracy of sigmoids with batch norm, noisy and not."""
    kinds = ("batch norm", "noisy")
    named = {"jump": "jump", "%": "accuracy"}
    return {
        f"{kind}, {unit}": values
        for unit, column in named.items()
        for kind, values in _at_best(kinds, "sigmoid", dataset, column).items()
    }


def kept(dataset: str, size: float = 0.0171) -> Values:
    """Return (D4) at equal loss, for ReLU networks at their best rates."""
    found = {}
    for kind in ("without", "batch norm"):
        best = interventions.train(kind, "ReLU", dataset).best
        lr = interventions.RATES[best]
        seen = landscape.at_equal_loss(kind, "ReLU", lr, 1.0, dataset)
        found[kind] = seen.kept[landscape.SIZES.index(size)]
    return found


def steps(dataset: str) -> Values:
    """Return (U1) of ReLU networks, each kind at its best rate."""
    found = {name: buys.speed(name, dataset=dataset) for name in ("ReLU", "ReLU, batch norm")}
    return {name: each.steps[each.fastest] for name, each in found.items()}


def large_weights(dataset: str, factor: float = 5.0) -> Values:
    """Return the accuracy from hidden weights that are too large, each kind at its best rate."""
    found = {name: buys.start(name, factor, dataset) for name in buys.START_RATES}
    return {name: each.accuracy[each.most_accurate] for name, each in found.items()}


def few(dataset: str) -> Values:
    """Return the accuracy of networks trained on few images, each kind at its best rate."""
    return {
        "neither": buys.few(False, dataset=dataset).at_best,
        "batch norm": buys.few(True, dataset=dataset).at_best,
    }


def growth(dataset: str, depth: int = 50) -> Values:
    """Return the factor by which each of many plain ReLU layers lengthens the gradient."""
    gradient = deep.start("plain", depth, source=data.DATASETS[dataset]).gradient
    return {"factor": (gradient[0] / gradient[-1]) ** (1 / (depth - 1))}


def hundred(dataset: str) -> Values:
    """Return the accuracy of a hundred layers, with and without shortcuts, at the best rates."""
    found = {}
    for kind, depth in (("plain", 100), ("residual", 101)):
        # On digits the best rate is known, by a test.
        rates = (deep.BEST_RATE[kind, depth],) if dataset == "digits" else deep.RATES
        runs = deep.at_rates(kind, depth, rates, source=data.DATASETS[dataset])
        best = min(runs, key=lambda run: np.median(run.final))
        found[kind] = 100 * best.accuracy
    return found


def decay(dataset: str, decayed: float = 0.2) -> Values:
    """Return how far weight decay and a growing rate are apart, in outputs of test images."""
    source = data.DATASETS[dataset]
    pairs = [
        [scale.train(seed, decayed, growing=growing, source=source) for growing in (False, True)]
        for seed in scale.SEEDS
    ]
    return {"apart": np.array([abs(a.outputs - b.outputs).max() for a, b in pairs])}


def turns(dataset: str, decayed: float = 0.2) -> Values:
    """Return the mean cosine of the angle of late steps, from three starting lengths."""
    source = data.DATASETS[dataset]
    return {
        f"start times {size:g}": np.array(
            [
                np.cos(scale.train(seed, decayed, size, source=source).angle[-200:]).mean()
                for seed in scale.SEEDS
            ]
        )
        for size in scale.SCALES
    }


def small(dataset: str, size: int, norms: Iterable[str]) -> Values:
    """Return the accuracy after training in batches of a size, each norm at its best rate."""
    return {norm: small_batches.train(norm, size, dataset=dataset).at_best for norm in norms}


def one_class(dataset: str) -> Values:
    """Return the accuracy after training in batches of one class, each norm at its best rate."""
    return {
        norm: small_batches.of_few_classes(norm, 1, dataset=dataset).at_best
        for norm in ("batch norm", "layer norm")
    }


def spoiled(dataset: str) -> Values:
    """Return the accuracy on good images after training beside a bad one in each batch."""
    return {
        norm: company.train_beside(company.FORGOTTEN, norm, dataset=dataset).at_best
        for norm in ("batch norm", "layer norm")
    }


def _gap(values: Values, one: str, other: str) -> float:
    middle = _median(values)
    return middle[one] - middle[other]


EFFECTS = (
    Effect(
        "At the rate 0.1, activations jump more with batch norm at first",
        "covariate_shift",
        "fig-shift-jumps",
        "ioffe2015batch",
        "against its hypothesis, in this unit",
        "thousandths",
        lambda dataset: {k: 1000 * v for k, v in jumps(dataset, 0.1, 0).items()},
        lambda v: v["batch norm"].min() > v["without"].max(),
    ),
    Effect(
        "Measured in spreads, they jump less",
        "covariate_shift",
        "fig-shift-jumps",
        "ioffe2015batch",
        "for its hypothesis, in this unit",
        "spreads",
        lambda dataset: jumps(dataset, 0.1, 1),
        lambda v: v["batch norm"].max() < v["without"].min(),
    ),
    Effect(
        "Sigmoids with ten times the jump reach the same accuracy, within 3 points",
        "reduce_shift",
        "fig-trial-ladder",
        "santurkar2018how",
        "agrees",
        "spreads; %",
        noise,
        lambda v: (
            abs(_gap(v, "noisy, %", "batch norm, %")) < 3
            and np.median(v["noisy, jump"]) > 10 * np.median(v["batch norm, jump"])
        ),
    ),
    Effect(
        "Sigmoids normalised once reach the accuracy of batch norm, within 3 points",
        "reduce_shift",
        "fig-trial-rates",
        "salimans2016weight",
        "asked by no paper; it has the start",
        "%",
        lambda dataset: _at_best(("once", "batch norm"), "sigmoid", dataset, "accuracy"),
        lambda v: abs(_gap(v, "once", "batch norm")) < 3,
    ),
    Effect(
        "At equal loss a step keeps more of the promise of its gradient",
        "reduce_shift",
        "fig-trial-smoothness",
        "santurkar2018how",
        "agrees, in a unit of its own",
        "share",
        kept,
        lambda v: v["batch norm"].min() > v["without"].max(),
    ),
    Effect(
        "Each at its best rate, ReLU networks learn faster, by a factor below 10",
        "what_it_buys",
        "fig-buys-steps",
        "ioffe2015batch",
        "agrees; its factor is larger",
        "steps",
        steps,
        lambda v: (
            v["ReLU, batch norm"].max() < v["ReLU"].min()
            and np.median(v["ReLU"]) < 10 * np.median(v["ReLU, batch norm"])
        ),
    ),
    Effect(
        "Weights five times too large cost less with batch norm",
        "what_it_buys",
        "fig-buys-sizes",
        "ioffe2015batch",
        "agrees",
        "%",
        large_weights,
        lambda v: v["ReLU, batch norm"].min() > v["ReLU"].max(),
    ),
    Effect(
        "On 200 images, batch norm gains less than 2 points over neither",
        "what_it_buys",
        "fig-buys-few",
        "ioffe2015batch",
        "its gain is seen on clothes, not on digits",
        "%",
        few,
        lambda v: _gap(v, "batch norm", "neither") < 2,
    ),
    Effect(
        "Each of 50 plain ReLU layers lengthens the gradient by 1.21, within 0.03",
        "how_deep",
        "fig-deep-gradients",
        "yang2019mean",
        "agrees",
        "factor",
        growth,
        lambda v: np.abs(v["factor"] - deep.growth("ReLU") ** 0.5).max() < 0.03,
    ),
    Effect(
        "A hundred plain layers stay below 25 %, with shortcuts all pass 50 %",
        "how_deep",
        "fig-deep-accuracy",
        "yang2019mean",
        "agrees",
        "%",
        hundred,
        lambda v: v["plain"].max() < 25 and v["residual"].min() > 50,
    ),
    Effect(
        "Weight decay is a learning rate that grows: outputs agree to a thousandth",
        "scale_invariance",
        "scale-exponential",
        "li2020exponential",
        "agrees",
        "outputs",
        decay,
        lambda v: v["apart"].max() < 1e-3,
    ),
    Effect(
        "From any start, late steps turn by the angle whose cosine is 0.98, within 0.005",
        "scale_invariance",
        "I7",
        "kosson2023rotational",
        "agrees",
        "cosine",
        turns,
        lambda v: all(np.abs(seeds - 0.98).max() < 0.005 for seeds in v.values()),
    ),
    Effect(
        "Trained in pairs, batch norm falls behind layer norm on every seed",
        "when_it_fails",
        "fig-fails-sizes",
        "wu2018group",
        "agrees",
        "%",
        lambda dataset: small(dataset, 2, ("batch norm", "layer norm")),
        lambda v: v["batch norm"].max() < v["layer norm"].min(),
    ),
    Effect(
        "Trained in fours, batch norm loses at most 5 points to layer norm",
        "when_it_fails",
        "fig-fails-sizes",
        "wu2018group",
        "it has group norm, on ImageNet",
        "%",
        lambda dataset: small(dataset, 4, ("batch norm", "layer norm")),
        lambda v: _gap(v, "batch norm", "layer norm") > -5,
    ),
    Effect(
        "In pairs, renorm wins back more than 10 points",
        "when_it_fails",
        "fig-fails-sizes",
        "ioffe2017renorm",
        "agrees",
        "%",
        lambda dataset: small(dataset, 2, ("batch norm", "renorm")),
        lambda v: _gap(v, "renorm", "batch norm") > 10,
    ),
    Effect(
        "With one class a batch, batch norm stays below 20 %, layer norm 20 points above it",
        "when_it_fails",
        "fig-fails-classes",
        "ioffe2017renorm",
        "agrees; its batches hold few classes",
        "%",
        one_class,
        lambda v: v["batch norm"].max() < 20 and _gap(v, "layer norm", "batch norm") > 20,
    ),
    Effect(
        "One bad image in sixty costs batch norm 30 points more than layer norm",
        "when_it_fails",
        "fig-fails-spoiled",
        "ba2016layer",
        "asked by no paper; it has the other norm",
        "%",
        spoiled,
        lambda v: _gap(v, "layer norm", "batch norm") > 30,
    ),
)


def measured(effect: Effect, dataset: str) -> dict:
    """Return what is kept of an effect on a data set, as plain data."""
    values = effect.measure(dataset)
    # A number that is none, or not finite, has no place in JSON.
    kept = {
        name: [float(f"{value:.4g}") if np.isfinite(value) else None for value in seeds]
        for name, seeds in values.items()
    }
    return {"holds": bool(effect.holds(values)), "values": kept}


def run(pairs: Iterable[tuple[Effect, str]]) -> Iterator[tuple[Effect, str, dict]]:
    """Measure effects on data sets; yield ``(effect, data set, what is kept)`` as each is done.

    Args:
        pairs: of an Effect and a key of ``data.DATASETS``.
    """
    for effect, dataset in pairs:
        yield effect, dataset, measured(effect, dataset)


def versions() -> dict[str, str]:
    """Return the versions of the packages that the numbers depend on."""
    return {name: version(name) for name in ("torch", "numpy", "scikit-learn")}
