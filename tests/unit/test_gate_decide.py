"""Verdicts: at the boundary, with missing scores, for every test, and for sides that do not belong together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gate_sides import make_side

from harness.errors import UsageError
from harness.gate.decide import GateVerdict, decide_all, overall
from harness.gate.needs import measured
from harness.gate.pairs import Rule, pair
from harness.gate.values import Side


def decide(a: Side, b: Side, margin: str | None = "1pp", **rule: Any) -> GateVerdict:
    return decide_all([(a, b)], Rule(margin, **rule))[0]


def outcome(a: Sequence[float | None], b: Sequence[float | None], margin: str | None = "1pp", **rule: Any) -> str:
    return decide(make_side(a), make_side(b, "new"), margin, **rule).outcome


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_no_difference_passes_only_among_many_problems(value: float) -> None:
    assert outcome([value] * 3, [value] * 3) == "inconclusive"
    assert outcome([value] * 298, [value] * 298) == "inconclusive"
    assert outcome([value] * 299, [value] * 299) == "pass"  # 0.99^299 < 0.05
    assert outcome([value] * 500, [value] * 500) == "pass"


def test_one_problem_decides_nothing_and_says_how_many_would() -> None:
    verdict = decide(make_side([1.0]), make_side([0.0], "new"))
    assert verdict.outcome == "inconclusive"
    none = next(need for need in verdict.needs if need.effect == 0.0)
    assert none.n is None and none.problems is not None and none.problems >= 299


def test_a_large_loss_is_a_regression_and_a_gain_passes() -> None:
    before, after = [1.0] * 80 + [0.0] * 20, [1.0] * 50 + [0.0] * 50
    assert outcome(before, after) == "regress"
    assert outcome(after, before) == "pass"
    assert outcome([1.0] * 100, [0.0] * 100) == "regress"


def test_a_loss_within_a_huge_margin_passes() -> None:
    assert outcome([1.0] * 100, [0.9] * 100, "50pp") == "pass"
    verdict = decide(make_side([0.1] * 10), make_side([0.1] * 10, "new"), "50pp")
    assert any("nothing could regress" in note and "warning" not in note for note in verdict.notes)


def test_superiority_and_equivalence() -> None:
    low, high = [0.0] * 60 + [1.0] * 40, [1.0] * 60 + [1.0] * 40
    assert outcome(low, high, None, test="superior") == "pass"
    assert outcome(high, low, None, test="superior") == "regress"
    assert outcome(low, low, None, test="superior") == "inconclusive"
    assert outcome([1.0] * 100, [1.0] * 100, "5pp", test="equivalent") == "pass"
    assert outcome(low, high, "5pp", test="equivalent") == "regress"
    assert outcome(high, low, "5pp", test="equivalent") == "regress"
    assert outcome([1.0] * 20, [1.0] * 20, "5pp", test="equivalent") == "inconclusive"


def test_clusters_count_once() -> None:
    values = [1.0] * 500
    assert outcome(values, values) == "pass"
    clusters = [f"c{i // 50}" for i in range(500)]
    verdict = decide(make_side(values, clusters=clusters), make_side(values, "new", clusters=clusters))
    assert (verdict.outcome, verdict.n_units) == ("inconclusive", 10)
    assert verdict.low == pytest.approx(0.05**0.1 - 1.0, abs=1e-6)


def test_fewer_tokens_are_better() -> None:
    many, few = [100.0 + i % 7 for i in range(200)], [60.0 + i % 7 for i in range(200)]
    old, new = make_side(many, metric="tokens_out"), make_side(few, "new", metric="tokens_out")
    assert decide(old, new, None).outcome == "pass"
    assert decide(new, old, None).outcome == "regress"
    assert decide(old, new, "5tok").effect == pytest.approx(40.0)
    assert decide(old, new, "5%").effect == pytest.approx(40.0 / (sum(many) / 200))
    three = make_side([100.0] * 3, metric="tokens_out")
    assert decide(three, replace(three, run_id="other"), None).outcome == "inconclusive"


def test_a_relative_margin_knows_that_the_baseline_is_noisy() -> None:
    noisy = [20.0, 200.0] * 100
    half = [value / 2 for value in noisy]
    verdict = decide(make_side(noisy, metric="tokens_out"), make_side(half, "new", metric="tokens_out"), "5%")
    assert verdict.effect == pytest.approx(0.5)  # half of every problem: the ratio has no noise
    assert verdict.high - verdict.low < 0.08  # nearly all of it the unseen problem; 0.15 as differences
    with pytest.raises(UsageError, match="above 0"):
        decide(make_side([0.0] * 5, metric="tokens_out"), make_side([1.0] * 5, "new", metric="tokens_out"), "5%")


def test_a_worst_case_that_would_not_pass_is_inconclusive() -> None:
    base = make_side([1.0] * 400)
    one_lost = make_side([*[1.0] * 399, None], "new")
    verdict = decide(base, one_lost)
    assert verdict.outcome == "inconclusive" and verdict.excluded == ("p0399",)
    assert "every missing score counted against the candidate" in verdict.reasons[0]
    assert decide(base, one_lost, "2pp").outcome == "pass"  # the worst case passes too


def test_where_less_is_better_the_worst_case_is_the_highest() -> None:
    facts = {"metric": "truncated"}
    base, new = make_side([0.0] * 400, **facts), make_side([0.0] * 399 + [None], "new", **facts)
    assert decide(base, make_side([0.0] * 400, "new", **facts)).outcome == "pass"
    assert decide(base, new).outcome == "inconclusive"
    assert decide(new, base).outcome == "pass"  # a candidate at 0 is no worse whatever the baseline's was
    assert decide(base, make_side([1.0] * 40 + [0.0] * 360, "new", **facts)).outcome == "regress"
    assert decide(base, make_side([1.0] * 40 + [0.0] * 359 + [None], "new", **facts)).outcome == "regress"


def test_samples_missing_on_a_scored_problem_count_too() -> None:
    base, new = make_side([1.0] * 400, n=4), make_side([1.0] * 400, "new", n=4)
    values = {key: replace(value, n=2, missing=2, low=0.5) for key, value in list(new.values.items())[:7]}
    some = replace(new, values={**new.values, **values})
    verdict = decide(base, some)
    assert verdict.missing == pytest.approx(14 / 1600) and verdict.excluded == ()
    assert verdict.outcome == "inconclusive" and "counted against" in verdict.reasons[0]
    assert decide(base, some, "3pp").outcome == "pass"


def test_a_best_case_that_would_not_regress_is_inconclusive() -> None:
    before, lost = [1.0] * 100, [0.0] * 7 + [1.0] * 73
    assert outcome(before[:80], lost, "2pp") == "regress"
    verdict = decide(make_side(before), make_side([*lost, *[None] * 20], "new"), "2pp", max_missing=0.5)
    assert verdict.outcome == "inconclusive" and "counted in favour of the candidate" in verdict.reasons[0]
    much = make_side([None, *[0.0] * 60, *[1.0] * 39], "new")
    assert decide(make_side(before), much, max_missing=0.5).outcome == "regress"


def test_too_many_missing_scores_are_inconclusive_whatever_the_interval() -> None:
    base = make_side([1.0] * 600)
    half = make_side([1.0] * 300, "new")  # the other half was never answered
    verdict = decide(base, half)
    assert verdict.outcome == "inconclusive" and verdict.missing == pytest.approx(0.5)
    assert len(verdict.excluded) == 300 and "50.0% of the samples have no score" in verdict.reasons[0]
    assert decide(base, make_side([math.nan] * 300 + [1.0] * 300, "new")).n_problems == 300


def test_another_limit_is_no_failure() -> None:
    verdict = decide(make_side([1.0] * 600), make_side([1.0] * 400, "new", limit=400))
    assert (verdict.outcome, verdict.excluded, verdict.missing) == ("pass", (), 0.0)
    assert any("limits differ" in note for note in verdict.notes)


def test_other_numbers_of_samples_and_seeds_are_noted() -> None:
    verdict = decide(make_side([1.0] * 400, n=4, seed=1), make_side([1.0] * 400, "new"))
    assert verdict.outcome == "pass"
    assert {"samples per problem differ: 4 and 1", "seeds differ: 1 and 0"} <= set(verdict.notes)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"suite_version": "2"}, "version"),
        ({"data_sha256": "e" * 64}, "data differ"),
        ({"sampling": {"temperature": 0.0}}, "temperature is 0.6 and 0.0"),
        ({"metric": "pass@4"}, "--metric"),
        ({"judge": "rubric by x"}, "scored by"),
        ({"suite": "other"}, "of suite"),
    ],
)
def test_sides_that_do_not_belong_together_are_refused(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        decide(make_side([1.0] * 5), make_side([1.0] * 5, "new", **changes))


def test_no_common_problem_is_an_error() -> None:
    with pytest.raises(UsageError, match="no scored problem in common"):
        decide(make_side([1.0, None]), make_side([None, 1.0], "new"))


def test_several_suites_all_must_pass_and_regressions_are_corrected() -> None:
    same = make_side([1.0] * 500), make_side([1.0] * 500, "new")
    few = make_side([1.0] * 3), make_side([1.0] * 3, "new")
    assert overall(decide_all([same, same], Rule("1pp"))) == "pass"
    assert overall(decide_all([same, few], Rule("1pp"))) == "inconclusive"
    lost = make_side([1.0] * 100), make_side([0.0] * 7 + [1.0] * 93, "new")
    alone = decide(*lost)
    assert alone.outcome == "regress" and 0.01 < alone.p_fail <= 0.05
    both = decide_all([lost, same, same, same, same], Rule("1pp"))
    assert both[0].outcome == "inconclusive" and both[0].p_fail == pytest.approx(5 * alone.p_fail)
    assert "Holm" in both[0].reasons[-1]


def test_a_shown_loss_within_the_margin_is_called_that() -> None:
    verdict = decide(make_side([1.0] * 200), make_side([0.0] * 8 + [1.0] * 192, "new"), "4pp")
    assert verdict.outcome == "inconclusive" and verdict.high < 0
    assert "shown to be worse, but not by more than the margin" in verdict.reasons[0]


def test_losses_are_listed_before_gains() -> None:
    verdict = decide(make_side([1.0, 0.0, 1.0, 0.5]), make_side([0.5, 1.0, 0.0, 0.5], "new"))
    assert [flip.problem_id for flip in verdict.flips] == ["p0002", "p0000", "p0001"]
    assert (verdict.flips[0].reference_answer, verdict.flips[0].other_answer) == ("42", "41")
    assert (verdict.wins, verdict.losses) == (1, 2)


def test_more_samples_are_planned_only_where_they_help() -> None:
    generator = [0.25, 0.5, 0.75, 1.0, 0.5] * 30
    shifted = [0.5, 0.25, 1.0, 0.75, 0.5] * 30
    sampled = decide(make_side(generator, n=4), make_side(shifted, "new", n=4), "3pp")
    assert sampled.outcome == "inconclusive"
    assert sampled.needs[0].n is not None and sampled.needs[0].n > 4
    below = decide(make_side(generator, n=4), make_side(shifted, "new", n=4), "1pp")
    assert below.needs[0].n is None and below.needs[0].problems is not None and below.needs[0].floor > 0.01
    greedy = {"sampling": {"temperature": 0.0}}
    copies = decide(make_side([1.0] * 50, **greedy), make_side([1.0] * 50, "new", **greedy))
    assert copies.needs[0].greedy and copies.needs[0].n is None and copies.needs[0].problems == 299


def test_sampling_noise_is_told_from_true_differences() -> None:
    generator = np.random.default_rng(0)
    a, b = (list(generator.binomial(4, 0.1, 4000) / 4) for _ in range(2))
    spread = measured(pair(make_side(a, n=4), make_side(b, "new", n=4), Rule("1pp")))
    assert spread.within_sd == pytest.approx(0.3, abs=0.01) and spread.delta_sd < 0.05
    before, after = generator.binomial(4, 0.3, 4000) / 4, generator.binomial(4, np.tile([0.1, 0.5], 2000)) / 4
    spread = measured(pair(make_side(list(before), n=4), make_side(list(after), "new", n=4), Rule("1pp")))
    assert spread.delta_sd == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"alpha": 0.5}, {"power": 1.0}, {"max_missing": -0.1}])
def test_rules_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Rule("1pp", **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ["baseline", "candidate"])
@pytest.mark.parametrize(
    ("metric", "cut", "outcome"),
    [
        ("avg@n", 1.0, "inconclusive"),
        ("avg@n", 0.11, "inconclusive"),
        ("avg@n", 0.1, "pass"),
        ("avg@n", None, "pass"),
        ("truncated", 1.0, "pass"),
    ],
)
def test_answers_that_nobody_gave_do_not_pass(role: str, metric: str, cut: float | None, outcome: str) -> None:
    sides = {name: make_side([0.0] * 60, name, metric=metric) for name in ("baseline", "candidate")}
    sides[role] = replace(sides[role], truncated=cut, warnings=("something odd",))
    (verdict,) = decide_all([(sides["baseline"], sides["candidate"])], Rule(margin="10pp"))
    assert verdict.outcome == outcome
    assert not verdict.needs  # more problems would not mend it
    assert f"warning: {role}: something odd" in verdict.notes


def test_a_candidate_that_no_longer_answers_is_a_regression() -> None:
    before, after = make_side([1.0] * 60), replace(make_side([0.0] * 60, "new"), truncated=1.0)
    (verdict,) = decide_all([(before, after)], Rule(margin="10pp"))
    assert verdict.outcome == "regress"
