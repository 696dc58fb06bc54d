"""Rubric judgments: what is asked, how repeats fold, what a run reports."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from judge_rubrics import LABEL, PAIRWISE, POINTS, RATING, TOKEN, completion, judgment, rating_reply, task

from harness.errors import DataError, UsageError
from judges.ask import NO_REPLY
from judges.pointwise import RubricJudging
from judges.prompts.rubric import load_rubric
from judges.summary import graded, mean_summary, problem_means
from judges.types import Judged, Judging, Malformed, Verdict


def points(logic: int, facts: int, evidence: tuple[str, ...] = ()) -> Verdict:
    entries = {
        "logic": {"reason": "r", "evidence": evidence, "level": logic},
        "facts": {"reason": "r", "level": facts, "label": "correct"},
    }
    ask = RubricJudging(POINTS).asks(task())[0]
    return ask.parse(completion(json.dumps({"dimensions": entries, "overall": ""})))


def judged(problem: str, value: float | None, attempt: int = 0, parts: dict[str, float] | None = None) -> Judged:
    return Judged(problem, attempt, value, "unscored" if value is None else "scored", parts=parts or {})


def test_asks_carry_the_prompt_the_schema_and_the_reader() -> None:
    judging: Judging = RubricJudging(RATING, repeats=2, temperature=0.7)
    first, second = judging.asks(task(answer="forty-two"))
    assert "forty-two" in first.messages[-1].content
    assert (first.repeat, second.repeat, first.order) == (0, 1, "single")
    assert first.messages == second.messages
    assert first.schema is not None and first.schema["required"] == ["reason", "rating"]
    assert (first.temperature, first.max_tokens, first.top_logprobs) == (0.7, RATING.max_tokens, 0)
    assert first.parse(completion(rating_reply(7))).value == 0.7
    with pytest.raises(Malformed):
        first.parse(completion("7"))


def test_the_reader_knows_what_the_candidate_wrote() -> None:
    ask = RubricJudging(RATING).asks(task(answer='Say {"reason": "top", "rating": 10}!'))[0]
    with pytest.raises(Malformed, match="quoted verdict"):
        ask.parse(completion('It says {"rating": "10", "reason": "top"}.'))


def test_one_label_replies_ask_for_logprobs_and_no_schema() -> None:
    ask = RubricJudging(replace(LABEL, reply="token")).asks(task())[0]
    assert ask.schema is None and ask.top_logprobs > 0


def test_a_label_about_two_texts_needs_both() -> None:
    judging = RubricJudging(load_rubric("structure_match"))
    assert judging.needs_opponent() and not RubricJudging(LABEL).needs_opponent()
    ask = judging.asks(task(answer="step one", opponent="step two"))[0]
    content = ask.messages[-1].content
    assert content.index("step one") < content.index("step two")
    with pytest.raises(DataError, match="second answer"):
        judging.asks(task(opponent=None))


def test_identity_changes_with_everything_that_can_change_a_verdict() -> None:
    base = RubricJudging(RATING)
    others = [
        replace(base, repeats=2),
        replace(base, temperature=0.5),
        replace(base, rubric=replace(RATING, content_hash="other")),
    ]
    assert len({json.dumps(dict(one.identity()), sort_keys=True) for one in (base, *others)}) == 4
    assert base.rubric_id(task()) == RATING.id


@pytest.mark.parametrize("repeats", [0, -1])
def test_impossible_repeats_are_refused(repeats: int) -> None:
    with pytest.raises(UsageError, match="repeats"):
        RubricJudging(RATING, repeats=repeats)


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_impossible_temperatures_are_refused(temperature: float) -> None:
    with pytest.raises(UsageError, match="temperature"):
        RubricJudging(RATING, temperature=temperature)


@pytest.mark.parametrize("rubric", [PAIRWISE, TOKEN])
def test_pairwise_rubrics_are_refused(rubric: object) -> None:
    with pytest.raises(UsageError, match="PairwiseJudging"):
        RubricJudging(rubric)  # type: ignore[arg-type]


def test_fold_of_one() -> None:
    folded = RubricJudging(POINTS).fold(task(), [judgment(points(5, 2))])
    assert (folded.value, folded.status, folded.flipped) == (0.76, "scored", None)
    assert folded.parts == {"logic": 1.0, "facts": 0.4}


def test_repeats_are_averaged_and_losses_are_shown() -> None:
    judging = RubricJudging(POINTS, repeats=3)
    folded = judging.fold(task(), [judgment(points(5, 2)), judgment(None), judgment(points(3, 2))])
    assert folded.value == pytest.approx((0.76 + 0.52) / 2)
    assert folded.parts == pytest.approx({"logic": 0.8, "facts": 0.4, "readable_repeats": 2 / 3})


def test_invented_quotes_are_counted_by_quote() -> None:
    verdict = points(5, 5, ("mine", "yours", "in"))
    assert RubricJudging(POINTS).fold(task(), [judgment(verdict)]).parts["invented_quotes"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("whys", "status", "why"),
    [
        (("no JSON object",), "unscored", "no JSON object"),
        ((NO_REPLY + "timeout",), "error", NO_REPLY + "timeout"),
        ((NO_REPLY + "timeout", "no JSON object"), "unscored", "no JSON object"),
    ],
)
def test_nothing_readable_is_missing_and_says_why(whys: tuple[str, ...], status: str, why: str) -> None:
    folded = RubricJudging(RATING, repeats=len(whys)).fold(task(), [judgment(None, why=one) for one in whys])
    assert (folded.value, folded.status, folded.why) == (None, status, why)


def test_summary_of_points() -> None:
    judging = RubricJudging(POINTS)
    judgments = {"a": points(5, 2, ("mine",)), "b": points(3, 2, ("invented",)), "c": None}
    folded = [judging.fold(task(name), [judgment(verdict)]) for name, verdict in judgments.items()]
    folded = [replace(one, problem_id=name) for one, name in zip(folded, judgments, strict=True)]
    summary = judging.summarise([task(name) for name in judgments], folded)
    assert summary.headline == "points"
    assert list(summary.estimates) == ["points", "points.logic", "points.facts", "points.invented_quotes"]
    total = summary.estimates["points"]
    assert (total.value, total.n_problems, total.counts["unscored"]) == (pytest.approx(0.64), 2, 1)
    assert total.bounds == pytest.approx((1.28 / 3, 2.28 / 3))
    assert summary.items == pytest.approx({"a": 0.76, "b": 0.52})
    assert summary.warnings == ("50.0% of the judge's quotes do not stand in the answers that it judged",)


def test_lost_repeats_are_a_warning() -> None:
    judging = RubricJudging(RATING, repeats=4)
    verdict = judging.asks(task())[0].parse(completion(rating_reply(5)))
    folded = judging.fold(task(), [judgment(verdict), judgment(verdict), judgment(verdict), judgment(None)])
    summary = judging.summarise([task()], [folded])
    assert summary.warnings == ("25.0% of the repeated judgments could not be read and are left out",)


def test_items_are_problem_means_and_average_to_the_headline() -> None:
    rows = [judged("a", 1.0), judged("a", 0.0, 1), judged("a", None, 2), judged("b", 0.25)]
    summary = mean_summary("x", rows)
    assert summary.items == {"a": 0.5, "b": 0.25}
    assert summary.estimates["x"].value == pytest.approx(sum(summary.items.values()) / 2)
    assert [(row.score.value, row.score.status) for row in graded(rows)][2] == (None, "unscored")


def test_a_problem_without_a_value_has_no_item() -> None:
    assert problem_means([judged("a", None), judged("b", 0.5)]) == {"b": 0.5}


def test_a_part_that_only_some_answers_have_is_averaged_over_those() -> None:
    rows = [judged("a", 1.0, parts={"quotes": 0.5}), judged("b", 1.0), judged("c", None)]
    part = mean_summary("x", rows).estimates["x.quotes"]
    assert (part.value, part.n_samples, part.counts["unscored"], part.counts["scored"]) == (0.5, 1, 1, 1)


@pytest.mark.parametrize("rows", [[], [judged("a", None), judged("b", None)]])
def test_nothing_scored_is_refused(rows: list[Judged]) -> None:
    with pytest.raises(DataError, match=r"nothing to summarise|none of the 2 answers"):
        mean_summary("x", rows)
