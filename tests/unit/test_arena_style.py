"""Arena-Hard's style control: what is counted, and that a known taste for length is found and taken out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import DataError
from judges.protocols.arena.score import Votes, mean_scores
from judges.protocols.arena.style import Style, difference, style_of, style_scores


@pytest.mark.parametrize(
    ("text", "tokens", "headers", "lists"),
    [
        ("", 0, 0, 0),
        ("Two words, a comma.", 6, 0, 0),
        ("# One\n## Two\n####### seven\n#none", 15, 2, 0),
        ("1. a\n12. b\n- c\n * d\n\t+ e\n-f\n1) g\na - b", 20, 0, 5),
        ("\n\n  - after blank lines\n", 4, 0, 1),
    ],
)
def test_markdown_is_counted(text: str, tokens: int, headers: int, lists: int) -> None:
    assert style_of(text) == Style(tokens, headers, lists, 0, "words and marks")


def test_bold_and_code() -> None:
    assert style_of("**bold** and __bold__ but not ** this\n").bold == 2
    fenced = style_of("```\n# code\n- code\n**code**\n```\n# text")
    assert (fenced.headers, fenced.lists, fenced.bold) == (1, 0, 0)
    assert style_of("text\n```python\n# never closed").headers == 1  # no fence: it is text


def test_recorded_token_counts_are_taken_where_they_are() -> None:
    assert style_of("one two", {"token_len": 7}) == Style(7, 0, 0, 0, "recorded")
    for broken in ({}, {"token_len": None}, {"token_len": True}, {"token_len": -1}, {"token_len": "7"}):
        assert style_of("one two", broken) == Style(2, 0, 0, 0, "words and marks")


def test_counting_is_linear() -> None:
    for text in ("\n" * 300_000, "**" * 150_000, "**a" * 100_000, " " * 300_000 + "-", "`" * 300_000, "__a" * 99_999):
        style_of(text)  # a quadratic pattern would take minutes; pytest-timeout ends it


def test_differences_by_hand() -> None:
    model, baseline = Style(299, 3, 6, 0, "recorded"), Style(99, 0, 4, 2, "recorded")
    length, headers, lists, bold = difference(model, baseline)
    assert length == pytest.approx(200 / 398)
    assert headers == pytest.approx(0.01 / 1.01)
    assert lists == pytest.approx((0.02 - 0.04) / 1.06)
    assert bold == pytest.approx(-0.02 / 1.02)
    assert difference(baseline, model) == pytest.approx([-length, -headers, -lists, -bold])
    empty = Style(0, 0, 0, 0, "recorded")
    assert difference(empty, empty) == (0, 0, 0, 0)


Styles = dict[tuple[str, str], Style]


def simulate(
    problems: int, strengths: dict[str, float], taste: float, longer: float, seed: int = 0
) -> tuple[list[Votes], Styles]:
    """A judge whose log-odds are strength + taste * relative length; `longer`: mean log length ratio of the models."""
    generator = np.random.default_rng(seed)
    rows: list[Votes] = []
    styles: Styles = {}
    for i in range(problems):
        uid, base = f"q{i}", 300.0
        styles["base", uid] = Style(base, 0, int(generator.integers(0, 9)), 0, "recorded")
        for model, strength in strengths.items():
            own = base * math.exp(generator.normal(longer, 0.5))
            styles[model, uid] = Style(own, int(generator.integers(0, 5)), int(generator.integers(0, 9)), 0, "recorded")
            length = difference(styles[model, uid], styles["base", uid])[0]
            won = float(generator.binomial(4, 1 / (1 + math.exp(-strength - taste * length))))
            rows.append(Votes(uid, model, "base", won, 0, 4 - won))
    return rows, styles


def spread(rows: list[Votes], styles: Styles) -> float:
    return float(np.std([difference(styles[row.model, row.uid], styles["base", row.uid])[0] for row in rows]))


@pytest.mark.parametrize("taste", [0.0, 2.0, -3.0])
def test_a_known_taste_for_length_is_recovered_and_taken_out(taste: float) -> None:
    rows, styles = simulate(1500, {"m": -0.4}, taste, longer=0.6)
    found = style_scores(rows, styles, rounds=200)
    per_unit = found.coefficients["length"] / spread(rows, styles)
    assert per_unit == pytest.approx(taste, abs=4 * found.coefficient_ses["length"] / spread(rows, styles))
    assert per_unit == pytest.approx(taste, abs=0.5)
    for name in ("headers", "lists"):  # the judge does not look at these
        assert abs(found.coefficients[name]) < 4 * found.coefficient_ses[name]
    assert found.coefficients["bold"] == 0.0  # nobody uses any
    truth = 1 / (1 + math.exp(0.4))
    assert found.scores[0].low < truth < found.scores[0].high
    raw = mean_scores(rows, rounds=10)[0].score
    if taste:
        assert abs(raw - truth) > 3 * found.scores[0].se, "the simulation should need a correction"
    else:
        assert raw == pytest.approx(found.scores[0].score, abs=3 * found.scores[0].se)


def test_models_share_the_coefficients_and_are_ranked_by_strength() -> None:
    strengths = {"short": 0.5, "even": 0.0}
    rows, styles = simulate(800, strengths, 2.0, longer=0.0)
    long_rows, long_styles = simulate(800, {"long": 0.0}, 2.0, longer=1.2, seed=1)
    found = style_scores([*rows, *long_rows], {**long_styles, **styles}, rounds=100)
    scores = {row.model: row for row in found.scores}
    assert found.scores[0].model == "short"
    assert scores["long"].score == pytest.approx(0.5, abs=0.05)  # no better than the baseline, only longer
    raw = {row.model: row.score for row in mean_scores([*rows, *long_rows], rounds=10)}
    assert raw["long"] > raw["short"]
    assert scores["short"].n_problems == 800
    assert scores["short"].n_votes == 3200


def test_a_score_beyond_the_data_is_told() -> None:
    rows, styles = simulate(200, {"m": 0.0, "longest": 0.0}, 1.0, longer=0.1)
    for row in rows:
        if row.model == "longest":
            styles["longest", row.uid] = replace(styles["longest", row.uid], tokens=4000.0)
    found = style_scores(rows, styles, rounds=10)
    assert set(found.extrapolated) == {"longest"} and "length" in found.extrapolated["longest"]


def test_the_fit_is_the_logistic_regression() -> None:
    sklearn = pytest.importorskip("sklearn.linear_model")
    rows, styles = simulate(300, {"m": 0.3, "n": -0.7}, 1.0, longer=0.3, seed=5)
    ordered = sorted(rows, key=lambda row: (row.model, row.uid))
    raw = np.array([difference(styles[row.model, row.uid], styles["base", row.uid]) for row in ordered])[:, :3]
    raw = raw / raw.std(axis=0)
    design = np.column_stack([[row.model == name for row in ordered] for name in ("m", "n")] + [raw]).astype(float)
    won, lost = np.array([row.won for row in ordered]), np.array([row.lost for row in ordered])
    fit = sklearn.LogisticRegression(fit_intercept=False, C=1e9, tol=1e-10, max_iter=10_000).fit(
        np.vstack([design, design]), np.r_[np.ones(600), np.zeros(600)], sample_weight=np.r_[won, lost]
    )
    found = style_scores(rows, styles, rounds=10)
    scores = {row.model: row.score for row in found.scores}
    assert scores["m"] == pytest.approx(1 / (1 + math.exp(-fit.coef_[0][0])), abs=1e-5)
    assert scores["n"] == pytest.approx(1 / (1 + math.exp(-fit.coef_[0][1])), abs=1e-5)
    assert [found.coefficients[name] for name in ("length", "headers", "lists")] == pytest.approx(
        list(fit.coef_[0][2:]), abs=1e-4
    )


def test_the_same_seed_gives_the_same_numbers_and_win_everything_is_finite() -> None:
    rows, styles = simulate(60, {"m": 0.0}, 1.0, longer=0.2)
    assert style_scores(rows, styles, rounds=50, seed=3) == style_scores(rows[::-1], styles, rounds=50, seed=3)
    winner = [replace(row, won=4.0, lost=0.0) for row in rows]
    found = style_scores(winner, styles, rounds=20)
    assert found.scores[0].score > 0.999
    assert all(map(math.isfinite, (found.scores[0].low, found.scores[0].se, *found.coefficients.values())))


def test_what_cannot_be_controlled_is_refused() -> None:
    rows, styles = simulate(10, {"m": 0.0}, 0.0, longer=0.0)
    for broken, known, message in (
        ([], styles, "no verdicts"),
        (rows, {key: value for key, value in styles.items() if key != ("base", "q3")}, "base on q3"),
        ([*rows, rows[0]], styles, "stands twice"),
        ([replace(rows[0], category="a"), *rows[1:]], styles, "one category"),
        ([replace(rows[0], baseline="other"), *rows[1:]], styles, "one baseline"),
        (rows, {**styles, ("m", "q1"): style_of("no recorded count")}, "one way"),
    ):
        with pytest.raises(DataError, match=message):
            style_scores(broken, known, rounds=5)
