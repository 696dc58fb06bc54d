"""Pairwise judgments: both orders, whose value it is, flips, votes and what is lost."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judge_rubrics import PAIRWISE, RATING, TOKEN, completion, judgment, task

from harness.errors import DataError, UsageError
from judges.ask import NO_REPLY
from judges.pairwise import PairwiseJudging, vote_share
from judges.types import Judged, Judging, Judgment, Rubric, RubricChoice, Task

PLAIN = replace(PAIRWISE, choices=(RubricChoice("A", 1.0), RubricChoice("tie", 0.5), RubricChoice("B", 0.0)))
JUDGING = PairwiseJudging(PLAIN)


def judge(judging: PairwiseJudging, one: Task, labels: list[str | None]) -> list[Judgment]:
    """Judgments as they come about from the labels that a judge writes, ask by ask; None cannot be read."""
    asks = judging.asks(one)
    assert len(asks) == len(labels)
    return [
        judgment(
            None if label is None else ask.parse(completion(json.dumps({"reason": "r", "verdict": label}))),
            ask.order,
            ask.repeat,
        )
        for ask, label in zip(asks, labels, strict=True)
    ]


def fold(labels: list[str | None], rubric: Rubric = PLAIN, repeats: int = 1) -> Judged:
    judging = PairwiseJudging(rubric, repeats=repeats)
    return judging.fold(task(), judge(judging, task(), labels))


def test_both_orders_show_both_answers_in_turn() -> None:
    judging: Judging = JUDGING
    first, second = judging.asks(task(answer="mine", opponent="theirs"))
    assert (first.order, second.order) == ("candidate_first", "opponent_first")
    assert first.messages[-1].content.index("mine") < first.messages[-1].content.index("theirs")
    assert second.messages[-1].content.index("theirs") < second.messages[-1].content.index("mine")
    assert first.schema == second.schema and first.top_logprobs == 0


def test_a_verdict_is_for_the_candidate_and_its_label_is_the_judges() -> None:
    first, second = JUDGING.asks(task())
    reply = completion('{"reason": "r", "verdict": "A"}')
    assert [(v.value, v.label) for v in (first.parse(reply), second.parse(reply))] == [(1.0, "A"), (0.0, "A")]


def test_repeats_come_order_by_order() -> None:
    asks = PairwiseJudging(PLAIN, repeats=2, temperature=1.0).asks(task())
    assert [(ask.order, ask.repeat) for ask in asks] == [
        ("candidate_first", 0),
        ("candidate_first", 1),
        ("opponent_first", 0),
        ("opponent_first", 1),
    ]


@pytest.mark.parametrize(
    ("labels", "value", "flipped", "tie", "first"),
    [
        (["A", "B"], 1.0, False, 0.0, 0.5),
        (["B", "A"], 0.0, False, 0.0, 0.5),
        (["tie", "tie"], 0.5, False, 1.0, 0.5),
        (["A", "A"], 0.5, True, 0.0, 1.0),  # always the first place
        (["B", "B"], 0.5, True, 0.0, 0.0),
        (["A", "tie"], 0.75, True, 0.5, 0.75),
        (["tie", "A"], 0.25, True, 0.5, 0.75),
    ],
)
def test_fold_of_both_orders(labels: list[str | None], value: float, flipped: bool, tie: float, first: float) -> None:
    folded = fold(labels)
    assert (folded.value, folded.flipped, folded.status, folded.weight) == (value, flipped, "scored", 1.0)
    assert folded.parts == {"flip": float(flipped), "tie": tie, "first": first}


@pytest.mark.parametrize(
    ("labels", "value", "votes"),
    [
        (["A>>B", "B>A"], 1.0, 4.0),
        (["A>>B", "A>B"], 0.75, 4.0),  # a clear win and a narrow loss
        (["A>B", "A>>B"], 0.25, 4.0),
        (["A=B", "B>>A"], 3.5 / 4, 4.0),
        (["A=B", "A=B"], 0.5, 2.0),
        (["B>>A", "A>>B"], 0.0, 6.0),
    ],
)
def test_strong_verdicts_are_three_votes(labels: list[str | None], value: float, votes: float) -> None:
    folded = fold(labels, PAIRWISE)
    assert (folded.value, folded.weight) == (pytest.approx(value), votes)


def test_a_lost_repeat_does_not_give_one_order_the_larger_say() -> None:
    assert fold(["A", "A", "A", None], repeats=2).value == 0.5
    assert fold(["A>>B", "A>>B", "A>>B", None], PAIRWISE, repeats=2).value == 0.5


def test_an_unreadable_order_leaves_no_value() -> None:
    folded = fold(["A", None])
    assert (folded.value, folded.status, folded.why, folded.flipped) == (None, "unscored", "no JSON object", None)
    lost = judge(JUDGING, task(), ["A", None])
    lost[1] = replace(lost[1], why=NO_REPLY + "timeout")
    assert JUDGING.fold(task(), lost).status == "error"


def test_soft_preferences_are_mirrored() -> None:
    judging = PairwiseJudging(TOKEN)
    first, second = judging.asks(task())
    assert (first.top_logprobs, first.schema) == (5, None)
    reply = completion("A", {"A": -0.2876820724517809, "B": -1.3862943611198906})
    assert (first.parse(reply).value, second.parse(reply).value) == pytest.approx((0.75, 0.25))
    folded = judging.fold(
        task(), [judgment(first.parse(reply), first.order), judgment(second.parse(reply), second.order)]
    )
    assert (folded.value, folded.flipped) == (pytest.approx(0.5), True)


@given(problem=st.text(max_size=3), mine=st.text(max_size=5), theirs=st.text(max_size=5))
def test_a_random_order_is_fixed_by_content_and_shows_one_model_first(problem: str, mine: str, theirs: str) -> None:
    judging = PairwiseJudging(PLAIN, orders="random")
    one = Task(problem, 0, ("q",), (mine,), (theirs,))
    other = Task(problem, 3, ("q",), (theirs,), (mine,))
    (ask,), (swapped,) = judging.asks(one), judging.asks(other)
    assert ask.messages == judging.asks(one)[0].messages
    assert swapped.messages == ask.messages
    if mine != theirs:
        assert swapped.order != ask.order


def test_random_orders_are_balanced() -> None:
    judging = PairwiseJudging(PLAIN, orders="random")
    first = sum(judging.asks(task(f"p{i}"))[0].order == "candidate_first" for i in range(400))
    assert 160 < first < 240


def test_a_single_order_has_no_flip() -> None:
    judging = PairwiseJudging(PLAIN, orders="random")
    folded = judging.fold(task(), judge(judging, task(), ["tie"]))
    assert (folded.value, folded.flipped) == (0.5, None)
    assert "flip_rate" not in judging.summarise([task()], [folded]).estimates


def test_summary() -> None:
    names = ["a", "b", "c", "d"]
    labels: list[list[str | None]] = [["A", "B"], ["A", "A"], ["tie", "tie"], [None, "A"]]
    folded = [replace(fold(each), problem_id=name) for name, each in zip(names, labels, strict=True)]
    summary = JUDGING.summarise([task(name) for name in names], folded)
    assert summary.headline == "win_rate"
    values = {name: estimate.value for name, estimate in summary.estimates.items()}
    assert values == pytest.approx({"win_rate": 2 / 3, "flip_rate": 1 / 3, "tie_rate": 1 / 3, "first_rate": 2 / 3})
    assert summary.items == {"a": 1.0, "b": 0.5, "c": 0.5}
    assert summary.estimates["win_rate"].bounds == (0.5, 0.75)
    assert summary.estimates["flip_rate"].counts["unscored"] == 1


def test_votes_are_counted_beside_the_win_rate() -> None:
    judging = PairwiseJudging(PAIRWISE)
    folded = [
        replace(fold(["A>>B", "B>>A"], PAIRWISE), problem_id="a"),
        replace(fold(["B>A", "A>B"], PAIRWISE), problem_id="b"),
    ]
    estimates = judging.summarise([task("a"), task("b")], folded).estimates
    assert estimates["win_rate"].value == 0.5
    assert estimates["vote_share"].value == pytest.approx(6 / 8)


def test_vote_share_is_a_ratio_with_an_honest_interval() -> None:
    rows = [Judged(f"p{i}", 0, float(i % 3 > 0), "scored", weight=1.0 + 2.0 * (i % 2)) for i in range(60)]
    found = vote_share(rows)
    weights = [row.weight for row in rows]
    assert found.value == pytest.approx(sum(w for w, r in zip(weights, rows, strict=True) if r.value) / sum(weights))
    # Linearised: sum of w^2 (v - share)^2 over (sum of w)^2, with n / (n - 1).
    spread = sum((w * ((r.value or 0.0) - found.value)) ** 2 for w, r in zip(weights, rows, strict=True))
    assert found.se == pytest.approx((spread * 60 / 59) ** 0.5 / sum(weights))
    assert found.low < found.value < found.high
    everything = vote_share([replace(row, value=1.0) for row in rows])
    assert everything.value == 1.0 and everything.low < 1.0


def test_votes_of_unscored_answers_are_bounded_by_the_average() -> None:
    rows = [Judged("a", 0, 1.0, "scored", weight=6.0), Judged("b", 0, 0.0, "scored", weight=2.0)]
    found = vote_share([*rows, Judged("c", 0, None, "unscored")])
    assert found.bounds == pytest.approx((6 / 12, 10 / 12))
    with pytest.raises(DataError, match="no votes"):
        vote_share([Judged("c", 0, None, "unscored")])


def test_attempts_at_one_problem_are_one_draw() -> None:
    once = [Judged(f"p{i}", 0, float(i % 2), "scored") for i in range(20)]
    twice = [*once, *(replace(row, attempt=1) for row in once)]
    assert vote_share(twice).se == pytest.approx(vote_share(once).se)


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(UsageError, match="RubricJudging"):
        PairwiseJudging(RATING)
    with pytest.raises(DataError, match="no opponent"):
        JUDGING.asks(task(opponent=None))
    with pytest.raises(DataError, match="2 turns"):
        JUDGING.asks(Task("p", 0, ("q",), ("a",), ("x", "y")))
    assert JUDGING.needs_opponent()
