"""The length-controlled fit: its symmetries, its optimum, and a standard error that a bootstrap confirms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.errors import DataError
from judges.protocols.alpaca.glm import Fit, Rows, _predict, extreme, fit_glm

pytest.importorskip("sklearn", reason="needs the extra judge")


def rows(n: int = 300, seed: int = 3, *, difficulty: bool = True, effect: float = -0.8) -> Rows:
    """Preferences that depend on length, difficulty and the model, as in real annotations."""
    rng = np.random.default_rng(seed)
    hard, delta = rng.normal(-1.0, 1.0, n), rng.normal(200.0, 900.0, n).round()
    z = effect * np.tanh(delta / delta.std(ddof=1)) + 0.5 * hard - 0.3 + rng.normal(0.0, 1.5, n)
    return Rows(1.0 / (1.0 + np.exp(-z)), delta, np.arange(n), hard if difficulty else None)


def gamed(n: int = 300, seed: int = 4) -> Rows:
    rng = np.random.default_rng(seed)
    index = np.concatenate([np.arange(n), np.arange(n)])
    hard = np.tile(rows(n).difficulty, 2)
    delta = rng.normal(0.0, 2.0, 2 * n)
    return Rows(rng.uniform(0.0, 1.0, 2 * n), delta, index, hard)


def taken(source: Rows, at: np.ndarray) -> Rows:
    assert source.difficulty is not None
    return Rows(source.preference[at], source.delta[at], source.index[at], source.difficulty[at])


def test_no_signal_is_fifty() -> None:
    n = 60
    fit = fit_glm(Rows(np.full(n, 0.5), np.zeros(n), np.arange(n), None), None)
    assert fit.lc == 0.5
    assert fit.weights == (0.0, 0.0, 0.0)
    assert fit.se == fit.se_predictions == 0.0
    assert fit.formula == "length_controlled_minimal"


def test_swapped_models_have_the_complementary_rate() -> None:
    one = rows(difficulty=False)
    fit = fit_glm(one, None)
    swapped = fit_glm(Rows(1.0 - one.preference, -one.delta, one.index, None), None)
    assert abs(fit.lc - 0.5) > 0.05
    assert swapped.lc == pytest.approx(1.0 - fit.lc, abs=2e-4)  # liblinear stops short of the optimum
    assert swapped.se == pytest.approx(fit.se, rel=0.01)


def test_length_alone_earns_nothing() -> None:
    """The same preferences, with the winner's answers made longer: the control takes some of the win away."""
    one = rows(difficulty=False, effect=0.0)
    won = one.preference > 0.5
    longer = Rows(one.preference, one.delta - np.where(won, 3000.0, 0.0), one.index, None)
    assert fit_glm(longer, None).lc < fit_glm(one, None).lc - 0.01


def test_weights_are_the_optimum_of_the_penalised_likelihood() -> None:
    one = rows()
    fit = fit_glm(one, None, c=2.0)
    assert one.difficulty is not None
    x = np.column_stack([np.tanh(one.delta / one.delta.std(ddof=1)), one.difficulty, np.ones(len(one.delta))])
    residual = one.preference - 1.0 / (1.0 + np.exp(-x @ np.array(fit.weights)))
    # At the optimum of 2 * loss + |beta|_1 the scores are the signs over 2.
    assert 2.0 * x.T @ residual == pytest.approx(np.sign(fit.weights), abs=0.1)
    assert fit.formula == "length_controlled_noreg"
    assert fit.predictions.mean() == fit.lc


def test_a_strong_penalty_is_no_preference() -> None:
    fit = fit_glm(rows(), gamed(), c=1e-4)
    assert fit.lc == 0.5
    assert fit.se == 0.0


def test_gamed_rows_enter_with_weight_a_tenth_and_without_a_constant() -> None:
    one, extra = rows(), gamed()
    alone, together = fit_glm(one, None, c=2.0), fit_glm(one, extra, c=2.0)
    assert together.formula == "length_controlled_v1"
    assert together.lc != alone.lc
    # A gamed set that says nothing (preference as fitted without a constant) pulls length and difficulty to zero only.
    silent = replace(extra, preference=np.full(len(extra.delta), 0.5))
    assert abs(fit_glm(one, silent, c=2.0).weights[0]) < abs(alone.weights[0])


def test_pseudo_values_average_to_the_rate_and_spread_to_its_error() -> None:
    fit = fit_glm(rows(), gamed())
    assert fit.pseudo.mean() == pytest.approx(fit.lc, abs=1e-12)
    assert fit.pseudo.std(ddof=1) / np.sqrt(len(fit.pseudo)) == pytest.approx(fit.se, rel=1e-9)
    assert fit.se > 1.5 * fit.se_predictions
    assert fit.rivals[0] <= fit.lc <= fit.rivals[1]


@pytest.mark.parametrize("with_gamed", [False, True])
def test_the_standard_error_is_that_of_a_bootstrap(with_gamed: bool) -> None:
    """Instructions resampled with their gamed rows, at the same penalty."""
    one, extra = rows(), gamed() if with_gamed else None
    fit = fit_glm(one, extra, c=2.7826)
    rng = np.random.default_rng(11)
    found: list[float] = []
    for _ in range(150):
        at = rng.integers(0, len(one.delta), len(one.delta))
        drawn = taken(one, at)
        if extra is not None:
            both = np.concatenate([at, at + len(one.delta)])
            extra_drawn = taken(extra, both)
        found.append(fit_glm(drawn, extra_drawn if extra is not None else None, c=2.7826).lc)
    assert fit.se == pytest.approx(np.std(found, ddof=1), rel=0.12)
    assert fit.se_predictions < 0.8 * np.std(found, ddof=1)


def test_unscored_rows_are_predicted_and_teach_nothing() -> None:
    one = rows()
    preference = one.preference.copy()
    preference[:7] = np.nan
    part = fit_glm(Rows(preference, one.delta, one.index, one.difficulty), None, c=2.0)
    assert len(part.predictions) == len(one.delta)
    assert not np.isnan(part.pseudo).any()
    delta = one.delta.copy()
    delta[:7] = np.nan
    unknown = fit_glm(Rows(preference, delta, one.index, one.difficulty), None, c=2.0)
    assert unknown.pseudo.mean() == pytest.approx(unknown.lc, abs=1e-12)
    assert unknown.lc == pytest.approx(part.lc, abs=0.01)


def test_too_few_annotations_are_refused() -> None:
    one = rows(8)
    preference = np.where(np.arange(8) < 4, one.preference, np.nan)
    with pytest.raises(DataError, match="at least 5"):
        fit_glm(Rows(preference, one.delta, one.index, one.difficulty), None)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_model_that_always_wins_or_loses_is_fitted(value: float) -> None:
    one = rows(100)
    fit: Fit = fit_glm(Rows(np.full(100, value), one.delta, one.index, one.difficulty), None)
    assert fit.lc == pytest.approx(value, abs=0.05)
    assert np.isfinite(fit.se)


def test_rate_from_weights() -> None:
    difficulty = np.array([0.0, 1.0, -2.0])
    expected = np.mean(1.0 / (1.0 + np.exp(-(0.5 + 0.25 * difficulty))))
    asked = Rows(np.full(3, np.nan), np.zeros(3), np.arange(3), difficulty)
    assert _predict(asked, np.array([7.0, 0.25, 0.5])).mean() == pytest.approx(expected, abs=1e-15)
    assert (_predict(asked, np.zeros(3)) == 0.5).all()


@pytest.mark.parametrize(
    ("win_rate", "lc", "warned"),
    [(20.0, 9.9, True), (20.0, 10.1, False), (20.0, 39.9, False), (20.0, 40.1, True), (50.0, 37.4, True),
     (50.0, 62.6, True), (50.0, 62.4, False), (80.0, 91.0, True), (4.0, 5.5, False), (54.4, 36.5, True)],
)  # fmt: skip
def test_extreme_changes(win_rate: float, lc: float, warned: bool) -> None:
    assert extreme(win_rate, lc) is warned
