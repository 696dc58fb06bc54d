"""Metrics: the golden table, relations between metrics, missing scores, refusals."""

from __future__ import annotations

import json
import math
import random
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import catalog, errors
from harness.errors import DataError, UnknownName, UsageError
from harness.metrics import described, estimate, parse_metric
from harness.metrics.length import token_reduction
from harness.types import STATUSES, Graded, Score

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "metrics.json").read_text(encoding="utf-8"))


def graded(problem: str, attempt: int, mark: float | str | None, answer: str | None = None, **fields: Any) -> Graded:
    """A graded attempt from a golden mark: a score, a status that is worth 0, or None for unscored."""
    if mark is None or mark == "error":
        return Graded(problem, attempt, Score(None, "error" if mark == "error" else "unscored"), **fields)
    if isinstance(mark, str):
        status = next(name for name in STATUSES if name == mark)
        return Graded(problem, attempt, Score(0.0, status, answer), **fields)
    return Graded(problem, attempt, Score(float(mark), "scored", answer), **fields)


def run_of(problems: list[dict[str, Any]]) -> list[Graded]:
    return [
        graded(f"p{i}", j, mark, (problem.get("answers") or [None] * len(problem["scores"]))[j])
        for i, problem in enumerate(problems)
        for j, mark in enumerate(problem["scores"])
    ]


def coins(*counts: tuple[int, int]) -> list[Graded]:
    """Problems with (samples, right ones) each."""
    return run_of([{"scores": [1] * c + [0] * (n - c)} for n, c in counts])


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: str(case["name"]))
def test_golden(case: dict[str, Any]) -> None:
    rows = run_of(case["problems"])
    if "error" in case:
        with pytest.raises(getattr(errors, case["error"])):
            estimate(case["metric"], rows)
        return
    found = estimate(case["metric"], rows)
    assert found.value == pytest.approx(case["value"], abs=1e-6)
    assert found.bounds == (None if "bounds" not in case else pytest.approx(tuple(case["bounds"]), abs=1e-6))
    assert found.n_problems == case.get("n_problems", len(case["problems"]))
    if "n_samples" in case:
        assert found.n_samples == case["n_samples"]
    assert sum(found.counts.values()) == len(rows)
    assert set(found.counts) == set(STATUSES)
    assert found.low <= found.value <= found.high


def test_refusal_names_problem_and_count() -> None:
    with pytest.raises(UsageError, match=r"'p1' has 2") as caught:
        estimate("pass@4", coins((8, 1), (2, 1)))
    assert "k = 4" in str(caught.value)


counts = st.lists(
    st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=1, max_size=6
)


@given(counts)
def test_pass_at_1_is_avg(problems: list[tuple[int, int]]) -> None:
    rows = coins(*problems)
    one, avg = estimate("pass@1", rows), estimate("avg@n", rows)
    assert one.value == pytest.approx(avg.value)
    assert (one.se, one.low, one.high) == pytest.approx((avg.se, avg.low, avg.high), abs=1e-9)


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_mean_over_all_choices_of_k(case: tuple[int, int, int]) -> None:
    n, c, k = case
    marks = [1] * c + [0] * (n - c)
    chosen = [max(choice) for choice in combinations(marks, k)]
    assert estimate(f"pass@{k}", coins((n, c))).value == pytest.approx(sum(chosen) / len(chosen))


@given(st.integers(2, 20), st.integers(0, 20), st.integers(1, 19))
def test_pass_at_k_rises_with_k_and_c(n: int, c: int, k: int) -> None:
    c, k = min(c, n - 1), min(k, n - 1)
    here = estimate(f"pass@{k}", coins((n, c))).value
    assert here <= estimate(f"pass@{k + 1}", coins((n, c))).value + 1e-12
    assert here <= estimate(f"pass@{k}", coins((n, c + 1))).value + 1e-12


@given(counts)
def test_k_equal_n_is_empirical(problems: list[tuple[int, int]]) -> None:
    n = max(n for n, _ in problems)
    rows = coins(*((n, c) for _, c in problems))
    assert estimate(f"pass@{n}", rows).value == pytest.approx(estimate(f"pass_first@{n}", rows).value)


@pytest.mark.parametrize("name", ["avg@n", "pass@2", "pass_first@2", "maj@3", "em", "tokens_out", "truncated"])
def test_order_of_arrival_does_not_matter(name: str) -> None:
    generator = random.Random(0)
    rows = [
        graded(f"p{i}", j, generator.choice([0, 1, 1, None, "truncated"]), generator.choice("abc"), tokens_out=i * j)
        for i in range(20)
        for j in range(8)
    ]
    shuffled = rows.copy()
    generator.shuffle(shuffled)
    assert estimate(name, rows) == estimate(name, shuffled)


@given(st.lists(st.lists(st.sampled_from([0, 1, None]), min_size=4, max_size=8), min_size=1, max_size=5))
def test_bounds_hold_every_outcome(problems: list[list[int | None]]) -> None:
    """Whatever the missing scores turn out to be, the value lies between the bounds."""
    rows = run_of([{"scores": marks} for marks in problems])
    filler = random.Random(len(rows))
    filled = run_of(
        [{"scores": [filler.randrange(2) if mark is None else mark for mark in marks]} for marks in problems]
    )
    for name in ("avg@n", "pass@3", "pass_first@3"):
        try:
            found = estimate(name, rows)
        except DataError:
            continue  # nothing was scored
        outcome = estimate(name, filled)
        low, high = found.bounds if found.bounds is not None else (found.value, found.value)
        assert low - 1e-9 <= outcome.value <= high + 1e-9


def test_nothing_is_certain_at_the_boundary() -> None:
    none, every = (estimate("avg@n", coins(*[(4, c)] * 30)) for c in (0, 4))
    assert none.value == none.low == 0.0
    assert 0.05 < none.high < 0.15
    assert every.value == every.high == 1.0
    assert every.low == pytest.approx(1 - none.high)


def test_clusters_widen_the_interval() -> None:
    alone = [graded(f"p{i}", 0, float(i % 10 < 5)) for i in range(40)]
    together = [graded(f"p{i}", 0, float(i % 10 < 5), cluster=f"c{i // 5}") for i in range(40)]
    assert estimate("avg@n", together).se > 2 * estimate("avg@n", alone).se
    assert estimate("avg@n", together).value == estimate("avg@n", alone).value


def test_an_attempt_that_stands_twice_is_refused() -> None:
    with pytest.raises(DataError, match="twice"):
        estimate("avg@n", [graded("p", 0, 1), graded("p", 0, 0)])


@pytest.mark.parametrize("value", [1.5, -0.5, math.nan, math.inf])
def test_a_score_that_is_no_share_is_refused(value: float) -> None:
    for name in ("avg@n", "pass@1", "em"):
        with pytest.raises(DataError, match="'p' has the score"):
            estimate(name, [graded("q", 0, None), graded("p", 0, value)])


def test_formats() -> None:
    rows = [
        graded("a", 0, 1, formats={"boxed": True, "think": False}),
        graded("a", 1, "no_answer", formats={"boxed": False, "think": False}),
        graded("b", 0, None, formats={"boxed": True, "think": False}),
        graded("b", 1, "error"),
    ]
    boxed = estimate("format:boxed", rows)
    assert boxed.value == 0.75
    assert boxed.bounds == (0.5, 0.75)
    assert boxed.n_samples == 3
    assert estimate("format:think", rows).value == 0.0
    with pytest.raises(DataError, match=r"'a'.*'json'"):
        estimate("format:json", rows)


def test_tokens_out() -> None:
    rows = [graded("a", 0, 1, tokens_out=10), graded("a", 1, 1, tokens_out=30), graded("b", 0, "error")]
    found = estimate("tokens_out", [*rows, graded("c", 0, 0, tokens_out=0)])
    assert found.value == 10.0
    assert found.bounds is None
    assert found.n_samples == 3
    assert found.low < 0 < found.high  # no share: nothing is cut at 0 and 1
    with pytest.raises(DataError, match="tokens"):
        estimate("tokens_out", [graded("b", 0, "error")])


@pytest.mark.parametrize(
    ("name", "parsed"),
    [("pass@8", ("pass@k", 8)), ("maj@64", ("maj@k", 64)), ("avg@n", ("avg@n", None)), ("em", ("em", None))],
)
def test_parse(name: str, parsed: tuple[str, int | None]) -> None:
    assert parse_metric(name) == parsed


@pytest.mark.parametrize(
    ("name", "value", "shown", "lower"),
    [
        ("avg@n", 0.5, (100.0, "%"), False),
        ("em:coherence", 0.5, (100.0, "%"), False),
        ("truncated", 0.5, (100.0, "%"), True),
        ("tokens_out", 0.5, (1.0, "tok"), True),
        ("tokens_out,none", 5.0, (1.0, "tok"), True),
        ("maj_gap@4", -0.1, (100.0, "%"), False),
        ("rating:math", 7.5, (1.0, ""), False),
        ("acc,none", 0.5, (100.0, "%"), False),
        ("acc,none", 55.0, (1.0, ""), False),
    ],
)
def test_what_a_stored_number_counts_and_which_way_is_better(
    name: str, value: float, shown: tuple[float, str], lower: bool
) -> None:
    metric = described(name)
    assert (metric.shown(value), metric.lower_is_better) == (shown, lower)


@pytest.mark.parametrize("name", sorted(catalog.entries("metric")))
def test_a_metric_of_the_catalog_says_its_own_name(name: str) -> None:
    metric = described(name.replace(":x", ":coherence").replace("@k", "@2"))
    assert metric.name == name.replace(":x", ":coherence")
    assert metric.unit


def test_a_number_of_a_judge_cannot_be_computed() -> None:
    with pytest.raises(UsageError, match="stored by a judge or another tool"):
        described("rating").function([], None)


@pytest.mark.parametrize("name", ["pass@k", "pass@0"])
def test_parse_refuses_k(name: str) -> None:
    with pytest.raises(UsageError, match="k"):
        parse_metric(name)


@pytest.mark.parametrize("name", ["pas@8", "pass@-1", "pass@1.5", "avg@8", "", "pass@٣", "pass@8\n", "pass@08"])
def test_parse_refuses_names(name: str) -> None:
    with pytest.raises(UnknownName):
        parse_metric(name)


def lengths(**tokens: int | None) -> list[Graded]:
    return [graded(problem, 0, 1, tokens_out=count) for problem, count in tokens.items()]


def test_token_reduction_golden() -> None:
    found = token_reduction(run=lengths(a=90, b=500), reference=lengths(a=100, b=1000))
    assert found.atr.value == pytest.approx(30.0)
    assert found.otr.value == pytest.approx(46.363636)
    assert found.atr.se == pytest.approx(20.0)  # reductions 10 and 50: s = 28.28, over sqrt(2)


def test_token_reduction_skips_and_counts() -> None:
    found = token_reduction(run=lengths(a=150, b=10, c=5, d=None), reference=lengths(a=100, b=0, c=10, d=20))
    assert found.atr.n_problems == 2  # a and c
    assert found.atr.value == pytest.approx(0.0)  # -50 and +50
    assert found.otr.value == pytest.approx(-100 * 45 / 110)


def test_token_reduction_averages_samples_first() -> None:
    run = [graded("a", 0, 1, tokens_out=40), graded("a", 1, 0, tokens_out=60)]
    found = token_reduction(run, lengths(a=100))
    assert found.otr.value == pytest.approx(50.0)
    assert math.isinf(found.otr.high)  # one problem says nothing about others


def test_token_reduction_refuses_other_problems() -> None:
    with pytest.raises(UsageError, match="b, c"):
        token_reduction(lengths(a=1, b=1), lengths(a=1, c=1))
    with pytest.raises(DataError, match="no problem"):
        token_reduction(lengths(a=1), lengths(a=0))
