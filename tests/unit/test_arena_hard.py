"""The Arena-Hard judging protocol: what it asks, how it folds, what it reports, and its official prompt."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness import catalog
from harness.errors import ConfigError, DataError, UnknownName
from harness.models.reply_cache import Cache
from harness.types import Completion, Json, Request
from judges.ask import NO_REPLY, judge_tasks
from judges.prompts.rubric import load_rubric
from judges.protocols.arena.judging import ArenaHardJudging, build, build_v2
from judges.protocols.arena.prompt import find_prompt, read_prompt
from judges.protocols.arena.score import Votes, mean_scores
from judges.types import Judged, JudgingOptions, Judgment, Order, Task, Verdict

OWN = JudgingOptions(prompt="own")


def task(number: int = 0, answer: str = "good", opponent: str | None = "base", **meta: Json) -> Task:
    other = None if opponent is None else (opponent,)
    return Task(f"p{number:03}", 0, ("Why?",), (answer,), other, meta=meta)


def said(label: str, order: Order, repeat: int = 0) -> Judgment:
    """A verdict as the parser would hand it over: from the candidate's side."""
    from judges.protocols.arena.labels import LABELS

    worth = LABELS[label]
    value = worth.value if order == "candidate_first" else 1.0 - worth.value
    return Judgment("p", 0, "j", "r", order, repeat, Verdict(value, label, worth.weight), label)


def failed(order: Order, why: str = "no verdict") -> Judgment:
    return Judgment("p", 0, "j", "r", order, 0, None, "mumble", why=why)


def pair(first: str, second: str) -> list[Judgment]:
    return [said(first, "opponent_first"), said(second, "candidate_first")]


class Scripted:
    """A judge that decides by a function of the two answers shown: (first, second) -> the reply."""

    name = "scripted"

    def __init__(self, better: Mapping[str, int], style: str = "json") -> None:
        self.better, self.style, self.asked = better, style, 0

    def describe(self) -> Mapping[str, Json]:
        return {"engine": "scripted"}

    def environment(self) -> Mapping[str, Json]:
        return {}

    def label(self, prompt: str) -> str:
        first, second = sorted(self.better, key=prompt.index)
        gap = self.better[first] - self.better[second]
        return {0: "A=B", 1: "A>B", -1: "B>A"}.get(gap, "A>>B" if gap > 0 else "B>>A")

    async def answer(self, request: Request) -> Completion:
        self.asked += 1
        label = self.label(request.messages[-1].content)
        text = f"I see.\n\n[[{label}]]" if self.style == "official" else json.dumps({"reason": "r", "verdict": label})
        return Completion(text, "stop", tokens_in=10, tokens_out=5)

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(("gap", "value", "votes"), [(2, 1.0, 6), (1, 1.0, 2), (0, 0.5, 2), (-1, 0.0, 2), (-3, 0.0, 6)])
def test_a_judge_is_asked_twice_and_its_verdicts_fold(gap: int, value: float, votes: float, tmp_path: Path) -> None:
    judging = build(OWN)
    subject = task(answer="ANSWER-OF-MODEL", opponent="ANSWER-OF-BASE")
    judge = Scripted({"ANSWER-OF-MODEL": gap, "ANSWER-OF-BASE": 0})
    with Cache(tmp_path / "cache.sqlite") as cache:
        [judgments] = asyncio.run(judge_tasks(judge, judging, [subject], cache))
    assert [one.order for one in judgments] == ["opponent_first", "candidate_first"]
    assert judge.asked == 2
    found = judging.fold(subject, judgments)
    assert (found.value, found.weight, found.status, found.flipped) == (value, votes, "scored", False)


def test_the_games_show_the_baseline_first_and_then_the_model() -> None:
    judging = build(OWN)
    first, second = judging.asks(task(answer="MINE", opponent="THEIRS"))
    assert first.messages[-1].content.index("THEIRS") < first.messages[-1].content.index("MINE")
    assert second.messages[-1].content.index("MINE") < second.messages[-1].content.index("THEIRS")
    assert first.schema is not None
    assert judging.needs_opponent()
    assert judging.rubric_id(task()).startswith("pairwise_5@")
    with pytest.raises(DataError, match=r"'p000'.*baseline"):
        judging.asks(task(opponent=None))


@pytest.mark.parametrize(
    ("first", "second", "value", "weight", "flipped"),
    [
        ("B>>A", "A>>B", 1.0, 6, False),
        ("B>A", "A>>B", 1.0, 4, False),
        ("A>>B", "A>B", 0.25, 4, True),  # follows the position; the clear verdict weighs more
        ("A>B", "A>B", 0.5, 2, True),
        ("A=B", "A>B", 0.75, 2, True),
        ("A=B", "A=B", 0.5, 2, False),
    ],
)
def test_two_games_fold_by_votes(first: str, second: str, value: float, weight: float, flipped: bool) -> None:
    found = build(OWN).fold(task(), pair(first, second))
    assert (found.value, found.weight, found.flipped) == (value, weight, flipped)


def test_half_a_pair_is_no_score() -> None:
    judging = build(OWN)
    found = judging.fold(task(), [said("B>A", "opponent_first"), failed("candidate_first")])
    assert (found.value, found.status, found.why) == (None, "unscored", "no verdict")
    silent = judging.fold(task(), [failed("opponent_first", NO_REPLY), failed("candidate_first", NO_REPLY)])
    assert (silent.value, silent.status) == (None, "error")


def test_repeats_use_their_complete_pairs_and_keep_the_scale() -> None:
    judging = build(JudgingOptions(prompt="own", repeats=3, temperature=0.7))
    asks = judging.asks(task())
    assert [(ask.order, ask.repeat) for ask in asks][:3] == [
        ("opponent_first", 0),
        ("candidate_first", 0),
        ("opponent_first", 1),
    ]
    assert {ask.temperature for ask in asks} == {0.7}
    judgments = [*pair("B>>A", "A>>B"), said("B>A", "opponent_first"), failed("candidate_first"), *pair("A>B", "B>A")]
    found = judging.fold(task(), judgments)
    assert found.value == pytest.approx(6 / 8)
    assert found.weight == 4  # votes per complete pair


def judged(
    values: Sequence[tuple[float | None, float]], categories: Sequence[str] = ()
) -> tuple[list[Task], list[Judged]]:
    tasks, rows = [], []
    for number, (value, weight) in enumerate(values):
        meta = {"category": categories[number]} if categories else {}
        tasks.append(task(number, "word " * (10 + number % 7), "word " * 12, **meta))
        status = "scored" if value is not None else "unscored"
        rows.append(
            Judged(f"p{number:03}", 0, value, status, why="" if value is not None else "no verdict", weight=weight)  # type: ignore[arg-type]
        )
    return tasks, rows


def random_judged(count: int, seed: int = 0) -> list[tuple[float | None, float]]:
    generator = random.Random(seed)
    return [(generator.choice([0.0, 0.25, 0.5, 1.0]), generator.choice([2.0, 4.0, 6.0])) for _ in range(count)]


def test_the_summary_is_the_mean_vote_with_its_problem_clustered_error() -> None:
    tasks, rows = judged(random_judged(120))
    summary = build(OWN).summarise(tasks, rows)
    found = summary.estimates[summary.headline]
    votes = [
        Votes(row.problem_id, "m", "b", row.weight * (row.value or 0), 0, row.weight * (1 - (row.value or 0)))
        for row in rows
    ]
    expected = mean_scores(votes, rounds=2000)[0]
    assert found.value == pytest.approx(expected.score)
    assert found.se == pytest.approx(expected.se)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)
    items = np.array(list(summary.items.values()))
    assert items.mean() == pytest.approx(found.value)
    assert items.std(ddof=1) / len(items) ** 0.5 == pytest.approx(found.se)
    assert (found.n_problems, found.n_samples, found.bounds) == (120, 120, None)
    assert "arena_score_style" in summary.estimates
    assert any("published style-controlled" in warning for warning in summary.warnings)


def test_no_style_score_where_all_answers_are_shorter() -> None:
    tasks, rows = judged(random_judged(80))
    short = [replace(one, answers=("Yes.",)) for one in tasks]
    summary = build(OWN).summarise(short, rows)
    assert set(summary.estimates) == {"arena_score"}
    assert any("in one direction (length)" in warning for warning in summary.warnings)


def test_what_is_missing_is_counted_and_bounded() -> None:
    tasks, rows = judged([(1.0, 6.0), (0.0, 2.0), (None, 1.0), (0.5, 2.0)])
    summary = build(OWN).summarise(tasks, rows)
    found = summary.estimates["arena_score"]
    assert found.value == pytest.approx(7 / 10)
    assert found.bounds == pytest.approx((7 / 16, 13 / 16))  # the missing pair: six votes either way
    assert found.counts["unscored"] == 1
    assert summary.items.keys() == {"p000", "p001", "p003"}
    assert "1 of 4 answers lack a verdict" in summary.warnings[0]
    with pytest.raises(DataError, match="no verdict"):
        build(OWN).summarise(tasks[2:3], rows[2:3])
    with pytest.raises(DataError, match="no answer was judged"):
        build(OWN).summarise([], [])


def test_categories_are_reported_apart() -> None:
    categories = ["hard_prompt"] * 60 + ["creative_writing"] * 40
    tasks, rows = judged([*random_judged(60, 1), *random_judged(40, 2)], categories)
    summary = build_v2(OWN).summarise(tasks, rows)
    apart = [summary.estimates[f"arena_score:{name}"] for name in ("hard_prompt", "creative_writing")]
    assert [one.n_problems for one in apart] == [60, 40]
    assert min(one.value for one in apart) < summary.estimates["arena_score"].value < max(one.value for one in apart)
    assert "arena_score_style:hard_prompt" in summary.estimates  # creative_writing has too few problems here
    assert "arena_score_style:creative_writing" not in summary.estimates
    assert any("per category" in warning for warning in summary.warnings)


def test_a_judge_that_follows_the_position_is_told() -> None:
    tasks, rows = judged([(0.5, 2.0)] * 4)
    rows = [Judged(row.problem_id, 0, 0.5, "scored", weight=2.0, flipped=number < 3) for number, row in enumerate(rows)]
    warnings = build(OWN).summarise(tasks, rows).warnings
    assert any("on 3 of 4 problems" in warning for warning in warnings)


def test_attempts_of_one_problem_are_one_unit() -> None:
    one = [Judged("p0", attempt, float(attempt), "scored", weight=2.0) for attempt in (0, 1)]
    other = [Judged("p1", 0, 1.0, "scored", weight=2.0)]
    tasks = [Task(row.problem_id, row.attempt, ("q",), ("a",), ("b",)) for row in (*one, *other)]
    found = build(OWN).summarise(tasks, [*one, *other]).estimates["arena_score"]
    assert found.value == pytest.approx(2 / 3)
    assert (found.n_problems, found.n_samples) == (2, 3)


# --- options and the official prompt ----------------------------------------------------------------------------------


def test_the_catalog_has_both() -> None:
    for name in ("arena_hard", "arena_hard_v2"):
        factory = catalog.load("judging", name)
        judging = factory(OWN)  # type: ignore[operator]
        assert judging.name == name
        assert judging.identity()["rubric"].startswith("pairwise_5@")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (JudgingOptions(orders="random"), "two games"),
        (JudgingOptions(rubric="rating_10"), "kind 'rating'"),
        (JudgingOptions(prompt="official"), "was not found"),
        (JudgingOptions(prompt="official", rubric="pairwise_5"), "a rubric is named too"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: JudgingOptions, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(options)


def test_other_rubrics_can_be_used() -> None:
    judging = build(JudgingOptions(rubric="pairwise_2"))
    assert judging.rubric_id(task()).startswith("pairwise_2@")
    assert all(ask.top_logprobs > 0 for ask in judging.asks(task()))
    with pytest.raises(UnknownName):
        build(JudgingOptions(rubric="pairwise_9"))
    with pytest.raises(ConfigError, match="either a rubric or"):
        ArenaHardJudging("arena_hard", None)


V01 = """
system_prompt: "Judge: two answers."
prompt_template: ["Q {question_1} / A {answer_1} / B {answer_2}"]
"""
V2 = 'prompt_template: "Q {QUESTION} / A {ANSWER_A} / B {ANSWER_B}"\n'
SETTINGS = '''
import os
HARD = "Hard: solve it first."
JUDGE_SETTINGS = {
    "hard_prompt": {"baseline": "x", "system_prompt": HARD},
    "creative_writing": {"baseline": "y", "system_prompt": """Creative."""},
    "dynamic": {"system_prompt": os.getcwd()},
}
raise RuntimeError("never run")
'''


def checkout(folder: Path) -> Path:
    """A made-up copy of the official repository; its data folder is returned."""
    for name in ("data", "config", "utils"):
        (folder / name).mkdir()
    (folder / "config" / "judge_config.yaml").write_text(V01, encoding="utf-8")
    (folder / "config" / "arena-hard-v2.0.yaml").write_text(V2, encoding="utf-8")
    (folder / "utils" / "judge_utils.py").write_text(SETTINGS, encoding="utf-8")
    return folder / "data"


def test_the_official_prompt_is_read_where_the_user_has_it(tmp_path: Path) -> None:
    data = checkout(tmp_path)
    judging = build(JudgingOptions(data_dir=data))
    subject = task(answer="MINE {answer_2}", opponent="THEIRS {question_1}")
    first, second = judging.asks(subject)
    assert [message.content for message in first.messages] == [
        "Judge: two answers.",
        "Q Why? / A THEIRS {question_1} / B MINE {answer_2}",  # filled in one pass
    ]
    assert second.messages[1].content == "Q Why? / A MINE {answer_2} / B THEIRS {question_1}"
    assert judging.rubric_id(subject).startswith("official:judge_config.yaml#")
    assert (first.schema, first.max_tokens, first.temperature) == (None, 4096, 0.0)
    reply = Completion("bad [[A>B]]\n[[B>>A]]", "stop", answer_text="bad [[A>B]]\n[[B>>A]]")
    assert (first.parse(reply).value, first.parse(reply).weight, first.parse(reply).label) == (1.0, 3.0, "B>>A")
    assert second.parse(reply).value == 0.0
    assert build(JudgingOptions(data_dir=data, prompt="own")).rubric_id(subject).startswith("pairwise_5@")
    assert build(JudgingOptions(data_dir=data, rubric="pairwise_5")).rubric_id(subject).startswith("pairwise_5@")


def test_each_category_of_v2_has_its_own_prompt(tmp_path: Path) -> None:
    judging = build_v2(JudgingOptions(data_dir=checkout(tmp_path), prompt="official"))
    texts = {
        name: judging.asks(task(category=name))[0].messages[0].content for name in ("hard_prompt", "creative_writing")
    }
    assert texts == {"hard_prompt": "Hard: solve it first.", "creative_writing": "Creative."}
    with pytest.raises(ConfigError, match="'dynamic'"):
        judging.asks(task(category="dynamic"))


def test_official_and_own_prompts_judge_alike(tmp_path: Path) -> None:
    """One scripted judge, two ways to say its verdict."""
    values = []
    for options, style in ((OWN, "json"), (JudgingOptions(data_dir=checkout(tmp_path)), "official")):
        judging = build(options)
        tasks = [task(number, "MINE", "THEIRS") for number in range(3)]
        with Cache(tmp_path / f"{style}.sqlite") as cache:
            found = asyncio.run(judge_tasks(Scripted({"MINE": 1, "THEIRS": 0}, style), judging, tasks, cache))
        values.append([judging.fold(one, judgments).value for one, judgments in zip(tasks, found, strict=True)])
    assert values == [[1.0, 1.0, 1.0]] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("- 1", "not a configuration"),
        ("system_prompt: S", "prompt_template"),
        ('prompt_template: "{QUESTION} {ANSWER_A}"', "prompt_template"),
        (V2, "no 'system_prompt'"),
    ],
)
def test_a_configuration_without_a_prompt_says_what_it_lacks(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "judge_config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_prompt(path)
    assert find_prompt(tmp_path, ("judge_config.yaml",)) is None  # "auto" goes on without it


def test_no_folder_no_official_prompt() -> None:
    assert find_prompt(None, ("judge_config.yaml",)) is None
    assert load_rubric("pairwise_5").kind == "pairwise"
