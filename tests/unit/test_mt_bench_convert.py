"""MT-Bench's files as tasks, and our judgments as its files: both ways give the same numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from mt_bench_rows import judgment, prompt_rows, task, write_lines

from harness.errors import DataError
from judges.protocols.mt_bench import MtBenchJudging, MtBenchPairJudging
from judges.protocols.mt_bench_convert import answers_of, pair_rows, single_rows, tasks_of
from judges.protocols.mt_bench_files import (
    Answer,
    Question,
    pair_row,
    read_pair,
    read_rows,
    read_single,
    single_row,
)
from judges.protocols.mt_bench_prompts import read_prompts
from judges.protocols.mt_bench_score import score_judgments, score_pairs

QUESTIONS = [
    Question(81, "writing", ("2 + 2?", "Twice that?"), ("a note", "")),
    Question(111, "math", ("2 + 2?", "Twice that?"), ("four", "eight")),
]
MINE = [Answer(111, "m", ("4", "8")), Answer(81, "m", ("4", "8"))]


def test_answers_become_the_tasks_that_a_run_of_ours_has() -> None:
    tasks = tasks_of(QUESTIONS, MINE)
    assert [one.problem_id for one in tasks] == ["111/1", "111/2", "81/1", "81/2"]
    for found, expected in zip(tasks, [task(111, 1), task(111, 2), task(81, 1, guided=False)], strict=False):
        assert replace(found, meta={}) == replace(expected, meta={})
        assert found.meta["references"] == expected.meta["references"]
    assert answers_of(tasks, "m") == sorted(MINE, key=lambda answer: answer.question_id)
    other = tasks_of(QUESTIONS, MINE[:1], [Answer(111, "o", ("5", "9"))])
    assert [one.opponent for one in other] == [("5",), ("5", "9")]


@pytest.mark.parametrize(
    ("questions", "answers", "opponents", "message"),
    [
        (QUESTIONS, [Answer(90, "m", ("a", "b"))], None, "m: there is no question 90 among the 2"),
        (QUESTIONS, [Answer(81, "m", ("a",))], None, "question 81: m has 1 answers to 2 turns"),
        (QUESTIONS, MINE, [Answer(111, "o", ("5", "9"))], "question 81: the opponent has 0 answers"),
        ([replace(QUESTIONS[1], reference=())], MINE[:1], None, "has no reference answer for each turn"),
        ([replace(QUESTIONS[1], reference=("four", ""))], MINE[:1], None, "has no reference answer for each turn"),
    ],
)
def test_files_that_do_not_align_are_refused(
    questions: list[Question], answers: list[Answer], opponents: list[Answer] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        tasks_of(questions, answers, opponents)


def test_ratings_written_as_fastchat_does_score_as_here(tmp_path: Path) -> None:
    judging = MtBenchJudging(read_prompts(tmp_path, write_lines(tmp_path / "p.jsonl", prompt_rows()).name))
    tasks = tasks_of(QUESTIONS, MINE)
    said = [[judgment(one, value)] for one, value in zip(tasks, (0.7, 0.1, None, 0.85), strict=True)]
    rows = single_rows(judging, tasks, said, "m")
    assert [(row.question_id, row.turn, row.score, row.prompt) for row in rows] == [
        (111, 1, 7.0, "single-math-v1"),
        (111, 2, 1.0, "single-math-v1-multi-turn"),
        (81, 1, -1.0, "single-v1"),
        (81, 2, 8.5, "single-v1-multi-turn"),
    ]
    assert "ref_answer_2: eight" in rows[1].user_prompt
    path = write_lines(tmp_path / "judge_single.jsonl", [single_row(replace(row, judgment=""), 1.0) for row in rows])
    (score,) = score_judgments(read_single(raw) for raw in read_rows([path]))
    folded = [judging.fold(one, list(judgments)) for one, judgments in zip(tasks, said, strict=True)]
    summary = judging.summarise(tasks, folded)
    assert {name: estimate.value for name, estimate in score.estimates.items()} == pytest.approx(
        {name: estimate.value for name, estimate in summary.estimates.items()}
    )
    assert score.unparsed == 1


def test_pairs_written_as_fastchat_does_score_as_here(tmp_path: Path) -> None:
    judging = MtBenchPairJudging(read_prompts(tmp_path, write_lines(tmp_path / "p.jsonl", prompt_rows()).name))
    tasks = tasks_of(QUESTIONS, MINE, [replace(answer, turns=("5", "9")) for answer in MINE])
    games = [(1.0, 1.0), (1.0, 0.0), (0.0, 0.0), (0.5, None)]
    said = [
        [judgment(one, first, "candidate_first"), judgment(one, second, "opponent_first")]
        for one, (first, second) in zip(tasks, games, strict=True)
    ]
    rows = pair_rows(judging, tasks, said, "m", "o")
    assert [row.winners for row in rows] == [
        ("model_1", "model_1"),
        ("model_1", "model_2"),
        ("model_2", "model_2"),
        ("tie", "error"),
    ]
    assert "answer_a: 4" in rows[0].user_prompts[0]
    assert "answer_a: 5" in rows[0].user_prompts[1]
    path = write_lines(tmp_path / "judge_pair.jsonl", [pair_row(row, 1.0) for row in rows])
    mine = next(score for score in score_pairs(read_pair(raw) for raw in read_rows([path])) if score.model == "m")
    folded = [judging.fold(one, list(judgments)) for one, judgments in zip(tasks, said, strict=True)]
    assert mine.adjusted.value == judging.summarise(tasks, folded).estimates["win_rate"].value == 0.5
    assert (mine.wins, mine.ties, mine.losses, mine.unparsed) == (1, 1, 1, 1)


def test_further_attempts_and_other_tasks(tmp_path: Path) -> None:
    judging = MtBenchJudging(read_prompts(tmp_path, write_lines(tmp_path / "p.jsonl", prompt_rows()).name))
    again = replace(task(), attempt=1)
    assert single_rows(judging, [again], [[judgment(again, 0.5)]], "m") == []
    assert answers_of([again, task()], "m") == [Answer(111, "m", ("4",))]
    with pytest.raises(DataError, match="no turn of an MT-Bench question"):
        answers_of([task(cluster="")], "m")
