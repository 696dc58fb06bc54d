"""Arena-Hard's labels, mean vote, Bradley-Terry fit, intervals."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DataError
from judges.protocols.arena.labels import LABELS, parse_label
from judges.protocols.arena.score import ArenaScore, Votes, bradley_terry, bradley_terry_scores, mean_scores, ratio
from judges.types import Malformed
from tests.arena_official import official

FIVE = ("A>>B", "A>B", "A=B", "B>A", "B>>A")


def votes(labels: Sequence[tuple[str, str]], model: str = "m", category: str = "") -> list[Votes]:
    """Problems p0, p1, … from the verdicts of game 1 (baseline first) and game 2 (model first)."""
    worths = [(LABELS[first], LABELS[second]) for first, second in labels]
    return [
        Votes.of(f"p{i}", model, "base", ((1.0 - one.value, one.weight), (two.value, two.weight)), category)
        for i, (one, two) in enumerate(worths)
    ]


def score(labels: Sequence[tuple[str, str]]) -> float:
    return mean_scores(votes(labels), rounds=10)[0].score


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("My final verdict is tie: [[A=B]]", "A=B"),
        ("[[A>B]] at first, but then [[B>>A]].", "B>>A"),  # the last one counts
        ("so: [[b>a]]", "B>A"),
        ("verdict [A>B]", "A>B"),
        ("[B>A] and later [[A>>B]] and [B>>A]", "A>>B"),  # double brackets win over single ones
        ("[[AB]] is no verdict, [[A>B]] is, [[<>]] is not", "A>B"),
        ("<think>[[A>>B]]</think>\n[[B>A]]", "B>A"),
        ("[[A<<B]]", "A<<B"),
    ],
)
def test_a_verdict_is_read(text: str, label: str) -> None:
    assert parse_label(text) == label


@pytest.mark.parametrize("text", ["", "A>B", "[[C>A]]", "[[ ]]", "<think>[[A>B]]", "[[A>>>>>>>>>>B]]", "【A>B】"])
def test_a_reply_without_a_verdict_has_none(text: str) -> None:
    with pytest.raises(Malformed):
        parse_label(text)


@given(st.text(alphabet="AB<>=[] ab\n", max_size=200))
def test_reading_any_text_gives_a_known_label_or_none(text: str) -> None:
    try:
        assert parse_label(text) in LABELS
    except Malformed:
        assert not any(f"[[{label}]]" in text.upper() for label in LABELS)


def test_labels_and_their_mirror_images_agree() -> None:
    swap = str.maketrans("AB<>", "BA><")
    for label, worth in LABELS.items():
        mirrored = LABELS[label.translate(str.maketrans("AB", "BA"))]
        assert (mirrored.value, mirrored.weight) == (1.0 - worth.value, worth.weight), label
        same = LABELS[label[::-1].translate(str.maketrans("<>", "><"))]  # "A>B" is "B<A"
        assert (same.value, same.weight) == (worth.value, worth.weight), label
        assert label.translate(swap) in LABELS
    assert {LABELS[label].weight for label in FIVE} == {1, 3}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([("B>>A", "A>>B")], 1.0),  # six votes, all won
        ([("A>>B", "B>>A")], 0.0),
        ([("A=B", "A=B")] * 5, 0.5),
        ([("A>B", "A>B")] * 4, 0.5),  # follows the position only
        ([("A>>B", "A>>B")] * 4, 0.5),
        ([("B>A", "A>B"), ("A>B", "B>A")], 0.5),
        ([("B>>A", "A>B"), ("A>B", "A=B")], (3 + 1 + 0 + 0.5) / 6),  # clear verdicts weigh three times
        ([("A<B", "A=B")], 0.75),
    ],
)
def test_the_score_is_the_share_of_votes(labels: list[tuple[str, str]], expected: float) -> None:
    assert score(labels) == pytest.approx(expected, abs=1e-12)
    assert bradley_terry_scores(votes(labels), rounds=10)[0].score == pytest.approx(
        expected, abs=5e-6
    )  # its ridge is not nothing for two votes


def test_mirrored_verdicts_give_the_complement() -> None:
    generator = random.Random(1)
    labels = [(generator.choice(FIVE), generator.choice(FIVE)) for _ in range(60)]
    mirrored = [tuple(label.translate(str.maketrans("AB", "BA")) for label in pair) for pair in labels]
    one, other = mean_scores(votes(labels))[0], mean_scores(votes(mirrored))[0]  # type: ignore[arg-type]
    assert one.score == pytest.approx(1 - other.score, abs=1e-12)
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low), abs=1e-12)


def random_votes(model: str, seed: int, count: int = 80, category: str = "") -> list[Votes]:
    generator = random.Random(seed)
    return votes([(generator.choice(FIVE), generator.choice(FIVE)) for _ in range(count)], model, category)


def test_identical_copies_get_identical_numbers() -> None:
    first = random_votes("m", 3)
    copies = [*first, *(replace(vote, model="copy") for vote in first), *random_votes("other", 9)]
    for scores in (mean_scores(copies), bradley_terry_scores(copies)):
        numbers = {row.model: (row.score, row.low, row.high) for row in scores}
        assert numbers["m"] == pytest.approx(numbers["copy"], abs=1e-12)
        assert numbers["m"] != pytest.approx(numbers["other"], abs=1e-3)


def test_a_seed_decides_the_interval_and_nothing_else() -> None:
    rows = random_votes("m", 4)
    assert mean_scores(rows, seed=1) == mean_scores(list(reversed(rows)), seed=1)
    one, other = mean_scores(rows, seed=1)[0], mean_scores(rows, seed=2)[0]
    assert one.score == other.score
    assert one.low != other.low
    assert one.low == pytest.approx(other.low, abs=0.02)


def test_clear_verdicts_are_not_independent_draws() -> None:
    """Three votes of one verdict and two games of one problem shrink the official interval, not ours."""
    rows = [Votes.of(f"p{i}", "m", "base", [(float(i % 2), 3.0), (float(i % 2), 3.0)]) for i in range(100)]
    ours, (_, low, high) = mean_scores(rows)[0], official(rows)
    assert ours.se == pytest.approx(0.5 / math.sqrt(99), rel=1e-9)
    # Six equal votes each: the official draw believes in 600 independent ones, and shows the inner 90 % of them.
    assert (high - low) / (ours.high - ours.low) == pytest.approx(1.645 / 1.96 / math.sqrt(6), rel=0.25)


def test_a_model_that_won_everything_has_an_honest_interval() -> None:
    rows = votes([("B>A", "A>>B")] * 40)
    found = mean_scores(rows)[0]
    assert (found.score, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025 ** (1 / 40))
    fitted = bradley_terry_scores(rows)[0]
    assert 1 - 1e-6 < fitted.score <= 1.0


def test_standard_error_is_that_of_the_ratio() -> None:
    """Against the bootstrap's own spread, where votes per problem differ a lot."""
    rows = random_votes("m", 5, 300)
    found = mean_scores(rows, rounds=4000)[0]
    won, total = np.array([row.points for row in rows]), np.array([row.total for row in rows])
    drawn = np.random.default_rng(0).integers(0, 300, size=(4000, 300))
    spread = (won[drawn].sum(axis=1) / total[drawn].sum(axis=1)).std()
    assert found.se == pytest.approx(spread, rel=0.05)
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.06)


def test_pseudo_values_average_to_the_score() -> None:
    rows = random_votes("m", 6, 50)
    mean, items = ratio({row.uid: row.points for row in rows}, {row.uid: row.total for row in rows}, {})
    values = np.array(list(items.values()))
    assert values.mean() == pytest.approx(sum(row.points for row in rows) / sum(row.total for row in rows))
    assert values.std(ddof=1) / math.sqrt(50) == pytest.approx(mean.se)


def test_intervals_cover() -> None:
    """95 % intervals of 60 problems hold the true share in about 95 % of 300 simulated evaluations."""
    generator = np.random.default_rng(7)
    strengths = generator.normal(-0.5, 1.5, size=20_000)
    chance = 1 / (1 + np.exp(-strengths))
    weights = np.where(np.abs(strengths) > 1.5, 3.0, 1.0)
    truth = float((2 * weights * chance).sum() / (2 * weights).sum())
    hits = {"bootstrap": 0, "official": 0}
    for _ in range(300):
        drawn = generator.integers(0, len(chance), size=60)
        won = generator.binomial(2, chance[drawn]) * weights[drawn]
        rows = [Votes(str(i), "m", "b", float(won[i]), 0.0, float(2 * weights[drawn[i]] - won[i])) for i in range(60)]
        ours, (_, low, high) = mean_scores(rows, rounds=200)[0], official(rows)
        hits["bootstrap"] += ours.low <= truth <= ours.high
        hits["official"] += low <= truth <= high
    assert hits["bootstrap"] / 300 > 0.90
    assert hits["official"] / 300 < 0.75  # what it prints as an interval is half as wide as one


def test_bradley_terry_on_a_round_robin_is_the_maximum_likelihood() -> None:
    sklearn = pytest.importorskip("sklearn.linear_model")
    strengths = np.array([0.9, 0.2, -0.4, 0.0])
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    generator = np.random.default_rng(2)
    total = np.full(len(pairs), 300.0)
    won = np.array([generator.binomial(300, 1 / (1 + math.exp(strengths[j] - strengths[i]))) for i, j in pairs])
    ratings = bradley_terry(won[None].astype(float), total[None], pairs, 4)[0]
    design = np.zeros((len(pairs), 4))
    for row, (i, j) in enumerate(pairs):
        design[row, i], design[row, j] = 1, -1
    fit = sklearn.LogisticRegression(fit_intercept=False, C=1e9, tol=1e-12, max_iter=10_000).fit(
        np.vstack([design[:, :3], design[:, :3]]),
        np.r_[np.ones(len(pairs)), np.zeros(len(pairs))],
        sample_weight=np.r_[won, total - won],
    )
    expected = 1000 + 400 / math.log(10) * fit.coef_[0]
    assert ratings[3] == 1000
    assert ratings[:3] == pytest.approx(expected, abs=0.01)
    assert ratings[:3] == pytest.approx(1000 + 400 / math.log(10) * strengths[:3], abs=30)


def test_categories_are_scored_apart_and_two_baselines_are_refused() -> None:
    rows = [*random_votes("m", 1, 30, "hard"), *random_votes("m", 2, 30, "creative")]
    assert [row.category for row in mean_scores(rows)] == ["creative", "hard"]
    assert len(bradley_terry_scores(rows)) == 2
    mixed = [*random_votes("m", 1, 5), replace(random_votes("n", 1, 1)[0], baseline="another")]
    with pytest.raises(DataError, match="several baselines"):
        bradley_terry_scores(mixed)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no verdicts"),
        ([*votes([("A=B", "A=B")]), *votes([("A=B", "A=B")])], "'p0' stands twice"),
        ([Votes("p", "m", "b", 0, 0, 0)], "no vote"),
    ],
)
def test_what_cannot_be_scored_is_refused(rows: list[Votes], message: str) -> None:
    for scorer in (mean_scores, bradley_terry_scores):
        with pytest.raises(DataError, match=message):
            scorer(rows)


def test_the_best_comes_first() -> None:
    good, bad = votes([("B>A", "A>B")] * 3 + [("A=B", "A=B")], "good"), votes([("A>B", "B>A")] * 3, "bad")
    found: list[ArenaScore] = mean_scores([*bad, *good])
    assert [row.model for row in found] == ["good", "bad"]
