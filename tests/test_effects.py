"""The table of effects: each has a row, and what it shows was measured."""

import itertools
import json
import math

import effects_table
import numpy as np
import pytest

from bncourse.contents import CHAPTERS
from bncourse.lab import data, effects

PAGES = (
    "covariate_shift",
    "reduce_shift",
    "what_it_buys",
    "how_deep",
    "scale_invariance",
    "when_it_fails",
)


@pytest.fixture(scope="module")
def whole():
    return effects_table.read()


def test_each_chapter_that_tests_batch_norm_has_an_effect():
    assert {effect.page for effect in effects.EFFECTS} == set(PAGES)
    assert set(PAGES) <= {chapter.page for chapter in CHAPTERS}
    names = [effect.name for effect in effects.EFFECTS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("effect", effects.EFFECTS, ids=lambda effect: effect.name)
def test_an_effect_is_shown_on_its_page_and_cites_a_source(root, effect):
    page = (root / "chapters" / f"{effect.page}.md").read_text()
    labels = (f"name: {effect.shown}\n", f"({effect.shown})=\n")
    assert any(label in page for label in labels), effect.shown
    assert f"{{{effect.paper}," in (root / "references.bib").read_text()


def test_the_file_says_when_and_with_what(whole):
    assert set(whole) == {"date", "versions", "rows"}
    assert math.prod(map(int, whole["date"].split("-"))) > 0
    assert set(whole["versions"]) == set(effects.versions())


@pytest.mark.parametrize("effect", effects.EFFECTS, ids=lambda effect: effect.name)
def test_each_effect_has_a_row_with_its_seeds(whole, effect):
    row = whole["rows"][effect.name]
    assert {"digits", "fashion"} <= set(row) <= set(data.DATASETS)
    for found in row.values():
        values = {
            name: np.array([np.inf if value is None else value for value in seeds])
            for name, seeds in found["values"].items()
        }
        assert all(len(seeds) >= 5 for seeds in values.values())
        assert bool(effect.holds(values)) == found["holds"], "the verdict is that of the values"


def test_the_text_tells_which_effects_hold(whole):
    fails = {
        (effect.shown, dataset)
        for effect in effects.EFFECTS
        for dataset in ("digits", "fashion")
        if not whole["rows"][effect.name][dataset]["holds"]
    }
    assert fails == {("fig-buys-few", "fashion")}
    gains = {
        dataset: np.median(found["values"]["batch norm"]) - np.median(found["values"]["neither"])
        for (effect,) in [[e for e in effects.EFFECTS if e.shown == "fig-buys-few"]]
        for dataset, found in whole["rows"][effect.name].items()
    }
    assert gains["digits"] < 2
    assert gains["fashion"] > 3, "several points"
    kept = whole["rows"]["At equal loss a step keeps more of the promise of its gradient"]
    without, normed = (
        [np.median(kept[dataset]["values"][kind]) for dataset in ("digits", "fashion")]
        for kind in ("without", "batch norm")
    )
    assert without[1] < without[0], "even less"
    assert 0.05 < normed[0] - normed[1] < 0.2, "somewhat less"


def test_networks_whose_seeds_lie_apart_keep_their_order(whole):
    changed = set()
    for name, row in whole["rows"].items():
        digits, fashion = (row[dataset]["values"] for dataset in ("digits", "fashion"))
        for one, other in itertools.combinations(digits, 2):
            signs = [_above(values[one], values[other]) for values in (digits, fashion)]
            medians = [
                np.median(_finite(values[one])) - np.median(_finite(values[other]))
                for values in (digits, fashion)
            ]
            assert signs[0] * signs[1] >= 0, (name, one, other)
            if medians[0] * medians[1] < 0:
                changed.add((name, one, other))
    fours = "Trained in fours, batch norm loses at most 5 points to layer norm"
    assert changed == {(fours, "batch norm", "layer norm")}, "as the text says"


def _finite(seeds):
    return np.array([np.inf if value is None else value for value in seeds])


def _above(one, other):
    """Return 1 or -1 if all of one lie above or below all of the other, else 0."""
    one, other = _finite(one), _finite(other)
    return int(one.min() > other.max()) - int(one.max() < other.min())


def test_no_row_is_of_an_effect_that_is_gone(whole):
    assert set(whole["rows"]) == {effect.name for effect in effects.EFFECTS}


def test_the_table_has_a_row_for_each_effect(root, whole):
    shown = effects_table.table(whole)
    assert shown.count("\n") == len(effects.EFFECTS) + 1
    assert len({line.count(" | ") for line in shown.splitlines()[2:]}) == 1
    page = (root / "chapters" / "effects.md").read_text()
    assert effects_table._FENCE in page
    assert effects_table._NUMBERS in page


def test_the_numbers_name_each_effect_each_data_set_and_each_paper(whole):
    shown = effects_table.numbers(whole)
    assert shown.count("\n- ") == len(effects.EFFECTS) - 1
    assert shown.count("digits: ") == shown.count("Fashion-MNIST: ") == len(effects.EFFECTS)
    assert shown.count("{cite:t}") == len(effects.EFFECTS)


def test_a_run_gives_plain_data():
    effect = effects.EFFECTS[0]
    short = effect._replace(
        measure=lambda dataset: {"without": np.array([1.0, np.inf]), "batch norm": np.ones(2)}
    )
    ((got, dataset, found),) = effects.run([(short, "digits")])
    assert (got, dataset) == (short, "digits")
    assert json.loads(json.dumps(found)) == {
        "holds": False,
        "values": {"without": [1.0, None], "batch norm": [1.0, 1.0]},
    }


@pytest.mark.skipif(not data.fashion_is_installed(), reason="dataset-fashion-mnist is missing")
def test_one_effect_runs_on_other_images():
    found = effects.growth("fashion", depth=10)
    assert found["factor"] == pytest.approx(1.21, abs=0.05)


def test_mnist_without_a_network_says_what_it_needs(monkeypatch):
    keras = pytest.importorskip("keras")

    def unreachable():
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", unreachable)
    data._mnist_files.cache_clear()
    with pytest.raises(ConnectionError, match=r"needs a network\. Received: URL fetch failure"):
        data.mnist()


def test_mnist_is_chosen_from_what_keras_hands_over(monkeypatch):
    keras = pytest.importorskip("keras")
    images = np.arange(8 * 784, dtype=np.uint8).reshape(8, 28, 28)
    part = (images, np.arange(8, dtype=np.uint8))
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: (part, part))
    data._mnist_files.cache_clear()
    split = data.mnist(seed=1, train=5, test=3)
    data._mnist_files.cache_clear()
    assert split.x.shape == (5, 784)
    assert split.x_test.shape == (3, 784)
    row = split.y[0].item()
    np.testing.assert_allclose(split.x[0].numpy(), images[row].ravel() / 255, rtol=1e-6)
