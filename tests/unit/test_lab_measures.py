"""What the laboratory measures, held to hand-made outcomes and to the plain definitions."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest

from harness.models import load_model
from harness.stats.agreement import krippendorff_alpha
from harness.types import Estimate
from judges.lab.arm import JudgeArm
from judges.lab.bias import first, fit, has_list, listed, longer, own, preference, pulls
from judges.lab.label_agreement import alpha, kappa, share
from judges.lab.labelled_pair import Label, LabelledPair
from judges.lab.marks import dimension_reports, reliability
from judges.lab.measure import ArmReport, measure, pair_values, replies
from judges.lab.votes import PairVotes, Vote, pairwise_outcome, pointwise_outcome
from judges.prompts.rubric import load_rubric
from judges.types import Judgment, Mark, Order, Verdict

BOTH: tuple[Order, Order] = ("candidate_first", "opponent_first")


def pair(number: int = 0, label: Label = "a", a: str = "short", b: str = "much longer", **more: Any) -> LabelledPair:
    return LabelledPair(f"p{number}", ("q",), (a,), (b,), label, **more)


def outcome(*choices: Label, **about: Any) -> PairVotes:
    """Two votes (or four, ...), alternately with `a` shown first and second."""
    votes = tuple(Vote(choice, BOTH[i % 2], i // 2) for i, choice in enumerate(choices))
    return PairVotes(pair(**about), votes, BOTH)


def judgment(value: float | None, order: Order = "single", repeat: int = 0, **more: Any) -> Judgment:
    verdict = None if value is None else Verdict(value, str(value), reason=f"r{value}", **more.pop("verdict", {}))
    return Judgment("p0", 0, "judge", "rubric", order, repeat, verdict, "", **more)


@pytest.mark.parametrize(
    ("choices", "label", "verdict", "accuracy", "strict", "flipped", "turned"),
    [
        ("aa", "a", "a", 1.0, 1.0, 0.0, 0.0),
        ("bb", "a", "b", 0.0, 0.0, 0.0, 0.0),
        ("ab", "a", "tie", 0.5, 0.0, 1.0, 1.0),
        ("ba", "b", "tie", 0.5, 0.0, 1.0, 1.0),
        ("at", "a", "a", 0.75, 1.0, 1.0, 0.0),
        ("bt", "a", "b", 0.25, 0.0, 1.0, 0.0),
        ("tt", "a", "tie", 0.5, 0.0, 0.0, 0.0),
        ("tt", "tie", "tie", None, 1.0, 0.0, 0.0),
        ("ab", "tie", "tie", None, 1.0, 1.0, 1.0),
        ("aaab", "a", "a", 0.75, 1.0, 0.5, 0.5),
    ],
)
def test_what_votes_add_up_to(
    choices: str, label: Label, verdict: str, accuracy: float | None, strict: float, flipped: float, turned: float
) -> None:
    names: dict[str, Label] = {"a": "a", "b": "b", "t": "tie"}
    got = outcome(*(names[c] for c in choices), label=label)
    assert (got.verdict, got.accuracy, got.strict, got.flipped, got.reversed) == (
        verdict,
        accuracy,
        strict,
        flipped,
        turned,
    )


def measured(outcomes: list[PairVotes]) -> ArmReport:
    return measure("arm", JudgeArm.of(load_model("mock:judge", {}), load_rubric("pairwise_5")), outcomes)


def test_a_pair_without_a_vote_in_one_order_is_missing_not_wrong() -> None:
    got = pairwise_outcome(pair(), [judgment(1.0, "candidate_first"), judgment(None, "opponent_first", why="prose")])
    assert not got.scored
    assert (got.verdict, got.accuracy, got.strict, got.flipped) == (None, None, None, None)
    estimate = share([outcome("a", "a"), got], lambda one: one.accuracy)
    assert estimate is not None and estimate.value == 1.0
    assert estimate.bounds == (0.5, 1.0) and estimate.counts["unscored"] == 1
    found = measured([got])
    assert found.scored == 0 and set(found.values) == {"malformed", "unscored", "errors", "missing"}
    assert found.replies.unscored == 1 and found.replies.why == {"prose": 1}


def test_a_lost_repeat_does_not_tip_the_balance_between_orders() -> None:
    votes = (Vote("a", BOTH[0], 0), Vote("a", BOTH[0], 1), Vote("b", BOTH[1], 0))
    got = PairVotes(pair(), votes, BOTH)
    assert (got.verdict, got.accuracy, first(got)) == ("tie", 0.5, 1.0)


def test_the_preference_is_for_the_pairs_own_a_in_either_order() -> None:
    got = pairwise_outcome(pair(), [judgment(1.0, BOTH[0]), judgment(0.5, BOTH[1])])
    assert [vote.choice for vote in got.votes] == ["a", "tie"]


def test_answers_judged_alone_are_compared_repeat_by_repeat() -> None:
    a = [judgment(0.8, repeat=0), judgment(0.6, repeat=1), judgment(None, repeat=2)]
    b = [judgment(0.7, repeat=0), judgment(0.6, repeat=1), judgment(0.1, repeat=2)]
    got = pointwise_outcome(pair(), a, b)
    assert [vote.choice for vote in got.votes] == ["a", "tie"]
    assert got.accuracy == 0.75 and got.verdict == "a" and got.flipped is None and first(got) is None
    assert got.votes[0].reason == "a 0.8, b 0.7: r0.7"


def random_outcomes(count: int, seed: int, labels: tuple[Label, ...] = ("a", "b", "tie")) -> list[PairVotes]:
    rng = random.Random(seed)
    return [
        outcome(*rng.choices(("a", "b", "tie"), (3, 2, 1), k=2), label=rng.choice(labels), number=number)
        for number in range(count)
    ]


def by_position(outcomes: list[PairVotes]) -> tuple[list[str], list[str]]:
    """Label and vote as first, second or tie, one entry per vote."""
    told: list[str] = []
    said: list[str] = []
    for one in outcomes:
        for vote in one.votes:
            places = {"a": "first", "b": "second", "tie": "tie"}
            if vote.first < 0:
                places = {"a": "second", "b": "first", "tie": "tie"}
            told.append(places[one.pair.label])
            said.append(places[vote.choice])
    return told, said


@pytest.mark.parametrize("labels", [("a", "b", "tie"), ("a", "b"), ("a",)])
def test_kappa_and_alpha_are_those_of_the_votes_by_position(labels: tuple[Label, ...]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    outcomes = random_outcomes(60, 1, labels)
    told, said = by_position(outcomes)
    got, names = kappa(outcomes), ("first", "second", "tie")
    assert got is not None and got.value == pytest.approx(metrics.cohen_kappa_score(told, said, labels=names))
    assert got.low < got.value < got.high
    nominal = alpha(outcomes)
    codes = [[float(names.index(x)), float(names.index(y))] for x, y in zip(told, said, strict=True)]
    plain = krippendorff_alpha(codes)
    assert plain is not None and nominal is not None
    assert nominal.value == pytest.approx(plain, abs=1 / 60)  # pairs are the units here, votes there


def test_perfect_agreement_keeps_an_open_interval() -> None:
    outcomes = [outcome("a", "a", number=i) for i in range(30)]
    got = kappa(outcomes)
    assert got is not None and got.value == 1.0 and 0.7 < got.low < 0.85 and got.high == 1.0
    assert alpha(outcomes) is not None


def test_all_ties_leave_kappa_undefined() -> None:
    assert kappa([outcome("tie", "tie", label="tie", number=i) for i in range(5)]) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- one\n- two", True),
        ("Steps:\n1. one\n2. two", True),
        ("  * one\n\n  * two", True),
        ("1) one\n2) two", True),
        ("- one", False),
        ("one - two - three", False),
        ("-1 is less\n-2 is lesser", False),
        ("**bold**\n**bold**", False),
        ("2024. A year\nno list", False),
    ],
)
def test_what_counts_as_a_list(text: str, expected: bool) -> None:
    assert has_list(text) is expected


def test_preferences_stand_beside_those_of_the_labels() -> None:
    outcomes = [
        outcome("a", "a", label="b", number=0, a="long " * 9, b="x", model_a="org/Judge-1", model_b="other"),
        outcome("a", "b", label="b", number=1, a="x", b="- one\n- two", model_a="other", model_b="judge-1"),
        outcome("a", "a", label="a", number=2, a="same", b="size"),
    ]
    found = preference(outcomes, longer)
    assert found is not None and found[0].n_problems == 2
    assert [one.value for one in found] == [0.75, 0.5, 0.25]
    assert -1.0 <= found[2].low <= 0.25 <= found[2].high <= 1.0  # over two pairs, Student's is wider
    lists = preference(outcomes, listed)
    assert lists is not None and (lists[0].value, lists[1].value, lists[0].n_problems) == (0.5, 1.0, 1)
    mine = preference(outcomes, own(["JUDGE-1"]))
    assert mine is not None and [one.value for one in mine] == [0.75, 0.5, 0.25]
    assert preference(outcomes, own(["nobody", ""])) is None
    assert preference(outcomes[2:], longer) is None


def test_logistic_coefficients_are_those_of_maximum_likelihood_on_much_data() -> None:
    from scipy.optimize import minimize

    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 3))
    truth = np.array([1.0, -0.5, 0.2])
    y = (rng.random(4000) < 1 / (1 + np.exp(-x @ truth))).astype(float)
    found = fit(x, y, np.ones(4000), [""] * 4000)
    best = minimize(lambda b: float(np.logaddexp(0, x @ b).sum() - y @ (x @ b)), np.zeros(3)).x
    assert found is not None
    for one, plain, true in zip(found, best, truth, strict=True):
        assert one.value == pytest.approx(plain, abs=5e-3)
        assert abs(one.value - true) < 3 * one.se and one.low < one.value < one.high


def test_logistic_survives_a_judge_that_is_always_right_and_refuses_what_it_cannot_tell() -> None:
    rng = np.random.default_rng(0)
    sign = rng.choice([-0.5, 0.5], size=(200, 1))
    other = rng.normal(size=(200, 1))
    x, y = np.hstack([sign, other]), (sign[:, 0] > 0).astype(float)
    found = fit(x, y, np.ones(200), [""] * 200)
    assert found is not None and 5 < found[0].value < 20 and abs(found[1].value) < 1
    assert fit(np.hstack([sign, 2 * sign]), y, np.ones(200), [""] * 200) is None
    assert fit(x[:3], y[:3], np.ones(3), [""] * 3) is None
    assert pulls([outcome("a", "a", number=i, b="short") for i in range(20)]) == {}  # lengths never differ


def test_reliability_is_krippendorffs_alpha_with_gaps() -> None:
    units = [[1.0, 2.0, 1.0], [4.0, 4.0], [5.0, 4.0, 5.0], [3.0], [], [2.0, 2.0, 3.0]]
    table = [[*unit, *[None] * (3 - len(unit))] for unit in units]
    found = reliability(units, [str(i) for i in range(6)])
    expected = krippendorff_alpha(table, "interval")
    assert expected is not None and found is not None
    assert found.value == pytest.approx(expected) and found.low <= found.value <= found.high
    assert reliability([[3.0, 3.0], [3.0, 3.0]], ["", ""]) is None
    assert reliability([[3.0], [4.0]], ["", ""]) is None
    assert found == reliability(units, [str(i) for i in range(6)])


def test_dimensions_are_judged_by_what_they_tell_apart() -> None:
    def marked(level: int, repeat: int) -> Judgment:
        marks = (Mark("same", 3, 12.0), Mark("good", level, 4.0 * level))
        return judgment(level / 5, repeat=repeat, verdict={"marks": marks})

    levels = [(5, 2), (4, 4), (3, 2), (2, 4)]
    outcomes = [
        pointwise_outcome(pair(i), [marked(a, r) for r in range(2)], [marked(b, r) for r in range(2)])
        for i, (a, b) in enumerate(levels)
    ]
    reports = {one.key: one for one in dimension_reports(outcomes)}
    assert list(reports) == ["same", "good", "total"]
    assert reports["same"].sd == 0 and reports["same"].reliability is None
    good = reports["good"]
    assert good.gap is not None and good.gap.value == pytest.approx(0.5)
    assert good.auc is not None and good.auc.value == pytest.approx((1 + 0.5 + 1 + 0) / 4)
    assert good.reliability is not None and good.reliability.value == 1.0
    assert dimension_reports([outcome("a", "a")]) == []  # pairwise, one repeat: nothing to say


def test_costs_and_failures_are_counted_over_all_judgments() -> None:
    ok = {"tokens_in": 100, "tokens_out": 50}
    rows = [
        judgment(1.0, BOTH[0], **ok, verdict={"notes": ("invented_quote",)}),
        judgment(0.0, BOTH[1], **ok, tries=2, cached=True),
        judgment(None, BOTH[0], **ok, tries=2, why="no JSON object: nothing there"),
        judgment(None, BOTH[1], why="the judge gave no reply: HTTP 500"),
    ]
    outcomes = [pairwise_outcome(pair(i), rows[2 * i : 2 * i + 2]) for i in range(2)]
    found = replies(outcomes, {"price_in": 2.0, "price_out": 8.0})
    assert (found.judgments, found.requested, found.unscored, found.errors) == (4, 3, 1, 1)
    assert found.malformed.value == 0.5 and found.notes == {"invented_quote": 0.5}
    assert found.tokens_per_1000 == 150_000
    assert found.cost_per_1000 == pytest.approx(0.6) and found.cost_per_1000_pairs == pytest.approx(1.2)
    assert replies(outcomes, {"price_in": 2.0}).cost_per_1000 is None


def test_shares_use_clusters() -> None:
    alone = [outcome(*"aa" if i < 10 else "bb", number=i) for i in range(20)]
    together = [outcome(*"aa" if i < 10 else "bb", number=i, cluster=str(i // 5)) for i in range(20)]
    one, other = (share(rows, lambda o: o.accuracy) for rows in (alone, together))
    assert one is not None and other is not None
    assert other.se > 1.5 * one.se and math.isclose(one.value, other.value)


def test_subsets_and_ties() -> None:
    values = itertools.product((1.0, 0.0), repeat=2)
    outcomes = [
        pairwise_outcome(pair(i, subset="xy"[y == 0]), [judgment(x, BOTH[0]), judgment(y, BOTH[1])])
        for i, (x, y) in enumerate(values)
    ]
    found = measured(outcomes)
    accuracy, ties = found.subsets["x"]["accuracy"], found.values["ties"]
    assert set(found.subsets) == {"x", "y"} and isinstance(accuracy, Estimate) and accuracy.value == 0.75
    assert "own" not in found.values and isinstance(ties, Estimate) and ties.value == 0.0


def test_llmbars_own_statistics_of_gpt_4_come_out() -> None:
    """Adversarial-Manual, vanilla prompt: 35 and 39 of 46 right in the two orders, 33 in both (LLMBar's repository)."""
    counts = {("b", "b"): 33, ("b", "a"): 35 - 33, ("a", "b"): 39 - 33, ("a", "a"): 46 - 33 - 2 - 6}
    rows: list[PairVotes] = []
    for choices, count in counts.items():
        rows += [outcome(*choices, label="b", number=len(rows) + i) for i in range(count)]
    shares = {name: share(rows, get) for name, get in pair_values([]).items()}
    published = {"accuracy": 0.80434783, "strict": 0.71739130, "flips": 1 - 0.82608696}
    for name, value in published.items():
        got = shares[name]
        assert got is not None and got.value == pytest.approx(value, abs=1e-8)
    # By position: LLMBar counts by output number, and its 0.19 says that nearly all of these labels are 2.
    beyond = kappa(rows)
    assert beyond is not None and beyond.value == pytest.approx(2 * published["accuracy"] - 1, abs=1e-6)


def test_a_person_is_a_fairer_measure_than_the_majority() -> None:
    values = pair_values([])
    got = outcome("a", "a", votes=("a", "a", "b", "tie"))
    assert (values["person"](got), values["person_decided"](got)) == (0.5, pytest.approx(2 / 3))
    flip = outcome("a", "b", votes=("tie", "a"))
    assert (values["person"](flip), values["person_decided"](flip)) == (0.5, None)
    assert values["person"](outcome("a", "a")) is None


def test_length_errors_are_told_from_plain_errors() -> None:
    values = pair_values([])
    long, short = outcome("a", "a", label="a", a="x" * 9, b="x"), outcome("a", "a", label="b", a="x" * 9, b="x")
    assert (values["right_longer"](long), values["right_shorter"](long)) == (1.0, None)
    assert (values["right_longer"](short), values["right_shorter"](short)) == (None, 0.0)
    assert values["right_longer"](outcome("a", "a", a="same", b="size")) is None
