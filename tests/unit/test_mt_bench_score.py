"""MT-Bench's numbers from stored judgments: means, turns, categories, pairs, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mt_bench_rows import pair, single, write_lines

from harness.errors import DataError
from judges.protocols.mt_bench import files as files
from judges.protocols.mt_bench.files import PairRow, SingleRow, category_of
from judges.protocols.mt_bench.score import MtBenchScore, PairScore, Rated, pair_winner, rating_estimates
from judges.protocols.mt_bench.score import score_judgments as of_judgments
from judges.protocols.mt_bench.score import score_pairs as of_pairs


def read(folder: Path, rows: list[Any], reader: Callable[..., Any]) -> list[Any]:
    return [reader(raw) for raw in files.read_rows([write_lines(folder / "rows.jsonl", rows)], refuse_empty=True)]


def score(folder: Path, *rows: dict[str, Any]) -> list[MtBenchScore]:
    found: list[SingleRow] = read(folder, list(rows), files.read_single)
    return of_judgments(found)


def score_pairs(folder: Path, *rows: dict[str, Any]) -> list[PairScore]:
    found: list[PairRow] = read(folder, list(rows), files.read_pair)
    return of_pairs(found)


def test_means_over_turns_and_categories(tmp_path: Path) -> None:
    rows = [single(question=q, turn=t, score=s) for q, t, s in ((81, 1, 10), (81, 2, 4), (111, 1, 1), (111, 2, 2.5))]
    (found,) = score(tmp_path, *rows)
    assert {name: estimate.value for name, estimate in found.estimates.items()} == {
        "rating": 4.375,
        "rating:turn_1": 5.5,
        "rating:turn_2": 3.25,
        "rating:writing": 7.0,
        "rating:math": 1.75,
    }
    assert (found.model, found.judge, found.n, found.unparsed, found.repeated) == ("m", "gpt-4", 4, 0, 0)
    assert found.missing == 156
    # Two questions of two turns: the clusters' means are 7 and 1.75, so the error is that of two draws.
    assert found.estimates["rating"].se == pytest.approx((7 - 1.75) / 2)
    assert found.estimates["rating"].n_problems == 4


def test_a_judgment_without_a_rating_is_no_rating(tmp_path: Path) -> None:
    (found,) = score(tmp_path, single(), single(turn=2, score=-1), single(question=82, score=-1))
    rating = found.estimates["rating"]
    assert (rating.value, found.n, found.unparsed) == (7, 1, 2)
    assert rating.bounds == (3, 9)
    assert (rating.counts["scored"], rating.counts["unscored"]) == (1, 2)
    assert "rating:turn_2" not in found.estimates


def test_repeats_are_left_out_and_counted(tmp_path: Path) -> None:
    (found,) = score(tmp_path, single(), single(score=1, dup=1), single(score=2, dup=2))
    assert (found.estimates["rating"].value, found.n, found.repeated) == (7, 1, 2)


def test_a_row_without_a_score_is_read_and_one_that_disagrees_is_named(tmp_path: Path) -> None:
    rows = [
        single(question=81, score=..., judgment="Rating: [[3]]"),
        single(question=82, score=5, judgment="Rating: [[5]]"),
        single(question=83, score=7, judgment="Rating: [[8]]"),
        single(question=84, score=-1, judgment="Rating: [[9]]"),
        single(question=85, score=-1, judgment="I cannot"),
        single(question=86, score=..., judgment="I cannot"),
    ]
    (found,) = score(tmp_path, *rows)
    assert found.estimates["rating"].value == 5
    assert (found.n, found.unparsed) == (3, 3)
    assert [where.rpartition(":")[2] for where in found.mismatched] == ["3", "4"]


def test_models_and_judges_are_apart_and_the_best_is_first(tmp_path: Path) -> None:
    rows = [single("low", score=2), single("high", score=9), single("low", score=4, judge=["other", "single-v1"])]
    assert [(one.model, one.judge) for one in score(tmp_path, *rows)] == [
        ("high", "gpt-4"),
        ("low", "other"),
        ("low", "gpt-4"),
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], r"rows\.jsonl is empty"),
        ([single(), single(score=8)], r"1 judgments stand twice: .*rows\.jsonl:2 \(as .*rows\.jsonl:1\)"),
        ([single(score=-1)], "m: none of the 1 judged answers has a rating"),
        ([single(dup=1)], "m: none of the 0 judged"),
        ([single(), single(question=80)], r"rows\.jsonl:2: question_id 80 is not one of MT-Bench's"),
        ([single(question=161)], "161 is not one"),
        ([single(question="81")], "question_id should be a whole number"),
        ([single(turn=0)], r"rows\.jsonl:1: turn 0: MT-Bench has turns 1 and 2"),
        ([single(turn=3)], "turn 3"),
        ([single(turn=True)], "turn should be a whole number"),
        ([single(score="7")], "score should be a number"),
        ([single(score=True)], "score should be a number"),
        ([single(judge="gpt-4")], "judge should be a list of texts"),
        ([single(judge=["gpt-4"])], "model and prompt name"),
        ([single(model=None)], "model should be a text"),
        ([single(turn=...)], "no field 'turn'"),
        ([single(judgment=3)], "judgment should be a text"),
        ([single(dup="x")], "dup should be a whole number"),
        (["row"], "expected a JSON object"),
    ],
)
def test_bad_single_rows_are_refused_by_name(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        score(tmp_path, *rows)


@pytest.mark.parametrize(
    ("games", "winner"),
    [
        (("model_1", "model_1"), "model_1"),
        (("model_2", "model_2"), "model_2"),
        (("model_1", "model_2"), "tie"),
        (("model_1", "tie"), "tie"),
        (("tie", "model_2"), "tie"),
        (("tie", "tie"), "tie"),
        (("error", "model_1"), "error"),
        (("tie", "error"), "error"),
    ],
)
def test_a_pair_is_won_in_both_games(games: tuple[Any, Any], winner: str) -> None:
    assert pair_winner(games) == winner


def test_pairs(tmp_path: Path) -> None:
    won, lost = ("model_1", "model_1"), ("model_2", "model_2")
    rows = [pair(games=won), pair(games=won, turn=2), pair(games=lost, question_id=82)]
    rows += [pair(games=("model_1", "model_2"), question_id=83), pair(games=("error", "tie"), question_id=84)]
    rows += [pair("b", "c", lost)]
    c, a, b = score_pairs(tmp_path, *rows)
    assert (a.model, a.wins, a.ties, a.losses, a.unparsed, a.n) == ("a", 2, 1, 1, 1, 4)
    assert a.adjusted.value == 2.5 / 4
    assert a.adjusted.bounds == (0.5, 0.7)
    assert (b.model, b.wins, b.ties, b.losses, b.unparsed) == ("b", 1, 1, 3, 1)
    assert b.adjusted.value == 1.5 / 5
    assert (c.model, c.adjusted.value) == ("c", 1.0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], r"rows\.jsonl is empty"),
        ([pair(), pair()], "stand twice"),
        ([pair(), pair("b", "a")], "stand twice"),
        ([pair(games=("error", "error"))], "none of its 1 pairs"),
        ([pair(games=("A", "tie"))], r"rows\.jsonl:1: g1_winner is 'A'"),
        ([pair("a", "a")], "compared with itself"),
        ([pair(turn=5)], "turn 5"),
        ([{"question_id": 81}], "no field 'judge'"),
    ],
)
def test_bad_pair_rows_are_refused_by_name(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        score_pairs(tmp_path, *rows)


def test_no_rows_are_no_scores() -> None:
    for scored in (of_judgments, of_pairs):
        with pytest.raises(DataError, match="no judgments to score"):
            scored([])


def test_attempts_are_averaged_within_a_problem() -> None:
    rated = [Rated("81/1", "81", 1, "writing", rating) for rating in (10.0, 8.0, None)]
    rated += [Rated("82/1", "82", 1, "writing", 1.0)]
    found = rating_estimates(rated)["rating"]
    assert found.value == 5.0
    assert (found.n_problems, found.n_samples) == (2, 3)
    assert found.bounds is not None
    assert found.bounds == pytest.approx(((19 / 3 + 1) / 2, (28 / 3 + 1) / 2))


def test_intervals_stay_on_the_scale() -> None:
    found = rating_estimates([Rated("81/1", "81", 1, "writing", 10.0), Rated("82/1", "82", 1, "writing", 1.0)])
    assert (found["rating"].low, found["rating"].high) == (1, 10)


def test_categories_of_questions() -> None:
    assert [category_of(question) for question in (81, 90, 91, 101, 111, 121, 131, 141, 151, 160)] == [
        "writing",
        "writing",
        "roleplay",
        "reasoning",
        "math",
        "coding",
        "extraction",
        "stem",
        "humanities",
        "humanities",
    ]
