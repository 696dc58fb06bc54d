"""Diversity of graded answers: distinct answers, entropy, and what votes and best-of-k gain."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DataError, UsageError
from harness.metrics import described, estimate
from harness.types import Graded, Score

Mark = tuple[float | str | None, str | None]


def run_of(*problems: list[Mark]) -> list[Graded]:
    """Problems with the mark and the answer of each attempt; a mark that is no number is a status."""
    found = []
    for i, marks in enumerate(problems):
        for j, (mark, answer) in enumerate(marks):
            if mark is None:
                score = Score(None, "unscored", answer)
            elif isinstance(mark, str):
                score = Score(0.0, "truncated" if mark == "truncated" else "no_answer", answer)
            else:
                score = Score(mark, "scored", answer)
            found.append(Graded(f"p{i}", j, score))
    return found


def answers(*texts: str | None) -> list[Mark]:
    return [(0.0 if text else "no_answer", text) for text in texts]


def coins(right: int, wrong: int) -> list[Mark]:
    return [(1.0, "r")] * right + [(0.0, f"w{i}") for i in range(wrong)]


@pytest.mark.parametrize(
    ("problems", "distinct", "bits", "counted"),
    [
        ([answers("a", "a", "a", "a")], 1.0, 0.0, 1),
        ([answers("a", "b", "c", "d")], 4.0, 2.0, 1),
        ([answers("a", "a", "b", "b")], 2.0, 1.0, 1),
        ([answers("a", "a", "a", "b")], 2.0, 0.811278, 1),
        ([answers("a", "a"), answers("a", "b")], 1.5, 0.5, 2),
        ([answers("a", "b", None, None)], 2.0, 1.0, 1),
        ([answers("a", None), answers("a", "b")], 2.0, 1.0, 1),
        ([[(None, "x"), (0.0, "a"), ("truncated", "y"), (1.0, "b")]], 2.0, 1.0, 1),
    ],
)
def test_answers(problems: list[list[Mark]], distinct: float, bits: float, counted: int) -> None:
    different, entropy = estimate("distinct_answers", run_of(*problems)), estimate("answer_entropy", run_of(*problems))
    assert different.value == pytest.approx(distinct)
    assert entropy.value == pytest.approx(bits, abs=1e-6)
    assert different.n_problems == entropy.n_problems == counted
    assert described("distinct_answers").shown(different.value) == (1.0, "answers")
    assert described("answer_entropy").shown(entropy.value) == (1.0, "bits")


@pytest.mark.parametrize("name", ["distinct_answers", "answer_entropy"])
def test_one_answer_each_says_nothing(name: str) -> None:
    with pytest.raises(DataError, match="--n 4"):
        estimate(name, run_of(answers("a"), answers("b", None)))


@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=2, max_size=8), min_size=1, max_size=5))
def test_entropy_and_distinct_answers_bound_each_other(problems: list[list[str]]) -> None:
    rows = run_of(*(answers(*texts) for texts in problems))
    shuffled = rows.copy()
    random.Random(0).shuffle(shuffled)
    entropy = estimate("answer_entropy", rows)
    assert -1e-9 <= entropy.value <= math.log2(max(len(set(texts)) for texts in problems)) + 1e-9
    assert estimate("answer_entropy", shuffled) == entropy


@pytest.mark.parametrize(
    ("metric", "problems", "value"),
    [
        ("pass_gap@4", [coins(4, 0)], 0.0),
        ("pass_gap@4", [coins(0, 4)], 0.0),
        ("pass_gap@4", [coins(1, 3)], 0.75),
        ("pass_gap@2", [coins(2, 2)], 5 / 6 - 0.5),
        ("pass_gap@1", [coins(1, 3), coins(2, 1)], 0.0),
        ("pass_gap@2", [coins(1, 1), [(None, None), (1.0, "a")]], 0.5),
        ("maj_gap@4", [coins(2, 2)], 0.5),
        ("maj_gap@4", [[(0.0, "w"), (0.0, "w"), (1.0, "r"), (0.0, "v")]], -0.25),
        ("maj_gap@2", [coins(4, 0), coins(0, 2)], 0.0),
    ],
)
def test_gaps(metric: str, problems: list[list[Mark]], value: float) -> None:
    found = estimate(metric, run_of(*problems))
    assert found.value == pytest.approx(value)
    assert found.low <= found.value <= found.high
    assert described(metric).shown(found.value) == (100.0, "%")


@given(st.lists(st.integers(0, 6), min_size=1, max_size=8), st.integers(1, 6))
def test_gaps_are_the_differences_of_the_two_metrics(rights: list[int], k: int) -> None:
    rows = run_of(*(coins(right, 6 - right) for right in rights))
    one = estimate("avg@n", rows).value
    assert estimate(f"pass_gap@{k}", rows).value == pytest.approx(estimate(f"pass@{k}", rows).value - one)
    assert estimate(f"maj_gap@{k}", rows).value == pytest.approx(estimate(f"maj@{k}", rows).value - one)


def test_gaps_are_paired_within_problems() -> None:
    """Problems of very different difficulty with the same gap: the interval is much narrower than that of pass@k."""
    rows = run_of(*[coins(1, 3), coins(3, 1)] * 20)
    gap, whole = estimate("pass_gap@2", rows), estimate("pass@2", rows)
    assert gap.high - gap.low < 0.5 * (whole.high - whole.low)


@pytest.mark.parametrize("metric", ["pass_gap@8", "maj_gap@8"])
def test_fewer_than_k_samples_are_refused(metric: str) -> None:
    with pytest.raises(UsageError, match="needs 8 samples"):
        estimate(metric, run_of(coins(2, 2)))


def test_a_gap_that_nobody_has_is_not_known_to_be_zero() -> None:
    found: Any = estimate("pass_gap@4", run_of(*[coins(0, 4)] * 10))
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high > 0.05
