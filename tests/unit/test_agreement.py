"""Kappa and alpha against published values, definitions written out, and scikit-learn."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DataError, UsageError
from harness.stats.agreement import Level, bootstrap_interval, krippendorff_alpha

N = None
# Krippendorff 2011, the table of four observers and twelve units.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
    [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
]
UNITS = [list(unit) for unit in zip(*OBSERVERS, strict=True)]


@pytest.mark.parametrize(("level", "expected"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorffs_own_example(level: Level, expected: float) -> None:
    assert krippendorff_alpha(UNITS, level) == pytest.approx(expected, abs=5e-4)


def test_a_binary_example_by_hand() -> None:
    # Ten units, two raters: 14 zeros and 6 ones, four units disagree: 1 - 19 * 8 / (20^2 - 14^2 - 6^2) = 0.095.
    first = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    second = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    assert krippendorff_alpha(list(zip(first, second, strict=True))) == pytest.approx(1 - 19 * 8 / 168)


def by_definition(units: list[list[int | None]], level: Level) -> float:
    """Alpha from the coincidences, pair by pair, as the paper writes it."""
    pairs: list[tuple[int, int, float]] = []
    for unit in units:
        values = [value for value in unit if value is not None]
        if len(values) >= 2:
            pairs += [(a, b, 1 / (len(values) - 1)) for a, b in permutations(values, 2)]
    totals: dict[int, float] = {}
    for a, _, weight in pairs:
        totals[a] = totals.get(a, 0.0) + weight

    def apart(a: int, b: int) -> float:
        if level == "nominal":
            return float(a != b)
        if level == "interval":
            return float((a - b) ** 2)
        low, high = min(a, b), max(a, b)
        between = sum(count for value, count in totals.items() if low <= value <= high)
        return (between - (totals[a] + totals[b]) / 2) ** 2

    n = sum(totals.values())
    observed = sum(weight * apart(a, b) for a, b, weight in pairs) / n
    expected = sum(ca * cb * apart(a, b) for a, ca in totals.items() for b, cb in totals.items()) / (n * (n - 1))
    return 1 - observed / expected


@given(
    units=st.lists(st.lists(st.none() | st.integers(0, 4), min_size=3, max_size=3), min_size=1, max_size=12),
    level=st.sampled_from(["nominal", "ordinal", "interval"]),
)
def test_alpha_is_its_definition(units: list[list[int | None]], level: Level) -> None:
    values = [value for unit in units if sum(v is not None for v in unit) >= 2 for value in unit if value is not None]
    found = krippendorff_alpha(units, level)
    if len(set(values)) < 2:
        assert found is None
    else:
        assert found == pytest.approx(by_definition(units, level), abs=1e-9)


def test_alpha_does_not_care_who_rated_or_in_which_order() -> None:
    shuffled = [[unit[i] for i in (2, 0, 3, 1)] for unit in reversed(UNITS)]
    for level in ("nominal", "ordinal", "interval"):
        assert krippendorff_alpha(shuffled, level) == pytest.approx(krippendorff_alpha(UNITS, level))


def test_a_large_offset_changes_nothing() -> None:
    moved = [[N if value is None else value + 1e7 for value in unit] for unit in UNITS]
    assert krippendorff_alpha(moved, "interval") == pytest.approx(krippendorff_alpha(UNITS, "interval"))


def test_chance_is_zero() -> None:
    ratings = np.random.default_rng(0).integers(0, 5, size=(20_000, 3)).astype(float)
    for level in ("nominal", "ordinal", "interval"):
        assert krippendorff_alpha(ratings, level) == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("units", [[[1, 1], [1, 1]], [[1, N], [N, 2]], [[N, N]]])
def test_alpha_is_undefined_without_variation_or_pairs(units: list[list[float | None]]) -> None:
    assert krippendorff_alpha(units) is None


@pytest.mark.parametrize("ratings", [[], [[]], [[1, 2], [1]], [[1, float("inf")]]])
def test_what_is_no_table_is_refused(ratings: list[list[float | None]]) -> None:
    with pytest.raises(DataError):
        krippendorff_alpha(ratings)


def test_unknown_level_is_refused() -> None:
    with pytest.raises(UsageError, match="'ratio'"):
        krippendorff_alpha(UNITS, "ratio")  # type: ignore[arg-type]


def test_bootstrap_intervals_are_seeded_and_cover() -> None:
    values = np.random.default_rng(1).normal(size=400)

    def mean(drawn: np.ndarray) -> float:
        return float(values[drawn].mean())

    low, high = bootstrap_interval(mean, 400) or (0.0, 0.0)
    assert (low, high) == bootstrap_interval(mean, 400)
    assert bootstrap_interval(mean, 400, seed=1) != (low, high)
    half = 1.96 * values.std(ddof=1) / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_bootstrap_of_something_mostly_undefined_is_undefined() -> None:
    ratings = np.array([[1.0, 1.0]] * 9 + [[2.0, 2.0]])
    assert krippendorff_alpha(ratings) == pytest.approx(1.0)
    assert bootstrap_interval(lambda drawn: krippendorff_alpha(ratings[drawn]), 10, resamples=200) is None
    with pytest.raises(DataError):
        bootstrap_interval(lambda drawn: 0.0, 0)
