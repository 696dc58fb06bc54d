"""The bound of a bounded mean: Clopper and Pearson's where values are right or wrong, and never empty."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta

from harness.stats.bounded import lower_bound, shortfall_p


@pytest.mark.parametrize(("count", "right"), [(1, 1), (3, 1), (10, 3), (30, 29), (30, 30), (500, 250), (5000, 3)])
def test_right_or_wrong_values_have_clopper_and_pearsons_bound(count: int, right: int) -> None:
    values = np.array([1.0] * right + [0.0] * (count - right))
    exact = beta.ppf(0.05, right, count - right + 1)
    assert lower_bound(values, np.ones(count), 0.0, 0.05) == pytest.approx(exact, abs=1e-6)
    assert shortfall_p(values, np.ones(count), exact, 0.0) == pytest.approx(0.05, abs=1e-8)


@pytest.mark.parametrize("count", [1, 3, 30, 500])
def test_no_difference_is_the_rule_of_three_and_not_a_point(count: int) -> None:
    bound = lower_bound(np.zeros(count), np.ones(count), -1.0, 0.05)
    assert bound == pytest.approx(0.05 ** (1.0 / count) - 1.0, abs=1e-6)


def test_a_weighted_mean_of_many_values_agrees_with_drawn_weights() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(0.1, 0.3, 60).clip(-1.0, 1.0)
    weights = generator.dirichlet(np.ones(61), 100_000)
    means = weights @ np.append(values, -1.0)
    for level in (0.01, 0.05, 0.5):
        drawn = float(np.quantile(means, level))
        assert shortfall_p(values, np.ones(60), drawn, -1.0) == pytest.approx(level, abs=4 * math.sqrt(level / 100_000))


@pytest.mark.parametrize("distance", [0.3, 0.9])
def test_far_from_the_mean_p_is_nothing_or_all(distance: float) -> None:
    values = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], 3000)
    assert shortfall_p(values, np.ones(3000), -distance, -1.0) < 1e-8
    assert shortfall_p(values, np.ones(3000), distance, -1.0) > 1 - 1e-8


def test_equal_clusters_count_as_units() -> None:
    sums = np.array([2.0, 0.0, -1.0, 1.0])
    alone = lower_bound(sums / 2.0, np.ones(4), -1.0, 0.05)
    assert lower_bound(sums, np.full(4, 2.0), -1.0, 0.05) == pytest.approx(alone, abs=1e-6)


def test_one_large_cluster_weighs_in_the_unseen_one() -> None:
    sizes = np.array([50.0, *[1.0] * 50])
    mixed = lower_bound(np.zeros(51), sizes, -1.0, 0.05)
    generator = np.random.default_rng(0)
    weights = generator.exponential(size=(100_000, 52)) * np.append(sizes, 25.5)  # (50^2 + 50) / 100
    drawn = float(np.quantile(-weights[:, -1] / weights.sum(axis=1), 0.05))
    assert mixed == pytest.approx(drawn, abs=0.01)


def test_a_value_below_the_worst_widens_the_range_rather_than_the_claim() -> None:
    values = np.array([0.0, -3.0, 0.0])
    assert lower_bound(values, np.ones(3), -1.0, 0.05) == lower_bound(values, np.ones(3), -3.0, 0.05)


def test_the_bound_is_where_p_is_alpha() -> None:
    values = np.random.default_rng(2).normal(0.0, 0.2, 200).clip(-1, 1)
    bound = lower_bound(values, np.ones(200), -1.0, 0.1)
    assert shortfall_p(values, np.ones(200), bound, -1.0) == pytest.approx(0.1, abs=1e-4)
    assert lower_bound(values[::-1].copy(), np.ones(200), -1.0, 0.1) == pytest.approx(bound, abs=1e-6)
