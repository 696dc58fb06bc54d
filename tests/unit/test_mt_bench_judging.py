"""MT-Bench with any judge: what is asked, how replies fold, what the numbers say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mt_bench_rows import REFERENCES, judgment, prompt_rows, said, task, write_lines

from harness.datasets import MissingData
from harness.errors import ConfigError, DataError, UnknownName
from judges.ask import NO_REPLY
from judges.protocols.mt_bench.judging import MtBenchJudging, MtBenchPairJudging, build, build_pair
from judges.protocols.mt_bench.prompts import FILES, find_prompts
from judges.types import Judged, JudgingOptions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with judge prompts."""
    write_lines(tmp_path / FILES[0], prompt_rows())
    return tmp_path


@pytest.fixture(autouse=True)
def no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)


def official(folder: Path, **changes: Any) -> MtBenchJudging:
    return MtBenchJudging(find_prompts(folder), **changes)


def official_pair(folder: Path, **changes: Any) -> MtBenchPairJudging:
    return MtBenchPairJudging(find_prompts(folder), **changes)


@pytest.mark.parametrize(
    ("turn", "guided", "name", "user"),
    [
        (1, False, "single-v1", "answer: 4\nquestion: 2 + 2?"),
        (1, True, "single-math-v1", "answer: 4\nquestion: 2 + 2?\nref_answer_1: four"),
        (
            *(2, False, "single-v1-multi-turn"),
            "answer_1: 4\nanswer_2: 8\nquestion_1: 2 + 2?\nquestion_2: Twice that?",
        ),
        (
            *(2, True, "single-math-v1-multi-turn"),
            "answer_1: 4\nanswer_2: 8\nquestion_1: 2 + 2?\nquestion_2: Twice that?\nref_answer_1: four\n"
            "ref_answer_2: eight",
        ),
    ],
)
def test_the_prompt_fits_turn_and_category(folder: Path, turn: int, guided: bool, name: str, user: str) -> None:
    judging, one = official(folder), task(turn=turn, guided=guided)
    (ask,) = judging.asks(one)
    assert [message.content for message in ask.messages] == [f"Judge by {name}.", user]
    assert (ask.temperature, ask.max_tokens, ask.order, ask.schema) == (0.0, 2048, "single", None)
    assert judging.rubric_id(one).startswith(f"{name}#")
    assert ask.parse(said("Rating: [[7]]")).value == 0.7


def test_both_orders_of_a_pair(folder: Path) -> None:
    one = task(turn=2, opponent=("5", "9"))
    mine, theirs = official_pair(folder).asks(one)
    assert (mine.order, theirs.order) == ("candidate_first", "opponent_first")
    assert "answer_a_2: 8\nanswer_b_1: 5\nanswer_b_2: 9" in mine.messages[1].content
    assert "answer_a_2: 9\nanswer_b_1: 4\nanswer_b_2: 8" in theirs.messages[1].content
    assert "ref_answer_2: eight" in mine.messages[1].content
    assert (mine.parse(said("[[A]]")).value, theirs.parse(said("[[A]]")).value) == (1.0, 0.0)
    assert official_pair(folder).rubric_id(one).startswith("pair-math-v1-multi-turn#")


def test_a_candidate_that_writes_fields_or_ratings_fills_nothing(folder: Path) -> None:
    (ask,) = official(folder).asks(task(answers=("{ref_answer_1} {question} [[10]]", ""), guided=False))
    assert "answer: {ref_answer_1} {question} [[10]]" in ask.messages[1].content


@pytest.mark.parametrize("turn", [1, 2])
def test_our_rubric_shows_every_reference_so_far(turn: int) -> None:
    judging = build(JudgingOptions())
    (ask,) = judging.asks(task(turn=turn))
    user = ask.messages[-1].content
    assert all(text in user for text in ("2 + 2?", *REFERENCES[:turn]))
    assert ("Turn 1:\nfour" in user) == (turn == 2)
    assert "eight" in user or turn == 1
    assert judging.rubric_id(task()).startswith("rating_10@")
    assert ask.parse(said('{"reason": "right", "rating": 9}')).value == 0.9


def test_a_question_without_a_reference_shows_none() -> None:
    (ask,) = build(JudgingOptions()).asks(task(guided=False))
    assert not any(text in ask.messages[-1].content for text in REFERENCES)


@pytest.mark.parametrize(
    ("options", "prompt"),
    [
        ({}, "official"),
        ({"prompt": "own"}, "own"),
        ({"prompt": "official"}, "official"),
        ({"rubric": "rating_10"}, "own"),
    ],
)
def test_which_prompt_is_chosen(folder: Path, options: dict[str, Any], prompt: str) -> None:
    judging = build(JudgingOptions(data_dir=folder, **options))
    identity = judging.identity()
    assert (identity["judging"], identity["prompt"]) == ("mt_bench", prompt)
    assert not judging.needs_opponent()


def test_without_a_data_folder_the_rubric_is_the_default(tmp_path: Path) -> None:
    for data_dir in (None, tmp_path):
        assert build(JudgingOptions(data_dir=data_dir)).identity()["prompt"] == "own"
        assert build_pair(JudgingOptions(data_dir=data_dir)).identity()["prompt"] == "own"


def test_identities_differ_by_all_that_matters(folder: Path) -> None:
    first = JudgingOptions(data_dir=folder)
    variants = [
        first,
        replace(first, prompt="own"),
        replace(first, repeats=2),
        replace(first, temperature=0.5),
        replace(first, rubric="pairwise_5"),
    ]
    identities = [str(dict(build(options).identity())) for options in variants]
    identities.append(str(dict(build_pair(first).identity())))
    rows = prompt_rows()
    rows[0]["system_prompt"] = "Another."
    write_lines(folder / FILES[0], rows)
    identities.append(str(dict(build(first).identity())))
    assert len(set(identities)) == len(identities)


def test_a_pairwise_rubric_means_the_pairwise_mode() -> None:
    judging = build(JudgingOptions(rubric="pairwise_5"))
    assert (judging.name, judging.needs_opponent()) == ("mt_bench_pair", True)
    asks = judging.asks(task(turn=2, opponent=("5", "9")))
    assert [ask.order for ask in asks] == ["candidate_first", "opponent_first"]
    assert "Turn 1:\nfour" in asks[0].messages[-1].content


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"orders": "both"}, ConfigError, "there is no order"),
        ({"orders": "random", "rubric": "pairwise_5"}, ConfigError, "both orders"),
        ({"prompt": "official"}, MissingData, "judge_prompts"),
        ({"prompt": "official", "rubric": "rating_10"}, ConfigError, "exclude each other"),
        ({"rubric": "cot_math"}, ConfigError, "rates from 1 to 10"),
        ({"rubric": "nothing"}, UnknownName, "nothing"),
        ({"weighting": "table"}, ConfigError, "no weightings"),
        ({"repeats": 0}, Exception, "repeats"),
        ({"temperature": -1.0}, Exception, "temperature"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build(JudgingOptions(**options)).asks(task())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"turns": ("a", "b", "c"), "answers": ("1", "2", "3")}, "3 questions"),
        ({"answers": ("1", "2")}, "1 questions and 2 answers"),
        ({"turns": ("a", "b"), "answers": ("1", "2"), "meta": {}}, "a reference for its last turn only"),
    ],
)
def test_tasks_of_another_kind_are_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        official(folder).asks(replace(task(), **changes))


@pytest.mark.parametrize("opponent", [None, ("5",)])
def test_a_pair_needs_the_opponents_answers(folder: Path, opponent: tuple[str, ...] | None) -> None:
    with pytest.raises(DataError, match="opponent"):
        official_pair(folder).asks(task(turn=2, opponent=opponent))


@pytest.mark.parametrize(
    ("values", "why", "value", "status"),
    [
        ([0.7], "", 0.7, "scored"),
        ([0.6, 0.8], "", 0.7, "scored"),
        ([0.6, None], "no rating", 0.6, "scored"),
        ([None], "no rating", None, "unscored"),
        ([None], f"{NO_REPLY}503", None, "error"),
    ],
)
def test_ratings_fold(folder: Path, values: list[float | None], why: str, value: float | None, status: str) -> None:
    one = task()
    judged = official(folder).fold(one, [judgment(one, v, why=why) for v in values])
    assert judged.value == pytest.approx(value) if value is not None else judged.value is None
    assert (judged.status, judged.cluster, judged.problem_id) == (status, "111", "111/1")


@pytest.mark.parametrize(
    ("first", "second", "value", "flipped"),
    [
        (1.0, 1.0, 1.0, False),
        (0.0, 0.0, 0.0, False),
        (0.5, 0.5, 0.5, False),
        (1.0, 0.0, 0.5, True),
        (1.0, 0.5, 0.5, True),
        (0.5, 0.0, 0.5, True),
        (None, 1.0, None, None),
        (1.0, None, None, None),
    ],
)
def test_a_win_is_a_win_in_both_orders(
    folder: Path, first: float | None, second: float | None, value: float | None, flipped: bool | None
) -> None:
    one = task(opponent=("5",))
    said_of = [judgment(one, first, "candidate_first"), judgment(one, second, "opponent_first")]
    judged = official_pair(folder).fold(one, said_of)
    assert (judged.value, judged.flipped) == (value, flipped)
    assert judged.status == ("unscored" if value is None else "scored")


def judged_as(one: Any, value: float | None) -> Judged:
    return Judged(one.problem_id, 0, value, "scored" if value is not None else "error", cluster=one.cluster)


def test_the_summary_is_on_the_scale_of_ten(folder: Path) -> None:
    tasks = [task(111, 1), task(111, 2), task(81, 1, guided=False), task(81, 2, guided=False)]
    judged = [judged_as(one, value) for one, value in zip(tasks, (0.4, 0.2, 1.0, None), strict=True)]
    summary = official(folder).summarise(tasks, judged)
    assert summary.headline == "rating"
    assert {name: round(estimate.value, 9) for name, estimate in summary.estimates.items()} == {
        "rating": round(16 / 3, 9),
        "rating:turn_1": 7.0,
        "rating:turn_2": 2.0,
        "rating:writing": 10.0,
        "rating:math": 3.0,
    }
    assert summary.estimates["rating"].bounds == pytest.approx((17 / 4, 26 / 4))
    assert summary.estimates["rating"].counts["error"] == 1
    assert summary.items == pytest.approx({"111/1": 4.0, "111/2": 2.0, "81/1": 10.0})
    assert summary.warnings == ("1 second turns have no rating; they are in no mean",)


def test_questions_without_a_second_turn_are_named(folder: Path) -> None:
    tasks = [task(111, 1), task(112, 1), task(112, 2)]
    summary = official(folder).summarise(tasks, [judged_as(one, 0.5) for one in tasks])
    assert summary.warnings == ("1 questions have no second turn: the rating is not that of whole conversations",)


def test_nothing_rated_is_an_error_with_its_reason(folder: Path) -> None:
    one = task()
    lost = replace(judged_as(one, None), why="the judge refused")
    with pytest.raises(DataError, match="none of the 1 answers has a readable rating; the first: the judge refused"):
        official(folder).summarise([one], [lost])
    with pytest.raises(DataError):
        official(folder).summarise([], [])


def test_the_adjusted_win_rate_counts_ties_half(folder: Path) -> None:
    judging = official_pair(folder)
    tasks = [task(question, 1, opponent=("5",)) for question in (111, 112, 113, 114)]
    games = [(1.0, 1.0), (1.0, 0.0), (0.5, 0.5), (0.0, 0.0)]
    judged = [
        judging.fold(one, [judgment(one, first, "candidate_first"), judgment(one, second, "opponent_first")])
        for one, (first, second) in zip(tasks, games, strict=True)
    ]
    summary = judging.summarise(tasks, judged)
    assert summary.headline == "win_rate"
    assert {name: estimate.value for name, estimate in summary.estimates.items()} == {
        "win_rate": 0.5,
        "strict_win_rate": 0.25,
        "tie_rate": 0.5,
        "flip_rate": 0.25,
        "first_rate": 0.625,
    }
