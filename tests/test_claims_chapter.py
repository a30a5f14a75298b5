"""The chapter on claims: all are there, each link leads somewhere, and the repaired comparison."""

import re

import claim_cards
import numpy as np
import pytest
import torch
from conftest import load_chapter_code as load
from reading_time import measure

from bncourse import claims
from bncourse.claims import CLAIMS, GROUPS, VERDICTS
from bncourse.contents import CHAPTERS
from bncourse.lab import buys, data, ensemble, published

COUNT = 41

each_claim = pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.number)


def text(root, page):
    return (root / "chapters" / f"{page}.md").read_text()


def page(root):
    return claim_cards.expanded(text(root, "claims_tested"))


def labels(source):
    """Return the targets that stand above an equation, a heading or a directive."""
    return re.findall(r"^\(([\w-]+)\)=\n(?:\$\$|#|:::|\\begin|```)", source, re.M)


def test_no_claim_is_missing():
    assert [claim.number for claim in CLAIMS] == list(range(1, COUNT + 1))
    assert {claim.verdict for claim in CLAIMS} == set(VERDICTS)
    assert list(dict.fromkeys(claim.group for claim in CLAIMS)) == list(GROUPS), "group by group"
    for field in ("claim", "question", "answer", "evidence"):
        assert len({getattr(claim, field) for claim in CLAIMS}) == COUNT, f"each {field} is its own"


@each_claim
def test_a_question_is_answered_in_one_sentence(claim):
    assert claim.question.endswith("?")
    assert claim.answer.endswith(".")
    assert not re.search(r"[.?!]\s", claim.answer)


def test_all_cards_stand_on_the_page_below_the_headings_of_their_groups(root):
    parts = re.split(r"^## (.*)\n", page(root), flags=re.M)[1:]
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    for group, heading in GROUPS.items():
        shown = [int(n) for n in re.findall(r"^\(claim-(\d+)\)=$", sections[heading], re.M)]
        assert shown == [claim.number for claim in CLAIMS if claim.group == group]
    for claim in CLAIMS:
        for part in (claim.claim, claim.verdict, claim.question, claim.answer, claim.evidence):
            assert part in sections[GROUPS[claim.group]]


def test_an_unknown_group_is_an_error():
    with pytest.raises(ValueError, match="must be one of words"):
        claim_cards.cards("unknown")


def test_the_filter_has_a_rule_for_each_verdict(root):
    rules = (root / "_static" / "course.css").read_text()
    choice = claim_cards.choice()
    for verdict in VERDICTS:
        name = claim_cards.css_class(verdict)
        count = sum(claim.verdict == verdict for claim in CLAIMS)
        assert f'id="show-{name}"> {verdict} ({count})' in choice
        assert f"article:has(#show-{name}:checked) .claim:not(.{name})" in rules
    assert choice.count(" checked>") == 1, "at first all claims show"


@each_claim
def test_each_link_of_a_claim_leads_somewhere(root, claim):
    card = claim_cards.card(claim)
    targets = re.findall(r"\]\(([^)]*)\)", card)
    sources = {name: text(root, name) for name in claims.titles()}
    found = {name: labels(source) for name, source in sources.items()}
    for target in targets:
        if target.startswith("#"):
            assert sum(names.count(target[1:]) for names in found.values()) == 1, target
        else:
            assert target.removesuffix(".md") in sources, target


@each_claim
def test_a_place_is_a_label_of_its_page(root, claim):
    for place in claim.where:
        name, anchor = claims.page_of(place), claims.anchor_of(place)
        assert name in claims.titles(), place
        assert not anchor or anchor in labels(text(root, name)), place


@each_claim
def test_a_claim_has_evidence_that_stands(root, claim):
    cited = re.findall(r"\{cite:[tp]\}`([^`]*)`", claim.evidence)
    keys = [key for each in cited for key in each.split(",")]
    bibliography = (root / "references.bib").read_text()
    assert all(f"{{{key},\n" in bibliography for key in keys)
    assert claims.links(claim), "a place in this book"


@each_claim
def test_a_number_of_an_answer_stands_where_it_links_to(root, claim):
    said = claim.answer + re.sub(r"\{cite:\w\}`[^`]*`|\[[^]]*\]\([^)]*\)", "", claim.evidence)
    places = [claims.page_of(place) for place in claim.where]
    held = claim.claim + "".join(text(root, name) for name in places)
    for number in re.findall(r"\d[\d.,]*\d|\d", said):
        assert re.search(rf"(?<!\d){re.escape(number)}(?!\d)", held), number


def holds(claim):
    return CLAIMS[claim - 1].verdict.startswith("holds")


@pytest.mark.parametrize(
    ("row", "claim"),
    [
        ("trains faster", 19),
        ("allows larger rates", 20),
        ("forgives the start", 21),
        ("regularises like dropout", 25),
        ("stands before the activation", 10),
    ],
)
def test_verdicts_are_those_of_the_chapter_on_what_it_buys(root, row, claim):
    (verdict,) = re.findall(rf"^\| {row} \|.*\| (.*) \|$", text(root, "what_it_buys"), re.M)
    assert verdict.startswith("holds") == holds(claim)
    assert (verdict == "holds") == (CLAIMS[claim - 1].verdict == "holds")


@pytest.mark.parametrize(
    ("name", "sentence", "claim", "verdict"),
    [
        ("reduce_shift", "That this is *why* it helps is not shown.", 18, "not supported"),
        ("how_deep", "*together with shortcuts*", 24, "holds under conditions"),
        ("forward", "The step [(F4)](#F4) is **affine**", 13, "wrong"),
        ("forward", "are **shared by all batches**", 14, "wrong"),
        ("forward", "inserted into it, between weights and activation", 12, "wrong"),
    ],
)
def test_a_verdict_rests_on_a_sentence_of_a_chapter(root, name, sentence, claim, verdict):
    assert sentence in text(root, name)
    assert CLAIMS[claim - 1].verdict == verdict
    assert name in {claims.page_of(place) for place in CLAIMS[claim - 1].where}


def test_the_whole_page_is_read_in_time(root):
    assert measure(page(root)).minutes <= 20


@pytest.mark.parametrize(
    ("shape", "verdict"), [("triangles", "wrong"), ("diamonds", "not supported")]
)
def test_the_alternative_text_of_the_picture_names_the_right_claims(root, shape, verdict):
    words = " ".join(text(root, "claims_tested").split())
    numbers = [str(claim.number) for claim in CLAIMS if claim.verdict == verdict]
    assert f"{shape}: {', '.join(numbers)}." in words


def test_the_contents_name_the_page():
    assert "claims_tested" in {each.page for each in CHAPTERS}


@pytest.mark.equation("Q1")
def test_the_loss_of_shares_is_that_of_the_formula():
    rng = np.random.default_rng(0)
    a = rng.uniform(-0.5, 1.5, (2, 5, 7))
    labels = rng.integers(0, 7, (2, 5))
    cut = a.clip(published.SMALLEST, 1 - published.SMALLEST)
    share = np.take_along_axis(cut, labels[..., None], 2)[..., 0] / cut.sum(2)
    found = published.losses_of_shares(torch.tensor(a), torch.tensor(labels))
    np.testing.assert_allclose(found, -np.log(share).mean(1))


def test_of_probabilities_the_loss_is_the_usual_one():
    scores = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0)).double()
    labels = torch.arange(10).reshape(2, 5) % 7
    found = published.losses_of_shares(scores.softmax(2), labels)
    torch.testing.assert_close(found, ensemble.losses(scores, labels), rtol=1e-5, atol=0)


def test_the_losses_of_adam_may_be_others():
    sweep = ensemble.Sweep((0.01,), (0,), size=8)
    net = published.net_of(published.HEADLESS, sweep)
    x, y = next(sweep.batches())
    (met,) = buys.adam_steps(net, [(x, y)], sweep.lr, lambda out, labels: (out**2).mean((1, 2)))
    assert met > 0
    before = published.net_of(published.HEADLESS, sweep)(x)
    assert (net(x) ** 2).mean() < (before**2).mean()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (published.HEADLESS, ["Linear", "ReLU"]),
        (published.WITHOUT, ["Linear", "ReLU", "Linear"]),
        (published.BATCH_NORM, ["Linear", "KerasBatchNorm", "ReLU", "Linear"]),
    ],
)
def test_the_networks_are_those_of_the_code(kind, expected):
    net = published.net_of(kind, ensemble.Sweep((0.001,), (0,)))
    assert [type(part).__name__ for part in net] == expected


def test_curves_repeat():
    def run():
        return published.curves.__wrapped__(published.BATCH_NORM, seeds=(0,), epochs=1)

    for one, other in zip(run(), run(), strict=True):
        np.testing.assert_array_equal(one, other)


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def test_the_flag_of_the_published_code_adds_no_batch_norm():
    code = load("claims_tested_keras")
    assert kinds(code.published(False, 4)) == ["Dense"]
    assert kinds(code.published(True, 4)) == ["Dense", "Dense"]
    assert kinds(code.repaired(False, 4)) == ["Dense", "ReLU", "Dense"]
    normed = code.repaired(True, 4)
    assert kinds(normed) == ["Dense", "BatchNormalization", "ReLU", "Dense"]
    assert [layer.use_bias for layer in (normed.layers[0], normed.layers[-1])] == [False, True]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_both_codes_train_in_keras():
    code = load("claims_tested_keras")
    digits = data.digits()
    x, y = digits.x[:100].numpy(), digits.y[:100].numpy()
    for build in (code.published, code.repaired):
        found = code.four_losses(build, x, y, epochs=1)
        assert [*found] == [False, True]
        assert all({*losses} == {"loss", "val_loss"} for losses in found.values())


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_silent_units_give_no_number_on_this_backend():
    import keras

    loss = keras.losses.sparse_categorical_crossentropy(np.array([1]), np.zeros((1, 3), "float32"))
    assert np.isnan(keras.ops.convert_to_numpy(loss)).all()


def test_mnist_is_flat_and_between_0_and_1(monkeypatch):
    import keras

    images = np.full((3, 28, 28), 255, np.uint8), np.array([5, 0, 4], np.uint8)
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: (images, images))
    x, y = load("claims_tested_keras").mnist()
    assert x.shape == (3, 784)
    assert (x == 1).all()
    assert y.tolist() == [5, 0, 4]
