"""Our judgments as MT-Bench's files: scored from there they give the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from mt_bench_rows import judgment, prompt_rows, task, write_lines

from judges.protocols.mt_bench.files import (
    answers_of,
    pair_of,
    pair_row,
    read_pair,
    read_single,
    single_of,
    single_row,
)
from judges.protocols.mt_bench.judging import MtBenchJudging, MtBenchPairJudging
from judges.protocols.mt_bench.prompts import read_prompts
from judges.protocols.mt_bench.score import score_judgments, score_pairs
from judges.protocols.stored_rows import Answer, read_rows

TASKS = [task(111, 1), task(111, 2), task(81, 1, guided=False), task(81, 2, guided=False)]


def test_answers_are_those_of_the_last_turn() -> None:
    assert answers_of(TASKS[::-1], "m") == [Answer("81", "m", ("4", "8")), Answer("111", "m", ("4", "8"))]
    assert answers_of(TASKS[:1], "m") == [Answer("111", "m", ("4",))]


def test_ratings_written_as_fastchat_does_score_as_here(tmp_path: Path) -> None:
    judging = MtBenchJudging(read_prompts(tmp_path, write_lines(tmp_path / "p.jsonl", prompt_rows()).name))
    said = [judgment(one, value) for one, value in zip(TASKS, (0.7, 0.1, None, 0.85), strict=True)]
    rows = [single_of(one, "m") for one in said]
    assert [(row.question_id, row.turn, row.score) for row in rows] == [
        (111, 1, 7.0),
        (111, 2, 1.0),
        (81, 1, -1.0),
        (81, 2, 8.5),
    ]
    # The scripted judge's words hold no rating, so the recorded one stands alone.
    path = write_lines(tmp_path / "judge_single.jsonl", [{**single_row(row, 1.0), "judgment": ""} for row in rows])
    (score,) = score_judgments(read_single(raw) for raw in read_rows([path]))
    summary = judging.summarise(TASKS, [judging.fold(one, [found]) for one, found in zip(TASKS, said, strict=True)])
    assert {name: estimate.value for name, estimate in score.estimates.items()} == pytest.approx(
        {name: estimate.value for name, estimate in summary.estimates.items()}
    )
    assert score.unparsed == 1


def test_pairs_written_as_fastchat_does_score_as_here(tmp_path: Path) -> None:
    judging = MtBenchPairJudging(read_prompts(tmp_path, write_lines(tmp_path / "p.jsonl", prompt_rows()).name))
    games = [(1.0, 1.0), (1.0, 0.0), (0.0, 0.0), (0.5, None)]
    said = [
        [judgment(one, second, "opponent_first"), judgment(one, first, "candidate_first")]
        for one, (first, second) in zip(TASKS, games, strict=True)
    ]
    rows = [pair_of(found, "m", "o") for found in said]
    assert [(row.question_id, row.turn) for row in rows] == [(111, 1), (111, 2), (81, 1), (81, 2)]
    assert [row.winners for row in rows] == [
        ("model_1", "model_1"),
        ("model_1", "model_2"),
        ("model_2", "model_2"),
        ("tie", "error"),
    ]
    path = write_lines(tmp_path / "judge_pair.jsonl", [pair_row(row, 1.0) for row in rows])
    mine = next(score for score in score_pairs(read_pair(raw) for raw in read_rows([path])) if score.model == "m")
    folded = [judging.fold(one, found) for one, found in zip(TASKS, said, strict=True)]
    assert mine.adjusted.value == judging.summarise(TASKS, folded).estimates["win_rate"].value == 0.5
    assert (mine.wins, mine.ties, mine.losses, mine.unparsed) == (1, 1, 1, 1)
