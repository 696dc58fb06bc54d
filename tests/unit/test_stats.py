"""Statistics: distributions held to scipy, standard errors, intervals, paired tests, Holm, ranks, components."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats  # type: ignore[import-untyped]

from harness.errors import DataError, UsageError
from harness.run.result import Item
from harness.stats import components, delta_sd, holm, mean_interval, paired, rank_groups
from harness.stats.distributions import beta_cdf, binomial_two_sided, t_quantile, t_two_sided
from harness.stats.standard_errors import clustered_se, effective_n, wilson

shares = st.lists(st.integers(0, 8).map(lambda c: c / 8), min_size=2, max_size=40).map(np.array)


def items(*values: float | None, n: int = 1, cluster: str = "") -> dict[str, Item]:
    return {f"p{i:03d}": Item(value, n if value is not None else 0, cluster) for i, value in enumerate(values)}


# --- distributions


@pytest.mark.parametrize("df", [1, 2, 5, 29, 59, 499, 5000])
@pytest.mark.parametrize("t", [0.0, 0.3, 1.0, 2.0, 5.0, 40.0])
def test_t_tail(df: int, t: float) -> None:
    assert t_two_sided(t, df) == pytest.approx(2 * scipy_stats.t.sf(t, df), rel=1e-8)
    assert t_two_sided(-t, df) == t_two_sided(t, df)


@pytest.mark.parametrize("df", [1, 2, 3, 10, 29, 197, 10_000])
@pytest.mark.parametrize("level", [0.5, 0.6, 0.9, 0.95, 0.999])
def test_t_quantile(df: int, level: float) -> None:
    assert t_quantile(df, level) == pytest.approx(scipy_stats.t.ppf((1 + level) / 2, df), rel=1e-8)


@given(st.floats(0.001, 0.999), st.floats(0.2, 500), st.floats(0.2, 500))
def test_beta(x: float, a: float, b: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(scipy_stats.beta.cdf(x, a, b), rel=1e-7, abs=1e-12)


@given(st.integers(0, 400), st.integers(0, 400))
def test_binomial_is_scipys(successes: int, failures: int) -> None:
    trials = successes + failures
    expected = scipy_stats.binomtest(successes, trials).pvalue if trials else 1.0
    assert binomial_two_sided(successes, trials) == pytest.approx(expected, rel=1e-8)


# --- one mean


@given(shares)
def test_singleton_clusters_give_the_plain_standard_error(values: np.ndarray) -> None:
    plain = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    named = [f"c{i}" for i in range(len(values))]
    assert clustered_se(values)[0] == pytest.approx(plain, abs=1e-12)
    assert clustered_se(values, named)[0] == pytest.approx(plain, abs=1e-12)
    assert clustered_se(values, [""] * len(values))[0] == pytest.approx(plain, abs=1e-12)
    mixed = [name if i % 2 else "" for i, name in enumerate(named)]
    assert clustered_se(values, mixed) == pytest.approx((plain, len(values)), abs=1e-12)


def test_copies_of_problems_in_clusters_add_nothing() -> None:
    """Each problem asked three times, clustered, is worth what it was worth once."""
    values = np.array([0.0, 0.5, 1.0, 0.25, 0.75, 1.0])
    tripled, names = np.repeat(values, 3), [f"c{i // 3}" for i in range(18)]
    assert clustered_se(tripled, names)[0] == pytest.approx(clustered_se(values)[0])
    once, thrice = mean_interval(values), mean_interval(tripled, names)
    assert (thrice.low, thrice.high, thrice.n_clusters) == pytest.approx((once.low, once.high, 6))


@given(shares)
def test_interval_holds_the_value_and_mirrors(values: np.ndarray) -> None:
    found, mirrored = mean_interval(values), mean_interval(1 - values)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0.01  # never of no width
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-9)


@given(shares)
def test_interval_is_continuous(values: np.ndarray) -> None:
    """Rounding noise in the values moves the interval by rounding noise."""
    noise = np.where(values < 0.5, 1.0, -1.0) * 1e-13
    inside = (values > 0) & (values < 1)
    here, there = mean_interval(values), mean_interval(values + np.where(inside, noise, 0.0))
    assert (here.low, here.high) == pytest.approx((there.low, there.high), abs=1e-9)


def test_wilson_is_scipys() -> None:
    expected = scipy_stats.binomtest(7, 30).proportion_ci(method="wilson")
    assert wilson(7 / 30, 30, 1.959963984540054) == pytest.approx((expected.low, expected.high))


def test_effective_n() -> None:
    always_or_never = np.array([1.0] * 12 + [0.0] * 18)
    assert effective_n(always_or_never, clustered_se(always_or_never)[0]) == pytest.approx(29)
    assert effective_n(np.zeros(30), 0.0) == 30
    many_samples = np.random.default_rng(0).binomial(64, 0.5, 200) / 64
    assert effective_n(many_samples, clustered_se(many_samples)[0]) > 20 * 200


@pytest.mark.parametrize("problems", [1, 3, 30, 500])
def test_all_alike_has_the_exact_limit(problems: int) -> None:
    """Nobody right: the upper end is the p at which that still happens once in 40 times."""
    expected = scipy_stats.binomtest(0, problems).proportion_ci(method="exact").high
    found = mean_interval(np.zeros(problems))
    assert (found.low, found.high) == pytest.approx((0.0, expected))
    every = mean_interval(np.ones(problems))
    assert (every.low, every.high) == pytest.approx((1 - expected, 1.0))


def test_tokens_have_a_t_interval() -> None:
    values = np.array([100.0, 300.0, 250.0, 900.0])
    found = mean_interval(values, share=False)
    low, high = scipy_stats.t.interval(0.95, 3, loc=values.mean(), scale=scipy_stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert math.isinf(mean_interval(np.array([3.0]), share=False).high)


def test_no_values() -> None:
    with pytest.raises(DataError):
        mean_interval(np.array([]))


# --- two runs


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60))
def test_mcnemar(pairs: list[tuple[int, int]]) -> None:
    found = paired(items(*(a for a, _ in pairs)), items(*(b for _, b in pairs)))
    assert found is not None
    wins, losses = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
    assert (found.wins, found.losses, found.ties) == (wins, losses, len(pairs) - wins - losses)
    assert found.test == "mcnemar"
    expected = scipy_stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert found.p == pytest.approx(expected)


@given(st.lists(st.sampled_from([-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=9))
def test_sign_flip_is_the_permutation_test(gaps: list[float]) -> None:
    found = paired(items(*((1 + gap) / 2 for gap in gaps), n=8), items(*((1 - gap) / 2 for gap in gaps), n=8))
    assert found is not None
    flips = [
        abs(sum(map(math.prod, zip(gaps, signs, strict=True))))
        for signs in itertools.product((1, -1), repeat=len(gaps))
    ]
    assert found.test == "sign-flip"
    assert found.p == pytest.approx(sum(flip >= abs(sum(gaps)) - 1e-9 for flip in flips) / len(flips))


def test_paired_t_is_scipys() -> None:
    generator = np.random.default_rng(1)
    a, b = generator.binomial(16, 0.6, 100) / 16, generator.binomial(16, 0.5, 100) / 16
    found = paired(items(*a, n=16), items(*b, n=16))
    assert found is not None
    assert found.test == "paired t"
    assert found.p == pytest.approx(scipy_stats.ttest_rel(a, b).pvalue)
    assert found.diff == pytest.approx((a - b).mean())
    assert found.low < found.diff < found.high


def test_bonett_price_interval() -> None:
    """12 won, 4 lost of 60: the interval of Bonett and Price (2012) by hand."""
    found = paired(items(*[1.0] * 12, *[0.0] * 4, *[1.0] * 44), items(*[0.0] * 12, *[1.0] * 48))
    assert found is not None
    p12, p21 = 13 / 62, 5 / 62
    half = 1.959963984540054 * math.sqrt((p12 + p21 - (p12 - p21) ** 2) / 62)
    assert (found.low, found.high) == pytest.approx((p12 - p21 - half, p12 - p21 + half))


@pytest.mark.parametrize("n", [1, 16])
def test_equal_runs_do_not_prove_equality(n: int) -> None:
    found = paired(items(*[1.0] * 30, n=n), items(*[1.0] * 30, n=n))
    assert found is not None
    assert (found.diff, found.se, found.p) == (0.0, 0.0, 1.0)
    assert found.low < -0.05
    assert found.high > 0.05


@given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([1, 4]))
def test_exchanging_the_runs_changes_the_sign(seed: int, size: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = (items(*(generator.binomial(n, 0.5, size) / n), n=n) for _ in range(2))
    one, two = paired(a, b), paired(b, a)
    assert one is not None and two is not None
    assert (one.diff, one.low, one.high) == pytest.approx((-two.diff, -two.high, -two.low))
    assert one.p == pytest.approx(two.p)
    assert (one.wins, one.test) == (two.losses, two.test)


def test_same_gain_everywhere_is_not_infinitely_sure() -> None:
    """Three problems, all better by the same amount: no spread, but also no more proof than 3 of 3."""
    found = paired(items(0.5, 0.5, 0.5, n=4), items(0.25, 0.25, 0.25, n=4))
    assert found is not None
    assert found.p == pytest.approx(0.25)
    many = paired(items(*[0.5] * 40, n=4), items(*[0.25] * 40, n=4))
    assert many is not None
    assert many.p == pytest.approx(2**-39)


def test_clusters_count_once() -> None:
    """Eight problems of one passage that all flip together are one piece of evidence."""
    a = {f"p{i}": Item(1.0, 1, "passage") for i in range(8)} | {f"q{i}": Item(1.0, 1) for i in range(3)}
    b = {name: Item(0.0, 1, item.cluster) for name, item in a.items()}
    found = paired(a, b)
    assert found is not None
    assert (found.n_problems, found.n_clusters, found.wins) == (11, 4, 11)
    assert found.p == pytest.approx(2 / 2**4)


def test_dropped_problems_are_named() -> None:
    found = paired(items(1.0, None, 0.0, 1.0), items(1.0, 1.0, None))
    assert found is not None
    assert found.dropped == ("p001", "p002", "p003")
    assert found.n_problems == 1
    assert paired(items(1.0), {"other": Item(1.0, 1)}) is None
    assert paired(items(None), items(1.0)) is None


def test_bootstrap_agrees_with_the_interval_and_repeats() -> None:
    generator = np.random.default_rng(2)
    a, b = (items(*(generator.binomial(8, p, 300) / 8), n=8) for p in (0.6, 0.5))
    one, two = (paired(a, b, resamples=4000, seed=7) for _ in range(2))
    assert one is not None and two is not None and one.bootstrap is not None
    assert one.bootstrap == two.bootstrap
    assert one.bootstrap == pytest.approx((one.low, one.high), abs=0.004)


# --- many comparisons


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    with pytest.raises(UsageError, match="nan"):
        holm([0.1, math.nan])


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_never_lowers_and_keeps_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(q >= p for p, q in zip(p_values, adjusted, strict=True))
    assert all(q <= min(1.0, p * len(p_values)) + 1e-12 for p, q in zip(p_values, adjusted, strict=True))
    by_p = [q for _, q in sorted(zip(p_values, adjusted, strict=True))]
    assert by_p == sorted(by_p)


def test_rank_groups() -> None:
    ranks = rank_groups("abcd", {("a", "c"): 0.01, ("d", "a"): 0.01, ("b", "d"): 0.05, ("c", "d"): 0.06})
    assert list(ranks.items()) == [("a", (1, "a")), ("b", (1, "ab")), ("c", (2, "bc")), ("d", (3, "c"))]
    assert rank_groups([], {}) == {}


@given(st.integers(1, 7), st.integers(0, 2**32))
def test_letters_say_exactly_who_differs(size: int, seed: int) -> None:
    generator = random.Random(seed)
    names = [f"m{i}" for i in range(size)]
    p_values = {pair: generator.choice([0.01, 0.5]) for pair in itertools.combinations(names, 2)}
    letters = {name: set(own) for name, (_, own) in rank_groups(names, p_values).items()}
    for (a, b), p in p_values.items():
        assert bool(letters[a] & letters[b]) == (p > 0.05)


# --- components


def test_components_find_what_was_put_in() -> None:
    generator = np.random.default_rng(3)
    p = generator.beta(2, 2, 4000)  # sd of Beta(2, 2): sqrt(1/20)
    mean, between, within = components(items(*(generator.binomial(8, p) / 8), n=8).values())
    assert mean == pytest.approx(0.5, abs=0.02)
    assert between == pytest.approx(math.sqrt(1 / 20), rel=0.03)
    assert within == pytest.approx(math.sqrt(0.25 - 1 / 20), rel=0.03)
    shifted = np.clip(p + generator.normal(0, 0.05, 4000), 0, 1)
    a, b = items(*(generator.binomial(32, p) / 32), n=32), items(*(generator.binomial(32, shifted) / 32), n=32)
    assert delta_sd(a, b) == pytest.approx(0.05, abs=0.006)


def test_components_need_two_samples() -> None:
    with pytest.raises(DataError, match="raise --n"):
        components(items(1.0, 0.0, 1.0).values())
    with pytest.raises(DataError, match="two samples"):
        delta_sd(items(1.0, 0.0), items(1.0, 0.0))
